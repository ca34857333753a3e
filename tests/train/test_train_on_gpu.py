"""Models are trained and exported on a GPU: tensors of two devices never meet.

Nothing here runs on a GPU, see `pretended_gpu`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import train_restore
from pretended_gpu import pretended_gpu
from test_train import write_pictures
from tiny import PAPER, TINY, build, write_weights

from imgcodec.model import fusion
from imgcodec.model.restorer import Restorer, RestorerConfig
from imgcodec.train import export, finish, jpeg_files, loop, run, trainee, validate
from imgcodec.train.schedule import Stage
from imgcodec.weights import load

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
DESIGNS = {m: replace(TINY, metric=m) for m in ("ms-ssim", "eye")} | {"paper": PAPER}


@pytest.fixture
def gpu():
    with pretended_gpu():
        yield


@pytest.fixture
def quick(monkeypatch):
    """Nothing is captured or compiled, and little is validated and fitted."""
    monkeypatch.setattr(trainee, "EAGER_STEPS", -1)
    monkeypatch.setattr(fusion, "_lacking", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # which a trainee sets
    monkeypatch.setattr(run, "draw", lambda log, target: None)
    monkeypatch.setattr(validate, "RATE_PARAMETERS", (0.2, 0.5))
    monkeypatch.setattr(validate, "JPEG_QUALITIES", (20, 80))
    for name in ("FIT_ROUNDS", "FIT_PICTURES"):
        monkeypatch.setattr(export, name, 1)
    monkeypatch.setattr(export, "FIT_RATES", (0.3,))


@pytest.mark.parametrize("only", [None, "contexts"])
@pytest.mark.usefixtures("quick")
def test_a_model_is_trained_on_a_gpu(tmp_path, only):
    pictures = write_pictures(tmp_path / "pictures")
    options = {"device": "cuda", "batch": 2, "crop": 64, "pages": 0.2, "only": only}
    with pretended_gpu():
        (last,) = loop.train(pictures, tmp_path, configs={".": TINY}, patches=4, **options)
        if only:
            (last,) = loop.train(pictures, tmp_path, resume=last, patches=6, **options)
    export.export(last, tmp_path / "weights.safetensors")
    assert load(tmp_path / "weights.safetensors").model.config == TINY


@pytest.mark.parametrize("design", ["ms-ssim", "eye", "paper"])
@pytest.mark.usefixtures("quick")
def test_a_step_on_a_gpu_learns_from_every_loss(gpu, design):
    model = build(DESIGNS[design]).to("cuda")
    learner = trainee.Trainee(model, "paper" if design == "paper" else "rd")
    x, u = torch.rand(1, 3, 168, 168, device="cuda"), torch.rand(1, device="cuda")
    learner.advance(x, u, Stage(quantised=True, real=design != "paper"), (1e-3, 1e-3))
    assert np.isfinite(learner.take_sums()).all()
    assert export.make_tables(model).masses.shape == (112, 257)


@pytest.mark.usefixtures("quick", "gpu")
def test_a_decoder_learns_on_a_gpu(tmp_path):
    weights = write_weights(tmp_path, TINY)
    finish.finish(
        write_pictures(tmp_path / "pictures"), tmp_path, {"same": TINY}, weights, only_new=False,
        examples=4, tell=lambda line: None, crop=64, patches=4, batch=2, device="cuda",
    )  # fmt: skip


@pytest.mark.usefixtures("gpu")
def test_a_restorer_learns_on_a_gpu():
    restorer = Restorer(RestorerConfig(width=8, blocks=1)).to("cuda")
    generator = torch.Generator("cuda").manual_seed(1)
    x = 255 * torch.rand(8, 3, 32, 32, device="cuda", generator=generator)
    train_restore.set_spread(restorer, x.byte())
    value = train_restore.loss(restorer, x, jpeg_files.tables(len(x), generator))
    value = value + train_restore.loss_around_jpeg2000(restorer, x, generator)
    value.backward()
    assert restorer.last.weight.grad.isfinite().all()
    train_restore.gains(restorer, x.byte())

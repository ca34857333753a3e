"""The last stage: what files hold is what is learned from, and only what is asked for learns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_train import FLAT, SIDE, TINY, picture, write_pictures
from tiny import build, write_weights

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.model import ModelConfig
from imgcodec.model.tables import mass_table
from imgcodec.train import finish, loop, run, validate
from imgcodec.train.checkpoint import load_checkpoint
from imgcodec.train.export import make_tables
from imgcodec.weights import load

RATES = torch.tensor([0.4, 0.7, 0.55, 0.2, 0.6])
FAR = replace(TINY, context_phases=6, context_radius=2, context_deep=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("start"), TINY)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


def made(weights, count=5):
    model, tables, _ = load(weights)
    pixels = torch.from_numpy(np.stack([picture(seed) for seed in range(count)]))
    return finish.encoded(model, tables, pixels.permute(0, 3, 1, 2), RATES[:count])


def test_examples_are_what_files_hold(weights):
    examples, codec = made(weights), Codec("cpu", weights=weights)
    codec._tile_codec.fast = False  # as examples are made
    for index in range(5):
        data = codec.encode(picture(index), quality=100 * examples.u[index].item())
        header, (tile,), _ = container.unpack(bytes(data))
        assert header.u == round(container.MAX_U * RATES[index].item())
        read = codec._tile_codec.read([tile], header.u, (SIDE // 8, SIDE // 8))
        codes = codec._tile_codec.dequantise(read, header.u)
        assert torch.equal(codes.y_hat[0].half(), examples.y_hat[index])
        assert torch.equal(codes.levels[0].to(torch.uint8), examples.levels[index])
        assert examples.bits[index] == pytest.approx(8 * len(tile), rel=0.03, abs=64)


def test_examples_that_are_taken_are_floats(weights):
    taken = made(weights).take(torch.tensor([3, 1]))
    assert all(field.dtype == torch.float32 and len(field) == 2 for field in taken)
    wanted = torch.from_numpy(picture(1)).permute(2, 0, 1) / 255
    assert torch.equal(taken.x[1], wanted)


def changed(model, known):
    """The first words of the names of parameters that are not what they were."""
    before = known.state_dict()
    return {
        name
        for name, tensor in model.state_dict().items()
        if name not in before or not torch.equal(tensor, before[name])
    }


@pytest.mark.parametrize("only_new", [False, True])
def test_only_what_is_asked_for_learns(weights, only_new):
    known = load(weights).model
    model = build(replace(TINY, coarse_blocks=1))
    finish.adopt(model, known.state_dict())
    finisher = finish.Finisher(model, known.state_dict() if only_new else ())
    batch = made(weights).take(torch.arange(5))
    for _ in range(2):
        finisher.learn(batch, 1e-3)
    names = changed(finisher.model, known)
    assert any(name.startswith("g_s.trunk.") for name in names) != only_new
    assert any(name.startswith("g_s.coarse.") for name in names)
    assert all(name.startswith("g_s.") for name in names)


def test_a_step_needs_examples():
    with pytest.raises(ValueError, match="a step needs examples"):
        finish.Finisher(build(TINY)).forward(finish.STAGE)


def test_a_decoder_learns_from_files(weights, pictures, tmp_path):
    lines = []
    found = finish.finish(
        pictures, tmp_path / "out", {"same": TINY, "coarse": replace(TINY, coarse_blocks=1)},
        weights, only_new=False, examples=12, tell=lines.append, crop=SIDE,
        learning_rate=4e-3, patches=225, batch=3,
    )  # fmt: skip
    assert found["same"] < -1
    assert found["coarse"] < -1
    assert [line.split(",")[0] for line in lines[:2]] == ["step 50", "step 75"]
    known, (kept, tables, _) = load(weights).model, load(tmp_path / "out" / "same.safetensors")
    assert all(name.startswith("g_s.") for name in changed(kept, known))
    for own, other in zip(tables, make_tables(known), strict=True):
        assert torch.equal(own, other)
    assert load(tmp_path / "out" / "coarse.safetensors").model.config.coarse_blocks == 1


@pytest.fixture
def unfitted(monkeypatch):
    """No time is spent on validation, drawing and the table of masses, as in `test_train`."""
    monkeypatch.setattr(run, "fit_masses", lambda model, pictures: mass_table())
    monkeypatch.setattr(run, "draw", lambda log, target: None)
    monkeypatch.setattr(validate, "curve", lambda model, pictures: FLAT)


@pytest.mark.usefixtures("unfitted")
def test_everything_may_learn_with_a_design_that_adds_to_the_start(weights, pictures, tmp_path):
    config = replace(FAR, coarse_blocks=1, coarse_width=8)
    (last,) = loop.train(
        pictures, tmp_path / "run", start=weights, configs={"next": config}, batch=2, crop=SIDE,
        patches=16, pages=0.0, learning_rate=0.1,
    )  # fmt: skip
    state = load_checkpoint(last)
    assert ModelConfig(**{**state["config"], "groups": (4, 5)}) == config
    up = state["model"]["g_s.coarse.up.weight"]
    assert up.any()
    assert up.isfinite().all()
    assert any(".others." in name and tensor.any() for name, tensor in state["model"].items())


@pytest.mark.usefixtures("unfitted")
def test_context_models_may_learn_alone(weights, pictures, tmp_path):
    known = load(weights).model
    (last,) = loop.train(
        pictures, tmp_path / "run", start=weights, configs={".": FAR}, batch=2, crop=SIDE,
        patches=16, pages=0.0, learning_rate=0.01, only="contexts",
    )  # fmt: skip
    (row,) = map(json.loads, last.with_name("log.jsonl").read_text().splitlines())
    assert row["train_psnr"] is None  # nothing is decoded
    (last,) = loop.train(
        pictures, tmp_path / "run", resume=last, batch=2, crop=SIDE, patches=24, pages=0.0,
        learning_rate=0.01,
    )  # fmt: skip
    model = build(FAR)
    model.load_state_dict(load_checkpoint(last)["model"])
    names = changed(model, known)
    assert all(name.startswith(("code_context.", "level_context.")) for name in names)
    learning = {name for name, _ in model.named_parameters() if "context" in name}
    still = learning - names
    assert not [name for name in still if ".others." in name or ".deep." in name]
    assert len(still) < 0.1 * len(learning)

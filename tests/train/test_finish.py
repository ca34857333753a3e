"""The last stage: what files hold is what is learned from, and only what is asked for learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_train import SIDE, TINY, picture, write_pictures
from tiny import build, write_weights

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.model import ModelConfig
from imgcodec.train import finish, loop
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


@pytest.mark.parametrize(
    ("parts", "config", "only_new", "beginnings"),
    [
        (("decoder",), TINY, False, ("g_s.",)),
        (("contexts",), TINY, False, ("code_context.",)),
        (("decoder", "contexts"), TINY, False, ("g_s.", "code_context.")),
        (("contexts",), FAR, True, ("code_context.latents", "code_context.pyramid.details")),
    ],
)
def test_only_what_is_asked_for_learns(weights, parts, config, only_new, beginnings):
    known = load(weights).model
    model = build(config)
    finish.adopt(model, known.state_dict())
    finisher = finish.Finisher(model, parts, known.state_dict() if only_new else ())
    batch = made(weights).take(torch.arange(5))
    for _ in range(2):
        finisher.learn(batch, 1e-3)
    names = changed(finisher.model, known)
    assert {name for name in beginnings if any(n.startswith(name) for n in names)} == {*beginnings}
    assert all(name.startswith(beginnings) for name in names)
    if only_new:
        assert all(".others." in name or ".deep." in name for name in names)


def test_a_step_needs_examples():
    with pytest.raises(ValueError, match="a step needs examples"):
        finish.Finisher(build(TINY), ("decoder",)).forward(finish.STAGE)


def test_a_decoder_learns_from_files(weights, pictures, tmp_path):
    lines = []
    found = finish.finish(
        pictures, tmp_path / "out", {"same": TINY, "coarse": replace(TINY, coarse_blocks=1)},
        weights, ["decoder"], only_new=False, examples=12, tell=lines.append, crop=SIDE,
        learning_rate=4e-3, patches=600, batch=6,
    )  # fmt: skip
    assert found["same"] < -1
    assert found["coarse"] < -1
    assert [line.split(",")[0] for line in lines[:2]] == ["step 50", "step 100"]
    known, (kept, tables, _) = load(weights).model, load(tmp_path / "out" / "same.safetensors")
    assert all(name.startswith("g_s.") for name in changed(kept, known))
    for own, other in zip(tables, make_tables(known), strict=True):
        assert torch.equal(own, other)
    assert load(tmp_path / "out" / "coarse.safetensors").model.config.coarse_blocks == 1


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

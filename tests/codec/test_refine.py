"""Latents that effort moves: towards the least error, and never far."""

import pytest
import torch
from tiny import TINY, build, liven

from imgcodec.codec import Codec, refine
from imgcodec.model import Dequantised


@pytest.mark.parametrize("slope", [1e9, -1e9, 1e-9])
def test_no_slope_moves_a_latent_far(monkeypatch, slope):
    model = liven(build(TINY)).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 32, 32, generator=rng)
    e = torch.randn(1, TINY.latents, 4, 4, generator=rng)
    u = torch.tensor([0.5])
    codes = Dequantised(torch.zeros(1, 1, 4, 4), e)  # so that codes do not draw
    monkeypatch.setattr(refine, "_gradient", lambda of, to: (torch.full_like(to, slope),))
    moved = (refine.refine(model, x, e, codes, u) - e) / model.steps(codes.levels, u)
    farthest = refine.FARTHEST[TINY.metric]
    assert moved.abs().max() <= farthest + 1e-5
    assert (moved * slope <= 0).all()
    assert (abs(slope) < 1) == bool(moved.abs().max() < farthest / 2)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (7, 40)])
def test_pictures_too_small_for_the_measure_have_files(textured, size):
    picture, codec = textured(*size), Codec("cpu", tune="eye")
    for asked in ({"size": 600}, {"quality": 50}):
        data = codec.encode(picture, effort=2, lossless=False, **asked)
        assert codec.decode(data).shape == picture.shape

"""Latents that are moved: towards the least error, and never far."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY, build, liven, write_weights

from imgcodec.codec import Codec, refine, tile_codec
from imgcodec.format.tiles import Box
from imgcodec.metrics import psnr
from imgcodec.model import Dequantised
from imgcodec.model.tables import Costs
from imgcodec.pictures.roi import Roi
from imgcodec.releases import TUNES


@pytest.fixture(scope="module")
def photograph():
    with Image.open(Path(__file__).parents[2] / "docs" / "kodim23.png") as picture:
        return np.asarray(picture.convert("RGB"))[100:292, 100:356]


@pytest.mark.parametrize("slope", [1e9, -1e9, 1e-9])
def test_no_slope_moves_a_latent_far(monkeypatch, slope):
    model = liven(build(TINY)).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 32, 32, generator=rng)
    e = torch.randn(1, TINY.latents, 4, 4, generator=rng)
    u = torch.tensor([0.5])
    codes = Dequantised(torch.zeros(1, 1, 4, 4), e)  # so that codes do not draw
    monkeypatch.setattr(
        refine, "_gradient", lambda of, *to: [torch.full_like(maps, slope) for maps in to]
    )
    parts = model.split(e / model.steps(codes.levels, u), codes.levels)
    costs = Costs(model.costs, model.cost_slopes)
    slopes = refine.slope_of(model, x, codes, u, 1)
    moved = [refine.refine(model, slopes, e, parts, codes, u, costs, n) - e for n in (1, 2, 3)]
    assert (moved[1].abs() <= moved[0].abs()).all()  # later ones less far
    if abs(slope) < 1:
        torch.testing.assert_close(moved[2], refine.LATER**2 * moved[0], rtol=1e-3, atol=1e-9)
    moved = moved[0] / model.steps(codes.levels, u)
    farthest = refine.FARTHEST[TINY.metric]
    assert moved.abs().max() <= farthest + 1e-5
    assert (moved * slope <= 0).all()
    assert (abs(slope) < 1) == bool(moved.abs().max() < farthest / 2)


def test_under_the_squared_error_later_rounds_follow_the_bits_of_others(monkeypatch):
    model = liven(build(TINY)).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 32, 32, generator=rng)
    e = torch.randn(1, TINY.latents, 4, 4, generator=rng)
    levels, u = torch.zeros(1, 1, 4, 4), torch.tensor([0.5])
    parts = [torch.round(part) for part in model.split(e / model.steps(levels, u), levels)]
    costs = Costs(model.costs, model.cost_slopes)

    def refined(number):
        codes = Dequantised(levels, e)
        slope = refine.slope_of(model, x, codes, u, number)
        return refine.refine(model, slope, e, parts, codes, u, costs, number)

    found = [refined(number) for number in (0, 1)]
    monkeypatch.setattr(refine, "_slope_of_bits", lambda *words: torch.zeros_like(e))
    assert torch.equal(refined(0), found[0])
    moved = (refined(1) - found[1]).abs()
    assert moved[:, : TINY.lattice].max() == 0
    assert moved[:, TINY.lattice :].max() > 0


@pytest.fixture(scope="module")
def eyed():
    """A model for the eye, and codes with errors of a tenth of a step."""
    model = liven(build(replace(TINY, metric="eye"))).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    levels, u = torch.full((1, 1, 12, 24), 8.0), torch.tensor([0.5])
    steps = model.steps(levels, u)
    y_hat = steps * torch.randint(-2, 3, (1, TINY.latents, 12, 24), generator=rng)
    return model, y_hat - 0.1 * steps, Dequantised(levels, y_hat), u


def finer(eyed, slope):
    model, y, codes, u = eyed
    return refine.finer_levels(model, slope * (codes.y_hat - y), y, codes, u)[0, 0]


def test_levels_go_where_errors_cost_most(eyed):
    slope = torch.ones(1, 1, 12, 24)
    slope[..., 12:] = 16
    found = finer(eyed, slope)
    assert (found[:, :6] < -0.2).all()
    assert (found[:, 18:] > 0.2).all()
    least = refine.LEVEL_LEAST * (1 + 16) / 2
    told = refine.LEVEL_SHARE["eye"] * np.log2((16 + least) / (1 + least))
    assert abs(found[:, 18:].mean() - found[:, :6].mean() - told) < 0.03
    assert finer(eyed, 1e6 * slope).sub(found).abs().max() < 1e-4  # the sum of bits stays
    slope[..., 12:] = 1e12
    assert finer(eyed, slope).abs().max() <= refine.FARTHEST_LEVEL


@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0])
def test_levels_stay_where_no_place_stands_out(eyed, slope):
    assert finer(eyed, slope).abs().max() < 0.3
    model, y, codes, u = eyed
    empty = Dequantised(codes.levels, torch.zeros_like(y))
    assert refine.finer_levels(model, torch.zeros_like(y), y, empty, u).abs().max() == 0


@pytest.mark.parametrize("tile", [None, 64])
def test_levels_of_a_region_stay(tmp_path, photograph, tile):
    weights = write_weights(tmp_path, replace(TINY, metric="eye"))
    codec, pixels = Codec("cpu", weights=weights), photograph[:96, :128]
    region = Roi.box(96, 128, Box(16, 16, 64, 64))

    def levels(effort, roi):
        return codec.inspect(
            codec.encode(pixels, quality=60, effort=effort, tile=tile, roi=roi, lossless=False)
        )[0]

    assert np.array_equal(levels(2, region), levels(1, region))
    assert not np.array_equal(levels(2, None), levels(1, None))


def test_the_first_slope_is_that_of_the_error_through_the_linear_skip():
    model = liven(build(TINY)).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 24, 40, generator=rng)
    y_hat = torch.randn(1, TINY.latents, 3, 5, generator=rng)
    levels, u = torch.full((1, 1, 3, 5), 8.0), torch.tensor([0.5])
    found = refine._slope_by_skip(model, x, Dequantised(levels, y_hat), u)
    whole = refine._slope(model, x, Dequantised(levels, y_hat), u)
    for layer in model.g_s.trunk.modules():  # the trunk says the same, whatever the codes are
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.zero_()
    trunk = model.g_s(y_hat, model.importance(levels), u) - model.g_s.skip(y_hat)
    assert not torch.allclose(found, whole, rtol=0.01)

    moved = y_hat.clone().requires_grad_()
    decoded = model.transform.synthesise(model.g_s.skip(moved) + trunk, model.deviation)
    error = refine.lmbda(u) * (decoded - x).square().mean() * 24 * 40
    (slope,) = torch.autograd.grad(error, [moved])
    again = refine._slope_by_skip(model, x, Dequantised(levels, y_hat), u)
    torch.testing.assert_close(again, slope, rtol=1e-3, atol=1e-3 * float(slope.abs().max()))


@pytest.mark.parametrize("tile", [None, 128])
def test_with_the_squared_error_every_effort_has_a_round(monkeypatch, photograph, tile):
    """A decoding more, and a better picture of the same size."""
    codec, sizes = Codec("cpu", tune="psnr"), []
    for corrects in (False, True):
        if not corrects:
            monkeypatch.setattr(tile_codec, "by_skip", lambda model: False)
        data = codec.encode(photograph, 0.5, tile=tile)
        sizes.append((len(data), psnr(photograph, codec.decode(data))))
        monkeypatch.undo()
    (size, before), (other, after) = sizes
    assert other == pytest.approx(size, rel=0.01)
    assert after > before + 0.03


def test_others_have_it_from_effort_2_on(monkeypatch, photograph):
    """It takes codes that hide no signs, and goes further than those after it."""
    codec, rounds = Codec("cpu", tune="ms-ssim"), []

    def spy(*arguments):
        rounds.append(arguments[-1])
        return moved(*arguments)

    moved = tile_codec.refine
    monkeypatch.setattr(tile_codec, "refine", spy)
    for effort in (1, 2, 3):
        codec.encode(photograph, quality=50, effort=effort)
    assert rounds == [0, 0, 1]


@pytest.mark.parametrize("tune", ["psnr", "ms-ssim"])
def test_from_effort_2_on_latents_approach_those_of_the_picture(photograph, tune):
    codec = Codec("cpu", tune=tune)._tile_codec
    prepared = codec.analyse(photograph[None])
    latents = codec.latents(prepared, 40000)
    assert codec.approach(prepared, latents, 40000, 1) is None
    errors = []
    for found in (latents, codec.approach(prepared, latents, 40000, 2)):
        assert found.levels is latents.levels
        decoded = codec.synthesise(Dequantised(found.levels, found.y), 40000)[0]
        errors.append(psnr(photograph, decoded))
    assert errors[1] > errors[0] + 0.5


def test_pictures_approach_in_squares_as_whole_ones_do(monkeypatch, photograph):
    codec, calls = Codec("cpu", tune="ms-ssim"), []
    approach = tile_codec.TileCodec.approach

    def spy(*arguments):
        calls.append(arguments[-1])
        return approach(*arguments)

    monkeypatch.setattr(tile_codec.TileCodec, "approach", spy)
    for tile in (None, 128):
        codec.encode(photograph, quality=50, effort=2, tile=tile)
    assert calls == [2, 2]


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (8, 8), (7, 40)])
@pytest.mark.parametrize("tune", TUNES)
def test_pictures_of_few_places_have_files(textured, size, tune):
    """Some are too small for the measure; at a single place nothing follows the last group."""
    picture, codec = textured(*size), Codec("cpu", tune=tune)
    for asked in ({"size": 600}, {"quality": 50}):
        data = codec.encode(picture, effort=2, lossless=False, **asked)
        assert codec.decode(data).shape == picture.shape

"""Detail that files cannot hold is told in the report, and about right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.codec.detail import MOST_ROUNDED, WORRYING_DB, limit_db, unheld
from imgcodec.format.container import MAX_U
from imgcodec.metrics import psnr
from imgcodec.releases import newest
from imgcodec.weights import load


def checkerboard():
    """Squares of 1 pixel."""
    rows, columns = np.mgrid[:128, :128]
    return np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, 2)


def stripes():
    """Columns of 1 pixel, grey: coefficients that have latents, but integers do not reach."""
    return np.tile(np.array([0, 255], np.uint8), (128, 64))


def noise():
    """Samples of all colours at random."""
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["psnr", "ms-ssim", "eye"])
def shipped(request):
    """Return a codec of each released set."""
    return Codec("cpu", tune=request.param)


@pytest.mark.parametrize("make", [checkerboard, noise])
@pytest.mark.parametrize("tile", [None, 64])
def test_limit_is_about_what_is_decoded(shipped, make, tile):
    image = make()
    data = shipped.encode(image, quality=100, tile=tile, lossless=False)
    assert data.report.detail_limit_db == pytest.approx(psnr(image, shipped.decode(data)), abs=3)


def test_integers_that_cannot_be_written_count():
    codec, image = Codec("cpu", tune="psnr"), stripes()
    data = codec.encode(image, quality=100, lossless=False)
    decoded = codec.decode(data)[..., 0]
    assert psnr(image, decoded) < 20  # though all its coefficients have latents
    assert data.report.detail_limit_db == pytest.approx(psnr(image, decoded), abs=3)


def test_limit_is_told_whatever_is_asked():
    codec = Codec("cpu")
    for goal in ({"rate": 2.0}, {"size": 4000}, {"psnr": 40.0}, {"quality": 30}):
        assert codec.encode(checkerboard(), lossless=False, **goal).report.detail_limit_db < 10


@pytest.mark.parametrize("tile", [None, 128])
def test_photographs_are_no_worry(shipped, tile):
    image = np.asarray(Image.open(Path(__file__).parents[2] / "docs" / "kodim23.png"))[:256, :128]
    for quality in (30, 90):
        assert shipped.encode(image, quality=quality, tile=tile).report.detail_limit_db is None


def test_nothing_is_told_without_a_picture(tiny_codec, textured):
    data = tiny_codec.encode(textured(64, 64), quality=90)
    assert tiny_codec.trim(data, data.report.bpp / 2).report.detail_limit_db is None


@pytest.mark.parametrize("tile", [None, 64])
def test_nothing_is_told_of_single_bits(paper_codec, textured, tile):
    data = paper_codec.encode(textured(72, 80), quality=50, tile=tile)
    assert data.report.detail_limit_db is None


def test_limits_that_worry():
    error = 10 ** (-WORRYING_DB / 10)
    assert limit_db(1.01 * error, 99.0) == pytest.approx(WORRYING_DB, abs=0.1)
    assert limit_db(0.99 * error, 99.0) is None
    assert limit_db(1e-2, 20.1) == pytest.approx(20)
    assert limit_db(1e-2, 19.9) is None
    assert limit_db(0.0, 99.0) is None
    assert limit_db(None, 99.0) is None


@torch.inference_mode()
def test_what_rounding_does_is_no_lost_detail():
    model, _, _ = load(newest("psnr", 1).path)
    config, size = model.config, (1, 4, 4)
    y = torch.randn(1, config.latents, 4, 4, generator=torch.Generator().manual_seed(1))
    levels = torch.full((1, *size), 7.0)
    steps = model.steps(levels, torch.tensor([0.5]))[:, config.lattice :]
    codes = y[:, config.lattice :] / steps + 0.95 * MOST_ROUNDED
    parts = [torch.zeros(1, 1, 4, 4)] * config.pyramid_parts

    def error(last):
        groups = codes[:, :9], last
        return unheld(model, torch.zeros(1, 192, 4, 4), y, levels, [*parts, *groups], MAX_U // 2)

    assert error(codes[:, 9:]) == 0
    last = codes[:, 9:].clone()
    last[0, 5, 3, 0] += 2  # at a place that is looked at, one of four
    off = (0.95 * MOST_ROUNDED + 2) * steps[0, 14, 3, 0] * model.unit[config.lattice + 14]
    assert error(last) == pytest.approx(float(off) ** 2 / (192 * 4), rel=1e-2)

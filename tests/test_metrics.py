"""Measures against values worked out by hand, and against the library that defines MS-SSIM."""

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from imgcodec import metrics
from imgcodec.errors import AicError
from imgcodec.perceptual import cvvdp, ssimulacra2

KODAK = Path(os.environ.get("AIC_KODAK", Path(__file__).parents[2] / "shared" / "data" / "kodak"))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
    """A picture with content at all scales, so that MS-SSIM is far from 0 and from 1."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3 + k) + np.sin(y / 11) + np.cos((x + y) / 29) for k in range(3)]
    return np.round(127.5 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def disturbed(image, sigma, seed=1):
    error = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.round(image + error), 0, 255).astype(np.uint8)


def test_bpp_counts_eight_bits_a_byte_over_the_true_size():
    assert metrics.bpp(100, 20, 10) == 4.0
    assert metrics.bpp(41, 1, 1) == 328.0


@pytest.mark.parametrize(
    ("difference", "expected"), [(1, 48.1308036), (2, 42.1102037), (16, 24.0484040), (255, 0.0)]
)
def test_psnr_of_a_constant_difference(difference, expected):
    a = np.zeros((5, 7, 3), np.uint8)
    b = np.full((5, 7, 3), difference, np.uint8)
    assert metrics.psnr(a, b) == pytest.approx(expected, abs=1e-6)
    assert metrics.psnr(b, a) == metrics.psnr(a, b)


def test_psnr_takes_all_channels_together():
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[..., 1] = 3  # mean square error 9 / 3, not the mean of three PSNRs (inf)
    assert metrics.psnr(a, b) == pytest.approx(10 * math.log10(255**2 / 3))


def test_psnr_of_one_wrong_sample_in_a_grey_picture():
    a = np.full((10, 20), 200, np.uint8)
    b = a.copy()
    b[3, 4] = 190
    assert metrics.psnr(a, b) == pytest.approx(10 * math.log10(255**2 / (100 / 200)))


def test_psnr_of_equal_pictures_is_infinite():
    assert metrics.psnr(noise(9, 9), noise(9, 9)) == math.inf


EYE = (metrics.ssimulacra2, metrics.cvvdp)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ms_ssim, *EYE])
@pytest.mark.parametrize(
    "other",
    [np.zeros((3, 4, 3), np.uint8), np.zeros((3, 3), np.uint8), np.zeros((3, 3, 3), np.float32)],
    ids=["size", "channels", "type"],
)
def test_pictures_of_two_kinds_are_refused(measure, other):
    with pytest.raises(ValueError, match="wanted equal uint8"):
        measure(np.zeros((3, 3, 3), np.uint8), other)


def test_ms_ssim_is_that_of_the_library():
    import pytorch_msssim
    import torch

    a = smooth(170, 200)
    b = disturbed(a, 25)
    tensors = [torch.tensor(x.astype(np.float64).transpose(2, 0, 1)[None]) for x in (a, b)]
    expected = float(pytorch_msssim.ms_ssim(*tensors, data_range=255))
    assert 0.3 < expected < 0.98
    assert metrics.ms_ssim(a, b) == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_bounds_and_order():
    a = smooth(161, 190)
    values = [metrics.ms_ssim(a, disturbed(a, sigma)) for sigma in (0, 5, 20, 80)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4
    assert 0 <= metrics.ms_ssim(a, 255 - a) < 0.05


def test_ms_ssim_of_grey_is_that_of_three_equal_channels():
    a = smooth(161, 161)[..., 0]
    b = disturbed(a, 15)
    three = metrics.ms_ssim(np.stack([a] * 3, axis=-1), np.stack([b] * 3, axis=-1))
    assert metrics.ms_ssim(a, b) == pytest.approx(three, abs=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "measured"), [(161, 161, True), (160, 300, False), (300, 160, False)]
)
def test_ms_ssim_needs_its_least_side(height, width, measured):
    a = noise(height, width)
    assert (metrics.ms_ssim(a, a) is not None) == measured


def test_equal_pictures_have_the_best_score():
    a = noise(200, 333)  # of which float32 makes 99.88
    assert metrics.ssimulacra2(a, a.copy()) == 100
    assert metrics.cvvdp(a, a.copy()) == 10


@pytest.mark.parametrize(("measure", "best"), [(metrics.ssimulacra2, 100), (metrics.cvvdp, 10)])
def test_what_the_eye_sees_has_its_bounds_and_order(measure, best):
    """The values themselves are held against their references in tests/perceptual."""
    a = smooth(41, 60)
    values = [measure(a, disturbed(a, sigma)) for sigma in (0, 2, 5, 20)]
    assert values[0] == pytest.approx(best, abs=1e-3)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.95 * best
    grey = a[..., 0].copy(), disturbed(a[..., 0], 5)
    assert measure(*grey) == measure(*(np.stack([x] * 3, -1) for x in grey))
    assert measure(a[:8], a[:8]) is not None
    assert measure(a[:7], a[:7]) is measure(a[:, :7], a[:, :7]) is None


@pytest.mark.parametrize("kind", [ssimulacra2, cvvdp])
def test_the_original_comes_first(kind):
    name = kind.__name__.rpartition(".")[2]
    one, two = smooth(41, 60), smooth(41, 60) // 2
    for a, b in ((one, two), (two, one)):
        found = getattr(kind, name)(metrics.as_planes(a), metrics.as_planes(b))
        assert getattr(metrics, name)(a, b) == pytest.approx(found.item(), abs=1e-4)
    assert abs(getattr(metrics, name)(one, two) - getattr(metrics, name)(two, one)) > 0.01


def test_ssimulacra2_in_db():
    """Ten times the impairment are 10 dB."""
    little, much = (100 - 10 * impairment**ssimulacra2.POWER for impairment in (0.5, 5))
    found = metrics.ssimulacra2_db(little) - metrics.ssimulacra2_db(much)
    assert found == pytest.approx(10)
    assert (metrics.ssimulacra2_db(0), metrics.ssimulacra2_db(100)) == (0, math.inf)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (0.9, 10.0), (0.99, 20.0)])
def test_ms_ssim_in_db(value, expected):
    assert metrics.ms_ssim_db(value) == pytest.approx(expected)


def test_ms_ssim_of_one_in_db_is_infinite():
    assert metrics.ms_ssim_db(1.0) == math.inf
    assert math.isnan(metrics.ms_ssim_db(math.nan))


RATES = [0.1, 0.25, 0.5, 1.0, 1.6]
PSNRS = [25.0, 28.5, 31.0, 34.25, 37.0]


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 3.0])
def test_bd_rate_of_a_curve_at_a_fixed_fraction_of_the_rate(factor):
    rates = [factor * rate for rate in RATES]
    expected = 100 * (factor - 1)
    assert metrics.bd_rate(RATES, PSNRS, rates, PSNRS) == pytest.approx(expected, abs=1e-9)


def test_bd_rate_of_two_straight_lines():
    # log2 rate: 0..2 against 0..1 over 30..34 dB; it is half as high on average, so 1/2 bit apart
    value = metrics.bd_rate([1, 2, 4], [30, 32, 34], [1, math.sqrt(2), 2], [30, 32, 34])
    assert value == pytest.approx(100 * (2**-0.5 - 1), abs=1e-9)


def test_bd_rate_uses_the_whole_overlap_and_nothing_else():
    # Both lines double every 2 dB, b at 1/4 of the rate; they share 32..36 of 30..36 and 32..40.
    a = ([1, 2, 4, 8], [30, 32, 34, 36])
    b = ([0.5, 1, 2, 4, 8], [32, 34, 36, 38, 40])
    assert metrics.bd_rate(*a, *b) == pytest.approx(-75, abs=1e-9)
    bent = ([0.5, 1, 2, 4, 8], [32, 34, 36, 38, 39])  # outside the overlap, but next to its end
    assert metrics.bd_rate(*a, *bent) == pytest.approx(-75, abs=1.0)


def test_bd_rate_keeps_within_bounds():
    # Of 30..32 they differ by 1/2 bit on average, of 30..31 by 1/4, of 31..32 by 3/4.
    curves = [1, 2, 4], [30, 31, 32], [1, math.sqrt(2), 2], [30, 31, 32]
    for within, bits in (((0, 99), 1 / 2), ((30, 31), 1 / 4), ((31, 99), 3 / 4)):
        value = metrics.bd_rate(*curves, within)
        assert value == pytest.approx(100 * (2**-bits - 1), abs=1e-9)
    with pytest.raises(ValueError, match="in common"):
        metrics.bd_rate(*curves, (32, 99))


def test_bd_rate_is_shape_preserving():
    # PCHIP is flat at 0 slope and never overshoots; a cubic fit through these points would.
    a = ([1, 1, 1, 100], [30, 31, 32, 33])
    b = ([1, 1, 1, 1], [30, 31, 32, 33])
    up_to_32 = metrics.bd_rate(*a, [1, 1, 1], [30, 31, 32])
    assert up_to_32 == pytest.approx(0, abs=1e-9)
    # By hand: the last piece rises by D = ln 100 with slopes 0 and 1.5 D, so its area is
    # D / 2 - 1.5 D / 12 = 0.375 D, and the mean over the three pieces 0.125 D.
    assert metrics.bd_rate(*b, *a) == pytest.approx(100 * (100**0.125 - 1))


def test_bd_rate_of_a_bent_curve_by_hand():
    # Log rate 0, 1, 7 at 30, 31, 33 dB: secants 1 and 3, so the slopes of Fritsch and Butland are
    # (4 * 1 - 1 * 3) / 3 at the start, 9 / (5 / 1 + 4 / 3) inside, (5 * 3 - 2 * 1) / 3 at the end.
    start, inside, end = 1 / 3, 27 / 19, 13 / 3
    area = 1 / 2 + (start - inside) / 12 + 2 * (1 + 7) / 2 + 2**2 * (inside - end) / 12
    value = metrics.bd_rate([1, 1], [30, 33], [1, math.e, math.e**7], [30, 31, 33])
    assert value == pytest.approx(100 * math.expm1(area / 3))


def test_bd_rate_is_that_of_a_published_implementation():
    # The example in the documentation of the package bjontegaard, and what its version 1.3.0 makes
    # of it with method="pchip" over the whole overlap.
    anchor = [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]
    other = [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]
    assert metrics.bd_rate(*anchor, *other) == pytest.approx(-4.417485350589, abs=1e-9)


def test_bd_rate_turns_round_with_the_anchor():
    a = (RATES, PSNRS)
    b = ([0.09, 0.2, 0.47, 0.8, 1.7], [25.2, 28.0, 31.4, 34.0, 37.9])
    forth, back = metrics.bd_rate(*a, *b), metrics.bd_rate(*b, *a)
    assert (1 + forth / 100) * (1 + back / 100) == pytest.approx(1)
    assert forth < 0 < back


def test_bd_rate_does_not_mind_the_order_of_points():
    b = ([0.09, 0.2, 0.47, 0.8, 1.7], [25.2, 28.0, 31.4, 34.0, 37.9])
    turned = (b[0][::-1], b[1][::-1])
    assert metrics.bd_rate(RATES, PSNRS, *turned) == metrics.bd_rate(RATES, PSNRS, *b)


@pytest.mark.parametrize(
    ("rates", "psnrs", "match"),
    [
        ([0.1, 0.2], [40.0, 41.0], "in common"),
        ([0.1, 0.2], [37.0, 38.0], "in common"),  # a single point is no range
        ([0.1, 0.2, 0.3], [30.0, 30.0, 31.0], "distinct"),
        ([0.0, 0.2], [30.0, 31.0], "above 0"),
        ([0.1, 0.2, 0.3], [30.0, 31.0, math.inf], "finite"),
    ],
    ids=["apart", "touching", "twice", "rate 0", "lossless"],
)
def test_bd_rate_refuses_what_is_no_curve(rates, psnrs, match):
    with pytest.raises(ValueError, match=match):
        metrics.bd_rate(RATES, PSNRS, rates, psnrs)


def test_bd_rate_without_scipy_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.interpolate", None)
    with pytest.raises(AicError, match=r"^BD-rates need pip install 'imgcodec\[bench\]'$"):
        metrics.bd_rate(RATES, PSNRS, RATES, PSNRS)


@pytest.mark.skipif(not KODAK.is_dir(), reason="the Kodak pictures are not here")
def test_measures_of_jpeg_on_a_kodak_picture(tmp_path):
    """Values from an independent measurement of libjpeg-turbo at quality 75."""
    from PIL import Image

    original = Image.open(KODAK / "kodim23.png")
    original.save(tmp_path / "x.jpg", quality=75)
    a, b = np.asarray(original), np.asarray(Image.open(tmp_path / "x.jpg"))
    assert metrics.psnr(a, b) == pytest.approx(37.115, abs=0.05)  # other versions round otherwise
    assert metrics.ms_ssim(a, b) == pytest.approx(0.9866, abs=0.0005)

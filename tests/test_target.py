"""What is asked of a file, and whether it is reached."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgcodec import metrics
from imgcodec.codec import Codec
from imgcodec.codec.rate_search import Reached, reach
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.format.container import MAX_U
from imgcodec.target import CLOSE_DB, CLOSE_SCORE, KINDS, Target


@pytest.mark.parametrize(
    "asked",
    [{"rate": 0.5}, {"size": 1000}, {"psnr": 33.0}, {"ms_ssim": 0.9}, {"ssimulacra2": 70.0}],
)
def test_one_of_them(asked):
    (kind, value), *_ = asked.items()
    none = dict.fromkeys(KINDS)
    assert Target.of(72, **none | asked) == Target(kind, value)


def test_none_is_the_usual_quality():
    assert Target.of(72) == Target.of(72, rate=None, size=None) == Target("quality", 72)


def test_two_are_too_many():
    with pytest.raises(AicError, match="^rate and psnr are asked at once"):
        Target.of(72, rate=1.0, psnr=30.0)
    with pytest.raises(TypeError):
        Target.of(72, beauty=1.0)
    with pytest.raises(TypeError, match="unknown target qualtiy"):
        Target.of(72, quality=1.0, qualtiy=None)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("rate", (0, -1, math.nan)),
        ("size", (0, -5)),
        ("quality", (-0.1, 100.1, math.nan, math.inf)),
        ("psnr", (0, -3, math.nan)),
        ("ms_ssim", (0, 1, 1.5, math.nan)),
        ("ssimulacra2", (-5, 0, 100, 101, math.nan, math.inf)),
    ],
)
def test_out_of_range(kind, values):
    for value in values:
        with pytest.raises(AicError, match=f"^{kind} .*, wanted "):
            Target.of(72, **{kind: value})
    assert Target.of(72, quality=0).value == 0


@pytest.mark.parametrize("value", ["high", b"1", [1], 1j, True, np.True_])
def test_what_is_no_number(value):
    with pytest.raises(AicError, match="^quality of .*, wanted "):
        Target.of(72, quality=value)


@pytest.fixture(scope="module")
def of_plain_numbers(tiny_codec, textured):
    """A picture, its file at a rate and that at a PSNR."""
    picture = textured(40, 50, 1)
    return picture, tiny_codec.encode(picture, 1.0), tiny_codec.encode(picture, psnr=21)


@pytest.mark.parametrize("kind", [np.float16, np.int8, np.uint8, np.int16, np.float64, Fraction])
def test_numbers_of_any_kind(tiny_codec, of_plain_numbers, kind):
    picture, at_a_rate, at_a_psnr = of_plain_numbers
    assert tiny_codec.encode(picture, kind(1)) == at_a_rate
    assert tiny_codec.encode(picture, psnr=kind(21)) == at_a_psnr


def test_words_and_bytes():
    assert str(Target("rate", 0.5)) == "0.5 bpp"
    assert str(Target("ms_ssim", 0.98)) == "MS-SSIM 0.98"
    assert str(Target("ssimulacra2", 70)) == "SSIMULACRA 2 70"
    assert str(Target("size", 200_000)) == "200000 bytes"
    assert Target("size", 200.0).num_bytes(7) == 200
    assert Target("rate", 1.5).num_bytes(1000) == 187
    assert Target("rate", math.inf).num_bytes(1000) == 2**32 - 1
    assert Target("size", 1e12).num_bytes(1000) == 2**32 - 1
    assert Target("ms_ssim", 0.99).decibels == pytest.approx(20)


def test_the_rate_of_a_file_allows_it_and_no_byte_more():
    for num_pixels in (1, 15, 22, 180, 393_216, 166_500, 9_998_244):
        for num_bytes in range(1, 3000, 7):
            asked = Target("rate", 8 * num_bytes / num_pixels)
            assert asked.num_bytes(num_pixels) == num_bytes
            assert asked.allows(num_bytes, num_pixels)


@pytest.mark.parametrize("score", [0.01, 30.0, 70.0, 99.9])
def test_a_score_is_close_within_the_same_points_everywhere(score):
    target, near, off = (
        Target("ssimulacra2", score - points)
        for points in (0, 0.9 * CLOSE_SCORE, 1.1 * CLOSE_SCORE)
    )
    assert near.decibels > target.decibels - target.close_db > off.decibels
    assert Target("psnr", 33.0).close_db == Target("ms_ssim", 0.9).close_db == CLOSE_DB


@pytest.mark.parametrize("wanted", [12.0, 25.5, 31.4, 55.0])
@pytest.mark.parametrize("bend", [0.5, 1.0, 2.5])
def test_reach_finds_the_quality(wanted, bend):
    tried = []

    def measure(u):
        tried.append(u)
        return 10 + 50 * (u / MAX_U) ** bend

    u, *wrong = reach(measure, wanted, 30_000, 29 / MAX_U, CLOSE_DB)
    assert measure(u) == pytest.approx(wanted, abs=CLOSE_DB)
    assert wrong == [False, False]
    assert len(tried) < 14


@pytest.mark.parametrize("psnr", [math.inf, math.nan, 0.0])
def test_a_psnr_that_is_none(psnr):
    with pytest.raises(AicError, match=f"^psnr {psnr:g}, wanted more than 0 dB, and a finite"):
        Target.of(72, psnr=psnr)


def test_reach_ends_at_what_there_is():
    for measure, wanted, start, found in (
        (lambda u: 20 + u / MAX_U, 60.0, 30_000, Reached(MAX_U, missed=True, too_bad=True)),
        (lambda u: 20 + u / MAX_U, 3.0, -10_000, Reached(0, missed=True, too_bad=False)),
        (lambda u: math.inf, 30.0, 30_000, Reached(30_000, missed=True, too_bad=False)),
        # the best of them is not the finest, as of noise
        (lambda u: 20 - abs(u - 30_000) / MAX_U, 60.0, 30_000, Reached(30_000, True, True)),
    ):
        assert reach(measure, wanted, start, 29 / MAX_U, CLOSE_DB) == found


def test_a_size_is_never_exceeded(tiny_codec, textured):
    picture = textured(120, 136)
    for size in (700, 1500, 2601):
        data = tiny_codec.encode(picture, size=size)
        report = data.report
        assert 0.97 * size <= len(data) <= size
        assert not report.limited
    with pytest.raises(AicError, match=r"^size 60 is too low for this picture, which needs \d+$"):
        tiny_codec.encode(picture, size=60)


def test_a_rate_too_low_names_one_that_can_be_asked(tiny_codec, textured):
    """Of a tiny picture, whose header alone is more than 24 bits per pixel, a size."""
    for side, rate in ((1, 24), (64, 0.01)):
        picture = textured(side, side)
        with pytest.raises(AicError, match=f"^rate {rate} is too low") as info:
            tiny_codec.encode(picture, rate=rate)
        words = str(info.value).split("which needs ")[1].split()
        if side == 1:
            assert (words[:3], words[-1]) == (["a", "size", "of"], "bytes")
            asked = {"size": int(words[3])}
        else:
            (needs,) = words
            asked = {"rate": float(needs)}
        assert tiny_codec.encode(picture, **asked)
        with pytest.raises(AicError, match="too low"):
            tiny_codec.encode(picture, **{kind: 0.95 * value for kind, value in asked.items()})


def test_a_quality_is_the_same_trade_off_for_all(tiny_codec, textured):
    us = []
    for seed in range(2):
        for quality in (20, 50, 80):
            data = tiny_codec.encode(textured(64, 72, seed), quality=quality)
            us.append(container.unpack(data)[0].u)
    assert us[:3] == us[3:] == [round(q / 100 * MAX_U) for q in (20, 50, 80)]
    assert tiny_codec.encode(textured(64, 72)) == tiny_codec.encode(textured(64, 72), quality=72)


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("grey", [False, True])
def test_a_psnr_is_reached(tiny_codec, textured, tile, grey):
    picture = textured(120, 128)
    picture = picture[..., 0].copy() if grey else picture
    sizes = []
    for wanted in (18.0, 21.5):
        data = tiny_codec.encode(picture, psnr=wanted, tile=tile)
        report = data.report
        found = tiny_codec.decode(data)
        found = found[..., 0] if grey else found
        assert metrics.psnr(picture, np.ascontiguousarray(found)) == pytest.approx(
            wanted, rel=0.01
        )
        assert not report.limited
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("tile", [None, 192])
def test_an_ms_ssim_is_reached(tiny_codec, textured, tile):
    picture = textured(200, 384)
    data = tiny_codec.encode(picture, ms_ssim=0.94, tile=tile)
    assert metrics.ms_ssim(picture, tiny_codec.decode(data)) == pytest.approx(0.94, rel=0.01)


def photograph(height, width):
    with Image.open(Path(__file__).parents[1] / "docs" / "kodim23.png") as picture:
        return np.asarray(picture)[100 : 100 + height, 100 : 100 + width]


@pytest.mark.parametrize(
    ("tune", "score", "tile", "grey"),
    [
        ("psnr", 30.0, None, False),
        ("psnr", 80.0, None, True),
        ("eye", 60.0, None, False),
        ("eye", 80.0, None, False),
        ("eye", 60.0, 128, True),
    ],
)
def test_a_score_is_reached_within_half_a_point(tune, score, tile, grey):
    codec = Codec("cpu", tune=tune)
    pixels = photograph(160, 132)  # the last tiles are 4 pixels wide
    pixels = pixels[..., 1].copy() if grey else pixels
    data = codec.encode(pixels, ssimulacra2=score, tile=tile)
    found = codec.decode(data)
    found = found[..., 0] if grey else found
    off = 0.5 if tile is None else 0.8  # tiles so small are not chosen by themselves
    assert metrics.ssimulacra2(pixels, found) == pytest.approx(score, abs=off)
    assert not data.report.limited


@pytest.mark.parametrize(
    ("asked", "shape", "side"),
    [
        ({"ms_ssim": 0.9}, (64, 200), "161"),
        ({"ms_ssim": 0.9}, (160, 300), "161"),
        ({"ssimulacra2": 50.0}, (7, 200), "8"),
        ({"ssimulacra2": 50.0}, (200, 7), "8"),
    ],
)
@pytest.mark.parametrize("tile", [None, 64])
def test_a_picture_too_small_to_be_measured_is_refused(
    tiny_codec, textured, asked, shape, side, tile
):
    words = f" is defined from {side} pixels a side on, this picture has {shape[1]}x{shape[0]}$"
    with pytest.raises(AicError, match=words):
        tiny_codec.encode(textured(*shape), tile=tile, **asked)
    if "ssimulacra2" in asked:
        tiny_codec.encode(textured(*(max(side, 8) for side in shape)), tile=tile, **asked)


def test_what_cannot_be_reached_is_said(tiny_codec, textured):
    data = tiny_codec.encode(textured(64, 64), psnr=90.0, lossless=False)
    report = data.report
    assert report.limited
    assert container.unpack(data)[0].u == MAX_U
    again = tiny_codec.encode(textured(64, 64), ssimulacra2=99.9, lossless=False)
    assert again.report.limited
    exact = tiny_codec.encode(textured(64, 64), psnr=90.0)  # detail that it cannot hold
    assert exact.report.lossless
    assert not exact.report.limited


@pytest.mark.parametrize("tile", [None, pytest.param(128, marks=pytest.mark.slow)])
def test_more_effort_makes_a_smaller_file_of_the_same_psnr(tile):
    """With the shipped weights: those of a model that nobody trained gain too little."""
    codec = Codec("cpu", tune="psnr")
    pixels = photograph(128, 192)
    one, two = (codec.encode(pixels, psnr=36.0, effort=effort, tile=tile) for effort in (1, 4))
    assert len(two) < 0.995 * len(one)
    for data in (one, two):
        assert metrics.psnr(pixels, codec.decode(data)) == pytest.approx(36.0, abs=0.12)


def test_more_effort_keeps_a_quality(tiny_codec, textured):
    picture = textured(64, 64)
    one, two = (tiny_codec.encode(picture, quality=60, effort=effort) for effort in (1, 3))
    assert one != two
    assert container.unpack(one)[0].u == container.unpack(two)[0].u

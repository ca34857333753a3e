"""Drawn pictures in fewer colours: smaller than both other ways, and as good as asked."""

import time

import numpy as np
import pytest
import torch
from tiny import drawn_page

from imgcodec.codec import Codec, few_colours
from imgcodec.errors import FormatError
from imgcodec.format import container
from imgcodec.format.joined import KIND, Joined
from imgcodec.format.tiles import Box
from imgcodec.metrics import psnr, ssimulacra2
from imgcodec.pictures.modes import composed
from imgcodec.pictures.palette import Palette
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.roi import Roi


@pytest.fixture(scope="module")
def codec():
    """One of trained weights."""
    return Codec("cpu")


@pytest.fixture(scope="module")
def drawing():
    """A page of text with many shades, 192x192."""
    return drawn_page(192, 5, lambda page: len(Palette(page)) > 64)


@pytest.fixture(scope="module")
def few(codec, drawing):
    return codec.encode(drawing)


def test_it_is_smaller_than_the_others_and_as_good(codec, drawing, few):
    assert few.report.colours in few_colours.COUNTS
    assert not few.report.lossless
    decoded = codec.decode(few)
    assert len(np.unique(decoded.reshape(-1, 3), axis=0)) <= few.report.colours
    lossy = codec.encode(drawing, lossless=False)
    assert lossy.report.colours is None
    assert len(few) < min(len(lossy), len(codec.encode(drawing, lossless=True)))
    least = max(ssimulacra2(drawing, codec.decode(lossy)), 68)  # of photographs at quality 69
    assert ssimulacra2(drawing, decoded) >= least


def test_the_report_counts_all_that_was_tried(codec, drawing, few, monkeypatch):
    assert {"encoder", "codes"} <= few.report.stages.keys()
    assert 0 < few.report.model_s < sum(few.report.stages.values()) <= few.report.total_s
    tried, spent = [], []

    def in_vain(*words):
        began = time.perf_counter()
        tried.append(in_fewer_colours(*words))
        spent.append(time.perf_counter() - began)

    in_fewer_colours = few_colours.in_fewer_colours
    monkeypatch.setattr("imgcodec.codec.in_fewer_colours", in_vain)
    started = time.perf_counter()
    found = codec.encode(drawing)
    assert time.perf_counter() - started - spent[0] < found.report.total_s
    assert tried[0] == few


def test_settings_of_the_caller_change_nothing(codec, drawing, few):
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        assert codec.encode(drawing) == few


def test_a_region_is_no_worse(codec, drawing):
    roi = Roi.box(192, 192, Box(16, 16, 48, 120), 4)
    found = codec.encode(drawing, roi=roi)
    lossy = codec.encode(drawing, roi=roi, lossless=False)
    assert found.report.colours is not None
    assert len(found) < len(lossy)
    inside = [roi.psnrs(drawing, codec.decode(data))[0] for data in (found, lossy)]
    assert inside[0] >= inside[1]


def test_what_nobody_sees_does_not_count_against_the_networks(codec):
    """They are given other pixels there: with those of the picture, fewer colours always won."""
    random = np.random.default_rng(3)
    pixels, alpha = np.zeros((128, 192, 3), np.uint8), np.zeros((128, 192), np.uint8)
    for _ in range(150):
        top, left = random.integers(10, (80, 120))
        part = np.s_[top : top + random.integers(2, 20), left : left + random.integers(2, 60)]
        shades = random.integers(0, 256, (len(alpha[part]), 1, 3))
        pixels[part], alpha[part] = shades, 255
    picture = Picture(pixels, alpha)
    files = [codec.encode(picture, size=1300, lossless=lossless) for lossless in (None, False)]
    seen = composed(pixels, alpha, (255,) * 3)
    found, lossy = (
        ssimulacra2(seen, composed(codec.decode(file), alpha, (255,) * 3)) for file in files
    )
    assert found > lossy - 2


def test_the_file_tells(few):
    file = container.File(few)
    assert file.header.method == container.LOSSLESS
    assert Joined.of(file.chunks) == (few.report.colours, few.report.u)
    assert few.report.u == few.report.target.u


def test_once_more_it_loses_nothing(codec, few):
    decoded = codec.decode(few)
    again = codec.encode(decoded)
    assert again.report.lossless
    assert np.array_equal(codec.decode(again), decoded)


def test_better_is_larger_up_to_exact(codec, drawing):
    found = [codec.encode(drawing, quality=quality) for quality in (69, 85, 95, 100)]
    assert sorted(map(len, found)) == list(map(len, found))
    assert found[0].report.colours < found[2].report.colours
    assert found[3].report.lossless


@pytest.mark.parametrize("score", [70.0, 85.0])
def test_a_score_is_reached(codec, drawing, score):
    found = codec.encode(drawing, ssimulacra2=score)
    assert found.report.colours is not None
    assert ssimulacra2(drawing, codec.decode(found)) > score - 0.5


def test_a_psnr_is_reached(codec, drawing):
    found = codec.encode(drawing, psnr=35.0)
    assert psnr(drawing, codec.decode(found)) > 34.9
    assert len(found) <= len(codec.encode(drawing, psnr=35.0, lossless=False))


def test_a_size_is_kept_and_the_picture_better(codec, drawing, few):
    found = codec.encode(drawing, size=len(few))
    assert len(found) <= len(few)
    lossy = codec.encode(drawing, size=len(few), lossless=False)
    scores = [ssimulacra2(drawing, codec.decode(file)) for file in (found, lossy)]
    assert scores[0] > scores[1]


def test_grey_and_transparency(codec, drawing):
    grey = np.ascontiguousarray(drawing[..., 1])
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:20] = 7
    found = codec.encode(Picture(grey, alpha), quality=80)
    assert found.report.colours is not None
    back = codec.decode_picture(found)
    assert back.pixels.shape == grey.shape
    assert np.array_equal(back.alpha, alpha)


def test_large_pictures_are_compared_in_windows(codec, drawing, monkeypatch):
    monkeypatch.setattr(few_colours, "EDGE", 64)
    monkeypatch.setattr(few_colours, "WINDOWS", 2)
    assert few_colours._windows(192, 192, True) == [(slice(0, 192), slice(0, 192))]
    windows = few_colours._windows(192, 192, False)
    assert windows == [
        (slice(0, 64), slice(0, 64)), (slice(64, 128), slice(128, 192))
    ]  # fmt: skip
    assert codec.encode(drawing).report.colours is not None


def test_pictures_that_are_not_joined(codec, drawing, monkeypatch):
    assert codec.encode(drawing[:5]).report.colours is None  # too small to be measured
    assert codec.encode(drawing, lossless=False).report.colours is None
    plain = np.where(drawing > 100, 255, 0).astype(np.uint8)
    assert codec.encode(plain).report.colours is None
    monkeypatch.setattr(few_colours, "MOST_PIXELS", 1000)
    assert codec.encode(drawing).report.colours is None


def test_a_chunk_of_another_length_is_refused():
    with pytest.raises(FormatError, match="chunk coLs has 3 bytes, not 4"):
        Joined.of([(KIND, b"123")])
    assert Joined.of([(b"exiF", b"")]) is None
    assert Joined.of([Joined(12, 45219).chunk()]) == (12, 45219)

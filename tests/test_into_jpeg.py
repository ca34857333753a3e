"""JPEG files that are best once they are restored."""

import io
import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from test_restoring import jpeg, photograph

import imgcodec
from imgcodec import restoring
from imgcodec.errors import AicError, AicWarning, ImageError
from imgcodec.into_jpeg import JpegMaker
from imgcodec.jpeg import forward, reading
from imgcodec.metrics import psnr
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import from_pil
from imgcodec.restoring import Restorer


@pytest.fixture(scope="module")
def restorer():
    return Restorer()


@pytest.fixture(scope="module")
def maker(restorer):
    return JpegMaker(restorer)


def usual(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(("quality", "gain_db"), [(1, -0.02), (40, 0.03), (95, 0.1)])
def test_a_round_makes_what_is_restored_better(maker, restorer, quality, gain_db):
    pixels = photograph(96, 128)
    without, with_one = (maker.encode(Picture(pixels), quality, n) for n in (0, 1))
    before, after = (psnr(pixels, restorer.restore(data)) for data in (without, with_one))
    assert after > before + gain_db
    assert len(with_one) < 1.08 * len(without)


def test_files_beat_those_of_libjpeg_restored_and_plain(maker, restorer):
    pixels = photograph(96, 128)
    theirs = jpeg(pixels, quality=75, optimize=True)
    ours, _ = maker.fit(Picture(pixels), len(theirs))
    assert psnr(pixels, usual(ours)) > psnr(pixels, usual(theirs))
    assert psnr(pixels, restorer.restore(ours)) > psnr(pixels, restorer.restore(theirs)) + 0.3


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (40, 16)])
@pytest.mark.parametrize("grey", [False, True])
def test_all_sizes_and_grey(maker, size, grey):
    pixels = photograph(*size)
    pixels = np.ascontiguousarray(pixels[..., 0]) if grey else pixels
    found = usual(maker.encode(Picture(pixels), 90))
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).mean() < 12


def test_a_size_is_kept_and_nearly_used(maker):
    picture = Picture(photograph(96, 128))
    data, quality = maker.fit(picture, 3000)
    assert 2800 < len(data) <= 3000
    assert (reading.read(data).planes[0].table == forward.table(quality)).all()
    with pytest.raises(AicError, match=r"takes \d+ bytes at quality 1, of 100 at most"):
        maker.fit(picture, 100)
    assert maker.fit(picture, 10**6)[1] == 100


def test_what_jpeg_files_cannot_have_is_refused(maker):
    with pytest.raises(ImageError):
        maker.encode(Picture(np.zeros((1, 70000, 3), np.uint8)), 50)


def test_slopes_are_those_of_the_error(restorer):
    pixels = photograph(48, 64)
    coefficients = reading.read(jpeg(pixels, quality=60))

    def error(plane, place, more):
        planes = list(coefficients.planes)
        blocks = planes[plane].blocks.copy()
        blocks[place] += more
        planes[plane] = planes[plane]._replace(blocks=blocks)
        return squares(coefficients._replace(planes=tuple(planes)))

    def squares(its):
        pieces = restoring._pieces(its, restoring.BLOCKS, restorer._network.config.reach)
        (piece,) = pieces
        coded = restorer._coded(its, piece.near)
        x = restorer._shown(restorer._network(coded), grey=False).numpy()[:48, :64]
        return float(((x.clip(0, 255) - pixels) ** 2).sum())

    slopes = restorer.slopes(coefficients, pixels)
    for plane, place in ((0, (2, 3, 1)), (0, (5, 7, 4)), (1, (1, 1, 0)), (2, (2, 3, 2))):
        rise = (error(plane, place, 1) - error(plane, place, -1)) / 2
        assert slopes[plane][place] == pytest.approx(rise, rel=0.3, abs=200)


@pytest.mark.parametrize("grey", [False, True])
def test_pieces_give_the_slopes_of_the_whole(restorer, grey, monkeypatch):
    pixels = photograph(100, 420)
    pixels = np.ascontiguousarray(pixels[..., 0]) if grey else pixels
    coefficients = reading.read(jpeg(pixels, quality=50))
    whole = restorer.slopes(coefficients, pixels)
    monkeypatch.setattr(restoring, "SLOPE_BLOCKS", (64, 26))
    for one, other in zip(whole, restorer.slopes(coefficients, pixels), strict=True):
        assert np.abs(one - other).mean() < 2e-3 * np.abs(one).mean()


@pytest.mark.parametrize("size", [(1, 1), (33, 50), (64, 96)])
@pytest.mark.parametrize("grey", [False, True])
def test_a_file_of_half_the_size_is_brought_back(maker, restorer, size, grey):
    pixels = photograph(*size)
    pixels = np.ascontiguousarray(pixels[..., 0]) if grey else pixels
    data = maker.encode(Picture(pixels), 90, half=True)
    assert usual(data).shape[:2] == tuple(-(-side // 2) for side in size)
    found = restorer.restore(data)
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).mean() < 12


def test_the_size_that_comes_back_is_limited(maker, restorer):
    data = maker.encode(Picture(photograph(64, 96)), 50, half=True)
    assert restorer.restore(data, 64 * 96).shape == (64, 96, 3)
    with pytest.raises(AicError, match="96x64 pixels, at most 6143 are allowed"):
        restorer.restore(data, 64 * 96 - 1)


def test_a_file_of_half_the_size_fits_with_its_mark(maker):
    data, _ = maker.fit(Picture(photograph(96, 128)), 1500, half=True)
    assert 1200 < len(data) <= 1500


def test_half_the_size_is_better_where_there_are_few_bytes(maker, restorer):
    y, x = np.mgrid[:128, :192]
    plane = 120 + 60 * np.sin(x / 15) * np.cos(y / 21) + 50 * ((x + y) // 41 % 2)
    pixels = np.stack([plane, plane * 0.7 + 30, 220 - plane * 0.6], -1).clip(0, 255)
    picture = Picture(pixels.astype(np.uint8))
    least = len(maker.encode(picture, 1))
    small, _ = maker.fit(picture, least, half=True)
    before, after = (
        psnr(picture.pixels, restorer.restore(data)) for data in (maker.encode(picture, 1), small)
    )
    assert after > before


@contextmanager
def as_float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def test_one_picture_by_the_function_of_the_package():
    pixels = photograph(40, 64)
    assert usual(imgcodec.encode_jpeg(pixels)).shape == pixels.shape
    assert 0.95 * 3 * 40 * 64 / 8 < len(imgcodec.encode_jpeg(pixels, rate=3)) <= 3 * 40 * 64 / 8
    assert len(imgcodec.encode_jpeg(pixels, size=900, half=True)) <= 900
    finest = imgcodec.encode_jpeg(pixels, rate=1e9)
    for asked in ({"rate": math.inf}, {"size": math.inf}):
        assert imgcodec.encode_jpeg(pixels, **asked) == finest
    image = Image.fromarray(pixels)
    image.info["xmp"] = b"<x:xmpmeta/>"
    data = imgcodec.encode_jpeg(image, quality=90, effort=2)
    with Image.open(io.BytesIO(data)) as found:
        assert found.info["xmp"] == b"<x:xmpmeta/>"


def test_what_does_not_fit_into_a_file_is_told(monkeypatch):
    monkeypatch.setattr("imgcodec.into_jpeg.Restorer", lambda **_: None)
    monkeypatch.setattr(JpegMaker, "encode", lambda *_: b"")
    image = Image.fromarray(photograph(8, 8))
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0" + bytes(70_014)
    image.info["xmp"] = b"<x:xmpmeta/>" + b" " * 70_000
    told = r"without exif \(7\d+ bytes, at most 65527 fit into a JPEG file\), xmp \("
    with pytest.warns(AicWarning, match=told):
        imgcodec.encode_jpeg(image)
    with pytest.warns(AicWarning, match=told):
        imgcodec.encode_jpeg(from_pil(image))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rate": 1, "quality": 50}, "only one of"), ({"quality": 0.5}, "quality 0.5, wanted 1"),
        ({"quality": 101}, "quality 101, wanted 1..100"),
        ({"quality": 10**400}, "quality 10*, wanted 1..100"),
        ({"quality": float("nan")}, "quality nan"), ({"rate": 0}, "rate 0, wanted more than 0"),
        ({"size": -3}, "size -3"), ({"rate": float("nan")}, "rate nan"),
        ({"effort": 0}, "effort 0, wanted 1..9"), ({"size": 100}, "of 100 at most"),
        ({"quality": "best"}, "quality of str, wanted"), ({"rate": "low"}, "rate of str"),
        ({"effort": "all"}, "effort of str, wanted 1..9"),
            ({"quality": True}, "quality of bool, wanted 1..100"),
            ({"half": "no"}, "half 'no', wanted True or False"),
    ],
)  # fmt: skip
def test_options_of_the_function_are_checked(options, told):
    with pytest.raises(AicError, match=told):
        imgcodec.encode_jpeg(photograph(40, 64), **options)


def test_what_is_no_picture_is_refused():
    clear = Picture(photograph(4, 4), np.zeros((4, 4), np.uint8))
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ImageError, match="wanted"):
            imgcodec.encode_jpeg(image)
    with pytest.raises(ImageError, match="transparent"):
        imgcodec.encode_jpeg(clear)
    for damaged in (Picture(None), Picture(photograph(4, 4), None, None)):
        with pytest.raises(ImageError, match="wanted"):
            imgcodec.encode_jpeg(damaged)


def test_what_is_opaque_all_over_is_not_transparent():
    pixels = photograph(16, 24)
    opaque = Picture(pixels, np.full((16, 24), 255, np.uint8))
    assert imgcodec.encode_jpeg(opaque) == imgcodec.encode_jpeg(pixels)


@pytest.mark.parametrize(
    "setting", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu"), as_float64]
)
def test_settings_of_the_program_change_nothing(setting):
    pixels = photograph(24, 32)
    wanted = imgcodec.encode_jpeg(pixels)
    restored = imgcodec.restore(wanted)
    with setting():
        assert imgcodec.encode_jpeg(pixels) == wanted
        np.testing.assert_array_equal(imgcodec.restore(wanted), restored)

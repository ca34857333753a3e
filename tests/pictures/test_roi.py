"""Regions of interest: bits go where errors weigh more, and the file stays as large."""

import itertools

import numpy as np
import pytest
from PIL import Image

from imgcodec import metrics
from imgcodec.errors import AicError, ImageError
from imgcodec.format import container
from imgcodec.format.tiles import Box
from imgcodec.pictures import reader
from imgcodec.pictures.roi import Roi

INNER = Box(40, 64, 104, 160)


def mask_of(height, width, inner):
    mask = np.zeros((height, width), np.uint8)
    mask[inner.within(Box(0, 0, 0, 0))] = 255
    return mask


@pytest.mark.parametrize("size", [(136, 200), (9, 17), (131, 197), (2000, 24)])
@pytest.mark.parametrize("weight", [8, 2, 0.25, 1])
def test_a_box_is_a_mask(size, weight):
    height, width = size
    for inner in (Box(0, 0, height, width), Box(height // 3, 3, height // 2 + 1, width - 5)):
        one = Roi.box(height, width, inner, weight)
        two = Roi.mask(mask_of(height, width, inner), weight)
        assert one.shifts.shape == (-(-height // 8), -(-width // 8))
        np.testing.assert_array_equal(one.shifts, two.shifts)
        if weight == 1:
            assert not one.shifts.any()


def test_levels_are_logarithms_of_the_weight():
    shifts = Roi.box(136, 200, INNER, 8).shifts
    assert set(shifts.flatten().tolist()) == {-2.0, 1.0}
    assert (shifts[5:13, 8:20] == 1).all()
    soft = Roi.mask(np.repeat(np.uint8([0, 128, 255]), 8)[None].repeat(8, 0), 16).shifts
    np.testing.assert_array_equal(soft, [[-2, 0, 2]])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_levels_stay_where_nothing_stands_out(value):
    assert not Roi.mask(np.full((16, 16), value, np.uint8), 16).shifts.any()


@pytest.mark.parametrize("weight", [1024, 100, 1 / 100])
def test_a_weight_counts_no_more_than_helps(weight):
    found = Roi.box(136, 200, INNER, weight)
    same = Roi.box(136, 200, INNER, 64 if weight > 1 else 1 / 64)
    np.testing.assert_array_equal(found.shifts, same.shifts)
    assert set(found.shifts.flatten().tolist()) == {-3.0, 3.0}


def test_shifts_that_are_none():
    with pytest.raises(AicError, match="nan or inf"):
        Roi(np.full((2, 2), np.nan, np.float32))


@pytest.mark.parametrize("weight", [0, -1, 1e-9, 1e9, 10**400, float("nan"), True, "8", None])
def test_weights_that_are_none(weight):
    with pytest.raises(AicError, match="weight"):
        Roi.box(64, 64, Box(0, 0, 8, 8), weight)


def test_a_mask_of_bool_is_one_of_255():
    mask = mask_of(136, 200, INNER)
    np.testing.assert_array_equal(Roi.mask(mask > 0).shifts, Roi.mask(mask).shifts)


@pytest.mark.parametrize(
    "mask",
    [
        None,
        [[255, 0], [0, 0]],
        np.ones((16, 16)),
        np.ones((16, 16), np.uint16),
        np.ones((16, 16, 3), np.uint8),
        np.ones(16, np.uint8),
        np.ones((0, 16), np.uint8),
    ],
)
def test_masks_that_are_none(mask):
    with pytest.raises(AicError, match="a mask .*, wanted uint8"):
        Roi.mask(mask)


@pytest.mark.parametrize("size", [(136, 192), (128, 200), (64, 64), (134, 200)])
def test_pictures_of_another_size(textured, size):
    roi, whole, other = Roi.box(136, 200, INNER), textured(136, 200), textured(*size)
    for pair in ((whole, other), (other, other), (other, whole)):
        with pytest.raises(AicError, match="of another size"):
            roi.psnrs(*pair)


@pytest.mark.parametrize("inner", [Box(8, 8, 8, 16), Box(8, 8, 16, 8)])
def test_boxes_without_pixels(inner):
    with pytest.raises(AicError, match="has no pixels"):
        Roi.box(64, 64, inner)


@pytest.mark.parametrize("inner", [Box(0, 0, 65, 8), Box(-8, 0, 8, 8), Box(64, 8, 72, 16)])
def test_boxes_that_leave_the_picture(inner):
    with pytest.raises(AicError, match="leaves the picture, 64x64 pixels"):
        Roi.box(64, 64, inner)


@pytest.mark.parametrize("tile", [None, 64])
def test_bits_go_inside(tiny_codec, textured, tile):
    picture = textured(136, 200)
    roi = Roi.box(136, 200, INNER)
    found = []
    for words in ({}, {"roi": roi}):
        data = tiny_codec.encode(picture, 0.5, tile=tile, **words)
        report = data.report
        assert 0.96 * 0.5 <= report.bpp <= 0.5
        found.append(roi.psnrs(picture, tiny_codec.decode(data)))
    assert found[1][0] > found[0][0] + 0.3
    assert found[1][1] < found[0][1] - 0.2


def test_psnrs_are_those_of_the_pixels(textured):
    picture = textured(136, 200)
    worse = picture.copy()
    worse[40:104, 64:160] ^= 8
    inside, outside = Roi.box(136, 200, INNER).psnrs(picture, worse)
    assert outside == float("inf")
    part = (slice(40, 104), slice(64, 160))
    assert inside == pytest.approx(metrics.psnr(picture[part], worse[part]))
    grey = np.repeat(picture[..., :1], 3, 2)
    for one, other in itertools.combinations((picture[..., 0], grey, Image.fromarray(grey)), 2):
        for pair in ((one, other), (other, one), (other, other), (one, one)):
            assert Roi.box(136, 200, INNER).psnrs(*pair) == (float("inf"),) * 2


def test_a_region_that_weighs_less_is_inside(textured):
    picture = textured(136, 200)
    worse = picture.copy()
    worse[40:104, 64:160] ^= 8
    for weight in (4, 0.25):
        inside, outside = Roi.box(136, 200, INNER, weight).psnrs(picture, worse)
        assert (inside < 100, outside) == (True, float("inf"))


def test_the_region_of_another_picture_is_refused(tiny_codec, textured):
    with pytest.raises(AicError, match="another size"):
        tiny_codec.encode(textured(64, 64), 1.0, roi=Roi.box(136, 200, INNER))
    with pytest.raises(AicError, match="another size"):  # with as many places of 8x8 pixels
        tiny_codec.encode(textured(134, 200), 1.0, roi=Roi.box(136, 200, INNER))


def test_what_is_no_array_of_samples_is_refused(textured):
    pixels = textured(64, 64)
    masked = np.ma.masked_equal(pixels, 0)
    roi = Roi.box(64, 64, Box(0, 0, 8, 8))
    for image, why in ((masked, "masked"), (Image.fromarray(pixels).quantize(4), "of mode P")):
        with pytest.raises(ImageError, match=why):
            roi.psnrs(pixels, image)
    with pytest.raises(ImageError, match="masked"):
        Roi.mask(masked[..., 0])


@pytest.mark.parametrize("none", [None, "picture", [[1.0]]])
def test_a_psnr_of_what_is_no_picture_is_refused(textured, none):
    roi, picture = Roi.box(136, 200, INNER), textured(136, 200)
    for pair in ((none, picture), (picture, none)):
        with pytest.raises(ImageError, match="wanted uint8"):
            roi.psnrs(*pair)


def test_masks_from_files(tmp_path):
    mask = mask_of(136, 200, INNER)
    Image.fromarray(mask).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([mask, 0 * mask, mask])).save(tmp_path / "colour.png")
    wanted = Roi.box(136, 200, INNER, 4).shifts
    for name in ("grey.png", "colour.png"):
        found = reader.read_roi(tmp_path / name, None, 4, (136, 200, 3))
        np.testing.assert_array_equal(found.shifts, wanted)
    box = reader.read_roi(None, (64, 40, 96, 64), 4, (136, 200))
    np.testing.assert_array_equal(box.shifts, wanted)
    with pytest.raises(ImageError, match=r"grey.png: 200x136 pixels, the picture has 64x64"):
        reader.read_roi(tmp_path / "grey.png", None, None, (64, 64))


def test_a_file_of_a_region_is_an_ordinary_one(tiny_codec, textured):
    data = tiny_codec.encode(textured(136, 200), 0.7, roi=Roi.box(136, 200, INNER))
    _, tiles, chunks = container.unpack(data)
    assert (len(tiles), chunks) == (1, [])


@pytest.mark.parametrize(
    "roi",
    [
        Roi.box(136, 200, Box(0, 0, 136, 200)),
        Roi.box(136, 200, INNER, 1),
        Roi.mask(np.zeros((136, 200), np.uint8)),
    ],
)
def test_a_region_that_stands_out_nowhere_has_no_outside(textured, roi):
    picture = textured(136, 200)
    worse = picture ^ 8
    inside, outside = roi.psnrs(picture, worse)
    assert inside == metrics.psnr(picture, worse)
    assert np.isnan(outside)

"""Coefficients that become a file again, and pixels that become coefficients."""

import io

import numpy as np
import pytest
from jpeg_files import jpeg, opened, picture
from PIL import Image

from imgcodec.jpeg import forward, pixels, reading, writing

EXIF_LIKE = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + b"\xff\xc4\0\x03\0\xff\xc2\xff\xda"


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("quality", [5, 90])
@pytest.mark.parametrize("size", [(75, 117), (8, 8), (1, 40)])
def test_a_refilled_file_holds_the_coefficients_and_what_it_held(mode, quality, size):
    old = jpeg(picture(*size), mode, quality=quality, exif=EXIF_LIKE)
    parts, blocks, _ = opened(old)
    empty = Image.new(mode, size[::-1])
    file = io.BytesIO()
    with Image.open(io.BytesIO(old)) as its:
        tables = [its.quantization[i] for i in its.quantization]
    empty.save(file, "JPEG", progressive=True, qtables=tables, exif=EXIF_LIKE)
    new = writing.refilled(file.getvalue(), blocks)
    with Image.open(io.BytesIO(old)) as usual, Image.open(io.BytesIO(new)) as found:
        assert np.array_equal(np.asarray(usual), np.asarray(found))
        assert found.info["exif"] == EXIF_LIKE
        assert found.info["progressive"]
    for one, other in zip(reading.read(old).planes, reading.read(new).planes, strict=True):
        assert np.array_equal(one.blocks, other.blocks)
    assert parts.frame.height == reading.read(new).height


def test_scans_take_fewer_bytes_than_optimised_ones_of_libjpeg():
    optimised = jpeg(picture(200, 300), quality=60, optimize=True)
    empty = jpeg(np.zeros((200, 300, 3), np.uint8), quality=60, progressive=True)
    assert len(writing.refilled(empty, opened(optimised)[1])) < len(optimised)


@pytest.mark.parametrize("factors", [(1, 1), (2, 2)])
@pytest.mark.parametrize("size", [(64, 96), (75, 117), (1, 1), (300, 20)])
def test_coefficients_are_those_of_the_pixels(size, factors):
    original = picture(*size) // 8 * 8 if factors == (1, 1) else np.full((*size, 3), 90, np.uint8)
    ones = np.ones(64, np.int64)
    planes = tuple(
        reading.Plane(np.rint(its).astype(np.int16), ones, factors if number else (1, 1))
        for number, its in enumerate(forward.levels(original, factors))
    )
    found = pixels.rgb(reading.Coefficients(*size, planes))
    assert np.abs(found - original).max() < 4
    grey = forward.levels(original[..., 0], factors)
    assert len(grey) == 1
    plane = (reading.Plane(np.rint(grey[0]).astype(np.int16), ones, (1, 1)),)
    found = pixels.rgb(reading.Coefficients(*size, plane))
    assert np.abs(found - original[..., 0]).max() < 4


def test_steps_go_with_quality_as_those_of_libjpeg_do():
    for quality in (7, 30, 50, 75, 96):
        theirs = jpeg(quality=quality, qtables=[list(forward.TABLE_50)])
        with Image.open(io.BytesIO(theirs)) as file:
            assert file.quantization[0] == forward.table(quality).tolist()
    assert (forward.table(100) == 1).all()
    assert forward.table(1).min() == 255
    assert (forward.table(75) <= forward.table(74.75)).all()

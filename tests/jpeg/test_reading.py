"""Coefficients of JPEG files: what is read, and what is refused."""

import re

import numpy as np
import pytest
from jpeg_files import jpeg, opened

from imgcodec.errors import AicError, DamageError, ImageError
from imgcodec.jpeg import packing, reading
from imgcodec.jpeg.syntax import ZIGZAG


@pytest.mark.parametrize(
    ("subsampling", "factors"), [(0, (1, 1)), (1, (1, 2)), (2, (2, 2)), ("4:4:0", (2, 1))]
)
@pytest.mark.parametrize("progressive", [False, True])
def test_coefficients_are_those_of_the_file(subsampling, factors, progressive):
    data = jpeg(quality=60, subsampling=0 if factors == (2, 1) else subsampling,
                progressive=progressive)  # fmt: skip
    if factors == (2, 1):
        data = turned_sampling(jpeg(quality=60, subsampling=1, progressive=progressive))
    found = reading.read(data)
    assert [plane.factors for plane in found.planes] == [(1, 1), factors, factors]
    parts, blocks, _ = opened(data)
    for plane, component in zip(found.planes, parts.frame.components, strict=True):
        part = plane.coefficients(slice(1, 3), slice(2, 5))
        assert part.shape == (64, 2, 3)
        number = component.first + 2 * component.columns + 4
        assert np.array_equal(part[ZIGZAG, 1, 2], blocks[number])
        assert np.array_equal(plane.table[ZIGZAG], plane.steps)
        assert plane.table[0] == plane.steps[0]


def turned_sampling(data):
    """A file whose header says 1x2 in place of 2x1, of a picture that then has other sides."""
    at = re.search(rb"\xff[\xc0\xc2]", data).start()
    height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
    head = data[: at + 5] + width + height + data[at + 9 :]
    assert head[at + 11] == 0x21
    return head[: at + 11] + b"\x12" + head[at + 12 :]


def test_grey_has_one_plane():
    found = reading.read(jpeg(mode="L"))
    assert (found.height, found.width) == (75, 117)
    assert [plane.blocks.shape for plane in found.planes] == [(10, 15, 64)]


def without_height(data):
    """The file with a frame header of no lines, as where their number follows the first scan."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + bytes(2) + data[at + 2 :]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (jpeg(mode="CMYK"), "4 components (CMYK) are not supported"),
        (jpeg(keep_rgb=True), "its colours are RGB, not Y, Cb and Cr"),
        (jpeg()[:-40], "the coded data of a scan"),
        (without_height(jpeg()), "a number of lines that is not in the frame header"),
        (b"", "not a JPEG file"),
        (b"\xff\xd8\xff\xd9", "no picture in it"),
    ],
    ids=["CMYK", "RGB", "cut", "no height", "empty", "no picture"],
)
def test_what_is_not_read_is_refused(data, why):
    with pytest.raises(ImageError, match=re.escape(why)):
        reading.read(data)


@pytest.mark.parametrize("data", [jpeg(), jpeg(progressive=True), jpeg(mode="CMYK")])
def test_the_end_may_be_missing_but_no_scan(data):
    assert reading.lacking(data) == ()
    for cut in (data[:-2], data[:-1]):  # all of its marker, and half of it
        reading.check(cut)
        assert len(reading.lacking(cut)) == 1
        assert packing.unpack(packing.pack(cut)) == cut
    for found in list(re.finditer(rb"\xff\xda", data))[1:]:
        with pytest.raises(DamageError, match="ends before its last scan"):
            reading.check(data[: found.start()])
        reading.check(data[: found.start()] + data[-2:])  # which is meant to have no more


def test_restart_markers_of_the_wrong_number_are_damage():
    data = jpeg(restart_marker_blocks=2).replace(b"\xff\xd3", b"\xff\xd4")
    with pytest.raises(DamageError, match="restart intervals of a scan are not in their order"):
        reading.read(data)


def test_bytes_that_fill_up_before_restart_markers_are_no_damage():
    data = jpeg(restart_marker_blocks=2)
    filled = re.sub(rb"\xff[\xd0-\xd7]", lambda found: b"\xff\xff" + found[0], data)
    wanted, found = reading.read(data), reading.read(filled)
    for one, other in zip(wanted.planes, found.planes, strict=True):
        np.testing.assert_array_equal(one.blocks, other.blocks)
    with pytest.raises(ImageError, match="it is coded in an unusual way"):
        packing.pack(filled)


def test_odd_samplings_and_steps_of_zero_are_refused():
    data = jpeg(subsampling=0)
    at = data.index(b"\xff\xc0")
    odd = data[: at + 11] + b"\x31" + data[at + 12 :]
    with pytest.raises(ImageError, match="sampling factors 3x1, 1x1, 1x1 are not supported"):
        reading.read(odd)
    at = data.index(b"\xff\xdb")
    with pytest.raises(ImageError, match="a step of zero"):
        reading.read(data[: at + 5] + b"\0" + data[at + 6 :])


def test_too_many_pixels_are_refused_before_any_work():
    with pytest.raises(AicError, match="117x75"):
        reading.read(jpeg(), max_pixels=117 * 75 - 1)
    assert reading.read(jpeg(), max_pixels=117 * 75).width == 117
    data = jpeg()
    at = data.index(b"\xff\xc0")
    large = data[: at + 5] + b"\x40\x00\x40\x00" + data[at + 9 :]
    with pytest.raises(ImageError, match="cannot hold"):
        reading.read(large)


def test_names_of_components_may_say_that_they_are_rgb():
    """As libjpeg has it: where neither JFIF nor Adobe say what they are."""
    data = jpeg(subsampling=0, keep_rgb=True)
    at = data.index(b"\xff\xee")
    bare = data[:at] + data[at + 16 :]
    with pytest.raises(ImageError, match="RGB"):
        reading.read(bare)

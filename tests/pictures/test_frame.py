"""Parts and sizes of pictures: those of Pillow, and what metadata say of them."""

import struct

import numpy as np
import pytest
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.format import exif
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.frame import Frame
from imgcodec.pictures.picture import Picture

LANCZOS = Image.Resampling.LANCZOS


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("crop", "resize", "shape"),
    [
        (None, None, (30, 40)),
        (None, (20, 20), (20, 20)),
        (None, (20, 0), (15, 20)),
        (None, (0, 60), (60, 80)),
        (None, (1, 0), (1, 1)),
        (None, 50.0, (15, 20)),
        (None, 1.0, (1, 1)),
        ((4, 2, 10, 5), None, (5, 10)),
        ((4, 2, 10, 5), 200.0, (10, 20)),
        ((30, 25, 10, 5), (20, 0), (10, 20)),
    ],
)
def test_sizes(pixels, crop, resize, shape):
    frame = Frame(crop, resize)
    assert frame.shape(30, 40) == shape
    assert frame.applied(Picture(pixels)).pixels.shape == (*shape, 3)


@pytest.mark.parametrize("crop", [(31, 0, 10, 5), (0, 26, 10, 5), (0, 0, 41, 1), (99, 99, 1, 1)])
def test_parts_that_leave_the_picture_are_refused(pixels, crop):
    with pytest.raises(ImageError, match="leaves the picture, 40x30 pixels"):
        Frame(crop).applied(Picture(pixels))


def test_sides_that_get_too_long_are_refused(pixels):
    assert Frame(None, (65535, 1)).shape(30, 40) == (1, 65535)
    for resize, picture in (((0, 65535), pixels), ((65535, 0), pixels[:, :20]), (1e6, pixels)):
        with pytest.raises(ImageError, match="65535 a side at most"):
            Frame(None, resize).applied(Picture(picture))


@pytest.mark.parametrize("grey", [False, True])
def test_samples_are_those_of_pillow(pixels, grey):
    pixels = pixels[..., 0].copy() if grey else pixels
    found = Frame((4, 2, 30, 20), (17, 9)).applied(Picture(pixels))
    wanted = Image.fromarray(pixels).crop((4, 2, 34, 22)).resize((17, 9), LANCZOS)
    assert np.array_equal(found.pixels, np.array(wanted))
    assert found.alpha is None


@pytest.mark.parametrize("grey", [False, True])
def test_what_nobody_sees_does_not_shine_through(pixels, grey):
    pixels = np.full_like(pixels[..., 0] if grey else pixels, 80)
    pixels[:, 20:] = 255  # invisible
    alpha = np.where(np.arange(40) < 20, 255, 0).astype(np.uint8)[None].repeat(30, 0)
    found = Frame(None, 50.0).applied(Picture(pixels, alpha))
    assert found.pixels.shape[:2] == found.alpha.shape == (15, 20)
    assert np.array_equal(found.alpha, np.array(Image.fromarray(alpha).resize((20, 15), LANCZOS)))
    assert np.abs(found.pixels[found.alpha > 20].astype(int) - 80).max() <= 6


def test_a_part_of_which_all_is_seen_is_opaque(pixels):
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:, :20] = 7
    for resize in (None, 200.0):
        assert Frame((20, 0, 20, 30), resize).applied(Picture(pixels, alpha)).alpha is None
        assert Frame((19, 0, 20, 30), resize).applied(Picture(pixels, alpha)).alpha is not None


def test_proportions():
    assert not Frame((0, 0, 10, 10), (7, 7)).distorts(30, 40)
    assert not Frame(None, (13, 10)).distorts(30, 40)  # 13.3
    assert Frame(None, (12, 10)).distorts(30, 40)
    assert not Frame((0, 0, 3, 3)).distorts(30, 40)


def test_what_stays_as_it_is_keeps_its_metadata(pixels):
    picture = Picture(pixels, metadata=Metadata(exif=b"II*\0"))
    assert Frame(None, (40, 30)).applied(picture) is picture
    assert Frame(WHOLE).applied(picture) is picture


def test_a_part_is_as_little_rounded_as_the_picture(pixels):
    unrounded = pixels.astype(np.float16)
    picture = Picture(pixels, unrounded=unrounded)
    found = Frame((4, 2, 10, 5)).applied(picture).unrounded
    assert np.array_equal(found, unrounded[2:7, 4:14])
    assert Frame((4, 2, 10, 5), 50.0).applied(picture).unrounded is None
    assert Frame(None, (30, 40)).applied(picture).unrounded is None
    assert Frame(WHOLE, 50.0).applied(picture).unrounded is None


WHOLE = 0, 0, 40, 30


def sides(kind):
    """EXIF with width and height, of a type, in its first directory; and a thumbnail."""
    form = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    first = struct.pack("<H", 2)
    for tag, value in ((0x0100, 40), (0x0101, 30)):
        first += struct.pack(f"<HHI{form}", tag, kind, 1, value)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 68, 0x0202, 4, 1, 4, 0)
    return (
        struct.pack("<4sI", b"II*\0", 8) + first + struct.pack("<I", 38) + second + b"\xff\xd8xx"
    )


@pytest.mark.parametrize("kind", [1, 3, 4])
def test_exif_tells_the_new_sides_and_has_no_thumbnail(kind):
    before = sides(kind)
    after = exif.framed(before, WHOLE, 7, 9)
    assert (
        after
        == before[:18]
        + bytes([9])
        + before[19:30]
        + bytes([7])
        + before[31:34]
        + bytes(4)
        + before[38:-4]
    )
    assert Metadata(exif=before, xmp=b"x").framed(WHOLE, 7, 9) == Metadata(exif=after, xmp=b"x")


def test_sides_that_a_type_does_not_hold_stay():
    after = exif.framed(sides(1), WHOLE, 7, 300)
    assert (after[18], after[30]) == (40, 7)


@pytest.mark.parametrize("length", range(0, 72, 3))
def test_damaged_exif_stays_harmless(length):
    assert isinstance(exif.framed(sides(3)[:length], WHOLE, 7, 9), bytes)


def subjects(*numbers):
    """EXIF of a picture whose subject is there, and behind it another tag."""
    found = Image.Exif()
    found[0x8769] = {0x9209: 1, 0x9214: numbers, 0xA001: 1, 0xA214: numbers[:2]}
    return found.tobytes()[6:]


def inner_of(data):
    found = Image.Exif()
    found.load(data)
    return found.get_ifd(0x8769)


@pytest.mark.parametrize("sides", [(), (6,), (8, 4)])
def test_the_subject_moves_with_the_part(pixels, sides):
    pixels = np.zeros_like(pixels)
    pixels[14:16, 20:22] = 255
    picture = Picture(pixels, metadata=Metadata(exif=subjects(20, 14, *sides)))
    for frame, scale in (
        (Frame((10, 5, 25, 20)), 1),
        (Frame((10, 4, 24, 20), 50.0), 0.5),
        (Frame(None, (80, 60)), 2),
    ):
        found = frame.applied(picture)
        inner = inner_of(found.metadata.exif)
        x, y = inner[0xA214]
        assert found.pixels[y, x].min() > 200
        own = tuple(round(side * scale) for side in sides)
        assert inner == {0x9209: 1, 0x9214: (x, y, *own), 0xA001: 1, 0xA214: (x, y)}


def test_a_subject_outside_of_the_part_is_no_more(pixels):
    picture = Picture(pixels, metadata=Metadata(exif=subjects(20, 14, 8, 4)))
    for crop in ((0, 0, 20, 30), (21, 0, 10, 30), (0, 0, 40, 14), (0, 15, 40, 15)):
        found = Frame(crop).applied(picture)
        assert inner_of(found.metadata.exif) == {0x9209: 1, 0xA001: 1}
    assert inner_of(Frame((20, 14, 1, 1)).applied(picture).metadata.exif)[0xA214] == (0, 0)


def test_a_subject_beyond_what_exif_can_tell_stays_within():
    found = exif.framed(subjects(60000, 14, 8, 4), (0, 0, 60001, 30), 30, 120002)
    assert inner_of(found)[0xA214] == (65535, 14)


@pytest.mark.parametrize("length", range(0, 120, 3))
def test_damaged_subjects_stay_harmless(length):
    assert isinstance(exif.framed(subjects(20, 14, 8, 4)[:length], (0, 0, 4, 4), 7, 9), bytes)


def test_xmp_tells_the_new_sides(pixels):
    packet = b"<x tiff:ImageWidth='40'><exif:PixelYDimension>30</exif:PixelYDimension></x>"
    found = Frame(None, 50.0).applied(Picture(pixels, metadata=Metadata(xmp=packet)))
    assert found.metadata.xmp == packet.replace(b"40", b"20").replace(b"30", b"15")

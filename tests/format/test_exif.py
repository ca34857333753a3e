"""EXIF and XMP of turned pictures: sides are exchanged, thumbnails on their side are removed."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcodec.format import exif, xmp

LONG, SHORT = 4, 3


def thumbnail():
    file = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(file, "JPEG")
    return file.getvalue()


def directory(order, start, entries, following=0, data=b""):
    """A directory of (tag, type, value) at `start`, with what stands behind it."""
    packed = b""
    for tag, kind, value in entries:
        packed += struct.pack(order + "HHI", tag, kind, 1)
        packed += struct.pack(order + ("HH" if kind == SHORT else "I"), *([value, 0][: 5 - kind]))
    head = struct.pack(order + "H", len(entries))
    return head + packed + struct.pack(order + "I", following) + data


def telephone(order="<", orientation=6, kind=SHORT, small=None, behind=b""):
    """EXIF data as a telephone writes them: sides, a directory Exif, a thumbnail at the end."""
    small = thumbnail() if small is None else small
    outer, inner, second = 8, 8 + 2 + 12 * 4 + 4, 8 + 2 + 12 * 4 + 4 + 2 + 12 * 2 + 4
    behind_all = second + 2 + 12 * 3 + 4
    first = [
        (0x100, LONG, 40),
        (0x101, SHORT, 30),
        (0x112, kind, orientation),
        (0x8769, LONG, inner),
    ]
    more = [(0xA002, kind, 4032), (0xA003, LONG, 3024)]
    of_small = [(0x112, SHORT, orientation), (0x201, LONG, behind_all), (0x202, LONG, len(small))]
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "I", outer)
        + directory(order, outer, first, second)
        + directory(order, inner, more)
        + directory(order, second, of_small, 0, small)
        + behind
    )


def told(data):
    """What Pillow reads: sides, orientation, sides in the directory Exif; is there a thumbnail."""
    found = Image.Exif()
    found.load(data)
    inner = found.get_ifd(0x8769)
    sides = found[0x100], found[0x101], found[0x112], inner[0xA002], inner[0xA003]
    return sides, bool(found.get_ifd(0x0001)) or found._info.next != 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [SHORT, LONG])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_is_seen_in_all_that_tells_of_it(order, kind, orientation):
    data = telephone(order, orientation, kind)
    assert told(data) == ((40, 30, orientation, 4032, 3024), True)
    assert exif.orientation(data) == orientation
    found = exif.upright(data, orientation)
    if orientation == 1:
        assert found == data
    else:
        sides = (40, 30, 1, 4032, 3024) if orientation < 5 else (30, 40, 1, 3024, 4032)
        assert told(found) == (sides, False)
        assert thumbnail() not in found
        assert len(found) == len(data) - len(thumbnail())


def test_what_stands_behind_a_thumbnail_stays_where_it_is():
    data = telephone(behind=b"a maker's own data")
    found = exif.upright(data, 6)
    assert told(found)[1] is False
    assert found.endswith(b"a maker's own data")
    assert len(found) == len(data)


def test_a_thumbnail_that_is_no_jpeg_is_only_unlinked():
    data = telephone(small=b"II*\0 uncompressed")
    found = exif.upright(data, 3)
    assert told(found)[1] is False
    assert len(found) == len(data)


@pytest.mark.parametrize(
    "start",
    [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0", b"\0\0\0\6Exif\0\0", b"\0\0\0\0"],
    ids=["PNG", "JPEG", "twice", "HEIF", "JPEG XL"],
)
def test_words_before_the_structure(start):
    assert exif.tiff_part(start + telephone()) == telephone()


@pytest.mark.parametrize("data", [b"", b"Exif\0\0", b"no exif at all", b"Exif\0\0no such thing"])
def test_what_is_no_structure(data):
    assert exif.tiff_part(data) is None


@given(st.integers(0, 200), st.binary(max_size=40), st.integers(0, 9))
def test_damaged_structures_are_read_as_far_as_they_go(position, noise, turned):
    data = telephone(small=b"\xff\xd8small")
    data = data[:position] + noise + data[position + len(noise) :]
    exif.orientation(data)
    assert len(exif.upright(data, turned, (30, 40))) <= len(data)


PACKET = (
    b'<rdf:Description tiff:Orientation="6" tiff:ImageWidth="40" tiff:ImageLength = "30" kept="1">'
    b"<exif:PixelXDimension>4032</exif:PixelXDimension>"
    b"<exif:PixelYDimension> 3024</exif:PixelYDimension></rdf:Description>"
)


def test_xmp_of_a_turned_picture():
    assert xmp.orientation(PACKET) == 6
    on_its_side = (
        b'<rdf:Description tiff:Orientation="1" tiff:ImageWidth="30" tiff:ImageLength = "40"'
        b' kept="1">'
        b"<exif:PixelXDimension>3024</exif:PixelXDimension>"
        b"<exif:PixelYDimension> 4032</exif:PixelYDimension></rdf:Description>"
    )
    alike = PACKET.replace(b'Orientation="6"', b'Orientation="1"')
    for turned in range(1, 9):
        assert xmp.upright(PACKET, turned) == (on_its_side if turned > 4 else alike)


@pytest.mark.parametrize(
    "packet", [b"", b"<x/>", b'<x tiff:Orientation="x" tiff:ImageWidth="3"/>']
)
def test_xmp_that_says_nothing_stays(packet):
    assert xmp.orientation(packet) is None
    assert xmp.upright(packet, 6) == packet


@pytest.mark.parametrize(
    ("across", "down", "inch", "numbers"),
    [
        (300, 300, True, (300, 300, 2)),
        (299.9994, 150.0124, True, (300, 150, 2)),  # as PNG and BMP count them
        (0.25, 72.5, True, (0.25, 72.5, 2)),
        (2, 1, False, (2, 1, 1)),
    ],
)
def test_a_density_of_its_own(across, down, inch, numbers):
    data = exif.of_density(across, down, inch)
    found = Image.Exif()
    found.load(data)
    assert tuple(found[tag] for tag in (282, 283, 296)) == numbers
    assert len(found) == 3
    assert exif.density(data) == (numbers[:2] if inch else None)
    assert exif.tells_density(data)
    turned = exif.of_density(down, across, inch)
    assert exif.upright(data, 6)[:8] == turned[:8]
    assert exif.density(exif.upright(data, 6)) == exif.density(turned)


def test_densities_that_others_wrote():
    found = Image.Exif()
    found[282], found[283], found[296] = 100, 50, 3  # of a centimetre
    for endian in ("<", ">"):
        found.endian = endian
        data = exif.tiff_part(found.tobytes())
        assert exif.density(data) == (254, 127)
    del found[296]  # inches, then
    assert exif.density(exif.tiff_part(found.tobytes())) == (100, 50)
    assert exif.density(telephone()) is None
    assert not exif.tells_density(telephone())


@given(st.integers(0, 70), st.binary(max_size=8))
def test_damaged_densities_are_not_told(position, noise):
    data = exif.of_density(300, 300, True)
    found = exif.density(data[:position] + noise + data[position + len(noise) :])
    assert found is None or all(0 < value for value in found)


# a density that is added


@pytest.mark.parametrize("behind", [b"", bytes(8), b"x"])
@pytest.mark.parametrize("kind", [SHORT, LONG])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_density_is_added_and_all_else_stays(order, kind, behind):
    data = telephone(order, 6, kind, behind=behind)
    assert not exif.tells_density(data)
    found = exif.with_density(data, 300, 150.5, True)
    assert exif.density(found) == (300, 150.5)
    assert told(found) == told(data)
    turned = exif.upright(found, 6)
    assert exif.density(turned) == (150.5, 300)
    assert told(turned) == told(exif.upright(data, 6))
    assert (thumbnail() in turned) == (behind == b"x")


def test_a_density_is_not_added_to_what_is_damaged():
    for data in (b"", b"II*\0", telephone()[:40], b"II*\0\x08\0\0\0"):
        assert exif.with_density(data, 300, 300, True) is None


@given(st.integers(0, 4), st.binary(max_size=80))
def test_a_density_is_added_to_any_bytes_or_not_at_all(number, rest):
    for start in (b"II*\0\x08\0\0\0%c\0", b"MM\0*\0\0\0\x08\0%c"):
        found = exif.with_density(start % number + rest, 2, 1, False)
        assert (found is None) == (len(rest) < 12 * number + 4)  # entries, and a link
        assert found is None or exif.proportion(found) == 2

"""JPEG XL files: what they are is known before a plugin decodes them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.pictures import reader
from imgcodec.pictures.headers import jxl_header
from imgcodec.pictures.reader import read_picture


def refusal(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(tmp_path / "a")
    return str(caught.value).removeprefix(f"{tmp_path / 'a'}: ")


def jxl(mode, width, height, **options):
    pytest.importorskip("pillow_jxl")
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "JXL", lossless=True, effort=1, **options)
    return file.getvalue()


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize(("mode", "bits"), [("RGB", 8), ("L", 8), ("I;16", 16), ("F", 32)])
@pytest.mark.parametrize(
    "size", [(1, 1), (256, 256), (300, 200), (160, 90), (601, 300), (9, 9000), (2**18 + 1, 1)]
)
def test_the_header_of_jpeg_xl(mode, bits, size, boxed):
    found = jxl_header.read(jxl(mode, *size, use_container=boxed))
    assert found == jxl_header.Header(size[1], size[0], False, bits, 1)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_the_header_of_jpeg_xl_in_boxes_of_any_form(cut):
    """In parts, each with its number; with a length of 64 bits; up to the end of the file."""
    bare = turned_stream(6)
    numbers = bytes(4), b"\x80\0\0\1"
    parts = [
        box(b"jxlp", n + part) for n, part in zip(numbers, (bare[:cut], bare[cut:]), strict=True)
    ]
    long = struct.pack(">I4sQ", 1, b"jxlc", 16 + len(bare)) + bare
    for boxes in (parts[0] + box(b"free", b"") + parts[1], long, bytes(4) + b"jxlc" + bare):
        found = jxl_header.read(jxl_header._BOXED + box(b"ftyp", b"jxl ") + boxes)
        assert found == jxl_header.Header(24, 40, False, 8, 6)


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\xff\x0a\x48", jxl_header._BOXED + bytes(50)])
def test_a_cut_header_of_jpeg_xl_is_refused(tmp_path, data):
    assert refusal(tmp_path, data) == "the JPEG XL header is cut off"


def test_jpeg_xl_is_measured_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.jxl").write_bytes(jxl("L", 64, 32))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("opened"))
    assert reader.size_of(tmp_path / "a.jxl") == (32, 64)
    with pytest.raises(ImageError, match="64x32 pixels, at most 2047 are allowed: --max-pixels"):
        read_picture(tmp_path / "a.jxl", max_pixels=2047)


def test_channels_that_the_plugin_drops_are_told(tmp_path):
    """Of 2x2 pixels of grey, with two channels that do not say what they are."""
    pytest.importorskip("pillow_jxl")
    data = "ff0a081050a003e80014370208400001001c004b188b15820300"
    (tmp_path / "a").write_bytes(bytes.fromhex(data))
    assert read_picture(tmp_path / "a").notes == ("2 further samples of each pixel left out",)
    (tmp_path / "b").write_bytes(jxl("LA", 3, 2))
    assert jxl_header.read((tmp_path / "b").read_bytes()).extra == 1
    assert read_picture(tmp_path / "b").notes == ()


def test_colours_that_are_multiplied_with_alpha_are_refused(tmp_path):
    """Of 2x2 pixels; and with a channel before alpha, whose name is long."""
    pytest.importorskip("pillow_jxl")
    data = bytes.fromhex("ff0a081030004a0800100054004b188b15c201e26da7ce0544002852b472f8ab4700")
    assert jxl_header.read(data).premultiplied
    what = "premultiplied transparency of JPEG XL is not handled"
    assert refusal(tmp_path, data) == what
    # 8x8; not as usual, no extra fields, 8 bits, as they are held, two more channels
    bits = "1" + "00000" + "001" + "0" + "0" + "000" + "1" + "01" + "0000"
    depth = "0" + "10" + "000" + "00" + "11" + "0" * 10 + "0" * 8 * 48  # 48 letters
    for last, premultiplied in (("1", False), ("0" + "00" + "000" + "00" + "00" + "1", True)):
        number = int((bits + depth + last)[::-1], 2) | 1 << len(bits + depth + last) + 7
        bare = number.to_bytes(-(-number.bit_length() // 8), "little")
        found = jxl_header.read(b"\xff\x0a" + bare)
        assert (found.extra, found.premultiplied) == (2, premultiplied)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_srgb_of_jpeg_xl_needs_no_profile(tmp_path, mode):
    """The plugin makes one, of 300 to 500 bytes."""
    (tmp_path / "a.jxl").write_bytes(jxl(mode, 8, 8))
    assert read_picture(tmp_path / "a.jxl").metadata.icc is None


@pytest.mark.parametrize(
    ("colours", "is_srgb"),
    [
        ("1", True),
        ("0 1 00", False),  # a profile
        ("0 0 00 10 10 0 011101", True),
        ("0 0 10 10 0 011101", True),  # grey
        ("0 0 00 10 10 0 010110", False),  # linear
        ("0 0 00 10 10 1" + 24 * " 0", False),  # a gamma
        ("0 0 00 10 011001 0 011101", False),  # the primaries of P3
        ("0 0 00 010001 10 0 011101", False),  # another white
        ("0 0 010000 0 011101", False),  # XYB
        ("0 0 00 10", False),  # cut off
    ],
)
def test_which_jpeg_xl_is_srgb(colours, is_srgb):
    """With names as libjxl has them, the lowest bit first; of 8x8 pixels, with alpha before."""
    for extra in ("00", "10 1", "10 0 00 000 00 00 0"):
        bits = f"1 00000 001 0 0 000 1 {extra} 0 {colours}".replace(" ", "")
        data = int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
        assert jxl_header.is_srgb(b"\xff\x0a" + data) == is_srgb


def test_an_animated_jpeg_xl_is_refused(tmp_path):
    # a size of 8x8; all_default 0, extra_fields 1, orientation, no size nor preview, animation
    bits = "1" + "00000" + "001" + "0" + "1" + "000" + "0" + "0" + "1" + "0" * 40
    data = int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
    assert refusal(tmp_path, b"\xff\x0a" + data) == (
        "holds an animation, save the picture that is meant"
    )


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def box(kind, data):
    return struct.pack(">I4s", len(data) + 8, kind) + data


def turned_stream(orientation):
    """A codestream of 40x24 pixels that says a turn."""
    pytest.importorskip("pillow_jxl")
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JXL", quality=90, use_container=False)
    data = file.getvalue()
    number = int.from_bytes(data[2:4], "little")
    assert number >> 14 == 3  # behind the sides, all is as usual; then comes the frame
    number, at = number & 0x3FFF, 14
    # extra fields: the turn, no size, preview or animation; then 8 bits, and all else as usual
    for value, bits in ((0, 1), (1, 1), (orientation - 1, 3), (0, 6), (1, 1), (0, 2), (7, 3)):
        number, at = number | value << at, at + bits
    number, at = number | 1 << at + 2, at + 3
    return data[:2] + number.to_bytes(-(-at // 8), "little") + data[4:]


def turned(orientation, *boxes):
    """A picture of that codestream, with boxes before it."""
    kind = box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return b"".join([jxl_header._BOXED, kind, *boxes, box(b"jxlc", turned_stream(orientation))])


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x0100], exif[0x0101] = orientation, 40, 24
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("said", [None, 1, 6])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_codestream_alone_says_how_jpeg_xl_is_turned(tmp_path, orientation, said):
    exif = [] if said is None else [box(b"Exif", bytes(4) + exif_of(said))]
    (tmp_path / "a.jxl").write_bytes(turned(orientation, *exif))
    (tmp_path / "upright.jxl").write_bytes(turned(1))
    found, upright = (read_picture(tmp_path / name) for name in ("a.jxl", "upright.jxl"))
    wanted = Image.fromarray(upright.pixels)
    if orientation in TURNS:
        wanted = wanted.transpose(TURNS[orientation])
    assert found.pixels.shape == (wanted.height, wanted.width, 3)
    assert np.abs(found.pixels - np.array(wanted, np.int16)).max() <= 1  # its dither
    if said:
        read = Image.Exif()
        read.load(found.metadata.exif)
        assert (read[0x0112], read[0x0100], read[0x0101]) == (1, *wanted.size)


def test_a_loaded_jpeg_xl_is_turned_no_second_time():
    """As Pillow loads what it saves."""
    data = turned(6, box(b"Exif", bytes(4) + exif_of(6)))
    for opened in (True, False):
        with Image.open(io.BytesIO(data)) as picture:
            if not opened:
                picture.load()
            found = reader.from_pil(picture)
        assert found.shape == (40, 24, 3)
        assert found.metadata.orientation == 1


def brotli(data):
    """A stream of Brotli that holds data as they are."""
    head = (len(data) - 1) << 4 | 1 << 20  # not the last block; 16 bits of length; as they are
    return head.to_bytes(3, "little") + data + b"\x03"


def test_compressed_boxes_of_jpeg_xl_are_told(tmp_path):
    path = tmp_path / "a.jxl"
    inner = ((b"Exif", bytes(4) + exif_of(1)), (b"xml ", b"<x/>"), (b"abcd", b"e"))
    boxes = [box(b"brob", kind + brotli(data)) for kind, data in inner]
    path.write_bytes(turned(1, *boxes, box(b"jhgm", b"map")))
    assert read_picture(path).notes == (
        "not kept: compressed EXIF of JPEG XL, compressed XMP of JPEG XL,"
        " compressed boxes of JPEG XL, the gain map of a brighter picture (HDR)",
    )
    with pytest.raises(ImageError, match="not kept: compressed EXIF"):
        read_picture(path, strict=True)
    path.write_bytes(turned(1, boxes[0], box(b"Exif", bytes(4) + exif_of(1))))
    assert read_picture(path).notes == ()

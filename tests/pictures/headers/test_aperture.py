"""AVIF and HEIF: the part of a picture that is meant, and pixels that are not square."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.pictures.headers.aperture import shape_told
from imgcodec.pictures.headers.colour_codes import colours_told
from imgcodec.pictures.headers.depth import layout
from imgcodec.pictures.headers.parts import boxes
from imgcodec.pictures.reader import from_pil, read_picture, size_of

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 60, 3), np.uint8)


def box(kind, data):
    return struct.pack(">I4s", 8 + len(data), kind) + data


def clap(width, height, right=0, down=0, under=1):
    """A clean aperture; its size and how far its middle is off the picture's, in `under`ths."""
    numbers = [number for over in (width, height, right, down) for number in (over, under)]
    return box(b"clap", struct.pack(">IIIIiIiI", *numbers))


def pasp(across, down):
    return box(b"pasp", struct.pack(">II", across, down))


def inside(data, start=0):
    found = boxes(io.BytesIO(data), start, len(data))
    return [(kind, data[first:last]) for kind, first, last in found]


def with_properties(data, *more):
    """A file of the first of whose items more is said, before any turn."""
    length = sum(map(len, more)) + len(more)
    done = b""
    for kind, body in inside(data):
        if kind == b"meta":
            parts = [_with(*part, more, length) for part in inside(body, 4)]
            body = body[:4] + b"".join(parts)
        done += box(kind, body)
    return done


def _with(kind, body, more, length):
    if kind == b"iprp":
        (_, known), (_, ipma) = inside(body)
        number = len(inside(known))
        count = ipma[10]
        own = ipma[11 : 11 + count]
        turn = inside(known)[-1][0] in (b"irot", b"imir")
        at = len(own) - 1 if turn else len(own)
        new = bytes(number + i + 128 * (one[4:8] == b"clap") for i, one in enumerate(more, 1))
        own = bytes([count + len(more)]) + own[:at] + new + own[at:]
        ipma = ipma[:10] + own + ipma[11 + count :]
        body = box(b"ipco", known + b"".join(more)) + box(b"ipma", ipma)
    elif kind == b"iloc":
        (count,) = struct.unpack_from(">H", body, 6)
        size = 18 if body[5] else 14
        for i in range(count):
            at = 8 + size * i + (4 if body[5] else 6)
            moved = struct.unpack_from(">I", body, at)[0] + length
            body = body[:at] + struct.pack(">I", moved) + body[at + 4 :]
    return box(kind, body)


def told(*parts):
    """What is said by a file whose meta box has these parts, of a picture of 9x9 pixels."""
    return shape_told(opened(*parts))


def opened(*parts):
    """As Pillow opens that file."""
    data = box(b"ftyp", b"avif") + box(b"meta", bytes(4) + b"".join(parts))

    class Opened:
        format, size, fp = "AVIF", (9, 9), io.BytesIO(data)

    return Opened()


def test_a_gain_map_is_told():
    main = box(b"pitm", bytes(4) + b"\0\1")
    own = box(b"iprp", box(b"ipco", b"") + box(b"ipma", bytes(8)))
    for kind, notes in (
        (b"tmap", ("not kept: the gain map of a brighter picture (HDR)",)), (b"av01", ())
    ):  # fmt: skip
        item = box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", 2, 0, kind) + b"\0")
        assert told(main, box(b"iinf", bytes(4) + b"\0\1" + item), own).notes == notes


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("wide", [0, 1])
@pytest.mark.parametrize(("meant", "aspect"), [(7, (1, 2)), (300, (3, 4)), (44, (1, 1))])
def test_only_the_picture_that_is_meant_counts(version, wide, meant, aspect):
    """Of two, and one of which nothing is said; pixels of each have another shape."""
    item = ">I" if version else ">H"
    ipma = bytes([version, 0, 0, wide]) + struct.pack(">I", 2)
    for number, its in ((7, 1), (300, 2)):
        ipma += struct.pack(item, number) + b"\1" + (bytes([128, its]) if wide else bytes([its]))
    main = box(b"pitm", bytes([version, 0, 0, 0]) + struct.pack(item, meant))
    known = box(b"ipco", pasp(1, 2) + pasp(3, 4))
    assert told(main, box(b"iprp", known + box(b"ipma", ipma))).aspect == aspect


@pytest.mark.parametrize(("meant", "words"), [(1, None), (2, "color primaries 9"), (3, None)])
def test_only_its_own_codes_of_colours_count(meant, words):
    """Beside a gain map, there are those of the brighter picture."""
    codes = [
        box(b"colr", b"nclx" + struct.pack(">3HB", *of, 128)) for of in ((1, 13, 6), (9, 16, 9))
    ]
    main = box(b"pitm", bytes(4) + struct.pack(">H", meant))
    ipma = bytes(4) + struct.pack(">I", 2) + b"\0\1\1\1" + b"\0\2\1\2"
    own = box(b"iprp", box(b"ipco", b"".join(codes)) + box(b"ipma", ipma))
    assert colours_told(opened(main, own)) == words


@pytest.mark.parametrize(("meant", "bits"), [(1, 8), (2, 10), (3, 10)])
def test_only_its_own_depth_counts(meant, bits):
    """A gain map may have another; of a picture in tiles these say it."""
    codes = [box(b"av1C", bytes([129, 0, flags, 0])) for flags in (12, 76)]
    main = box(b"pitm", bytes(4) + struct.pack(">H", meant))
    ipma = bytes(4) + struct.pack(">I", 2) + b"\0\1\1\1" + b"\0\2\1\2"
    own = box(b"iprp", box(b"ipco", b"".join(codes)) + box(b"ipma", ipma))
    assert layout(opened(main, own)).bits == bits


def avif(path, *more, orientation=1, pixels=PIXELS):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    path.write_bytes(with_properties(file.getvalue(), *more))
    return path


def heic(path, *more, orientation=1, pixels=PIXELS):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, quality=90, exif=exif.tobytes())
    path.write_bytes(with_properties(file.getvalue(), *more))
    return path


def densities(picture):
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    return tuple(found.get(tag) for tag in (282, 283, 296))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_clean_aperture_is_cut_out_before_the_turn(tmp_path, orientation):
    whole = read_picture(avif(tmp_path / "whole.avif")).pixels
    path = avif(tmp_path / "a.avif", clap(32, 24, -4, 2), orientation=orientation)
    found = read_picture(path, strict=True)
    part = whole[10:34, 10:42]
    turned = {
        1: part, 2: part[:, ::-1], 3: part[::-1, ::-1], 4: part[::-1],
        5: part.swapaxes(0, 1), 6: part[::-1].swapaxes(0, 1),
        7: part[::-1, ::-1].swapaxes(0, 1), 8: part[:, ::-1].swapaxes(0, 1),
    }  # fmt: skip
    assert np.array_equal(found.pixels, turned[orientation])
    assert size_of(path) == (24, 32)
    with Image.open(path) as picture:
        assert np.array_equal(from_pil(picture).pixels, found.pixels)


def test_transparency_is_cut_with_the_picture(tmp_path):
    pixels = np.dstack([PIXELS, RNG.integers(0, 256, (40, 60), np.uint8)])
    whole = read_picture(avif(tmp_path / "whole.avif", pixels=pixels))
    found = read_picture(avif(tmp_path / "a.avif", clap(59, 1, 1, 1, 1), pixels=pixels))
    assert found.notes != ()  # half a pixel off
    found = read_picture(avif(tmp_path / "a.avif", clap(118, 2, 1, 1, 2), pixels=pixels))
    assert np.array_equal(found.pixels, whole.pixels[20:21, 1:])
    assert np.array_equal(found.alpha, whole.alpha[20:21, 1:])


@pytest.mark.parametrize(
    "said",
    [
        clap(63, 40, 0, 0, 2), clap(64, 40), clap(0, 0), clap(1, 1, 1, 1, 0),
        clap(32, 24, 20, 0), clap(32, 24, -20, 0), clap(32, 24, 0, 20), clap(32, 24, 0, -20),
    ],
)  # fmt: skip
def test_an_aperture_that_is_no_part_of_whole_pixels_is_told(tmp_path, said):
    path = avif(tmp_path / "a.avif", said)
    found = read_picture(path)
    assert found.pixels.shape == PIXELS.shape
    assert found.notes == ("its clean aperture is none of whole pixels, and is not kept",)
    with pytest.raises(ImageError, match="clean aperture"):
        read_picture(path, strict=True)


def test_the_whole_picture_as_an_aperture_says_nothing(tmp_path):
    found = read_picture(avif(tmp_path / "a.avif", clap(60, 40), pasp(7, 7)), strict=True)
    assert found.pixels.shape == PIXELS.shape
    assert found.metadata.exif is None


def test_what_the_plugin_for_heif_cut_out_is_not_cut_twice(tmp_path):
    path = heic(tmp_path / "a.heic", pixels=PIXELS[:33, :51])  # coded as 64x64
    found = read_picture(path, strict=True)
    assert found.pixels.shape == (33, 51, 3)
    assert size_of(path) == (33, 51)


@pytest.mark.parametrize("make", [avif, heic])
@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_pixels_that_are_not_square_are_kept(tmp_path, make, orientation):
    found = read_picture(make(tmp_path / "a.xyz", pasp(4, 2), orientation=orientation))
    assert densities(found) == ((1, 2, 1) if orientation < 5 else (2, 1, 1))
    assert found.notes == ()
    width, height = (60, 40) if orientation < 5 else (40, 60)
    assert found.pixels.shape == (height, width, 3)


def test_exif_of_another_proportion_is_told(tmp_path):
    exif = Image.Exif()
    exif[282] = exif[283] = 72
    exif[296] = 2
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF", exif=exif)
    path = tmp_path / "a.avif"
    path.write_bytes(with_properties(file.getvalue(), pasp(1, 2)))
    found = read_picture(path)
    assert densities(found) == (72, 72, 2)
    assert found.notes == ("not kept: pixels of 1 to 2, of which its EXIF data do not tell",)


@pytest.mark.parametrize("at", range(32, 330, 7))
def test_damaged_boxes_end_in_a_picture_or_a_line(tmp_path, at):
    path = avif(tmp_path / "a.avif", clap(32, 24), pasp(1, 2))
    data = bytearray(path.read_bytes())
    for flipped in (1, 128, 255):
        data[at] ^= flipped
        path.write_bytes(data)
        with suppress(ImageError):
            assert read_picture(path).pixels.shape[2] == 3


def test_what_exif_says_of_heif_turns_nothing(tmp_path):
    """The plugin turns by `irot` and `imir`, and forgets what EXIF says beside them."""
    exif = Image.Exif()
    inner = {0xA002: 60, 0xA003: 40, 0x9214: (10, 20)}
    exif[0x0112], exif[0x8769] = 1, inner
    file = io.BytesIO()
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(file, quality=90, exif=exif.tobytes())
    data, upright = file.getvalue(), struct.pack(">HHIH", 0x0112, 3, 1, 1)
    assert data.count(upright) == 1
    (tmp_path / "a.heic").write_bytes(data)
    (tmp_path / "b.heic").write_bytes(data.replace(upright, upright[:-1] + b"\6"))
    one, other = (read_picture(tmp_path / name) for name in ("a.heic", "b.heic"))
    assert np.array_equal(one.pixels, other.pixels)
    assert one.metadata == other.metadata
    found = Image.Exif()
    found.load(other.metadata.exif)
    assert (found[0x0112], found.get_ifd(0x8769)) == (1, inner)

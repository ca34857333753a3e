"""EXIF data through TIFF files: all bytes of them, but for what has no place there."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from imgcodec.format.metadata import Metadata
from imgcodec.pictures.headers.tiff_directories import EXIF, FIRST, Entry, read, written
from imgcodec.pictures.headers.tiff_tags import add_exif
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import from_pil, read_picture
from imgcodec.pictures.writer import left_out, write_image

EIGHT = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, MODEL = Entry(2, b"a maker\0"), Entry(2, b"M1\0")


def exif(order, first=(), inner=()):
    directories = {FIRST: {271: MAKE, 272: MODEL} | dict(first), EXIF: dict(inner)}
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return mark + struct.pack(f"{order}I", 8) + written(order, directories, 8)


def through(tmp_path, data, picture=EIGHT, alpha=None):
    """Write a picture with EXIF data as TIFF; return the file, and what is read of it."""
    path = tmp_path / "a.tif"
    write_image(path, Picture(picture, alpha, Metadata(ICC, data, b"<x/>")), force=True)
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, picture)
    assert found.notes == ()
    assert (found.metadata.icc, found.metadata.xmp) == (ICC, b"<x/>")
    return path.read_bytes(), found.metadata.exif


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_keep_their_types_and_bytes(tmp_path, order):
    inner = {
        0xC000 + kind: Entry(kind, struct.pack(f"{order}3{form}", 1, 2, 3))
        for kind, form in ((1, "B"), (3, "H"), (4, "I"), (6, "b"), (8, "h"), (9, "i"))
    }
    inner |= {0xC00B: Entry(11, struct.pack(f"{order}f", -1.5))}
    inner |= {0xC00C: Entry(12, struct.pack(f"{order}d", 1e-300))}
    inner |= {
        0xA302: Entry(7, struct.pack(f"{order}HH4B", 2, 2, 0, 1, 1, 2))
    }  # a filter's colours
    inner |= {0x829A: Entry(5, struct.pack(f"{order}II", 10, 1250))}  # not in lowest terms
    first = {282: Entry(5, struct.pack(f"{order}II", 72, 0))}
    data = exif(order, first, inner)
    written_file, again = through(tmp_path, data)
    assert again == data
    assert written_file.count(ICC) == 1
    with Image.open(tmp_path / "a.tif") as picture:
        assert picture.tag_v2[259] == 5  # compressed by LZW
        assert picture.tag_v2.prefix == {"<": b"II", ">": b"MM"}[order]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(274, 2, b"1\0"), (282, 2, b"72 dots\0"), (296, 2, b"in\0"), (305, 5, bytes(8))],
)
def test_a_tag_of_another_type_is_left_out_alone(tmp_path, order, tag, kind, value):
    data = exif(order, {tag: Entry(kind, value)}, {0x9003: Entry(2, b"2026:01:02 03:04:05\0")})
    assert left_out("a.tif", Metadata(exif=data)) == [f"EXIF's tags {tag}"]
    assert left_out("a.png", Metadata(exif=data)) == []
    assert through(tmp_path, data)[1] == exif(
        order, inner={0x9003: Entry(2, b"2026:01:02 03:04:05\0")}
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("tag", "value"), [(274, 0), (274, 9), (296, 0), (296, 4)])
def test_a_value_that_tiff_does_not_have_is_left_out_alone(tmp_path, capfd, order, tag, value):
    """Of an orientation of 0, which some cameras write, libtiff speaks to the user."""
    data = exif(order, {tag: Entry(3, struct.pack(f"{order}H", value))})
    assert left_out("a.tif", Metadata(exif=data)) == [f"EXIF's tags {tag}"]
    assert through(tmp_path, data)[1] == exif(order)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_end_with_a_nul(tmp_path, order):
    """Some telephones write none; libtiff drops times without it."""
    date = b"2026:01:02 03:04:05"
    data = exif(order, {271: Entry(2, b"a maker"), 306: Entry(2, date)}, {0x9003: Entry(2, date)})
    ended = Entry(2, date + b"\0")
    assert through(tmp_path, data)[1] == exif(order, {306: ended}, {0x9003: ended})


@pytest.mark.parametrize("order", ["<", ">"])
def test_many_strips_and_transparency(tmp_path, order):
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (700, 400, 3), np.uint8)
    alpha = np.where(np.arange(400) < 9, 0, 255).astype(np.uint8) * np.ones((700, 1), np.uint8)
    data = exif(order)
    assert through(tmp_path, data, many, alpha)[1] == data
    with Image.open(tmp_path / "a.tif") as picture:
        assert len(picture.tag_v2[273]) > 4
    assert np.array_equal(read_picture(tmp_path / "a.tif").alpha, alpha)


def test_the_page_that_is_meant_counts(tmp_path):
    pages = [Image.fromarray(EIGHT), Image.fromarray(EIGHT)]
    pages[1].encoderinfo = {"tiffinfo": {270: "the second"}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], tiffinfo={270: "?"})
    with Image.open(tmp_path / "a.tif") as picture:
        picture.seek(1)
        found = Image.Exif()
        found.load(from_pil(picture).metadata.exif)
        assert found[270] == "the second"


def test_exif_in_bigtiff():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[271], tags[34665] = "a maker", {0x9003: "2026:01:02 03:04:05"}
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "TIFF", tiffinfo=tags, big_tiff=True)
    assert file.getvalue()[:4] == b"II+\0"
    with Image.open(file) as picture:
        found = Image.Exif()
        found.load(from_pil(picture).metadata.exif)
    assert found[271] == "a maker"
    assert found.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"


@pytest.mark.parametrize("noise", [0, 255])
def test_damaged_directories_are_read_as_far_as_they_go(noise):
    data = exif("<", inner={0x9003: Entry(2, b"2026:01:02 03:04:05\0")})
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "TIFF")
    for at in range(len(data)):
        damaged = data[:at] + bytes([noise]) + data[at + 1 :]
        for given in (damaged, data[:at]):
            read(io.BytesIO(given))
            target = io.BytesIO(file.getvalue())
            add_exif(target, given)
            with Image.open(target) as picture:
                assert np.array_equal(picture, EIGHT)


def test_entries_that_share_their_bytes_take_no_more_than_the_file():
    entries = b"".join(struct.pack("<HHII", 40000 + i, 1, 10**6, 8) for i in range(1000))
    data = b"II*\0" + struct.pack("<I", 8 + 10**6) + bytes(10**6)
    data += struct.pack("<H", 1000) + entries + bytes(4)
    first = read(io.BytesIO(data)).directories[FIRST]
    assert sum(len(entry.data) for entry in first.values()) <= len(data)

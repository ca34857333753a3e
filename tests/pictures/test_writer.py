"""Pictures written: exactly, whole or not at all."""

import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from test_reader import opened, pixels

from imgcodec import files
from imgcodec.errors import AicError, ImageError
from imgcodec.pictures import writer
from imgcodec.pictures.arrays import as_colour
from imgcodec.pictures.picture import Picture


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_are_written_exactly(tmp_path, suffix, channels):
    a = pixels(7, 5, channels)
    writer.write_image(tmp_path / f"a{suffix}", a)
    with writer.writing(tmp_path / f"b{suffix}", 7, 5, channels) as take:
        take(as_colour(a[:4]))
        take(as_colour(a[4:]))
    if suffix == ".webp" and channels == 1:
        a = as_colour(a)
    for name in "ab":
        _, found = opened(tmp_path / f"{name}{suffix}")
        np.testing.assert_array_equal(a, found)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_colours_that_nobody_sees_are_written_exactly(tmp_path, suffix):
    a, alpha = pixels(7, 5), pixels(7, 5, 1) & 1
    writer.write_image(tmp_path / f"a{suffix}", Picture(a, alpha))
    _, b = opened(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(np.dstack([a, alpha]), b)


def as_png(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=4, **options)
    return buffer.getvalue()


def test_drawings_in_png_files_are_as_small_as_repeats_make_them(tmp_path):
    tile = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (16, 12, 3))
    array = np.tile(tile, (20, 20, 1))
    writer.write_image(tmp_path / "x.png", array)
    assert (opened(tmp_path / "x.png")[1] == array).all()
    size = (tmp_path / "x.png").stat().st_size
    assert size <= len(as_png(array)) < len(as_png(array, compress_type=zlib.Z_RLE)) / 5


@pytest.mark.parametrize("channels", [1, 3])
def test_photographs_in_png_files_are_searched_for_runs_alone(tmp_path, channels):
    array = pixels(40, 56, channels)
    writer.write_image(tmp_path / "x.png", array)
    data = (tmp_path / "x.png").read_bytes()
    assert data == as_png(array, compress_type=zlib.Z_RLE) != as_png(array)
    assert (opened(tmp_path / "x.png")[1] == array).all()


def test_jpeg_is_written_well(tmp_path):
    y, x = np.mgrid[:64, :64]
    a = np.stack([4 * x, 4 * y, 2 * (x + y)], axis=-1).astype(np.uint8)
    writer.write_image(tmp_path / "a.jpg", a)
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.layer[0][1:3] == (1, 1)  # no chroma subsampling
        assert np.abs(np.asarray(picture).astype(int) - a).max() <= 8


@pytest.mark.parametrize("name", ["a.aic", "a.xyz", "a", "a.gif", ".png"])
def test_unknown_suffix_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ImageError, match=r"suffix '.*' is not one of \.png \.jpg"):
        writer.check_target(tmp_path / name, force=True)
    with pytest.raises(ImageError, match="suffix"):
        writer.write_image(tmp_path / name, pixels(2, 2), force=True)
    assert list(tmp_path.iterdir()) == []


def test_picture_too_large_for_its_format_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"a\.webp: .*16383"):
        writer.write_image(tmp_path / "a.webp", pixels(1, 16384))
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_an_older_tiff_file_is_not_taken_over(tmp_path):
    """GDAL would take it for that of the new picture."""
    path, rest = tmp_path / "a.tif", tmp_path / "a.tif.aux.xml"
    rest.write_text("precious")
    with pytest.raises(AicError, match="a.tif.aux.xml: exists, and is kept without --force"):
        writer.write_image(path, np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == [rest]
    writer.write_image(path, np.zeros((4, 4, 3), np.uint8), force=True)
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "a.png.aux.xml").write_text("of another kind of file")
    writer.write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))


def test_a_link_to_an_aic_file_is_no_place_for_a_picture(tmp_path):
    kept, link = tmp_path / "a.aic", tmp_path / "a.png"
    kept.write_text("precious")
    link.symlink_to(kept)
    with pytest.raises(ImageError, match="a.png: leads to .*a.aic, which is no picture file"):
        writer.write_image(link, np.zeros((4, 4, 3), np.uint8), force=True)
    assert kept.read_text() == "precious"


def test_existing_file_is_kept_without_force(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")
    for write in (
        lambda: files.write_bytes(target, b"new"),
        lambda: writer.write_image(target, pixels(2, 2)),
        lambda: writer.check_target(target, force=False),
    ):
        with pytest.raises(AicError, match=r"a\.png: exists, and is kept without --force$"):
            write()
        assert target.read_bytes() == b"precious"
    writer.check_target(target, force=True)
    files.write_bytes(target, b"new", force=True)
    assert target.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


FULL = """
import resource, sys
import numpy as np
from imgcodec import files
from imgcodec.pictures import arrays, reader, writer
from imgcodec.format import container
from imgcodec.errors import AicError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
rows = np.random.default_rng(0).integers(0, 256, (200, 100, 3), np.uint8)

def by_rows(path):
    with writer.writing(path, 200, 100, 3, True) as take:
        take(rows[:100])
        take(rows[100:])

for path in sys.argv[1:]:
    for write in (lambda path: files.write_bytes(path, bytes(20_000), True), by_rows):
        try:
            write(path)
        except AicError as error:
            print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are POSIX's")
def test_full_disk_leaves_the_old_file(tmp_path):
    """A limit on the size of files stands for the end of the disk."""
    paths = [tmp_path / name for name in ("a.png", "a.tif", "a.ppm", "a.webp")]
    for path in paths:
        path.write_bytes(b"precious")
    words = [sys.executable, "-c", FULL, *map(str, paths)]
    out = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = out.stdout.splitlines()
    assert out.stderr == ""
    assert [line.partition(": ")[0] for line in lines] == [str(p) for p in paths for _ in "12"]
    assert all(line.endswith("file too large") for line in lines), lines
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert {path.read_bytes() for path in paths} == {b"precious"}


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(AicError, match=r"a\.png: there is no folder .*none$"):
        writer.check_target(tmp_path / "none" / "a.png", force=False)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AicError, match=r"there is no folder .*file$"):
        files.write_bytes(tmp_path / "file" / "a", b"")


@pytest.mark.parametrize(("name", "side"), [("a.jpg", 65500), ("a.webp", 16383)])
def test_the_largest_side_of_a_format_is_named(tmp_path, name, side):
    writer.write_image(tmp_path / name, pixels(1, side))
    with pytest.raises(ImageError, match=f"at most {side} a side"):
        writer.write_image(tmp_path / name, pixels(1, side + 1), force=True)

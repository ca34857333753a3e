"""What Pillow and its plugins may do to us: raise anything, and take very many pixels."""

import pytest
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.pictures import reader
from imgcodec.pictures.reader import read_picture


class Panic(BaseException):
    """As those written in Rust raise it."""


@pytest.mark.parametrize("kind", [RuntimeError, AttributeError, AssertionError, Panic])
@pytest.mark.parametrize("place", ["open", "load"])
def test_whatever_a_plugin_raises_is_a_refusal(tmp_path, monkeypatch, kind, place):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")

    def fail(*_):
        raise kind("it is\nbroken.")

    monkeypatch.setattr(*((Image, "open") if place == "open" else (Image.Image, "load")), fail)
    with pytest.raises(ImageError, match="^[^\n]*a.png: it is broken$"):
        read_picture(tmp_path / "a.png")
    if place == "open":
        assert reader.size_of(tmp_path / "a.png") is None


def test_a_damaged_tiff_file_is_refused_in_words(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("L", (64, 64)).save(path, compression="tiff_adobe_deflate")
    data = bytearray(path.read_bytes())
    place = data.index(b"x\x9c")  # of zlib
    data[place : place + 9] = bytes(9)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a.tif: is damaged, or packed in a way"):
        read_picture(path)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_is_passed_on(tmp_path, monkeypatch, kind):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")

    def fail(*_):
        raise kind

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(kind):
        read_picture(tmp_path / "a.png")


def test_the_limit_of_pixels_on_both_sides(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", max_pixels=24).shape == (4, 6)
    with pytest.raises(ImageError, match="a.png: 6x4 pixels, at most 23 are allowed"):
        read_picture(tmp_path / "a.png", max_pixels=23)


def test_a_mask_of_another_size_is_refused_by_its_header(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n32000 32000\n255\n")  # the data are missing
    with pytest.raises(ImageError, match="32000x32000 pixels, the picture has 6x4$"):
        reader.read_roi(tmp_path / "a.pgm", None, None, (4, 6))


def test_a_mask_that_is_turned_fits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (16, 8), 255).save(tmp_path / "a.png", exif=exif)
    assert reader.read_roi(tmp_path / "a.png", None, None, (16, 8)).shifts.shape == (2, 1)
    with pytest.raises(ImageError, match="8x16 pixels, the picture has 16x8"):
        reader.read_roi(tmp_path / "a.png", None, None, (8, 16))

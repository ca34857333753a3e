"""Where pictures that are no GeoTIFF lie: told by them, or by what lies beside them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.errors import ImageError
from imgcodec.pictures.reader import read_picture

rasterio = pytest.importorskip("rasterio")
from rasterio.shutil import copy  # noqa: E402

WORLD = "0.5\n0\n0\n-0.25\n400000.25\n4999999.875\n"
CORNER = [0.5, 0.0, 400000.0, 0.0, -0.25, 5000000.0]  # of the first pixel, in place of its middle


def world(path, end, text=WORLD):
    beside = path.with_suffix(end)
    beside.write_text(text)
    return beside


def told(done):
    return done.exit_code, done.stderr


@pytest.fixture
def picture(tmp_path, textured):
    """Makes a picture file of some name."""

    def make(name, **words):
        path = tmp_path / name
        Image.fromarray(textured(40, 56)).save(path, **words)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "end"),
    [("a.jpg", ".jgw"), ("a.jpeg", ".JGW"), ("a.png", ".pgw"), ("a.png", ".wld"),
     ("a.bmp", ".bpw"), ("a.jp2", ".j2w"), ("a.JPG", ".jgw")],
)  # fmt: skip
def test_world_files_come_back(aic, picture, tmp_path, name, end):
    path = picture(name)
    world(path, end)
    code, errors = told(aic("encode", path, tmp_path / "b.aic"))
    assert code == 0
    assert "georeference" not in errors
    assert aic("decode", tmp_path / "b.aic", tmp_path / "b.tif").exit_code == 0
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert list(dataset.transform)[:6] == CORNER
        assert dataset.crs is None


@pytest.mark.parametrize(("name", "driver"), [("a.jp2", "JP2OpenJPEG"), ("a.jpg", "JPEG")])
def test_what_gdal_writes_comes_back(aic, tmp_path, textured, name, driver):
    """In JPEG 2000 the place is in the file, of JPEG it is in a.jpg.aux.xml."""
    words = {"crs": "EPSG:32633", "transform": rasterio.Affine(*CORNER)}
    pixels = np.moveaxis(textured(40, 56), -1, 0)
    with rasterio.open(
        tmp_path / "a.tif", "w", "GTiff", width=56, height=40, count=3, dtype="uint8", **words
    ) as dataset:
        dataset.write(pixels)
    copy(tmp_path / "a.tif", tmp_path / name, driver=driver)
    code, errors = told(aic("encode", tmp_path / name, tmp_path / "b.aic", "--strict"))
    assert code == 0
    assert "georeference" not in errors
    assert aic("decode", tmp_path / "b.aic", tmp_path / "b.tif").exit_code == 0
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert (dataset.crs, list(dataset.transform)[:6]) == ("EPSG:32633", CORNER)


def test_statistics_are_no_place(picture, tmp_path):
    path = picture("a.png")
    (tmp_path / "a.png.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")
    found = read_picture(path)
    assert (found.georeference, found.notes) == (None, ())


@pytest.mark.parametrize("text", ["", "1\n2\n", "one\n" * 6])
def test_a_world_file_that_is_none_is_named(picture, text):
    path = picture("a.jpg")
    world(path, ".jgw", text)
    found = read_picture(path)
    assert found.georeference is None
    assert found.notes == ("without the georeference in a.jgw, which GDAL does not read",)
    assert read_picture(path, strict=True).notes == found.notes


def test_a_turned_picture_has_another_place(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture("a.jpg", exif=exif)
    world(path, ".jgw")
    found = read_picture(path)
    assert found.georeference is None
    assert found.notes[0].endswith("it is that of the picture before it is turned")


def test_without_rasterio_it_is_told(picture, monkeypatch):
    path = picture("a.tif")
    world(path, ".tfw")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setattr("imgcodec.pictures.geo.beside.find_spec", lambda name: None)
    (note,) = read_picture(path).notes
    assert note.startswith("without the georeference in a.tfw, kept with the extra geo")


def test_a_part_has_another_place(aic, picture, tmp_path):
    path = picture("a.jpg")
    world(path, ".jgw")
    part = "encode", path, tmp_path / "b.aic", "--crop", "8,8,32,24"
    code, errors = told(aic(*part, "--strict"))
    assert (code, len(errors.splitlines())) == (1, 1)
    code, errors = told(aic(*part))
    assert code == 0
    assert "without its georeference, which is that of all of it" in errors
    assert aic("encode", path, tmp_path / "c.aic", "--crop", "0,0,56,40").exit_code == 0


@pytest.mark.parametrize(
    ("command", "end"), [(["encode", "--into", "jpeg"], ".jpg"), (["restore"], ".png")]
)
def test_other_formats_have_no_place_for_it(aic, picture, tmp_path, command, end):
    path = picture("a.jpg")
    world(path, ".jgw")
    code, errors = told(aic(*command, path, tmp_path / f"b{end}"))
    assert code == 0
    assert "without georeference" in errors


def test_decoded_pictures_keep_it(tiny_weights, picture):
    path = picture("a.png")
    world(path, ".pgw")
    found = read_picture(path)
    codec = Codec("cpu", weights=tiny_weights)
    assert codec.decode_picture(codec.encode(found)).georeference == found.georeference
    with pytest.raises(ImageError, match="georeference is str, wanted bytes"):
        codec.encode(replace(found, georeference="{}"))

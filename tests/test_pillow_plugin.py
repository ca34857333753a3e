"""The plugin for Pillow, tried as Pillow tries its own."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import imgcodec
from imgcodec import pillow_plugin
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import Picture


@pytest.fixture(autouse=True)
def registered(monkeypatch, tiny_codec):
    """The plugin, with a small codec, for one test."""
    Image.init()
    for table in ("OPEN", "ID", "SAVE", "EXTENSION", "MIME"):
        monkeypatch.setattr(Image, table, getattr(Image, table).copy())
    monkeypatch.setattr(pillow_plugin, "_codec", lambda tune: tiny_codec)
    imgcodec.register()
    imgcodec.register()


@pytest.fixture
def file(tiny_codec, textured):
    def make(picture=None, rate=2.0):
        return io.BytesIO(
            tiny_codec.encode(textured(64, 80) if picture is None else picture, rate)
        )

    return make


def test_it_is_known_by_its_suffix_and_its_type():
    assert Image.registered_extensions()[".aic"] == "AIC"
    assert Image.MIME["AIC"] == "image/x-aic"
    assert Image.ID.count("AIC") == 1


def test_opening(file, tiny_codec):
    data = file()
    with Image.open(data) as picture:
        assert (picture.format, picture.mode, picture.size) == ("AIC", "RGB", (80, 64))
        assert picture.get_format_mimetype() == "image/x-aic"
        assert picture.info["bpp"] == pytest.approx(8 * len(data.getvalue()) / (80 * 64))
        found = np.array(picture)
        np.testing.assert_array_equal(found, tiny_codec.decode(data.getvalue()))
        picture.load()  # again
        np.testing.assert_array_equal(np.array(picture), found)
        assert picture.resize((8, 8)).size == (8, 8)
        assert picture.convert("L").mode == "L"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_there_and_back(tmp_path, textured, mode):
    alpha = np.full((64, 64), 200, np.uint8)
    picture = Image.fromarray(np.dstack([textured(64, 64), alpha])).convert(mode)
    picture.save(tmp_path / "a.aic", rate=12)
    with Image.open(tmp_path / "a.aic") as found:
        assert found.mode == mode
        assert found.size == (64, 64)
        if mode.endswith("A"):
            assert set(np.array(found)[..., -1].flatten().tolist()) == {200}
        assert np.abs(np.array(found).astype(int) - np.array(picture)).mean() < 20


def test_what_save_is_told(textured):
    picture = Image.fromarray(textured(64, 64))
    sizes = []
    for words in ({"rate": 0.7}, {"rate": 1.2}, {"quality": 0}, {"size": 700}):
        data = io.BytesIO()
        picture.save(data, "AIC", **words)
        sizes.append(len(data.getvalue()))
    assert sizes[0] <= 64 * 64 * 0.7 / 8
    assert sizes[0] < sizes[1] <= 64 * 64 * 1.2 / 8
    assert sizes[2] < sizes[0]
    assert sizes[1] < sizes[3] <= 700
    with pytest.raises(OSError, match="rate"):
        picture.save(io.BytesIO(), "AIC", rate=-1)
    with pytest.raises(OSError, match="mode F"):
        Image.new("F", (8, 8)).save(io.BytesIO(), "AIC")


def test_metadata_come_and_go(file, textured):
    meant = Metadata(b"x" * 16 + b"RGB a profile", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>")
    with Image.open(file(Picture(textured(64, 64), None, meant), 8.0)) as picture:
        assert picture.info["icc_profile"] == meant.icc
        assert picture.info["exif"] == b"Exif\0\0" + meant.exif
        assert picture.info["xmp"] == meant.xmp
        for words, kept in (
            ({}, meant),
            ({"exif": b"", "icc_profile": None, "xmp": b""}, Metadata()),
            ({"xmp": b"<y/>"}, Metadata(meant.icc, meant.exif, b"<y/>")),
        ):
            data = io.BytesIO()
            picture.save(data, "AIC", rate=8, **words)
            with Image.open(data) as again:
                assert again.info.get("icc_profile") == kept.icc
                assert again.info.get("exif", b"Exif\0\0")[6:] == (kept.exif or b"")
                assert again.info.get("xmp") == kept.xmp


def test_orientation_given_to_save_is_applied_once(textured):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    Image.fromarray(textured(64, 96)).save(data, "AIC", rate=8, exif=exif)
    with Image.open(data) as found:
        assert found.size == (64, 96)
        assert found.getexif()[0x0112] == 1


def test_what_is_no_aic_file(file):
    whole = file().getvalue()
    for data in (b"", b"\x89AIC", b"\x89AIC" + bytes(60), whole[:40], b"\x89PNG" + whole[4:]):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data))


def test_damage_is_an_error_of_loading(file):
    whole = file().getvalue()
    for data in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        with Image.open(io.BytesIO(data)) as picture, pytest.raises(OSError, match="tile|bytes"):
            picture.load()


def test_pillows_limit_holds(file, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(file())


def test_opening_does_not_load_torch(file, tmp_path):
    (tmp_path / "a.aic").write_bytes(file().getvalue())
    code = (
        "import sys, imgcodec; from PIL import Image; imgcodec.register();"
        f" print(Image.open({str(tmp_path / 'a.aic')!r}).size, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["(80,", "64)", "False"]

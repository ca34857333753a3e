"""The plugin for Pillow, tried as Pillow tries its own."""

import io
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import imgcodec
from imgcodec import pillow_plugin
from imgcodec.errors import AicWarning, ImageError
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
    icc = (128).to_bytes(4, "big") + b"x" * 12 + b"RGB a profile".ljust(112)
    meant = Metadata(icc, b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>")
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


def test_loaded_pictures_keep_no_file_open(file, tmp_path):
    (tmp_path / "a.aic").write_bytes(file().getvalue())
    opened = Image.open(tmp_path / "a.aic")
    stream = opened.fp
    assert not stream.closed
    opened.load()
    assert stream.closed
    assert opened.fp is None
    data = file()
    with Image.open(data) as picture:
        picture.load()
    assert not data.closed  # it is the caller's


def test_opened_pictures_hold_no_bytes_of_their_file(file):
    data = file()
    with Image.open(data) as picture:
        held = [value for value in vars(picture).values() if isinstance(value, bytes)]
        assert sum(map(len, held)) < len(data.getvalue()) / 2


def test_verify_sees_damage_without_decoding(file, monkeypatch):
    monkeypatch.setattr(pillow_plugin, "_codec", None)
    whole = file().getvalue()
    with Image.open(io.BytesIO(whole)) as picture:
        picture.verify()
        with pytest.raises(RuntimeError, match="directly after open"):
            picture.verify()
    for data in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"x"):
        with (
            Image.open(io.BytesIO(data)) as picture,
            pytest.raises(OSError, match="tile|bytes"),
        ):
            picture.verify()


def test_damage_is_filled_in_where_pillow_is_told_to(file, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    cut = file().getvalue()[:-1]
    with Image.open(io.BytesIO(cut)) as picture:
        with pytest.warns(AicWarning, match="1 damaged tile is decoded in part: tile 0") as told:
            picture.load()
        assert told[0].filename == __file__
        assert np.array(picture).shape == (64, 80, 3)


def test_damaged_metadata_are_left_out_where_pillow_is_told_to(file, monkeypatch):
    made = io.BytesIO()
    Image.open(file()).save(made, "AIC", quality=50, xmp=b"<x>packet</x>")
    data = bytearray(made.getvalue())
    data[data.index(b"packet")] ^= 3
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(AicWarning, match="XMP"), Image.open(io.BytesIO(data)) as found:
        found.load()
    assert "xmp" not in found.info


def test_copies_frames_and_pickles(file):
    with Image.open(file()) as picture:
        assert picture.tell() == 0
        picture.seek(0)
        with pytest.raises(EOFError):
            picture.seek(1)
        found = np.array(picture.copy())
    for other in (pickle.loads(pickle.dumps(Image.open(file()))), Image.open(file())):  # noqa: S301
        np.testing.assert_array_equal(np.array(other), found)


def test_saving_keeps_what_encoding_keeps(tmp_path, tiny_codec, textured):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.fromarray(textured(64, 64)).save(tmp_path / "a.tif", exif=exif)
    with Image.open(tmp_path / "a.tif") as picture:
        picture.save(tmp_path / "a.aic", quality=72)
    with Image.open(tmp_path / "a.tif") as picture:
        assert (tmp_path / "a.aic").read_bytes() == tiny_codec.encode(picture)
    with Image.open(tmp_path / "a.aic") as found:
        assert found.getexif()[0x010F] == "a maker"


def test_users_are_warned_at_their_own_line(tmp_path, tiny_codec, textured):
    grey = Image.fromarray(textured(64, 64)[..., 0].astype(np.uint16) * 257)
    inks = Image.fromarray(textured(64, 64)).convert("CMYK")
    for picture, note in ((grey, "more than 8 bits"), (inks, "colours are a guess")):
        for call in (
            lambda p=picture: p.save(tmp_path / "a.aic"),
            lambda p=picture: tiny_codec.encode(p),
        ):
            with pytest.warns(AicWarning, match=note) as told:
                call()
            assert [warning.filename for warning in told] == [__file__]


def test_nothing_is_written_where_a_warning_is_an_error(tmp_path, textured):
    inks = Image.fromarray(textured(64, 64)).convert("CMYK")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AicWarning):
            inks.save(tmp_path / "a.aic")
    assert not (tmp_path / "a.aic").exists()


@pytest.mark.parametrize("own", [None, 72])
def test_a_density_given_to_save_counts(textured, own):
    picture = Image.fromarray(textured(8, 8))
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    if own:
        exif[0x011A], exif[0x011B] = own, own
    data = io.BytesIO()
    picture.save(data, "AIC", quality=10, dpi=(300, 150), exif=exif)
    with Image.open(data) as found:
        assert (found.info["dpi"], found.getexif()[0x010F]) == ((300, 150), "a maker")
    for dpi in (300, (300,), (0, 1), (-1, 2), ("a", "b"), (1, float("nan")), (1, 1e9)):
        with pytest.raises(OSError, match="dpi .*, wanted two numbers"):
            picture.save(io.BytesIO(), "AIC", dpi=dpi)


def test_packed_files_are_named():
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG")
    packed = io.BytesIO(imgcodec.pack(data.getvalue()))
    with pytest.warns(UserWarning, match="a packed JPEG file: imgcodec.unpack"):
        with pytest.raises(UnidentifiedImageError):
            Image.open(packed)


def test_words_of_no_use_are_named(tmp_path, textured):
    picture = Image.fromarray(textured(64, 64))
    with pytest.warns(AicWarning, match="^save has no use for optimize, roi$") as told:
        picture.save(tmp_path / "a.aic", rate=0.5, optimize=True, roi=None)
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture.save(tmp_path / "b.aic", rate=0.5, tune="psnr", exif=None)
    assert (tmp_path / "a.aic").read_bytes() == (tmp_path / "b.aic").read_bytes()


def test_a_failed_save_leaves_no_file(tmp_path, textured):
    with pytest.raises(OSError, match="rate"):
        Image.fromarray(textured(64, 64)).save(tmp_path / "a.aic", rate=-1)
    assert not (tmp_path / "a.aic").exists()


@pytest.mark.parametrize("piece", [7, 1024, 10**6])
def test_pillows_parser_takes_it_piece_by_piece(file, tiny_codec, piece):
    data = file().getvalue()
    parser = ImageFile.Parser()
    for start in range(0, len(data), piece):
        parser.feed(data[start : start + piece])
    np.testing.assert_array_equal(np.array(parser.close()), tiny_codec.decode(data))


def test_nothing_is_appended(tmp_path, textured):
    picture = Image.fromarray(textured(64, 64))
    picture.save(tmp_path / "a.aic", quality=90)
    before = (tmp_path / "a.aic").read_bytes()
    with pytest.raises(OSError, match="none is appended"):
        picture.save(tmp_path / "a.aic", quality=20, append=True)
    assert (tmp_path / "a.aic").read_bytes() == before
    with pytest.raises(OSError, match="one picture, not several"):
        picture.save(tmp_path / "b.aic", save_all=True, append_images=[picture])
    picture.save(tmp_path / "c.aic", save_all=True, quality=90)
    assert (tmp_path / "c.aic").read_bytes() == before


def test_a_quality_that_is_no_number_is_refused(tmp_path, textured):
    with pytest.raises(OSError, match="quality of str, wanted"):
        Image.fromarray(textured(64, 64)).save(tmp_path / "a.aic", quality="high")


def test_a_frame_that_was_sought_is_the_picture_that_is_meant(tiny_codec, tmp_path):
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as animation:
        with pytest.raises(ImageError, match="holds 3 pictures"):
            tiny_codec.encode(animation)
        animation.seek(1)
        with pytest.warns(AicWarning, match="2 further"):
            data = tiny_codec.encode(animation, lossless=True)
    assert (tiny_codec.decode(data) == (0, 0, 255)).all()

"""`aic encode` of JPEG files: what they hold goes in before it is rounded to 8 bits."""

import io
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgcodec import cli
from imgcodec.jpeg import pixels, reading
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import read_picture

QUALITY = 95.0


def jpeg(mode="RGB", **options):
    y, x = np.mgrid[:44, :60]
    plane = 120 + 60 * np.sin(x / 9) * np.cos(y / 7)
    original = np.stack([plane, plane * 0.7 + 40, 220 - plane * 0.6], -1).round()
    file = io.BytesIO()
    picture = Image.fromarray(original.astype(np.uint8)).convert(mode)
    picture.save(file, "JPEG", **{"quality": 92, **options})
    return file.getvalue()


@pytest.fixture
def encoded(tmp_path, tiny_weights):
    """Encode a file of some bytes with the command, and return what it makes."""

    def encode(data, *words):
        source, target = tmp_path / "a.jpg", tmp_path / "a.aic"
        source.write_bytes(data)
        options = ["--weights", str(tiny_weights), "--quality", str(QUALITY), "--device", "cpu"]
        words = ["encode", str(source), str(target), "--force", *options, *words]
        done = CliRunner().invoke(cli.main, words)
        assert done.exit_code == 0, done.output
        return target.read_bytes()

    return encode


def decoded(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_file_is_that_of_pixels_that_were_not_rounded(encoded, tiny_codec, mode, tile):
    data = jpeg(mode)
    found = pixels.rgb(reading.read(data))
    rounded = np.clip(np.round(found), 0, 255).astype(np.uint8)
    words = ["--tile", str(tile)] if tile else []
    made = encoded(data, *words)
    picture = Picture(rounded, unrounded=found)
    assert made == tiny_codec.encode(picture, quality=QUALITY, tile=tile)
    assert made != tiny_codec.encode(rounded, quality=QUALITY, tile=tile)
    assert made != tiny_codec.encode(decoded(data), quality=QUALITY, tile=tile)


def test_several_tiles_are_not_rounded_either(tiny_codec):
    rng = np.random.default_rng(0)
    exact = rng.uniform(0, 255, (70, 150, 3)).astype(np.float16)
    rounded = np.round(exact.astype(np.float32)).clip(0, 255).astype(np.uint8)
    files = [
        tiny_codec.encode(picture, quality=QUALITY, tile=64)
        for picture in (Picture(rounded, unrounded=exact), rounded)
    ]
    assert files[0] != files[1]
    same = Picture(rounded, unrounded=rounded.astype(np.float16))
    assert tiny_codec.encode(same, quality=QUALITY, tile=64) == files[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_turned_with_the_picture(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    data = jpeg(exif=exif)
    (tmp_path / "a.jpg").write_bytes(data)
    found = read_picture(tmp_path / "a.jpg", decoded=pixels.rgb(reading.read(data)))
    usual = read_picture(tmp_path / "a.jpg")
    assert found.pixels.shape == usual.pixels.shape == found.unrounded.shape
    assert np.abs(found.pixels.astype(int) - usual.pixels).mean() < 0.6
    rounded = np.round(found.unrounded.astype(np.float32)).clip(0, 255)
    assert np.array_equal(rounded, found.pixels)
    assert found.metadata == usual.metadata


@pytest.mark.parametrize("data", [jpeg("CMYK"), jpeg(keep_rgb=True)], ids=["CMYK", "RGB"])
def test_what_only_pillow_reads_goes_through_its_pixels(encoded, tiny_codec, tmp_path, data):
    made = encoded(data)
    usual = read_picture(tmp_path / "a.jpg")
    assert usual.unrounded is None
    assert made == tiny_codec.encode(usual, quality=QUALITY)


def test_a_part_is_not_rounded_either(encoded, tiny_codec):
    data = jpeg(subsampling=0)
    found = pixels.rgb(reading.read(data))[8:40, 8:40]
    rounded = np.clip(np.round(found), 0, 255).astype(np.uint8)
    made = encoded(data, "--crop", "8,8,32,32")
    assert made == tiny_codec.encode(Picture(rounded, unrounded=found), quality=QUALITY)


def test_other_sizes_are_made_of_rounded_pixels(encoded, tiny_codec):
    data = jpeg(subsampling=0)
    found = pixels.rgb(reading.read(data))[8:40, 8:40]
    rounded = Image.fromarray(np.clip(np.round(found), 0, 255).astype(np.uint8))
    made = encoded(data, "--crop", "8,8,32,32", "--resize", "50%")
    half = np.asarray(rounded.resize((16, 16), Image.Resampling.LANCZOS))
    assert made == tiny_codec.encode(half, quality=QUALITY)


def test_a_limit_of_pixels_comes_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("imgcodec.jpeg.scan_reader.decode", None)
    (tmp_path / "a.jpg").write_bytes(jpeg())
    words = ["encode", str(tmp_path / "a.jpg"), str(tmp_path / "a.aic"), "--max-pixels", "2639"]
    done = CliRunner().invoke(cli.main, words)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "60x44 pixels" in done.stderr


def test_damaged_files_are_refused_as_ever(tmp_path, tiny_weights):
    (tmp_path / "a.jpg").write_bytes(jpeg()[:-100])
    words = ["encode", str(tmp_path / "a.jpg"), str(tmp_path / "a.aic")]
    done = CliRunner().invoke(cli.main, [*words, "--weights", str(tiny_weights)])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert not (tmp_path / "a.aic").exists()


def test_what_is_missing_before_the_end_is_told(tmp_path, tiny_weights):
    whole = jpeg()
    data = whole[:-100] + whole[-2:]  # for which Pillow fills in grey, and says nothing
    source, target = tmp_path / "a.jpg", tmp_path / "a.aic"
    source.write_bytes(data)
    words = ["encode", str(source), str(target), "--weights", str(tiny_weights)]
    done = CliRunner().invoke(cli.main, [*words, "--strict"])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert not target.exists()
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0
    assert "it is damaged (the coded data of a scan is damaged)" in done.stderr
    assert target.exists()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "CMYK"}])
def test_damage_is_told_of_what_only_pillow_reads(tmp_path, tiny_weights, monkeypatch, options):
    """Large files, and other colours than Y, Cb and Cr."""
    monkeypatch.setattr("imgcodec.cli.sources.MOST_UNROUNDED", 2639)
    whole = jpeg(**options)
    at = len(whole) - 40
    data = whole[:at] + bytes([whole[at] ^ 4 ^ 64]) + whole[at + 1 : -30] + whole[-2:]
    (tmp_path / "b.jpg").write_bytes(data)
    words = ["encode", str(tmp_path / "b.jpg"), str(tmp_path / "b.aic"), "--dry-run"]
    done = CliRunner().invoke(cli.main, [*words, "--weights", str(tiny_weights)])
    assert done.exit_code == 0
    assert "b.jpg: it is damaged (the coded data of a scan " in done.stderr


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("words", [[], ["--into", "jpeg"]])
def test_a_missing_end_is_told(tmp_path, options, words):
    source, target = tmp_path / "a.jpg", tmp_path / ("b.jpg" if words else "b.aic")
    source.write_bytes(jpeg(**options)[:-2])
    words = ["encode", str(source), str(target), *words, "--strict"]
    done = CliRunner().invoke(cli.main, words)
    assert done.stderr == f"Error: {source}: lacks its end, but no part of its picture\n"
    source.write_bytes(b"\xff\xda".join(jpeg(progressive=True).split(b"\xff\xda")[:2]))
    done = CliRunner().invoke(cli.main, words)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert not target.exists()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "CMYK"}])
@pytest.mark.parametrize("words", [[], ["--into", "jpeg"]])
def test_far_too_few_bytes_for_the_pixels_are_refused(tmp_path, monkeypatch, options, words):
    """At any size, before Pillow makes all the pixels."""
    monkeypatch.setattr("imgcodec.pictures.reader.read_picture", None)
    data = bytearray(jpeg(**options))
    at = re.search(rb"\xff[\xc0\xc2]", data).start() + 5
    data[at : at + 4] = (16000).to_bytes(2, "big") * 2
    source, target = tmp_path / "a.jpg", tmp_path / ("b.jpg" if words else "b.aic")
    source.write_bytes(data)
    done = CliRunner().invoke(cli.main, ["encode", str(source), str(target), *words])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"a.jpg: {len(data)} bytes cannot hold 16000x16000 pixels" in done.stderr

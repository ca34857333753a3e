"""`--crop` and `--resize`: which part of a picture is coded, at which size."""

import numpy as np
import pytest
from PIL import Image
from test_cli import FakeCodec, assert_refused, assert_usage

from imgcodec.format import container
from imgcodec.pictures.reader import read_image

LANCZOS = Image.Resampling.LANCZOS


@pytest.fixture
def scene(tmp_path):
    """A picture of 40 x 30 pixels."""
    path = tmp_path / "scene.png"
    Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    ).save(path)  # fmt: skip
    return path


def back(aic, path):
    target = path.with_suffix(".back.png")
    assert aic("decode", path, target, "--force").exit_code == 0
    return read_image(target)


def test_a_part_at_another_size_is_coded(aic, scene, tmp_path):
    target = tmp_path / "a.aic"
    result = aic("encode", scene, target, "--crop", "4,2,30,20", "--resize", "50%")
    assert (result.exit_code, result.stderr) == (0, "")
    wanted = Image.open(scene).crop((4, 2, 34, 22)).resize((15, 10), LANCZOS)
    assert np.array_equal(back(aic, target), np.array(wanted))


@pytest.mark.parametrize(
    ("words", "size"),
    [("20,0", (20, 15)), ("0,15", (20, 15)), ("25", (10, 8)), ("12.5%", (5, 4)), ("8,6", (8, 6))],
)
def test_sizes(aic, scene, tmp_path, words, size):
    target = tmp_path / "a.aic"
    assert aic("encode", scene, target, "--resize", words).stderr == ""
    header = container.File(target.read_bytes()).header
    assert (header.width, header.height) == size


@pytest.mark.parametrize(
    "words", ["0,0", "0", "0%", "", "a", "-5,5", "5,", "1e3", "65536,1", "nan", "5,5,5", "٣"]
)
def test_sizes_that_are_none(aic, scene, tmp_path, words):
    assert_usage(aic("encode", scene, tmp_path / "a.aic", "--resize", words), "no size")


@pytest.mark.parametrize("words", ["0,0,0,5", "0,0,5,0", "1,2,3", "-1,0,5,5", "a", "1,2,3,4,5"])
def test_parts_that_are_none(aic, scene, tmp_path, words):
    assert_usage(aic("encode", scene, tmp_path / "a.aic", "--crop", words), "is not X,Y,W,H")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--crop", "11,0,30,5"), r"scene\.png: the part 11,0,30,5 leaves the picture, 40x30"),
        (("--resize", "999999%"), r"scene\.png: resized to \d+x\d+ pixels, 65535 a side at most"),
        (("--resize", "65535,65535"), r"scene\.png: 65535x65535 pixels, at most \d+ are allowed"),
        (("--resize", "200", "--max-pixels", "4799"), r"80x60 pixels, at most 4799 are allowed"),
    ],
)
def test_parts_and_sizes_that_cannot_be(aic, scene, tmp_path, words, reason):
    assert_refused(aic("encode", scene, tmp_path / "a.aic", *words), reason)
    assert not (tmp_path / "a.aic").exists()


def test_other_proportions_are_told(aic, scene, tmp_path):
    words = ("--resize", "20,20", "--strict")
    told = aic("encode", scene, tmp_path / "a.aic", *words).stderr
    assert told == f"{scene}: its proportions change, 20x20 pixels are asked\n"
    assert aic("encode", scene, tmp_path / "b.aic", *words, "--quiet").output == ""


def test_a_region_of_interest_counts_in_what_is_coded(aic, scene, tmp_path):
    words = ("--crop", "0,0,8,8", "--tune", "eye")
    assert aic("encode", scene, tmp_path / "a.aic", *words, "--roi", "0,0,8,8").exit_code == 0
    assert FakeCodec.rois[-1].shifts.shape == (1, 1)
    assert_refused(aic("encode", scene, tmp_path / "b.aic", *words, "--roi", "4,0,8,8"), "leaves")


def test_a_geotiff_is_not_resized(aic, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    place = rasterio.Affine(2, 0, 9, 0, -2, 9)
    with rasterio.open(
        path, "w", "GTiff", 16, 16, 3, crs="EPSG:32633", transform=place, dtype="uint8"
    ) as file:
        file.write(np.zeros((3, 16, 16), np.uint8))
    result = aic("encode", path, tmp_path / "a.aic", "--resize", "50%")
    assert_refused(result, "its georeference would be wrong; gdal_translate")
    assert_refused(aic("encode", path, tmp_path / "a.aic", "--measure", "psnr"), "piece by piece")


@pytest.mark.parametrize("turned", [1, 6])
def test_folders_know_what_is_up_to_date(aic, tmp_path, turned):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.new("RGB", (40, 30)).save(source / "a.jpg", exif=exif)
    words = ("encode", source, out, "--resize", "20,0")
    assert aic(*words).exit_code == 0
    assert aic(*words).stdout == "1 file is up to date\n"
    result = aic("encode", source, out)
    assert result.exit_code == 1
    size = "20x15" if turned == 1 else "20x27"
    assert (
        f"a.aic: holds a picture of {size} pixels, {source / 'a.jpg'} has 40x30" in result.stderr
    )
    assert "would give 10x8" in aic("encode", source, out, "--resize", "10,0").stderr

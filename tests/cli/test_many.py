"""What people do to many pictures: parts, sizes, what was lost, and a rehearsal."""

import os
import re

import numpy as np
import pytest
from PIL import Image
from test_cli import FakeCodec, assert_refused, assert_usage, names

from imgcodec import metrics
from imgcodec.cli import measure
from imgcodec.cli.many import rehearsal
from imgcodec.format import container
from imgcodec.pictures.reader import read_image, read_picture

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


# ---- --crop and --resize


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
    assert aic(*words).stdout == "1 files are up to date\n"
    result = aic("encode", source, out)
    assert result.exit_code == 1
    size = "20x15" if turned == 1 else "20x27"
    assert (
        f"a.aic: holds a picture of {size} pixels, {source / 'a.jpg'} has 40x30" in result.stderr
    )
    assert "would give 10x8" in aic("encode", source, out, "--resize", "10,0").stderr


# ---- --measure


def test_what_was_lost_is_printed(aic, tmp_path, monkeypatch):
    rows, columns = np.mgrid[:176, :176]
    image = np.stack([rows, columns, rows * 0 + 60], -1).astype(np.uint8)
    worse = image + np.uint8(3) * (np.indices((176, 176)).sum(0) % 2 == 0)[..., None]
    path, target = tmp_path / "a.png", tmp_path / "a.aic"
    Image.fromarray(image).save(path)
    monkeypatch.setattr(FakeCodec, "decode", lambda self, data: worse)
    result = aic("encode", path, target, "--measure", "cvvdp,psnr,ms-ssim,ssimulacra2,psnr")
    assert (result.exit_code, result.stderr) == (0, "")
    found = re.fullmatch(
        r".* bpp, 0\.50 s; CVVDP ([\d.]+) JOD, PSNR ([\d.]+) dB, MS-SSIM ([\d.]+),"
        r" SSIMULACRA 2 ([\d.]+)\n",
        result.stdout,
    )
    jod, psnr, ms_ssim, score = map(float, found.groups())
    assert psnr == pytest.approx(metrics.psnr(image, worse), abs=0.006)
    assert ms_ssim == pytest.approx(metrics.ms_ssim(image, worse), abs=6e-5)
    assert 5 < jod < 10
    assert 40 < score < 100


def test_nothing_lost(aic, photo, tmp_path):
    line = aic("encode", photo, tmp_path / "a.aic", "--measure", "psnr,ssimulacra2").stdout
    assert line.endswith("; PSNR inf dB, SSIMULACRA 2 100.00\n")


def test_small_large_and_grey_pictures(monkeypatch):
    grey = np.zeros((7, 7), np.uint8)
    colours = np.zeros((7, 7, 3), np.uint8)
    assert measure.in_words(measure.METRICS, grey, colours) == (
        "PSNR inf dB, no MS-SSIM of so small a picture, no SSIMULACRA 2 of so small a picture,"
        " no CVVDP of so small a picture"
    )
    monkeypatch.setattr(measure, "MOST_PIXELS", 48)
    assert measure.in_words(("cvvdp", "psnr"), grey, colours) == (
        "no CVVDP of more than 48 pixels, PSNR inf dB"
    )


def test_invisible_pixels_do_not_count(aic, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    image[..., 3] = np.where(np.arange(16) < 8, 255, 0)
    path = tmp_path / "glass.png"
    Image.fromarray(image).save(path)
    result = aic("encode", path, tmp_path / "a.aic", "--measure", "psnr")
    coded = read_picture(path).coded()
    wanted = metrics.psnr(coded, back_pixels(aic, tmp_path / "a.aic"))
    assert f"PSNR {wanted:.2f} dB" in result.stdout


def back_pixels(aic, path):
    return FakeCodec().decode(path.read_bytes())


def test_the_line_of_a_region_stays_behind(aic, photo, tmp_path):
    words = ("--roi", "0,0,8,8", "--tune", "eye", "--measure", "psnr", "--verbose")
    first, second, *others = aic("encode", photo, tmp_path / "a.aic", *words).stdout.splitlines()
    assert first.endswith("s; PSNR inf dB")
    assert "inside the region" in second
    assert others[0].startswith("  asked")


@pytest.mark.parametrize("words", ["ssim", "", "psnr,", "PSNR"])
def test_metrics_that_are_none(aic, photo, tmp_path, words):
    assert_usage(aic("encode", photo, tmp_path / "a.aic", "--measure", words), "is not some of")


# ---- --dry-run


@pytest.fixture
def many(tmp_path):
    """Twenty pictures, larger and larger."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 4 + number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def test_a_rehearsal_writes_nothing_and_tells_the_size(aic, many, tmp_path):
    out = tmp_path / "out"
    result = aic("encode", many, out, "--dry-run")
    assert (result.exit_code, result.stderr, out.exists()) == (0, "", False)
    *lines, total = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(out / f"{n:02}.aic") for n in range(20)]
    tried = [line for line in lines if ": would be made, " in line]
    assert 2 <= len(tried) <= rehearsal.SAMPLES
    assert len(lines) == len(tried) + sum(": would be made of " in line for line in lines)
    told, bpp, samples = re.fullmatch(
        r"20 files would take about (\d+) bytes, at the ([\d.]+) bpp of the (\d+) that were tried",
        total,
    ).groups()
    assert int(samples) == len(tried)
    assert aic("encode", many, out).exit_code == 0
    made = sum(path.stat().st_size for path in out.iterdir())
    assert int(told) == pytest.approx(made, rel=0.1)
    pixels = sum(8 * (4 + number) for number in range(20))
    assert int(told) == pytest.approx(float(bpp) * pixels / 8, abs=1)
    for line in tried:
        path, size = re.fullmatch(r"(.*): would be made, (\d+) bytes, .*", line).groups()
        assert os.stat(path).st_size == int(size)


def test_a_rehearsal_of_a_few_is_exact(aic, album, tmp_path):
    out = tmp_path / "out"
    result = aic("encode", album, out, "--dry-run", "--jobs", "2")
    assert (result.exit_code, out.exists()) == (1, False)
    assert result.stderr.endswith("Error: 1 of 5 files failed\n")
    assert "broken.png: not a picture" in result.stderr
    assert "aic-" not in result.output
    assert aic("encode", album, out).exit_code == 1
    made = sum((out / name).stat().st_size for name in names(out))
    assert result.stdout.endswith(f"\n4 files would take about {made} bytes\n")
    again = aic("encode", album, out, "--dry-run")
    assert again.stdout == "4 files are up to date\n"
    assert aic("encode", album, tmp_path / "o2", "--dry-run", "--quiet").stdout == ""


def test_a_rehearsal_names_what_may_fail(aic, many, tmp_path):
    (many / "01.png").write_bytes(b"none")
    result = aic("encode", many, tmp_path / "out", "--dry-run")
    assert f"{tmp_path / 'out' / '01.aic'}: could perhaps not be made of {many / '01.png'}\n" in (
        result.stdout
    )
    assert result.stdout.endswith("without 1 of unknown size\n")


def test_a_rehearsal_tells_of_folders_that_may_not_be_written(aic, many, tmp_path, monkeypatch):
    out, may = tmp_path / "out", os.access
    (many / "inside").mkdir()
    (many / "00.png").rename(many / "inside" / "00.png")
    (out / "inside").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda at, mode: at != out / "inside" and may(at, mode))
    result = aic("encode", many, out, "--dry-run")
    assert result.exit_code == 1
    line = f"{out / 'inside' / '00.aic'}: the folder {out / 'inside'} may not be written"
    assert result.stderr.splitlines()[-1] == "Error: 1 of 20 files failed"
    assert result.stderr.count(line) == 1
    assert "19 files would take about" in result.stdout
    monkeypatch.setattr(os, "access", lambda at, mode: at != out and may(at, mode))
    assert_refused(aic("encode", many / "01.png", out / "a.aic", "--dry-run"), f"{out} may not be")


def test_a_rehearsal_knows_what_is_no_file(aic, many, tmp_path):
    out = tmp_path / "out"
    (out / "00.aic").mkdir(parents=True)
    result = aic("encode", many, out, "--force", "--dry-run")
    assert result.exit_code == 1
    assert f"{out / '00.aic'}: is not a regular file" in result.stderr


def test_a_rehearsal_shows_names_on_one_line(aic, photo, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}\n\x1b[31m.png").write_bytes(photo.read_bytes())
    result = aic("encode", folder, tmp_path / "out", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 13
    assert result.stdout.count("\\n\\x1b[31m.aic: would be made") == 12


def test_a_rehearsal_of_one(aic, photo, coded, tmp_path):
    target = tmp_path / "a.aic"
    result = aic("encode", photo, target, "--dry-run", "--measure", "psnr")
    assert (result.exit_code, result.stderr, target.exists()) == (0, "", False)
    line = result.stdout
    assert re.fullmatch(
        rf"{re.escape(str(target))}: would be made, \d+ bytes, .*; PSNR inf dB\n", line
    )
    made = aic("encode", photo, target, "--measure", "psnr").stdout
    assert line.replace("would be made, ", "") == made
    before = coded.read_bytes()
    assert_refused(aic("encode", photo, coded, "--dry-run"), "kept without --force")
    assert aic("encode", photo, coded, "--dry-run", "--force", "--rate", "2").exit_code == 0
    assert coded.read_bytes() == before
    assert_refused(aic("encode", photo, tmp_path / "no" / "a.aic", "--dry-run"), "no folder")
    assert_refused(aic("encode", photo, tmp_path / "a.png", "--dry-run"), "is not .aic")
    assert_refused(aic("encode", photo, tmp_path / "a.jpg", "--dry-run"), "--into jpeg makes JPEG")
    assert_usage(aic("encode", photo, "-", "--dry-run"), "--dry-run")

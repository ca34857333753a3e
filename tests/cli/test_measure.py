"""`--measure`: what was lost."""

import re

import numpy as np
import pytest
from PIL import Image
from test_cli import FakeCodec, assert_usage

from imgcodec import metrics
from imgcodec.cli import measure
from imgcodec.pictures.reader import read_picture


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


def test_invisible_pixels_do_not_count(aic, tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    image[..., 3] = np.where(np.arange(16) < 8, 255, 0)
    path = tmp_path / "glass.png"
    Image.fromarray(image).save(path)
    result = aic("encode", path, tmp_path / "a.aic", "--measure", "psnr")
    coded = read_picture(path).coded()
    wanted = metrics.psnr(coded, back_pixels(aic, tmp_path / "a.aic"))
    assert f"PSNR {wanted:.2f} dB" in result.stdout
    words = ("encode", path, tmp_path / "a.aic", "--force", "--measure", "psnr")
    assert "PSNR inf dB" in aic(*words, "--lossless").stdout
    encode = FakeCodec.encode

    def joined(*arguments, **options):
        data = encode(*arguments, **options)
        data.report.colours = 4
        return data

    monkeypatch.setattr(FakeCodec, "encode", joined)  # whose pixels are those of the file, too
    assert "PSNR inf dB" in aic(*words).stdout


def test_invisible_pixels_do_not_count_in_a_region(aic, tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    image[:8, :, 3] = 0
    path = tmp_path / "glass.png"
    Image.fromarray(image).save(path)
    coded = read_picture(path).coded()
    monkeypatch.setattr(FakeCodec, "decode", lambda *_: coded)
    result = aic("encode", path, tmp_path / "a.aic", "--roi", "0,0,16,8", "--tune", "eye")
    assert "PSNR inf dB inside the region, inf outside" in result.stdout


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

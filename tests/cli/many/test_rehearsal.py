"""`--dry-run`: what would be done, and nothing written."""

import os
import re

import numpy as np
import pytest
from PIL import Image
from test_cli import assert_refused, assert_usage, names

from imgcodec import files
from imgcodec.cli.many import rehearsal
from imgcodec.errors import AicError


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


def test_a_link_that_leads_nowhere_fails(aic, many, tmp_path):
    (many / "00.png").unlink()
    for name in ("00.png", "05a.png"):  # one that would be tried, and one that would not
        (many / name).symlink_to(tmp_path / "nothing")
    for words in (("--dry-run",), ()):
        result = aic("encode", many, tmp_path / "out", *words)
        assert result.stderr.splitlines() == [
            f"{many / '00.png'}: no such file or directory",
            f"{many / '05a.png'}: no such file or directory",
            "Error: 2 of 21 files failed",
        ]


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


def test_a_rehearsal_adds_up_no_single_file(aic, many, tmp_path):
    (many / "01.png").write_bytes(b"none")
    result = aic("encode", many / "00.png", many / "01.png", tmp_path / "out", "--dry-run")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1


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


def test_a_rehearsal_names_the_temporary_folder_that_is_full(aic, many, tmp_path, monkeypatch):
    def full(path, *_):
        raise AicError(f"{path}: no space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    made = tmp_path / "a.aic"
    result = aic("encode", many / "01.png", made, "--dry-run")
    assert_refused(result, f"{made}: no space left on device, on its way through ")


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

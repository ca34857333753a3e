"""`aic restore`."""

import io
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageCms

from imgcodec import cli

ORIENTATION, MAKER = 0x112, 0x10F


def pixels():
    y, x = np.mgrid[:40, :64]
    plane = 120 + 90 * np.sin(x / 7 + y / 11)
    return np.stack([plane, plane[::-1], 255 - plane], -1).clip(0, 255).astype(np.uint8)


def photo(mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(pixels()).convert(mode).save(file, "JPEG", **{"quality": 30, **options})
    return file.getvalue()


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(photo())
    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words])


def test_a_file_becomes_a_better_picture(run, tmp_path):
    done = run("restore", "a.jpg", "a.png")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("a.png: 64x40 pixels")
    usual, found = (opened(tmp_path / name) for name in ("a.jpg", "a.png"))
    assert np.abs(found - pixels()).mean() < np.abs(usual - pixels()).mean()


def test_metadata_are_kept_and_the_picture_turned(run, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "someone"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "t.jpg").write_bytes(photo(exif=exif, icc_profile=icc, xmp=b"<x:xmpmeta/>"))
    assert run("restore", "t.jpg", "t.png").exit_code == 0
    with Image.open(tmp_path / "t.png") as found:
        assert found.size == (40, 64)
        assert found.info["icc_profile"] == icc
        assert found.getexif()[MAKER] == "someone"
        assert found.getexif().get(ORIENTATION, 1) == 1
        assert found.info["XML:com.adobe.xmp"] == "<x:xmpmeta/>"
        turned = np.asarray(found).astype(int)
    assert run("restore", "a.jpg", "a.png").exit_code == 0
    upright = opened(tmp_path / "a.png")
    assert np.array_equal(turned, np.rot90(upright, -1))
    assert run("restore", "t.jpg", "bare.png", "--metadata", "none").exit_code == 0
    with Image.open(tmp_path / "bare.png") as found:
        assert not {"icc_profile", "exif"} & found.info.keys()


def test_grey_stays_grey(run, tmp_path):
    (tmp_path / "g.jpg").write_bytes(photo("L"))
    assert run("restore", "g.jpg", "g.png").exit_code == 0
    with Image.open(tmp_path / "g.png") as found:
        assert found.mode == "L"


def test_existing_files_are_kept(run):
    assert run("restore", "a.jpg", "a.png").exit_code == 0
    again = run("restore", "a.jpg", "a.png")
    assert again.exit_code == 1
    assert "--force" in again.output
    assert run("restore", "a.jpg", "a.png", "--force").exit_code == 0
    assert run("restore", "a.jpg", "a.jpg", "--force").exit_code == 1


def test_what_is_refused_leaves_no_file(run, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(photo()[:-60])
    (tmp_path / "inks.jpg").write_bytes(photo("CMYK"))
    (tmp_path / "p.jpg").write_bytes(b"\x89PNG")
    for name in ("cut.jpg", "inks.jpg", "p.jpg"):
        done = run("restore", name, "out.png")
        assert done.exit_code == 1
        assert done.output.count("\n") == 1
        assert name in done.output
        assert not (tmp_path / "out.png").exists()
    assert run("restore", "a.jpg", "out.aic").exit_code == 1
    assert run("restore", "a.jpg", "out.png", "--max-pixels", 100).exit_code == 1


def test_strict_refuses_what_would_be_left_out(run, tmp_path):
    (tmp_path / "c.jpg").write_bytes(photo(comment=b"a comment"))
    told = run("restore", "c.jpg", "c.png")
    assert told.exit_code == 0
    assert "comment" in told.output
    refused = run("restore", "c.jpg", "d.png", "--strict")
    assert refused.exit_code == 1
    assert not (tmp_path / "d.png").exists()
    exif = Image.Exif()
    exif[MAKER] = "someone"
    (tmp_path / "e.jpg").write_bytes(photo(exif=exif))
    assert run("restore", "e.jpg", "e.bmp", "--strict").exit_code == 1
    assert run("restore", "e.jpg", "e.bmp").exit_code == 0


def test_a_missing_end_is_told(run, tmp_path):
    (tmp_path / "c.jpg").write_bytes(photo()[:-2])
    assert "c.jpg: lacks its end" in run("restore", "c.jpg", "c.png").stderr
    refused = run("restore", "c.jpg", "d.png", "--strict")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "d.png").exists()


def test_a_folder_at_a_time(run, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.JPG").write_bytes(photo(progressive=True))
    (tmp_path / "in" / "deep" / "c.jpeg").write_bytes(photo(subsampling=0))
    (tmp_path / "in" / "bad.jpg").write_bytes(photo()[:300])
    done = run("restore", "in", "out", "--jobs", 2, "--format", "tif")
    assert done.exit_code == 1
    assert "bad.jpg" in done.output
    assert (tmp_path / "out" / "b.tif").exists()
    assert (tmp_path / "out" / "deep" / "c.tif").exists()
    assert not (tmp_path / "out" / "bad.tif").exists()
    (tmp_path / "in" / "bad.jpg").unlink()
    assert "2 files are up to date" in run("restore", "in", "out", "--format", "tif").output


def test_packing_still_starts_without_torch(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    code = (
        "import sys; from imgcodec import cli;"
        "cli.main(['pack', 'a.jpg', 'a.aic'], standalone_mode=False);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_a_folder_in_place_is_no_folder_that_is_done(run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(b"not a jpeg")
    done = run("restore", "in", "in", "--format", "jpg")
    assert done.exit_code == 1
    assert done.output.count("is input and output at once") == 2

"""`aic encode --into jpeg`."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageCms

from imgcodec import cli

ORIENTATION, MAKER = 0x112, 0x10F


def picture(mode="RGB", height=40, width=64):
    y, x = np.mgrid[:height, :width]
    plane = 120 + 90 * np.sin(x / 7 + y / 11)
    pixels = np.stack([plane, plane[::-1], 255 - plane], -1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture().save("a.png")
    return lambda *words: CliRunner().invoke(
        cli.main, ["encode", *map(str, words), "--into", "jpeg"]
    )


def test_a_picture_becomes_a_jpeg_file_that_is_restored(run):
    done = run("a.png", "a.jpg", "--verbose")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("a.jpg: ")
    assert "quality 75" in done.output
    assert "prepare" in done.output
    with Image.open("a.jpg") as found:
        assert (found.format, found.size, found.mode) == ("JPEG", (64, 40), "RGB")
    again = CliRunner().invoke(cli.main, ["restore", "a.jpg", "b.png"])
    assert again.exit_code == 0, again.output
    with Image.open("b.png") as found:
        assert np.abs(np.asarray(found).astype(int) - np.asarray(picture())).mean() < 4


def test_metadata_are_kept_and_the_picture_turned(run):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "someone"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save("t.jpg", exif=exif, icc_profile=icc, xmp=b"<x:xmpmeta/>")
    assert run("t.jpg", "u.jpg").exit_code == 0
    with Image.open("u.jpg") as found:
        assert found.size == (40, 64)
        assert found.info["icc_profile"] == icc
        assert found.info["xmp"] == b"<x:xmpmeta/>"
        assert found.getexif()[MAKER] == "someone"
        assert found.getexif().get(ORIENTATION, 1) == 1
    assert run("t.jpg", "v.jpg", "--metadata", "icc").exit_code == 0
    with Image.open("v.jpg") as found:
        assert "xmp" not in found.info
        assert not found.getexif()


def test_what_a_jpeg_file_cannot_have_is_told_or_refused(run):
    Image.open("a.png").save("long.webp", xmp=b"x" * 70000, lossless=True)
    done = run("long.webp", "long.jpg")
    assert done.exit_code == 0, done.output
    assert "long.jpg: without xmp (70000 bytes, at most 65504 fit into a JPEG file)" in done.output
    done = run("long.webp", "other.jpg", "--strict")
    assert done.exit_code == 1
    assert "other.jpg: cannot have xmp" in done.output


def test_transparency_is_asked_about(run, tmp_path):
    clear = picture("RGBA")
    clear.putalpha(100)
    clear.save("c.png")
    done = run("c.png", "c.jpg")
    assert done.exit_code == 1
    assert done.output == (
        "Error: c.jpg: cannot be transparent, as c.png is: --alpha drop or --alpha white\n"
    )
    assert not (tmp_path / "c.jpg").exists()
    assert run("c.png", "c.jpg", "--alpha", "white").exit_code == 0
    with Image.open("c.jpg") as found:
        assert np.asarray(found).mean() > np.asarray(picture()).mean() + 20


@pytest.mark.parametrize(
    "words",
    [
        ["--roi", "0,0,8,8"], ["--tune", "eye"], ["--psnr", "30"], ["--ms-ssim", "0.9"],
        ["--ssimulacra2", "70"], ["--tile", "256"], ["--entropy", "none"], ["--dry-run"],
        ["--device", "cpu"], ["--cluster", "local"], ["--report", "r.csv"], ["--measure", "psnr"],
        ["--lossless"], ["--lossy"],
    ],
)  # fmt: skip
def test_options_that_mean_nothing_here_are_refused(run, words, tmp_path):
    done = run("a.png", "a.jpg", *words)
    assert done.exit_code == 2
    assert done.output.endswith(f"Error: {words[0]} does not go with --into jpeg\n")
    assert not (tmp_path / "a.jpg").exists()


def test_other_mistakes_are_told_in_one_line(run, tmp_path):
    for words, code, told in (
        (["a.png", "a.aic"], 1, "a.aic: suffix '.aic' is not .jpg or .jpeg"),
        (["a.png", "a.jpg", "--quality", "0.5"], 2, "--quality is 1..100 with --into jpeg"),
        (["a.png", "a.jpg", "--rate", "1", "--size", "9k"], 2, "only one of"),
        (["a.png", "a.jpg", "--size", "100"], 1, "at quality 1, of 100 at most"),
        (["a.png", "a.jpg", "--alpha", "nocolour"], 2, "nocolour"),
        (["a.png", "a.jpg", "--max-pixels", "99"], 1, "a.png: "),
        (["a.png", "a.jpg", "--crop", "0,0,99,99"], 1, "a.png: "),
    ):
        done = run(*words)
        assert (done.exit_code, told in done.output.splitlines()[-1]) == (code, True), done.output
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_sizes_parts_and_streams(run, tmp_path):
    assert run("a.png", "s.jpg", "--size", 1500).exit_code == 0
    assert 1200 < (tmp_path / "s.jpg").stat().st_size <= 1500
    assert run("a.png", "r.jpg", "--rate", 4).exit_code == 0
    assert (tmp_path / "r.jpg").stat().st_size <= 4 * 40 * 64 / 8
    assert run("a.png", "p.jpg", "--crop", "8,8,30,20", "--resize", "50%").exit_code == 0
    with Image.open("p.jpg") as found:
        assert found.size == (15, 10)
    words = ["encode", "-", "-", "--into", "jpeg", "--effort", "2"]
    done = CliRunner().invoke(cli.main, words, input=(tmp_path / "a.png").read_bytes())
    assert done.exit_code == 0
    with Image.open(io.BytesIO(done.stdout_bytes)) as found:
        assert found.format == "JPEG"


def test_folders_are_gone_through_and_what_is_there_is_kept(run, tmp_path):
    (tmp_path / "in").mkdir()
    picture().save("in/a.png")
    picture("L").save("in/b.png")
    done = run("in", "out", "--jobs", "2")
    assert done.exit_code == 0, done.output
    with Image.open("out/b.jpg") as found:
        assert found.mode == "L"
    assert "2 files are up to date" in run("in", "out").output
    done = run("in", "out", "--quality", "50")
    assert done.exit_code == 1
    assert "a.jpg: exists, not with quality 50, and is kept without --force" in done.output
    for size in ("100", "9k"):
        done = run("in", "out", "--size", size)
        assert "a.jpg: exists, not with at most" in done.output
    done = run("in", "out", "--resize", "50%")
    assert "a.jpg: holds a picture of 64x40 pixels, in/a.png would give 32x20" in done.output
    assert run("in", "small", "--size", "1200").exit_code == 0
    assert "2 files are up to date" in run("in", "small", "--size", "1200").output
    assert run("in", "out", "--quality", "50", "--force").exit_code == 0
    (tmp_path / "out" / "a.jpg").write_bytes(b"something else")
    done = run("in", "out", "--quality", "50")
    assert "a.jpg: exists (not a JPEG file), and is kept without --force" in done.output
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"something else"


def test_a_damaged_jpeg_file_is_told_or_refused(run, tmp_path):
    picture().save("whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:-100])
    (tmp_path / "short.jpg").write_bytes(whole[:-100] + whole[-2:])
    for words in (["cut.jpg", "b.jpg"], ["short.jpg", "b.jpg", "--strict"]):
        done = run(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "b.jpg").exists()
    done = run("short.jpg", "b.jpg")
    assert done.exit_code == 0
    assert "short.jpg: it is damaged (" in done.stderr


def test_a_file_of_half_the_size_is_restored_at_the_whole(run, tmp_path):
    exif = Image.Exif()
    exif[MAKER] = "someone"
    exif.get_ifd(0x8769)[0xA002] = 64  # its width
    picture().save("e.png", exif=exif)
    done = run("e.png", "h.jpg", "--half", "--rate", "2")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "h.jpg").stat().st_size <= 2 * 40 * 64 / 8
    with Image.open("h.jpg") as found:
        assert found.size == (32, 20)
        assert found.getexif().get_ifd(0x8769)[0xA002] == 32
    again = CliRunner().invoke(cli.main, ["restore", "h.jpg", "h.png", "--strict"])
    assert again.exit_code == 0, again.output
    with Image.open("h.png") as found:
        assert found.size == (64, 40)
        assert found.getexif().get_ifd(0x8769)[0xA002] == 64
        assert np.abs(np.asarray(found).astype(int) - np.asarray(picture())).mean() < 9


def test_half_the_size_is_part_of_what_is_kept(run, tmp_path):
    (tmp_path / "in").mkdir()
    picture().save("in/a.png")
    assert run("in", "out", "--half").exit_code == 0
    made = (tmp_path / "out" / "a.jpg").read_bytes()
    assert run("in", "out", "--half").exit_code == 0
    done = run("in", "out")
    assert done.exit_code == 1
    assert "exists, not with quality 75 at whole size" in done.output
    assert (tmp_path / "out" / "a.jpg").read_bytes() == made
    assert run("in", "out", "--force").exit_code == 0
    done = run("in", "out", "--half")
    assert done.exit_code == 1
    assert "exists, not with quality 75 at half the size" in done.output


def test_half_is_for_jpeg_files_alone(run, tmp_path):
    done = CliRunner().invoke(cli.main, ["encode", "a.png", "a.aic", "--half"])
    assert done.exit_code == 2
    assert "--half goes with --into jpeg alone" in done.output
    assert not (tmp_path / "a.aic").exists()


def test_a_folder_does_not_feed_on_its_own_files(run, tmp_path):
    (tmp_path / "in").mkdir()
    picture().save(tmp_path / "in" / "a.jpg")
    assert run("in", "in/out", "--quality", 40).exit_code == 0
    again = run("in", "in/out", "--quality", 40)
    assert again.exit_code == 0, again.output
    assert "left alone: 1 file" in again.output
    by_pattern = run("in/**/*.jpg", "in/out", "--quality", 40)
    assert "left alone: 1 file" in by_pattern.output
    assert sorted(path.name for path in (tmp_path / "in").rglob("*")) == ["a.jpg", "a.jpg", "out"]


def test_a_file_of_half_the_size_is_told(run, tmp_path):
    assert run("a.png", "half.jpg", "--half").exit_code == 0
    done = run("half.jpg", "again.jpg")
    assert done.exit_code == 0
    assert "half.jpg: has half the size of its picture, 64x40, which aic restore" in done.output
    assert run("half.jpg", "strict.jpg", "--strict").exit_code == 1

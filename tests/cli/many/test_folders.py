"""Many files: which become which, what is done again, and how often the system is asked."""

import ntpath
import os
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePath, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_cli import FakeCodec, assert_refused, assert_usage, names

from imgcodec.cli.many import batch, cluster, targets
from imgcodec.cli.many.shards import Row
from imgcodec.format import container
from imgcodec.releases import DEFAULT_TUNE, NEWEST


def picture(path, grey=9):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4), grey).save(path, "PNG")
    return path


def date(path, source):
    """Give a file the time of another."""
    time = source.stat().st_mtime_ns
    os.utime(path, ns=(time, time))


def made(words):
    """What files are called once they are made; ! for those that are not."""
    found = targets.target_names([Path(word) for word in words.split()], ".aic")
    return " ".join("!" if rival is not None else str(name) for name, rival in found)


# ---- names


def test_names_that_macos_takes_for_one(monkeypatch):
    names = "a.png A.jpg \u00e9.png E\u0301.jpg b.png"
    assert made(names) == "a.aic A.aic \u00e9.aic E\u0301.aic b.aic"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert made(names) == "a.png.aic A.jpg.aic \u00e9.png.aic E\u0301.jpg.aic b.aic"


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        ("a.png b.jpg", "a.aic b.aic"),
        ("a.png a.jpg", "a.png.aic a.jpg.aic"),
        ("a.png a.PNG", "a.png.aic a.PNG.aic"),
        ("a.png a.png.png", "a.aic a.png.aic"),
        ("a.png a.jpg a.png.png", "a.png.aic a.jpg.aic a.png.png.aic"),
        ("a.png a.jpg a.jpg.png b.tif", "a.png.aic a.jpg.aic a.jpg.png.aic b.aic"),
        ("a a.png", "a.aic a.png.aic"),
        ("x/a.png y/a.jpg", "x/a.aic y/a.aic"),
        ("a.png b.png a.png", "! b.aic !"),
    ],
)  # fmt: skip
def test_no_two_files_get_one_name(sources, wanted):
    assert made(sources) == wanted
    backwards = " ".join(reversed(sources.split()))
    assert made(backwards) == " ".join(reversed(wanted.split()))


def test_each_of_similar_names_is_made(aic, tmp_path):
    for number, name in enumerate(("a.png", "a.jpg", "a.png.png")):
        picture(tmp_path / "in" / name, number)
    out = tmp_path / "out"
    assert aic("encode", tmp_path / "in", out, "--force").exit_code == 0
    assert names(out) == ["a.jpg.aic", "a.png.aic", "a.png.png.aic"]
    assert len({path.read_bytes() for path in out.iterdir()}) == 3


def test_work_grows_as_the_number_of_files(tmp_path, monkeypatch):
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
        (tmp_path / f"{number // 10}" / "in").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{number // 10}" / "in" / f"{number}.jpg").touch()
    calls = Counter()
    equal, scandir = PurePath.__eq__, os.scandir

    def counted(name, function):
        def call(*words):
            calls[name] += 1
            return function(*words)

        return call

    monkeypatch.setattr(PurePath, "__eq__", counted("compare", equal))
    monkeypatch.setattr(os, "scandir", counted("scan", scandir))
    listing = targets.find([str(tmp_path)], str(tmp_path), (".png", ".jpg"), ".aic")
    monkeypatch.undo()
    assert len(listing.tasks) == 600
    assert calls["compare"] <= 2 * 600
    assert calls["scan"] == 61  # one for each folder


@pytest.mark.parametrize("size", [None, (64, 64)])
def test_the_first_file_is_made_before_the_last_is_looked_at(tmp_path, size):
    class Work:
        looked = made = 0
        dates, device = False, "cpu"

        def size(self, source):
            self.looked += 1
            assert self.made or self.looked <= 300
            return size

        def __call__(self, task, member=None):
            self.made += 1
            task.target.touch()
            return "done"

    (tmp_path / "a.png").touch()
    todo = [targets.Task(tmp_path / "a.png", tmp_path / f"{n}.aic") for n in range(1000)]
    work = Work()
    outcomes = batch.run(todo, work, 1)
    assert next(outcomes).line == "done"
    assert work.looked <= 300
    assert len(list(outcomes)) == 999


# ---- words


def test_several_files_go_into_a_folder(aic, tmp_path):
    a, b, c = (picture(tmp_path / name) for name in ("a.png", "b.png", "more/c.png"))
    for number, out in enumerate((tmp_path / "o0", f"{tmp_path}/o1/")):
        assert aic("encode", a, b, c.parent, a, out, "--quiet").exit_code == 0
        assert names(tmp_path / f"o{number}") == ["a.aic", "b.aic", os.path.join("more", "c.aic")]
    made = sorted((tmp_path / "o0").glob("*.aic"))
    assert aic("decode", *made, tmp_path / "back", "--quiet").exit_code == 0
    assert names(tmp_path / "back") == ["a.png", "b.png"]


def test_files_of_one_name_from_several_folders_are_refused(aic, tmp_path):
    one, two = picture(tmp_path / "1" / "a.png"), picture(tmp_path / "2" / "a.png")
    other = picture(tmp_path / "b.png")
    result = aic("encode", one, two, other, tmp_path / "out")
    assert result.exit_code == 1
    assert f"{one}: {tmp_path / 'out' / 'a.png.aic'} would be made of {two}, too" in result.stderr
    assert result.stderr.endswith("Error: 2 of 3 files failed\n")
    assert names(tmp_path / "out") == ["b.aic"]


def test_a_file_where_a_folder_is_needed_costs_no_other(aic, tmp_path):
    one = picture(tmp_path / "in" / "a.png")
    two = picture(tmp_path / "in" / "sub" / "b.png")
    out = tmp_path / "out"
    picture(out / "sub")
    result = aic("encode", one.parent, out)
    assert result.exit_code == 1
    assert f"{two}: {out / 'sub' / 'b.aic'}: {out / 'sub'} is no folder\n" in result.stderr
    assert names(out) == ["a.aic", "sub"]


@pytest.mark.parametrize("ends_in", ["work", "telling"])
def test_a_report_is_kept_where_a_run_is_interrupted(tmp_path, ends_in):
    path, row = tmp_path / "report.csv", Row("a.png", "a.aic", "")

    def rows():
        yield row
        raise KeyboardInterrupt

    found = cluster.reporting(rows(), path, force=False)
    assert next(found) == row
    if ends_in == "telling":
        found.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            next(found)
    assert path.read_text().splitlines()[1].startswith("a.png,a.aic,")
    assert names(tmp_path) == ["report.csv"]


def test_folders_of_two_drives_are_apart(monkeypatch):
    """As Windows has them."""
    places = SimpleNamespace(isdir=bool, realpath=str, commonpath=ntpath.commonpath)
    monkeypatch.setattr(targets, "os", SimpleNamespace(path=places))
    monkeypatch.setattr(targets, "Path", PureWindowsPath)
    assert targets._is_below("C:\\out\\a", "C:\\out")
    assert not targets._is_below("C:\\out", "C:\\out")
    assert not targets._is_below("D:\\in", "C:\\out")


def test_a_source_that_is_gone_is_told_where_its_file_is_there(aic, tmp_path):
    path = picture(tmp_path / "in" / "a.png")
    assert aic("encode", path.parent, tmp_path / "out").exit_code == 0
    path.unlink()
    path.symlink_to("nowhere")
    result = aic("encode", path.parent, tmp_path / "out")
    assert result.stderr.startswith(f"{path}: no such file or directory\n")


def test_a_target_with_a_slash_is_a_folder(aic, photo, tmp_path):
    assert aic("encode", photo, f"{tmp_path}/new/").exit_code == 0
    assert names(tmp_path / "new") == ["photo.aic"]


def test_words_that_cannot_be_meant(aic, photo, coded, tmp_path):
    assert_usage(aic("encode", "-", photo, tmp_path), "single file")
    assert_usage(aic("encode", photo, photo, "-"), "single file")
    assert_refused(aic("encode", photo, photo, coded), "is no folder")
    assert_refused(aic("encode", photo, f"{coded}{os.sep}"), "is no folder")
    assert_refused(aic("encode", tmp_path / "no.png", tmp_path), "no.png: is not there")
    result = aic("encode", tmp_path / "no.png", photo, tmp_path / "out")
    assert (result.exit_code, names(tmp_path / "out")) == (1, ["photo.aic"])
    assert result.stderr.startswith(f"{tmp_path / 'no.png'}: is not there\n")


def test_words_that_are_no_files_are_told_what_they_are(aic, photo, tmp_path):
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    (tmp_path / "round.png").symlink_to("round.png")
    for name, why in [
        ("lost.png", "leads to nothing"),
        ("round.png", "too many levels of symbolic links"),
        ("x" * 300, "file name too long"),
        ("photo.png/a.png", "not a directory"),
    ]:
        result = aic("encode", tmp_path / name, photo, tmp_path / "out")
        assert f"{tmp_path / name}: {why}\n" in result.stderr


def test_an_empty_name_is_not_the_folder_at_hand(aic, photo, coded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = names(tmp_path)
    for words in (["encode", tmp_path, ""], ["encode", "", photo, "out"], ["decode", coded, ""]):
        assert_usage(aic(*words), "is empty")
    assert_usage(aic("trim", coded, "", "--rate", "1"), "is empty")
    assert_usage(aic("bench", ".", "--codec", "jpeg", "--cache", ""), "is empty")
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["victim.png", "victim", "victim.aic.bak"])
@pytest.mark.parametrize("command", ["encode", "trim"])
def test_only_aic_files_are_replaced_by_aic_files(aic, command, name, photo, coded, tmp_path):
    victim = tmp_path / name
    victim.write_bytes(b"precious")
    words = [photo, victim] if command == "encode" else [coded, victim, "--rate", "1"]
    assert_refused(aic(command, *words, "--force"), "is not .aic")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["victim.png", "victim.JPEG", "victim.aic"])
@pytest.mark.parametrize("command", ["unpack", "bench", "train"])
def test_pictures_are_not_replaced_by_other_files(aic, command, name, photo, coded, tmp_path):
    victim = tmp_path / name
    victim.write_bytes(b"precious")
    words = {
        "unpack": ["unpack", coded, victim],
        "bench": ["bench", tmp_path, "--codec", "jpeg", "--json", victim],
        "train": ["train", "--resume", coded, "--export", victim],
    }[command]
    result = aic(*words, "--force")
    if (command, name) == ("unpack", "victim.JPEG"):
        assert_refused(result, "no packed JPEG file")
    else:
        assert_refused(result, "is that of another kind of file")
    assert victim.read_bytes() == b"precious"


# ---- folders


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_are_followed_once(aic, tmp_path):
    inside, beside = tmp_path / "in", tmp_path / "beside"
    picture(inside / "z" / "a.png")
    picture(beside / "b.png")
    (inside / "z" / "up").symlink_to(inside)
    (inside / "again").symlink_to(inside / "z")
    (inside / "far").symlink_to(beside)
    (beside / "back").symlink_to(inside)
    (inside / "lost.png").symlink_to(tmp_path / "nothing")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    for source, out in ((inside, "o1"), (inside / "**" / "*.png", "o2")):
        result = aic("encode", source, tmp_path / out)
        assert result.exit_code == 1
        assert names(tmp_path / out) == [os.path.join("far", "b.aic"), os.path.join("z", "a.aic")]
        assert f"{inside / 'again'}: leads to a folder that is read already\n" in result.stderr
        assert result.stderr.count("lost.png: no such file or directory\n") == 1
        assert result.stderr.endswith("Error: 2 of 4 files failed\n")


@pytest.mark.skipif(os.name != "posix", reason="there are no such files on Windows")
def test_files_of_other_kinds_are_counted(aic, album, tmp_path):
    (album / "broken.png").unlink()
    os.mkfifo(album / "pipe.png")  # which nobody writes to
    (album / "old.aic").touch()
    result = aic("encode", album, tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, f"{album}: left alone: 2 of other kinds\n")
    assert aic("encode", album, tmp_path / "out", "--quiet").output == ""
    assert_refused(aic("encode", album / "pipe.png", tmp_path / "out"), "is not a regular file")


def refusing(monkeypatch, closed):
    """Let the system refuse a folder, which it does not do for every user."""
    scandir = os.scandir

    def refuse(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("pattern", ["", "**/*.png", "*/*.png"])
def test_a_closed_folder_is_named(aic, tmp_path, monkeypatch, pattern):
    picture(tmp_path / "in" / "open" / "a.png")
    picture(tmp_path / "in" / "closed" / "b.png")
    refusing(monkeypatch, tmp_path / "in" / "closed")
    result = aic("encode", tmp_path / "in" / pattern, tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{tmp_path / 'in' / 'closed'}: permission denied", "Error: 1 of 2 files failed",
    ]  # fmt: skip
    assert names(tmp_path / "out") == [os.path.join("open", "a.aic")]
    refusing(monkeypatch, tmp_path / "in")
    assert_refused(aic("encode", tmp_path / "in" / pattern, tmp_path / "o2"), "in: permission")


def test_a_pattern_that_nothing_matches_is_named(aic, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "a.png")
    words = [tmp_path / "in" / "*.png", tmp_path / "in" / "*.jpg"]
    result = aic("encode", *words, tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == f"{words[1]}: no file matches\nError: 1 of 2 files failed\n"
    assert (tmp_path / "out" / "a.aic").exists()
    assert_refused(aic("encode", words[1], tmp_path / "out"), r"\*\.jpg: no file matches")


def test_patterns_are_those_of_shells(aic, tmp_path):
    for name in ("a.png", "b1.png", "x/c.png", "x/y/d.png", ".hidden/e.png", ".f.png"):
        picture(tmp_path / "in" / name)
    for pattern, wanted in (
        ("*.png", "a b1"), ("[ab].png", "a"), ("b?.png", "b1"), ("*/*.png", "x/c"),
        ("**/*.png", "a b1 x/c x/y/d"), ("x/**/d.*", "y/d"), ("**", "a b1 x/c x/y/d"),
        (".*/*.png", ".hidden/e"), ("**/x/**/*.png", "x/c x/y/d"),
    ):  # fmt: skip
        found = targets.find([str(tmp_path / "in" / pattern)], "out", (".png",), ".aic")
        assert [t.target for t in found.tasks] == [Path("out", f"{w}.aic") for w in wanted.split()]


# ---- what is done again


@pytest.fixture
def archive(aic, tmp_path):
    """A folder with two pictures, and their files."""
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    assert aic("encode", tmp_path / "in", tmp_path / "out").exit_code == 0
    return tmp_path / "in", tmp_path / "out"


def test_outdated_files_are_made_again(aic, archive):
    pictures, out = archive
    Image.fromarray(np.arange(70, dtype=np.uint8).reshape(7, 10)).save(pictures / "a.png")
    os.utime(out / "a.aic", (1, 1))
    result = aic("encode", pictures, out)
    told = f"{out / 'a.aic'}: is older than {pictures / 'a.png'}, and is made again\n"
    assert (result.exit_code, result.stderr) == (0, told)
    assert container.unpack((out / "a.aic").read_bytes())[0].width == 10
    assert result.stdout.endswith("1 file is up to date\n")


@pytest.mark.parametrize("age", ["older", "newer"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"handmade", "8 bytes, a header has"), (None, "bytes, the header claims"), (b"", "0 bytes")],
)
def test_what_aic_did_not_make_is_kept(aic, archive, age, data, reason):
    pictures, out = archive
    data = (out / "a.aic").read_bytes()[:-1] if data is None else data
    (out / "a.aic").write_bytes(data)
    if age == "older":
        os.utime(out / "a.aic", (1, 1))
    result = aic("encode", pictures, out, "--quiet")
    assert result.exit_code == 1
    assert "a.aic: exists (" in result.stderr
    assert reason in result.stderr
    assert "and is kept without --force\nError: 1 of 2 files failed\n" in result.stderr
    assert (out / "a.aic").read_bytes() == data


def test_pictures_are_not_replaced_by_decoding_newer_files(aic, archive):
    """They may be the originals."""
    pictures, out = archive
    before = (pictures / "a.png").read_bytes()
    os.utime(pictures / "a.png", (1, 1))
    result = aic("decode", out, pictures, "--quiet")
    assert result.exit_code == 1
    assert "a.png: exists, is older, and is kept without --force" in result.stderr
    assert (pictures / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quality", "69"], ""),
        (["--quality", "70"], "quality 69, not 70"),
        (["--size", "20"], "bytes, not 20"),
        (["--size", "5000"], "bytes, not 5000"),
        (["--rate", "0.5"], "bytes, not 1"),
        (["--entropy", "none"], "--entropy range, not --entropy none"),
        (["--tile", "64"], ""),  # more than the picture has
        (["--psnr", "30"], ""),  # a file does not tell
        (["--effort", "2"], ""),
    ],
)
def test_other_settings_are_named(aic, archive, words, told):
    pictures, out = archive
    result = aic("encode", pictures, out, *words)
    if not told:
        assert (result.exit_code, result.stdout) == (0, "2 files are up to date\n")
        return
    assert result.exit_code == 1
    assert result.stderr.count(f"{told}, and is kept without --force\n") == 2
    assert aic("encode", pictures, out, *words, "--force").exit_code == 0


def test_other_weights_and_tiles_are_named(aic, archive):
    pictures, out = archive
    path = out / "a.aic"
    (pictures / "b.png").unlink()
    header, tiles, _ = container.unpack(path.read_bytes())
    path.write_bytes(container.pack(replace(header, model_id=NEWEST["ms-ssim"].model_id), tiles))
    date(path, pictures / "a.png")
    assert "with --tune ms-ssim, not --tune eye" in aic("encode", pictures, out).stderr
    words = ("--tune", "ms-ssim", "--quality", "69")
    assert aic("encode", pictures, out, *words).exit_code == 0
    Image.new("RGB", (100, 80)).save(pictures / "a.png")
    os.utime(pictures / "a.png", (1, 1))
    header = replace(header, width=100, height=80, tile=1)
    path.write_bytes(container.pack(header, [b""] * 4))
    date(path, pictures / "a.png")
    assert "with tiles of 64, not one tile" in aic("encode", pictures, out).stderr
    assert aic("encode", pictures, out, "--tile", "64").exit_code == 0


def test_a_file_that_a_rate_made_is_of_that_rate(aic, archive, monkeypatch):
    """The codec keeps to the room, and comes near it."""
    pictures, out = archive
    size = 4000

    def encode(self, image, **_):
        header = container.Header(6, 4, 1, 1, 9, 0, NEWEST[DEFAULT_TUNE].model_id)
        data = container.pack(header, [bytes(size - 41)])
        return whole(self, image).__class__(data, whole(self, image).report)

    whole = FakeCodec.encode
    monkeypatch.setattr(FakeCodec, "encode", encode)
    assert aic("encode", pictures, out, "--size", "4000", "--force").exit_code == 0
    for asked, current in (("4000", True), ("4040", True), ("4100", False), ("3999", False)):
        assert (aic("encode", pictures, out, "--size", asked).exit_code == 0) is current


def test_modes_of_files_made_again_are_kept(aic, archive):
    pictures, out = archive
    (out / "a.aic").chmod(0o600)
    os.utime(out / "a.aic", (1, 1))
    assert aic("encode", pictures, out).exit_code == 0
    assert stat.S_IMODE((out / "a.aic").stat().st_mode) == (0o600 if os.name == "posix" else 0o666)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("20K", 20000), ("20kb", 20000), ("20KB", 20000), ("1.5MB", 1500000), ("1 MiB", 2**20),
        ("20KiB", 20480), ("3m", 3000000), ("100b", 100), ("1g", 10**9), ("2 kib", 2048),
    ],
)  # fmt: skip
def test_sizes(aic, photo, tmp_path, words, size):
    assert aic("encode", photo, tmp_path / "a.aic", "--size", words).exit_code == 0
    assert FakeCodec.targets[-1].value == size


@pytest.mark.parametrize("words", ["1i", "iB", "k", "1kk", "0.5", "9" * 400, "1e3", "1  k", "٣k"])
def test_sizes_that_are_none(aic, photo, tmp_path, words):
    assert_usage(aic("encode", photo, tmp_path / "a.aic", "--size", words), "is not a size")


def test_a_file_of_another_picture_is_not_up_to_date(aic, archive, tmp_path):
    """Two folders with pictures of one name, into one: the second is neither lost nor skipped."""
    _, out = archive
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (21, 9), "red").save(other / "a.png")
    before = (out / "a.aic").read_bytes()
    os.utime(other / "a.png", (1, 1))
    result = aic("encode", other, out)
    assert result.exit_code == 1
    assert "holds a picture of" in result.stderr
    assert (out / "a.aic").read_bytes() == before


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("age", [-100, 100])
def test_another_picture_of_the_same_name_and_size_is_never_up_to_date(
    aic, archive, tmp_path, suffix, age
):
    pictures, out = archive
    other = tmp_path / "other"
    other.mkdir()
    image = Image.open(pictures / "a.png")
    image.point(lambda grey: 255 - grey).save(other / f"a{suffix}")
    time = (pictures / "a.png").stat().st_mtime + age
    os.utime(other / f"a{suffix}", (time, time))
    before = (out / "a.aic").read_bytes()
    result = aic("encode", other, out)
    if age > 0:  # it may be the same picture, edited
        assert f"a.aic: is older than {other / f'a{suffix}'}, and is made again" in result.stderr
        assert (out / "a.aic").read_bytes() != before
    else:
        assert result.exit_code == 1
        told = f"{other / f'a{suffix}'}: {out / 'a.aic'}: exists, and may be made of another file"
        assert told in result.stderr
        assert (out / "a.aic").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [["--region", "0,0,2,2"], ["--max-rate", "0.1"], ["--alpha", "drop"], ["--metadata", "none"]],
)
def test_pictures_decoded_in_part_are_not_up_to_date(aic, archive, tmp_path, words):
    _, out = archive
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder, first, second in ((whole, [], words), (part, words, [])):
        assert aic("decode", out, folder, *first).exit_code == 0
        result = aic("decode", out, folder, *second)
        assert result.exit_code == 1
        assert result.stderr.count("or in another way; it is kept without --force") == 2
        assert aic("decode", out, folder, *second, "--force").exit_code == 0
    assert aic("decode", out, part).stdout == "2 files are up to date\n"


def test_what_is_whole_is_up_to_date_with_keep_going(aic, archive, tmp_path, monkeypatch):
    originals, out = archive
    assert aic("encode", picture(originals / "b.png", 7), out, "--force").exit_code == 0
    work, pictures = FakeCodec.decode_rows, tmp_path / "pictures"
    bad = (out / "b.aic").read_bytes()

    def damaged(self, data, take, *words):
        report = work(self, data, take, *words)
        is_bad = container.File(data).tile(0) == container.File(bad).tile(0)
        return replace(report, damaged={0: "tile 0 is cut"} if is_bad else {})

    assert aic("decode", out, pictures).exit_code == 0
    monkeypatch.setattr(FakeCodec, "decode_rows", damaged)
    for words in (["--keep-going", "--force"], ["--keep-going"], []):
        result = aic("decode", out, pictures, *words)
        assert result.exit_code == 1
        assert result.stderr.endswith("Error: 1 of 2 files failed\n")
        assert ("1 file is up to date" in result.stdout) == ("--force" not in words)


@pytest.mark.parametrize(
    ("made", "source", "same"),
    [
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789, True),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_790, False),
        (1_700_000_000_123_456_700, 1_700_000_000_123_456_789, True),  # NTFS
        (1_700_000_001_000_000_000, 1_700_000_001_987_654_321, True),  # seconds only
        (1_700_000_000_000_000_000, 1_700_000_001_987_654_321, True),  # FAT
        (1_700_000_000_000_000_000, 1_700_000_002_000_000_000, False),
        (1_700_000_002_000_000_000, 1_700_000_001_987_654_321, False),
    ],
)
def test_times_of_coarse_file_systems(made, source, same):
    assert batch._is_time_of(made, source) is same


def test_what_is_not_to_be_kept_any_more_is_named(aic, tmp_path):
    pictures, out = tmp_path / "pictures", tmp_path / "files"
    pictures.mkdir()
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.new("RGBA", (20, 12), (200, 30, 90, 128)).save(pictures / "a.png", exif=exif)
    assert aic("encode", pictures, out).exit_code == 0
    for words, told in (
        (["--metadata", "none"], "exists with exif, and"),
        (["--alpha", "drop"], "exists with transparency, and"),
    ):
        result = aic("encode", pictures, out, *words)
        assert (result.exit_code, told in result.stderr) == (1, True), result.stderr


def test_a_link_to_a_picture_is_no_place_for_a_file(aic, photo, tmp_path):
    victim, link = tmp_path / "victim.png", tmp_path / "link.aic"
    Image.new("RGB", (8, 8)).save(victim)
    before = victim.read_bytes()
    link.symlink_to(victim)
    assert_refused(aic("encode", photo, link, "--force"), "victim.png: suffix '.png' is not .aic")
    json = tmp_path / "link.json"
    json.symlink_to(victim)
    result = aic("bench", tmp_path, "--codec", "jpeg", "--json", json, "--force")
    assert_refused(result, "victim.png: suffix '.png' is that of another kind of file")
    assert victim.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="no named pipes")
@pytest.mark.parametrize("words", [("encode",), ("encode", "--into", "jpeg"), ("pack",)])
def test_a_pipe_that_stands_where_a_file_would_is_refused(aic, tmp_path, words):
    jpeg = words[1:] == ("--into", "jpeg")
    source, out = tmp_path / "in", tmp_path / "out"
    picture(source / "a.png").rename(source / ("a.png" if words[0] == "encode" else "a.jpg"))
    out.mkdir()
    pipe = out / ("a.jpg" if jpeg else "a.aic")
    os.mkfifo(pipe)
    result = aic(words[0], source, out, *words[1:])
    assert (result.exit_code, f"{pipe}: is not a regular file\n" in result.stderr) == (1, True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="no named pipes")
def test_pipes_are_counted_as_left_alone(aic, tmp_path):
    picture(tmp_path / "in" / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "c.jpg")
    os.mkfifo(tmp_path / "in" / "b.jpg")
    told = "left alone: 1 of other kinds"
    for words in (("encode", "--into", "jpeg"), ("restore", "--format", "jpg"), ("encode",)):
        result = aic(words[0], tmp_path / "in", tmp_path / "-".join(words), *words[1:], "--force")
        assert result.stderr.count("left alone") == 1, words
    assert told in aic("encode", tmp_path / "in", tmp_path / "o").stderr
    result = aic("encode", f"{tmp_path}/in/*.jpg", tmp_path / "p")
    assert "left alone: 1 that are no files" in result.stderr


@pytest.mark.parametrize("order", [("q.png", "p"), ("p", "q.png")])
def test_no_input_is_written_over(aic, tmp_path, order):
    picture(tmp_path / "q.png")
    (tmp_path / "p").mkdir()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "p" / "q.jpg")
    before = (tmp_path / "p" / "q.jpg").read_bytes()
    words = [tmp_path / word for word in order]
    result = aic("encode", *words, tmp_path / "p", "--into", "jpeg", "--force")
    assert result.exit_code == 1
    assert f"{tmp_path / 'p' / 'q.jpg'} is another input" in result.stderr
    assert (tmp_path / "p" / "q.jpg").read_bytes() == before


def test_dots_behind_a_link_are_another_file(aic, tmp_path, monkeypatch):
    """`far/away/..` is `far`, by whatever link one came there."""
    monkeypatch.chdir(tmp_path)
    picture(Path("x.png"), 9)
    picture(Path("far/x.png"), 200)
    Path("far/away").mkdir()
    Path("link").symlink_to("far/away")
    result = aic("encode", "link/../x.png", "x.png", "out/")
    assert (result.exit_code, "would be made of" in result.stderr) == (1, True)
    same = "link/../x.png", "far/x.png", tmp_path / "far" / "x.png"
    assert aic("encode", *same, "once/").exit_code == 0
    assert names(Path("once")) == ["x.aic"]
    assert cluster.absolute("link/../x.png") == str(tmp_path / "link" / ".." / "x.png")


def test_a_source_that_is_gone_by_then_costs_nothing(aic, tmp_path, monkeypatch):
    source = picture(tmp_path / "in" / "a.png")
    encode = FakeCodec.encode

    def gone(self, *words, **named):
        source.unlink()
        return encode(self, *words, **named)

    monkeypatch.setattr(FakeCodec, "encode", gone)
    result = aic("encode", tmp_path / "in", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "out" / "a.aic").exists()


def test_a_closed_stderr_stops_no_folder(album, tmp_path):
    (album / "broken.png").unlink()
    words = [sys.executable, "-m", "imgcodec", "encode", str(album), str(tmp_path / "out")]
    code = "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4

"""Files: whole or not at all, and one line where the system refuses."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imgcodec import files
from imgcodec.errors import AicError


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("before", [b"precious", None])
def test_interrupted_write_leaves_things_as_they_were(tmp_path, monkeypatch, error, call, before):
    target = tmp_path / "a.aic"
    if before:
        target.write_bytes(before)
    seen = []

    def fail(*args):
        seen.extend(p for p in tmp_path.iterdir() if p != target)
        raise error

    monkeypatch.setattr(os, call, fail)
    expected = AicError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as info:
        files.write_bytes(target, b"new", force=True)
    monkeypatch.undo()
    if expected is AicError:
        assert str(info.value) == f"{target}: no space left on device"
    assert len(seen) == 1  # it was on its way beside the target
    assert list(tmp_path.iterdir()) == ([target] if before else [])
    if before:
        assert target.read_bytes() == before


def test_target_is_whole_at_the_moment_it_appears(tmp_path, monkeypatch):
    replace, contents = os.replace, []

    def spy(source, target):
        contents.append(Path(source).read_bytes())
        assert os.path.dirname(source) == os.path.dirname(target)  # so it is one step
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    files.write_bytes(tmp_path / "a", b"x" * 100_000)
    assert contents == [b"x" * 100_000]
    assert (tmp_path / "a").read_bytes() == contents[0]


WRITER = """
import sys
from imgcodec import files
print("ready", flush=True)
while True:
    files.write_bytes(sys.argv[1], b"x" * 3_000_000, force=True)
    files.write_bytes(sys.argv[1], b"y" * 2_000_000, force=True)
"""


def test_files_are_synced_where_they_may_be_written(tmp_path, monkeypatch):
    """Windows refuses it elsewhere."""
    fcntl = pytest.importorskip("fcntl")
    modes = []
    monkeypatch.setattr(os, "fsync", lambda fd: modes.append(fcntl.fcntl(fd, fcntl.F_GETFL)))
    files.write_bytes(tmp_path / "a", b"")
    assert [mode & os.O_ACCMODE for mode in modes] == [os.O_RDWR]


def test_a_read_only_file_is_not_replaced_on_windows(tmp_path, monkeypatch):
    """The system refuses it at the end, and to remove a temporary file that is read-only, too."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o444)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(AicError, match="a: is read-only, and no file takes its place on Windows"):
        files.check_free(tmp_path / "a", force=True)
    monkeypatch.undo()
    files.write_bytes(tmp_path / "a", b"new", force=True)
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("No such file.", "no such file"),
        ("HTTPS is not\nthere", "HTTPS is not there"),
        ("", "cannot be read (ValueError)"),
        ("A", "a"),
    ],
)
def test_what_a_library_reports_is_one_line(said, told):
    assert files.reason(ValueError(said)) == told


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    target = tmp_path / "a"
    chance = np.random.default_rng(0)
    for _ in range(20):
        target.write_bytes(b"z" * 1_000_000)
        words = [sys.executable, "-c", WRITER, str(target)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
        data = target.read_bytes()
        assert (data[:1], len(data)) in ((b"x", 3_000_000), (b"y", 2_000_000), (b"z", 1_000_000))
        assert data == data[:1] * len(data)


def test_only_regular_files_are_replaced(tmp_path):
    for target in (tmp_path, os.devnull):
        with pytest.raises(AicError, match="is not a regular file"):
            files.write_bytes(target, b"", force=True)
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_unwritable_folder_is_refused(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(AicError, match=rf"a\.aic: the folder {folder} may not be written$"):
            files.write_bytes(folder / "a.aic", b"")
    finally:
        folder.chmod(0o700)


def test_a_place_that_may_not_be_written_is_known_before(tmp_path, monkeypatch):
    """The same as above for those who may write everywhere; folders that are lacking, too."""
    closed, free = tmp_path / "closed", tmp_path / "free"
    closed.mkdir()
    free.mkdir()
    (closed / "old.aic").write_bytes(b"old")
    (free / "link.aic").symlink_to(closed / "old.aic")
    (free / "a file").touch()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and may(path, mode))
    line = f"the folder {closed} may not be written"
    for path in (closed / "a.aic", closed / "x" / "y" / "a.aic", free / "link.aic"):
        with pytest.raises(AicError) as caught:
            files.check_makeable(path)
        assert str(caught.value) == f"{path}: {line}"
    with pytest.raises(AicError, match=line):
        files.check_free(closed / "a.aic", force=False)
    with pytest.raises(AicError, match=f"{free / 'a file'} is no folder"):
        files.check_makeable(free / "a file" / "x" / "a.aic")
    files.check_makeable(free / "x" / "y" / "a.aic")


def test_refusal_of_the_system_is_one_line(tmp_path, monkeypatch):
    """The same as above for those who may write everywhere."""

    def fail(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(AicError, match=r"a\.aic: permission denied$"):
        files.write_bytes(tmp_path / "a.aic", b"")


def test_name_that_the_system_refuses_is_an_expected_error(tmp_path):
    with pytest.raises(AicError, match="name too long"):
        files.write_bytes(tmp_path / ("x" * 300), b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    files.write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "a").chmod(0o600)
    files.write_bytes(tmp_path / "a", b"", force=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_writing_goes_through_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_bytes(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_reading(tmp_path):
    for name, data in (("a", b"data"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        assert files.read_bytes(tmp_path / name) == data
    with files.stored(tmp_path / "a") as held, files.stored(tmp_path / "empty") as nothing:
        assert len(held) == 4
        assert [held.part(*ends) for ends in ((0, 4), (1, 3), (2, 9), (5, 9))] == [
            b"data", b"at", b"ta", b"",
        ]  # fmt: skip
        assert nothing == b""
    for read in (files.read_bytes, lambda path: files.stored(path).__enter__()):
        with pytest.raises(AicError, match="none: no such file or directory$"):
            read(tmp_path / "none")


def test_what_cannot_be_removed_is_told(tmp_path):
    files.remove(tmp_path / "none")
    with pytest.raises(AicError, match=f"^{tmp_path}: "):
        files.remove(tmp_path)
    (tmp_path / "a").touch()
    files.remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_there_without_its_date(tmp_path, monkeypatch):
    """A process that is killed between writing and dating would leave one that nobody accepts."""
    seen = []
    replace = os.replace

    def spy(source, target):
        seen.append(os.stat(source).st_mtime_ns)
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    with files.dating(10**18):
        files.write_bytes(tmp_path / "a", b"1")
    files.write_bytes(tmp_path / "b", b"1")
    assert seen[0] == (tmp_path / "a").stat().st_mtime_ns == 10**18
    assert seen[1] > 10**18

"""What the system does to a command: streams, signals, names, and what it refuses."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_cli import FakeCodec, assert_refused

from imgcodec import cli, files
from imgcodec.bench import cache
from imgcodec.cli import process, streams
from imgcodec.errors import AicError

POSIX = pytest.mark.skipif(os.name != "posix", reason="not on Windows")
FULL = Path("/dev/full")
NEEDS_FULL = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def shell(words, **named):
    """Run the command as a process of its own."""
    command = [sys.executable, "-m", "imgcodec", *map(str, words)]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, **named)


# ---- streams


@NEEDS_FULL
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["info", "-h"], ["info", "coded"]])
def test_a_full_stdout_is_one_line(words, coded):
    words = [coded if word == "coded" else word for word in words]
    with FULL.open("wb") as full:
        result = shell(words, stdout=full)
    assert result.returncode == 1
    assert result.stderr == b"Error: stdout: no space left on device\n"


@NEEDS_FULL
def test_a_full_stderr_ends_no_work():
    code = """
import sys
from imgcodec.cli import process
with process.alone_on_stderr():
    process.warn(False, "a.png", "without this and that")
    print("done", flush=True)
"""
    with FULL.open("wb") as full:
        words = [sys.executable, "-c", code]
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=full, check=False)
    assert (result.returncode, result.stdout) == (0, b"done\n")


@POSIX
def test_with_stderr_closed_errors_are_not_told_on_stdout(tmp_path):
    words = [sys.executable, "-m", "imgcodec", "info", str(tmp_path / "none.aic")]
    closing = ["sh", "-c", 'exec "$@" 2>&-', "sh", *words]
    result = subprocess.run(closing, stdout=subprocess.PIPE, check=False)
    assert (result.returncode, result.stdout) == (2, b"")


@POSIX
def test_a_stdout_that_nobody_reads_ends_quietly(coded):
    reading, writing = os.pipe()
    os.close(reading)
    result = shell(["info", coded], stdout=writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no such file system")
@pytest.mark.parametrize("case", ["whole", "cut", "filled in", "map"])
def test_streams_are_closed_before_their_folder_is_removed(
    aic, coded, tmp_path, monkeypatch, case
):
    """Windows removes no file that is open, whatever was wrong with it."""
    data, words = coded.read_bytes(), ["decode", "-", "-"]
    if case == "map":
        data, words = geotiff(tmp_path / "a.tif"), ["encode", "-", "-", "--measure", "psnr"]
    elif case != "whole":
        data, words = data[:-1], words + ["--keep-going"] * (case == "filled in")
    left, cleanup = [], tempfile.TemporaryDirectory.cleanup

    def spy(folder):
        numbers = os.listdir("/proc/self/fd")
        names = [os.path.realpath(f"/proc/self/fd/{number}") for number in numbers]
        left.append([name for name in names if name.startswith(os.path.realpath(folder.name))])
        cleanup(folder)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", spy)
    result = CliRunner().invoke(cli.main, words, input=data)
    assert result.exit_code == (0 if case == "whole" else 1), result.stderr
    assert left == [[]]


def geotiff(path):
    rasterio = pytest.importorskip("rasterio")
    place = rasterio.Affine(2, 0, 9, 0, -2, 9)
    with rasterio.open(
        path, "w", "GTiff", 16, 16, 3, crs="EPSG:32633", transform=place, dtype="uint8"
    ) as file:
        file.write(np.zeros((3, 16, 16), np.uint8))
    return path.read_bytes()


def test_a_folder_of_copies_with_an_odd_name_is_not_told(tmp_path, monkeypatch):
    folder = tmp_path / "a\u3000b"  # no printable character to Python
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for words in (["encode", "-", "-"], ["decode", "-", "-"]):
        result = CliRunner().invoke(cli.main, words, input=b"nothing")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: stdin: ")


def test_a_stdout_that_nobody_reads_on_windows(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SystemExit):
        process.refuse(OSError(errno.EINVAL, "Invalid argument"))
    assert capsys.readouterr().err == "Error: stdout: invalid argument\n"
    assert sys.stdout.closed


def test_closed_streams_are_refused(aic, photo, tmp_path, monkeypatch):
    target = tmp_path / "a.aic"
    for stream, words in (("stdin", ("-", str(target))), ("stdout", (str(photo), "-"))):
        with monkeypatch.context() as patch:
            patch.setattr(sys, stream, None)
            with pytest.raises(AicError, match=f"{stream}: is closed"):
                streams.as_files(*words, ".aic", False).__enter__()
    assert not target.exists()


def test_what_only_tells_something_refuses_a_closed_stdout(coded, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(AicError, match="stdout: is closed"):
        cli.info.info.callback(coded, None, False)


@POSIX
@pytest.mark.parametrize("command", ["encode", "decode", "info", "trim"])
def test_pipes_with_names(aic, command, photo, coded, tmp_path):
    """As a shell makes them of <(command)."""
    source = photo if command == "encode" else coded
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(source.read_bytes()))
    writer.start()
    target = tmp_path / ("out.png" if command == "decode" else "out.aic")
    words = {"info": [pipe], "trim": [pipe, target, "--rate", "1"]}.get(command, [pipe, target])
    result = aic(command, *words)
    writer.join()
    assert (result.exit_code, result.stderr) == (0, "")
    if command == "encode":
        assert target.read_bytes() == coded.read_bytes()
    if command == "decode":
        with Image.open(target) as one, Image.open(photo) as two:
            assert one.tobytes() == two.tobytes()


@POSIX
def test_messages_name_the_pipe(aic, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"nothing"))
    writer.start()
    result = aic("encode", pipe, tmp_path / "a.aic")
    writer.join()
    assert_refused(result, f"{pipe}: not a picture of a known kind")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no such file system")
def test_files_without_a_size_are_read():
    """Those of /proc say that they have 0 bytes."""
    path = Path("/proc/self/environ")
    assert path.stat().st_size == 0
    with files.stored(path) as data:
        assert data == files.read_bytes(path) == path.read_bytes() != b""


@POSIX
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_devices_are_refused(aic, tmp_path, name):
    for words in (("encode", name, tmp_path / "a.aic"), ("info", name)):
        assert_refused(aic(*words), f"{name}: is a device, not a file")
    assert_refused(aic("decode", name, tmp_path / "a.png"), f"{name}: is a device, not a file")


@POSIX
def test_streams_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_STREAM_BYTES", 3)
    for number, refused in ((3, False), (4, True)):
        pipe = tmp_path / f"{number}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(bytes(number),))
        writer.start()
        if refused:
            with pytest.raises(AicError, match="4: gives more than 3 bytes"):
                files.read_bytes(pipe)
        else:
            assert files.read_bytes(pipe) == bytes(3)
        writer.join()


def test_a_temporary_folder_that_is_missing_or_full(aic, photo, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    words, data = ["encode", "-", str(tmp_path / "a.aic")], photo.read_bytes()
    for place in ("tempfile.TemporaryDirectory", "pathlib.Path.open"):
        with monkeypatch.context() as patch:
            patch.setattr(place, refuse)
            result = CliRunner().invoke(cli.main, words, input=data)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "no space left on device" in result.stderr
    assert not (tmp_path / "a.aic").exists()


def test_a_temporary_folder_that_is_full_is_named(aic, photo, coded, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(files.os, "fsync", refuse)
    for words in (("decode", coded, "-", "--format", "ppm"), ("encode", photo, "-")):
        lines = aic(*words).stderr.splitlines()
        told = (
            rf"Error: stdout\.\w+: no space left on device, on its way through {tmp_path}/aic-.+"
        )
        assert len(lines) == 1
        assert re.fullmatch(told, lines[0]), lines
    assert not list(tmp_path.glob("aic-*"))


def test_a_stdin_that_cannot_be_read_is_told(tmp_path):
    with (tmp_path / "only-written").open("wb") as stdin:
        result = shell(["encode", "-", tmp_path / "a.aic"], stdin=stdin)
    assert (result.returncode, result.stderr) == (1, b"Error: stdin: bad file descriptor\n")
    assert not (tmp_path / "a.aic").exists()


def test_a_file_needs_no_temporary_folder(aic, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryDirectory", None)
    assert aic("encode", photo, tmp_path / "a.aic").exit_code == 0


# ---- signals

SLOW = """
import sys, time
from imgcodec.cli import main
from imgcodec.cli.encoding import Encoding

def work(self, task, member=None):
    from imgcodec.files import replacing
    with replacing(task.target):
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)

Encoding.__call__ = work
main(prog_name="aic")
"""


@POSIX
@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_signals_leave_no_temporary_files(photo, tmp_path, name, code):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = sorted(tmp_path.iterdir())
    words = [sys.executable, "-c", SLOW, "encode", "-", str(tmp_path / "a.aic")]
    with (
        photo.open("rb") as source,
        subprocess.Popen(
            words, stdin=source, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": temporary}
        ) as running,
    ):
        assert running.stderr.readline() == b"ready\n"
        assert len(list(temporary.iterdir())) == 1
        running.send_signal(getattr(signal, f"SIG{name}"))
        told = running.stderr.read()
    assert (running.returncode, told) == (code, b"interrupted\n" if name == "INT" else b"")
    assert list(temporary.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == before


def test_ctrl_c_while_the_command_is_loaded():
    code = """
import sys

class Interrupting:
    def find_spec(name, path, target=None):
        if name == "imgcodec.cli.encode":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting)
from imgcodec.__main__ import main
main()
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout, out.stderr) == (130, "", "interrupted\n")


@POSIX
def test_signals_are_left_as_they_were():
    def handled(*_):
        pass

    for before in (signal.SIG_IGN, handled):
        kept = signal.signal(signal.SIGTERM, before)
        with process.ending_by_signals():
            assert signal.getsignal(signal.SIGTERM) == before
        signal.signal(signal.SIGTERM, kept)
    with process.ending_by_signals():
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_other_threads_may_run_the_command(aic):
    found = []
    thread = threading.Thread(target=lambda: found.append(aic("--version").exit_code))
    thread.start()
    thread.join()
    assert found == [0]


def test_what_compiled_functions_cannot_raise_is_not_told(monkeypatch):
    """Their names stand there in place of objects, as of rasterio's."""
    told = []
    monkeypatch.setattr(sys, "__unraisablehook__", told.append)
    before = sys.unraisablehook
    with process.alone_on_stderr():
        for of in ("rasterio._env.log_error", told.append):
            sys.unraisablehook(SimpleNamespace(exc_value=ValueError(), object=of))
    assert sys.unraisablehook is before
    assert [one.object for one in told] == [told.append]


# ---- names

ODD = "b\udcff"  # as Python spells a name of bytes that are not UTF-8


@pytest.fixture
def odd(photo):
    try:
        return photo.rename(photo.with_name(f"{ODD}.png"))
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")


def test_names_that_are_not_utf_8(aic, odd, tmp_path):
    target = tmp_path / f"{ODD}.aic"
    result = aic("encode", odd, target)
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout.startswith(f"{tmp_path}/b\\udcff.aic: ")
    assert target.exists()
    assert aic("encode", tmp_path, tmp_path / "out").exit_code == 0
    assert_refused(aic("encode", odd, target), r"b\\udcff\.aic: exists")
    result = aic("bench", tmp_path, "--rate", 1, "--quiet", "--csv", tmp_path / "rows.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "b\\udcff.png" in (tmp_path / "rows.csv").read_text()


@POSIX
def test_names_do_not_break_lines(aic, tmp_path):
    for name in ("a\nError: b.png", "c\x1b[2J.png"):
        (tmp_path / name).write_bytes(b"none")
        assert_refused(aic("encode", tmp_path / name, tmp_path / "a.aic"), r"(\\n|\\x1b)")
    result = aic("encode", tmp_path, tmp_path / "out")
    assert len(result.stderr.splitlines()) == 3


@POSIX
def test_names_do_not_break_the_lines_of_results(aic, photo, tmp_path, monkeypatch):
    photo = photo.rename(photo.with_name("a\nb.png"))
    for words in ((), ("--measure", "psnr", "--force")):
        for target in (tmp_path / "c\nd.aic", f"{tmp_path}/out/"):
            result = aic("encode", photo, target, *words)
            assert (result.exit_code, result.stderr) == (0, "")
            (line,) = result.stdout.splitlines()
            assert re.match(r".*(c\\nd|a\\nb)\.aic: ", line)
    maps = np.zeros((2, 2), np.float32)
    monkeypatch.setattr(FakeCodec, "inspect", lambda self, data: (maps, maps), raising=False)
    coded = tmp_path / "c\nd.aic"
    for command, name, *words in (("trim", "e\nf.aic", "--rate", 0.1), ("inspect", "e\nf.png")):
        (line,) = aic(command, coded, tmp_path / name, *words).stdout.splitlines()
        assert re.match(r".*e\\nf\.(aic|png): ", line)


# ---- refusals


def test_words_stay_what_they_are_on_windows(coded, monkeypatch, capsys):
    """There, click takes names with brackets for patterns, and what fits them in their place."""

    class Windows:
        name = "nt"

        def __getattr__(self, name):
            return getattr(os, name)

    coded.with_name("a1.aic").write_bytes(b"another")
    path = coded.rename(coded.with_name("a[1].aic"))
    monkeypatch.setattr("click.core.os", Windows())
    monkeypatch.setattr(sys, "argv", ["aic", "info", str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (0, "")


def test_windows_has_a_signal_of_its_own(monkeypatch):
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    assert 21 in process.ending()


def test_what_else_the_system_refuses_is_one_line(aic, photo, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "some/place")

    monkeypatch.setattr(FakeCodec, "encode", refuse)
    result = aic("encode", photo, tmp_path / "a.aic")
    assert_refused(result, "some/place: permission denied")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: 9 bytes"),  # Windows
        RuntimeError("could not create a primitive"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory_is_one_line(aic, photo, tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(FakeCodec, "encode", refuse)
    result = aic("encode", photo, tmp_path / "a.aic")
    assert_refused(result, f"{photo}: not enough memory")
    result = aic("encode", photo, f"{tmp_path}/out/")  # one of many fails alone
    assert result.stderr == f"{photo}: not enough memory\nError: 1 of 1 files failed\n"
    assert list(tmp_path.glob("**/*.aic")) == []


def test_other_errors_of_libraries_keep_their_traceback(aic, photo, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(FakeCodec, "encode", fail)
    assert repr(aic("encode", photo, tmp_path / "a.aic").exception) == "RuntimeError('a bug')"


def test_a_folder_that_may_not_be_entered(aic, photo, tmp_path, monkeypatch):
    look = os.stat

    def closed(path, *words, **named):
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *words, **named)

    monkeypatch.setattr(os, "stat", closed)
    inside = tmp_path / "closed" / "a.aic"
    assert_refused(aic("encode", photo, inside), "permission denied")
    result = aic("decode", inside, tmp_path / "b.png")
    assert_refused(result, "a.aic: permission denied")


def test_no_home_for_the_cache(monkeypatch):
    def missing():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", missing)
    with pytest.raises(AicError, match="no home folder.*--no-cache"):
        cache.default_folder()


# ---- what the system refuses to read


LOCKED = [
    ["encode", "SECRET", "out.aic"],
    ["encode", "photo.png", "out.aic", "--roi", "SECRET"],
    ["encode", "photo.png", "out.aic", "--weights", "SECRET"],
    ["decode", "SECRET", "out.png"],
    ["trim", "SECRET", "out.aic", "--rate", "0.1"],
    ["info", "SECRET"],
    ["inspect", "SECRET", "out.png"],
    ["bench", "SECRET"],
]


@pytest.mark.parametrize("words", LOCKED, ids=" ".join)
@pytest.mark.parametrize("how", ["folder", "file"])
def test_what_may_not_be_read_is_refused(aic, photo, monkeypatch, words, how):
    """For root, to whom nothing is locked, the system is one that says so."""
    secret = photo.parent / "locked" / "file"
    secret.parent.mkdir()
    secret.mkdir() if words[0] == "bench" else secret.touch()
    real_stat, real_access = os.stat, os.access

    def locked_stat(path, *more, **named):
        if how == "folder" and os.fspath(path) == str(secret):
            raise PermissionError(13, "Permission denied", str(secret))
        return real_stat(path, *more, **named)

    def locked_access(path, *more, **named):
        return os.fspath(path) != str(secret) and real_access(path, *more, **named)

    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr(os, "stat", locked_stat)
    monkeypatch.setattr(os, "access", locked_access)
    result = aic(*[secret if word == "SECRET" else word for word in words])
    assert_refused(result, f"{secret}: permission denied")


@POSIX
@pytest.mark.parametrize("option", ["--roi", "--weights"])
def test_a_stream_is_no_mask_and_no_weights(aic, photo, tmp_path, option):
    os.mkfifo(tmp_path / "pipe")
    result = aic("encode", photo, tmp_path / "a.aic", option, tmp_path / "pipe")
    assert_refused(result, "pipe: is not a regular file")


@POSIX
def test_a_folder_that_is_gone_is_one_line(photo, tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from imgcodec.cli import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code, "encode", str(photo), str(tmp_path / "a.aic")],
        cwd=tmp_path / "gone", capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr == b"Error: the current folder: no such file or directory\n"


@POSIX
def test_a_library_adds_no_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = tmp_path / "a.tif"
    Image.fromarray(noise).save(path, compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(byte ^ 0x5A for byte in data[200:400])
    path.write_bytes(data)
    result = shell(["encode", path, tmp_path / "a.aic"])
    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1
    assert result.stderr.startswith(f"Error: {path}: ".encode())


# ---- refusals have names


@pytest.mark.parametrize("command", ["encode", "decode", "trim", "inspect"])
def test_a_picture_too_large_is_named(aic, photo, coded, tmp_path, command):
    source, target = {
        "encode": (photo, "b.aic"), "decode": (coded, "b.png"),
        "trim": (coded, "b.aic"), "inspect": (coded, "b.png"),
    }[command]  # fmt: skip
    words = ["--rate", "0.1"] * (command == "trim")
    result = aic(command, source, tmp_path / target, "--max-pixels", 9, *words)
    assert_refused(result, f"{source}: 16x12 pixels, at most 9 are allowed")


def test_several_files_need_a_folder(aic, photo, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    for name in ("new.png", "new.aic"):
        result = aic("encode", photo, other, tmp_path / name)
        assert_refused(result, f"{name}: is no folder")
        assert not (tmp_path / name).exists()


def test_a_missing_torch_is_one_line(tmp_path):
    """It is large, and left out by who packs JPEG files only."""
    without = "import sys; sys.modules['torch'] = None; from imgcodec.cli import main; main()"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    for words in (["encode", "a.png", "a.aic"], ["bench", ".", "--codec", "aic"]):
        done = subprocess.run(
            [sys.executable, "-c", without, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: torch is not installed: pip install torch\n"
    assert not (tmp_path / "a.aic").exists()

"""Several files at a time, each by a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_cli import names
from work_of_processes import Dying, Ending, deadly, ended_in_vain, failing, slow, twice

from imgcodec import cli
from imgcodec.cli.many import batch, elsewhere, workers
from imgcodec.cli.work import Task

LOST = "lost"
OF_A_TERMINAL = f"""
import sys
from pathlib import Path
sys.path.insert(0, {os.path.dirname(__file__)!r})
from work_of_processes import slow, twice
from imgcodec.cli import process
from imgcodec.cli.many import workers
if __name__ == "__main__":
    with process.ending_by_signals():
        list(workers.run(slow, [Path(sys.argv[1], str(n)) for n in range(4)], 2, slow, twice))
"""


def lost(number):
    return LOST


def test_results_come_in_order_and_items_are_taken_as_needed():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = workers.run(twice, items(), 2, twice, lost)
    assert next(results) == 0
    assert len(taken) <= 2 * workers.AHEAD + 2
    assert list(results) == [2 * number for number in range(1, 100)]


def test_a_process_that_dies_costs_one_item():
    found = list(workers.run(deadly, range(8), 2, deadly, lost))
    assert found == [LOST if number == 3 else 2 * number for number in range(8)]


def test_all_waits_have_an_end(monkeypatch):
    """Of others, Ctrl-C does not get through on Windows."""
    result = Future.result

    def checked(future, timeout=None):
        assert timeout is not None or future.done()
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", checked)
    found = list(workers.run(deadly, range(2, 5), 1, deadly, lost))
    assert found == [4, LOST, 8]


def test_windows_waits_for_no_more_than_61_processes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    workers.executor(256).shutdown()


def test_a_bug_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(workers.run(failing, range(3), 2, failing, lost))


@pytest.mark.parametrize("do", [ended_in_vain, Ending])
def test_a_process_that_is_ended_ends(do):
    """Whatever it is about: else the pool would wait for it, for ever."""
    assert list(workers.run(do, range(1), 1, do, lost)) == [LOST]


@pytest.mark.parametrize(("dates", "together"), [(True, False), (False, True)])
def test_what_a_process_wrote_before_it_died_is_done(tmp_path, dates, together):
    tasks = []
    for name in ("dies after", "dies before", "replaced", "other"):
        source, target = tmp_path / name, tmp_path / "out" / name
        source.write_text(name)
        os.utime(source, (1000, 1000))
        tasks.append(Task(source, target, name == "replaced"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "replaced").write_text("older")
    found = list(batch.run(tasks, Dying(dates, together), 2))
    assert [outcome.task for outcome in found] == tasks
    after, before, replaced, other = found
    assert "dies before: the process that worked on it died" in before.error
    assert (after.error, after.read, after.written) == (None, 10, 10)
    assert after.line == f"{after.task.target}: 10 bytes"
    assert not before.task.target.exists()
    assert (after.task.target.stat().st_mtime == 1000) == dates
    if not together:  # else they died together
        assert (replaced.line, other.line) == ("told", "told")
        assert replaced.task.target.read_text() == "replaced"


@pytest.mark.skipif(os.name != "posix", reason="not on Windows")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ends_of_a_terminal_leave_no_file(tmp_path, name):
    """They reach all processes of a command at once."""
    words = [sys.executable, "-c", OF_A_TERMINAL, tmp_path]
    with subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL) as running:
        while len(os.listdir(tmp_path)) < 2:
            time.sleep(0.05)
        os.killpg(running.pid, getattr(signal, name))
        running.wait(60)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="not on Windows")
def test_work_that_nobody_waits_for_ends_and_leaves_no_file(tmp_path):
    def interrupt():
        while len(os.listdir(tmp_path)) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(workers.run(slow, [tmp_path / str(number) for number in range(4)], 2, slow, lost))
    thread.join()
    assert time.monotonic() - started < 50
    assert os.listdir(tmp_path) == []


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(5):
        image = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
        size = (40, 48) if number < 3 else (200, 176)
        image.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"none")
    Image.fromarray(rng.integers(0, 2**16, (60, 70), np.uint16)).save(folder / "deep.png")
    return folder


def command(*words):
    arguments = [sys.executable, "-m", "imgcodec", *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=200)


def here(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def test_the_same_files_notes_and_refusals_as_one_by_one(photographs, tmp_path):
    def words(jobs):
        return ("encode", photographs, tmp_path / f"out{jobs}", "--rate", 3, "--jobs", jobs,
                "--threads", 1)  # fmt: skip

    done = here(*words(1)), command(*words(2))
    assert (done[0].exit_code, done[1].returncode) == (1, 1)
    told = [sorted(one.stderr.replace(f"out{jobs}", "").splitlines())
            for jobs, one in zip((1, 2), done, strict=True)]  # fmt: skip
    assert told[0] == told[1]
    assert any("deep.png: " in line for line in told[0])
    assert "Error: 1 of 7 files failed" in told[0]
    files = names(tmp_path / "out1")
    assert len(files) == 6
    assert names(tmp_path / "out2") == files
    for name in files:
        one, other = (tmp_path / f"out{jobs}" / name for jobs in (1, 2))
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_mtime_ns == other.stat().st_mtime_ns
    back = command("decode", tmp_path / "out2", tmp_path / "back", "--jobs", 2)
    assert (back.returncode, back.stderr) == (0, "")
    assert len(names(tmp_path / "back")) == 6
    assert here(*words(2)).stdout == "6 files are up to date\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
def test_no_process_outlives_the_command(photographs, tmp_path):
    """Not even one that is killed."""
    for number in range(40):
        Image.new("RGB", (300, 300 + number)).save(photographs / f"more{number}.png")
    words = [sys.executable, "-m", "imgcodec", "encode", photographs, tmp_path / "out"]
    process = subprocess.Popen([*map(str, words), "--jobs", "2"], stdout=subprocess.DEVNULL)
    while not (tmp_path / "out").exists():
        assert process.poll() is None
        time.sleep(0.05)
    children = children_of(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{child}/cmdline") for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()
    except OSError:
        return []


def test_notes_are_those_of_the_files_of_a_task(tmp_path):
    task = (tmp_path / "a", tmp_path / "b", False)
    elsewhere.note(tmp_path / "a", "one")
    elsewhere.note(tmp_path / "c", "other")
    elsewhere.note(tmp_path / "a", "two")
    assert elsewhere.notes_of(task) == [(tmp_path / "a", "one"), (tmp_path / "a", "two")]
    assert elsewhere.notes_of(task) == []


def test_only_the_processes_that_code_load_torch():
    """The one that hands out files would take its memory and a second for nothing."""
    code = """
import sys
from click.testing import CliRunner
from imgcodec.cli import encode
encode.run = lambda *words: print(sorted(words[0].goal), "torch" in sys.modules)
print(CliRunner().invoke(encode.encode, ["a", "b", "--rate", "1"]).output)
from imgcodec.target import KINDS
assert KINDS == encode.GOALS
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == (
        "['ms_ssim', 'psnr', 'quality', 'rate', 'size', 'ssimulacra2'] False"
    ), done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_over_many_files(tmp_path):
    """A thousand tiny ones: after the first fifth nothing grows."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(1000):
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    words = "encode", folder, out, "--quality", 30, "--jobs", 2, "--quiet"
    words = [sys.executable, "-m", "imgcodec", *map(str, words)]
    process = subprocess.Popen(words)
    early = late = 0
    while process.poll() is None:
        time.sleep(0.2)
        done = len(os.listdir(out)) if out.exists() else 0
        held = sum(map(resident, [str(process.pid), *children_of(process.pid)]))
        if 200 <= done < 400:
            early = max(early, held)
        elif done >= 400:
            late = max(late, held)
    assert process.returncode == 0
    assert len(os.listdir(out)) == 1000
    assert early
    assert late < early + 64e6


def resident(pid):
    """Bytes of memory that a process holds."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

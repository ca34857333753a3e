"""How many cores others leave, and that no more threads compute than there are such."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from imgcodec.runtime import load


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Set what the system tells: cores, tasks that run, and threads of ours among them."""

    def tell(cores, running, ours=1):
        (tmp_path / "loadavg").write_text(f"0.50 0.40 0.30 {running}/300 1234\n")
        for number in range(ours + 1):  # the last one sleeps
            (tmp_path / "task" / str(number)).mkdir(parents=True, exist_ok=True)
            state = "S" if number == ours else "R"
            (tmp_path / "task" / str(number) / "stat").write_text(f"{number} (a) R) {state} 1 2")
        monkeypatch.setattr(load, "_LOADAVG", tmp_path / "loadavg")
        monkeypatch.setattr(load, "_THREADS", tmp_path / "task")
        monkeypatch.setattr(os, "cpu_count", lambda: cores)

    return tell


@pytest.fixture
def four_threads():
    """torch with four threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cores", "running", "ours", "wanted", "free"),
    [
        (2, 1, 1, 2, 2),  # nobody else
        (2, 3, 1, 2, 0),
        (2, 2, 1, 2, 1),
        (2, 2, 2, 2, 2),  # the other one is a thread of ours
        (2, 9, 1, 2, -6),
        (16, 9, 1, 4, 4),
        (16, 14, 1, 4, 3),
        (2, 0, 1, 2, 2),  # a system that does not count
    ],
)
def test_cores_that_others_leave(told, cores, running, ours, wanted, free):
    told(cores, running, ours)
    assert load.free_cores(wanted) == free


@pytest.mark.parametrize("text", [None, "", "0.1 0.2 0.3", "0 0 0 x/y 7"])
def test_a_system_that_does_not_tell(monkeypatch, tmp_path, text):
    if text is not None:
        (tmp_path / "loadavg").write_text(text)
    monkeypatch.setattr(load, "_LOADAVG", tmp_path / "loadavg")
    assert load.free_cores(3) == 3


@pytest.mark.parametrize(("running", "threads"), [(1, 4), (3, 2), (4, 1), (30, 1)])
def test_no_more_threads_than_free_cores(told, four_threads, running, threads):
    told(4, running)
    with load.sharing_cores():
        assert torch.get_num_threads() == threads
        with load.sharing_cores():
            assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 4


def test_threads_come_back_where_blocks_overlap(told, four_threads):
    told(4, 3)
    inside, left = threading.Event(), threading.Event()
    counts = []

    def overlap():
        torch.set_num_threads(4)
        with load.sharing_cores():
            inside.set()
            left.wait(60)
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=overlap)
    with load.sharing_cores():
        thread.start()
        inside.wait(60)
    counts.append(torch.get_num_threads())
    left.set()
    thread.join()
    assert counts == [4, 4]


def test_a_fault_inside_leaves_no_trace(told, four_threads):
    told(4, 3)
    with pytest.raises(KeyError), load.sharing_cores():
        raise KeyError
    assert torch.get_num_threads() == 4


@pytest.mark.skipif(not os.path.exists("/proc/loadavg"), reason="needs Linux")
def test_programs_that_run_are_seen():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        wanted = os.cpu_count()
        assert any(load.free_cores(wanted) < wanted for _ in range(100_000))
    finally:
        for one in busy:
            one.kill()
            one.wait()

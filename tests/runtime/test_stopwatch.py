"""Seconds of stages: which blocks count, and for whom."""

import threading
import time

import pytest

from imgcodec.runtime.stopwatch import stage, timing


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `wait` moves."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_stages_add_up_and_keep_their_order(clock):
    with timing() as found:
        for _ in range(2):
            with stage("read"):
                clock(2)
            clock(16)
            with stage("code"):
                clock(1)
    assert list(found.items()) == [("read", 4), ("code", 2)]


def test_functions_are_stages_too(clock):
    @stage("code")
    def work(seconds, *, more):
        clock(seconds + more)
        return "done"

    with timing() as found:
        assert (work(1, more=2), work(3, more=4)) == ("done", "done")
    assert found == {"code": 10}


def test_a_stage_within_another_counts_once(clock):
    with timing() as found, stage("write"):
        clock(1)
        with stage("code"):
            clock(2)
    assert found == {"write": 3}


def test_who_asks_outside_hears_of_what_was_timed_inside(clock):
    with timing() as outer:
        with stage("read"):
            clock(1)
        with timing() as inner, stage("code"):
            clock(2)
    assert (inner, outer) == ({"code": 2}, {"read": 1, "code": 2})


def test_a_failure_is_timed_and_passed_on(clock):
    @stage("read")
    def fail():
        clock(1)
        raise KeyError

    with timing() as found:
        for _ in range(2):
            with pytest.raises(KeyError):
                fail()
    assert found == {"read": 2}


def test_nobody_asks(clock):
    with stage("read"):
        clock(1)
    with timing() as found:
        pass
    assert found == {}


def test_threads_are_timed_apart():
    found = {}
    started = threading.Barrier(2)

    def work(name):
        with timing() as found[name]:
            started.wait()
            with stage(name):
                started.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [list(found[name]) for name in "ab"] == [["a"], ["b"]]

"""How long OpenMP's threads spin, told before it is loaded."""

import os
import subprocess
import sys

import pytest
import torch

from imgcodec.runtime.limits import is_limited
from imgcodec.runtime.openmp import SPINS, take_threads

SHOW = "import os; print(*(os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME')))"


def run(code, **said):
    """What a new process says, in which the user has said something."""
    kept = {name: os.environ[name] for name in os.environ.keys() - {*SPINS, "OMP_WAIT_POLICY"}}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | said, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("name", ["imgcodec", "imgcodec.cli", "imgcodec.codec"])
def test_spins_are_short(name):
    assert run(f"import {name}; {SHOW}").stdout.split() in (["1000", "1"], ["8000", "1"])


@pytest.mark.parametrize(
    ("load", "spins"),
    [
        ("0.52 0.58 0.59 1/389 13", "8000"), ("0.52 0.58 0.59 2/389 13", "1000"),
        ("0.52 0.58 0.59 11/389 13", "1000"), ("0.52", "1000"), ("", "1000"), (None, "1000"),
    ],
)  # fmt: skip
def test_they_are_longer_where_nothing_else_runs(tmp_path, load, spins):
    path = tmp_path / "loadavg"
    if load is not None:
        path.write_text(load)
    again = f"openmp.LOAD = {str(path)!r}; openmp.spin_shortly()"
    forget = (
        "import os; from imgcodec.runtime import openmp; [os.environ.pop(n) for n in openmp.SPINS]"
    )
    assert run(f"{forget}; {again}; {SHOW}").stdout.split() == [spins, "1"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"GOMP_SPINCOUNT": "7"}, ["7", "None"]),
        ({"KMP_BLOCKTIME": "7"}, ["None", "7"]),
        ({"OMP_WAIT_POLICY": "passive"}, ["None", "None"]),
        ({"GOMP_SPINCOUNT": ""}, ["None"]),
    ],
)
def test_what_the_user_said_stays(said, found):
    assert run(f"import imgcodec; {SHOW}", **said).stdout.split() == found


def test_nothing_is_said_too_late():
    assert run(f"import torch, imgcodec; {SHOW}").stdout.split() == ["None", "None"]


def test_the_library_has_heard_it():
    told = run("import imgcodec, torch", OMP_DISPLAY_ENV="verbose").stderr
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("torch computes with another library")
    assert any(f"GOMP_SPINCOUNT = '{spins}'" in told for spins in (1000, 8000))


@pytest.mark.parametrize(
    ("limits", "limited"),
    [
        ((-1, -1), False), ((4 << 30, -1), True), ((-1, 4 << 30), True),
        ((1 << 40, 1 << 40), False),
    ],
)  # fmt: skip
def test_one_thread_where_memory_is_limited(monkeypatch, limits, limited):
    """Products of several lack what a thread got no memory for."""
    resource = pytest.importorskip("resource")
    of_kind = dict(zip((resource.RLIMIT_AS, resource.RLIMIT_DATA), limits, strict=True))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (of_kind[kind], -1))
    assert is_limited() == limited
    taken = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for threads in (2, None):
        take_threads(threads)
    assert taken == ([1, 1] if limited else [2])


@pytest.mark.parametrize(("cores", "found"), [(2, 2), (64, 5), (None, 5)])
def test_threads_are_no_more_than_cores(monkeypatch, cores, found):
    taken = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    take_threads(5)
    assert taken == [found]

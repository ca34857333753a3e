"""How long OpenMP's threads spin, told before it is loaded."""

import os
import subprocess
import sys

import pytest

from imgcodec.runtime.openmp import SPINS

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


@pytest.mark.parametrize(("limit", "threads"), [("", 2), ("RLIMIT_AS", 1), ("RLIMIT_DATA", 1)])
@pytest.mark.parametrize("asked", [2, None])
def test_one_thread_where_memory_is_limited(limit, asked, threads):
    """Products of several lack what a thread got no memory for."""
    limited = f"import resource as r; r.setrlimit(r.{limit}, (4 << 30, r.RLIM_INFINITY))\n"
    code = f"""import torch
from imgcodec.runtime.openmp import take_threads
torch.set_num_threads(2)
{limited if limit else ""}
take_threads({asked})
print(torch.get_num_threads())"""
    assert run(code).stdout.split() == [str(threads)]


def test_plenty_is_no_limit():
    code = """import resource as r, torch
from imgcodec.runtime.openmp import take_threads
r.setrlimit(r.RLIMIT_AS, (1 << 40, r.RLIM_INFINITY))
take_threads(2)
print(torch.get_num_threads())"""
    assert run(code).stdout.split() == ["2"]

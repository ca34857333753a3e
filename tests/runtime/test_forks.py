"""Children of a process that has coded, or is about to, go on coding or say why not."""

import os
import subprocess
import sys
import threading
from copy import copy
from pathlib import Path

import pytest
import torch
from PIL import Image

import imgcodec
from imgcodec.codec import Codec
from imgcodec.errors import AicError
from imgcodec.pictures.pillow_guard import unlimited
from imgcodec.runtime.device import chosen
from imgcodec.runtime.forks import Gate

KODIM23 = Path(__file__).parents[2] / "docs" / "kodim23.png"
LIMIT_S = 100
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")

START = """
import os, random, signal, sys, threading, time
from PIL import Image

def child(work):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    signal.alarm(60)  # a child that hangs dies
    try:
        work()
    except BaseException as error:
        print(repr(error))
        os._exit(1)
    os._exit(0)
"""
# A process of two threads, of which OpenMP's library has to know one more than the child has.
CODING = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
import numpy as np
from imgcodec.codec import Codec
from imgcodec.errors import AicError
from imgcodec.runtime import openmp

def new(threads=2):
    return Codec("cpu", threads, Path(sys.argv[1]))

def picture(height=160, width=160):
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3), np.uint8)
    return noise + np.arange(width, dtype=np.uint8)[:, None]
"""
AGAIN = """
codec = new()
data = codec.encode(picture(), quality=60)
pixels = codec.decode(data)

def again():
    assert codec.encode(picture(), quality=60) == data
    assert (codec.decode(data) == pixels).all()

assert child(again) == 0
assert child(lambda: child(again) and os._exit(1)) == 0  # a grandchild
again()
"""
AMIDST = """
codec = new()
data = codec.encode(picture(), quality=60)
pixels = codec.decode(data)
ended = []

def others():  # of ever new sizes, for which new kernels are made
    while not ended:
        height, width = random.randrange(64, 200), random.randrange(64, 200)
        codec.decode(codec.encode(picture(height, width), quality=60))

def another():
    height, width = random.randrange(64, 200), random.randrange(64, 200)
    assert codec.decode(codec.encode(picture(height, width), quality=60)).shape[1] == width
    assert (codec.decode(data) == pixels).all()

threads = [threading.Thread(target=others) for _ in range(2)]
for thread in threads:
    thread.start()
found = [child(another) for _ in range(8)]
ended.append(True)
assert found == [0] * 8, found
"""
OLD = """
openmp._ending = lambda: None  # as with GNU's library before version 9
codec = new()
data = codec.encode(picture(), quality=60)
pixels = codec.decode(data).astype(int)

def again():
    assert codec.where == "cpu, 1 thread, " + codec.where.split()[-1]
    assert abs(codec.decode(data) - pixels).max() <= 1
    assert new(1).encode(picture(), quality=60)
    try:
        new(2)
    except AicError as error:
        assert "threads 2" in str(error)
    else:
        raise ValueError("not refused")

assert child(again) == 0
assert new(2).decode(data).shape == pixels.shape
"""
POOLS = """
def work(seed):
    global codec
    if "codec" not in globals():
        codec = new()
    return codec.encode(picture(160, 100 + seed), quality=60)

if __name__ == "__main__":
    expected = [work(seed) for seed in range(2)]
    with ProcessPoolExecutor(1, get_context(sys.argv[2])) as pool:
        found = list(pool.map(work, range(2)))
    assert found == expected
    assert [data.report.u for data in found] == [data.report.u for data in expected]
"""
SHIPPED = """
codec = Codec("cpu", 2)
image = np.asarray(Image.open(sys.argv[1]))[:192, :256]
data = codec.encode(image, 0.5)
pixels = codec.decode(data).astype(int)

def again():
    assert abs(codec.decode(data) - pixels).max() <= 2
    assert len(codec.encode(image, 0.5, effort=2)) <= len(image[..., 0].flat) / 16

assert child(again) == 0
"""


def run(tmp_path, code, *words, **environment):
    """Run a script, and show what it says if it fails or hangs."""
    script = tmp_path / "script.py"
    script.write_text(START + code)
    root = str(Path(imgcodec.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", script, *words],
        env=os.environ | {"PYTHONPATH": root} | environment, timeout=LIMIT_S,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@forking
@pytest.mark.parametrize("code", [AGAIN, AMIDST, OLD], ids=["again", "amidst", "old"])
def test_children_code_as_their_parent_does(tmp_path, tiny_weights, code):
    run(tmp_path, CODING + code, tiny_weights)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_code_as_their_parent_does(tmp_path, tiny_weights, method):
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    run(tmp_path, CODING + POOLS, tiny_weights, method)


@forking
@pytest.mark.parametrize("isa", ["", "AVX2"], ids=["bfloat16", "winograd"])
def test_children_code_with_the_shipped_weights(tmp_path, isa):
    run(tmp_path, CODING + SHIPPED, KODIM23, ONEDNN_MAX_CPU_ISA=isa)


# the gate


@pytest.fixture
def gate():
    return Gate()


def start(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_fork_waits_for_who_is_inside_and_for_nobody_else(gate):
    inside, may_go, steps = threading.Event(), threading.Event(), []

    def work():
        gate.enter()
        inside.set()
        may_go.wait(LIMIT_S)
        gate.enter()  # while the other waits
        gate.leave()
        steps.append("left")
        gate.leave()

    def late():
        gate.enter()
        steps.append("entered")
        gate.leave()

    def fork():
        gate.enter()  # oneself is not waited for
        gate.close()
        steps.append("forked")
        gate.open()
        gate.leave()

    worker = start(work)
    inside.wait(LIMIT_S)
    forker = start(fork)
    forker.join(0.2)
    assert forker.is_alive()
    guest = start(late)
    guest.join(0.2)
    assert guest.is_alive()
    may_go.set()
    for thread in (worker, forker, guest):
        thread.join(LIMIT_S)
    assert steps == ["left", "forked", "entered"]


@forking
def test_pillow_is_as_it_was_in_a_child(tmp_path):
    run(
        tmp_path,
        """
from imgcodec.pictures.pillow_guard import unlimited

inside = threading.Event()

def read():
    with unlimited():
        inside.set()
        time.sleep(0.5)

def check():
    assert Image.MAX_IMAGE_PIXELS is not None
    with unlimited():
        pass

thread = threading.Thread(target=read)
thread.start()
inside.wait()
assert child(check) == 0
thread.join()
""",
    )


@forking
def test_settings_of_torch_are_as_they_were_in_a_child(tmp_path):
    run(
        tmp_path,
        """
import torch
from imgcodec.runtime.exact import exact

inside, over = threading.Event(), threading.Event()

def work():
    with exact():
        inside.set()
        over.wait(60)

def check():
    assert torch.get_default_dtype() == torch.float64
    with exact():
        assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_dtype() == torch.float64

def within():  # as where a picture is read by a process of its own
    assert torch.get_default_dtype() == torch.float32

torch.set_default_dtype(torch.float64)
thread = threading.Thread(target=work)
thread.start()
inside.wait()
assert child(check) == 0
with exact():
    assert child(within) == 0
over.set()
thread.join()
check()
""",
    )


def test_a_thread_may_lift_pillows_limit_twice():
    """As when Pillow opens an .aic file with transparency for us."""
    limits = []

    def read():
        with unlimited(), unlimited():
            limits.append(Image.MAX_IMAGE_PIXELS)

    start(read).join(10)
    assert limits == [None]
    assert Image.MAX_IMAGE_PIXELS is not None


# what torch refuses to a child


@pytest.fixture
def lost(monkeypatch):
    """CUDA as a child finds it whose parent has asked for it."""

    def fail(*_, **words):
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use it, spawn\nx")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    monkeypatch.setattr(torch, "zeros", fail)


def test_a_gpu_that_the_parent_has_is_refused(lost, tiny_weights):
    with pytest.raises(AicError, match="forked subprocess.*spawn$"):
        Codec("cuda", weights=tiny_weights)


def test_the_parents_codec_is_refused(tiny_codec, lost, textured):
    codec, data = copy(tiny_codec), tiny_codec.encode(textured(64, 64))
    codec.device = "cuda"
    for call in (lambda: codec.encode(textured(64, 64)), lambda: codec.decode(data)):
        with pytest.raises(AicError, match="forked"):
            call()


def test_of_any_device_one_that_works_is_taken(lost):
    assert chosen("auto") == "cpu"


def test_cuda_is_not_asked_for_in_vain(monkeypatch, tiny_weights):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(1))
    assert Codec("cpu", weights=tiny_weights).device == "cpu"
    assert not asked


@pytest.mark.parametrize(("said", "kind"), [("fork-based", AicError), ("other", RuntimeError)])
def test_gradients_that_are_refused_to_a_child(tiny_codec, textured, monkeypatch, said, kind):
    def fail(*_):
        raise RuntimeError(f"Unable to handle autograd's threading with {said} multiprocessing")

    monkeypatch.setattr(torch.autograd, "grad", fail)
    with pytest.raises(kind, match="forked|other"):
        tiny_codec.encode(textured(64, 64), effort=2)

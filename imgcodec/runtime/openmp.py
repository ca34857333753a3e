"""The threads of OpenMP, which torch computes with: beside other programs, and after a fork.

They meet hundreds of times a picture. Who comes first spins until the last one is there, and where
other programs want the cores, it spins on the core that the last one waits for. Who sleeps at once
has to be woken each time, on an idle machine as well. A short spin does neither harm.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from imgcodec.errors import MOST_THREADS, check_threads
from imgcodec.runtime.limits import is_limited

# Read when the library is loaded, with torch. Turns of a loop in GNU's, some microseconds, and
# milliseconds in LLVM's and Intel's; they come from 300,000 and 200.
SPINS = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
ALONE = {"GOMP_SPINCOUNT": "8000"}  # where nothing else runs at that time
LOAD = "/proc/loadavg"
_HARD = 2  # omp_pause_hard: threads end

_lost = False


def spin_shortly() -> None:
    """Let threads spin shortly, unless the user said how they wait, or torch is loaded already."""
    said = os.environ.keys() & {*SPINS, "OMP_WAIT_POLICY"}  # SPINS would overrule the latter
    if not said and "torch" not in sys.modules:
        os.environ.update(SPINS | (ALONE if _is_alone() else {}))


def _is_alone() -> bool:
    """Whether no other task runs, on this machine or as far as a container shows it."""
    try:
        with open(LOAD, encoding="ascii") as file:
            return file.read().split()[3].partition("/")[0] == "1"
    except (OSError, LookupError, ValueError):
        return False


def one_thread_a_call() -> None:
    """Let numpy multiply matrices in the thread that asks, as far as it is not loaded yet.

    For who computes in several threads: those of each call would wait for each other.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def end_threads() -> None:
    """End the threads of the calling thread; they start again when they are needed.

    Else GNU's library waits in a forked child for threads that only the parent has.
    """
    if end := _ending():
        end()


def restrict_child() -> None:
    """Compute in one thread from now on, in a forked child whose parent could not end them."""
    global _lost
    if _ending() is None:
        _lost = True
        sys.modules["torch"].set_num_threads(1)


def take_threads(threads: int | None) -> None:
    """Let torch compute in so many threads, in the whole process; None leaves them alone.

    At most one a core: hundreds of them take ten times as long. One alone where memory is limited,
    see `limits.is_limited`.

    Raises:
        AicError: that is no number of threads, or this is a forked child that has only one.
    """
    check_threads(threads, 1 if _lost else MOST_THREADS)
    if is_limited():
        threads = 1
    if threads is not None:
        import torch

        torch.set_num_threads(min(threads, os.cpu_count() or threads))


@contextmanager
def taking_threads(threads: int | None) -> Iterator[None]:
    """Take threads as `take_threads` does, and give them back if what is done with them fails."""
    import torch

    before = torch.get_num_threads()
    take_threads(threads)
    try:
        yield
    except BaseException:
        torch.set_num_threads(before)
        raise


def _ending() -> Callable[[], object] | None:
    """Return what ends threads; None: nothing does, as in GNU's library before version 9."""
    core = sys.modules.get("torch._C")
    if core is None:
        return _nothing
    import ctypes

    library = ctypes.CDLL(core.__file__)  # what torch is linked to is searched as well
    if hasattr(library, "kmp_set_blocktime"):
        return _nothing  # LLVM's and Intel's start new threads in a child by themselves
    pause = getattr(library, "omp_pause_resource_all", None)
    return None if pause is None else partial(pause, _HARD)


def _nothing() -> None:
    """End no threads."""

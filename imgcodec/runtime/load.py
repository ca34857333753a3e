"""How many cores other programs leave, and computing in no more threads than that.

Threads of torch wait for each other hundreds of times a picture. Where another program takes the
core of one of them, all wait; alone, a thread waits for nobody.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imgcodec.runtime.forks import Lock
from imgcodec.runtime.openmp import has_lost_threads

_LOADAVG = Path("/proc/loadavg")  # of Linux; others do not tell what runs at the moment
_THREADS = Path("/proc/self/task")
_LOCK = Lock()
_num_inside = 0  # blocks of `sharing_cores`, in all threads
_usual = 1  # threads outside of them


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Compute in torch's threads, in fewer while other programs want the cores; in one at least.

    The number is that of the beginning of the block, or, as a decorator, of the function.
    """
    global _num_inside, _usual
    torch = sys.modules["torch"]
    with _LOCK:
        if _num_inside == 0:
            _usual = torch.get_num_threads()
        most = 1 if has_lost_threads() else _usual
        _num_inside += 1
    _set_threads(max(1, min(most, free_cores(most))))
    try:
        yield
    finally:
        with _LOCK:
            _num_inside -= 1
        _set_threads(most)


def free_cores(wanted: int) -> int:
    """Return how many cores other programs leave at the moment, `wanted` if that is not told.

    At most as many as are wanted are looked for.
    """
    try:
        running = int(_LOADAVG.read_text().split()[3].partition("/")[0])
        cores = os.cpu_count() or wanted
        if cores - (running - 1) < wanted:  # perhaps threads of ours that still spin
            running -= sum(map(_runs, _THREADS.iterdir())) - 1
    except (OSError, ValueError, IndexError):
        return wanted
    return min(wanted, cores - (running - 1))


def _runs(thread: Path) -> bool:
    with suppress(OSError):  # it has ended
        return (thread / "stat").read_bytes().rpartition(b") ")[2][:1] == b"R"
    return False


def _set_threads(number: int) -> None:
    torch = sys.modules["torch"]
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)

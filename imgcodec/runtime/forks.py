"""Children made by `os.fork`, as by multiprocessing on Linux, or by servers that load first.

A child has a copy of everything but the other threads. What one of them was in the midst of, like
a lock that it held or a kernel that torch was making, a child would wait for for ever.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, RLock, get_ident

from imgcodec.runtime import openmp


class Gate:
    """Lets threads in, to work that must not be torn, and forks only while no other is inside."""

    def __init__(self) -> None:
        """Begin with nobody inside."""
        self._entrance = RLock()  # held by who forks
        self._moved = Condition()
        self._depths: dict[int, int] = {}  # thread -> how often it came in

    def enter(self) -> None:
        """Come in, while no other thread forks. Who is inside must not wait for who is not."""
        if get_ident() in self._depths:  # whoever forks waits for us already
            self._move(1)
        else:
            with self._entrance:
                self._move(1)

    def leave(self) -> None:
        """Go out as often as you came in."""
        self._move(-1)

    def close(self) -> None:
        """Let nobody in, and wait until no other thread is inside."""
        self._entrance.acquire()
        with self._moved:
            self._moved.wait_for(lambda: self._depths.keys() <= {get_ident()})

    def open(self) -> None:
        """Let threads in again, in the parent and in the child."""
        self._entrance.release()

    def _move(self, by: int) -> None:
        with self._moved:
            depth = self._depths.pop(get_ident(), 0) + by
            if depth:
                self._depths[get_ident()] = depth
            self._moved.notify_all()


_GATE = Gate()


@contextmanager
def undivided() -> Iterator[None]:
    """Let no other thread fork in this block or, as a decorator, in this function.

    It must not wait for a thread that is not in one itself.
    """
    _GATE.enter()
    try:
        yield
    finally:
        _GATE.leave()


class Lock:
    """A lock that its thread may take again; no other thread forks while it is held."""

    def __init__(self) -> None:
        """Begin unlocked."""
        self._lock = RLock()

    def __enter__(self) -> None:
        """Wait for the lock, and take it."""
        _GATE.enter()
        try:
            self._lock.acquire()
        except BaseException:  # Ctrl-C
            _GATE.leave()
            raise

    def __exit__(self, *failure: object) -> None:
        """Give it back."""
        self._lock.release()
        _GATE.leave()


def _before() -> None:
    _GATE.close()
    openmp.end_threads()


def _in_child() -> None:
    _GATE.open()
    openmp.restrict_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_GATE.open, after_in_child=_in_child)

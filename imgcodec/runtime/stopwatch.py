"""How long the stages of some work take, each in the thread that does it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WATCHES: ContextVar[tuple[dict[str, float], ...]] = ContextVar("watches", default=())


@contextmanager
def timing() -> Iterator[dict[str, float]]:
    """Yield the seconds of each stage of this block, in the order in which they first ended.

    What is timed in a block within it counts for both.
    """
    found: dict[str, float] = {}
    token = _WATCHES.set((*_WATCHES.get(), found))
    try:
        yield found
    finally:
        _WATCHES.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count a block or, as a decorator, a function as a stage; stages within it do not count."""
    watches = _WATCHES.get()
    token = _WATCHES.set(())
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        _WATCHES.reset(token)
        for found in watches:
            found[name] = found.get(name, 0.0) + seconds

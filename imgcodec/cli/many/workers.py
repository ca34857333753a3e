"""Processes that do some work on several files at a time, each in one thread of its own.

Threads of one process would wait for each other: half of coding is many short calls, of which
only one runs at a time. A process that dies, as where memory ends, costs the files that it worked
on, and no others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import NoReturn, TypeVar

from imgcodec.cli.process import ending

MOST_OF_WINDOWS = 61  # processes that it waits for at a time
AHEAD = 16  # items for each process that are looked at before their turn
_at_work = False  # whether this process is one of several, amidst an item

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(
    do: Callable[[Item], Result],
    items: Iterable[Item],
    processes: int,
    again: Callable[[Item], Result],
    lost: Callable[[Item], Result],
) -> Iterator[Result]:
    """Do something with all items, several at a time, and yield the results in their order.

    Args:
        do: what is done with each; it is pickled, as are items and results.
        items: taken as they are needed.
        processes: how many items are worked on at a time.
        again: what is done with an item that was under way when a process died, and may be done
            in part.
        lost: the result for an item of which a process dies once more.
    """
    pool = executor(processes)
    waiting: deque[tuple[Item, Future[Result]]] = deque()

    def result() -> Result:
        nonlocal pool
        item, future = waiting.popleft()
        try:
            return _waited(future)
        except BrokenProcessPool:  # all that were under way are lost, and who did it is unknown
            pool.shutdown()
            pool = executor(1)
            try:
                found = _waited(pool.submit(_do, again, item))
            except BrokenProcessPool:
                found = lost(item)
            pool.shutdown()
            pool = executor(processes)
            for number, (other, before) in enumerate(waiting):
                if not _is_known(before):
                    waiting[number] = other, _submit(pool, again, other)
            return found

    try:
        for item in items:
            if len(waiting) > AHEAD * processes:
                yield result()
            waiting.append((item, _submit(pool, do, item)))
        while waiting:
            yield result()
    except BaseException:  # nobody waits for what is under way
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def executor(processes: int) -> Executor:
    """Return new processes: not forked, as what threads and CUDA hold does not survive it."""
    if sys.platform == "win32":
        processes = min(processes, MOST_OF_WINDOWS)
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)


def _submit(pool: Executor, do: Callable[[Item], Result], item: Item) -> Future[Result]:
    """Return a future of an item; a pool that is broken says so when that is asked for."""
    try:
        return pool.submit(_do, do, item)
    except BrokenProcessPool as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def _waited(future: Future[Result]) -> Result:
    """Return a result as it comes; on Windows, Ctrl-C ends no wait that has no end itself."""
    while wait([future], timeout=1).not_done:
        pass
    return future.result()


def _do(do: Callable[[Item], Result], item: Item) -> Result:
    """Do it; what ends the process leaves its blocks first, as in a command of one process."""
    global _at_work
    try:
        _at_work = True
        try:
            return do(item)
        finally:
            _at_work = False
            if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:  # what was raised was caught
                raise SystemExit
    except SystemExit:  # would only end this item
        os._exit(1)


def _end(*_: object) -> NoReturn:
    if not _at_work:  # a pool that hands over a result would go on, and wait for ever
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
    raise SystemExit(1)


def _is_known(future: Future[Result]) -> bool:
    return future.done() and not isinstance(future.exception(), BrokenProcessPool)


def _begin() -> None:
    """Leave the signals of a terminal to the process that asks, and end when it says so."""
    for number in (signal.SIGINT, *ending()):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=follow, daemon=True).start()

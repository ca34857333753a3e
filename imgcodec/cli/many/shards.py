"""A shard of many files on a worker of a cluster: what is done there, and what is told of each.

A worker goes through a shard as one machine goes through a folder.
"""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from imgcodec import __version__, files
from imgcodec.cli.many import batch, elsewhere
from imgcodec.cli.many.copies import Copies
from imgcodec.cli.process import ending
from imgcodec.cli.work import Outcome, Task, Work
from imgcodec.errors import AicError, one_line
from imgcodec.format import container
from imgcodec.runtime.lockstep import Member

Pair = tuple[str, str]  # source and target, paths or URLs
Sides = Mapping[str, Sequence[str]]  # by source: URLs of other files that belong to it


class Row(NamedTuple):
    """What became of a file."""

    source: str
    target: str
    worker: str
    line: str | None = None  # what to tell, None where it failed or was up to date
    error: str | None = None
    notes: tuple[Pair, ...] = ()  # what is not as it was, to be told: of which file, and what
    read: int = 0  # bytes
    written: int = 0
    bpp: float | None = None  # of the .aic file
    seconds: float | None = None


def version() -> str:
    """Return that of the worker's aic."""
    return __version__


def leave_signals() -> None:
    """Let Ctrl-C and other ends of a terminal end the process that asks; that ends this worker."""
    for number in (signal.SIGINT, *ending()):
        with suppress(ValueError):  # they are for the main thread
            signal.signal(number, signal.SIG_IGN)


def shard(
    settings: bytes, pairs: Sequence[Pair], force: bool, topic: str, sides: Sides
) -> list[Row]:
    """Do a shard, tell of each file, and return all that was told."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    told = []
    work = elsewhere.unpacked(settings)
    with files.temporary_folder(worker.local_directory) as folder:
        for row in rows(work, pairs, force, Path(folder), worker.address, sides):
            worker.log_event(topic, pickle.dumps(row))  # names may be no text that dask sends
            told.append(row)
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":  # nobody waits for the rest
                break
    return told


def rows(
    work: Work, pairs: Iterable[Pair], force: bool, folder: Path, worker: str, sides: Sides
) -> Iterator[Row]:
    """Do what is due, by the rules of a folder on one machine, and yield what became of each.

    What lies at URLs is copied to `folder` and from there, while another file is worked on.
    """
    copies = Copies(folder)
    timed = _Timed(work)
    known: list[Row] = []  # without work
    doing: dict[Path, tuple[Pair, Task]] = {}  # by the target's path here

    def due() -> Iterator[Task]:
        for pair in pairs:
            here = copies.task(*pair, force)
            error = None
            try:
                copies.fetch(here, *pair, sides.get(pair[0], ()))
                task = batch.as_due(here, work)
            except FileNotFoundError:
                error = f"{pair[0]}: is not there"
            except AicError as refusal:
                error = _named(str(refusal), pair, here, one_line)
            else:
                if task is not None:
                    copies.clear(here)
                    doing[here.target] = pair, here
                    yield task
                    continue
            copies.drop(here)
            known.append(Row(*pair, worker, error=error))

    for outcome in batch.run(due(), cast(Work, timed), 1):
        yield from known
        known.clear()
        pair, here = doing.pop(outcome.task.target)
        row = _row(outcome, pair, here, copies)
        yield row._replace(worker=worker, seconds=timed.seconds.pop(here.target, None))
        copies.drop(here)
    yield from known


def _row(outcome: Outcome, pair: Pair, here: Task, copies: Copies) -> Row:
    """Bring what was made to its place, and return what is to be told."""
    notes = [
        (_named(str(path), pair, here), _named(note, pair, here))
        for path, note in elsewhere.notes_of(here)
    ]
    row = Row(*pair, "", notes=tuple(notes))
    try:
        copies.store(here, pair[1])  # what is whole of a damaged file, too
        if outcome.line is None:
            raise AicError(outcome.error or "")
        coded = here.target if here.target.suffix.lower() == ".aic" else here.source
        file = container.File(files.read_bytes(coded))
    except AicError as error:
        return row._replace(error=_named(str(error), pair, here, one_line))
    bpp = file.header.bpp(file.num_bytes)
    line = _named(outcome.line, pair, here, one_line)
    return row._replace(line=line, read=outcome.read, written=outcome.written, bpp=bpp)


def _named(text: str, pair: Pair, here: Task, shown: Callable[[str], str] = str) -> str:
    """Return a text with URLs in place of their copies, which nobody asked for, as `shown`."""
    for path, word in zip(here[:2], pair, strict=True):
        text = text.replace(shown(str(path)), shown(word))
    return text


class _Timed:
    """Some work, and how long each call of it took; all else is its own."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.seconds: dict[Path, float] = {}  # by target

    def __call__(self, task: Task, member: Member | None = None) -> str:
        started = time.perf_counter()
        try:
            return self._work(task, member)
        finally:
            self.seconds[task.target] = time.perf_counter() - started

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

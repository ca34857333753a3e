"""Many files: which of them are due, several at a time, and what happens when one fails.

What is made gets the time of what it was made of. So a file is known to be made of this one, and
not of another of its name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from imgcodec import files
from imgcodec.cli.checks import check_apart
from imgcodec.cli.many import elsewhere, grouping, workers
from imgcodec.cli.process import enough_memory, escaped
from imgcodec.cli.work import Outcome, Task, Work
from imgcodec.errors import AicError
from imgcodec.files import reason
from imgcodec.runtime.lockstep import Lockstep, Member

_GRAINS = (2 * 10**9, 10**9, 10**7, 1000, 100)  # nanoseconds: FAT, older ones, exFAT, NTFS


Told: TypeAlias = "tuple[Outcome, list[tuple[Path, str]]]"  # and notes about its files


def as_due(task: Task, work: Work) -> Task | None:
    """Return a task as it has to be done, None if its file is up to date; say what is done again.

    Raises:
        AicError: the file is there, not as asked, and kept without --force, or its source is gone.
    """
    if task.force:
        return task
    made = _time(task.target)
    if made is None:  # nothing there yet
        return task
    if not task.target.is_file():
        raise AicError(f"{task.target}: is not a regular file")
    check_apart(task.source, task.target)
    try:
        source = task.source.stat().st_mtime_ns
    except OSError as error:  # what is there already would be told in its place
        raise AicError(f"{task.source}: {reason(error)}") from error
    current = work.dates and _is_time_of(made, source)
    due = work.is_due(task, not current and made < source)
    if due:
        work.warn(task.target, f"is older than {task.source}, and is made again")
        return task._replace(force=True)
    if due is not None and not current:
        raise AicError(
            f"{task.target}: exists, and may be made of another file or in another way; it is kept"
            " without --force"
        )
    return None


def _time(path: Path) -> int | None:
    """Return when a file was changed, in nanoseconds; None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _is_time_of(made: int, source: int) -> bool:
    """Whether a time, in nanoseconds, is that of a source, as far as its file system keeps it."""
    grain = next((grain for grain in _GRAINS if made % grain == 0), 1)
    return made <= source < made + grain


def run(todo: Iterable[Task], work: Work, jobs: int) -> Iterator[Outcome]:
    """Do all tasks, `jobs` at a time, and yield what became of each, in their order.

    Several at a time are done by as many processes. Pictures of one size go through the model
    together where that is faster: small ones, and on a GPU all but large ones.
    """
    due = iter(todo)
    if (first := next(due, None)) is None:
        return
    asked: deque[Task] = deque()  # what nothing was told about yet

    def taken() -> Iterator[Task]:
        for task in chain([first], due):
            asked.append(task)
            yield task

    # the process that hands out files asks no device
    way = grouping.way(work.device if jobs == 1 else "cpu")
    groups = grouping.grouped(taken(), lambda task: work.size(task.source), way)
    told: dict[Task, Outcome] = {}
    for outcome in _outcomes(groups, work, jobs, way.at_a_time):
        told[outcome.task] = outcome
        while asked and asked[0] in told:
            yield told.pop(asked.popleft())


def _outcomes(
    groups: Iterable[list[Task]], work: Work, jobs: int, at_a_time: int
) -> Iterator[Outcome]:
    """Do groups in processes, or in threads of this one, and yield outcomes group by group."""
    if jobs > 1:
        settings = elsewhere.packed(work)
        once, again = partial(_attempt_there, settings), partial(_attempt_rest, settings)
        for found in workers.run(once, groups, jobs, again, _lost):
            for outcome, notes in found:
                for path, note in notes:
                    work.warn(path, note)
                yield outcome
    elif at_a_time > 1:
        for outcomes in _overlapped(partial(_attempt_all, work), groups, at_a_time):
            yield from outcomes
    else:
        for group in groups:
            yield from _attempt_all(work, group)


def _overlapped(
    do: Callable[[list[Task]], list[Outcome]], groups: Iterable[list[Task]], at_a_time: int
) -> Iterator[list[Outcome]]:
    """Do groups in so many threads, and yield results in their order.

    Ctrl-C waits for those under way.
    """
    waiting: deque[Future[list[Outcome]]] = deque()
    with ThreadPoolExecutor(at_a_time) as threads:
        try:
            for group in groups:
                if len(waiting) > at_a_time:
                    yield waiting.popleft().result()
                waiting.append(threads.submit(do, group))
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _attempt_all(work: Work, group: Sequence[Task]) -> list[Outcome]:
    if len(group) == 1:
        return [_attempt(work, group[0])]
    return Lockstep().run([partial(_attempt, work, task) for task in group])


def _attempt(work: Work, task: Task, member: Member | None = None) -> Outcome:
    try:
        files.check_makeable(task.target)
        task.target.parent.mkdir(parents=True, exist_ok=True)
        time = _time(task.source)  # it may be edited meanwhile
        with enough_memory(), files.dating(time if work.dates else None):
            line = work(task, member)
        return _made(task, line)
    except AicError as error:
        return Outcome(task, None, str(error))
    except OSError as error:
        return Outcome(task, None, f"{task.target}: {reason(error)}")


def _made(task: Task, line: str) -> Outcome:
    """Return what is told of what is made."""
    read = task.source.stat().st_size if task.source.exists() else 0  # it may be gone by now
    written = task.target.stat().st_size
    return Outcome(task, escaped(line, task.target), None, read, written)


def _made_before(task: Task) -> Outcome | None:
    """Return what a process did that died before it could say so; None: its file is not there.

    Without `force` a task is due only where no file was: one that is there now is whole, and its.
    """
    try:
        if task.force or not task.target.exists():
            return None
        line = f"{task.target}: {task.target.stat().st_size} bytes"
        return _made(task, line)
    except OSError:
        return None


def _attempt_there(settings: bytes, group: Sequence[Task]) -> list[Told]:
    """Do what `_attempt_all` does, in another process; return what was said of each file, too."""
    outcomes = _attempt_all(elsewhere.unpacked(settings), group)
    return [(outcome, elsewhere.notes_of(outcome.task)) for outcome in outcomes]


def _attempt_rest(settings: bytes, group: Sequence[Task]) -> list[Told]:
    """Do what `_attempt_there` does, where a process died before it said what it had done."""
    before = [_made_before(task) for task in group]
    left = [task for task, made in zip(group, before, strict=True) if made is None]
    found = iter(_attempt_there(settings, left) if left else ())
    return [next(found) if made is None else (made, []) for made in before]


def _lost(group: Sequence[Task]) -> list[Told]:
    """Return what is told of files over which a process died."""
    why = "the process that worked on it died; it may need more memory than there is"
    return [
        (_made_before(task) or Outcome(task, None, f"{task.source}: {why}"), []) for task in group
    ]

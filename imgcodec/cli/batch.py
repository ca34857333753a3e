"""Many files: which of them become which, and what happens when one of them fails."""

import glob
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from imgcodec.errors import AicError
from imgcodec.runtime.lockstep import Lockstep, Member

PIPE = "-"  # stdin or stdout in place of a file
TOGETHER_PIXELS = 160 * 160  # at most; larger pictures gain little
MOST_TOGETHER = 8


class Task(NamedTuple):
    """A file to be made from another."""

    source: Path
    target: Path


class Outcome(NamedTuple):
    """What became of a task."""

    task: Task
    line: str | None  # what to tell, None where it failed
    error: str | None
    read: int = 0  # bytes
    written: int = 0


class Work(Protocol):
    """What is done with each of many files."""

    def __call__(self, source: Path, target: Path, member: Member | None = None) -> str:
        """Make the target, alone or as a member of a group; return what to tell about it."""

    def size(self, source: Path) -> tuple[int, int] | None:
        """Return height and width of the picture; None: unknown, or it has to go alone."""


def is_many(source: str, target: str) -> bool:
    """Whether words name a folder, a pattern, or a folder to write into."""
    if PIPE in (source, target):
        return False
    return os.path.isdir(source) or _is_pattern(source) or os.path.isdir(target)


def tasks(source: str, folder: str, suffixes: Collection[str], suffix: str) -> list[Task]:
    """Return the files to be made.

    Args:
        source: a folder, which is searched with all folders in it, a pattern like `**/*.png`, or
            a file.
        folder: what to write into; folders below the source are made there, too.
        suffixes: of the files to be taken from a folder, lower case.
        suffix: of those to be made. Two files that would get one name keep their own suffix in it.

    Raises:
        AicError: there is nothing to be done.
    """
    if not os.path.isdir(folder) and (os.path.exists(folder) or folder.endswith(suffix)):
        raise AicError(f"{folder}: is no folder, and {source} may be many files")
    if os.path.isdir(source):
        base = Path(source)
        found = [path for path in base.rglob("*") if path.suffix.lower() in suffixes]
    elif _is_pattern(source):
        fixed = Path(source).parts
        base = Path(*fixed[: next(i for i, part in enumerate(fixed) if glob.has_magic(part))])
        found = [Path(path) for path in glob.glob(source, recursive=True)]
    else:
        base, found = Path(source).parent, [Path(source)]
    found = sorted(path for path in found if path.is_file())
    if not found:
        raise AicError(f"{source}: no files ({' '.join(sorted(suffixes))})")
    names = [path.relative_to(base).with_suffix(suffix) for path in found]
    made = []
    for path, name in zip(found, names, strict=True):
        if names.count(name) > 1:
            name = path.relative_to(base).with_name(path.name + suffix)
        made.append(Task(path, Path(folder) / name))
    return made


def is_up_to_date(task: Task) -> bool:
    """Whether the file is there and not older than what it is made from."""
    try:
        return task.target.stat().st_mtime >= task.source.stat().st_mtime
    except OSError:
        return False


def run(todo: Sequence[Task], work: Work, jobs: int) -> Iterator[Outcome]:
    """Do all tasks, `jobs` at a time, and yield what became of each, in their order.

    Small pictures of one size that follow each other go through the model together.
    """

    def attempt(task: Task, member: Member | None = None) -> Outcome:
        try:
            task.target.parent.mkdir(parents=True, exist_ok=True)
            line = work(*task, member)
            read, written = (path.stat().st_size for path in task)
            return Outcome(task, line, None, read, written)
        except AicError as error:
            return Outcome(task, None, str(error))
        except OSError as error:
            return Outcome(task, None, f"{task.target}: {error.strerror}")

    def attempt_all(group: Sequence[Task]) -> list[Outcome]:
        if len(group) == 1:
            return [attempt(group[0])]
        return Lockstep().run([partial(attempt, task) for task in group])

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(attempt_all, group) for group in _groups(todo, work)]
        try:
            for future in futures:
                yield from future.result()
        finally:
            for future in futures:
                future.cancel()


def _groups(todo: Sequence[Task], work: Work) -> Iterator[list[Task]]:
    """Yield tasks that are done together."""

    def size(task: Task) -> tuple[int, int] | None:
        found = work.size(task.source)
        return found if found is not None and found[0] * found[1] <= TOGETHER_PIXELS else None

    for found, tasks_alike in groupby(todo, size):
        alike = list(tasks_alike)
        most = 1 if found is None else MOST_TOGETHER
        yield from (alike[i : i + most] for i in range(0, len(alike), most))


@contextmanager
def piped(source: str, target: str, suffix: str) -> Iterator[tuple[Task, Callable[[str], str]]]:
    """Yield files in place of stdin and stdout; the target then goes to stdout.

    And what takes their folder, which nobody asked for, out of a text.
    """
    with tempfile.TemporaryDirectory(prefix="aic-") as folder:

        def told(text: str) -> str:
            return text.replace(f"{folder}{os.sep}", "")

        task = Task(Path(source), Path(target))
        if source == PIPE:
            task = task._replace(source=Path(folder) / "stdin")
            task.source.write_bytes(sys.stdin.buffer.read())
        if target == PIPE:
            task = task._replace(target=Path(folder) / f"stdout{suffix}")
        try:
            yield task, told
        except AicError as error:
            raise AicError(told(str(error))) from error
        if target == PIPE:
            sys.stdout.buffer.write(task.target.read_bytes())
            sys.stdout.buffer.flush()


def _is_pattern(source: str) -> bool:
    return glob.has_magic(source) and not os.path.exists(source)

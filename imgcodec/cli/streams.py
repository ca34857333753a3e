"""Stdin, stdout and other streams in place of files: in a temporary folder, as regular ones."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from imgcodec.cli.work import Task
from imgcodec.errors import AicError, one_line
from imgcodec.files import check_ends, pieces, reason, temporary_folder

PIPE = "-"  # stdin or stdout in place of a file
_THROUGH = ", on its way through {}"  # the folder


def is_stream(source: str) -> bool:
    """Whether a source can only be read once and in order, as `<(command)` of a shell."""
    return source == PIPE or (os.path.exists(source) and not os.path.isfile(source))


def check_stdout() -> None:
    """Refuse to work for a closed stdout."""
    if sys.stdout is None:
        raise AicError("stdout: is closed")


@contextmanager
def as_files(
    source: str, target: str = os.devnull, suffix: str = "", force: bool = False
) -> Iterator[tuple[Task, Callable[[str], str]]]:
    """Yield files in place of streams; the target then goes to stdout.

    And what takes their folder, which nobody asked for, out of a text.
    """
    if not is_stream(source) and target != PIPE:
        yield Task(Path(source), Path(target), force), lambda text: text
        return
    if target == PIPE:
        check_stdout()
    with temporary_folder() as folder:
        name = "stdin" if source == PIPE else source
        task = Task(Path(source), Path(target), force)

        def told(text: str) -> str:
            for place in (folder, one_line(folder)):
                text = text.replace(os.path.join(place, "stdin"), name)
                text = text.replace(os.path.join(place, ""), "")
            return text

        if is_stream(source):
            task = task._replace(source=Path(folder) / "stdin")
            _keep(source, name, task.source)
        if target == PIPE:
            task = task._replace(target=Path(folder) / f"stdout{suffix}")
        try:
            yield task, told
        except AicError as error:
            if target == PIPE and task.target.exists():  # what is whole of a damaged file
                _give(task.target)
            text = told(str(error))
            if one_line(str(task.target)) in str(error) and isinstance(error.__cause__, OSError):
                text += _THROUGH.format(folder)
            raise AicError(text) from error
        if target == PIPE:
            _give(task.target)


def left_behind(task: Task) -> list[Path]:
    """Return what is written beside a target that goes to stdout, as a part of it."""
    return sorted(task.target.parent.glob(f"{task.target.name}.*"))


def _give(path: Path) -> None:
    """Write a file to stdout."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _keep(source: str, name: str, path: Path) -> None:
    """Write what a stream gives to a file."""
    if source == PIPE and sys.stdin is None:
        raise AicError(f"{name}: is closed")
    try:
        opened = nullcontext(sys.stdin.buffer) if source == PIPE else open(source, "rb")
        with opened as stream, path.open("wb") as file:
            if source != PIPE:
                check_ends(stream, name)
            file.writelines(pieces(stream, name))
    except OSError as error:
        raise AicError(f"{name}: {reason(error)}{_THROUGH.format(path.parent)}") from error

"""The process that a command runs in: its signals, its streams, and what the system refuses."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from types import FrameType
from typing import Any, NoReturn

import click

from imgcodec.errors import AicError, lacks_memory, one_line
from imgcodec.files import reason

_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")  # names, of which no system has all
_OF_STDOUT = (
    errno.EPIPE, errno.EBADF, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT,
    errno.EINVAL,  # of a pipe that nobody reads, on Windows
)  # fmt: skip
BY_SIGNAL = 128  # exit code of a command that a signal ends, less the signal's number


def ending() -> list[int]:
    """Return the signals that end the process, besides that of Ctrl-C."""
    return [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Let signals that end the process leave its blocks first, as Ctrl-C does: files are removed.

    A second one ends it at once. Signals that are ignored, as by nohup, or handled stay so.
    """
    taken = []
    with suppress(ValueError):  # signals are for the main thread
        for number in ending():
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _end)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(BY_SIGNAL + number)


def hush_loggers() -> None:
    """Keep off stderr what libraries log, as Pillow does before it refuses a picture."""
    import logging

    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())


def escape_output() -> None:
    """Write what a stream's encoding lacks, as in names that are not UTF-8, with backslashes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def alone_on_stderr() -> Iterator[None]:
    """Keep libraries in C off stderr, where they tell of files what we refuse in one line."""
    if sys.stderr is None:  # closed: click would tell of errors on stdout, behind the data
        with open(os.devnull, "w") as nothing, redirect_stderr(nothing), alone_on_stderr():
            yield
        return
    ours = sys.stderr
    try:
        number = ours.fileno()
    except (AttributeError, OSError, ValueError):  # none of the system's
        yield
        return
    ours.flush()
    kept = os.dup(number)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), number)
    stream = open(kept, "wb", closefd=False)
    sys.stderr = _Stderr(stream, ours.encoding, "backslashreplace", line_buffering=True)
    unraisable, sys.unraisablehook = sys.unraisablehook, _of_python
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        with suppress(OSError):
            sys.stderr.close()
        sys.stderr = ours
        os.dup2(kept, number)
        os.close(kept)


class _Stderr(io.TextIOWrapper):
    """Tells what there is room for: no work ends because a disk is full."""

    def write(self, text: str) -> int:
        """Write a text, or leave it out."""
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left."""
        with suppress(OSError):
            super().flush()


def _of_python(found: Any) -> None:
    """Tell what cannot be raised, but not of compiled functions, which are named only.

    As where rasterio tells what GDAL found in a damaged file, in bytes that are no text.
    """
    if not isinstance(found.object, str):
        sys.__unraisablehook__(found)


def check_folder() -> None:
    """Refuse to work in a folder that is gone: libraries end the process there."""
    try:
        os.getcwd()
    except OSError as error:
        raise AicError(f"the current folder: {reason(error)}") from error


@contextmanager
def enough_memory() -> Iterator[None]:
    """Refuse in one line what the memory is too small for, whichever library finds out."""
    try:
        yield
    except (MemoryError, RuntimeError, ImportError) as error:
        if not lacks_memory(error):
            raise
        raise AicError("not enough memory") from error


def escaped(line: str, path: str | os.PathLike[str]) -> str:
    """Return what is told of a file with its name as `one_line` has it."""
    return line.replace(str(path), one_line(str(path)))


def warn(quiet: bool, path: str | os.PathLike[str], note: str) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(one_line(f"{path}: {note}"), err=True)


def refuse(error: OSError) -> NoReturn:
    """Say in one line what the system refused, and end."""
    place = error.filename
    if place is None and error.errno in _OF_STDOUT:
        place = "stdout"  # files are written and read where errors get their names
        with suppress(OSError):  # what is left in it would be tried again at the end
            sys.stdout.close()
    text = reason(error) if place is None else f"{place}: {reason(error)}"
    with suppress(OSError):
        click.echo(f"Error: {one_line(text)}", err=True)
    raise SystemExit(1)

"""Files of any kind: read with one line if that fails, and written whole or not at all."""

import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from imgcodec.errors import AicError, FormatError, lacks_memory
from imgcodec.runtime.stopwatch import stage

MAX_STREAM_BYTES = 2**33  # the largest pictures take 6 GiB with 16 bits a sample
_PIECE_BYTES = 2**20
_date: ContextVar[int | None] = ContextVar("date", default=None)


def read_bytes(source: Path) -> bytes:
    """Return the bytes of a file, or all that a stream gives."""
    try:
        with source.open("rb") as file:
            check_ends(file, source)
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return b"".join(pieces(file, source))
            return file.read()
    except OSError as error:
        raise AicError(f"{source}: {reason(error)}") from error


@contextmanager
def stored(source: Path) -> Iterator["bytes | Stored"]:
    """Yield the bytes of a file, read where they are looked at; those of a stream at once.

    The file is closed at the end of the block: Windows removes and replaces none that is open.
    """
    with ExitStack() as links:
        try:
            file = links.enter_context(source.open("rb"))
            check_ends(file, source)
            length = os.fstat(file.fileno()).st_size
            # of a stream, or of what has no size, there are no bytes
            data = Stored(file.fileno(), length) if length else b"".join(pieces(file, source))
        except OSError as error:
            raise AicError(f"{source}: {reason(error)}") from error
        yield data


class Stored:
    """The bytes of an open file; were it mapped, cutting it would end the process."""

    def __init__(self, descriptor: int, length: int) -> None:
        """Take the file and the number of its bytes."""
        self._descriptor = descriptor
        self._length = length

    def __len__(self) -> int:
        """Return how many bytes there were at first."""
        return self._length

    def part(self, start: int, end: int) -> bytes:
        """Return some of them, fewer where the file ends; `FormatError` of a disk that fails."""
        try:
            with open(self._descriptor, "rb", closefd=False) as file:
                file.seek(start)
                return file.read(max(0, min(end, self._length) - start))
        except OSError as error:
            raise FormatError(f"cannot be read: {reason(error)}") from error


def temporary_folder(place: str | None = None) -> "tempfile.TemporaryDirectory[str]":
    """Return a new folder that is removed with all in it at the end of a block."""
    try:
        return tempfile.TemporaryDirectory(prefix="aic-", dir=place)
    except OSError as error:
        raise AicError(f"no temporary folder: {reason(error)}") from error


def check_ends(file: IO[bytes], name: str | os.PathLike[str]) -> None:
    """Refuse a device, as /dev/zero is one: it may have no end."""
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise AicError(f"{name}: is a device, not a file")


def pieces(stream: IO[bytes], name: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield what a stream gives, up to a limit: it may have no end."""
    left = MAX_STREAM_BYTES
    while True:
        try:
            piece = stream.read(_PIECE_BYTES)
        except OSError as error:
            raise AicError(f"{name}: {reason(error)}") from error
        if not piece:
            return
        left -= len(piece)
        if left < 0:
            raise AicError(f"{name}: gives more than {MAX_STREAM_BYTES} bytes")
        yield piece


def check_free(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a path that `write_bytes` could not write, as far as that can be known before."""
    folder = Path(path).parent
    above, there = _mode(folder), _mode(path)
    if above is None or not stat.S_ISDIR(above):
        raise AicError(f"{path}: there is no folder {folder}")
    if there is not None and not stat.S_ISREG(there):
        raise AicError(f"{path}: is not a regular file")
    if there is not None and not force:
        raise AicError(f"{path}: exists, and is kept without --force")
    if there is not None and sys.platform == "win32" and not there & stat.S_IWUSR:
        raise AicError(f"{path}: is read-only, and no file takes its place on Windows")
    check_makeable(path)


def check_makeable(path: str | os.PathLike[str]) -> None:
    """Refuse a path where the system allows no file, nor the folders that it lacks still."""
    folder = Path(os.path.realpath(path)).parent
    while _mode(folder) is None and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):
        raise AicError(f"{path}: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AicError(f"{path}: the folder {folder} may not be written")


def _mode(path: str | os.PathLike[str]) -> int | None:
    """Return what the system says about the kind of a file; None: there is none."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AicError(f"{path}: {reason(error)}") from error


@stage("write")
def write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, force: bool = False
) -> None:
    """Write a file whole or not at all; an existing one is kept unless `force`."""
    with replacing(path, force) as temporary, open(temporary, "wb") as file:
        file.write(data)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(path)
    except OSError as error:
        if os.path.lexists(path):
            raise AicError(f"{path}: {reason(error)}") from error


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append a line to a text file, which is made where there is none."""
    try:
        with open(path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                torn = file.read() != b"\n"  # a line that was cut off as it was written
            else:
                torn = False
            file.write(b"\n" * torn + line.encode() + b"\n")
    except OSError as error:
        raise AicError(f"{path}: {reason(error)}") from error


@contextmanager
def dating(time_ns: int | None) -> Iterator[None]:
    """Give files that this thread writes meanwhile a time, in nanoseconds; None: that of now."""
    token = _date.set(time_ns)
    try:
        yield
    finally:
        _date.reset(token)


def undate() -> None:
    """Give files that are being written the time of now, whatever `dating` says."""
    _date.set(None)


@contextmanager
def replacing(path: str | os.PathLike[str], force: bool = False) -> Iterator[Path]:
    """Yield an empty file beside `path` that takes its place when the block is left.

    By an exception, it is removed, and whatever was there before stays.

    Raises:
        AicError: the file cannot be written, or one exists and `force` is not given.
    """
    check_free(path, force)
    target = os.path.realpath(path)  # through a link, not over it
    temporary = Path(target).with_name(f".aic-{secrets.token_hex(8)}.tmp")
    try:
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with open(temporary, "r+b") as file:  # Windows syncs no file that is only read
                os.fsync(file.fileno())
            check_free(path, force)  # somebody may have been faster
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            if (time_ns := _date.get()) is not None:  # now, so that it is never there without
                os.utime(temporary, ns=(temporary.stat().st_atime_ns, time_ns))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)  # gone already where all went well
    except OSError as error:
        raise AicError(f"{path}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return one line for what the system or a library reports."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()).rstrip(".")
    if lacks_memory(error):
        text = "not enough memory"
    text = text or f"cannot be read ({type(error).__name__})"
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]  # HTTP stays what it is

"""Files of any kind: read with one line if that fails, and written whole or not at all."""

import mmap
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgcodec.errors import AicError
from imgcodec.runtime.stopwatch import stage


def read_bytes(source: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return source.read_bytes()
    except OSError as error:
        raise AicError(f"{source}: {error.strerror}") from error


def map_bytes(source: Path) -> bytes | mmap.mmap:
    """Return the bytes of a file, read only where they are looked at."""
    try:
        with source.open("rb") as file:
            empty = source.stat().st_size == 0  # which cannot be mapped
            return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise AicError(f"{source}: {error.strerror}") from error


def check_free(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a path that `write_bytes` could not write, as far as that can be known before."""
    if not os.path.isdir(Path(path).parent):  # pathlib's own raises where a folder is closed
        raise AicError(f"{path}: there is no folder {Path(path).parent}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise AicError(f"{path}: is not a regular file")
    if os.path.exists(path) and not force:
        raise AicError(f"{path}: exists, and is kept without --force")


@stage("write")
def write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, force: bool = False
) -> None:
    """Write a file whole or not at all; an existing one is kept unless `force`."""
    with replacing(path, force) as temporary, open(temporary, "wb") as file:
        file.write(data)


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
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            check_free(path, force)  # somebody may have been faster
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)  # gone already where all went well
    except OSError as error:
        raise AicError(f"{path}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return one line for what the system or a library reports."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()).rstrip(".")
    text = text or f"cannot be read ({type(error).__name__})"
    return text[:1].lower() + text[1:]

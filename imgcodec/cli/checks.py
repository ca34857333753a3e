"""What commands refuse to write over, and how refusals name their files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imgcodec import files
from imgcodec.cli.work import Task
from imgcodec.errors import AicError, one_line
from imgcodec.pictures import PICTURES


def check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the input, whatever --force says."""
    with suppress(OSError):  # told where they are opened
        if target.samefile(source):
            raise AicError(f"{target}: is input and output at once")


def check_coded(target: Path, force: bool) -> None:
    """Refuse an .aic file that could not be written, or would stand where pictures do."""
    for name in (target, Path(os.path.realpath(target))):  # which may be a link
        if name.suffix.lower() != ".aic":
            jpeg = name.suffix.lower() in (".jpg", ".jpeg")
            way_out = "; aic encode --into jpeg makes JPEG files" * jpeg
            raise AicError(f"{name}: suffix {name.suffix!r} is not .aic{way_out}")
    files.check_free(target, force)


def check_other(target: Path, force: bool, own: Collection[str] = ()) -> None:
    """Refuse a file that could not be written, or whose name is that of a picture or .aic file.

    Args:
        target: to be written.
        force: whether an existing one is replaced.
        own: suffixes that it may have all the same.
    """
    for name in (target, Path(os.path.realpath(target))):
        suffix = name.suffix.lower()
        if suffix in (".aic", *PICTURES) and suffix not in own:
            raise AicError(f"{name}: suffix {name.suffix!r} is that of another kind of file")
    files.check_free(target, force)


def keep_older(work: object, task: Task, outdated: bool) -> bool:
    """See `Work.is_due`: an older target may be what its source was made of."""
    if outdated:
        raise AicError(f"{task.target}: exists, is older, and is kept without --force")
    return False


def named(why: str, path: object, *others: object) -> str:
    """Return a refusal with the name of a file before it, unless it begins with that.

    It may also begin with one of the others, or with a file beside one of them.
    """
    for name in (path, *others):  # which may be like any word of a refusal
        if re.match(rf"{re.escape(one_line(str(name)))}(\.[\w.]+)?: ", one_line(why)):
            return why
    return f"{path}: {why}"


@contextmanager
def naming(source: Path, target: Path) -> Iterator[None]:
    """Put the name of the input before refusals that name no file."""
    try:
        yield
    except AicError as error:
        line = named(str(error), source, target)
        if line == str(error):
            raise
        raise AicError(line) from error

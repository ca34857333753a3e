"""Folders and files at URLs that fsspec knows, like s3://bucket/folder: which there are."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from imgcodec.errors import AicError
from imgcodec.files import reason

T = TypeVar("T")

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.ASCII)
TRIES, PAUSE_S = 3, 0.5  # of what may have failed by chance; the pause doubles
_LASTING = (FileNotFoundError, PermissionError, NotImplementedError, ImportError, ValueError)


def is_url(word: str) -> bool:
    """Whether a word names a file or a folder that fsspec finds."""
    return _URL.match(word) is not None


def plain(word: str) -> str:
    """Return file:// URLs as the paths that they are, all else as it is."""
    path = word.removeprefix("file://")
    if sys.platform == "win32" and path != word:
        path = re.sub(r"^/(?=[A-Za-z]:)", "", path)  # file:///C:/a
    return path


def join(folder: str, name: Path) -> str:
    """Return a file below a folder; either may be a URL's."""
    return f"{folder.rstrip('/')}/{name.as_posix()}" if is_url(folder) else str(Path(folder, name))


def names(word: str) -> tuple[str, list[tuple[str, ...]] | None]:
    """Return the URL of a folder, and the names that lead to all files in it, sorted.

    A URL may end with a pattern, whose folder is meant. None in place of names: it is a file's.

    Raises:
        AicError: it is not there, or not to be reached.
    """
    with telling(word):
        start = _magic(word)
        base = word if start is None else word[: word.rindex("/", 0, start)]
        system, root = open_url(base)
        if start is None and not base.endswith("/") and system.isfile(root):
            return word, None
        root = root.rstrip("/")
        found = [path[len(root) :].strip("/") for path in system.find(root)]
        if not found and not system.exists(root):
            raise FileNotFoundError("is not there")
        return base.rstrip("/"), sorted(tuple(name.split("/")) for name in found if name)


def why_missing(word: str) -> str:
    """Say why nothing was found: fsspec takes a web server that is away, or refuses, for that."""
    if word.startswith("http"):
        try:
            system, place = open_url(word)
            system.info(place)
        except Exception as error:
            cause = error.__cause__
            if cause is not None and getattr(cause, "status", None) not in (404, 410):
                return reason(cause)
    return "is not there"


def exists(url: str) -> bool:
    """Whether there is a file that may be read.

    Raises:
        AicError: that is not to be found out.
    """
    with telling(url), suppress(PermissionError):
        system, place = open_url(url)
        return bool(again(lambda: system.exists(place)))
    return False


def pattern(word: str) -> tuple[str, ...] | None:
    """Return the parts of the pattern with which a URL ends, None where there is none."""
    start = _magic(word)
    return None if start is None else tuple(word[word.rindex("/", 0, start) + 1 :].split("/"))


def _magic(word: str) -> int | None:
    """Return where the first sign of a pattern stands in a URL; in http, ? is none."""
    found = re.search(r"[*\[]" if word.startswith("http") else r"[*?\[]", word)
    return None if found is None else found.start()


def open_url(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and what that calls it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise AicError("URLs need pip install 'imgcodec[cluster]'") from error
    found: tuple[Any, str] = url_to_fs(url)
    return found


def again(work: Callable[[], T]) -> T:
    """Return what some work gives; what may have failed by chance is tried again."""
    for turn in range(TRIES - 1):
        try:
            return work()
        except _LASTING:
            raise
        except Exception:
            time.sleep(PAUSE_S * 2**turn)
    return work()


@contextmanager
def telling(url: str) -> Iterator[None]:
    """Tell what file systems raise, which may be anything, in one line; but missing files."""
    try:
        yield
    except (AicError, FileNotFoundError):
        raise
    except Exception as error:
        raise AicError(f"{url}: {reason(error)}") from error

"""Local copies of files at URLs, and the way back: whole, or not at all."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from imgcodec.cli.many.urls import again, is_url, open_url, telling
from imgcodec.cli.work import Task

# Where a file is seen only once it is whole, and folders are names only.
_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "memory"}


class Copies:
    """Local copies of files at URLs, in a folder.

    A copy has the time of its file. That of a target which is no older than its source has the
    source's: what a store keeps is the time of the upload.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder for them."""
        self._folder = folder
        self._number = 0

    def task(self, source: str, target: str, force: bool) -> Task:
        """Return what is to be done here: paths are their own, URLs get some in the folder."""
        self._number += 1
        folder = self._folder / str(self._number)

        def here(side: str, word: str) -> Path:
            return Path(folder, side, word.rsplit("/", 1)[-1]) if is_url(word) else Path(word)

        return Task(here("in", source), here("out", target), force)

    def fetch(self, task: Task, source: str, target: str, sides: Iterable[str] = ()) -> None:
        """Copy a source with what belongs to it, and a target that is there and looked at.

        Raises:
            FileNotFoundError: there is no source.
            AicError: one of them cannot be read.
        """
        if is_url(source):
            _download(source, task.source)
            for side in sides:
                with suppress(FileNotFoundError):
                    _download(side, task.source.with_name(side.rsplit("/", 1)[-1]))
        if is_url(target) and not task.force:
            with suppress(FileNotFoundError):
                _download(target, task.target)
                modified = task.source.stat().st_mtime_ns
                if task.target.stat().st_mtime_ns >= modified:
                    os.utime(task.target, ns=(modified, modified))

    def clear(self, task: Task) -> None:
        """Remove the copy of a target, which is made anew."""
        if self._folder in task.target.parents:
            task.target.unlink(missing_ok=True)

    def store(self, task: Task, target: str) -> None:
        """Bring what was made to its URL, each file whole or not at all, the target last."""
        if is_url(target):
            name = task.target.name
            for path in sorted(task.target.parent.glob("*"), reverse=True):
                _upload(path, target + path.name.removeprefix(name))

    def drop(self, task: Task) -> None:
        """Remove the copies of a task."""
        for path in task.source, task.target:
            if self._folder in path.parents:
                for copy in path.parent.glob("*"):
                    copy.unlink()


def _download(url: str, path: Path) -> None:
    """Copy a file; its time is that of the original, or long ago where nobody knows it.

    Raises:
        FileNotFoundError: it is not there.
        AicError: it cannot be read.
    """
    with telling(url):
        system, place = open_url(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            modified = again(lambda: system.modified(place)).timestamp()
        except NotImplementedError:
            modified = 0
        again(lambda: system.get_file(place, str(path)))
        os.utime(path, (modified, modified))


def _upload(path: Path, url: str) -> None:
    with telling(url):
        system, place = open_url(url)
        if url.split("://")[0] in _STORES:
            again(lambda: system.put_file(str(path), place))
            return
        folder = place.rsplit("/", 1)[0]
        system.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.aic-{secrets.token_hex(8)}.tmp"
        try:
            again(lambda: system.put_file(str(path), temporary))
            system.mv(temporary, place)
        except BaseException:
            with suppress(Exception):
                system.rm_file(temporary)
            raise

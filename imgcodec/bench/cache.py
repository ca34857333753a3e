"""Rows that were measured before, found again by all that decides them."""

import dataclasses
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from imgcodec import files
from imgcodec.bench.rows import NAN, Row
from imgcodec.errors import AicError


def default_folder() -> Path:
    """Return where rows are kept if nothing else is said."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "aic" / "bench"
    except RuntimeError as error:  # pathlib's, where neither HOME nor the system tells
        raise AicError("no home folder for the cache: --cache DIR or --no-cache") from error


_SAMPLE = Row("", "", 0.0)  # for the types of its fields


class Cache:
    """A folder with one small file for each row; what is broken in it is measured again."""

    def __init__(self, folder: Path, circumstances: dict[str, Any]) -> None:
        """Use a folder; rows of other circumstances (machine, threads, ...) are others.

        Raises:
            AicError: nothing can be written there, before anything is measured.
        """
        self._folder, self._circumstances = folder, circumstances
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise AicError(f"{folder}: {error.strerror}: --cache DIR or --no-cache") from error

    def key(self, picture: bytes, coder: dict[str, Any], setting: float) -> str:
        """Return the name of a row: a hash of the picture's file, the codec and its setting."""
        parts = [hashlib.sha256(picture).hexdigest(), coder, setting, self._circumstances]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> Row | None:
        """Return the row of that name, if there is one."""
        try:
            values: dict[str, Any] = json.loads((self._folder / f"{key}.json").read_text())
            known: dict[str, Any] = {k: NAN if v is None else v for k, v in values.items()}
            row = Row(**known)
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        as_wanted = all(
            type(getattr(row, f.name)) in {type(getattr(_SAMPLE, f.name)), int}
            for f in dataclasses.fields(Row)
        )
        return row if as_wanted else None

    def put(self, key: str, row: Row) -> None:
        """Keep a row; infinite values (PSNR of equal pictures) are written as JSON's Infinity."""
        values = {k: None if v != v else v for k, v in dataclasses.asdict(row).items()}
        files.write_bytes(self._folder / f"{key}.json", json.dumps(values).encode(), force=True)

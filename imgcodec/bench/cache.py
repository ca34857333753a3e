"""Rows that were measured before, found again by all that decides them."""

import dataclasses
import hashlib
import json
import math
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


_TYPES: dict[type, set[type]] = {str: {str}, bool: {bool}, float: {int, float}}
_WANTED = {
    f.name: _TYPES[type(getattr(Row("", "", 0.0), f.name))] for f in dataclasses.fields(Row)
}
_INFINITE = {"psnr", "ms_ssim_db"}  # of equal pictures


def read_json(path: Path) -> Any:
    """Return what a small file of ours holds, None where there is none, or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


class Cache:
    """A folder with one small file for each row; what is broken in it is measured again."""

    def __init__(self, folder: Path, circumstances: dict[str, Any]) -> None:
        """Use a folder; rows of other circumstances (machine, threads, ...) are others.

        Raises:
            AicError: nothing can be written there, before anything is measured.
        """
        self._folder, self._circumstances = folder, circumstances
        self.refusal = ""  # why a row could not be kept
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise AicError(
                f"{folder}: {files.reason(error)}: --cache DIR or --no-cache"
            ) from error

    def key(self, picture: bytes, coder: dict[str, Any], setting: float) -> str:
        """Return the name of a row: a hash of the picture's file, the codec and its setting."""
        parts = [hashlib.sha256(picture).hexdigest(), coder, setting, self._circumstances]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def get(self, key: str, codec: str, setting: float) -> Row | None:
        """Return the row of that name, if there is one, and it is of that codec and setting."""
        try:
            values: dict[str, Any] = read_json(self._folder / f"{key}.json")
            known: dict[str, Any] = {k: NAN if v is None else v for k, v in values.items()}
            row = Row(**known)
            if not all(_is_sound(name, getattr(row, name)) for name in _WANTED):
                return None
        except (TypeError, AttributeError, OverflowError):
            return None
        return row if (row.codec, row.setting, row.error) == (codec, setting, "") else None

    def put(self, key: str, row: Row) -> None:
        """Keep a row, or note why not; PSNR of equal pictures is written as JSON's Infinity."""
        values = {k: None if v != v else v for k, v in dataclasses.asdict(row).items()}
        try:
            path = self._folder / f"{key}.json"
            files.write_bytes(path, json.dumps(values).encode(), force=True)
        except AicError as error:
            self.refusal = self.refusal or str(error)


def _is_sound(name: str, value: Any) -> bool:
    """Return whether a field of a row may have a value.

    Raises:
        OverflowError: it is a number beyond all floats.
    """
    if type(value) not in _WANTED[name]:
        return False
    return not isinstance(value, float | int) or not math.isinf(value) or name in _INFINITE

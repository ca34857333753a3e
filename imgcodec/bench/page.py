"""The report as a web page of its own: tables, curves, and a viewer to compare pictures in."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from imgcodec import __version__, files
from imgcodec.bench import COMPRESSAI
from imgcodec.bench.cache import read_json
from imgcodec.bench.coders import OVER, Aic, Coder, Pixels, nearest
from imgcodec.bench.measure import qualities
from imgcodec.bench.report import finite
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.pictures import reader, writer
from imgcodec.pictures.arrays import as_colour
from imgcodec.pictures.heatmap import colours

TEMPLATE = Path(__file__).with_name("page.html")
RESULT = "{{result}}"  # where the page holds its data
MAX_PICTURES = 6  # in the viewer, evenly chosen
MAX_RATES = 4
PAGE = "index.html"
CSV, JSON = "results.csv", "results.json"  # beside the page, which links to them
_MOST_NAME_BYTES = 230  # and .levels.png behind them
_KEPT = 40  # characters, of up to four bytes, of a longer name
_FILES = ("file", "bits", "levels")  # of what is found


def check(folder: Path, force: bool, pictures: Sequence[Path] = ()) -> None:
    """Refuse a folder that holds something already, or a picture where a file of its will be.

    Raises:
        AicError: it does, or is no folder.
    """
    if any(is_own(folder, picture) for picture in pictures):
        raise AicError(f"{folder}: its files would be written where pictures to measure are")
    try:
        if folder.exists() and any(folder.iterdir()) and not force:
            raise AicError(f"{folder}: is not empty, and is kept without --force")
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AicError(f"{folder}: {files.reason(error)}") from error


def drop_empty(folder: Path) -> None:
    """Remove what `check` made, if nothing went into it."""
    with suppress(OSError):
        (folder / "pictures").rmdir()
        folder.rmdir()


def is_own(folder: Path, path: Path) -> bool:
    """Return whether a path is that of a file of the report, or among its pictures."""
    place, pictures = os.path.realpath(path), os.path.realpath(folder / "pictures")
    own = {os.path.realpath(folder / name) for name in (PAGE, CSV, JSON)}
    return place in own or os.path.dirname(place) == pictures


def write(
    folder: Path,
    result: dict[str, Any],
    coders: Sequence[Coder],
    paths: Sequence[Path],
    rates: Sequence[float],
    progress: Callable[[list[Path]], Iterable[Path]] = iter,
    reuse: bool = True,
    further: Sequence[str] = (),
) -> list[str]:
    """Write `index.html` and the pictures of its viewer to a folder.

    Returns:
        Why pictures are not in the viewer, in words.

    Args:
        folder: see `check`.
        result: that of `report.as_result`.
        coders: those of the viewer; files are as large as that of the first, see `nearest`.
        paths: pictures.
        rates: bits per pixel.
        progress: wraps the pictures chosen.
        reuse: whether pictures of an earlier report stay where the same decides them.
        further: metrics besides PSNR and MS-SSIM.
    """
    views, failures = [], []
    for path in progress(_chosen(list(paths), MAX_PICTURES)):
        try:
            some = _chosen(list(dict.fromkeys(rates)), MAX_RATES)
            views.append(_view(folder / "pictures", path, coders, some, reuse, further))
        except AicError as error:
            failures.append(str(error))
    data = json.dumps({**result, "views": views}, allow_nan=False).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace(RESULT, data)
    files.write_bytes(folder / PAGE, page.encode(errors="backslashreplace"), force=True)
    return failures


def _chosen(items: list[Any], most: int) -> list[Any]:
    """Return at most so many, evenly spread."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _view(
    folder: Path,
    path: Path,
    coders: Sequence[Coder],
    rates: Sequence[float],
    reuse: bool,
    further: Sequence[str],
) -> dict[str, Any]:
    """Write the pictures of one original and return what the viewer needs to know."""
    pixels = reader.read_image(path)
    height, width = pixels.shape[:2]
    content = hashlib.sha256(files.read_bytes(path)).hexdigest()
    stem = folder / _short(f"{path.name}.original")
    original = _once(stem, [content], reuse, partial(_original, stem, pixels))
    shots = []
    coders = [coder for coder in coders if coder.trained]
    for rate in rates:
        room = max(int(rate * height * width / 8), 1)
        for coder in coders:
            name = coder.name.replace(COMPRESSAI, "compressai-")  # Windows has no : in names
            stem = folder / _short(f"{path.name}.{name}.{rate:.12g}")
            decided_by = [
                content, coder.name, coder.about, room, OVER, list(coder.candidates), *further,
            ]  # fmt: skip
            make = partial(_shot, stem, coder, pixels, room, further)
            shot = _once(stem, decided_by, reuse, make)
            if not shot:
                continue
            if coder is coders[0]:
                room = shot["bytes"]
            shots.append({"rate": rate, "codec": coder.name, **shot})
    return {
        "picture": path.name, "width": width, "height": height,
        "original": _address(original["file"]),
        "shots": [{**shot, **_quoted(shot)} for shot in shots],
    }  # fmt: skip


def _short(name: str) -> str:
    """Return a name, or one for it that leaves room for suffixes where systems have 255 bytes."""
    if len(os.fsencode(name)) <= _MOST_NAME_BYTES:
        return name
    return f"{name[:_KEPT]}-{hashlib.sha256(os.fsencode(name)).hexdigest()}"


def _quoted(shot: dict[str, Any]) -> dict[str, str | None]:
    """Return its files as addresses."""
    return {name: None if shot[name] is None else _address(shot[name]) for name in _FILES}


def _address(file: str) -> str:
    """Return a file as an address: names may hold what there means something else, or no text."""
    return quote(os.fsencode(file))


def _original(stem: Path, pixels: Pixels) -> dict[str, Any]:
    """Write the original."""
    writer.write_image(f"{stem}.webp", as_colour(pixels), force=True)
    return {"file": f"pictures/{stem.name}.webp"}


def _shot(
    stem: Path, coder: Coder, pixels: Pixels, room: int, further: Sequence[str]
) -> dict[str, Any]:
    """Write what a codec makes of a picture in so many bytes, and where aic spent them.

    Nothing is written, and returned, if it makes no file so small.
    """
    try:
        setting, data = nearest(coder, pixels, room)
    except AicError:
        return {}
    original, (decoded, _) = as_colour(pixels), coder.decode(data)
    writer.write_image(f"{stem}.webp", decoded, force=True)
    maps: dict[str, str | None] = {"bits": None, "levels": None}
    if isinstance(coder, Aic) and not container.File(data).header.lossless:
        levels, bits = coder.codec.inspect(data)
        for kind, values in (("bits", bits), ("levels", levels)):
            maps[kind] = f"pictures/{stem.name}.{kind}.png"
            shares = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
            heat = np.round(colours(shares)).astype(np.uint8)
            writer.write_image(f"{stem}.{kind}.png", heat, force=True)
    return {
        "setting": setting, "bytes": len(data),
        **{k: finite(v) for k, v in qualities(original, decoded, further).items()},
        "file": f"pictures/{stem.name}.webp", **maps,
    }  # fmt: skip


def _once(
    stem: Path, decided_by: Sequence[Any], reuse: bool, make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what `make` makes, or made for an earlier report if its files are still there."""
    note = Path(f"{stem}.json")
    text = json.dumps([__version__, *decided_by], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    try:
        kept = read_json(note)
        found: dict[str, Any] = kept["found"]
        there = [stem.parent.parent / found[kind] for kind in _FILES if found.get(kind)]
        if reuse and kept["key"] == key and all(file.exists() for file in there):
            return found
    except (TypeError, LookupError, AttributeError):
        pass  # not there, or broken
    with suppress(OSError):
        note.unlink()  # its pictures are written over
    if not (found := make()):
        return found
    files.write_bytes(note, json.dumps({"key": key, "found": found}).encode(), force=True)
    return found

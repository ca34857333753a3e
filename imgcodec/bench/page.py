"""The report as a web page of its own: tables, curves, and a viewer to compare pictures in."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgcodec import image, metrics
from imgcodec.bench.coders import Aic, Coder, nearest
from imgcodec.errors import AicError
from imgcodec.heatmap import colours

TEMPLATE = Path(__file__).with_name("page.html")
RESULT = "{{result}}"  # where the page holds its data
MAX_PICTURES = 6  # in the viewer, evenly chosen
MAX_RATES = 4


def check(folder: Path, force: bool) -> None:
    """Refuse a folder that holds something already.

    Raises:
        AicError: it does, or is no folder.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not force:
            raise AicError(f"{folder}: is not empty, and is kept without --force")
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AicError(f"{folder}: {error.strerror}") from error


def write(
    folder: Path,
    result: dict[str, Any],
    coders: Sequence[Coder],
    paths: Sequence[Path],
    rates: Sequence[float],
    progress: Callable[[list[Path]], Iterable[Path]] = iter,
) -> None:
    """Write `index.html` and the pictures of its viewer to a folder.

    Args:
        folder: see `check`.
        result: that of `report.as_result`.
        coders: those of the viewer; files are as large as that of the first, at most.
        paths: pictures.
        rates: bits per pixel.
        progress: wraps the pictures chosen.
    """
    views = []
    for path in progress(_chosen(list(paths), MAX_PICTURES)):
        try:
            views.append(_view(folder / "pictures", path, coders, _chosen(list(rates), MAX_RATES)))
        except AicError:
            continue  # its rows say why
    data = json.dumps({**result, "views": views}, allow_nan=False).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace(RESULT, data)
    image.write_bytes(folder / "index.html", page.encode(), force=True)


def _chosen(items: list[Any], most: int) -> list[Any]:
    """Return at most so many, evenly spread."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _view(
    folder: Path, path: Path, coders: Sequence[Coder], rates: Sequence[float]
) -> dict[str, Any]:
    """Write the pictures of one original and return what the viewer needs to know."""
    pixels = image.read_image(path)
    height, width = pixels.shape[:2]
    original = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    name = f"{path.stem}.original.webp"
    image.write_image(folder / name, original, force=True)
    shots = []
    coders = [coder for coder in coders if coder.trained]
    for rate in rates:
        room = int(rate * height * width / 8)
        for coder in coders:
            try:
                setting, data = nearest(coder, pixels, room)
            except AicError:
                continue  # no file so small
            if coder is coders[0]:
                room = len(data)
            decoded, _ = coder.decode(data)
            stem = f"{path.stem}.{coder.name}.{rate:g}"
            image.write_image(folder / f"{stem}.webp", decoded, force=True)
            maps: dict[str, str | None] = {"bits": None, "levels": None}
            if isinstance(coder, Aic):
                levels, bits = coder.codec.inspect(data)
                for kind, values in (("bits", bits), ("levels", levels)):
                    maps[kind] = f"pictures/{stem}.{kind}.png"
                    shares = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
                    heat = np.round(colours(shares)).astype(np.uint8)
                    image.write_image(folder / f"{stem}.{kind}.png", heat, force=True)
            similarity = metrics.ms_ssim(original, decoded)
            shots.append(
                {
                    "rate": rate, "codec": coder.name, "setting": setting, "bytes": len(data),
                    "psnr": min(metrics.psnr(original, decoded), 100.0), "ms_ssim": similarity,
                    "file": f"pictures/{stem}.webp", **maps,
                }
            )  # fmt: skip
    return {
        "picture": path.name, "width": width, "height": height, "original": f"pictures/{name}",
        "shots": shots,
    }  # fmt: skip

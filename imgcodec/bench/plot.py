"""Rate-distortion curves as a picture."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imgcodec import files
from imgcodec.bench.compare import is_aic
from imgcodec.bench.rows import RATES, MeanRow
from imgcodec.errors import AicError

SUFFIXES = (".png", ".svg")
_COLOURS = 10  # of matplotlib, which then begins anew
LABELS = {
    "psnr": "PSNR (RGB), dB",
    "ms_ssim_db": "MS-SSIM, dB",
    "ssimulacra2": "SSIMULACRA 2",
    "cvvdp": "CVVDP, JOD",
}


def check(path: Path) -> None:
    """Refuse, before any work, what cannot be drawn.

    Raises:
        AicError: another suffix, or no matplotlib.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise AicError(f"{path}: wanted one of {' '.join(SUFFIXES)}")
    _figure()


def draw(means: Sequence[MeanRow], path: str | os.PathLike[str]) -> None:
    """Write the curves of the means over all pictures, a panel for each metric measured."""
    shown = [m for m in LABELS if any(_points([mean], m)[0] for mean in means)]
    figure = _figure()(figsize=(5.5 * max(len(shown), 1), 4.5), layout="tight")
    names = list(dict.fromkeys(mean.codec for mean in means))
    for number, metric in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        for order, name in enumerate(names):
            rates, qualities = _points([mean for mean in means if mean.codec == name], metric)
            width = 2.5 if is_aic(name) else 1.2
            dashes = "-" if order < _COLOURS else "--"
            label = _label(name)
            axes.plot(rates, qualities, dashes, marker=".", label=label, linewidth=width)
        axes.set_xscale("log")
        ticks = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("bits per pixel, whole file")
        axes.set_ylabel(LABELS[metric])
        axes.grid(alpha=0.3, which="both")
        if number == len(shown) - 1:
            axes.legend(fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, dpi=90, format=Path(path).suffix[1:].lower())
    files.write_bytes(path, file.getvalue(), force=True)


def _label(name: str) -> str:
    """Return a codec's name, which may be that of a file, as plain text for matplotlib."""
    return name.encode(errors="backslashreplace").decode().replace("$", r"\$")


def _points(means: Sequence[MeanRow], metric: str) -> tuple[list[float], list[float]]:
    """Return rates and finite qualities, by rate."""
    points = sorted((getattr(m, RATES[metric]), getattr(m, metric)) for m in means)
    points = [(rate, quality) for rate, quality in points if abs(quality) < float("inf")]
    return [rate for rate, _ in points], [quality for _, quality in points]


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AicError("--plot needs pip install 'imgcodec[plot]'") from error
    return Figure

"""Size, quality and time of the codec over a folder of pictures, through files on disk."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgcodec import image, metrics
from imgcodec.bench.report import NAN, MeanRow, Row, environment, means, table, to_csv, to_json
from imgcodec.errors import AicError

if TYPE_CHECKING:
    from imgcodec.codec import Codec

__all__ = [
    "MeanRow", "Row", "environment", "find_pictures", "means", "run", "table", "to_csv", "to_json",
]  # fmt: skip
_Result = TypeVar("_Result")


def find_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures of a folder, told by their suffix, in the order of their names.

    Raises:
        AicError: no folder, or none in it.
    """
    try:
        found = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in image.SUFFIXES)
    except OSError as error:
        raise AicError(f"{folder}: {(error.strerror or str(error)).lower()}") from error
    if not found:
        raise AicError(f"{folder}: no picture ({' '.join(image.SUFFIXES)}) in this folder")
    return found


def run(
    codec: "Codec",
    folder: str | os.PathLike[str],
    rates: Sequence[float],
    repeat: int = 1,
    progress: Callable[[list[Path]], Iterable[Path]] = iter,
    effort: int = 1,
) -> list[Row]:
    """Encode and decode every picture of a folder at each rate.

    Args:
        codec: a loaded codec; its first work is on a row that does not count.
        folder: the pictures are those of `find_pictures`.
        rates: bits per pixel.
        repeat: how often each row is timed, the median counts.
        progress: wraps the list of pictures, as `tqdm.tqdm` does.
        effort: of the encoder, 1..9.

    Returns:
        A row per picture and rate; a refused one says why in `error`.
    """
    rows: list[Row] = []
    warm = False
    with tempfile.TemporaryDirectory(prefix="aic-bench-") as scratch:
        file = Path(scratch) / "picture.aic"
        for path in progress(find_pictures(folder)):
            try:
                pixels = image.read_image(path)
            except AicError as error:
                rows += [
                    Row(path.name, 0, 0, rate, error=str(error), effort=effort) for rate in rates
                ]
                continue
            height, width = pixels.shape[:2]
            for rate in rates:
                try:
                    if not warm:
                        _measure(codec, path.name, pixels, rate, 1, file, effort)
                        warm = True
                    rows.append(_measure(codec, path.name, pixels, rate, repeat, file, effort))
                except AicError as error:
                    rows.append(
                        Row(path.name, width, height, rate, error=str(error), effort=effort)
                    )
    return rows


def _measure(
    codec: "Codec",
    name: str,
    pixels: NDArray[np.uint8],
    rate: float,
    repeat: int,
    file: Path,
    effort: int,
) -> Row:
    """Return the row of one picture at one rate."""
    height, width = pixels.shape[:2]
    times = []
    for _ in range(repeat):
        encode = partial(codec.encode_report, pixels, rate, "range", effort)
        (data, encoded), encode_s = _timed(codec, encode)
        image.write_bytes(file, data, force=True)
        stored = file.read_bytes()
        (decoded, report), decode_s = _timed(codec, partial(codec.decode_report, stored))
        times.append((encoded.model_s, encode_s, report.model_s, decode_s))
    original = pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    similarity = metrics.ms_ssim(original, decoded)
    similarity = NAN if similarity is None else similarity
    e_model_s, e_s, d_model_s, d_s = map(statistics.median, zip(*times, strict=True))
    return Row(
        name, width, height, rate, len(stored), metrics.bpp(len(stored), height, width),
        metrics.psnr(original, decoded), similarity, metrics.ms_ssim_db(similarity),
        e_model_s, e_s, d_model_s, d_s, _peak_memory_bytes(), encoded.limited, effort=effort,
    )  # fmt: skip


def _timed(codec: "Codec", call: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return what a call returns and its seconds, work still queued on the GPU included."""
    _synchronize(codec)
    start = time.perf_counter()
    result = call()
    _synchronize(codec)
    return result, time.perf_counter() - start


def _synchronize(codec: "Codec") -> None:
    if codec.device.startswith("cuda"):
        import torch  # loaded already by a codec on CUDA

        torch.cuda.synchronize()


def _peak_memory_bytes() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

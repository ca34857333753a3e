"""Size, quality and time of codecs over a folder of pictures, through files on disk."""

import contextlib
import math
import os
import stat
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from imgcodec import files, metrics
from imgcodec.bench.cache import Cache
from imgcodec.bench.coders import Coder, Pixels
from imgcodec.bench.rows import NAN, Row
from imgcodec.errors import AicError, lacks_memory
from imgcodec.format.container import MAX_PIXELS
from imgcodec.pictures import PICTURES, reader
from imgcodec.pictures.arrays import as_colour

_Result = TypeVar("_Result")


def find_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures of a folder, told by their suffix, in the order of their names.

    Raises:
        AicError: no folder, or none in it.
    """
    try:
        found = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in PICTURES)
    except OSError as error:
        raise AicError(f"{folder}: {files.reason(error)}") from error
    if not found:
        raise AicError(f"{folder}: no picture ({' '.join(PICTURES)}) in this folder")
    return found


def run(
    coders: Sequence[Coder],
    folder: str | os.PathLike[str],
    repeat: int = 1,
    progress: Callable[[list[Any]], Iterable[Any]] = iter,
    jobs: int = 1,
    cache: Cache | None = None,
    further: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Row]:
    """Encode and decode every picture of a folder with each codec at each of its settings.

    Args:
        coders: loaded; the first work of each is on a row that does not count.
        folder: the pictures are those of `find_pictures`.
        repeat: how often each row is timed, the median counts.
        progress: wraps a list with an item for each codec and picture, as `tqdm.tqdm` does.
        jobs: pictures at once; with more than one, times are those of a busy machine.
        cache: where rows are looked for first, and kept.
        further: metrics besides PSNR and MS-SSIM, of `SLOW_METRICS`.
        max_pixels: larger pictures are refused before any work.

    Yields:
        A row per codec, picture and setting as soon as it is there; a refused one says why in
        `error`.
    """
    bench = _Bench(repeat, cache, further, jobs == 1, max_pixels)
    tasks = [(coder, path) for coder in coders for path in find_pictures(folder)]
    if jobs == 1:
        for coder, path in progress(tasks):
            yield from bench.rows(coder, path)
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(lambda task: list(bench.rows(*task)), task) for task in tasks]
        left = list(futures)
        try:
            for future in progress(futures):
                rows = future.result()
                left.remove(future)
                yield from rows
        except KeyboardInterrupt:
            bench.stopped.set()
            pool.shutdown(cancel_futures=True)
            for future in left:
                if not future.cancelled() and future.exception() is None:
                    yield from future.result()
            raise
        finally:
            bench.stopped.set()
            pool.shutdown(cancel_futures=True)


class _StoppedError(Exception):
    """A run ended in the middle of a row."""


class _Bench:
    """Measures rows."""

    def __init__(
        self,
        repeat: int,
        cache: Cache | None,
        further: Sequence[str],
        memory: bool,
        max_pixels: int,
    ) -> None:
        self._max_pixels = max_pixels
        self._repeat, self._cache, self._further, self._memory = repeat, cache, further, memory
        self._warm: set[str] = set()
        self._lock = Lock()
        self.stopped = Event()  # once it is set, no measurement begins

    def rows(self, coder: Coder, path: Path) -> Iterator[Row]:
        """Yield the rows of one codec and picture."""
        pixels: Pixels | None = None
        data, refusal = b"", ""
        try:
            data = self._content(path)
        except AicError as error:
            refusal = str(error)
        for setting in coder.settings:
            key = ""
            if self._cache is not None and data:
                key = self._cache.key(data, {"name": coder.name, **coder.about}, setting)
                known = self._cache.get(key, coder.name, setting)
                if known is not None:
                    yield replace(known, picture=path.name)
                    continue
            if pixels is None and not refusal:
                try:
                    pixels = reader.read_image(path, self._max_pixels)
                except AicError as error:
                    refusal = str(error)
            if pixels is None:
                yield Row(path.name, coder.name, setting, error=refusal)
                continue
            try:
                row = self._row(coder, path.name, pixels, setting)
            except _StoppedError:
                return
            if self._cache is not None and not row.error:
                self._cache.put(key, row)
            yield row

    def _content(self, path: Path) -> bytes:
        """Return the bytes of a picture's file.

        Raises:
            AicError: it is none, as far as its kind and its first bytes tell.
        """
        try:
            kind = path.stat().st_mode
        except OSError as error:
            raise AicError(f"{path}: {files.reason(error)}") from error
        if not stat.S_ISREG(kind):
            raise AicError(f"{path}: is not a regular file")
        size = reader.size_of(path)
        if size is None or math.prod(size) > self._max_pixels:
            reader.read_image(path, self._max_pixels)  # says why
        return files.read_bytes(path)

    def _row(self, coder: Coder, name: str, pixels: Pixels, setting: float) -> Row:
        height, width = pixels.shape[:2]
        row = Row(name, coder.name, setting, width, height)
        try:
            with self._lock:
                if coder.name not in self._warm:
                    self._measure(coder, row, pixels, 1)
                    self._warm.add(coder.name)
            return self._measure(coder, row, pixels, self._repeat)
        except AicError as error:
            return replace(row, error=str(error))
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            return replace(row, error="not enough memory")

    def _measure(self, coder: Coder, row: Row, pixels: Pixels, repeat: int) -> Row:
        """Return the row with its measurements."""
        times, peaks = [], []
        with files.temporary_folder() as scratch:
            file = Path(scratch) / "picture"
            for _ in range(repeat):
                if self.stopped.is_set():
                    raise _StoppedError
                if self._memory:
                    _forget_peak_memory()
                coded, encode_s = _timed(coder, partial(coder.encode, pixels, row.setting))
                files.write_bytes(file, coded.data, force=True)
                stored = file.read_bytes()
                (decoded, model_s), decode_s = _timed(coder, partial(coder.decode, stored))
                times.append((coded.model_s, encode_s, model_s, decode_s))
                peaks.append(_peak_memory_bytes() if self._memory else NAN)
        e_model_s, e_s, d_model_s, d_s = map(statistics.median, zip(*times, strict=True))
        row = replace(
            row,
            encode_model_s=e_model_s,
            encode_s=e_s,
            decode_model_s=d_model_s,
            decode_s=d_s,
            peak_memory_bytes=max(peaks),
            limited=coded.limited,
        )
        if not coder.trained:
            return row
        return replace(
            row,
            bytes=len(stored),
            bpp=metrics.bpp(len(stored), *pixels.shape[:2]),
            **qualities(as_colour(pixels), decoded, self._further),
        )


def qualities(original: Pixels, decoded: Pixels, further: Sequence[str]) -> dict[str, Any]:
    """Return fields of a row: how good a picture is, nan where it is too small for a metric.

    Args:
        original: uint8 (H, W, 3).
        decoded: like it.
        further: of `SLOW_METRICS`.
    """
    measured = {
        "ms_ssim": metrics.ms_ssim,
        "ssimulacra2": metrics.ssimulacra2,
        "cvvdp": metrics.cvvdp,
    }
    found = {"psnr": metrics.psnr(original, decoded)}
    for name in ("ms_ssim", *further):
        value = measured[name](original, decoded)
        found[name] = NAN if value is None else value
    return {**found, "ms_ssim_db": metrics.ms_ssim_db(found["ms_ssim"])}


def _timed(coder: Coder, call: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return what a call returns and its seconds, work still queued on the GPU included."""
    _synchronize(coder)
    start = time.perf_counter()
    result = call()
    _synchronize(coder)
    return result, time.perf_counter() - start


def _synchronize(coder: Coder) -> None:
    if coder.cuda:
        import torch  # loaded already by a codec on CUDA

        torch.cuda.synchronize()


def _forget_peak_memory() -> None:
    """Start the peak of this process's memory anew, where the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_bytes() -> float:
    """Return the peak resident memory since it was forgotten, or since the start."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    if sys.platform == "win32":
        return NAN
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

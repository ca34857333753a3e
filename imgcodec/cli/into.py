"""`aic encode --into jpeg`: what is done for each picture."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imgcodec import files
from imgcodec.cli.checks import check_apart, keep_older
from imgcodec.cli.loading import LOCK
from imgcodec.cli.sources import as_asked, background, check_shape, read, tell_left_out
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError, ImageError
from imgcodec.format.container import check_pixels
from imgcodec.format.metadata import KINDS
from imgcodec.releases import DEFAULT_JPEG_QUALITY
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.stopwatch import timing

if TYPE_CHECKING:
    from imgcodec.into_jpeg import JpegMaker
    from imgcodec.pictures.frame import Frame
    from imgcodec.pictures.picture import Picture
    from imgcodec.target import Target

SUFFIXES = (".jpg", ".jpeg")
MAX_PIXELS = 2**26  # if nobody asks for more: about 50 bytes of memory for each
SLACK = 0.1  # of a size that is asked: steps of quality leave less
# Parameters of `aic encode` that mean something here, too.
OPTIONS = {
    "sources", "target", "into", "rate", "size", "quality", "crop", "resize", "effort", "alpha",
    "half", "metadata", "strict", "max_pixels", "jobs", "threads", "force", "verbose", "quiet",
}  # fmt: skip


@dataclass
class IntoJpeg:
    """Settings of `aic encode --into jpeg`."""

    goal: dict[str, float | None]  # one of rate, size and quality, or none
    effort: int
    half: bool
    alpha: str
    metadata: tuple[str, ...]
    strict: bool
    max_pixels: int | None
    crop: tuple[int, int, int, int] | None
    resize: tuple[int, int] | float | None
    threads: int | None
    verbose: bool
    warn: Warn
    _maker: JpegMaker | None = None
    device = "cpu"

    @property
    def dates(self) -> bool:
        """See `Work`; a file does not tell what was left out."""
        return self.alpha == "keep" and set(self.metadata) >= set(KINDS)

    @cached_property
    def frame(self) -> Frame:
        """See `sources.Reading`."""
        from imgcodec.pictures.frame import Frame

        return Frame(self.crop, self.resize)

    def size(self, source: Path) -> None:
        """See `Work`: each file goes alone."""

    def is_due(self, task: Task, outdated: bool) -> bool:
        """See `Work`; a file of another quality, size or shape is kept."""
        from imgcodec.jpeg import forward, halves, syntax

        data = files.read_bytes(task.target)
        try:
            parts = syntax.read(data)
        except AicError as error:
            raise AicError(
                f"{task.target}: exists ({error}), and is kept without --force"
            ) from error
        made = parts.frame.height, parts.frame.width
        whole = halves.whole(data, *made)
        if not outdated:
            check_shape(self, task, whole or made)
        target, shape = self._target, whole or made
        if not target.limits:
            same = (parts.steps[0] == forward.table(target.value)[syntax.ZIGZAG]).all()
        else:
            most = target.num_bytes(shape[0] * shape[1])
            finest = (parts.steps[0] == 1).all()
            same = len(data) <= most and (finest or most - len(data) <= max(SLACK * most, 64))
        same = same and (whole is not None) == self.half
        if not same and not outdated:
            wanted = f"at most {most} bytes" if target.limits else str(target)
            wanted += " at half the size" if self.half else " at whole size" if whole else ""
            raise AicError(
                f"{task.target}: exists, not with {wanted}, and is kept without --force"
            )
        return keep_older(self, task, outdated)

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Make a JPEG file, and return what to tell about it."""
        source, target, force = task
        check_apart(source, target)
        for name in (target, Path(os.path.realpath(target))):  # which may be a link
            if name.suffix.lower() not in SUFFIXES:
                raise AicError(f"{name}: suffix {name.suffix!r} is not {' or '.join(SUFFIXES)}")
        files.check_free(target, force)
        start = time.perf_counter()
        with timing() as stages:
            data, quality = self._made(source, target, self._picture(source, target))
        files.write_bytes(target, data, force)
        seconds = time.perf_counter() - start
        line = f"{target}: {len(data)} bytes, quality {quality:g}, {seconds:.2f} s"
        if self.verbose:
            line += f"\n  {', '.join(f'{name} {its:.2f} s' for name, its in stages.items())}"
        return line

    @property
    def _target(self) -> Target:
        """What is asked."""
        from imgcodec.target import Target

        return Target.of(DEFAULT_JPEG_QUALITY, **self.goal)

    def _picture(self, source: Path, target: Path) -> Picture:
        """Return what is encoded."""
        most = self.max_pixels or MAX_PIXELS
        picture: Picture = as_asked(self, source, self._read(source, most), most)
        if picture.alpha is not None:
            raise AicError(
                f"{target}: cannot be transparent, as {source} is: --alpha drop or --alpha white"
            )
        tell_left_out(self, target, picture)
        return picture

    def _read(self, source: Path, most: int) -> Picture:
        """Return the picture of a file; of a GeoTIFF as GDAL reads it, where Pillow does not."""
        from imgcodec.pictures.geo import geotiff

        with ExitStack() as links:
            raster = None
            if self.alpha != "keep":
                with suppress(ImageError):
                    raster = geotiff.open_raster(source, links)
            if raster is None or not raster.has_nodata:  # which is no alpha to Pillow
                try:
                    return read(self, source, most)
                except ImageError:
                    raster = raster or geotiff.open_raster(source, links)
                    if raster is None:
                        raise
            check_pixels(raster.shape[1], raster.shape[0], most)
            if self.alpha != "keep":
                raster = raster.flattened(background(self.alpha))
            return raster.picture()

    def _made(self, source: Path, made: Path, picture: Picture) -> tuple[bytes, float]:
        """Return the file and its quality."""
        with LOCK:
            if self._maker is None:
                import_torch()
                from imgcodec.into_jpeg import JpegMaker
                from imgcodec.restoring import Restorer

                self._maker = JpegMaker(Restorer(threads=self.threads))
        target = self._target
        try:
            if target.limits:
                most = target.num_bytes(picture.shape[0] * picture.shape[1])
                return self._maker.fit(picture, most, self.effort, self.half)
            data = self._maker.encode(picture, target.value, self.effort, self.half)
            return data, target.value
        except AicError as error:
            raise AicError(f"{made}: {error}") from error

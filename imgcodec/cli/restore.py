"""`aic restore`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgcodec import files
from imgcodec.cli.checks import check_apart, keep_older
from imgcodec.cli.decode import FORMAT
from imgcodec.cli.loading import LOCK, threads_of
from imgcodec.cli.options import (
    FORCE,
    HELD_PIXELS,
    JOBS,
    METADATA,
    QUIET,
    READ_AGAIN,
    THREADS,
    max_pixels,
)  # fmt: skip
from imgcodec.cli.pack import JPEGS
from imgcodec.cli.process import warn
from imgcodec.cli.run import run
from imgcodec.cli.sources import tell, tell_left_out
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError
from imgcodec.format.metadata import KINDS
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.lockstep import Member

if TYPE_CHECKING:
    from imgcodec.restoring import Restorer

RESTORE_EXAMPLES = """
\b
Examples:
  aic restore photo.jpg photo.png
  aic restore album/ better/ --format tif
"""
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Refuse a file of which something would be left out, rather than say so.",
)
WEIGHTS = click.option(
    "--weights",
    type=READ_AGAIN,
    default=None,
    metavar="FILE.safetensors",
    help="Weights of one's own, as benchmarks/train_restore.py makes them.",
)


@dataclass
class Restoring:
    """Settings of `aic restore`."""

    strict: bool
    max_pixels: int
    metadata: tuple[str, ...]
    weights: Path | None
    threads: int | None
    warn: Warn
    _restorer: Restorer | None = None
    device = "cpu"

    @property
    def dates(self) -> bool:
        """See `Work`."""
        return self.weights is None and set(self.metadata) >= set(KINDS)

    def size(self, source: Path) -> None:
        """See `Work`: each file goes alone."""

    is_due = keep_older

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Restore a file, and return what to tell about it."""
        source, target, force = task
        check_apart(source, target)
        from imgcodec.jpeg import reading
        from imgcodec.pictures import reader, writer

        writer.check_target(target, force)
        start = time.perf_counter()
        data = files.read_bytes(source)
        try:
            pixels = self._loaded().restore(data, self.max_pixels)
        except AicError as error:
            raise AicError(f"{source}: {error}") from error
        picture = reader.read_picture(
            source, self.strict, self.max_pixels, self.metadata, pixels
        ).keeping(self.metadata)
        tell(self, source, reading.lacking(data) + picture.notes)
        tell_left_out(self, target, picture)
        writer.write_image(target, picture, force)
        height, width = picture.shape[:2]
        return f"{target}: {width}x{height} pixels, {time.perf_counter() - start:.2f} s"

    def _loaded(self) -> Restorer:
        """Return the network, loaded once."""
        with LOCK:
            if self._restorer is None:
                import_torch()
                from imgcodec.restoring import Restorer

                self._restorer = Restorer(self.weights, self.threads)
            return self._restorer


@click.command(epilog=RESTORE_EXAMPLES)
@click.argument("sources", metavar="IN.jpg...", nargs=-1)
@click.argument("target", metavar="OUT")
@max_pixels(HELD_PIXELS)
@STRICT
@METADATA
@FORMAT
@JOBS
@WEIGHTS
@THREADS
@FORCE
@QUIET
def restore(
    sources: tuple[str, ...], target: str, suffix: str, force: bool, jobs: int, quiet: bool,
    **settings: Any,
) -> None:  # fmt: skip
    """Decode the JPEG file IN.jpg to the picture OUT, better than other decoders do.

    A network takes blocks, ringing and coarse colours away. It never leaves what the file says:
    each restored coefficient lies within the interval to which the file has rounded it, before
    pixels are rounded to 8 bits. What was lost is guessed, so keep the JPEG file, too.

    IN.jpg is grey or of Y, Cb and Cr, with colours of the whole or of half the resolution either
    way. Others are refused: CMYK, RGB, coarser colours (4:1:1), 12 bits, arithmetic coding.

    The suffix of OUT names its format: .png, .tif, .ppm, .bmp, .webp, .jpg. The picture is turned
    upright, and metadata are kept.

    IN.jpg may be several files, folders or quoted patterns, and OUT the folder to write into:
    what is up to date is left alone; what --metadata or --weights makes is never known to be so,
    and is kept without --force. Either may be -, stdin or stdout.
    """
    settings["threads"] = threads_of(settings["threads"], jobs)
    work = Restoring(warn=partial(warn, quiet), **settings)
    run(work, sources, target, JPEGS, f".{suffix}", force, jobs, quiet)

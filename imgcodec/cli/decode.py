"""`aic decode`: its options, and what is done for each file."""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgcodec import files
from imgcodec.cli.checks import check_apart, keep_older
from imgcodec.cli.loading import LOCK, details, load_codec, threads_of
from imgcodec.cli.options import (
    ALPHA,
    CLUSTER,
    FORCE,
    JOBS,
    MACHINE,
    METADATA,
    PART,
    QUIET,
    RATE,
    VERBOSE,
    WEIGHTS,
    max_pixels,
)  # fmt: skip
from imgcodec.cli.process import warn
from imgcodec.cli.run import run
from imgcodec.cli.sources import background
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError, FormatError
from imgcodec.format import container
from imgcodec.format.damaged import DamagedFile
from imgcodec.format.metadata import KINDS, Metadata
from imgcodec.format.tiles import box_of
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.stopwatch import timing

if TYPE_CHECKING:
    from imgcodec.codec import Codec
    from imgcodec.pictures.arrays import ByteArray
    from imgcodec.pictures.writer import TakeRows

DECODE_EXAMPLES = """
\b
Examples:
  aic decode photo.aic photo.png
  aic decode map.aic part.png --region 800,600,400,300
  aic decode archive/ pictures/ --format tif
  aic decode photo.aic - --format ppm | display
"""
REGION = click.option(
    "--region",
    type=PART,
    default=None,
    metavar="X,Y,W,H",
    help="Decode this part only: left, top, width and height in pixels.",
)
KEEP_GOING = click.option(
    "--keep-going",
    is_flag=True,
    help="Decode a file that is cut or damaged as far as it is right, set single wrong bits "
    "right, fill what is lost from what lies around it, leave out damaged metadata, transparency "
    "and what stands after the end, and end with exit code 1, rather than write nothing.",
)
MAX_RATE = click.option(
    "--max-rate",
    type=RATE,
    default=None,
    show_default="all",
    metavar="BPP",
    help="Decode a preview: leave out the finer codes beyond so many bits per pixel.",
)
FORMAT = click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "tif", "ppm", "bmp", "webp", "jpg"]),
    default="png",
    show_default=True,
    help="Format of pictures written into a folder or to stdout.",
)


@dataclass
class Decoding:
    """Settings of `aic decode`."""

    region: tuple[int, ...] | None
    keep_going: bool
    max_rate: float | None
    max_pixels: int
    alpha: str
    metadata: tuple[str, ...]
    weights: Path | None
    device: str
    threads: int | None
    verbose: bool
    warn: Warn
    _codec: Codec | None = None

    def size(self, source: Path) -> tuple[int, int] | None:
        """See `Work`."""
        if self.region is not None or self.max_rate is not None:
            return None
        with suppress(AicError), files.stored(source) as data:
            header = container.File(data).header
            return header.height, header.width
        return None

    @property
    def dates(self) -> bool:
        """See `Work`; a picture does not tell that more could be had."""
        parts = self.region or self.max_rate
        return not parts and self.alpha == "keep" and set(self.metadata) >= set(KINDS)

    is_due = keep_older

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Decompress a file, and return what to tell about it."""
        source, target, _ = task
        check_apart(source, target)
        try:
            with files.stored(source) as data, timing() as stages:
                return self._decode(task, data, self._opened(data), member, stages)
        except FormatError as error:
            raise AicError(f"{source}: {error}") from error

    def _decode(
        self,
        task: Task,
        data: bytes | files.Stored,
        file: container.File,
        member: Member | None,
        stages: dict[str, float],
    ) -> str:
        source, target, _ = task
        from imgcodec.pictures import writer

        writer.check_target(target, task.force)
        colour = background(self.alpha)
        header = file.header
        codec = self._codec_for(header.needs).joining(member)
        part = box_of(self.region, header.height, header.width)
        width, height = part.width, part.height
        box = part.left, part.top, width, height
        container.check_pixels(width, height, self.max_pixels)
        plane = self._plane(task, file, box)
        writing, rests = self._writing(task, file, box, plane, colour)
        if header.lossless and self.max_rate is not None:
            self.warn(source, "has no finer codes to leave out: --max-rate changes nothing")
        with writing as take:
            report = codec.decode_rows(
                data,
                take,
                self.region,
                self.keep_going,
                self.max_rate or math.inf,
                self.max_pixels,
            )
            if report.damage:
                files.undate()  # another time, it may be whole
        if found := [rest.name for rest in rests if os.path.exists(rest)]:
            where = " and ".join(found)
            self.warn(target, f"its georeference goes into {where}, GeoTIFF has no place for it")
        if report.damage:
            raise AicError(f"{source}: {report.damage}")
        line = f"{target}: {width}x{height} pixels, {report.total_s:.2f} s"
        if self.verbose:
            line += details(data, codec, stages)
        return line

    def _plane(self, task: Task, file: container.File, box: tuple[int, ...]) -> ByteArray | None:
        """Return the transparency of a region, None where there is none or it is not wanted."""
        from imgcodec.pictures import picture, writer

        if self.alpha == "drop" or picture.ALPHA_CHUNK not in dict(file.chunks):
            return None
        width, height = file.header.width, file.header.height
        container.check_pixels(width, height, self.max_pixels)  # of all, whatever the region
        plane = picture.alpha_of(file.chunks, height, width)
        if plane is None:
            return None
        left, top, width, height = box
        plane = plane[top : top + height, left : left + width]
        if self.alpha != "keep" or writer.holds_alpha(task.target):
            return plane
        if plane.min() == 255:
            return None
        raise AicError(
            f"{task.target}: cannot be transparent, as {task.source} is:"
            " --alpha drop or --alpha white"
        )

    def _writing(
        self,
        task: Task,
        file: container.File,
        box: tuple[int, ...],
        plane: ByteArray | None,
        colour: tuple[int, int, int] | None,
    ) -> tuple[AbstractContextManager[TakeRows], list[Path]]:
        """Return what writes a region, and where else it may put a georeference.

        What the format of the target has no place for is told.
        """
        from imgcodec.pictures import modes, writer
        from imgcodec.pictures.geo import georeference, geotiff

        _, target, force = task
        left, top, width, height = box
        shape = height, width, file.header.channels
        place = dict(file.chunks).get(georeference.CHUNK)
        kept = Metadata.of(file.chunks).only(self.metadata)
        rests: list[Path] = []
        misfit: list[str] = []
        becomes_colour = plane is not None and not modes.stays_grey(colour)
        if becomes_colour and file.header.channels == 1 and kept.icc is not None:
            kept = replace(kept, icc=None)
            misfit = ["icc (of grey, the picture gets colours)"]
        if geotiff.has_writer(target) and (place is not None or not kept):
            writing = geotiff.writing(
                target, *shape, place, (left, top), force, plane, colour, kept.icc
            )
            lost = [kind for kind in kept.kinds if kind != "icc"]
            rests = writer.rests(target)
        else:
            writing = writer.writing(target, *shape, force, plane, kept, colour)
            lost = writer.left_out(target, kept)
            lost += ["georeference (.tif and the extra geo have it)"] * (place is not None)
        if lost := misfit + lost:
            self.warn(target, f"without {', '.join(lost)}")
        return writing, rests

    def _opened(self, data: bytes | files.Stored) -> container.File:
        """Return a file; a damaged one is refused before anything large is loaded."""
        if self.keep_going:
            return DamagedFile(data)
        try:
            file = container.File(data)
            file.check_length()
            for number in range(file.num_tiles if self.region is None else 0):
                file.tile(number)
        except FormatError as error:
            DamagedFile(data)  # which has to be possible
            raise FormatError(f"{error}; --keep-going decodes what is there") from error
        return file

    def _codec_for(self, model_id: bytes | None) -> Codec:
        """Return the codec, made for the weights of the first file; it loads others as needed."""
        with LOCK:
            if self._codec is None:
                self._codec = load_codec(
                    model_id, self.weights, device=self.device, threads=self.threads
                )
            return self._codec


@click.command(epilog=DECODE_EXAMPLES)
@click.argument("sources", metavar="IN.aic...", nargs=-1)
@click.argument("target", metavar="OUT")
@REGION
@KEEP_GOING
@MAX_RATE
@max_pixels()
@ALPHA
@METADATA
@FORMAT
@JOBS
@CLUSTER
@WEIGHTS
@MACHINE
@FORCE
@VERBOSE
@QUIET
def decode(
    sources: tuple[str, ...], target: str, suffix: str, force: bool, jobs: int, quiet: bool,
    cluster: str | None, report: Path | None, **settings: Any,
) -> None:  # fmt: skip
    """Decompress IN.aic to the picture OUT.

    The suffix of OUT names its format: .png, .tif, .ppm, .bmp, .webp, .jpg. As .ppm, and with the
    extra "geo" as .tif, too, a large picture is written piece by piece.

    IN.aic may be several files, folders or quoted patterns, and OUT the folder to write into.
    Files there get the time of what they are made of, and what is up to date is left alone; what
    --region, --max-rate, --alpha or --metadata makes is never known to be so, and is kept without
    --force. Either may be -, stdin or stdout.
    """
    settings["threads"] = threads_of(settings["threads"], jobs)
    work = Decoding(warn=partial(warn, quiet), **settings)
    run(
        work, sources, target, (".aic",), f".{suffix}", force, jobs, quiet, cluster=cluster,
        report=report,
    )  # fmt: skip

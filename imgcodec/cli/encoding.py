"""What `aic encode` does for each picture."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcodec import files
from imgcodec.cli.checks import check_apart, check_coded
from imgcodec.cli.loading import LOCK, details, load_codec
from imgcodec.cli.measure import check, in_words
from imgcodec.cli.options import HELD_PIXELS
from imgcodec.cli.sources import as_asked, check_shape, read, shapes
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError, FormatError
from imgcodec.format import container
from imgcodec.format.container import MAX_PIXELS, MAX_U, check_pixels
from imgcodec.format.joined import Joined
from imgcodec.releases import DEFAULT_QUALITIES, DEFAULT_TUNE, find, id_of, newest
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.stopwatch import timing

if TYPE_CHECKING:
    from imgcodec.codec import Codec
    from imgcodec.codec.results import EncodeReport
    from imgcodec.pictures.arrays import ByteArray
    from imgcodec.pictures.frame import Frame
    from imgcodec.pictures.picture import Picture

GOALS = ("rate", "size", "quality", "psnr", "ms_ssim", "ssimulacra2")  # `target.KINDS`


@dataclass
class Encoding:
    """Settings of `aic encode`."""

    goal: dict[str, float | None]  # keywords of Target.of
    roi: tuple[Path | None, tuple[int, ...] | None, float | None] | None  # mask, box, weight
    tune: str | None
    weights: Path | None
    effort: int
    lossless: bool | None
    tile: int | None
    alpha: str
    metadata: tuple[str, ...]
    strict: bool
    entropy: str
    device: str
    threads: int | None
    verbose: bool
    warn: Warn
    max_pixels: int | None = None
    crop: tuple[int, int, int, int] | None = None  # left, top, width, height
    resize: tuple[int, int] | float | None = None  # width and height, or percent
    measure: tuple[str, ...] = ()
    dates = True  # other settings can be told from a file

    @cached_property
    def codec(self) -> Codec:
        """The codec, made when the first picture is known to be good: it brings torch."""
        return load_codec(
            weights=self.weights, tune=self.tune or DEFAULT_TUNE, device=self.device,
            threads=self.threads,
        )  # fmt: skip

    @cached_property
    def _model_id(self) -> bytes:
        """What files call the weights."""
        if self.weights is not None:
            return id_of(files.read_bytes(self.weights))
        return newest(self.tune or DEFAULT_TUNE, self.effort).model_id

    @property
    def _tune(self) -> str:
        """What the weights are fitted to."""
        if self.weights is None:
            return self.tune or DEFAULT_TUNE
        release = find(self._model_id)
        return self.codec.tune if release is None else release.tune

    @cached_property
    def frame(self) -> Frame:
        """See `sources.Reading`."""
        from imgcodec.pictures.frame import Frame

        return Frame(self.crop, self.resize)

    def size(self, source: Path) -> tuple[int, int] | None:
        """See `Work`."""
        if self.roi is not None or self.effort > 1:
            return None
        return next(iter(shapes(self, source)), None)

    def pixels(self, source: Path) -> int | None:
        """Return how many pixels are coded of a picture; None: that is unknown."""
        height, width = next(iter(shapes(self, source)), (0, 0))
        return height * width or None

    def is_due(self, task: Task, outdated: bool) -> bool:
        """See `Work`; no .aic file, another picture, or other settings: it is kept."""
        import_torch()
        from imgcodec.cli.settings import more_than, other_settings
        from imgcodec.target import Target

        target = task.target
        try:
            with files.stored(target) as data:
                file = container.File(data)
            file.check_length()
            Joined.of(file.chunks)
        except FormatError as error:
            raise AicError(f"{target}: exists ({error}), and is kept without --force") from error
        made = file.header.height, file.header.width
        if not outdated:  # an edited picture may have another size
            check_shape(self, task, made)
        others = more_than(file, self.metadata, self.alpha) or other_settings(
            file,
            Target.of(DEFAULT_QUALITIES[self._tune], **self.goal),
            self.entropy,
            self.tile,
            self._model_id,
            self.lossless,
        )
        if others and not outdated:
            raise AicError(f"{target}: exists with {others}, and is kept without --force")
        return outdated

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Compress a picture, and return what to tell about it."""
        with timing() as stages, ExitStack() as links:
            return self._encode(task, member, stages, links)

    def _encode(
        self, task: Task, member: Member | None, stages: dict[str, float], links: ExitStack
    ) -> str:
        source, target, force = task
        check_apart(source, target)
        from imgcodec.pictures import reader
        from imgcodec.pictures.geo import geotiff
        from imgcodec.pictures.picture import Picture

        check_coded(target, force)
        picture: Any = geotiff.open_raster(source, links)
        if picture is None:
            most = self.max_pixels or HELD_PIXELS
            picture = read(self, source, most)
        else:
            check_pixels(picture.shape[1], picture.shape[0], self.max_pixels or MAX_PIXELS)
        picture = as_asked(self, source, picture, self.max_pixels or HELD_PIXELS)
        if self.measure:
            check(picture, source)
        roi = None if self.roi is None else reader.read_roi(*self.roi, picture.shape)
        with LOCK:
            codec = self.codec.joining(member)
        data = codec.encode(
            picture, entropy=self.entropy, effort=self.effort, tile=self.tile, roi=roi,
            lossless=self.lossless, **self.goal,
        )  # fmt: skip
        report = data.report
        files.write_bytes(target, data, force)
        line = f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s"
        if report.lossless:
            line += "; without loss"
        elif report.colours is not None:
            line += f"; in {report.colours} colours"
        if report.limited:
            nearest = "is nearest to" if report.target.measured else "needs no more,"
            line += f"; this picture {nearest} {report.target} asked"
        if self.measure:
            told = in_words(self.measure, _made_of(picture, report), codec.decode(data))
            line += f"; {told}"
        if report.detail_limit_db is not None:
            self.warn(
                source,
                "has fine detail that this codec keeps badly, PSNR is limited to about"
                f" {report.detail_limit_db:.0f} dB; --lossless keeps it",
            )
        if roi is not None and isinstance(picture, Picture):
            inside, outside = roi.psnrs(_made_of(picture, report), codec.decode(data))
            line += f"\n{target}: PSNR {inside:.2f} dB"
            line += (
                "; no region stands out"
                if math.isnan(outside)
                else f" inside the region, {outside:.2f} outside"
            )
        if self.verbose:
            line += f"\n  asked: {'no loss' if self.lossless else report.target}"
            if not report.lossless and report.colours is None:
                line += f", found: rate parameter {report.u / MAX_U:.4f}"
            line += details(data, codec, stages)
        return line


def _made_of(picture: Picture, report: EncodeReport) -> ByteArray:
    """Return the pixels that a file was made of: the networks' leave out what nobody sees."""
    by_networks = not report.lossless and report.colours is None
    return picture.coded() if by_networks else picture.pixels

"""What `aic encode` and `aic decode` do for each file, with one codec for all of them."""

from __future__ import annotations

import gc
import math
import mmap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from imgcodec import container, files
from imgcodec.convoy import Member
from imgcodec.errors import AicError, FormatError
from imgcodec.stopwatch import stage, timing

if TYPE_CHECKING:
    from imgcodec.codec import Codec

Warn = Callable[[Path, str], None]
_LOCK = Lock()


@dataclass
class Encoding:
    """Settings of `aic encode`."""

    goal: dict[str, float | None]  # keywords of Target.of
    roi: tuple[Path | None, tuple[int, ...] | None, float | None] | None  # mask, box, weight
    tune: str
    effort: int
    tile: int | None
    alpha: str
    metadata: tuple[str, ...]
    strict: bool
    entropy: str
    device: str
    threads: int | None
    force: bool
    verbose: bool
    warn: Warn

    @cached_property
    def codec(self) -> Codec:
        """The codec, made when the first picture is known to be good: it brings torch."""
        return _load(device=self.device, threads=self.threads, tune=self.tune)

    def size(self, source: Path) -> tuple[int, int] | None:
        """See `batch.Work`."""
        from imgcodec import image

        return None if self.roi is not None or self.effort > 1 else image.size_of(source)

    def __call__(self, source: Path, target: Path, member: Member | None = None) -> str:
        """Compress a picture, and return what to tell about it."""
        with timing() as stages:
            return self._encode(source, target, member, stages)

    def _encode(
        self, source: Path, target: Path, member: Member | None, stages: dict[str, float]
    ) -> str:
        check_apart(source, target)
        from imgcodec import geo, image

        files.check_free(target, self.force)
        background = None if self.alpha in ("keep", "drop") else image.colour(self.alpha)
        picture: Any = geo.open_raster(source)
        if picture is None:
            picture = image.read_picture(source, self.strict)
            for note in picture.notes:
                self.warn(source, note)
            picture = picture.keeping(self.metadata)
            if self.alpha != "keep":
                picture = picture.flattened(background)
        roi = None if self.roi is None else image.read_roi(*self.roi, picture.shape)
        with _LOCK:
            codec = self.codec.joining(member)
        data, report = codec.encode_report(
            picture, entropy=self.entropy, effort=self.effort, tile=self.tile, roi=roi, **self.goal
        )
        files.write_bytes(target, data, self.force)
        line = f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s"
        if report.limited:
            nearest = "is nearest to" if report.target.measured else "needs no more,"
            line += f"; this picture {nearest} {report.target} asked"
        if roi is not None and isinstance(picture, image.Picture):
            inside, outside = roi.psnrs(picture.pixels, codec.decode(data))
            line += f"\n{target}: PSNR {inside:.2f} dB inside the region, {outside:.2f} outside"
        if self.verbose:
            line += f"\n  asked: {report.target}, found: rate parameter {_u(data):.4f}"
            line += _details(data, codec, stages)
        return line


@dataclass
class Decoding:
    """Settings of `aic decode`."""

    region: tuple[int, ...] | None
    keep_going: bool
    max_rate: float | None
    max_pixels: int
    alpha: str
    metadata: tuple[str, ...]
    device: str
    threads: int | None
    force: bool
    verbose: bool
    warn: Warn
    _codec: Codec | None = None

    def size(self, source: Path) -> tuple[int, int] | None:
        """See `batch.Work`."""
        if self.region is not None or self.max_rate is not None:
            return None
        with suppress(AicError):
            header = container.File(files.map_bytes(source)).header
            return header.height, header.width
        return None

    def __call__(self, source: Path, target: Path, member: Member | None = None) -> str:
        """Decompress a file, and return what to tell about it."""
        check_apart(source, target)
        data = files.map_bytes(source)
        try:
            with timing() as stages:
                return self._decode(source, target, data, container.File(data), member, stages)
        except FormatError as error:
            raise AicError(f"{source}: {error}") from error

    def _decode(
        self,
        source: Path,
        target: Path,
        data: bytes | mmap.mmap,
        file: container.File,
        member: Member | None,
        stages: dict[str, float],
    ) -> str:
        # a damaged file is refused before anything large is loaded
        if not self.keep_going:
            file.check_length()
        from imgcodec import geo, image
        from imgcodec.metadata import Metadata

        image.check_target(target, self.force)
        background = None if self.alpha in ("keep", "drop") else image.colour(self.alpha)
        if not self.keep_going and self.region is None:
            for number in range(file.num_tiles):
                file.tile(number)
        header = file.header
        codec = self._codec_for(header.model_id).joining(member)
        left, top, width, height = self.region or (0, 0, header.width, header.height)
        shape = height, width, header.channels
        georeference = dict(file.chunks).get(geo.CHUNK)
        kept = Metadata.of(file.chunks).only(self.metadata)
        plane = None
        if self.alpha != "drop":
            plane = image.alpha_of(file.chunks, header.height, header.width)
        if plane is not None:
            plane = plane[top : top + height, left : left + width]
            if background is None and not image.holds_alpha(target):
                raise AicError(
                    f"{target}: cannot be transparent, as {source} is:"
                    " --alpha drop or --alpha white"
                )
        if geo.has_writer(target) and (georeference is not None or (plane is None and not kept)):
            writing = geo.writing(target, *shape, georeference, (left, top), self.force)
            lost = ["transparency"] * (plane is not None) + kept.kinds
        else:
            writing = image.writing(target, *shape, self.force, plane, kept, background)
            lost = [] if image.holds_metadata(target) else kept.kinds
            lost += ["georeference (.tif and the extra geo have it)"] * (georeference is not None)
        if lost:
            self.warn(target, f"without {', '.join(lost)}")
        with writing as take:
            report = codec.decode_rows(
                data,
                take,
                self.region,
                self.keep_going,
                self.max_rate or math.inf,
                self.max_pixels,
            )
        if report.damaged:
            reasons = "; ".join(report.damaged[number] for number in sorted(report.damaged))
            raise AicError(
                f"{source}: {len(report.damaged)} damaged tiles are filled in: {reasons}"
            )
        line = f"{target}: {width}x{height} pixels, {report.total_s:.2f} s"
        if self.verbose:
            line += _details(data, codec, stages)
        return line

    def _codec_for(self, model_id: bytes) -> Codec:
        """Return the codec, made for the weights of the first file; it loads others as needed."""
        with _LOCK:
            if self._codec is None:
                self._codec = _load(device=self.device, threads=self.threads, model_id=model_id)
            return self._codec


@stage("load")
def _load(model_id: bytes | None = None, **settings: Any) -> Codec:
    """Return a new codec; it brings torch.

    The garbage collector would walk all that torch is made of while it loads and once more at
    the end: a third of the time of a short command.
    """
    gc.disable()
    try:
        from imgcodec.codec import Codec
        from imgcodec.weights import find_id

        weights = None if model_id is None else find_id(model_id)
        return Codec(weights=weights, **settings)
    finally:
        gc.freeze()
        gc.enable()


def _u(data: bytes) -> float:
    return container.File(data).header.u / container.MAX_U


def _details(data: bytes | mmap.mmap, codec: Codec, stages: dict[str, float]) -> str:
    """Return lines on what a file holds and what took how long."""
    file = container.File(data)
    rows, columns = file.header.grid
    edge = f", {file.header.edge} pixels a side" if file.header.edge else ""
    overhead = container.overhead_bytes(file.num_tiles)
    chunks = container.overhead_bytes(file.num_tiles, file.chunks) - overhead
    names = " ".join(kind.decode("ascii") for kind, _ in file.chunks)
    return (
        f"\n  tiles: {rows} x {columns}{edge}; header and index {overhead} bytes,"
        f" chunks {chunks} {names}".rstrip()
        + f"\n  weights {file.header.model_id.hex()} on {codec.where}"
        + f"\n  {', '.join(f'{name} {seconds:.2f} s' for name, seconds in stages.items())}"
    )


def check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the input, whatever --force says."""
    if target.exists() and target.samefile(source):
        raise AicError(f"{target}: is input and output at once")

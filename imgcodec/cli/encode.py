"""`aic encode`: its options, and what is done for each picture."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from imgcodec import files
from imgcodec.cli.jobs import (
    LOCK,
    Warn,
    check_apart,
    check_coded,
    details,
    load_codec,
    run,
    threads_of,
    warn,
)
from imgcodec.cli.measure import MEASURE, check, in_words
from imgcodec.cli.options import (
    ALPHA,
    CLUSTER,
    EFFORT,
    FORCE,
    HELD_PIXELS,
    JOBS,
    MACHINE,
    METADATA,
    PICTURES,
    QUIET,
    RATE,
    READ_AGAIN,
    VERBOSE,
    WEIGHTS,
    Number,
    combine,
    max_pixels,
)  # fmt: skip
from imgcodec.cli.targets import Task
from imgcodec.errors import AicError, DamageError, FormatError, ImageError
from imgcodec.format import container
from imgcodec.format.container import MAX_PIXELS, MAX_SIDE, MAX_U, check_pixels
from imgcodec.releases import DEFAULT_QUALITIES, DEFAULT_TUNE, NEWEST, TUNES, find, id_of
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.stopwatch import stage, timing

if TYPE_CHECKING:
    from imgcodec.codec import Codec
    from imgcodec.pictures.arrays import HalfArray
    from imgcodec.pictures.frame import Frame


class RoiWords(NamedTuple):
    """What --roi says: a file or a box, and how much errors weigh there."""

    mask: Path | None
    box: tuple[int, ...] | None  # left, top, width, height
    weight: float | None


class _Roi(click.ParamType):  # type: ignore[type-arg]
    """A box X,Y,W,H or the path of a mask, either with :WEIGHT behind it."""

    name = "roi"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RoiWords:
        """Parse a value."""
        if isinstance(value, RoiWords):
            return value
        place, colon, number = str(value).rpartition(":")
        weight = None
        if colon and re.fullmatch(r"\d+(\.\d+)?|\.\d+", number):
            weight = float(number)
        else:
            place = str(value)
        if re.fullmatch(r"\d+,\d+,\d+,\d+", place, re.ASCII):
            return RoiWords(None, tuple(map(int, place.split(","))), weight)
        return RoiWords(READ_AGAIN.convert(place, param, ctx), None, weight)


class _Crop(click.ParamType):  # type: ignore[type-arg]
    """Left, top, width and height of a part, X,Y,W,H."""

    name = "crop"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse a value; whether the part lies in a picture is seen later."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\d{1,9},\d{1,9}(,0*[1-9]\d{0,8}){2}", str(value), re.ASCII):
            self.fail(f"{value!r} is not X,Y,W,H in pixels.", param, ctx)
        return tuple(map(int, str(value).split(",")))


class _Resize(click.ParamType):  # type: ignore[type-arg]
    """A size W,H, of which one may be 0, or percent."""

    name = "resize"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int] | float:
        """Parse a value."""
        if isinstance(value, tuple | float):
            return value
        if found := re.fullmatch(r"(\d{1,5}),(\d{1,5})", str(value), re.ASCII):
            width, height = int(found[1]), int(found[2])
            if (width or height) and max(width, height) <= MAX_SIDE:
                return width, height
        elif found := re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)%?", str(value), re.ASCII):
            if float(found[1]):
                return float(found[1])
        self.fail(f"{value!r} is no size W,H in pixels, nor percent.", param, ctx)


class _Edge(click.IntRange):
    """Edge of a tile: a multiple of 64 pixels."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check a value."""
        number = super().convert(value, param, ctx)
        if number % 64:
            self.fail(f"{value} is not a multiple of 64.", param, ctx)
        return number


class _Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: k, M and G are thousands, millions and billions, KiB, MiB and GiB powers of 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a value."""
        found = re.fullmatch(
            r"(\d+(?:\.\d+)?) ?(?:([kMG])(i?))?B?", str(value), re.ASCII | re.IGNORECASE
        )
        size = 0.0
        if found:
            power = " kmg".index((found[2] or " ").lower())
            size = float(found[1]) * (1024 if found[3] else 1000) ** power
        if not 1 <= size <= sys.maxsize:
            self.fail(f"{value!r} is not a size like 150000, 150k or 1.5M.", param, ctx)
        return int(size)


ENCODE_EXAMPLES = """
\b
Examples:
  aic encode photo.jpg photo.aic                      the default quality
  aic encode photo.png photo.aic --rate 0.25          at most 0.25 bits per pixel
  aic encode photo.png photo.aic --size 100k          at most 100,000 bytes
  aic encode map.tif map.aic --roi 800,600,400,300:16
  aic encode photos/ archive/ --psnr 36 --jobs 2
  aic encode photos/ thumbnails/ --resize 320,0 --tune eye --dry-run
  cat photo.png | aic encode - - > photo.aic
"""
_QUALITIES = ", ".join(f"{quality:g} ({tune})" for tune, quality in DEFAULT_QUALITIES.items())
TARGET = combine(
    click.option(
        "--rate", type=RATE, metavar="BPP",
        help="Most bits per pixel that the whole file may take.",
    ),
    click.option(
        "--size", type=_Size(), metavar="BYTES",
        help="Most bytes that the file may take, like 150000 or 150k.",
    ),
    click.option(
        "--quality", type=Number(100, above=False), show_default=_QUALITIES, metavar="0..100",
        help="The same trade-off of bits against errors for all pictures; easy ones get small. "
        "40: a preview, texture is gone (0.1 bpp); 60: good at a glance, texture is soft "
        "(0.35 bpp); 75: much like the original at normal view (0.75 bpp); 90: hard to tell from "
        "it when enlarged (1.5 bpp). Mean bpp of photographs; --tune psnr takes up to a half "
        "more.",
    ),
    click.option(
        "--psnr", type=Number(100), metavar="DB",
        help="The smallest file found with this PSNR.",
    ),
    click.option(
        "--ms-ssim", type=Number(0.9999999), metavar="0..1",
        help="The smallest file found with this MS-SSIM.",
    ),
    click.option(
        "--ssimulacra2", type=Number(99.99), metavar="SCORE",
        help="The smallest file found with this SSIMULACRA 2, to half a point: 90 is hard to tell "
        "from the original, 70 much like it at normal view, 50 medium. --tune eye suits it.",
    ),
)  # fmt: skip
ENTROPY = click.option(
    "--entropy",
    type=click.Choice(["range", "none"]),
    default="range",
    show_default=True,
    help="Coder of the codes: range coder, or none for raw packed bits.",
)
ROI = click.option(
    "--roi",
    type=_Roi(),
    default=None,
    metavar="X,Y,W,H|MASK[:WEIGHT]",
    help="Where errors weigh more (WEIGHT times, 8 if not given): a box in pixels, or a grey "
    "picture of the same size, white where it matters. The file gets no larger by it.",
)
FRAME = combine(
    click.option(
        "--crop", type=_Crop(), default=None, metavar="X,Y,W,H",
        help="Encode this part only: left, top, width and height in pixels.",
    ),
    click.option(
        "--resize", type=_Resize(), default=None, metavar="W,H|PERCENT",
        help="Encode the picture, or the part, at this width and height in pixels, one of which "
        "may be 0: in proportion; or at so many percent of its sides. Pillow's Lanczos filter.",
    ),
)  # fmt: skip
DRY_RUN = click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Write nothing: say which files would be made, and about how large they get; for that, "
    "up to eight of them are tried.",
)
TUNE = click.option(
    "--tune",
    type=click.Choice(TUNES),
    default=None,
    show_default=DEFAULT_TUNE,
    help="What to keep at the rate asked: pixel values (psnr), structure and texture (ms-ssim), "
    "or what people see, as SSIMULACRA 2 measures it (eye).",
)
TILE = click.option(
    "--tile",
    type=_Edge(64, 4096),
    default=None,
    show_default="one tile up to 2 megapixels, else about 1024",
    metavar="PX",
    help="Edge of the tiles that large pictures are coded in, a multiple of 64.",
)
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Refuse pictures of which something is lost before they are coded, like more than 8 bits "
    "a sample or a comment, rather than say so.",
)


GOALS = ("rate", "size", "quality", "psnr", "ms_ssim", "ssimulacra2")  # `codec.target.KINDS`


@dataclass
class Encoding:
    """Settings of `aic encode`."""

    goal: dict[str, float | None]  # keywords of Target.of
    roi: tuple[Path | None, tuple[int, ...] | None, float | None] | None  # mask, box, weight
    tune: str | None
    weights: Path | None
    effort: int
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
        return NEWEST[self.tune or DEFAULT_TUNE].model_id

    @property
    def _tune(self) -> str:
        """What the weights are fitted to."""
        if self.weights is None:
            return self.tune or DEFAULT_TUNE
        release = find(self._model_id)
        return self.codec.tune if release is None else release.tune

    @cached_property
    def _frame(self) -> Frame:
        from imgcodec.pictures.frame import Frame

        return Frame(self.crop, self.resize)

    def size(self, source: Path) -> tuple[int, int] | None:
        """See `batch.Work`."""
        if self.roi is not None or self.effort > 1:
            return None
        return next(iter(self._shapes(source)), None)

    def pixels(self, source: Path) -> int | None:
        """Return how many pixels are coded of a picture; None: that is unknown."""
        height, width = next(iter(self._shapes(source)), (0, 0))
        return height * width or None

    def _shapes(self, source: Path) -> list[tuple[int, int]]:
        """Return heights and widths that a file of a picture may have; none: of no picture.

        It may be turned by its orientation, which is not read for this.
        """
        from imgcodec.pictures import reader

        size = reader.size_of(source)
        found = []
        for height, width in () if size is None else (size, size[::-1]):
            with suppress(ImageError):
                found.append(self._frame.shape(height, width))
        return found

    def is_due(self, task: Task, outdated: bool) -> bool:
        """See `batch.Work`; no .aic file, another picture, or other settings: it is kept."""
        import_torch()
        from imgcodec.cli.settings import more_than, other_settings
        from imgcodec.codec.target import Target

        target = task.target
        try:
            file = container.File(files.map_bytes(target))
            file.check_length()
        except FormatError as error:
            raise AicError(f"{target}: exists ({error}), and is kept without --force") from error
        made = file.header.height, file.header.width
        shapes = [] if outdated else self._shapes(task.source)  # an edited one may have another
        if shapes and made not in shapes:
            height, width = shapes[0]
            verb = "would give" if self.crop or self.resize else "has"
            raise AicError(
                f"{target}: holds a picture of {made[1]}x{made[0]} pixels, {task.source} {verb}"
                f" {width}x{height}, and is kept without --force"
            )
        others = more_than(file, self.metadata, self.alpha) or other_settings(
            file,
            Target.of(self._tune, **self.goal),
            self.entropy,
            self.tile,
            self._model_id,
        )
        if others and not outdated:
            raise AicError(f"{target}: exists with {others}, and is kept without --force")
        return outdated

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Compress a picture, and return what to tell about it."""
        with timing() as stages:
            return self._encode(task, member, stages)

    def _encode(self, task: Task, member: Member | None, stages: dict[str, float]) -> str:
        source, target, force = task
        check_apart(source, target)
        from imgcodec.pictures import geotiff, modes, reader
        from imgcodec.pictures.drawn import is_drawn
        from imgcodec.pictures.picture import Picture

        check_coded(target, force)
        background = None if self.alpha in ("keep", "drop") else modes.colour(self.alpha)
        picture: Any = geotiff.open_raster(source)
        if picture is None:
            most = self.max_pixels or HELD_PIXELS
            decoded, damage = _unrounded(source, most)
            picture = reader.read_picture(source, self.strict, most, self.metadata, decoded)
            picture = replace(picture, notes=(*damage, *picture.notes))
        else:
            check_pixels(picture.shape[1], picture.shape[0], self.max_pixels or MAX_PIXELS)
        if self.strict and picture.notes:
            raise ImageError(f"{source}: {picture.notes[0]}")
        for note in picture.notes:
            self.warn(source, note)
        picture = picture.keeping(self.metadata)
        if self.alpha != "keep":
            picture = picture.flattened(background)
        if self.crop or self.resize:
            picture = self._framed(source, picture)
        if self.measure:
            check(picture, source)
        roi = None if self.roi is None else reader.read_roi(*self.roi, picture.shape)
        with LOCK:
            codec = self.codec.joining(member)
        data = codec.encode(
            picture, entropy=self.entropy, effort=self.effort, tile=self.tile, roi=roi, **self.goal
        )
        report = data.report
        files.write_bytes(target, data, force)
        line = f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s"
        if report.limited:
            nearest = "is nearest to" if report.target.measured else "needs no more,"
            line += f"; this picture {nearest} {report.target} asked"
        if report.detail_limit_db is not None:
            self.warn(
                source,
                "has fine detail that this codec keeps badly, PSNR is limited to about"
                f" {report.detail_limit_db:.0f} dB; PNG or lossless WebP suit it better",
            )
        elif isinstance(picture, Picture) and is_drawn(picture.pixels):
            self.warn(
                source,
                "looks like text, a screenshot or a drawing, which lossless WebP often keeps in"
                " fewer bytes",
            )
        if roi is not None and isinstance(picture, Picture):
            inside, outside = roi.psnrs(picture.pixels, codec.decode(data))
            line += f"\n{target}: PSNR {inside:.2f} dB inside the region, {outside:.2f} outside"
        if self.measure:
            told = in_words(self.measure, picture.coded(), codec.decode(data))
            line = line.replace("\n", f"; {told}\n", 1) if "\n" in line else f"{line}; {told}"
        if self.verbose:
            line += f"\n  asked: {report.target}, found: rate parameter {report.u / MAX_U:.4f}"
            line += details(data, codec, stages)
        return line

    def _framed(self, source: Path, picture: Any) -> Any:
        """Return a part of a picture, at another size."""
        if not hasattr(picture, "pixels"):
            raise ImageError(
                f"{source}: a GeoTIFF is not cropped or resized, its georeference would be wrong;"
                " gdal_translate -srcwin and -outsize do it"
            )
        height, width = picture.shape[:2]
        try:
            new_height, new_width = self._frame.shape(height, width)
            check_pixels(new_width, new_height, self.max_pixels or HELD_PIXELS)
            found = self._frame.applied(picture)
        except AicError as error:
            raise ImageError(f"{source}: {error}") from error
        if self._frame.distorts(height, width):
            self.warn(source, f"its proportions change, {new_width}x{new_height} pixels are asked")
        return found


MOST_UNROUNDED = 2**26  # pixels of a JPEG file; of a larger one, eight bits take less memory


def _unrounded(source: Path, most: int) -> tuple[HalfArray | None, tuple[str, ...]]:
    """Return the pixels of a JPEG file before they are rounded, and what is damaged of it.

    None: it is another file, or one of which only Pillow reads the pixels, or says what is wrong.
    At most `most` pixels are read.
    """
    try:
        with source.open("rb") as file:
            if file.read(2) != b"\xff\xd8":
                return None, ()
        from imgcodec.jpeg import pixels, reading

        with stage("read"):
            read = reading.read(files.read_bytes(source), min(most, MOST_UNROUNDED))
            return pixels.rgb(read), ()
    except DamageError as error:
        return None, (f"it is damaged ({error}), and encoded as far as Pillow reads it",)
    except (OSError, AicError):
        return None, ()


@click.command(epilog=ENCODE_EXAMPLES)
@click.argument("sources", metavar="IN...", nargs=-1)
@click.argument("target", metavar="OUT.aic")
@TARGET
@ROI
@FRAME
@TUNE
@WEIGHTS
@EFFORT
@TILE
@ALPHA
@METADATA
@STRICT
@max_pixels(None, f"{HELD_PIXELS}, or {MAX_PIXELS} of what is read piece by piece")
@ENTROPY
@MEASURE
@JOBS
@CLUSTER
@MACHINE
@FORCE
@DRY_RUN
@VERBOSE
@QUIET
def encode(
    sources: tuple[str, ...], target: str, force: bool, jobs: int, quiet: bool, dry: bool,
    cluster: str | None, report: Path | None, **settings: Any,
) -> None:  # fmt: skip
    """Compress the picture IN to OUT.aic.

    IN is of any format that Pillow opens; 8-bit RGB and grey are coded, what lies beyond is
    reduced to them with a warning. With the extra "geo", a GeoTIFF is read piece by piece, and its
    georeference kept. At most one of --rate, --size, --quality, --psnr, --ms-ssim and
    --ssimulacra2 is given.

    Encoding is lossy. `aic pack` makes JPEG files smaller without loss: take it where the file
    itself has to come back, and `aic encode` where a much smaller one that looks the same will do.
    What a JPEG file holds is encoded before it is rounded to 8 bits, if it is grey or of Y, Cb and
    Cr and has at most 64 megapixels.

    IN may be several files, folders or quoted patterns like "**/*.png", and OUT.aic the folder to
    write into. Files there get the time of what they are made of, and what is up to date is left
    alone. Either may be -, stdin or stdout.
    """
    goal = {kind: settings.pop(kind) for kind in GOALS}
    if sum(value is not None for value in goal.values()) > 1:
        raise click.UsageError(
            "only one of --rate, --size, --quality, --psnr, --ms-ssim and --ssimulacra2 can be"
            " reached"
        )
    if settings["tune"] is not None and settings["weights"] is not None:
        raise click.UsageError("--tune names a released set, --weights one of one's own")
    tune = None if settings["weights"] else settings["tune"] or DEFAULT_TUNE
    if settings["roi"] is not None and tune == "psnr" and not quiet:
        click.echo(
            "--roi makes files of --tune psnr worse, the region too; use --tune eye", err=True
        )
    if settings["tune"] == "eye" and settings["effort"] > 1 and not quiet:
        click.echo("--effort does nothing with --tune eye", err=True)
    settings["threads"] = threads_of(settings["threads"], jobs)
    work = Encoding(goal=goal, warn=partial(warn, quiet), **settings)
    run(work, sources, target, PICTURES, ".aic", force, jobs, quiet, dry, cluster, report)

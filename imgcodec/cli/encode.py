"""`aic encode` and its options."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from imgcodec.cli import into
from imgcodec.cli.encoding import GOALS, Encoding
from imgcodec.cli.loading import threads_of
from imgcodec.cli.measure import MEASURE
from imgcodec.cli.options import (
    ALPHA,
    CLUSTER,
    EFFORT,
    FORCE,
    HELD_PIXELS,
    JOBS,
    MACHINE,
    METADATA,
    PART,
    QUIET,
    RATE,
    READ_AGAIN,
    SIZE,
    VERBOSE,
    WEIGHTS,
    Number,
    as_box,
    combine,
    given,
    max_pixels,
)  # fmt: skip
from imgcodec.cli.process import warn
from imgcodec.cli.run import run
from imgcodec.format.container import MAX_PIXELS, MAX_SIDE
from imgcodec.pictures import PICTURES
from imgcodec.releases import DEFAULT_QUALITIES, DEFAULT_TUNE, TUNES


class RoiWords(NamedTuple):
    """What --roi says: a file or a box, and how much errors weigh there."""

    mask: Path | None
    box: tuple[int, ...] | None  # left, top, width, height
    weight: float | None


class _Roi(click.ParamType):  # type: ignore[type-arg]
    """A box X,Y,W,H or the path of a mask, either with :WEIGHT behind it, as 8, 0.5 or 1/2."""

    name = "roi"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RoiWords:
        """Parse a value."""
        if isinstance(value, RoiWords):
            return value
        place, colon, number = str(value).rpartition(":")
        weight = None
        if colon and re.fullmatch(r"\d+(\.\d+)?|\.\d+|\d+/0*[1-9]\d*", number, re.ASCII):
            top, _, bottom = number.partition("/")
            weight = float(top) / float(bottom or 1)
            from imgcodec.pictures.roi import MOST_WEIGHT

            if not 1 / MOST_WEIGHT <= weight <= MOST_WEIGHT:
                self.fail(f"{number[:20]!r} is no weight, 1/{MOST_WEIGHT:g} to {MOST_WEIGHT:g}.")
        else:
            place = str(value)
        if (box := as_box(place)) is not None:
            return RoiWords(None, box, weight)
        if "," in place and not os.path.lexists(place):
            self.fail(
                f"{value!r} is neither X,Y,W,H in pixels, W and H from 1, or that and :WEIGHT, "
                "nor a file."
            )
        return RoiWords(READ_AGAIN.convert(place, param, ctx), None, weight)


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


ENCODE_EXAMPLES = """
\b
Examples:
  aic encode photo.jpg photo.aic                      the default quality
  aic encode photo.png photo.aic --rate 0.25          at most 0.25 bits per pixel
  aic encode photo.png photo.aic --size 100k          at most 100,000 bytes
  aic encode map.tif map.aic --roi 800,600,400,300:16
  aic encode photos/ archive/ --psnr 36 --jobs 2
  aic encode photos/ thumbnails/ --resize 320,0 --tune eye --dry-run
  aic encode photo.png photo.jpg --into jpeg --size 100k
  cat photo.png | aic encode - - > photo.aic
"""
_QUALITIES = ", ".join(f"{quality:g} ({tune})" for tune, quality in DEFAULT_QUALITIES.items())
TARGET = combine(
    click.option(
        "--rate", type=RATE, metavar="BPP",
        help="Most bits per pixel that the whole file may take.",
    ),
    click.option(
        "--size", type=SIZE, metavar="BYTES",
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
        help="The smallest file found with this PSNR, to 0.05 dB.",
    ),
    click.option(
        "--ms-ssim", type=Number(0.9999999), metavar="0..1",
        help="The smallest file found with this MS-SSIM, to 0.05 dB: -10 log10(1 - VALUE).",
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
    help="Where errors weigh more (WEIGHT times, 1/1024 to 1024, 8 if not given, more than 64 as "
    "64): a box in pixels, or a grey picture of the same size, white where it matters; of what "
    "--crop and --resize leave. A --rate or --size holds with it, too; at a --quality, the file "
    "gets larger or smaller.",
)
FRAME = combine(
    click.option(
        "--crop", type=PART, default=None, metavar="X,Y,W,H",
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
INTO = click.option(
    "--into",
    type=click.Choice(["jpeg"]),
    default=None,
    help="Make a JPEG file, not an .aic file: smaller than libjpeg's at equal quality, and best "
    "at its size once `aic restore` decodes it. --quality is then that of cjpeg, 1..100, 75 if "
    "nothing is asked; --rate and --size hold, too; --effort is how often it is improved. At "
    "most 64 megapixels if --max-pixels does not say more.",
)
HALF = click.option(
    "--half",
    is_flag=True,
    help="With --into jpeg: make the file of half the width and height. `aic restore` gives the "
    "picture back at its own size, other programs show the small one. Better at 0.1 bit a pixel "
    "and below, by MS-SSIM and SSIMULACRA 2 up to 0.3.",
)
TUNE = click.option(
    "--tune",
    type=click.Choice(TUNES),
    default=None,
    show_default=DEFAULT_TUNE,
    help="What to keep at the rate asked: pixel values (psnr), structure and texture (ms-ssim), "
    "or what people see, as SSIMULACRA 2 measures it (eye).",
)
LOSSLESS = click.option(
    "--lossless/--lossy",
    default=None,
    show_default="what is smaller",
    help="Whether every pixel is kept, or none for sure. Nothing said: text, screenshots and "
    "drawings are kept so, or in fewer colours, where that is as good for fewer bytes.",
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


@click.command(epilog=ENCODE_EXAMPLES)
@click.argument("sources", metavar="IN...", nargs=-1)
@click.argument("target", metavar="OUT.aic")
@TARGET
@INTO
@HALF
@ROI
@FRAME
@TUNE
@WEIGHTS
@EFFORT
@LOSSLESS
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
    georeference kept, like that in a world file beside a picture. At most one of --rate, --size,
    --quality, --psnr, --ms-ssim and --ssimulacra2 is given.

    Encoding is lossy. `aic pack` makes JPEG files smaller without loss: take it where the file
    itself has to come back, and `aic encode` where a much smaller one that looks the same will do.
    What a JPEG file holds is encoded before it is rounded to 8 bits, if it is grey or of Y, Cb and
    Cr and has at most 64 megapixels.

    IN may be several files, folders or quoted patterns like "**/*.png", and OUT.aic the folder to
    write into. Files there get the time of what they are made of, and what is up to date is left
    alone. Either may be -, stdin or stdout.
    """
    goal = {kind: settings.pop(kind) for kind in GOALS}
    if settings["lossless"]:
        _check_lossless(goal, settings)
    if sum(value is not None for value in goal.values()) > 1:
        raise click.UsageError(
            "only one of --rate, --size, --quality, --psnr, --ms-ssim and --ssimulacra2 can be"
            " reached"
        )
    settings["threads"] = threads_of(settings["threads"], jobs)
    if settings.pop("into") is not None:
        making = _into_jpeg(goal, quiet, settings)
        run(making, sources, target, PICTURES, into.SUFFIXES[0], force, jobs, quiet)
        return
    if settings.pop("half"):
        raise click.UsageError("--half goes with --into jpeg alone")
    if settings["tune"] is not None and settings["weights"] is not None:
        raise click.UsageError("--tune names a released set, --weights one of one's own")
    tune = None if settings["weights"] else settings["tune"] or DEFAULT_TUNE
    weight = settings["roi"][2] if settings["roi"] else 1.0  # None: the usual one
    if weight != 1 and tune == "psnr" and not quiet:
        click.echo(
            "--roi makes files of --tune psnr worse, the region too; use --tune eye", err=True
        )
    work = Encoding(goal=goal, warn=partial(warn, quiet), **settings)
    run(work, sources, target, PICTURES, ".aic", force, jobs, quiet, dry, cluster, report)


def _check_lossless(goal: dict[str, float | None], settings: dict[str, Any]) -> None:
    """Refuse options that mean nothing where every pixel is kept."""
    names = [kind for kind in GOALS if kind not in ("rate", "size") and goal[kind] is not None]
    names += [name for name in ("tune", "weights", "roi") if settings[name] is not None]
    if names or settings["effort"] > 1 or settings["entropy"] != "range":
        raise click.UsageError(
            "--lossless keeps every pixel: of what says how files are made, only --rate, --size"
            " and --tile go with it"
        )


def _into_jpeg(
    goal: dict[str, float | None], quiet: bool, settings: dict[str, Any]
) -> into.IntoJpeg:
    """Return the settings of --into jpeg; options that mean nothing to it are refused."""
    for name, option in given().items():
        if name not in into.OPTIONS:
            raise click.UsageError(f"{option} does not go with --into jpeg")
    if goal["quality"] is not None and goal["quality"] < 1:
        raise click.UsageError("--quality is 1..100 with --into jpeg")
    fields = settings.keys() & into.OPTIONS
    return into.IntoJpeg(
        goal=goal, warn=partial(warn, quiet), **{name: settings[name] for name in fields}
    )

"""The options that `cli.py` gives its commands, with their types, ranges and help."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from imgcodec.metadata import KINDS
from imgcodec.peers import COMPRESSAI, PEERS

READ = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
READ_DIR = click.Path(exists=True, file_okay=False, readable=True, path_type=Path)
WRITE = click.Path(dir_okay=False, path_type=Path)
_WRITE_DIR = click.Path(file_okay=False, path_type=Path)


class _Number(click.FloatRange):
    """A number from 0, or above it, up to a limit; nan, which no comparison refuses, is none."""

    def __init__(self, limit: float, above: bool = True) -> None:
        super().__init__(min=0, max=limit, min_open=above)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check a value."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class _Region(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Left, top, width and height in pixels, as X,Y,W,H."""

    name = "region"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse a value; whether the region lies in the picture is seen later."""
        numbers = str(value).split(",")
        if len(numbers) != 4 or not all(n.isascii() and n.isdigit() for n in numbers):
            self.fail(f"{value!r} is not X,Y,W,H in pixels.", param, ctx)
        return tuple(map(int, numbers))


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
        return RoiWords(READ.convert(place, param, ctx), None, weight)


class _Edge(click.IntRange):
    """Edge of a tile: a multiple of 64 pixels."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check a value."""
        number = super().convert(value, param, ctx)
        if number % 64:
            self.fail(f"{value} is not a multiple of 64.", param, ctx)
        return number


class _Kinds(click.ParamType):  # type: ignore[type-arg]
    """Kinds of metadata: all, none, or some of them separated by commas."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse a value."""
        if isinstance(value, tuple):
            return value
        kinds = {"all": KINDS, "none": ()}.get(value, tuple(value.split(",")))
        if not set(kinds) <= set(KINDS):
            self.fail(f"{value!r} is not all, none, or some of {','.join(KINDS)}.", param, ctx)
        return kinds


class _Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, with k or M for thousands and millions."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a value."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)B?", str(value), re.ASCII)
        size = int(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6}[found[2]]) if found else 0
        if size < 1:
            self.fail(f"{value!r} is not a size like 150000, 150k or 1.5M.", param, ctx)
        return size


# What a folder's pictures are known by; Pillow, or a plugin of it, opens more.
PICTURES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".gif", ".jp2",
    ".avif", ".heic", ".heif", ".jxl",
)  # fmt: skip
RATE = _Number(24)  # bits per pixel; 24 = uncompressed


ENCODE_EXAMPLES = """
\b
Examples:
  aic encode photo.jpg photo.aic                      quality 50
  aic encode photo.png photo.aic --rate 0.25          at most 0.25 bits per pixel
  aic encode photo.png photo.aic --size 100k          at most 100,000 bytes
  aic encode map.tif map.aic --roi 800,600,400,300:16
  aic encode photos/ archive/ --psnr 36 --jobs 2
  cat photo.png | aic encode - - > photo.aic
"""
BENCH_EXAMPLES = """
\b
Examples:
  aic bench photos/ --csv results.csv
  aic bench photos/ --codec aic --codec jpeg --codec avif --report report/
  aic bench photos/ --tune psnr --tune ms-ssim --rate 0.25 --rate 0.5
"""
DECODE_EXAMPLES = """
\b
Examples:
  aic decode photo.aic photo.png
  aic decode map.aic part.png --region 800,600,400,300
  aic decode archive/ pictures/ --format tif
  aic decode photo.aic - --format ppm | display
"""


class _CodecName(click.ParamType):  # type: ignore[type-arg]
    """A codec that `aic bench` knows."""

    name = "codec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse other names."""
        name = str(value)
        if name not in ("aic", *PEERS) and not name.startswith(COMPRESSAI):
            self.fail(f"{name!r} is not one of aic, {', '.join(PEERS)}", param, ctx)
        return name


def combine(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator; the help shows them in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


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
        "--quality", type=_Number(100, above=False), show_default="50", metavar="0..100",
        help="The same trade-off of bits against errors for all pictures; easy ones get small.",
    ),
    click.option(
        "--psnr", type=_Number(100), metavar="DB",
        help="The smallest file found with this PSNR.",
    ),
    click.option(
        "--ms-ssim", type=_Number(0.9999999), metavar="0..1",
        help="The smallest file found with this MS-SSIM.",
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
TUNE = click.option(
    "--tune",
    type=click.Choice(["psnr", "ms-ssim"]),
    default="psnr",
    show_default=True,
    help="What to keep at the rate asked: pixel values (psnr), or structure and texture as people "
    "see them (ms-ssim).",
)
EFFORT = click.option(
    "--effort",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    metavar="1..9",
    help="How long to look for better codes: 1 is fast, 9 makes the best file.",
)
TILE = click.option(
    "--tile",
    type=_Edge(64, 4096),
    default=None,
    show_default="one tile up to 2 megapixels, else about 1024",
    metavar="PX",
    help="Edge of the tiles that large pictures are coded in, a multiple of 64.",
)
REGION = click.option(
    "--region",
    type=_Region(),
    default=None,
    metavar="X,Y,W,H",
    help="Decode this part only: left, top, width and height in pixels.",
)
KEEP_GOING = click.option(
    "--keep-going",
    is_flag=True,
    help="Fill damaged tiles from what lies around them and end with exit code 1, "
    "rather than write nothing.",
)
MAX_RATE = click.option(
    "--max-rate",
    type=RATE,
    default=None,
    show_default="all",
    metavar="BPP",
    help="Decode a preview: leave out the finer codes beyond so many bits per pixel.",
)
MAX_PIXELS = click.option(
    "--max-pixels",
    type=click.IntRange(1, 2**30),
    default=2**30,
    show_default=True,
    metavar="N",
    help="Refuse to decode more pixels than this.",
)
ALPHA = click.option(
    "--alpha",
    default="keep",
    show_default=True,
    metavar="keep|drop|COLOUR",
    help="Transparency: keep it without loss, drop it as if all were opaque, or lay the picture "
    "over a colour like white or #ff8000.",
)
METADATA = click.option(
    "--metadata",
    type=_Kinds(),
    default="all",
    show_default=True,
    metavar="all|none|KINDS",
    help="Which metadata to keep: some of icc,exif,xmp.",
)
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Refuse pictures that 8-bit RGB or grey cannot hold exactly, rather than reduce them.",
)
JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Files that are worked on at a time, of many; the CPU threads are shared by them.",
)
FORMAT = click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "tif", "ppm", "bmp", "webp", "jpg"]),
    default="png",
    show_default=True,
    help="Format of pictures written into a folder or to stdout.",
)
FORCE = click.option("--force", is_flag=True, help="Replace an existing output file.")
MACHINE = combine(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the networks run; auto takes a GPU if there is one.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        default=None,
        show_default="one per core",
        metavar="N",
        help="CPU threads.",
    ),
)
MEASURING = combine(
    click.option(
        "--codec",
        "codecs",
        type=_CodecName(),
        default=("aic",),
        multiple=True,
        show_default=True,
        metavar="NAME",
        help=f"What is measured; repeat the option for several: aic, {', '.join(PEERS)} (the "
        "last two need the extra peers), or compressai:MODEL where that is installed.",
    ),
    click.option(
        "--rate",
        "rates",
        type=RATE,
        default=(0.1, 0.25, 0.5, 1.0),
        multiple=True,
        show_default=True,
        metavar="BPP",
        help="Bits per pixel for aic; repeat the option for several rates. The others sweep "
        "their own qualities.",
    ),
    click.option(
        "--quality",
        "qualities",
        type=_Number(100, above=False),
        multiple=True,
        metavar="0..100",
        help="Qualities for aic besides, as aic-quality; repeat the option for several. One for "
        "all pictures is how most of the others are measured.",
    ),
    click.option(
        "--tune",
        "tunes",
        type=click.Choice(["psnr", "ms-ssim"]),
        default=("psnr",),
        multiple=True,
        show_default=True,
        help="Weights of aic; repeat the option for both.",
    ),
    click.option(
        "--repeat",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        metavar="N",
        help="Times that each file is written and read; the median time counts.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        metavar="N",
        help="Pictures at once; times are then those of a busy machine.",
    ),
    click.option(
        "--ssimulacra2",
        is_flag=True,
        help="Measure SSIMULACRA 2, too: seconds a row; needs the extra peers.",
    ),
    click.option(
        "--commands",
        is_flag=True,
        help="Time whole commands on the first picture, too, those of the peers where they are "
        "installed.",
    ),
    click.option("--csv", "csv_file", type=WRITE, metavar="FILE", help="Write the rows."),
    click.option(
        "--json",
        "json_file",
        type=WRITE,
        metavar="FILE",
        help="Write all that was found, and the machine; docs/bench.md explains it.",
    ),
    click.option(
        "--plot",
        "plot_file",
        type=WRITE,
        metavar="FILE",
        help="Draw the rate-distortion curves, .png or .svg; needs the extra plot.",
    ),
    click.option(
        "--report",
        "report_dir",
        type=_WRITE_DIR,
        metavar="DIR",
        help="Write a web page with tables, curves and a viewer, for a browser without network.",
    ),
    click.option(
        "--cache",
        "cache_dir",
        type=_WRITE_DIR,
        default=None,
        show_default="~/.cache/aic/bench",
        metavar="DIR",
        help="Where rows are kept, and not measured again on the same machine.",
    ),
    click.option("--no-cache", is_flag=True, help="Measure everything, and keep nothing."),
    click.option("--quiet", is_flag=True, help="Show no progress on stderr."),
)
VERBOSE = click.option(
    "--verbose", is_flag=True, help="Print what was decided, and what took how long."
)
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
TRAINING = combine(
    click.option(
        "--data", type=READ_DIR, metavar="DIR", help="Folder of the training pictures' tar files."
    ),
    click.option(
        "--out", type=_WRITE_DIR, metavar="DIR", help="Folder for checkpoints, log and curves."
    ),
    click.option(
        "--minutes",
        type=_Number(525600),
        default=150.0,
        show_default=True,
        metavar="M",
        help="Training time in minutes, that of a resumed run included.",
    ),
    click.option("--resume", type=READ, metavar="FILE", help="Checkpoint to go on from."),
    click.option(
        "--start",
        type=READ,
        metavar="FILE",
        help="Checkpoint or weights file, perhaps of a smaller model, that a new run starts from.",
    ),
    click.option(
        "--loss",
        "objective",
        type=click.Choice(["rd", "paper"]),
        default="rd",
        show_default=True,
        help="Rate and distortion, or the loss and schedule of the paper.",
    ),
    click.option(
        "--config",
        type=click.Choice(["aic", "paper"]),
        default="aic",
        show_default=True,
        help="Sizes of the networks: as in the shipped weights, or as in the paper; "
        "a resumed run keeps its own.",
    ),
    click.option(
        "--tune",
        type=click.Choice(["psnr", "ms-ssim"]),
        default="psnr",
        show_default=True,
        help="Which quality a new run of --loss rd aims at; ms-ssim needs --crop 168 or more.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Start of the random numbers.",
    ),
    click.option(
        "--batch",
        type=click.IntRange(1, 4096),
        default=8,
        show_default=True,
        metavar="N",
        help="Crops a step.",
    ),
    click.option(
        "--crop",
        type=click.IntRange(64, 512),
        default=128,
        show_default=True,
        metavar="PX",
        help="Side of a crop in pixels, a multiple of 8.",
    ),
    click.option(
        "--learning-rate",
        type=_Number(1),
        default=6e-4,
        show_default=True,
        metavar="RATE",
        help="Peak learning rate of --loss rd.",
    ),
    click.option(
        "--export",
        "target",
        type=WRITE,
        metavar="FILE.safetensors",
        help="Do not train: freeze the weights of the --resume checkpoint into this file.",
    ),
)

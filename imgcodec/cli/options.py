"""The types of options, and the options that several commands share."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imgcodec.errors import MOST_THREADS, AicError
from imgcodec.files import reason
from imgcodec.format.container import MAX_PIXELS
from imgcodec.format.metadata import KINDS


class _Existing(click.Path):
    """A path to read; that it is missing is wrong usage, that the system refuses it is not."""

    def __init__(self, again: bool = False, path_type: type = Path, **words: Any) -> None:
        """Take click's words; `again`: it is read more than once, so that no stream will do."""
        super().__init__(exists=True, path_type=path_type, **words)
        self._again = again

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check a value.

        Raises:
            AicError: it is there, and cannot be read.
        """
        try:
            there = os.stat(value).st_mode
            if not os.access(value, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            pass  # click tells
        except OSError as error:
            raise AicError(f"{click.format_filename(value)}: {reason(error)}") from error
        else:
            if self._again and not stat.S_ISREG(there) and not stat.S_ISDIR(there):
                raise AicError(f"{click.format_filename(value)}: is not a regular file")
        return super().convert(value, param, ctx)


class _New(click.Path):
    """A path to write; the empty name, of a shell's variable that is not set, is no folder.

    Where `-` is not stdout, it is no file of that name either.
    """

    def __init__(self, path_type: type = Path, **words: Any) -> None:
        super().__init__(path_type=path_type, **words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check a value."""
        if not os.fspath(value):
            self.fail("The name is empty.", param, ctx)
        if os.fspath(value) == "-" and not self.allow_dash:
            self.fail("- is no stdout here; ./- is a file of that name.", param, ctx)
        return super().convert(value, param, ctx)


READ = _Existing(dir_okay=False)
READ_AGAIN = _Existing(again=True, dir_okay=False)
READ_OR_STDIN = _Existing(dir_okay=False, allow_dash=True, path_type=str)
READ_DIR = _Existing(file_okay=False)
WRITE = _New(dir_okay=False)
WRITE_OR_STDOUT = _New(dir_okay=False, allow_dash=True, path_type=str)
WRITE_DIR = _New(file_okay=False)


class Number(click.FloatRange):
    """A number from 0, or above it, up to a limit; nan, which no comparison refuses, is none."""

    def __init__(self, limit: float, above: bool = True) -> None:
        super().__init__(min=0, max=limit, min_open=above)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check a value."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is not a number.", param, ctx)
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


class _Part(click.ParamType):  # type: ignore[type-arg]
    """Left, top, width and height of a part, X,Y,W,H."""

    name = "part"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse a value; whether the part lies in a picture is seen later."""
        if isinstance(value, tuple):
            return value
        box = as_box(str(value))
        if box is None:
            self.fail(f"{value!r} is not X,Y,W,H in pixels, W and H from 1.", param, ctx)
        return box


class _Alpha(click.ParamType):  # type: ignore[type-arg]
    """What becomes of transparency: keep, drop, or the name of a colour."""

    name = "alpha"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check a value."""
        if value not in ("keep", "drop"):
            from imgcodec.pictures import modes

            try:
                modes.colour(value)
            except AicError as error:
                self.fail(f"{error}.", param, ctx)
        return str(value)


RATE = Number(24)  # bits per pixel; 24 = uncompressed
SIZE = _Size()
PART = _Part()


def as_box(text: str) -> tuple[int, ...] | None:
    """Return the numbers of X,Y,W,H; None of other texts, and where there are no pixels.

    Python takes so many digits.
    """
    if re.fullmatch(r"\d{1,99}(,\d{1,99}){3}", text, re.ASCII) is None:
        return None
    box = tuple(map(int, text.split(",")))
    return box if all(box[2:]) else None


def given() -> dict[str, str]:
    """Return which options the user gave, and what they are called, by name of the parameter."""
    context = click.get_current_context()
    names = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            switched_off = context.params.get(name) is False  # as by --lossy
            names[name] = (switched_off and parameter.secondary_opts or parameter.opts)[0]
    return names


def combine(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator; the help shows them in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


EFFORT = click.option(
    "--effort",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    metavar="1..9",
    help="How long to look for better codes: 1 is fast, 9 makes the best file.",
)
HELD_PIXELS = 2**28  # of a picture that is held in memory as a whole, if nobody asks for more


def max_pixels(most: int | None = MAX_PIXELS, told: str | bool = True) -> Callable[[Any], Any]:
    """The option --max-pixels, with its default and what the help tells of it."""
    return click.option(
        "--max-pixels",
        type=click.IntRange(1, MAX_PIXELS),
        default=most,
        show_default=told,
        metavar="N",
        help="Refuse a picture of more pixels than this, before any work.",
    )


ALPHA = click.option(
    "--alpha",
    type=_Alpha(),
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
JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Files that are worked on at a time, of many, each by a process of its own; the CPU "
    "threads are shared by them.",
)
CLUSTER = combine(
    click.option(
        "--cluster",
        default=None,
        metavar="local|ADDRESS",
        help="Spread many files over a cluster of dask's: of this machine's cores, or that of the "
        "scheduler at an address like tcp://host:8786. Files may then be at URLs, like "
        "s3://bucket/folder. Needs the extra cluster.",
    ),
    click.option(
        "--report",
        type=WRITE,
        default=None,
        metavar="FILE.csv",
        help="With --cluster: write a row for each file: bytes, bpp, seconds, worker, error.",
    ),
)
FORCE = click.option("--force", is_flag=True, help="Replace an existing output file.")
WEIGHTS = click.option(
    "--weights",
    type=READ_AGAIN,
    default=None,
    metavar="FILE.safetensors",
    help="Weights of one's own, as `aic train --export` makes them. Files that were encoded with "
    "them need them to decode.",
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=None,
    show_default="one per core",
    metavar="N",
    help="CPU threads, no more than there are cores.",
)
MACHINE = combine(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the networks run; auto takes a GPU if there is one.",
    ),
    THREADS,
)
VERBOSE = click.option(
    "--verbose", is_flag=True, help="Print what was decided, and what took how long."
)
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors.")

"""What encoding and decoding give besides bytes and pixels: what it took, and what was reached."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import ParamSpec

from imgcodec.runtime.stopwatch import timing
from imgcodec.target import Target

P = ParamSpec("P")

MOST_NAMED = 20  # damaged tiles, or chunks, that a line tells of


@dataclass(frozen=True, slots=True)
class _Report:
    """What some work took."""

    # seconds of each: encoder, refinement, codes, decoder, read, write
    stages: dict[str, float] = field(default_factory=dict, kw_only=True)
    total_s: float = field(default=0.0, kw_only=True)

    @property
    def model_s(self) -> float:
        """Seconds in encoder and decoder: their networks, without context models and coder."""
        return sum(self.stages.get(name, 0.0) for name in ("encoder", "refinement", "decoder"))


@dataclass(frozen=True, slots=True)
class EncodeReport(_Report):
    """What encoding took and reached."""

    target: Target  # what was asked
    bpp: float  # bits per pixel of the whole file
    u: int  # the rate parameter that was found, 0..65535
    limited: bool = False  # it needs fewer bits than were asked, or is not as good as asked
    # about the PSNR to which detail that the codec cannot hold limits the file; None: no worry
    detail_limit_db: float | None = None
    lossless: bool = False  # every pixel is kept
    colours: int | None = None  # to which those of a drawn picture were joined; None: they are not
    too_bad: bool = False  # no setting that was tried is as good as asked


@dataclass(frozen=True, slots=True)
class DecodeReport(_Report):
    """What decoding took."""

    damaged: dict[int, str]  # number of each damaged tile, row by row -> what is wrong
    excess: int = 0  # bytes after the end of the file, which mean nothing
    lost: Sequence[str] = ()  # what is wrong with each chunk that was left out
    # damaged tiles, and chunks by their types, that are as they were: a single bit was wrong, or
    # bytes before them are missing, or too many
    mended: Mapping[int | bytes, str] = field(default_factory=dict)
    begun: Collection[int] = ()  # damaged tiles that are decoded as far as they seem to be right

    @property
    def damage(self) -> str:
        """What is wrong with a file that was decoded nevertheless, one line; empty: nothing."""
        found: list[str] = []
        wrong = sorted(set(self.damaged) - set(self.mended))
        for done, begun in (("decoded in part", True), ("filled in", False)):
            numbers = [number for number in wrong if (number in self.begun) == begun]
            tiles = [_of_tile(number, self.damaged[number]) for number in numbers]
            found += _told(tiles, "tile", done)
        found += _told(self.lost, "chunk", "left out")
        for what, kind in (("tile", int), ("chunk", bytes)):
            right = [why for key, why in self.mended.items() if isinstance(key, kind)]
            found += _told(right, what, "set right")
        if self.excess:
            number = "1 byte" if self.excess == 1 else f"{self.excess} bytes"
            found.append(f"{number} after the end left out")
        return "; ".join(found)


def _told(reasons: Sequence[str], what: str, done: str) -> list[str]:
    """Return a text on what is damaged, and what was done about it; none where nothing is."""
    if not reasons:
        return []
    number = f"1 damaged {what} is" if len(reasons) == 1 else f"{len(reasons)} damaged {what}s are"
    return [f"{number} {done}: {_named(reasons, '; ')}"]


def _named(parts: Sequence[str], between: str) -> str:
    """Return the first of them, and how many more there are."""
    more = [f"and {len(parts) - MOST_NAMED} more"] if len(parts) > MOST_NAMED else []
    return between.join([*parts[:MOST_NAMED], *more])


def _of_tile(number: int, reason: str) -> str:
    """Return what is wrong with a tile, with its number, which only the container tells."""
    return reason if f"tile {number}" in reason else f"tile {number}: {reason}"


class Encoded(bytes):
    """The bytes of an .aic file, with a report of how they came about."""

    report: EncodeReport

    def __new__(cls, data: bytes, report: EncodeReport) -> "Encoded":
        """Join a file and its report."""
        encoded = super().__new__(cls, data)
        encoded.report = report
        return encoded

    def __reduce__(self) -> tuple[type["Encoded"], tuple[bytes, EncodeReport]]:
        """Return what makes a copy, as when a worker process hands over its result."""
        return Encoded, (bytes(self), self.report)


def timed(make: Callable[P, Encoded]) -> Callable[P, Encoded]:
    """Let the report of what a function makes say how long all of its work took."""

    @wraps(make)
    def timed_make(*args: P.args, **kwargs: P.kwargs) -> Encoded:
        started = time.perf_counter()
        with timing() as stages:
            made = make(*args, **kwargs)
        total_s = time.perf_counter() - started
        return Encoded(made, replace(made.report, stages=stages, total_s=total_s))

    return timed_make

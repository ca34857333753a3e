"""Searches: the rate parameter whose file just fits, or whose picture is just good enough."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from imgcodec.codec.pace import Counted, Forecast, Profile
from imgcodec.entropy.range_coder import WORD_BYTES
from imgcodec.format.container import MAX_U

TOLERANCE = 0.01  # a file falls short of what it may have by at most this share
GOOD = 0.9905  # share of the room with which the search is content
PATIENCE = 4  # codings after which a word less will do, too
AIM = 0.996  # share of the room that is tried for
SURE = 0.95, 1.003  # shares of the room outside which an estimate need not be checked by coding
MAX_PLANS = 32
BEST_DB = 100.0  # that of equal pictures counts as this
AROUND, APART = 8, 37  # places tried each way where there is a jump, and steps of u between them
UNEVEN = 3  # times what a quality may be off: a miss at an end of the scale that may be a jump
MAX_SECANTS = 10  # then bisection
MAX_ESTIMATES = 2
# Octaves from an estimate to what is wanted that need no other: so many for each bit of an
# integer, but no less and no more than the others (trial 89).
NEAR, LEAST_NEAR, MOST_NEAR = 0.5, 0.25, 0.4
STEP = 0.005  # octaves, of the first step beyond an end of a bracket
TELLING = 0.1  # octaves or dB between points that tell a slope
# Octaves of the size from u = 0 to 1 on photographs: so many at 1 bit per pixel, and so many more
# for each octave less, but not more than the last.
OCTAVES, OCTAVES_MORE, MOST_OCTAVES = 6.1, 2.3, 10.5

Point = tuple[int, float]  # rate parameter, and how much of a quantity there is


class Guess(NamedTuple):
    """Where a search for a rate begins."""

    u: int  # rate parameter 0..65535
    slope: float  # octaves of the size for one step of u
    counted: Counted | None = None  # where the guess is told from the picture


class Planned(Protocol):
    """Codes chosen for one rate parameter."""

    estimated_bytes: float

    @property
    def profiles(self) -> Sequence[Profile]:
        """Of each tile, see `plan.Plan.profile`."""

    def write(self) -> Sequence[bytes]:
        """Return the payload of each tile."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search."""

    u: int  # 0..65535
    payloads: Sequence[bytes]  # of each tile
    limited: bool  # even the finest setting fits, or a measured quality is not as asked
    too_bad: bool = False  # no setting that was tried reaches a measured quality


class Reached(NamedTuple):
    """The result of a search for a quality."""

    u: int  # 0..65535
    missed: bool  # it is not as wanted there
    too_bad: bool  # nor so good at any other place that was tried


def search(
    plan: Callable[[int], Planned],
    room: int,
    start: Guess,
    told: Sequence[Point] = (),
) -> Found | None:
    """Return the finest setting found whose payloads have at most `room` bytes, or None.

    Where sizes jump over the room, places around the jump are tried, and the largest is taken.

    Settings are compared by estimates; the real coder runs on the chosen one, again only where
    the estimate was wrong.

    Args:
        plan: rate parameter 0..65535 -> codes and an estimate of their bytes.
        room: most bytes of all payloads.
        start: what to try first.
        told: other rate parameters and the log2 of about how many bytes they take; they only tell
            the slope.
    """
    low, high = -1, MAX_U + 1  # fits, does not fit
    points: list[Point] = []  # u, log2 of the size
    best: tuple[float, int, Planned, Sequence[bytes] | None] | None = None

    def size_at(u: int) -> float:
        nonlocal best
        chosen = plan(u)
        payloads = None
        size = chosen.estimated_bytes
        if SURE[0] * room - 8 <= size <= SURE[1] * max(room, 0) + 8:
            payloads = chosen.write()
            size = sum(map(len, payloads))
        points.append((u, math.log2(max(size, 1))))
        # of two that take as much, the finer one; it is worse where it takes far less
        if size <= room and (
            best is None or size > best[0] or (u > best[1] and size > best[0] - TOLERANCE * room)
        ):
            best = size, u, chosen, payloads
        return size

    def is_short() -> bool:
        return best is not None and best[0] < (1 - TOLERANCE) * room

    u, slope = start.u, start.slope
    while len(points) < MAX_PLANS and high - low > 1:
        size = size_at(u)
        if size > room:
            high = u
        else:
            low = u
            words = 1 if len(points) <= PATIENCE else 2
            if size >= GOOD * room or size > room - words * WORD_BYTES or u == MAX_U:
                break
        aim = math.log2(max(AIM * room, 1))
        u = _secant(points, told, aim, slope) if len(points) < MAX_SECANTS else -1
        if not low < u < high:
            u = _between(points, low, high, aim, slope)
    if 0 <= low == high - 1 < MAX_U:
        for u in _around(low, high):
            if is_short() and u not in dict(points) and len(points) < MAX_PLANS:
                size_at(u)
    if best is None:
        return None
    _, u, chosen, payloads = best
    payloads = chosen.write() if payloads is None else payloads
    short = sum(map(len, payloads)) < (1 - TOLERANCE) * room
    return Found(u, payloads, limited=u == MAX_U and short)


def reach(
    measure: Callable[[int], float], wanted: float, start: int, slope: float, close: float
) -> Reached:
    """Return where a quality is as wanted, or the nearest to it that was found.

    Args:
        measure: rate parameter 0..65535 -> quality, dB; it grows with the rate.
        wanted: dB.
        start: rate parameter to try first.
        slope: dB for one step of u.
        close: dB by which it may be off.
    """
    low, high = -1, MAX_U + 1  # worse, better than wanted
    points: list[Point] = []
    u = min(max(start, 0), MAX_U)
    while high - low > 1 and len(points) < MAX_PLANS:
        points.append((u, min(measure(u), BEST_DB)))
        if abs(points[-1][1] - wanted) <= close:
            break
        if points[-1][1] < wanted:
            low = u
        else:
            high = u
        u = _secant(points, [], wanted, slope) if len(points) < MAX_SECANTS else -1
        if not low < u < high:
            u = min(max((low + high) // 2, 0), MAX_U)
    bracketed = 0 <= low and high <= MAX_U
    if bracketed or abs(points[-1][1] - wanted) <= UNEVEN * close:
        for u in _around(low, high):
            if abs(points[-1][1] - wanted) > close:
                points.append((u, min(measure(u), BEST_DB)))
    u, nearest = min(points, key=lambda point: abs(point[1] - wanted))
    best = max(quality for _, quality in points)
    return Reached(u, abs(nearest - wanted) > close, best < wanted - close)


def _around(low: int, high: int) -> list[int]:
    """Return places around a jump over what is wanted: sizes and qualities are as uneven there."""
    offsets = range(APART, (AROUND + 1) * APART, APART)
    places = [u for offset in offsets for u in (low - offset, high + offset)]
    return [u for u in places if 0 <= u <= MAX_U]


def better_guess(
    estimate: Callable[[int], Forecast], room: int, start: Guess
) -> tuple[Guess, list[Point], Forecast]:
    """Return a better guess at where payloads just fit, what it is known from, and the last of it.

    Args:
        estimate: rate parameter 0..65535 -> about how many bytes, there and at others.
        room: most bytes of all payloads.
        start: what to try first.
    """
    u = start.u
    points: list[Point] = []
    aim = math.log2(max(AIM * room, 1))
    while True:
        forecast = estimate(u)._replace(counted=start.counted)
        points.append((u, math.log2(max(forecast.num_bytes(u), 1))))
        if len(points) == 1:
            u = forecast.reaching(AIM * room)
        else:
            u = _secant(points, [], aim, start.slope)
        near = min(max(NEAR * forecast.bits_each, LEAST_NEAR), MOST_NEAR)
        told = abs(points[-1][1] - aim) < near
        if told or len(points) == MAX_ESTIMATES or u == points[-1][0]:
            return start._replace(u=u), points, forecast


def extrapolate(u: int, size: float, room: int, bpp: float) -> Guess:
    """Return where a picture that takes `size` bytes at `u` should take what is aimed at.

    Photographs near `bpp` grow alike, more or less.
    """
    octaves = OCTAVES - OCTAVES_MORE * math.log2(max(bpp, 1e-3))
    slope = min(max(octaves, OCTAVES / 2), MOST_OCTAVES) / MAX_U
    aim = math.log2(max(AIM * room, 1))
    return Guess(_secant([(u, math.log2(max(size, 1)))], [], aim, slope), slope)


def _between(points: Sequence[Point], low: int, high: int, aim: float, slope: float) -> int:
    """Return where to look inside of a bracket that the secant leaves.

    Where one end of it is unknown, a step beyond the other, the longer the more points there are;
    else the middle.

    Args:
        points: measured.
        low: the finest known to fit, -1: none.
        high: the coarsest known not to fit, MAX_U + 1: none.
        aim: log2 of the size.
        slope: octaves for one step of u.
    """
    sizes = dict(points)
    octaves = math.ldexp(STEP, len(points))
    if low < 0 and high in sizes:
        return max(high - 1 - round((octaves + sizes[high] - aim) / slope), (low + high) // 2)
    if high > MAX_U and low in sizes:
        return min(low + 1 + round((octaves + aim - sizes[low]) / slope), (low + high) // 2)
    return (low + high) // 2


def _secant(points: Sequence[Point], told: Sequence[Point], aim: float, slope: float) -> int:
    """Return where a quantity should be `aim`, from the nearest point, and another's slope to it.

    Points that differ little tell none: sizes are not quite smooth.

    Args:
        points: measured.
        told: further ones that only tell slopes.
        aim: of the quantity.
        slope: where no two points tell one.
    """
    (u, nearest), *others = sorted(points, key=lambda point: abs(point[1] - aim))
    for other, quantity in [*others, *told]:
        if abs(quantity - nearest) >= TELLING and other != u:
            found = (quantity - nearest) / (other - u)
            slope = min(max(found, slope / 3), slope * 3)
            break
    return min(max(round(u + (aim - nearest) / slope), 0), MAX_U)

"""Rate search: the rate parameter whose file just fits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

TOLERANCE = 0.02  # a file has at least this share less than it may have
AIM = 0.994  # of the room: the estimate is this exact, and the window is 0.98 to 1
MAX_PLANS = 24
MAX_U = 65535
OCTAVES = 8.8  # of the rate, from u = 0 to 1, on photographs
MIDDLE_RATE, MIDDLE_U = 1.0, 0.64  # bits per pixel that photographs have at this u


class Planned(Protocol):
    """Codes chosen for one rate parameter."""

    @property
    def estimated_bytes(self) -> float:
        """What they will take."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search."""

    u: int  # 0..65535
    payload: bytes
    limited: bool  # even the finest setting fits


P = TypeVar("P", bound=Planned)


def search(
    plan: Callable[[int], P], write: Callable[[P], bytes], room: int, rate: float
) -> Found | None:
    """Return the finest setting found whose payload has at most `room` bytes, or None.

    Settings are compared by estimates; the real coder runs on the chosen one, again only where
    the estimate was wrong.

    Args:
        plan: rate parameter 0..65535 -> codes and an estimate of their bytes.
        write: codes -> payload.
        room: most bytes of the payload.
        rate: bits per pixel asked, for the first guess.
    """
    low, high = -1, MAX_U + 1  # fits, does not fit
    low_bytes = high_bytes = math.nan
    best: tuple[int, bytes] | None = None
    guess = MIDDLE_U + math.log2(rate / MIDDLE_RATE) / OCTAVES
    u = min(max(round(guess * MAX_U), 0), MAX_U)
    for _ in range(MAX_PLANS):
        chosen = plan(u)
        size = chosen.estimated_bytes
        if size <= room * 1.003:
            payload = write(chosen)
            size = len(payload)
            if size <= room and (best is None or size > len(best[1])):
                best = u, payload
        if size <= room:
            low, low_bytes = u, size
            if size >= (1 - TOLERANCE / 2) * room or u == MAX_U:
                break
        else:
            high, high_bytes = u, size
        if high - low <= 1:
            break
        u = _next(low, high, low_bytes, high_bytes, room)
    if best is None:
        return None
    return Found(*best, limited=best[0] == MAX_U and len(best[1]) < (1 - TOLERANCE) * room)


def _next(low: int, high: int, low_bytes: float, high_bytes: float, room: int) -> int:
    """Return where the size should be AIM * room, if its logarithm is linear in u."""
    aim = math.log2(max(AIM * room, 1))
    slope = OCTAVES / MAX_U
    if low >= 0 and high <= MAX_U:
        slope = (math.log2(high_bytes) - math.log2(max(low_bytes, 1))) / (high - low)
        u = low + (aim - math.log2(max(low_bytes, 1))) / max(slope, 1e-9)
        # keep away from the ends, where a bent curve makes the steps shrink
        margin = (high - low) / 16
        u = min(max(u, low + margin), high - margin)
    elif low >= 0:
        u = low + (aim - math.log2(max(low_bytes, 1))) / slope
    else:
        u = high - (math.log2(high_bytes) - aim) / slope
    return min(max(round(u), low + 1), high - 1)

"""How many bits each step of the coding order takes: told from one rate parameter for another.

So the plan of a picture that has to fit knows, at each step, whether it takes more than its share,
and what follows counts its errors a little less or more. It fits at once, where otherwise a second
or third plan would be made.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.format.container import MAX_U
from imgcodec.model.tables import RATE_INDICES

CODER_BYTES = 3.0  # of each tile, beside its bits
STEP_OCTAVES = RATE_INDICES / 8  # by which steps are finer at u = 1 than at u = 0
# Octaves that a tile grows by for each octave of its steps, 2^(FIRST - LESS u), within 15 % on
# training pictures from 0.04 to 2.5 bits per pixel; those with few bits for each integer grow
# faster, as 1 / (bits + LEAST_BITS).
FIRST, LESS = 1.3, 1.8
LEAST_BITS = 0.37
SLICE = MAX_U / 128  # of u, in which growth counts as constant
# Octaves of bits for each octave that errors count more, of steps with few bits for each integer;
# fewer where there are more, 1 / (1 + ELASTICITY_LESS bits). On training pictures (trial 86).
ELASTICITY, ELASTICITY_LESS = 1.1, 9.0
MOST_FACTOR = 2.0
# What the octaves that coefficients above their steps tell count for, beside those of the steps:
# both together are off by 5 % from 0.2 to 0.5 octaves away, each alone by 7 % (trial 89).
COUNTED_SHARE = 0.3

Counted = Callable[[int], float]  # rate parameter -> octaves of a picture's size, but a constant


class Profile(NamedTuple):
    """What each step of the coding order of one tile takes at a rate parameter."""

    bits: NDArray[np.float64]  # (S,)
    numbers: NDArray[np.float64]  # (S,) of integers

    @property
    def elasticity(self) -> NDArray[np.float64]:
        """Octaves that each grows by for each octave that errors count more, (S,)."""
        found: NDArray[np.float64] = self.bits / np.maximum(self.numbers, 1)
        return ELASTICITY / (1 + ELASTICITY_LESS * found)

    def moved(self, start: int, end: int) -> "Profile":
        """Return about what each takes at another rate parameter than its own."""
        bits = np.maximum(self.bits, 1e-6)
        slices = max(1, round(abs(end - start) / SLICE))
        octaves = STEP_OCTAVES * (end - start) / MAX_U / slices
        for number in range(slices):
            u = (start + (end - start) * (number + 0.5) / slices) / MAX_U
            growth = 1 / (bits / np.maximum(self.numbers, 1) + LEAST_BITS)
            growth *= 2 ** (FIRST - LESS * u) * bits.sum() / (bits * growth).sum()
            bits = bits * np.exp2(growth * octaves)
        return self._replace(bits=bits)


class Pace:
    """How many bits the steps of one tile are to take, and by how much they are off so far."""

    def __init__(self, profile: Profile, total: float) -> None:
        """Take what each step takes about, and all of them together are to take."""
        self._left, self._elastic = (
            np.cumsum(bits[::-1])[::-1].tolist()
            for bits in (profile.bits, profile.elasticity * profile.bits)
        )
        self._total = total

    def factor(self, step: int, spent: float) -> float:
        """Return how many times errors count from a step on, before which some bits are spent."""
        left = self._left[step] if step < len(self._left) else 0.0
        wanted = self._total - spent
        if left <= 0 or wanted <= 0:
            return 1 / MOST_FACTOR if wanted < left else 1.0
        power = math.log(wanted / left) * left / self._elastic[step]
        most = math.log(MOST_FACTOR)
        return math.exp(min(max(power, -most), most))


class Forecast(NamedTuple):
    """What the tiles of a picture take at one rate parameter, and about at others."""

    u: int  # rate parameter
    tiles: Sequence[Profile]
    counted: Counted | None = None

    def moved(self, u: int) -> list[Profile]:
        """Return about what each tile takes at a rate parameter."""
        found = [tile.moved(self.u, u) for tile in self.tiles]
        before, after = (sum(float(tile.bits.sum()) for tile in of) for of in (self.tiles, found))
        if self.counted is None or not before:
            return found
        more = self.counted(u) - self.counted(self.u) - math.log2(after / before)
        return [tile._replace(bits=tile.bits * 2 ** (COUNTED_SHARE * more)) for tile in found]

    @property
    def bits_each(self) -> float:
        """Bits of an integer that is sent."""
        bits, numbers = (sum(map(np.sum, of)) for of in zip(*self.tiles, strict=True))
        return float(bits / max(numbers, 1))

    def num_bytes(self, u: int) -> float:
        """Return about how many bytes all tiles take at a rate parameter."""
        return sum(float(tile.bits.sum()) / 8 + CODER_BYTES for tile in self.moved(u))

    def reaching(self, num_bytes: float) -> int:
        """Return the rate parameter at which all tiles take about so many bytes."""
        low, high = 0, MAX_U
        while high - low > 1:
            u = (low + high) // 2
            low, high = (u, high) if self.num_bytes(u) <= num_bytes else (low, u)
        return high if self.num_bytes(high) <= num_bytes else low


class Aim(NamedTuple):
    """What the plans of all tiles are to take together."""

    forecast: Forecast
    num_bytes: float

    def paces(self, u: int) -> "Pacer":
        """Return the paces of the tiles at a rate parameter, one after the other."""
        return Pacer(self.forecast.moved(u), 8 * self.num_bytes)


class Pacer:
    """Hands out the paces of tiles in turn, and takes up what those before left."""

    def __init__(self, tiles: Sequence[Profile], total: float) -> None:
        """Take about how many bits each step of each tile takes, and what all are to take."""
        self._tiles = [float(tile.bits.sum()) + 8 * CODER_BYTES for tile in tiles]
        self._profiles = tiles
        self._total, self._spent = total, 0.0

    def paces(self, tiles: range) -> list[Pace]:
        """Return the paces of tiles that are planned together; those before them are planned."""
        each = (self._total - self._spent) / sum(self._tiles[tiles.start :])
        return [
            Pace(self._profiles[tile], each * self._tiles[tile] - 8 * CODER_BYTES)
            for tile in tiles
        ]

    def add(self, num_bytes: float) -> None:
        """Take what a tile needed."""
        self._spent += 8 * num_bytes

"""The coefficients of a component while they are coded, and the order of its places.

Coefficients of a component are planes, one a frequency in zigzag order, padded by one block of
zeros on each side. They are coded from the highest diagonal of frequencies to the lowest, in each
the places in three phases (rows and columns even; odd; the others), so that all that a place sees
is known to the decoder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.jpeg.syntax import ORDER

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

GROUPS = [[k for k in range(64) if sum(ORDER[k]) == d] for d in range(14, 0, -1)]
LIMIT = 127  # of what a network sees
_LOG = np.minimum(np.round(16 * np.log2(1 + np.arange(2**17))), LIMIT).astype(np.float32)


def squashed(magnitude: Integers) -> Floats:
    """Return 16 log2(1 + magnitude), at most 127."""
    return _LOG[np.minimum(magnitude, len(_LOG) - 1)]


@dataclass
class Component:
    """The coefficients of a component, and what was found of them so far.

    Args:
        values: int32 (65, h + 2, w + 2), in zigzag order; the border and the last plane are 0.
        steps: int64 (64,) the quantisation table in zigzag order.
        kind: 0 for the first component, 1 for the second, 2 for the third.
    """

    values: NDArray[np.int32]
    steps: Integers
    kind: int

    def __post_init__(self) -> None:
        """Make the maps that coding fills."""
        shape = self.values.shape[1:]
        self.height, self.width = shape[0] - 2, shape[1] - 2
        self.sizes = np.zeros(self.values.shape, np.uint8)  # squashed magnitudes
        self.pixels = np.zeros(self.values.shape, np.int16)  # values times steps, cut
        self.ends = np.zeros(shape, np.int64)  # number of the last one that is not 0
        self.energy = np.zeros(shape, np.float32)  # of the last diagonals
        self.count = np.zeros(shape, np.float32)  # that are not 0
        # What stands left and right, and above and below, of frequencies that are known: of sizes
        # the sums, of pixels the sums and the differences.
        self.size_sides = np.zeros((2, *self.values.shape), np.uint8)
        self.pixel_sums = np.zeros((2, *self.values.shape), np.int16)
        self.pixel_changes = np.zeros((2, *self.values.shape), np.int16)
        # Rows: energy, count and end of a place, of its four sides, of its four corners
        self.around = np.zeros((9, self.ends.size), np.uint8)

    @classmethod
    def empty(cls, height: int, width: int, steps: Integers, kind: int) -> "Component":
        """Return a component to be decoded."""
        return cls(np.zeros((65, height + 2, width + 2), np.int32), steps, kind)

    def put(self, k: Integers, at: Integers, values: Integers) -> None:
        """Fill in values: number of the frequency, place in the padded map, value."""
        flat = k * self.ends.size + at
        self.values.reshape(-1)[flat] = values
        sizes = squashed(np.abs(values))
        self.sizes.reshape(-1)[flat] = sizes
        self.pixels.reshape(-1)[flat] = np.clip(values * self.steps[k], -2047, 2047)

    def places(self, rows: Integers, columns: Integers) -> Integers:
        """Return places in the padded map."""
        found: Integers = (rows[:, None] + 1) * (self.width + 2) + columns + 1
        return found


def phases(component: Component) -> list[Integers]:
    """Return the places of the three phases."""
    rows, columns = np.arange(component.height), np.arange(component.width)
    even, odd = (
        component.places(rows[::2], columns[::2]),
        component.places(rows[1::2], columns[1::2]),
    )
    rest = [component.places(rows[::2], columns[1::2]), component.places(rows[1::2], columns[::2])]
    return [even.ravel(), odd.ravel(), np.concatenate([part.ravel() for part in rest])]


class Pass(NamedTuple):
    """The places of one pass of a lattice, and where their four neighbours are."""

    number: int
    distance: int
    rows: Integers  # (n,)
    columns: Integers  # (n,)
    around: Integers  # (4, 2, n): row and column of each; those outside are mirrored


def lattice(height: int, width: int) -> Iterator[Pass]:
    """Yield the passes that fill a map from coarse to fine; the first has no neighbours."""
    rows, columns = (
        a.ravel()
        for a in np.meshgrid(np.arange(0, height, 8), np.arange(0, width, 8), indexing="ij")
    )
    yield Pass(0, 8, rows, columns, np.zeros((4, 2, 0), np.int64))
    for number, d in ((1, 4), (3, 2), (5, 1)):
        odd_rows, odd_columns = np.arange(d, height, 2 * d), np.arange(d, width, 2 * d)
        even_rows, even_columns = np.arange(0, height, 2 * d), np.arange(0, width, 2 * d)
        grids = [[(odd_rows, odd_columns)], [(even_rows, odd_columns), (odd_rows, even_columns)]]
        offsets = [
            [(-d, -d), (-d, d), (d, -d), (d, d)],
            [(0, -d), (0, d), (-d, 0), (d, 0)],
        ]
        for later in (0, 1):
            pairs = [np.meshgrid(r, c, indexing="ij") for r, c in grids[later]]
            rows = np.concatenate([pair[0].ravel() for pair in pairs])
            columns = np.concatenate([pair[1].ravel() for pair in pairs])
            around = np.empty((4, 2, len(rows)), np.int64)
            for i, (dr, dc) in enumerate(offsets[later]):
                around[i, 0] = _mirrored(rows, dr, height)
                around[i, 1] = _mirrored(columns, dc, width)
            if later:  # at an edge that has neither side, the other direction has both
                lone_row = (rows == 0) & (d >= height)
                lone_column = (columns == 0) & (d >= width)
                around[2:, :, lone_row] = around[:2, :, lone_row]
                around[:2, :, lone_column] = around[2:, :, lone_column]
            yield Pass(number + later, d, rows, columns, around)


def _mirrored(at: Integers, step: int, size: int) -> Integers:
    moved = at + step
    return np.where((moved < 0) | (moved >= size), at - step, moved)

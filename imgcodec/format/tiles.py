"""Where tiles lie: the geometry of pictures that are coded in independent pieces."""

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

from imgcodec.errors import AicError, check_number
from imgcodec.format.container import MAX_EDGE, TILE_UNIT

WHOLE_PIXELS = 2**21  # a picture of at most so many is one tile, if nobody says otherwise
TYPICAL_EDGES = range(832, 1280, TILE_UNIT)  # of larger ones: the edge that fits best
# Pixels: tiles that lie in one square of this side go through the networks together. To decode
# one of 64 pixels alone, they look at 46 times as many.
SQUARE = 1024


class Box(NamedTuple):
    """A rectangle; bottom and right lie outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def grown(self, margin: int, height: int, width: int, grid: int = 1) -> "Box":
        """Return the box with a margin around it, cut by the edges of a map of that size.

        It begins at a multiple of `grid`, further out where it has to.
        """
        return Box(
            max(self.top - margin, 0) // grid * grid,
            max(self.left - margin, 0) // grid * grid,
            min(self.bottom + margin, height),
            min(self.right + margin, width),
        )

    def common(self, other: "Box") -> "Box":
        """Return what lies in both; its height and width are not positive if nothing does."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, origin: "Box") -> tuple[slice, slice]:
        """Return the slices of this box in an array that shows `origin`."""
        return (
            slice(self.top - origin.top, self.bottom - origin.top),
            slice(self.left - origin.left, self.right - origin.left),
        )

    def places(self, stride: int) -> "Box":
        """Return the box of the places of so many pixels that cover it."""
        return Box(
            self.top // stride,
            self.left // stride,
            -(-self.bottom // stride),
            -(-self.right // stride),
        )


def box_of(region: Sequence[int] | None, height: int, width: int) -> Box:
    """Return a region of a picture, left, top, width and height, as a box; None: all of it.

    Raises:
        AicError: it is no such thing, has no pixels, or leaves the picture.
    """
    if region is None:
        return Box(0, 0, height, width)
    try:  # numbers of NumPy would wrap
        left, top, columns, rows = map(operator.index, region)
    except (TypeError, ValueError) as error:
        raise AicError(f"region {region}, wanted left, top, width and height") from error
    named = f"region {left},{top},{columns},{rows}"
    if not (columns >= 1 and rows >= 1):
        raise AicError(f"{named} has no pixels")
    if min(left, top) < 0 or left + columns > width or top + rows > height:
        raise AicError(f"{named} leaves the picture, {width}x{height} pixels")
    return Box(top, left, top + rows, left + columns)


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of a picture, row by row."""

    height: int  # pixels
    width: int  # pixels
    edge: int  # pixels; 0: the whole picture is one tile

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return math.ceil(self.height / self.edge) if self.edge else 1

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return math.ceil(self.width / self.edge) if self.edge else 1

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self.rows * self.columns

    def box(self, row: int, column: int) -> Box:
        """Return the pixels of a tile."""
        edge = self.edge or max(self.height, self.width)
        top, left = row * edge, column * edge
        return Box(top, left, min(top + edge, self.height), min(left + edge, self.width))

    def boxes(self) -> Iterator[Box]:
        """Yield the pixels of each tile."""
        for row in range(self.rows):
            for column in range(self.columns):
                yield self.box(row, column)

    @property
    def squares(self) -> "Grid":
        """The squares of whole tiles that go together; a large tile is one."""
        return replace(self, edge=self.edge * max(1, SQUARE // self.edge)) if self.edge else self

    def number(self, row: int, column: int) -> int:
        """Return the number of a tile, row by row."""
        return row * self.columns + column

    def touched(self, region: Box) -> tuple[range, range]:
        """Return the rows and the columns of the tiles that have pixels in a region."""
        edge = self.edge or max(self.height, self.width)
        return (
            range(region.top // edge, -(-region.bottom // edge)),
            range(region.left // edge, -(-region.right // edge)),
        )


def plan_grid(height: int, width: int, edge: int | None = None) -> Grid:
    """Return the tiles in which a picture is coded.

    Args:
        height: of the picture, pixels.
        width: of the picture, pixels.
        edge: of a tile, a multiple of 64 up to 4096; None chooses one.

    Raises:
        AicError: there is no such edge.
    """
    if edge is None:
        if height * width <= WHOLE_PIXELS:
            return Grid(height, width, 0)
        # tiles that stick out little, so that none is a narrow strip; of equals the largest
        edge = min(TYPICAL_EDGES, key=lambda e: (_excess(height, e) + _excess(width, e), -e))
    check_number("tile", edge, f"a multiple of {TILE_UNIT}", Integral)
    if edge % TILE_UNIT or not 0 < edge <= MAX_EDGE:
        raise AicError(f"tile {edge}, wanted a multiple of {TILE_UNIT} up to {MAX_EDGE}")
    edge = int(edge)  # numbers of NumPy would overflow
    return Grid(height, width, edge if edge < max(height, width) else 0)


def _excess(side: int, edge: int) -> float:
    """Return by how much the tiles along a side stick out, as a share of it."""
    return math.ceil(side / edge) * edge / side - 1 if side > edge else 0.0

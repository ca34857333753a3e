"""Pictures that are kept as they are: tiles of lossless WebP, without a model.

For what a program drew: text, screenshots, charts. There the networks need more bits to come
close than it takes to be exact, since such pictures repeat themselves to the last bit.
"""

from collections.abc import Callable, Sequence

import numpy as np

from imgcodec.codec.results import Encoded, EncodeReport
from imgcodec.codec.source import Source
from imgcodec.errors import FormatError
from imgcodec.format import container
from imgcodec.format.container import Header
from imgcodec.format.tiles import Box, Grid, plan_grid
from imgcodec.pictures import vp8l
from imgcodec.pictures.arrays import ByteArray, as_colour
from imgcodec.target import Target

_EDGE = 1024  # pixels, of the tiles of a picture whose sides are too long for one
_UNKNOWN = 128  # of a tile that is damaged


def encode_lossless(
    source: Source,
    chunks: Sequence[container.Chunk],
    tile: int | None,
    target: Target,
) -> Encoded:
    """Return the file of a picture that keeps every pixel.

    Args:
        source: of its pixels.
        chunks: of the file.
        tile: edge of the tiles, see `plan_grid`.
        target: what was asked.
    """
    height, width = source.shape[:2]
    grid = grid_of(height, width, tile)
    header = Header(
        width=width,
        height=height,
        channels=1 if len(source.shape) == 2 else 3,
        entropy=0,
        u=0,
        tile=grid.edge // container.TILE_UNIT,
        model_id=container.NO_MODEL,
        method=container.LOSSLESS,
    )
    tiles = [vp8l.pack(source[box.slices]) for box in grid.boxes()]
    data = container.pack(header, tiles, chunks)
    report = EncodeReport(target, header.bpp(len(data)), container.MAX_U, lossless=True)
    return Encoded(data, report)


def grid_of(height: int, width: int, tile: int | None) -> Grid:
    """Return the tiles of such a file, see `plan_grid`."""
    grid = plan_grid(height, width, tile)
    if not grid.edge and max(height, width) > vp8l.MAX_SIDE:
        return plan_grid(height, width, _EDGE)
    return grid


def is_better(found: Encoded, exactly: Encoded, num_pixels: int) -> bool:
    """Whether a file with loss suits what is asked better than one without."""
    target, report = found.report.target, found.report
    if target.limits:
        return not target.allows(len(exactly), num_pixels)
    return len(found) < len(exactly) and not report.too_bad


class LosslessDecompressor:
    """A file of this kind on its way back to pixels; the like of `decompress.Decompressor`.

    Attributes:
        rows: of tiles that the region touches.
        damaged: number of a tile -> what is wrong.
        begun: of them, those of which a part is right; each is whole, or not there.
    """

    begun = frozenset[int]()

    def __init__(
        self, header: Header, tile: Callable[[int], bytes], region: Box, keep_going: bool
    ) -> None:
        """Prepare; see `Decompressor`."""
        self._grid = Grid(header.height, header.width, header.edge)
        self._tile, self._region, self._keep_going = tile, region, keep_going
        self._grey = header.channels == 1
        self.damaged: dict[int, str] = {}
        self.rows, self._columns = self._grid.touched(region)

    def strip(self, row: int) -> ByteArray:
        """Return what is wanted of a row of tiles, uint8 (h, w, 3).

        Raises:
            FormatError: a tile is damaged, and not to be filled with grey.
        """
        found = []
        for column in self._columns:
            box = self._grid.box(row, column)
            found.append(self._pixels(row, column, box)[box.common(self._region).within(box)])
        return np.concatenate(found, 1) if len(found) > 1 else np.ascontiguousarray(found[0])

    def _pixels(self, row: int, column: int, box: Box) -> ByteArray:
        number = self._grid.number(row, column)
        try:
            pixels = vp8l.unpack(self._tile(number), box.height, box.width)
        except FormatError as error:
            if not self._keep_going:
                raise
            self.damaged[number] = str(error)
            return np.full((box.height, box.width, 3), _UNKNOWN, np.uint8)
        return as_colour(pixels[..., 0]) if self._grey else pixels

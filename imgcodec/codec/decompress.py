"""Tiles' payloads -> pixels: rows of tiles, without seams, bounded in memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from imgcodec.codec import salvage
from imgcodec.codec.tile_codec import Codes, TileCodec
from imgcodec.errors import FormatError, TileError
from imgcodec.format.container import Header
from imgcodec.format.tiles import Box, Grid
from imgcodec.model import STRIDE, Dequantised
from imgcodec.pictures.arrays import ByteArray, as_grey


class Decompressor:
    """A file on its way back to pixels.

    The codes of a tile stand for themselves; the networks that make pixels of them look beyond
    its edges, into the codes of its neighbours, so that no seam is seen.
    """

    def __init__(
        self,
        tile_codec: TileCodec,
        header: Header,
        tile: Callable[[int], bytes],
        region: Box | None = None,
        keep_going: bool = False,
        share: float = 1.0,
    ) -> None:
        """Prepare; nothing is decoded yet.

        Args:
            tile_codec: of the weights that the header names.
            header: of the file.
            tile: gives the bytes of a tile, or raises FormatError.
            region: what is wanted, pixels; None: all.
            keep_going: whether a damaged tile is decoded as far as it is right, or filled from
                what lies around it.
            share: of the bits of each tile, after which the rest is left out.
        """
        self._tile_codec, self._header, self._tile = tile_codec, header, tile
        self._grid = Grid(header.height, header.width, header.edge)
        self._region = region or Box(0, 0, header.height, header.width)
        self._keep_going, self._share = keep_going, share
        self._kept: dict[tuple[int, int], Dequantised | None] = {}  # None: damaged
        self.damaged: dict[int, str] = {}  # number of a tile -> what is wrong
        self.begun: set[int] = set()  # of them, those that are decoded as far as they are right
        self.rows, _ = self._grid.touched(self._region)
        self._squares = self._grid.squares
        self._side = self._squares.edge // self._grid.edge if self._grid.edge else 1  # tiles
        self._last: tuple[int, Box, ByteArray] | None = None  # row of squares, box, pixels

    def strip(self, row: int) -> ByteArray:
        """Return what is wanted of a row of tiles, uint8 (h, w, 3).

        Rows are asked for in turn: codes are kept only as long as the next row needs them.

        Raises:
            FormatError: a tile is damaged, and not to be filled.
        """
        number = row // self._side
        if self._last is None or self._last[0] != number:
            self._last = None  # before there is more
            self._last = number, *self._row_of_squares(number)
        _, box, pixels = self._last
        return pixels[self._grid.box(row, 0).common(box).within(box)[0]]

    def tiles(self) -> Iterator[tuple[list[int], Dequantised]]:
        """Yield the codes of all tiles, of equal ones several at once, and their numbers.

        Raises:
            FormatError: a tile is damaged.
        """
        for keys, size in self._alike(range(self._grid.rows), range(self._grid.columns)):
            numbers = [self._grid.number(*key) for key in keys]
            codes = self._read([self._tile(number) for number in numbers], size)
            yield numbers, self._tile_codec.dequantise(codes, self._header.u)

    def _row_of_squares(self, row: int) -> tuple[Box, ByteArray]:
        """Return the box of what is wanted of a row of squares, and its pixels."""
        _, columns = self._squares.touched(self._region)
        boxes = [self._squares.box(row, column).common(self._region) for column in columns]
        strip = Box(boxes[0].top, self._region.left, boxes[0].bottom, self._region.right)
        first = self._tiles(self._seen(strip))[0].start - 1  # damaged ones ask those above
        self._kept = {key: tile for key, tile in self._kept.items() if key[0] >= first}
        if len(boxes) == 1:
            return strip, self._pixels(strip)
        pixels = np.empty((strip.height, strip.width, 3), np.uint8)
        for box in boxes:
            pixels[box.within(strip)] = self._pixels(box)
        return strip, pixels

    def _seen(self, box: Box) -> Box:
        """Return the places that the decoder's networks look at for a box of pixels."""
        config = self._tile_codec.model.config
        height, width = (-(-side // STRIDE) for side in (self._header.height, self._header.width))
        return box.places(STRIDE).grown(config.decoder_reach, height, width, config.decoder_grid)

    def _tiles(self, places: Box) -> tuple[range, range]:
        """Return the rows and columns of the tiles that a box of places touches."""
        whole = Box(0, 0, self._header.height, self._header.width)
        return self._grid.touched(Box(*(STRIDE * side for side in places)).common(whole))

    def _pixels(self, box: Box) -> ByteArray:
        """Return the pixels of a box."""
        outer = self._seen(box)
        seen = Box(*(STRIDE * side for side in outer))
        coded = self._gather(outer)
        pixels: ByteArray = self._tile_codec.synthesise(coded, self._header.u)[0][box.within(seen)]
        if self._header.channels == 1:
            pixels = np.repeat(as_grey(pixels)[..., None], 3, 2)
        return pixels

    def _gather(self, places: Box) -> Dequantised:
        """Return the codes of a box of places, from all tiles that it touches."""
        rows, columns = self._tiles(places)
        self._read_tiles(rows, columns)
        found: Dequantised | None = None
        for row in rows:
            for column in columns:
                tile = self._of_tile(row, column) or self._fill(row, column)
                own = self._grid.box(row, column).places(STRIDE)
                if own == places:
                    return tile
                if found is None:
                    found = Dequantised(
                        *(
                            part.new_empty(1, part.shape[1], places.height, places.width)
                            for part in tile
                        )
                    )
                common = own.common(places)
                for target, part in zip(found, tile, strict=True):
                    target[(..., *common.within(places))] = part[(..., *common.within(own))]
        if found is None:
            raise ValueError(f"{places} has no place in the picture")
        return found

    def _of_tile(self, row: int, column: int) -> Dequantised | None:
        """Return the codes of a tile, decoded once; None if it is damaged."""
        self._read_tiles([row], [column])
        return self._kept[row, column]

    def _read_tiles(self, rows: Sequence[int], columns: Sequence[int]) -> None:
        """Decode the codes of those tiles that are not kept, of equal ones several at once."""
        for keys, size in self._alike(rows, columns):
            self._read_alike(keys, size)

    def _alike(
        self, rows: Sequence[int], columns: Sequence[int]
    ) -> Iterator[tuple[Sequence[tuple[int, int]], tuple[int, int]]]:
        """Yield tiles that are not kept, those of equal size together, and how many places."""
        alike = defaultdict(list)
        for key in ((row, column) for row in rows for column in columns):
            if key not in self._kept:
                places = self._grid.box(*key).places(STRIDE)
                alike[places.height, places.width].append(key)
        # previews and single bits are read one by one
        whole = self._share >= 1 and self._tile_codec.model.config.expansion
        most = self._side**2 if whole else 1
        for size, keys in alike.items():
            for start in range(0, len(keys), most):
                yield keys[start : start + most], size

    def _read_alike(self, keys: Sequence[tuple[int, int]], size: tuple[int, int]) -> None:
        """Decode the codes of tiles of so many places; where that fails, one by one."""
        try:
            data = [self._tile(self._grid.number(*key)) for key in keys]
            codes = self._read(data, size)
        except FormatError as error:
            if len(keys) > 1:
                for key in keys:
                    self._read_alike([key], size)
                return
            if not self._keep_going:
                raise
            number = self._grid.number(*keys[0])
            self.damaged[number] = str(error)
            self._kept[keys[0]] = found = self._beginning(error, size)
            if found is not None:
                self.begun.add(number)
            return
        for i, key in enumerate(keys):
            own = Codes(codes.levels[i : i + 1], [part[i : i + 1] for part in codes.parts])
            self._kept[key] = self._tile_codec.dequantise(own, self._header.u)

    def _beginning(self, error: FormatError, size: tuple[int, int]) -> Dequantised | None:
        """Return the codes of a tile as far as they are right, None where that is not far."""
        if not isinstance(error, TileError):
            return None
        u, raw = self._header.u, self._header.raw
        try:
            codes = salvage.beginning(self._tile_codec, error, u, size, raw, self._share)
        except FormatError:
            return None
        return self._tile_codec.dequantise(codes, u)

    def _fill(self, row: int, column: int) -> Dequantised:
        """Return codes for a damaged tile: the block means of its neighbours, blended."""
        edges: list[Tensor | None] = []
        for dr, dc, line in (
            (-1, 0, (..., slice(-1, None), slice(None))),
            (1, 0, (..., slice(1), slice(None))),
            (0, -1, (..., slice(None), slice(-1, None))),
            (0, 1, (..., slice(None), slice(1))),
        ):
            r, c = row + dr, column + dc
            inside = 0 <= r < self._grid.rows and 0 <= c < self._grid.columns
            found = self._of_tile(r, c) if inside else None
            edges.append(None if found is None else found.y_hat[line])
        places = self._grid.box(row, column).places(STRIDE)
        return self._tile_codec.blend(edges, places.height, places.width)

    def spent(self, row: int, column: int) -> tuple[Tensor, Tensor]:
        """Return levels and bits of each place of a tile, (h, w) each."""
        places = self._grid.box(row, column).places(STRIDE)
        data = self._tile(self._grid.number(row, column))
        codes = self._read([data], (places.height, places.width))
        return codes.levels[0, 0], self._tile_codec.bits(codes, self._header.u)

    def _read(self, data: Sequence[bytes], size: tuple[int, int]) -> Codes:
        us, raw = [self._header.u] * len(data), self._header.raw
        return self._tile_codec.read(data, us, size, raw, self._share)

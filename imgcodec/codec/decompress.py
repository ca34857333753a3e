"""Tiles' payloads -> pixels: rows of tiles, without seams, bounded in memory."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from imgcodec.codec.tile_codec import Codes, TileCodec
from imgcodec.errors import FormatError
from imgcodec.format.container import ENTROPIES, Header
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
        region: Box,
        keep_going: bool = False,
        share: float = 1.0,
    ) -> None:
        """Prepare; nothing is decoded yet.

        Args:
            tile_codec: of the weights that the header names.
            header: of the file.
            tile: gives the bytes of a tile, or raises FormatError.
            region: what is wanted, pixels.
            keep_going: whether a damaged tile is filled from what lies around it.
            share: of the bits of each tile, after which the rest is left out.
        """
        self._tile_codec, self._header, self._tile = tile_codec, header, tile
        self._grid = Grid(header.height, header.width, header.edge)
        self._region, self._keep_going, self._share = region, keep_going, share
        self._kept: dict[tuple[int, int], Dequantised | None] = {}  # None: damaged
        self.damaged: dict[int, str] = {}  # number of a tile -> what is wrong
        self.rows, self._columns = self._grid.touched(region)

    def strip(self, row: int) -> ByteArray:
        """Return what is wanted of a row of tiles, uint8 (h, w, 3).

        Rows are asked for in turn: codes are kept only as long as the next row needs them.

        Raises:
            FormatError: a tile is damaged, and not to be filled.
        """
        self._kept = {key: tile for key, tile in self._kept.items() if key[0] >= row - 2}
        boxes = [self._grid.box(row, column).common(self._region) for column in self._columns]
        strip = Box(boxes[0].top, self._region.left, boxes[0].bottom, self._region.right)
        if len(boxes) == 1:
            return self._pixels(strip)
        pixels = np.empty((strip.height, strip.width, 3), np.uint8)
        for box in boxes:
            pixels[box.within(strip)] = self._pixels(box)
        return pixels

    def dequantised(self, row: int, column: int) -> Dequantised:
        """Return the codes of a tile; FormatError where it is damaged."""
        return self._of_tile(row, column) or self._fill(row, column)

    def _pixels(self, box: Box) -> ByteArray:
        """Return the pixels of a box, which lies in one tile."""
        config = self._tile_codec.model.config
        height, width = (-(-side // STRIDE) for side in (self._header.height, self._header.width))
        outer = box.places(STRIDE).grown(config.decoder_reach, height, width, config.decoder_grid)
        seen = Box(*(STRIDE * side for side in outer))
        coded = self._gather(outer)
        pixels: ByteArray = self._tile_codec.synthesise(coded, self._header.u)[0][box.within(seen)]
        if self._header.channels == 1:
            pixels = np.repeat(as_grey(pixels)[..., None], 3, 2)
        return pixels

    def _gather(self, places: Box) -> Dequantised:
        """Return the codes of a box of places, from all tiles that it touches."""
        whole = Box(0, 0, self._header.height, self._header.width)
        region = Box(*(STRIDE * side for side in places)).common(whole)
        rows, columns = self._grid.touched(region)
        found: Dequantised | None = None
        for row in rows:
            for column in columns:
                tile = self.dequantised(row, column)
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
        key = row, column
        if key not in self._kept:
            places = self._grid.box(row, column).places(STRIDE)
            number = row * self._grid.columns + column
            try:
                data = self._tile(number)
                self._kept[key] = self._decode(data, places.height, places.width)
            except FormatError as error:
                if not self._keep_going:
                    raise
                self._kept[key] = None
                self.damaged[number] = str(error)
        return self._kept[key]

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
        data = self._tile(row * self._grid.columns + column)
        codes = self._read(data, places.height, places.width)
        return codes.levels[0, 0], self._tile_codec.bits(codes, self._header.u)

    def _decode(self, data: bytes, rows: int, columns: int) -> Dequantised:
        return self._tile_codec.dequantise(self._read(data, rows, columns), self._header.u)

    def _read(self, data: bytes, rows: int, columns: int) -> Codes:
        raw = ENTROPIES[self._header.entropy] == "none"
        return self._tile_codec.read([data], self._header.u, (rows, columns), raw, self._share)

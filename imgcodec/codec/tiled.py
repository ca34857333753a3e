"""Pictures of many tiles, and those that are known from a file only: some tiles at a time."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from imgcodec.codec.decompress import Decompressor
from imgcodec.codec.detail import unheld
from imgcodec.codec.pace import Aim, Forecast, Profile
from imgcodec.codec.plan import Plan
from imgcodec.codec.quality import Strips
from imgcodec.codec.rate_guess import guess
from imgcodec.codec.rate_search import Guess, extrapolate
from imgcodec.codec.source import Source, to_encode
from imgcodec.codec.tile_codec import Latents, Prepared, TileCodec
from imgcodec.format.container import Header
from imgcodec.format.tiles import Box, Grid
from imgcodec.model import STRIDE, Dequantised
from imgcodec.pictures.arrays import ByteArray, as_colour, pad, shaped_like
from imgcodec.pictures.roi import Roi

GUESSING_SQUARES = 6

Places = tuple[slice, slice]


class Tiled:
    """A picture of many tiles: little is kept of some while others are worked on.

    Those that fill a square go through the encoder together, with what lies around it.
    """

    refined_kind = None

    def __init__(
        self,
        tile_codec: TileCodec,
        source: Source,
        header: Header,
        roi: Roi | None,
        effort: int,
    ) -> None:
        """Take the picture, what its file will say of it, and where bits should go."""
        self._tile_codec, self._source, self._header = tile_codec, source, header
        self._grid = Grid(header.height, header.width, header.edge)
        self._squares = self._grid.squares
        self._raw, self._roi, self._effort = header.raw, roi, effort
        self.unheld: float | None = None
        self._levels: list[Tensor | None] = [None] * len(self._squares)
        self._last: tuple[int, _Written] | None = None  # u, and what was written of it
        # one window of attention; all that the encoder sees would gain nothing (trial 53)
        self._halo = STRIDE * tile_codec.model.config.attention_window  # pixels

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        boxes = list(self._squares.boxes())
        chosen = boxes[:: -(-len(boxes) // GUESSING_SQUARES)]
        pixels = sum(box.height * box.width for box in chosen)
        share = pixels / (self._grid.height * self._grid.width)
        tiles = [self._prepare(box).t for box in chosen]
        return guess(self._tile_codec.model, self._tile_codec.tune, tiles, share * room)

    def renew(self, u: int, *, new_levels: bool = False) -> None:
        """See `Compressor`: nothing but levels is kept."""
        if new_levels:
            self._levels, self._last = [None] * len(self._squares), None

    def correct(self, u: int) -> None:
        """See `Compressor`: nothing is kept."""

    def refine(self, u: int) -> None:
        """See `Compressor`: nothing is kept."""

    def recognise(self, u: int) -> bool:
        """See `Compressor`: nothing is kept."""
        return False

    def estimate(self, u: int) -> Forecast:
        """See `Compressor`."""
        tiles: list[Profile] = []
        for number, square in enumerate(self._squares.boxes()):
            _, latents = self._analysed(number, square, u)
            for _, places in self._alike(square):
                tiles += _forecasts(self._tile_codec, _cut(latents, places), u, self._raw)
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        if self._last is not None and aim is None and self._last[0] == u:
            return self._last[1]
        made = _Written(self._tile_codec, u, self._raw, aim)
        errors = 0.0
        for number, square in enumerate(self._squares.boxes()):
            prepared, latents = self._refined(number, square, u)
            for numbers, places in self._alike(square):
                plans = made.add(_cut(latents, places), numbers)
                for tile, plan, inner in zip(numbers, plans, places, strict=True):
                    t, y, levels = (found[(..., *inner)] for found in (prepared.t, *latents))
                    error = unheld(self._tile_codec.model, t, y, levels, plan.parts, u)
                    box = self._grid.box(*divmod(tile, self._grid.columns))
                    errors += math.nan if error is None else error * box.height * box.width
        mean = errors / (self._grid.height * self._grid.width)
        self.unheld = None if math.isnan(mean) else mean
        self._last = None if aim else (u, made)
        return made

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`."""
        payloads = self.plan(u).write()
        work = Decompressor(self._tile_codec, replace(self._header, u=u), payloads.__getitem__)
        strips = Strips(kind, self._source.shape)
        for row in range(self._squares.rows):
            original = self._strip(row)
            box = self._squares.box(row, 0)
            rows, _ = self._grid.touched(box)
            decoded = np.concatenate([work.strip(own) for own in rows])
            strips.take(original, shaped_like(decoded, original))
        return strips.decibels

    def _strip(self, row: int) -> ByteArray:
        """Return the pixels of a row of squares as they are encoded.

        What cannot be seen of a source is filled by what is around it in the window that is read.
        """
        parts = []
        for column in range(self._squares.columns):
            box = self._squares.box(row, column)
            outer = self._outer(box)
            parts.append(self._source[outer.slices][box.within(outer)])
        return np.concatenate(parts, 1)

    def _refined(self, number: int, square: Box, u: int) -> tuple[Prepared, Latents]:
        """Return what `_analysed` does, the latents refined as is asked."""
        prepared, latents = self._analysed(number, square, u)
        latents = self._tile_codec.approach(prepared, latents, u, self._effort) or latents
        if self._tile_codec.refined_kind(prepared):
            for done in range(self._effort - 1 + self._tile_codec.corrects(prepared)):
                choose = self._tile_codec.plan if done else self._tile_codec.roughly
                plans = choose(latents, u, self._raw)
                levels_too = self._roi is None  # whose levels say what counts
                latents = self._tile_codec.refine(prepared, latents, plans, u, done, levels_too)
        return prepared, latents

    def _analysed(self, number: int, square: Box, u: int) -> tuple[Prepared, Latents]:
        """Return a square with its halo, and its latents."""
        prepared = self._prepare(square)
        shifts = None
        if self._roi is not None:
            shifts = self._roi.within(self._outer(square).places(STRIDE))
        latents = self._tile_codec.latents(prepared, u, self._levels[number], shifts)
        self._levels[number] = latents.levels
        return prepared, latents

    def _prepare(self, square: Box) -> Prepared:
        """Analyse a square with its halo."""
        pixels = as_colour(to_encode(self._source, self._outer(square).slices))
        return self._tile_codec.analyse(pad(pixels, STRIDE)[None])

    def _outer(self, square: Box) -> Box:
        """Return a square with its halo."""
        return square.grown(self._halo, self._grid.height, self._grid.width)

    def _alike(self, square: Box) -> Iterable[tuple[list[int], list[Places]]]:
        """Return the tiles of a square, those of one size together: numbers, and where they are.

        The latter are slices of the places of the square with its halo.
        """
        outer = self._outer(square).places(STRIDE)
        alike: dict[tuple[int, int], tuple[list[int], list[Places]]] = defaultdict(
            lambda: ([], [])
        )
        rows, columns = self._grid.touched(square)
        for row in rows:
            for column in columns:
                own = self._grid.box(row, column).places(STRIDE)
                numbers, places = alike[own.height, own.width]
                numbers.append(self._grid.number(row, column))
                places.append(own.within(outer))
        return alike.values()


class Recoded:
    """A picture that is known from a file only: its latents are rounded once more, coarser."""

    refined_kind = None
    unheld = None

    def __init__(
        self,
        tile_codec: TileCodec,
        tiles: Iterable[tuple[list[int], Dequantised]],
        u: int,
        size: int,
        rate: float,
        raw: bool,
    ) -> None:
        """Take the codes of tiles, and their file's u and size in bytes; rate is asked.

        Those of one size may come together, with their numbers.
        """
        self._tile_codec, self._raw = tile_codec, raw
        self._tiles = [(numbers, Latents(tile.y_hat, tile.levels)) for numbers, tile in tiles]
        self._u, self._size, self._rate = u, size, rate

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        return extrapolate(self._u, self._size, room, self._rate)

    def renew(self, u: int, *, new_levels: bool = False) -> None:
        """See `Compressor`: there is no picture to compute others from."""

    def correct(self, u: int) -> None:
        """See `Compressor`: there is no picture to fit them to."""

    def refine(self, u: int) -> None:
        """See `Compressor`: nor here."""

    def recognise(self, u: int) -> bool:
        """See `Compressor`: its codes are known, and rounded once more."""
        return False

    def estimate(self, u: int) -> Forecast:
        """See `Compressor`."""
        tiles: list[Profile] = []
        for _, some in self._tiles:
            tiles += _forecasts(self._tile_codec, some, u, self._raw)
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        made = _Written(self._tile_codec, u, self._raw, aim)
        for numbers, some in self._tiles:
            made.add(some, numbers)
        return made

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`: there is no picture to compare with."""
        raise NotImplementedError


class _Written:
    """The payloads of all tiles, of which some are planned at a time."""

    def __init__(self, tile_codec: TileCodec, u: int, raw: bool, aim: Aim | None) -> None:
        self._tile_codec, self._u, self._raw = tile_codec, u, raw
        self._pacer = None if aim is None else aim.paces(u)
        self._payloads: dict[int, bytes] = {}  # number of a tile -> what is stored of it
        self.profiles: list[Profile] = []  # in the order in which they were planned
        self.estimated_bytes = 0.0  # which are known

    def add(self, latents: Latents, numbers: Sequence[int]) -> list[Plan]:
        """Code the next tiles, all of one size, and return what was chosen of them."""
        done = len(self._payloads)
        tiles = range(done, done + len(numbers))
        paces = None if self._pacer is None else self._pacer.paces(tiles)
        plans = self._tile_codec.plan(latents, [self._u] * len(numbers), self._raw, paces)
        for number, plan in zip(numbers, plans, strict=True):
            payload = plan.payload()
            self._payloads[number] = payload
            self.profiles.append(plan.profile())
            self.estimated_bytes += len(payload)
            if self._pacer is not None:
                self._pacer.add(len(payload))
        return plans

    def write(self) -> Sequence[bytes]:
        """See `Planned`."""
        return [self._payloads[number] for number in range(len(self._payloads))]


def _forecasts(tile_codec: TileCodec, latents: Latents, u: int, raw: bool) -> list[Profile]:
    """Return about what each of some tiles takes."""
    plans = tile_codec.roughly(latents, [u] * len(latents.levels), raw)
    return [tile_codec.forecast(plan, latents) for plan in plans]


def _cut(latents: Latents, places: Sequence[Places]) -> Latents:
    """Return the latents of parts of equal size, one after the other."""
    return Latents(*(torch.cat([found[(..., *inner)] for inner in places]) for found in latents))

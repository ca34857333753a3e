"""Pictures of many tiles, and those that are known from a file only: tile by tile, in order."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
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
from imgcodec.format.container import ENTROPIES, Header
from imgcodec.format.tiles import Box, Grid
from imgcodec.model import STRIDE, Dequantised
from imgcodec.pictures.arrays import ByteArray, as_colour, pad, shaped_like
from imgcodec.pictures.roi import Roi

GUESSING_TILES = 6


class Tiled:
    """A picture of many tiles: little is kept of one while another is worked on."""

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
        self._raw = ENTROPIES[header.entropy] == "none"
        self._roi, self._effort = roi, effort
        self.unheld: float | None = None
        self._levels: list[Tensor | None] = [None] * len(self._grid)
        self._last: tuple[int, _Written] | None = None  # u, and what was written of it
        # one window of attention; all that the encoder sees would gain nothing (trial 53)
        self._halo = STRIDE * tile_codec.model.config.attention_window  # pixels

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        boxes = list(self._grid.boxes())
        chosen = boxes[:: -(-len(boxes) // GUESSING_TILES)]
        pixels = sum(box.height * box.width for box in chosen)
        share = pixels / (self._grid.height * self._grid.width)
        tiles = [self._prepare(box)[0].t for box in chosen]
        return guess(self._tile_codec.model, self._tile_codec.tune, tiles, share * room)

    def renew(self, u: int, *, new_levels: bool = False) -> None:
        """See `Compressor`: nothing but levels is kept."""
        if new_levels:
            self._levels, self._last = [None] * len(self._grid), None

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
        for number, box in enumerate(self._grid.boxes()):
            _, inner, latents = self._analysed(number, box, u)
            tiles.append(_forecast(self._tile_codec, _cut(latents, inner), u, self._raw))
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        if self._last is not None and aim is None and self._last[0] == u:
            return self._last[1]
        made = _Written(self._tile_codec, u, self._raw, aim)
        errors = 0.0
        for number, box in enumerate(self._grid.boxes()):
            prepared, inner, latents = self._refined(number, box, u)
            own = _cut(latents, inner)
            plan = made.add(own)
            error = unheld(self._tile_codec.model, prepared.t[(..., *inner)], *own, plan.parts, u)
            errors += math.nan if error is None else error * box.height * box.width
        mean = errors / (self._grid.height * self._grid.width)
        self.unheld = None if math.isnan(mean) else mean
        self._last = None if aim else (u, made)
        return made

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`."""
        payloads = self.plan(u).write()
        whole = Box(0, 0, self._grid.height, self._grid.width)
        header = replace(self._header, u=u)
        work = Decompressor(self._tile_codec, header, payloads.__getitem__, whole)
        strips = Strips(kind, self._source.shape)
        for row in work.rows:
            original = self._strip(row)
            strips.take(original, shaped_like(work.strip(row), original))
        return strips.decibels

    def _strip(self, row: int) -> ByteArray:
        """Return the pixels of a row of tiles as they are encoded.

        What cannot be seen of a source is filled by what is around it in the window that is read.
        """
        parts = []
        for column in range(self._grid.columns):
            box = self._grid.box(row, column)
            outer = self._outer(box)
            parts.append(self._source[outer.slices][box.within(outer)])
        return np.concatenate(parts, 1)

    def _refined(
        self, number: int, box: Box, u: int
    ) -> tuple[Prepared, tuple[slice, slice], Latents]:
        """Return what `_analysed` does, the latents refined as is asked."""
        prepared, inner, latents = self._analysed(number, box, u)
        if self._tile_codec.refined_kind(prepared):
            for done in range(self._effort - 1 + self._tile_codec.corrects(prepared)):
                choose = self._tile_codec.plan if done else self._tile_codec.roughly
                plans = choose(latents, u, self._raw)
                latents = self._tile_codec.refine(prepared, latents, plans, u, done)
        return prepared, inner, latents

    def _outer(self, box: Box) -> Box:
        """Return a tile with its halo."""
        return box.grown(self._halo, self._grid.height, self._grid.width)

    def _analysed(
        self, number: int, box: Box, u: int
    ) -> tuple[Prepared, tuple[slice, slice], Latents]:
        """Return a tile with its halo, where its own places are, and its latents."""
        prepared, inner = self._prepare(box)
        shifts = None
        if self._roi is not None:
            shifts = self._roi.within(self._outer(box).places(STRIDE))
        latents = self._tile_codec.latents(prepared, u, self._levels[number], shifts)
        self._levels[number] = latents.levels
        return prepared, inner, latents

    def _prepare(self, box: Box) -> tuple[Prepared, tuple[slice, slice]]:
        """Analyse a tile with its halo; return where the tile's own places are, too."""
        outer = self._outer(box)
        pixels = as_colour(to_encode(self._source, outer.slices))
        prepared = self._tile_codec.analyse(pad(pixels, STRIDE)[None])
        return prepared, box.places(STRIDE).within(outer.places(STRIDE))


class Recoded:
    """A picture that is known from a file only: its latents are rounded once more, coarser."""

    refined_kind = None
    unheld = None

    def __init__(
        self,
        tile_codec: TileCodec,
        tiles: Sequence[Dequantised],
        u: int,
        size: int,
        rate: float,
        raw: bool,
    ) -> None:
        """Take the codes of each tile, and their file's u and size in bytes; rate is asked."""
        self._tile_codec, self._raw = tile_codec, raw
        self._tiles = [Latents(tile.y_hat, tile.levels) for tile in tiles]
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
        tiles = [_forecast(self._tile_codec, tile, u, self._raw) for tile in self._tiles]
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        made = _Written(self._tile_codec, u, self._raw, aim)
        for tile in self._tiles:
            made.add(tile)
        return made

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`: there is no picture to compare with."""
        raise NotImplementedError


class _Written:
    """The payloads of all tiles, which come one after the other."""

    def __init__(self, tile_codec: TileCodec, u: int, raw: bool, aim: Aim | None) -> None:
        self._tile_codec, self._u, self._raw = tile_codec, u, raw
        self._pacer = None if aim is None else aim.paces(u)
        self._payloads: list[bytes] = []
        self.profiles: list[Profile] = []
        self.estimated_bytes = 0.0  # which are known

    def add(self, latents: Latents) -> Plan:
        """Code the next tile, and return what was chosen of it."""
        paces = None if self._pacer is None else [self._pacer.pace(len(self._payloads))]
        (plan,) = self._tile_codec.plan(latents, self._u, self._raw, paces)
        self._payloads.append(plan.payload())
        self.profiles.append(plan.profile())
        self.estimated_bytes += len(self._payloads[-1])
        if self._pacer is not None:
            self._pacer.add(len(self._payloads[-1]))
        return plan

    def write(self) -> Sequence[bytes]:
        """See `Planned`."""
        return self._payloads


def _forecast(tile_codec: TileCodec, latents: Latents, u: int, raw: bool) -> Profile:
    """Return about what a tile takes."""
    (rough,) = tile_codec.roughly(latents, u, raw)
    return tile_codec.forecast(rough, latents)


def _cut(latents: Latents, inner: tuple[slice, slice]) -> Latents:
    """Return the latents of some of the places."""
    return Latents(*(part[(..., *inner)] for part in latents))

"""Pixels -> tiles' payloads, at the rate parameter that reaches what is asked."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.codec.detail import limit_db, unheld
from imgcodec.codec.measured import SIDES, Quality
from imgcodec.codec.pace import Aim, Forecast, Profile
from imgcodec.codec.plan import Plan
from imgcodec.codec.rate_guess import guess
from imgcodec.codec.rate_search import (
    AIM,
    Found,
    Guess,
    Planned,
    Reached,
    approach,
    extrapolate,
    reach,
    search,
)
from imgcodec.codec.recognise import recognise
from imgcodec.codec.target import Target
from imgcodec.codec.tile_codec import Latents, Prepared, TileCodec, Values
from imgcodec.entropy.range_coder import RangeEncoder, RawEncoder
from imgcodec.format.container import MAX_U
from imgcodec.format.tiles import Box, Grid
from imgcodec.model import STRIDE, Codes
from imgcodec.pictures.arrays import as_colour, as_grey, pad
from imgcodec.pictures.roi import Roi
from imgcodec.runtime.stopwatch import stage

Pixels = NDArray[np.uint8]
SAME_LATENTS = MAX_U // 20  # difference of u over which latents are computed anew
GUESSING_TILES = 6
# Quality in dB of photographs at u = 0.5, and its growth from u = 0 to 1.
TYPICAL_QUALITY = {"psnr": (31.0, 29.0), "ms_ssim": (16.0, 23.0), "ssimulacra2": (3.5, 25.0)}


class Source(Protocol):
    """What pictures are read from: a uint8 array (H, W, 3) or (H, W), or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3) or (H, W)."""

    @property
    def dtype(self) -> Any:
        """Of the samples: uint8."""

    def __getitem__(self, window: tuple[slice, slice], /) -> Pixels:
        """Return rows and columns."""


class Unrounded:
    """A picture of which the pixels are known as they were before they were rounded."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: Pixels, unrounded: NDArray[np.float16]) -> None:
        """Take both, of one shape."""
        self._pixels, self.unrounded = pixels, unrounded
        self.shape = pixels.shape

    def __getitem__(self, window: tuple[slice, slice], /) -> Pixels:
        """Return rows and columns, rounded."""
        return self._pixels[window]


def _to_encode(source: Source, window: tuple[slice, slice]) -> NDArray[Any]:
    """Return rows and columns as the encoder wants them: not rounded, where that is known."""
    if isinstance(source, Unrounded):
        return source.unrounded[window]
    return source[window]


class Compressor(Protocol):
    """A picture on its way into a file."""

    def guess(self, room: int) -> Guess:
        """Return where the payloads should have about so many bytes."""

    def renew(self, u: int) -> None:
        """Compute latents that are kept for this rate parameter, and the rates near it."""

    @property
    def refines(self) -> str | None:
        """The quality that `refine` raises, see `target.KINDS`; None where it does nothing."""

    def refine(self, u: int) -> None:
        """Fit latents that are kept to the picture, as `plan(u)` shows it."""

    def recognise(self, u: int) -> bool:
        """Take the codes of the file that the picture was decoded from, if it was and at u."""

    def estimate(self, u: int) -> Forecast:
        """Return about how many bytes `plan(u)` takes, sooner than it does."""

    def plan(self, u: int, aim: Aim | None = None) -> Planned:
        """Choose the codes for a rate parameter; they come close to what is aimed at."""

    def quality(self, u: int, kind: str) -> float:
        """Return a measured quality in dB, see `Target`, of what is decoded from `plan(u)`."""

    @property
    def unheld(self) -> float | None:
        """The error by detail that the last plan could not hold, see `codec.detail`."""


def detail_limit_db(compressor: Compressor, u: int) -> float | None:
    """Return the PSNR that a picture's detail leaves it at a rate parameter, where too low."""
    middle, growth = TYPICAL_QUALITY["psnr"]
    return limit_db(compressor.unheld, middle + growth * (u / MAX_U - 0.5))


def compress_at(compressor: Compressor, target: Target, effort: int) -> Found:
    """Return the payloads of a picture at a trade-off, or at a quality.

    Args:
        compressor: what `Whole` or `Tiled` made of the picture.
        target: quality, or one that is measured.
        effort: 1..9.
    """
    slope = 0.0
    if target.measured:

        def measure(u: int) -> float:
            compressor.renew(u)
            return compressor.quality(u, target.kind)

        middle, growth = TYPICAL_QUALITY[target.kind]
        start = round((0.5 + (target.decibels - middle) / growth) * MAX_U)
        slope = growth / MAX_U
        found = reach(measure, target.decibels, start, slope, target.close_db)
    else:
        found = Reached(target.u, missed=False, too_bad=False)
    u = found.u
    compressor.renew(u)
    known = not target.measured and compressor.recognise(u)
    if compressor.refines and effort > 1 and not known:
        for _ in range(effort - 1):
            compressor.refine(u)
        if target.measured:
            found = reach(
                lambda u: compressor.quality(u, target.kind),
                target.decibels, u, slope, target.close_db,
            )  # fmt: skip
    return Found(found.u, compressor.plan(found.u).write(), found.missed, found.too_bad)


def compress_within(compressor: Compressor, room: int, effort: int) -> Found | None:
    """Return the payloads of a picture, together at most `room` bytes; None: none is so small.

    Args:
        compressor: what `Whole` or `Tiled` made of the picture.
        room: bytes.
        effort: 1..9.
    """

    def estimate(u: int) -> Forecast:
        compressor.renew(u)
        return compressor.estimate(u)

    start, told, forecast = approach(estimate, room, compressor.guess(room))
    aim = Aim(forecast, AIM * room)

    def plan(u: int) -> Planned:
        nonlocal aim
        if not u:
            return compressor.plan(u)  # the least that is told of is that of u = 0
        planned = compressor.plan(u, aim)
        aim = Aim(Forecast(u, planned.profiles), AIM * room)  # which knows more than an estimate
        return planned

    if abs(start.u - forecast.u) > SAME_LATENTS:
        compressor.renew(start.u)
    found = search(plan, room, start, told)
    if found is None:  # latents for another rate may need a few bytes more
        compressor.renew(0)
        found = search(compressor.plan, room, start._replace(u=0))
    kind = compressor.refines
    if found is None or effort == 1 or kind is None:
        return found
    # what is refined at one u is worth less at another: go on while files become better
    best = compressor.quality(found.u, kind)
    for _ in range(effort - 1):
        compressor.refine(found.u)
        again = search(plan, room, start._replace(u=found.u))
        if again is None or (quality := compressor.quality(again.u, kind)) <= best:
            break
        found, best = again, quality
    return found


class Whole:
    """A picture that is one tile: latents are kept while the rate is searched."""

    def __init__(self, tile_codec: TileCodec, source: Source, raw: bool, roi: Roi | None) -> None:
        """Take the picture, whether bits are stored raw, and where they should go."""
        self._tile_codec, self._raw, self._roi = tile_codec, raw, roi
        whole = slice(None), slice(None)
        self._pixels = source[whole]
        encoded = as_colour(_to_encode(source, whole))
        self._prepared = tile_codec.analyse(pad(encoded, STRIDE)[None])
        self._latents: Latents | None = None
        self._last: tuple[int, Plan] | None = None  # u, and what was chosen of these latents

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        return guess(self._tile_codec.model, self._tile_codec.tune, [self._prepared.t], room)

    def renew(self, u: int) -> None:
        """See `Compressor`."""
        # a level of all places may change from one u to another, and with it the size
        levels = self._latents.levels if self._latents else None
        shifts = None if self._roi is None else self._roi.shifts
        self._keep(self._tile_codec.latents(self._prepared, u, levels, shifts))

    @property
    def refines(self) -> str | None:
        """See `Compressor`."""
        kind = self._tile_codec.refines(self._prepared)
        return None if kind is None or min(self._pixels.shape[:2]) < SIDES[kind][1] else kind

    def refine(self, u: int) -> None:
        """See `Compressor`."""
        plan = self._planned(u)
        self._keep(self._tile_codec.refine(self._prepared, self._kept(), plan, u))

    def recognise(self, u: int) -> bool:
        """See `Compressor`; a region moves levels, and its codes are none of a file before."""
        if self._roi is not None:
            return False
        pixels = as_colour(self._pixels)
        found = recognise(self._tile_codec, self._prepared, pixels, self._kept(), u, self._raw)
        if found is None:
            return False
        self._latents, plan = found
        self._last = u, plan
        return True

    def estimate(self, u: int) -> Forecast:
        """See `Compressor`."""
        return Forecast(u, self._tile_codec.estimate(self._kept(), u, self._raw))

    def plan(self, u: int, aim: Aim | None = None) -> "_Estimated":
        """See `Compressor`."""
        return _Estimated(self._planned(u, aim), self._raw)

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`."""
        values = Values(self._kept().levels, self._planned(u).parts)
        (whole,) = self._tile_codec.synthesise(self._tile_codec.dequantise(values, u), u)
        quality = Quality(kind, self._pixels.shape)
        quality.add(self._pixels, _like(whole, self._pixels))
        return quality.decibels

    @property
    def unheld(self) -> float | None:
        """See `Compressor`."""
        if self._last is None:
            return None
        u, plan = self._last
        return unheld(self._tile_codec.model, self._prepared.t, *self._kept(), plan.parts, u)

    def _planned(self, u: int, aim: Aim | None = None) -> Plan:
        if self._last is None or self._last[0] != u:
            paces = None if aim is None else [aim.paces(u).pace(0)]
            # with the latents held fixed, too, the size changes smoothly
            (plan,) = self._tile_codec.plan(self._kept(), u, self._raw, paces)
            self._last = u, plan
        return self._last[1]

    def _keep(self, latents: Latents) -> None:
        self._latents, self._last = latents, None

    def _kept(self) -> Latents:
        if self._latents is None:
            raise ValueError("latents are asked for before a rate parameter is")
        return self._latents


class Tiled:
    """A picture of many tiles: nothing is kept of one while another is worked on."""

    refines = None

    def __init__(
        self,
        tile_codec: TileCodec,
        source: Source,
        grid: Grid,
        raw: bool,
        roi: Roi | None,
        effort: int,
    ) -> None:
        """Take the picture, its tiles, whether bits are stored raw, and where they should go."""
        self._tile_codec, self._source, self._grid, self._raw = tile_codec, source, grid, raw
        self._roi = roi
        self._rounds = effort - 1
        self.unheld: float | None = None
        self._levels: list[Tensor | None] = [None] * len(grid)
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

    def renew(self, u: int) -> None:
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
            tiles += self._tile_codec.estimate(_cut(latents, inner), u, self._raw)
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        payloads, profiles, model, errors = [], [], self._tile_codec.model, 0.0
        pacer = None if aim is None else aim.paces(u)
        for number, box in enumerate(self._grid.boxes()):
            prepared, inner, latents = self._refined(number, box, u)
            own = _cut(latents, inner)
            paces = None if pacer is None else [pacer.pace(number)]
            (plan,) = self._tile_codec.plan(own, u, self._raw, paces)
            payloads.append(_write(plan, self._raw))
            profiles.append(plan.profile())
            if pacer is not None:
                pacer.add(len(payloads[-1]))
            error = unheld(model, prepared.t[(..., *inner)], *own, plan.parts, u)
            errors += math.nan if error is None else error * box.height * box.width
        mean = errors / (self._grid.height * self._grid.width)
        self.unheld = None if math.isnan(mean) else mean
        return _Written(payloads, profiles)

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`: around each tile is its halo, coded with it, for its neighbours."""
        quality = Quality(kind, self._source.shape)
        for number, box in enumerate(self._grid.boxes()):
            _, inner, latents = self._refined(number, box, u)
            codes, own = self._codes(latents, u), self._codes(_cut(latents, inner), u)
            codes.y_hat[(..., *inner)] = own.y_hat
            outer = self._outer(box)
            pixels = self._source[outer.within(Box(0, 0, 0, 0))]
            decoded = _like(self._tile_codec.synthesise(codes, u)[0], pixels)
            quality.add(pixels, decoded, box.within(outer))
        return quality.decibels

    def _refined(
        self, number: int, box: Box, u: int
    ) -> tuple[Prepared, tuple[slice, slice], Latents]:
        """Return what `_analysed` does, the latents refined as is asked."""
        prepared, inner, latents = self._analysed(number, box, u)
        if self._tile_codec.refines(prepared):
            for _ in range(self._rounds):
                (plan,) = self._tile_codec.plan(latents, u, self._raw)
                latents = self._tile_codec.refine(prepared, latents, plan, u)
        return prepared, inner, latents

    def _codes(self, latents: Latents, u: int) -> Codes:
        """Return what a file would hold of latents."""
        (plan,) = self._tile_codec.plan(latents, u, self._raw)
        return self._tile_codec.dequantise(Values(latents.levels, plan.parts), u)

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
        pixels = as_colour(_to_encode(self._source, outer.within(Box(0, 0, 0, 0))))
        prepared = self._tile_codec.analyse(pad(pixels, STRIDE)[None])
        return prepared, box.places(STRIDE).within(outer.places(STRIDE))


class Recoded:
    """A picture that is known from a file only: its latents are rounded once more, coarser."""

    refines = None
    unheld = None

    def __init__(
        self,
        tile_codec: TileCodec,
        tiles: Sequence[Codes],
        u: int,
        size: int,
        rate: float,
        raw: bool,
    ) -> None:
        """Take the codes of each tile, and their file's u and size in bytes; rate is asked."""
        self._tile_codec, self._raw = tile_codec, raw
        self._tiles = [Latents(codes.y_hat, codes.levels) for codes in tiles]
        self._u, self._size, self._rate = u, size, rate

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        return extrapolate(self._u, self._size, room, self._rate)

    def renew(self, u: int) -> None:
        """See `Compressor`: there is no picture to compute others from."""

    def refine(self, u: int) -> None:
        """See `Compressor`: there is no picture to fit them to."""

    def recognise(self, u: int) -> bool:
        """See `Compressor`: its codes are known, and rounded once more."""
        return False

    def estimate(self, u: int) -> Forecast:
        """See `Compressor`."""
        tiles: list[Profile] = []
        for tile in self._tiles:
            tiles += self._tile_codec.estimate(tile, u, self._raw)
        return Forecast(u, tiles)

    def plan(self, u: int, aim: Aim | None = None) -> "_Written":
        """See `Compressor`."""
        payloads, profiles = [], []
        pacer = None if aim is None else aim.paces(u)
        for number, tile in enumerate(self._tiles):
            paces = None if pacer is None else [pacer.pace(number)]
            (plan,) = self._tile_codec.plan(tile, u, self._raw, paces)
            payloads.append(_write(plan, self._raw))
            profiles.append(plan.profile())
            if pacer is not None:
                pacer.add(len(payloads[-1]))
        return _Written(payloads, profiles)

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`: there is no picture to compare with."""
        raise NotImplementedError


class _Estimated:
    """One tile's codes, not written yet."""

    def __init__(self, plan: Plan, raw: bool) -> None:
        self._plan, self._raw = plan, raw
        self.estimated_bytes = plan.estimated_bytes

    @property
    def profiles(self) -> Sequence[Profile]:
        """See `Planned`."""
        return [self._plan.profile()]

    def write(self) -> Sequence[bytes]:
        """See `Planned`."""
        return [_write(self._plan, self._raw)]


class _Written:
    """The payloads of all tiles."""

    def __init__(self, payloads: Sequence[bytes], profiles: Sequence[Profile]) -> None:
        self._tile_codecs, self.profiles = payloads, profiles
        self.estimated_bytes = float(sum(map(len, payloads)))

    def write(self) -> Sequence[bytes]:
        """See `Planned`."""
        return self._tile_codecs


def _cut(latents: Latents, inner: tuple[slice, slice]) -> Latents:
    """Return the latents of some of the places."""
    return Latents(*(part[(..., *inner)] for part in latents))


def _like(decoded: Pixels, like: Pixels) -> Pixels:
    """Return decoded pixels with the size and the channels of others."""
    height, width = like.shape[:2]
    return as_grey(decoded[:height, :width]) if like.ndim == 2 else decoded[:height, :width]


@stage("codes")
def _write(plan: Plan, raw: bool) -> bytes:
    coder = RawEncoder() if raw else RangeEncoder()
    plan.write(coder)
    return coder.finish()

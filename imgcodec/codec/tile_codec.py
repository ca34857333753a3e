"""What a tile's bytes hold: levels first, then the codes, in the order of the context models.

Tiles of one size may go through the model together: B of them, each with its own rate parameter.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.codec.level_choice import choose_levels
from imgcodec.codec.pace import Pace, Profile
from imgcodec.codec.plan import Chooser, CoderTables, Plan, Script
from imgcodec.codec.refine import (
    APPROACH,
    APPROACH_EFFORT,
    LEVEL_SHARE,
    by_skip,
    finer_levels,
    refine,
    slope_of,
)
from imgcodec.codec.tile_visitors import (
    BeyondLimit,
    IntegerCodes,
    LevelCodes,
    NearestMeans,
    SingleBitCodes,
    SpentBits,
)
from imgcodec.entropy.digits import LEVEL_EIGHTHS
from imgcodec.entropy.range_coder import RangeDecoder, RawDecoder
from imgcodec.errors import AicError, FormatError
from imgcodec.format.container import MAX_U
from imgcodec.model import STRIDE, Dequantised, Model, pyramid
from imgcodec.model.binarizer import binarize
from imgcodec.model.context import to_map
from imgcodec.model.layers import with_skip
from imgcodec.model.steps import eighths, rate_index, rounding_weights
from imgcodec.model.tables import MEAN_UNIT, Costs, cost_slopes
from imgcodec.perceptual import ms_ssim
from imgcodec.perceptual.distortion import TUNE_OF_METRIC
from imgcodec.runtime.forks import undivided
from imgcodec.runtime.stopwatch import stage
from imgcodec.target import KIND_OF_TUNE

# By tune, coded and raw: the share of the bytes that hidden signs leave at `UNHIDDEN_BPP` bits
# per pixel and more, and how much larger it is for each octave less, for at most so many octaves.
UNHIDDEN = {
    "psnr": ((0.923, 0.006), (0.959, 0.013)),
    "ms-ssim": ((0.927, 0.002), (0.963, 0.006)),
    "eye": ((0.931, 0.001), (0.969, 0.005)),
}
UNHIDDEN_BPP, UNHIDDEN_OCTAVES = 0.5, 3.0

NEAREST = 1e4  # times the usual weight of an error: no bits are worth one

Us = int | Sequence[int]  # rate parameters 0..65535, one for each tile


class Prepared(NamedTuple):
    """What does not depend on the rate."""

    x: Tensor  # (B, 3, H, W), 0..1
    t: Tensor  # (B, 192, h, w)
    features: Tensor  # (B, width, h, w)


class Latents(NamedTuple):
    """What the encoder's networks put out for one rate parameter."""

    y: Tensor  # (B, latents, h, w)
    levels: Tensor  # (B, 1, h, w) integers 0..L-1


class Codes(NamedTuple):
    """What a tile's bytes say, the same on every machine."""

    levels: Tensor  # (B, 1, h, w) integers 0..L-1
    parts: list[Tensor]  # (B, C, h, w) each, multiples of 1/16 step, or single bits as -1, 0, 1


def codes_of(latents: Latents, plans: Sequence[Plan]) -> Codes:
    """Return what is said of tiles whose codes were chosen."""
    parts = zip(*(plan.parts for plan in plans), strict=True)
    return Codes(latents.levels, [torch.cat(maps) for maps in parts])


class TileCodec:
    """Pixels <-> codes <-> a coder's bits, for one model.

    The trunks run in bfloat16 where `fast` says that the machine multiplies it natively; the
    context models always compute on integers in float32. Forks wait for the end of a call.
    """

    def __init__(
        self, model: Model, tables: CoderTables, fast: bool, tune: str | None = None
    ) -> None:
        """Keep a model and its tables; `tune` is what a released set is fitted to."""
        self.model, self.tables, self.fast = model, tables, fast
        self.tune = tune or TUNE_OF_METRIC[model.config.metric]
        self.device = model.unit.device

    @stage("encoder")
    @undivided()
    def analyse(self, pixels: NDArray[np.uint8] | NDArray[np.float16]) -> Prepared:
        """Return what every rate needs of tiles (B, H, W, 3), H and W multiples of 8.

        Pixels are uint8, or float16 of about 0..255 where they were never rounded.
        """
        x = torch.tensor(pixels, device=self.device).permute(0, 3, 1, 2).float() / 255
        t = self.model.coefficients(x)
        with self._trunks():
            return Prepared(x, t, self._singly(self.model.g_a.features, t))

    @stage("encoder")
    @undivided()
    def latents(
        self,
        prepared: Prepared,
        u: Us,
        levels: Tensor | None = None,
        shifts: NDArray[np.float32] | None = None,
    ) -> Latents:
        """Return latents and levels for a rate parameter.

        Args:
            prepared: what `analyse` made of the tiles.
            u: rate parameter.
            levels: are kept if given.
            shifts: (h, w), by which new levels are moved, see `imgcodec.pictures.roi`.
        """
        fraction = self._fraction(u)
        with self._trunks():
            maps = prepared.t, prepared.features, fraction
            y = self._singly(self.model.g_a, *maps)
        if levels is not None:
            return Latents(y, levels)
        levels = self._levels(prepared, fraction)
        if shifts is not None:
            levels = levels + torch.from_numpy(shifts).to(self.device)
            levels = levels.clamp(0, self.model.config.levels - 1)
        return Latents(y, levels)

    def _levels(self, prepared: Prepared, fraction: Tensor, finer: Tensor | float = 0.0) -> Tensor:
        """Return the levels that the importance map asks for, and so many more at each place."""
        with self._trunks():
            maps = prepared.t, prepared.features, fraction
            p = self._singly(self.model.importance_map, *maps)
        return choose_levels(self.model, self.tables.costs, p.float(), fraction, finer)

    def refined_kind(self, prepared: Prepared) -> str | None:
        """Return the quality that `refine` raises, see `target`; None: it does nothing."""
        config = self.model.config
        usual = self.tune == TUNE_OF_METRIC[config.metric]  # not that of aic-eye 1.0
        if not (config.expansion and usual):
            return None
        if config.metric == "ms-ssim" and min(prepared.x.shape[2:]) < ms_ssim.MIN_SIDE:
            return None
        return KIND_OF_TUNE[self.tune]

    def corrects(self, prepared: Prepared) -> bool:
        """Return whether the first round of `refine` takes so little that every effort has it."""
        return self.refined_kind(prepared) is not None and by_skip(self.model)

    @stage("refinement")
    def refine(
        self,
        prepared: Prepared,
        latents: Latents,
        plans: Sequence[Plan],
        u: Us,
        number: int,
        levels_too: bool = False,
    ) -> Latents:
        """Return latents that suit the pictures better.

        Args:
            prepared: what `analyse` made of the tiles.
            latents: their own, or refined ones.
            plans: what files would hold of them; in the first round, roughly.
            u: rate parameter.
            number: of the round, from 0.
            levels_too: whether the first round may move levels.
        """
        codes, fraction = codes_of(latents, plans), self._fraction(u)
        levels, y_hat = self.dequantise(codes, u)

        def sloping(x: Tensor, levels: Tensor, y_hat: Tensor, u: Tensor) -> Tensor:
            return slope_of(self.model, x, Dequantised(levels, y_hat), u, number)

        def refined(
            slope: Tensor, y: Tensor, levels: Tensor, y_hat: Tensor, u: Tensor, *parts: Tensor
        ) -> Tensor:
            coded = Dequantised(levels, y_hat)
            return refine(self.model, slope, y, parts, coded, u, self._costs, number)

        with self._trunks():
            slope = self._singly(sloping, prepared.x, levels, y_hat, fraction)
            y = self._singly(refined, slope, latents.y, levels, y_hat, fraction, *codes.parts)
        if number == 0 and levels_too and self.model.config.metric in LEVEL_SHARE:
            coded = Dequantised(levels, y_hat)
            finer = finer_levels(self.model, slope, latents.y, coded, fraction)
            levels = self._levels(prepared, fraction, finer)
        return Latents(y, levels)

    @stage("codes")
    @undivided()
    def plan(
        self,
        latents: Latents,
        u: Us,
        raw: bool,
        paces: Sequence[Pace | None] | None = None,
        nearest: bool = False,
    ) -> list[Plan]:
        """Choose the codes of latents at a rate parameter, their own or one close to it.

        Args:
            latents: of the tiles.
            u: rate parameter.
            raw: whether bits are stored as they are.
            paces: how many bits each tile is to take, where that is known.
            nearest: whether the nearest codes are chosen, whatever they cost.
        """
        return self._plan(latents, u, raw, paces, hide=True, nearest=nearest)

    @stage("refinement")
    @undivided()
    def closer(self, prepared: Prepared, latents: Latents, u: int) -> Latents:
        """Return latents of which the decoder makes a picture closer to the tile's pixels.

        By the linear part of the encoder; as they are without one.
        """
        with self._trunks():
            x_hat = self.model.reconstruct(
                Dequantised(latents.levels, latents.y), self._fraction(u)
            )
        missing = prepared.t - self.model.coefficients(x_hat.float().clamp(0, 1))
        skip = self.model.g_a.skip
        if skip is None:
            return latents
        return latents._replace(y=with_skip(latents.y, skip, missing))

    def approach(
        self, prepared: Prepared, latents: Latents, u: int, effort: int
    ) -> Latents | None:
        """Return latents a part of the way to `closer`; None where they stay as they are."""
        own = APPROACH.get(self.model.config.metric)
        if own is None or effort < APPROACH_EFFORT or self.refined_kind(prepared) is None:
            return None
        way = self.closer(prepared, latents, u).y - latents.y
        means = self.model.config.lattice
        way[:, :means] *= own.means
        way[:, means:] *= own.others
        return latents._replace(y=latents.y + way)

    @stage("codes")
    @undivided()
    def off_grid(self, latents: Latents, u: int) -> float:
        """Return how far block means are from the nearest codes, RMS in steps of those not 0.

        0.29 for pictures in general; less for one that was decoded from a file of this u.
        """
        fraction = self._fraction(u)
        in_steps = latents.y / self.model.steps(latents.levels, fraction)
        wanted = self.model.split(in_steps, latents.levels)
        visitor = NearestMeans(wanted[: self.model.config.pyramid_parts])
        with suppress(BeyondLimit):
            self.model.walk_codes(latents.levels, fraction, visitor)
        return visitor.rms

    @stage("codes")
    @undivided()
    def roughly(self, latents: Latents, u: Us, raw: bool) -> list[Plan]:
        """Choose codes as `plan` does, but sooner, and without hidden signs."""
        return self._plan(latents, u, raw, None, hide=False)

    def forecast(self, rough: Plan, latents: Latents) -> Profile:
        """Return about what a plan of a tile takes: what a rough one does, less some.

        The latents are its own, or those of tiles of its size.
        """
        share, more = UNHIDDEN[self.tune][rough.raw]
        most = UNHIDDEN_BPP * latents.levels[0].numel() * STRIDE**2 / 8
        octaves = math.log2(max(most / rough.estimated_bytes, 1))
        shown = share + more * min(octaves, UNHIDDEN_OCTAVES)
        profile = rough.profile()
        return profile._replace(bits=shown * profile.bits)

    def _plan(
        self,
        latents: Latents,
        u: Us,
        raw: bool,
        paces: Sequence[Pace | None] | None,
        hide: bool,
        nearest: bool = False,
    ) -> list[Plan]:
        y, levels = latents
        paces = paces or [None] * len(levels)
        expansion = self.model.config.expansion
        if len(levels) > 1 and not expansion:  # single bits go tile by tile
            us = np.broadcast_to(u, len(levels)).tolist()
            tiles = map(Latents, y.split(1), levels.split(1))
            return [
                plan
                for tile, its, pace in zip(tiles, us, paces, strict=True)
                for plan in self._plan(tile, its, raw, [pace], hide, nearest)
            ]
        fraction = self._fraction(u)
        plans = [Plan(self.tables, raw, pace) for pace in paces]
        chooser = Chooser(plans, hide)
        self.model.walk_levels(fraction, levels.shape[2:], LevelCodes(chooser, levels))
        wanted = y / self.model.steps(levels, fraction) if expansion else binarize(y.sigmoid())
        parts = self._walk_codes(chooser, levels, fraction, wanted, nearest=nearest)
        for i, plan in enumerate(plans):
            plan.parts = [part[i : i + 1] for part in parts]
        return plans

    @stage("codes")
    @undivided()
    def read(
        self,
        data: Sequence[bytes],
        u: Us,
        size: tuple[int, int],
        raw: bool = False,
        share: float = 1.0,
    ) -> Codes:
        """Decode what tiles' bytes say.

        Args:
            data: of each tile.
            u: rate parameter.
            size: of a tile, rows and columns of places.
            raw: whether bits are stored as they are.
            share: of the bits of a single tile; what goes beyond it is not read, but levels and
                block means always are.

        Raises:
            FormatError: that cannot be what was written.
        """
        for tile in data:
            # a level takes a bit, or a share of a word
            if len(tile) < (-(-size[0] * size[1] // 8) if raw else 1):
                raise FormatError(f"{len(tile)} bytes of data for {size[0] * size[1]} places")
        coders = [RawDecoder(tile) if raw else RangeDecoder(tile, share < 1) for tile in data]
        limit = 8 * len(data[0]) * share if share < 1 else math.inf
        if limit < math.inf and not self.model.config.expansion:
            raise AicError("files of single bits have no preview")
        found = self.read_script(Script(self.tables, coders), u, size, limit)
        if share >= 1:
            for coder in coders:
                coder.finish()
        return found

    def read_script(
        self, script: Script, u: Us, size: tuple[int, int], limit: float = math.inf
    ) -> Codes:
        """Return the codes of a script; of groups of latents, those within so many bits."""
        fraction = self._fraction(u)
        values = self.model.walk_levels(fraction, torch.Size(size), LevelCodes(script, None))
        levels = (values / MEAN_UNIT).clamp(0, self.model.config.levels - 1)
        return Codes(levels, self._walk_codes(script, levels, fraction, None, limit))

    @undivided()
    def dequantise(self, codes: Codes, u: Us) -> Dequantised:
        """Return levels and latents in their own units."""
        y_hat = self.model.join(codes.parts, codes.levels)
        if self.model.config.expansion:
            y_hat = y_hat * self.model.steps(codes.levels, self._fraction(u))
        return Dequantised(codes.levels, y_hat.contiguous(memory_format=torch.channels_last))

    @undivided()
    def bits(self, codes: Codes, u: int) -> Tensor:
        """Return about how many bits each place of a tile took, (h, w).

        What the block means cost is shared evenly by the places that they are means of; of those
        beyond the edge, by all.
        """
        config = self.model.config
        if not config.expansion:
            raise AicError("files of single bits have no bits that could be told apart")
        fraction = self._fraction(u)
        height, width = codes.levels.shape[2:]
        levels = SpentBits([MEAN_UNIT * codes.levels], self.tables.costs, None)
        self.model.walk_levels(fraction, codes.levels.shape[2:], levels)
        digits = self._digits(codes.levels, fraction)
        costs = SpentBits([MEAN_UNIT * part for part in codes.parts], self.tables.costs, digits)
        self.model.walk_codes(codes.levels, fraction, costs)
        total = levels.bits[0].view(height, width)
        for part, bits in enumerate(costs.bits):
            rows, columns = config.part_size(part, height, width)
            spread = bits.view(rows, columns)
            if part < config.pyramid_parts:
                side = pyramid.SIDE * -(-height // pyramid.SIDE) // rows
                spread = spread.repeat_interleave(side, 0).repeat_interleave(side, 1) / side**2
            inside = spread[:height, :width]
            total = total + inside + (spread.sum() - inside.sum()) / inside.numel()
        return total

    @undivided()
    def blend(self, edges: Sequence[Tensor | None], rows: int, columns: int) -> Dequantised:
        """Return codes for a tile of which nothing is known but what lies around it.

        Args:
            edges: the latents just above (1, C, 1, columns), below, left of (1, C, rows, 1) and
                right of the tile, None where nothing is known.
            rows: of the tile, places.
            columns: of the tile, places.
        """
        config = self.model.config
        levels = torch.full((1, 1, rows, columns), config.levels // 2, device=self.device).float()
        sums = levels.new_zeros(1, config.latents, rows, columns)
        weights = torch.zeros_like(levels)
        down = torch.arange(1.0, rows + 1, device=self.device)[:, None]
        across = torch.arange(1.0, columns + 1, device=self.device)
        for edge, distance in zip(
            edges, (down, down.flip(0), across, across.flip(0)), strict=True
        ):
            if edge is not None:
                sums, weights = sums + edge / distance, weights + 1 / distance
        sums[:, config.lattice :] = 0  # of the rest nothing is known
        return Dequantised(levels, sums / weights.clamp_min(1e-6))

    @stage("decoder")
    @undivided()
    def synthesise(self, dequantised: Dequantised, u: Us) -> NDArray[np.uint8]:
        """Return the pixels of h x w places, uint8 (B, 8 h, 8 w, 3)."""
        fraction = self._fraction(u)
        with self._trunks():
            x = self._singly(self._pixels, *dequantised, fraction)
        x = x.nan_to_num_(0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return np.ascontiguousarray(x.permute(0, 2, 3, 1).cpu().numpy())

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self.tables.costs, cost_slopes(self.tables.costs))

    def _pixels(self, levels: Tensor, y_hat: Tensor, fraction: Tensor) -> Tensor:
        return self.model.reconstruct(Dequantised(levels, y_hat), fraction)

    def _singly(self, network: Callable[..., Tensor], *maps: Tensor) -> Tensor:
        """Apply a network; on a CPU to one tile after the other.

        Several at once are hardly faster, and change last digits, and with them a code here and
        there: no file or picture is to depend on what goes beside it.
        """
        if self.device.type != "cpu" or len(maps[0]) == 1:
            return network(*maps)
        tiles = zip(*(values.split(1) for values in maps), strict=True)
        return torch.cat([network(*tile) for tile in tiles])

    def _trunks(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.fast)

    def _fraction(self, u: Us) -> Tensor:
        """Return u as the model takes it, (B,) float32 in 0..1."""
        share = np.atleast_1d(u) / MAX_U
        return torch.tensor(share, dtype=torch.float32, device=self.device)

    def _walk_codes(
        self,
        script: Chooser | Script,
        levels: Tensor,
        fraction: Tensor,
        wanted: Tensor | None,
        limit: float = math.inf,
        nearest: bool = False,
    ) -> list[Tensor]:
        """Pass all codes and return the values of each part."""
        model = self.model
        config = model.config
        parts = None if wanted is None else model.split(wanted, levels)
        visitor: IntegerCodes | SingleBitCodes
        if config.expansion:
            digits = self._digits(levels, fraction)
            weights = rounding_weights(levels, config)
            if nearest:
                weights = [NEAREST * weight for weight in weights]
            visitor = IntegerCodes(script, parts, digits, weights, limit, len(config.groups))
        else:
            visitor = SingleBitCodes(script, parts, levels, config)
        with suppress(BeyondLimit):
            model.walk_codes(levels, fraction, visitor)
        height, width = levels.shape[2:]
        return [
            to_map(found, *config.part_size(part, height, width))
            for part, found in enumerate(visitor.found)
        ]

    def _digits(self, levels: Tensor, fraction: Tensor) -> list[Tensor]:
        """Return how many digits everything coded has, for each part int64 (B, h w, C)."""
        config = self.model.config
        index = rate_index(fraction).long()[:, None]
        middle = index + LEVEL_EIGHTHS * (config.levels // 2)
        rows = [middle + finer.flatten(1).long() for finer in eighths(levels, config)]
        own = index + LEVEL_EIGHTHS * levels.flatten(1).long()
        rows += [own] * len(config.groups)
        columns = self.tables.digits.split(config.parts, 1)
        return [column[row] for column, row in zip(columns, rows, strict=True)]

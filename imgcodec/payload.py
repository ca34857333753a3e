"""What a tile's bytes hold: levels first, then the codes, in the order of the context models.

Tiles of one size may go through the model together: B of them, each with its own rate parameter.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.bitstream import RangeDecoder, RawDecoder
from imgcodec.container import MAX_U
from imgcodec.errors import AicError, FormatError
from imgcodec.importance import LEVEL_DIGITS, LEVEL_EIGHTHS, prefix_length
from imgcodec.metrics import MS_SSIM_MIN_SIDE
from imgcodec.model import COEFFICIENTS, STRIDE, Codes, Model, ModelConfig, pyramid
from imgcodec.model.binarizer import binarize, round_cheaply
from imgcodec.model.context import Visitor, slopes, to_map, to_rows
from imgcodec.model.quantizer import quantize
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES, RATE_SHOWN
from imgcodec.model.visitors import SINGLE_BIT
from imgcodec.plan import Chooser, CoderTables, Plan, Script, hidden_signs, is_sent
from imgcodec.rate import Guess
from imgcodec.refine import refine
from imgcodec.stopwatch import stage

# By metric: how many bits a coefficient that exceeds its step counts for, and how many of those a
# block mean counts for that is off that of its neighbours by one step. Fitted on training pictures
# (error 0.10 and 0.25 octaves, of the slope 8 and 18 %), they only shorten the rate search.
GUESS = {"mse": (4.9, 0.37), "ms-ssim": (2.5, 0.74)}
# How the encoder chooses levels where they differ, see docs/experiments.md, trial 26.
LEVEL_WEIGHT = 12.0  # bits that a level's squared error is worth
LEVEL_BIAS = -0.3  # levels
# By metric, coded and raw: the share of the bytes that hidden signs leave at `UNHIDDEN_BPP` bits
# per pixel and more, and how much larger it is for each octave less, for at most so many octaves.
UNHIDDEN = {
    "mse": ((0.923, 0.006), (0.959, 0.013)),
    "ms-ssim": ((0.927, 0.002), (0.963, 0.006)),
}
UNHIDDEN_BPP, UNHIDDEN_OCTAVES = 0.5, 3.0
GUESS_STRIDE = 3  # every 3rd place of every 3rd row
GUESS_HALVINGS = 14
GUESS_SPREAD = 0.05  # of u, for the slope
LEAST_COUNT = 1e-3  # coefficients a place: flat pictures take bits, too
LEAST_GROWTH = 2.0  # octaves of the size from u = 0 to 1

Us = int | Sequence[int]  # rate parameters 0..65535, one for each tile


class Prepared(NamedTuple):
    """What does not depend on the rate."""

    x: Tensor  # (B, 3, H, W), 0..1
    t: Tensor  # (B, 192, h, w)
    features: Tensor  # (B, width, h, w)


class Latents(NamedTuple):
    """What the encoder's networks put out for one rate parameter."""

    e: Tensor  # (B, latents, h, w)
    levels: Tensor  # (B, 1, h, w) integers 0..L-1


class Values(NamedTuple):
    """What a tile's bytes say, the same on every machine."""

    levels: Tensor  # (B, 1, h, w) integers 0..L-1
    parts: list[Tensor]  # (B, C, h, w) each, multiples of 1/16 step, or single bits as -1, 0, 1


class Payload:
    """Pixels <-> codes <-> a coder's bits, for one model.

    The trunks run in bfloat16 where `fast` says that the machine multiplies it natively; the
    context models always compute on integers in float32.
    """

    def __init__(self, model: Model, tables: CoderTables, fast: bool) -> None:
        """Keep a model and its tables."""
        self.model, self.tables, self.fast = model, tables, fast
        self.device = model.unit.device

    @stage("encoder")
    def analyse(self, pixels: NDArray[np.uint8]) -> Prepared:
        """Return what every rate needs of tiles (B, H, W, 3), H and W multiples of 8."""
        x = torch.tensor(pixels, device=self.device).permute(0, 3, 1, 2).float() / 255
        t = self.model.coefficients(x).contiguous(memory_format=torch.channels_last)
        with self._trunks():
            return Prepared(x, t, self.model.g_a.features(t))

    def guess(self, tiles: Sequence[Prepared], num_bytes: float) -> Guess:
        """Return the rate parameter at which the payloads should have about so many bytes.

        Told from how many coefficients exceed their step, and how rough the block means are.
        """
        sampled = [self._sample(tile) for tile in tiles]
        size, off = (torch.cat(parts) for parts in zip(*sampled, strict=True))
        each, mean = GUESS[self.model.config.metric]

        def octaves(u: float) -> float:
            """Return log2 of the bits a place."""
            step = float(self.model.step(torch.tensor([u])))
            means = torch.log2(1 + off / step).sum()
            count = float((size > step).sum() + mean * means) / len(size)
            return math.log2(each * max(count, LEAST_COUNT))

        wanted = math.log2(max(8 * num_bytes, 1) / sum(tile.t[0, 0].numel() for tile in tiles))
        low, high = 0.0, 1.0
        for _ in range(GUESS_HALVINGS):
            u = (low + high) / 2
            low, high = (low, u) if octaves(u) > wanted else (u, high)
        growth = (octaves(high + GUESS_SPREAD) - octaves(high - GUESS_SPREAD)) / (2 * GUESS_SPREAD)
        return Guess(round(high * MAX_U), max(growth, LEAST_GROWTH) / MAX_U)

    def _sample(self, tile: Prepared) -> tuple[Tensor, Tensor]:
        """Return how large coefficients are, and how far block means are off their neighbours'.

        Both at some places, (places, coefficients), relative to the step of each place.
        """
        model = self.model
        t = tile.t[:1] * model.deviation[:, None, None]
        if model.config.metric == "ms-ssim":
            half = model.config.levels // 2
            t = t * torch.exp2(model.masking(tile.t[:1]).clamp(-half, half - 1) / 2)
        curvature = slopes(t[:, :: STRIDE**2]).chunk(3, 1)[2] / 4
        means = torch.arange(COEFFICIENTS) % STRIDE**2 == 0
        maps = t[:, ~means].abs(), curvature.abs()
        size, off = (m[0, :, ::GUESS_STRIDE, ::GUESS_STRIDE].flatten(1).T for m in maps)
        return size, off

    @stage("encoder")
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
            shifts: (h, w), by which new levels are moved, see `imgcodec.roi`.
        """
        rate = self._rate(u)
        with self._trunks():
            e = self.model.g_a(prepared.t, prepared.features, rate)
            if levels is None:
                p = self.model.importance_map(prepared.t, prepared.features, rate)
                levels = self._levels(p.float(), rate)
                if shifts is not None:
                    levels = levels + torch.from_numpy(shifts).to(self.device)
                    levels = levels.clamp(0, self.model.config.levels - 1)
        return Latents(e, levels)

    def _levels(self, p: Tensor, rate: Tensor) -> Tensor:
        """Return the levels of an importance map; where they differ, those that cost little."""
        num_levels = self.model.config.levels
        if self.model.config.metric == "mse":
            return quantize(p, num_levels).round()
        wanted = (num_levels * p - 0.5 + LEVEL_BIAS).clamp(0, num_levels - 1)
        visitor = _CheapLevels(wanted, self.tables.costs)
        values = self._walk_levels(visitor, rate, p.shape[2:])
        return (values / MEAN_UNIT).clamp(0, num_levels - 1)

    def refines(self, prepared: Prepared) -> str | None:
        """Return the quality, psnr or ms_ssim, that `refine` raises; None: it does nothing."""
        config = self.model.config
        if not config.expansion:
            return None
        if config.metric == "mse":
            return "psnr"
        return "ms_ssim" if min(prepared.x.shape[2:]) >= MS_SSIM_MIN_SIDE else None

    @stage("refinement")
    def refine(self, prepared: Prepared, latents: Latents, plan: Plan, u: int) -> Latents:
        """Return latents that suit this picture better, given what a file would hold of them."""
        codes = self.dequantise(Values(latents.levels, plan.parts), u)
        with self._trunks():
            e = refine(self.model, prepared.x, latents.e, codes, self._rate(u))
        return latents._replace(e=e)

    @stage("codes")
    def plan(self, latents: Latents, u: Us, raw: bool) -> list[Plan]:
        """Choose the codes of latents at a rate parameter, their own or one close to it."""
        return self._plan(latents, u, raw, hide=True)

    @stage("codes")
    def estimate(self, latents: Latents, u: Us, raw: bool) -> list[float]:
        """Return about how many bytes each plan takes: one without hidden signs, less some."""
        plans = self._plan(latents, u, raw, hide=False)
        share, more = UNHIDDEN[self.model.config.metric][raw]
        most = UNHIDDEN_BPP * latents.levels[0].numel() * STRIDE**2 / 8
        found = []
        for size in (plan.estimated_bytes for plan in plans):
            octaves = math.log2(max(most / size, 1))
            found.append((share + more * min(octaves, UNHIDDEN_OCTAVES)) * size)
        return found

    def _plan(self, latents: Latents, u: Us, raw: bool, hide: bool) -> list[Plan]:
        rate = self._rate(u)
        e, levels = latents
        plans = [Plan(self.tables, raw) for _ in levels]
        chooser = Chooser(plans, hide)
        self._walk_levels(_Levels(chooser, levels), rate, levels.shape[2:])
        expansion = self.model.config.expansion
        wanted = e / self.model.steps(levels, rate) if expansion else binarize(e.sigmoid())
        parts = self._walk_codes(chooser, levels, rate, wanted)
        for i, plan in enumerate(plans):
            plan.parts = [part[i : i + 1] for part in parts]
        return plans

    @stage("codes")
    def read(
        self,
        data: Sequence[bytes],
        u: Us,
        size: tuple[int, int],
        raw: bool = False,
        share: float = 1.0,
    ) -> Values:
        """Decode what tiles' bytes say.

        Args:
            data: of each tile.
            u: rate parameter.
            size: of a tile, rows and columns of places.
            raw: whether bits are stored as they are.
            share: of the bits of a single tile; groups of latents that begin or end beyond it are
                left at zero. Levels and block means are always read.

        Raises:
            FormatError: that cannot be what was written.
        """
        for tile in data:
            # a level takes a bit, or a share of a word
            if len(tile) < (-(-size[0] * size[1] // 8) if raw else 1):
                raise FormatError(f"{len(tile)} bytes of data for {size[0] * size[1]} places")
        coders = [RawDecoder(tile) if raw else RangeDecoder(tile) for tile in data]
        limit = 8 * len(data[0]) * share if share < 1 else math.inf
        if limit < math.inf and not self.model.config.expansion:
            raise AicError("files of single bits have no preview")
        rate = self._rate(u)
        script = Script(self.tables, coders)
        values = self._walk_levels(_Levels(script, None), rate, torch.Size(size))
        levels = (values / MEAN_UNIT).clamp(0, self.model.config.levels - 1)
        found = Values(levels, self._walk_codes(script, levels, rate, None, limit))
        if share >= 1:
            for coder in coders:
                coder.finish()
        return found

    def dequantise(self, values: Values, u: Us) -> Codes:
        """Return levels and latents in their own units."""
        y_hat = self.model.join(values.parts, values.levels)
        if self.model.config.expansion:
            y_hat = y_hat * self.model.steps(values.levels, self._rate(u))
        return Codes(values.levels, y_hat.contiguous(memory_format=torch.channels_last))

    def bits(self, values: Values, u: int) -> Tensor:
        """Return about how many bits each place of a tile took, (h, w).

        What the block means cost is shared evenly by the places that they are means of; of those
        beyond the edge, by all.
        """
        config = self.model.config
        if not config.expansion:
            raise AicError("files of single bits have no bits that could be told apart")
        rate = self._rate(u)
        height, width = values.levels.shape[2:]
        levels = _Costs([MEAN_UNIT * values.levels], self.tables.costs, None)
        self._walk_levels(levels, rate, values.levels.shape[2:])
        digits = _digits(self.tables.digits, values.levels, rate, self.model)
        codes = _Costs([MEAN_UNIT * part for part in values.parts], self.tables.costs, digits)
        self.model.walk_codes(values.levels, rate, codes)
        total = levels.bits[0].view(height, width)
        for part, bits in enumerate(codes.bits):
            rows, columns = config.part_size(part, height, width)
            spread = bits.view(rows, columns)
            if part < config.pyramid_parts:
                side = pyramid.SIDE * -(-height // pyramid.SIDE) // rows
                spread = spread.repeat_interleave(side, 0).repeat_interleave(side, 1) / side**2
            inside = spread[:height, :width]
            total = total + inside + (spread.sum() - inside.sum()) / inside.numel()
        return total

    def blend(self, edges: Sequence[Tensor | None], rows: int, columns: int) -> Codes:
        """Return codes for a tile of which nothing is known but what lies around it.

        Args:
            edges: the latents just above (1, C, 1, columns), below, left of (1, C, rows, 1) and
                right of the tile, None where nothing is known.
            rows: of the tile, places.
            columns: of the tile, places.
        """
        config = self.model.config
        levels = torch.full((1, 1, rows, columns), config.levels // 2, device=self.device).float()
        sums, weights = (
            levels.new_zeros(1, config.latents, rows, columns),
            torch.zeros_like(levels),
        )
        down = torch.arange(1.0, rows + 1, device=self.device)[:, None]
        across = torch.arange(1.0, columns + 1, device=self.device)
        for edge, distance in zip(
            edges, (down, down.flip(0), across, across.flip(0)), strict=True
        ):
            if edge is not None:
                sums, weights = sums + edge / distance, weights + 1 / distance
        sums[:, config.lattice :] = 0  # of the rest nothing is known
        return Codes(levels, sums / weights.clamp_min(1e-6))

    @stage("decoder")
    def synthesise(self, codes: Codes, u: Us) -> NDArray[np.uint8]:
        """Return the pixels of codes of h x w places, uint8 (B, 8 h, 8 w, 3)."""
        rate = self._rate(u)
        with self._trunks():
            x = self.model.reconstruct(codes, rate)
        x = x.nan_to_num_(0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return np.ascontiguousarray(x.permute(0, 2, 3, 1).cpu().numpy())

    def _trunks(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.fast)

    def _rate(self, u: Us) -> Tensor:
        share = np.atleast_1d(u) / MAX_U
        return torch.tensor(share, dtype=torch.float32, device=self.device)

    def _walk_levels(self, visitor: Visitor, rate: Tensor, shape: torch.Size) -> Tensor:
        shown = (RATE_SHOWN * self.model.rate_index(rate)).view(-1, 1, 1, 1)
        shown = shown.expand(-1, 1, *shape)
        return self.model.level_context.walk(shown, rate.new_zeros(len(rate), 1, 1), visitor)

    def _walk_codes(
        self,
        script: Chooser | Script,
        levels: Tensor,
        rate: Tensor,
        wanted: Tensor | None,
        limit: float = math.inf,
    ) -> list[Tensor]:
        """Pass all codes and return the values of each part."""
        model = self.model
        config = model.config
        parts = None if wanted is None else model.split(wanted, levels)
        visitor: _Integers | _SingleBits
        if config.expansion:
            digits = _digits(self.tables.digits, levels, rate, model)
            weights = model.rounding_weights(levels)
            visitor = _Integers(script, parts, digits, weights, limit, len(config.groups))
        else:
            visitor = _SingleBits(script, parts, levels, config)
        with suppress(_BeyondLimit):
            model.walk_codes(levels, rate, visitor)
        height, width = levels.shape[2:]
        return [
            to_map(found, *config.part_size(part, height, width))
            for part, found in enumerate(visitor.found)
        ]


class _BeyondLimit(Exception):
    """The codes of a preview are read."""


class _Levels:
    """Visitor of the levels: integers around a prediction that is rounded to whole levels."""

    def __init__(self, script: Chooser | Script, levels: Tensor | None) -> None:
        self.script = script
        self.levels = None if levels is None else to_rows(levels)

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        predicted = torch.floor(mean / MEAN_UNIT + 0.5)
        wanted = None
        if self.levels is not None:
            wanted = (self.levels.index_select(1, places) - predicted).flatten(1)
        rows = _scale_rows(scale).flatten(1)
        digits = torch.full_like(rows, LEVEL_DIGITS)
        found = self.script.integers(wanted, rows, digits, None).view_as(predicted)
        return MEAN_UNIT * (predicted + found)


class _CheapLevels:
    """Visitor that chooses levels: the nearest, or the next towards what is predicted."""

    def __init__(self, wanted: Tensor, costs: Tensor) -> None:
        """Take real levels (1, 1, h, w) and the table of costs."""
        self.wanted, self.costs = to_rows(wanted), costs

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        predicted = torch.floor(mean / MEAN_UNIT + 0.5)
        difference = self.wanted.index_select(1, places) - predicted
        weight = torch.full_like(difference, LEVEL_WEIGHT)
        found, _ = round_cheaply(difference, _scale_rows(scale), None, weight, self.costs)
        return MEAN_UNIT * (predicted + found)


class _Costs:
    """Visitor of values that are known, which adds up what they cost."""

    def __init__(self, values: list[Tensor], costs: Tensor, digits: list[Tensor] | None) -> None:
        """Take for each part its values in 1/16 steps (1, C, h, w), and the table of costs.

        With digits (1, h w, C) of each part, some of the signs are hidden and cost nothing.
        """
        self.values = [to_rows(part) for part in values]
        self.costs, self.digits = costs, digits
        self.bits = [part.new_zeros(part.shape[1]) for part in self.values]

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        values = self.values[part].index_select(1, places)
        size = torch.round((values - mean) / MEAN_UNIT).abs().long()
        rows = _scale_rows(scale)
        cost = self.costs[rows, size.clamp_max(self.costs.shape[1] - 1)]
        if self.digits is not None:
            digits = self.digits[part].index_select(1, places)
            sent = is_sent(rows, digits, codes=True)
            cost = cost * sent
            cost[sent] -= hidden_signs(size[sent], rows[sent]).float()
        self.bits[part][places] = cost.sum((0, 2))
        return values


class _Integers:
    """Visitor of latents that are binary expansions."""

    def __init__(
        self,
        script: Chooser | Script,
        wanted: list[Tensor] | None,
        digits: list[Tensor],
        weights: list[Tensor],
        limit: float,
        groups: int,
    ) -> None:
        """Take for each part values in steps (B, C, h, w), digits (B, h w, C) and weights.

        The walk ends at the first of the last `groups` parts that goes beyond `limit` bits.
        """
        self.script, self.digits = script, digits
        self.limit, self.first_group, self.spent = limit, len(digits) - groups, 0.0
        self.wanted = None if wanted is None else [to_rows(values) for values in wanted]
        self.weights = [to_rows(weight) for weight in weights]
        self.found = [weights[0].new_zeros(d.shape) for d in digits]  # rows, in steps

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        digits = self.digits[part].index_select(1, places)
        weight = self.weights[part].index_select(1, places).expand(digits.shape).flatten(1)
        residual = None
        if self.wanted is not None:
            residual = self.wanted[part].index_select(1, places) - mean / MEAN_UNIT
            residual = residual.flatten(1)
        rows, digits = _scale_rows(scale).flatten(1), digits.flatten(1)
        found = self.script.integers(residual, rows, digits, weight)
        values = MEAN_UNIT * found.view_as(mean) + mean
        self.found[part][:, places] = values / MEAN_UNIT
        if self.limit < math.inf and isinstance(self.script, Script):
            self.spent += self.script.spent(found, rows, digits)
            if self.spent > self.limit and part >= self.first_group:
                self.found[part].zero_()  # some of its places are not read yet
                raise _BeyondLimit
        return values


class _SingleBits:
    """Visitor of single bits, of which each place keeps a prefix, equation (5); of one tile."""

    def __init__(
        self,
        script: Chooser | Script,
        wanted: list[Tensor] | None,
        levels: Tensor,
        config: ModelConfig,
    ) -> None:
        """Take for each part the bits (1, C, h, w)."""
        self.script = script
        self.wanted = None if wanted is None else [to_rows(bits)[0] for bits in wanted]
        self.keep = prefix_length(levels.flatten().long(), config.latents, config.levels)
        numbers = torch.arange(config.latents, device=levels.device)
        self.numbers = numbers.split(config.groups)
        self.found = [levels.new_zeros(1, levels.numel(), n) for n in config.groups]  # rows

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        mask = self.numbers[part] < self.keep[places][:, None]
        wanted = None
        if self.wanted is not None:
            wanted = self.wanted[part].index_select(0, places)[mask]
        signs = torch.zeros_like(mean[0])
        signs[mask] = 2 * self.script.bits(wanted, mean[0][mask]) - 1
        self.found[part][0, places] = signs
        return SINGLE_BIT * signs[None]


def _digits(table: Tensor, levels: Tensor, rate: Tensor, model: Model) -> list[Tensor]:
    """Return how many digits everything coded has, for each part int64 (B, h w, C)."""
    config = model.config
    index = model.rate_index(rate).long()[:, None]
    middle = index + LEVEL_EIGHTHS * (config.levels // 2)
    rows = [middle + finer.flatten(1).long() for finer in model.eighths(levels)]
    own = index + LEVEL_EIGHTHS * levels.flatten(1).long()
    rows += [own] * len(config.groups)
    columns = table.split(config.parts, 1)
    return [column[row] for column, row in zip(columns, rows, strict=True)]


def _scale_rows(scale: Tensor) -> Tensor:
    return scale.clamp(0, NUM_SCALES - 1).long()

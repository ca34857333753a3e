"""Visitors of the context models that choose, read or price the codes of tiles."""

import math

import torch
from torch import Tensor

from imgcodec.codec.plan import Chooser, Script, hidden_signs, is_sent
from imgcodec.entropy.digits import LEVEL_DIGITS, prefix_length
from imgcodec.errors import EndError
from imgcodec.model import ModelConfig
from imgcodec.model.context import to_rows
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES
from imgcodec.model.visitors import SINGLE_BIT

ENOUGH = 1000  # codes that are not 0, to tell how far they are


class BeyondLimit(Exception):
    """The codes of a preview are read."""


class LevelCodes:
    """Visitor of the levels: integers around a prediction that is rounded to whole levels."""

    def __init__(self, script: Chooser | Script, levels: Tensor | None) -> None:
        self.script = script
        self.levels = None if levels is None else to_rows(levels)

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """See `imgcodec.model.context`."""
        predicted = torch.floor(mean / MEAN_UNIT + 0.5)
        wanted = None
        if self.levels is not None:
            wanted = (self.levels.index_select(1, places) - predicted).flatten(1)
        rows = scale_rows(scale).flatten(1)
        digits = torch.full_like(rows, LEVEL_DIGITS)
        found = self.script.integers(wanted, rows, digits, None).view_as(predicted)
        return MEAN_UNIT * (predicted + found)


class SpentBits:
    """Visitor of values that are known, which adds up what they cost."""

    def __init__(self, values: list[Tensor], costs: Tensor, digits: list[Tensor] | None) -> None:
        """Take for each part its values in 1/16 steps (1, C, h, w), and the table of costs.

        With digits (1, h w, C) of each part, some of the signs are hidden and cost nothing.
        """
        self.values = [to_rows(part) for part in values]
        self.costs, self.digits = costs, digits
        self.bits = [part.new_zeros(part.shape[1]) for part in self.values]

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """See `imgcodec.model.context`."""
        values = self.values[part].index_select(1, places)
        size = torch.round((values - mean) / MEAN_UNIT).abs().long()
        rows = scale_rows(scale)
        cost = self.costs[rows, size.clamp_max(self.costs.shape[1] - 1)]
        if self.digits is not None:
            digits = self.digits[part].index_select(1, places)
            sent = is_sent(rows, digits, codes=True)
            cost = cost * sent
            cost[sent] -= hidden_signs(size[sent], rows[sent]).float()
        self.bits[part][places] = cost.sum((0, 2))
        return values


class IntegerCodes:
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

        Of the last `groups` parts, nothing is read beyond `limit` bits: what is left of the part
        that goes beyond is as it is predicted, and those after it are 0.
        """
        self.script, self.digits = script, digits
        self.limit, self.first_group, self.part = limit, len(digits) - groups, -1
        self.wanted = None if wanted is None else [to_rows(values) for values in wanted]
        self.weights = [to_rows(weight) for weight in weights]
        self.found = [weights[0].new_zeros(d.shape) for d in digits]  # rows, in steps

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """See `imgcodec.model.context`."""
        digits = self.digits[part].index_select(1, places)
        weight = self.weights[part].index_select(1, places).expand(digits.shape).flatten(1)
        if part > self.part and isinstance(self.script, Script):
            self._begin(part, self.script)
        residual = None
        if self.wanted is not None:
            residual = self.wanted[part].index_select(1, places) - mean / MEAN_UNIT
            residual = residual.flatten(1)
        rows, digits = scale_rows(scale).flatten(1), digits.flatten(1)
        found = self.script.integers(residual, rows, digits, weight)
        values = MEAN_UNIT * found.view_as(mean) + mean
        self.found[part][:, places] = values / MEAN_UNIT
        return values

    def _begin(self, part: int, script: Script) -> None:
        """Go on to another part of what is read, or stop."""
        self.part = part
        if script.ended and part <= min(1, self.first_group):
            raise EndError("the coarsest block means are not there")
        if script.ended and part >= self.first_group:
            raise BeyondLimit
        if part == self.first_group and self.limit < math.inf:
            script.stop_after(self.limit)


class NearestMeans:
    """Visitor of the block means that takes the nearest codes, and tells how far those are."""

    def __init__(self, wanted: list[Tensor]) -> None:
        """Take for each part of the pyramid values in steps (1, C, h, w)."""
        self.wanted = [to_rows(values) for values in wanted]
        self._squares, self._count = 0.0, 0

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """See `imgcodec.model.context`."""
        if part == len(self.wanted) or self._count > ENOUGH:
            raise BeyondLimit
        residual = self.wanted[part].index_select(1, places) - mean / MEAN_UNIT
        found = torch.round(residual)
        off = (residual - found)[found != 0]
        self._squares += float(off.square().sum())
        self._count += off.numel()
        return MEAN_UNIT * found + mean

    @property
    def rms(self) -> float:
        """Root of the mean square distance in steps, of codes that are not 0."""
        return math.sqrt(self._squares / self._count) if self._count else math.inf


class SingleBitCodes:
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
        """See `imgcodec.model.context`."""
        mask = self.numbers[part] < self.keep[places][:, None]
        wanted = None
        if self.wanted is not None:
            wanted = self.wanted[part].index_select(0, places)[mask]
        signs = torch.zeros_like(mean[0])
        signs[mask] = 2 * self.script.bits(wanted, mean[0][mask]) - 1
        self.found[part][0, places] = signs
        return SINGLE_BIT * signs[None]


def scale_rows(scale: Tensor) -> Tensor:
    """Return scales as rows of the tables, int64."""
    return scale.clamp(0, NUM_SCALES - 1).long()

"""Visitors of the context models that know what is coded and add up what it costs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model.binarizer import round_cheaply
from imgcodec.model.cells import choose_cells, known_bits, logistic_bits
from imgcodec.model.context import to_map, to_rows
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES, Costs

SINGLE_BIT = 4 * MEAN_UNIT  # how the context model sees a bit: plus or minus this


class _Counting:
    """What the visitors share: what is coded costs bits."""

    def __init__(self) -> None:
        self._found: list[Tensor] = []  # (B, ...) of each step

    @property
    def bits(self) -> Tensor:
        """Bits of each picture so far, (B,)."""
        return torch.cat([found.flatten(1) for found in self._found], 1).sum(1)


class LevelBits(_Counting):
    """A visitor that knows the levels and adds up what they cost, with gradient to both."""

    def __init__(self, levels: Tensor) -> None:
        super().__init__()
        self.levels = to_rows(levels)

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Take the levels of one step."""
        levels = self.levels.index_select(1, places)
        # files round the mean to whole levels; the cost around the mean itself keeps it in the
        # middle of one, where no change of the rate lets it jump
        self._found.append(logistic_bits(levels - mean / MEAN_UNIT, scale))
        return MEAN_UNIT * levels


class LatentBits(_Counting):
    """A visitor that knows the latents, rounds them and adds up what they cost.

    Without weights, latents are rounded to the nearest and the bits are those of latents with
    uniform noise, which have gradients. With weights, they become what costs least, bits and
    weighted squared error together, and the bits are those of that: see `choose_cells` for the
    gradients. Latents may have none; then none goes through their rounded values either.
    """

    def __init__(
        self, parts: list[Tensor], weights: list[Tensor] | None, costs: Costs, training: bool
    ) -> None:
        super().__init__()
        self.parts = [to_rows(part) for part in parts]
        self.sizes = [part.shape[2:] for part in parts]
        self.weights = None if weights is None else [to_rows(weight) for weight in weights]
        self.costs, self.training = costs, training
        self.rounded: list[list[tuple[Tensor, Tensor]]] = [[] for _ in parts]

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Round the latents of one step."""
        y = self.parts[part].index_select(1, places)
        if self.weights is None:
            bits, value = self._round(y, mean, scale)
        else:
            weight = self.weights[part].index_select(1, places)
            if self.training or y.requires_grad:
                bits, value = choose_cells(y, mean, scale, weight, self.costs, self.training)
                if not y.requires_grad:
                    value = value.detach()
            else:
                bits, value = self._round_cheaply(y, mean, scale, weight)
        self._found.append(bits)
        self.rounded[part].append((places, value))
        return MEAN_UNIT * value.detach()

    def _round(self, y: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Round to the nearest; bits are those of latents with noise."""
        middle = mean.detach() / MEAN_UNIT
        cells = torch.round((y - middle).detach())
        noise = torch.rand_like(y) - 0.5
        bits = logistic_bits(y - mean / MEAN_UNIT + noise, scale)
        return bits, cells + middle + (y - y.detach())

    def _round_cheaply(
        self, y: Tensor, mean: Tensor, scale: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Round latents without gradient."""
        middle = mean / MEAN_UNIT
        rows = scale.round().clamp(0, NUM_SCALES - 1).long()
        cells, bits = round_cheaply(y - middle, rows, None, weight, self.costs.bits)
        return bits, cells + middle

    def result(self) -> list[Tensor]:
        """Return the rounded latents in steps, part by part, with the latents' gradient."""
        parts = []
        for steps, size in zip(self.rounded, self.sizes, strict=True):
            order = torch.argsort(torch.cat([places for places, _ in steps]))
            values = torch.cat([values for _, values in steps], 1)
            parts.append(to_map(values.index_select(1, order), *size))
        return parts


class KnownBits(_Counting):
    """A visitor that knows what latents were rounded to, and adds up what that costs.

    The gradient of a value is that of what others cost that are predicted from it.
    """

    def __init__(self, parts: list[Tensor], costs: Costs) -> None:
        super().__init__()
        self.parts, self.costs = [to_rows(part) for part in parts], costs

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Take the latents of one step."""
        values = MEAN_UNIT * self.parts[part].index_select(1, places)
        self._found.append(known_bits(values.detach(), mean, scale, self.costs))
        return values


class SingleBits(_Counting):
    """A visitor that knows single bits, -1 or 1 and 0 where none is kept, and what they cost."""

    def __init__(self, parts: list[Tensor]) -> None:
        super().__init__()
        self.parts = [to_rows(part) for part in parts]

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Take the bits of one step."""
        signs = self.parts[part].index_select(1, places)
        cost = F.softplus(-signs * mean / MEAN_UNIT) / 0.6931472
        self._found.append(cost * signs.abs())
        return SINGLE_BIT * signs

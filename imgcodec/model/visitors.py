"""Visitors of the context models that know what is coded and add up what it costs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model.binarizer import round_cheaply
from imgcodec.model.context import to_map, to_rows
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES, SCALE_ZERO, SCALES_PER_OCTAVE

WARMTH = 2.0  # bits
SAMPLING_WARMTH = 0.7  # bits
HIDING_WARMTH = 1.2  # the same where signs may be hidden: how often files have the dearer choice
HIDING_ROW = 18  # scale index from which they may be, that of `imgcodec.entropy.sign_hiding`
SINGLE_BIT = 4 * MEAN_UNIT  # how the context model sees a bit: plus or minus this


class LevelBits:
    """A visitor that knows the levels and adds up what they cost, with gradient to both."""

    def __init__(self, levels: Tensor) -> None:
        self.levels = to_rows(levels)
        self.bits = levels.new_zeros(len(levels))

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Take the levels of one step."""
        levels = self.levels.index_select(1, places)
        # files round the mean to whole levels; the cost around the mean itself keeps it in the
        # middle of one, where no change of the rate lets it jump
        bits = logistic_bits(levels - mean / MEAN_UNIT, scale)
        self.bits = self.bits + bits.sum((1, 2))
        return MEAN_UNIT * levels


class LatentBits:
    """A visitor that knows the latents, rounds them and adds up what they cost.

    Without weights, latents are rounded to the nearest and the bits are those of latents with
    uniform noise, which have gradients.

    With weights, they become what costs least, bits and weighted squared error together, and the
    bits are those of that. Latents have the gradient of the expected cost of a random choice
    between two neighbouring cells, of probability p = sigmoid(-difference of costs / WARMTH):
    the slope of p times the difference of costs, the decoder's true one for the squared error.
    In training the choice is a random one indeed, so that the decoder knows both; scales learn
    from the cells chosen, means from noise.
    """

    def __init__(
        self, parts: list[Tensor], weights: list[Tensor] | None, costs: Tensor, training: bool
    ) -> None:
        self.parts = [to_rows(part) for part in parts]
        self.sizes = [part.shape[2:] for part in parts]
        self.weights = None if weights is None else [to_rows(weight) for weight in weights]
        self.costs, self.training = costs, training
        self.bits = parts[0].new_zeros(len(parts[0]))
        self.rounded: list[list[tuple[Tensor, Tensor]]] = [[] for _ in parts]

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Round the latents of one step."""
        y = self.parts[part].index_select(1, places)
        middle = mean.detach() / MEAN_UNIT
        noise = torch.rand_like(y) - 0.5
        moving = y - y.detach()
        if self.weights is None:
            cells = torch.round((y - middle).detach())
            bits = logistic_bits(y - mean / MEAN_UNIT + noise, scale)
        else:
            rows = scale.detach().round().clamp(0, NUM_SCALES - 1).long()
            weight = self.weights[part].index_select(1, places)
            if y.requires_grad:
                cells, moving, teacher = self._choose(y - middle, rows, weight)
            else:
                cells, _ = round_cheaply(y - middle, rows, None, weight, self.costs)
                teacher = torch.zeros_like(y)
            if self.training:
                noisy = y.detach() - mean / MEAN_UNIT + noise
                teacher = teacher + logistic_bits(noisy, scale.detach())
            bits = logistic_bits(cells, scale) + teacher - teacher.detach()
        self.bits = self.bits + bits.sum((1, 2))
        value = cells + middle
        self.rounded[part].append((places, value + moving))
        return MEAN_UNIT * value

    def _choose(
        self, residual: Tensor, rows: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return cells, 0 with the gradient of their mean, and bits with that of their cost."""
        size = residual.abs()
        low = size.detach().floor()
        index = low.long().clamp(max=self.costs.shape[1] - 2)
        dearer = self.costs[rows, index + 1] - self.costs[rows, index]
        difference = dearer + weight * (1 - 2 * (size - low))
        p = torch.sigmoid(-difference / WARMTH)
        limit = torch.rand_like(p) if self.training else torch.full_like(p, 0.5)
        hiding = (rows >= HIDING_ROW).float()
        warmth = SAMPLING_WARMTH + (HIDING_WARMTH - SAMPLING_WARMTH) * hiding
        up = (torch.sigmoid(-difference.detach() / warmth) > limit).float()
        sign = torch.sign(residual.detach())
        # the decoder's own gradient is that at the cell; half a step away it differs by weight
        teacher = p * (dearer + weight * (1 - 2 * up))
        return sign * (low + up), sign * (p - p.detach()), teacher

    def result(self) -> list[Tensor]:
        """Return the rounded latents in steps, part by part, with the latents' gradient."""
        parts = []
        for steps, size in zip(self.rounded, self.sizes, strict=True):
            order = torch.argsort(torch.cat([places for places, _ in steps]))
            values = torch.cat([values for _, values in steps], 1)
            parts.append(to_map(values.index_select(1, order), *size))
        return parts


class SingleBits:
    """A visitor that knows single bits, -1 or 1 and 0 where none is kept, and what they cost."""

    def __init__(self, parts: list[Tensor]) -> None:
        self.parts = [to_rows(part) for part in parts]
        self.bits = parts[0].new_zeros(len(parts[0]))

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        """Take the bits of one step."""
        signs = self.parts[part].index_select(1, places)
        cost = F.softplus(-signs * mean / MEAN_UNIT) / 0.6931472
        self.bits = self.bits + (cost * signs.abs()).sum((1, 2))
        return SINGLE_BIT * signs


def logistic_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """Return the bits of a cell of width 1 around `residual` under a logistic distribution.

    Args:
        residual: distance from the mean in steps, any shape.
        scale: scale index, same shape.
    """
    inverse = torch.exp2((SCALE_ZERO - scale.clamp(0, 111)) / SCALES_PER_OCTAVE)
    near = (residual.abs() - 0.5) * inverse
    mass = torch.sigmoid(-near) - torch.sigmoid(-near - inverse)
    return -torch.log2(mass.clamp_min(1e-7))

"""What the cell of an integer costs under the predicted distribution, and its slopes.

A step of training calls this hundreds of times on small tensors, so that the number of operations
counts more than their sizes: values and slopes are computed in one go, and a gradient is one
product. A cell of width 1 around x, under a logistic distribution of scale s, has the mass

    sigmoid(-(|x| - 1/2) / s) - sigmoid(-(|x| + 1/2) / s)

What files hold costs what a table says, which is close to that, and fitted to what is coded.
"""

from typing import Any

import torch
from torch import Tensor

from imgcodec.model.fusion import fusable
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES, SCALE_ZERO, SCALES_PER_OCTAVE, Costs

WARMTH = 2.0  # bits
SAMPLING_WARMTH = 0.7  # bits
HIDING_WARMTH = 1.2  # the same where signs may be hidden: how often files have the dearer choice
HIDING_ROW = 18  # scale index from which they may be, that of `imgcodec.entropy.sign_hiding`
LEAST_MASS = 1e-7
LN_2 = 0.6931471805599453


def logistic_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """Return the bits of a cell of width 1 around `residual` under a logistic distribution.

    Args:
        residual: distance from the mean in steps, any shape; gradients reach it.
        scale: scale index, same shape; gradients reach it.
    """
    return _LogisticBits.apply(residual, scale)  # type: ignore[no-untyped-call, no-any-return]


def choose_cells(
    y: Tensor, mean: Tensor, scale: Tensor, weight: Tensor, costs: Costs, training: bool
) -> tuple[Tensor, Tensor]:
    """Choose cells by what they cost, bits and weighted squared error together.

    Latents have the gradient of the expected cost of a random choice between two neighbouring
    cells, of probability p = sigmoid(-difference of costs / WARMTH): the slope of p times the
    difference of costs, the decoder's true one for the squared error. In training the choice is
    a random one indeed, so that the decoder knows both. Scales learn from both cells, as probable
    as they are, and means from the mean slope of what lies within half a step.

    Args:
        y: (B, T, C) latents in steps.
        mean: same shape, in 1/16 steps.
        scale: same shape, scale indices.
        weight: (B, T, 1) of a squared error of one step, in bits; no gradient reaches it.
        costs: what cells cost.
        training: whether the choice is random, and means learn.

    Returns:
        Bits, and the values chosen in steps, both (B, T, C).
    """
    return _ChosenCells.apply(y, mean, scale, weight, *costs, training)  # type: ignore[no-untyped-call, no-any-return]


def known_bits(values: Tensor, mean: Tensor, scale: Tensor, costs: Costs) -> Tensor:
    """Return the bits of values, (B, T, C).

    Means have the slope between the magnitudes beside those that are coded, 0 where that is 0.

    Args:
        values: (B, T, C) in 1/16 steps, integers of steps around the means; without gradient.
        mean: same shape, in 1/16 steps; gradients reach it.
        scale: same shape, scale indices; gradients reach it.
        costs: what cells cost.
    """
    return _KnownBits.apply(values, mean, scale, *costs)  # type: ignore[no-untyped-call, no-any-return]


class _KnownBits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, mean: Tensor, scale: Tensor, costs: Tensor, slopes: Tensor
    ) -> Tensor:
        residual = torch.round((values - mean) / MEAN_UNIT)
        rows, last = scale.clamp(0, NUM_SCALES - 1).long(), costs.shape[1] - 1
        at = residual.abs().clamp(max=last).long()
        above, below = costs[rows, (at + 1).clamp(max=last)], costs[rows, (at - 1).clamp(min=0)]
        slope_of_mean = torch.sign(residual) * (below - above) / (2 * MEAN_UNIT)
        ctx.save_for_backward(slope_of_mean, slopes[rows, at])
        return costs[rows, at]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        slope_of_mean, slope_of_scale = ctx.saved_tensors
        return None, slope_of_mean * grads[0], slope_of_scale * grads[0], None, None


class _LogisticBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, scale: Tensor) -> Tensor:
        bits, *slopes = _cost(residual, scale)
        ctx.save_for_backward(*slopes)
        return bits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True)
        return tuple(slope * grads[0] if wanted else None for slope, wanted in pairs)


class _ChosenCells(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        mean: Tensor,
        scale: Tensor,
        weight: Tensor,
        costs: Tensor,
        slopes: Tensor,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        limit = torch.rand_like(y) if training else torch.full_like(y, 0.5)
        bits, value, *own = _choice(y, mean, scale, weight, Costs(costs, slopes), limit, training)
        ctx.save_for_backward(*own)
        return bits, value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of_y, of_mean, of_scale = _slopes(*ctx.saved_tensors, *grads)
        return of_y, of_mean, of_scale, None, None, None, None


@fusable
def _cost(residual: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bits of cells, and their slopes along the residual and the scale index."""
    size, inverse = residual.abs(), _inverse(scale)
    inner, outer, mass = _mass(size, inverse)
    gain = _gain(inverse, mass)
    slope = torch.sign(residual) * _slope(inner, outer, gain)
    return -torch.log2(mass), slope, _slope_of_scale(size, scale, inner, outer, gain)


@fusable
def _choice(
    y: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor,
    costs: Costs,
    limit: Tensor,
    training: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    """Return bits and values of the cells chosen, and slopes, see `choose_cells`.

    The slopes are those of the values along the latents, and of the bits along latents, means
    and scale indices.

    Args:
        y: and the next four as in `choose_cells`.
        mean: see there.
        scale: see there.
        weight: see there.
        costs: see there.
        limit: probabilities from which the larger magnitude is chosen.
        training: whether means learn.
    """
    middle = mean / MEAN_UNIT
    residual = y - middle
    size, sign = residual.abs(), torch.sign(residual)
    low = size.floor()
    index = scale.round()
    rows = index.clamp(0, NUM_SCALES - 1)
    last = costs.bits.shape[1] - 1
    near = (rows * (last + 1) + low.clamp(max=last)).long()
    far = near + (low < last)
    bits = costs.bits.take(near)
    more = costs.bits.take(far) - bits
    difference = more + weight * (1 - 2 * (size - low))  # negative: the larger one is cheaper
    p = torch.sigmoid(-difference / WARMTH)
    hiding = (rows >= HIDING_ROW).to(y.dtype)
    warmth = SAMPLING_WARMTH + (HIDING_WARMTH - SAMPLING_WARMTH) * hiding
    larger = torch.sigmoid(-difference / warmth)
    up = (larger > limit).to(y.dtype)
    # how fast the value moves with the latent; at 0 it has no direction
    moving = (p - p * p) * weight * (2 / WARMTH) * sign.abs()
    # the decoder's own gradient is that at the cell; half a step away it differs by weight
    slope = moving * sign * (more + weight * (1 - 2 * up))
    slope_of_scale = torch.lerp(costs.slopes.take(near), costs.slopes.take(far), larger)
    slope_of_scale = slope_of_scale * (index == rows)  # none where it is clipped
    slope_of_mean = None
    if training:
        inverse = _inverse(rows)
        above, below = (_mass((residual + half).abs(), inverse)[2] for half in (0.5, -0.5))
        slope_of_mean = torch.log2(above / below) / MEAN_UNIT
    value = middle + sign * (low + up)
    return bits + up * more, value, moving, slope, slope_of_mean, slope_of_scale


@fusable
def _slopes(
    moving: Tensor,
    slope: Tensor,
    slope_of_mean: Tensor | None,
    slope_of_scale: Tensor,
    bits: Tensor,
    value: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return the gradients of latents, means and scale indices, from those of bits and values."""
    of_mean = None if slope_of_mean is None else slope_of_mean * bits
    return torch.addcmul(moving * value, slope, bits), of_mean, slope_of_scale * bits


def _inverse(scale: Tensor) -> Tensor:
    """Return 1 / s of scale indices."""
    return torch.exp2((SCALE_ZERO - scale.clamp(0, NUM_SCALES - 1)) / SCALES_PER_OCTAVE)


def _mass(size: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what lies beyond the near and the far edge of cells, and between them."""
    near = (size - 0.5) * inverse
    inner, outer = torch.sigmoid(-near), torch.sigmoid(-near - inverse)
    return inner, outer, (inner - outer).clamp_min(LEAST_MASS)


def _gain(inverse: Tensor, mass: Tensor) -> Tensor:
    """Return 1 / (mass * scale); 0 where the mass is the least."""
    return inverse / mass * (mass > LEAST_MASS)


def _slope(inner: Tensor, outer: Tensor, gain: Tensor) -> Tensor:
    """Return how fast the bits grow with the magnitude."""
    return gain * ((inner - inner * inner) - (outer - outer * outer)) / LN_2


def _slope_of_scale(
    size: Tensor, scale: Tensor, inner: Tensor, outer: Tensor, gain: Tensor
) -> Tensor:
    """Return how fast the bits grow with the scale index, 0 where that is clipped."""
    far, near = (outer - outer * outer) * (size + 0.5), (inner - inner * inner) * (size - 0.5)
    inside = scale == scale.clamp(0, NUM_SCALES - 1)
    return gain * (far - near) / SCALES_PER_OCTAVE * inside

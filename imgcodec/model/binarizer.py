"""Binarizer B: real latents -> binary codes, with gradients that pass through.

Two forms. K = 1 is the paper's: one bit per channel, equation (1), with the piecewise linear
surrogate (2), (3). The expansion writes a channel as an integer in sign-magnitude binary: the
latent is divided by its step, rounded to an integer around a predicted mean, and that integer's
digits are the codes; its gradient is that of the identity.
"""

from typing import Any

import torch
from torch import Tensor


class _Binarize(torch.autograd.Function):
    """Equation (1) forward, equation (3) backward."""

    @staticmethod
    def forward(ctx: Any, e: Tensor) -> Tensor:
        ctx.save_for_backward(e)
        return (e > 0.5).to(e.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (e,) = ctx.saved_tensors
        return torch.where((e >= 0) & (e <= 1), grads[0], 0.0)


def binarize(e: Tensor) -> Tensor:
    """Return B(e): 1 where e > 0.5 else 0, any shape; gradient 1 on 0 <= e <= 1, else 0."""
    return _Binarize.apply(e)  # type: ignore[no-untyped-call, no-any-return]


def round_cheaply(
    wanted: Tensor, rows: Tensor, largest: Tensor | None, weight: Tensor, costs: Tensor
) -> tuple[Tensor, Tensor]:
    """Round to the nearest integer or the next one towards zero, whichever costs less in all.

    Args:
        wanted: real values, any shape.
        rows: their scale indices, int64.
        largest: greatest magnitudes allowed, int64; None for no limit.
        weight: of the squared error, in bits.
        costs: (scales, magnitudes) bits of each magnitude; larger ones cost as the last.

    Returns:
        (integers as float32, their bits).
    """
    size = wanted.abs()
    magnitude = torch.round(size).long()
    if largest is not None:
        magnitude = torch.minimum(magnitude, largest)
    smaller = (magnitude - 1).clamp_min(0)
    last = costs.shape[1] - 1
    cost = costs[rows, magnitude.clamp(max=last)]
    smaller_cost = costs[rows, smaller.clamp(max=last)]
    added = weight * ((size - smaller).square() - (size - magnitude).square())
    down = cost - smaller_cost > added
    magnitude = torch.where(down, smaller, magnitude)
    integers = torch.where(wanted < 0, -magnitude, magnitude).float()
    return integers, torch.where(down, smaller_cost, cost)

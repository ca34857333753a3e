"""Encoder effort: the latents of one picture, refined through the frozen decoder.

The encoder was fitted to all pictures. For the one at hand more is known: what the decoder makes
of the cells. Latents descend along the gradient of the expected cost, bits + lambda * distortion,
of their choice between cells, see `LatentBits`. Files stay ordinary files.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from imgcodec.model import Codes, Model
from imgcodec.model.distortion import distortion, lmbda
from imgcodec.model.visitors import LatentBits

STEP_SIZE = 0.12  # of the first step, against that of a weighted squared error
SLOWING = 6  # steps after which they are half as long


class Trial(NamedTuple):
    """What a choice of latents comes to."""

    cost: float  # bits + lambda * distortion, in bits
    slope: Tensor  # of the cost, in bits a quantiser step, (1, latents, h, w)


def refine(
    model: Model, costs: Tensor, x: Tensor, e: Tensor, levels: Tensor, u: Tensor, rounds: int
) -> Tensor:
    """Return better latents, of the same shape as e.

    Args:
        model: frozen, without gradients of its own.
        costs: (scales, magnitudes) bits of each magnitude.
        x: (1, 3, H, W) pixels in 0..1, H and W multiples of 8.
        e: (1, latents, h, w) what the encoder puts out.
        levels: (1, 1, h, w) integers.
        u: (1,) rate parameter.
        rounds: steps of the descent.
    """
    with torch.inference_mode(False):
        x, e, levels, u = (tensor.clone() for tensor in (x, e, levels, u))
        trial = _try(model, costs, x, e, levels, u)
        found, least = e, trial.cost
        # of one quantiser step's length in the units of e, where the cost were quadratic
        scale = model.steps(levels, u) / (2 * model.error_weight(levels))
        for number in range(rounds):
            e = e - STEP_SIZE / (1 + number / SLOWING) * scale * trial.slope
            trial = _try(model, costs, x, e, levels, u)
            if trial.cost < least:
                found, least = e, trial.cost
        return found


def _try(model: Model, costs: Tensor, x: Tensor, e: Tensor, levels: Tensor, u: Tensor) -> Trial:
    """Choose cells for latents, decode them and differentiate."""
    with torch.enable_grad():
        steps = model.steps(levels, u)
        y = (e / steps).requires_grad_()
        with torch.autocast(x.device.type, enabled=False):
            parts = model.split(y, levels)
            visit = LatentBits(parts, model.rounding_weights(levels), costs, False)
            model.walk_codes(levels, u, visit)
            y_hat = model.join(visit.result(), levels) * steps
        decoded = model.reconstruct(Codes(levels, y_hat), u)
        error = (lmbda(u) * distortion(x, decoded, model.config.metric)).sum()
        cost = visit.bits.sum() + error * (x.shape[2] * x.shape[3])
        (slope,) = torch.autograd.grad(cost, [y])
    return Trial(cost.item(), slope)

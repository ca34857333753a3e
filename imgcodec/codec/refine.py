"""Latents of pictures, refined through the frozen decoder.

The encoder was fitted to all pictures. Before anything is rounded, the decoder shows what it would
make of its latents, and they go a part of the way to those of which it makes the picture itself.

Nor does the encoder know how its latents will be rounded. Once they are, the decoder shows what is
wrong, and the latents go a part of the way to where the error should be least if it were
quadratic. Files stay ordinary files.

The first round takes codes that hide no signs, and may go further; under the squared error it
follows the slope through the decoder's linear skip alone, which takes no more than a decoding and
gives no less. For the eye it moves levels, too: where errors cost more than it takes to make them
less, a place gets finer steps, where they cost less it gets coarser ones. The later rounds know
the hidden signs, and under the squared error also what codes tell of those after them. All latents
go at once, and answer for the same errors; so each later round goes less far than the last.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from imgcodec.errors import AicError
from imgcodec.model import Dequantised, Model
from imgcodec.model.layers import mixed
from imgcodec.model.steps import error_weight, lmbda
from imgcodec.model.tables import Costs
from imgcodec.model.visitors import KnownBits
from imgcodec.perceptual.distortion import distortion
from imgcodec.runtime.forks import undivided


class Approach(NamedTuple):
    """How far latents go before they are rounded."""

    means: float  # share of the way to those of which the decoder makes the picture: block means
    others: float  # the same of other latents


# By metric; for the eye it gains nothing. It takes a decoding, too long for effort 1.
APPROACH = {"mse": Approach(0.5, 0.5), "ms-ssim": Approach(0.3, 0.15)}
APPROACH_EFFORT = 2


class Shares(NamedTuple):
    """How far a round goes: shares of the way to the codes, and from there of two others."""

    codes: float  # so that what was chosen is chosen again
    error: float  # to the least error, if it were quadratic
    bits: float  # as far as that, for the slope of the bits of other codes


# By metric, of the first round and of the second; and how far a later one goes beside the last.
FIRST_SHARES = {
    "mse": Shares(0.3, 0.5, 0.0),
    "ms-ssim": Shares(0.15, 0.1, 0.0),
    "eye": Shares(0.25, 0.15, 0.0),
}
SHARES = {
    "mse": Shares(0.2, 0.3, 0.5),
    "ms-ssim": Shares(0.1, 0.07, 0.0),
    "eye": Shares(0.1, 0.08, 0.0),
}
LATER = 0.85
# Steps that a latent moves at most to the least error. Where structure is lost, the slope of what
# people see has no bound, and the error is nothing like quadratic.
FARTHEST = {"mse": 0.5, "ms-ssim": 0.5, "eye": 0.2}


# Share of the way to where an octave of finer steps takes as much as the errors that it saves.
LEVEL_SHARE = {"eye": 0.2}
LEVEL_SIDE = 7  # places across and down that are looked at together: single ones tell little
LEVEL_LEAST = 0.2  # of their means: what errors and bits count more than they are
FARTHEST_LEVEL = 1.5
LEAST = 1e-9  # of flat pictures, in which nothing costs anything


def by_skip(model: Model) -> bool:
    """Return whether the first round of a model takes no more than a decoding."""
    return model.config.metric == "mse" and model.config.skip


@undivided()
def slope_of(model: Model, x: Tensor, coded: Dequantised, u: Tensor, number: int) -> Tensor:
    """Return the slope of lambda times the distortion along the codes, of the shape of y_hat.

    Args:
        model: frozen, without gradients of its own.
        x: (B, 3, H, W) pixels in 0..1, H and W multiples of 8.
        coded: what files have of the latents, dequantised; in the first round, what one without
            hidden signs has.
        u: (B,) rate parameters.
        number: of the round, from 0.
    """
    return (_slope if number or not by_skip(model) else _slope_by_skip)(model, x, coded, u)


def finer_levels(model: Model, slope: Tensor, y: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return by how many levels each place should be finer, (B, 1, h, w).

    Errors grow with the square of the steps: those of a place cost about half of what their slope
    tells, and 2 ln 2 times that for each octave. An octave takes about a bit for each code that is
    not 0. A level is half an octave.

    Args:
        model: as in `slope_of`.
        slope: of the errors.
        y: (B, latents, h, w) what the encoder puts out.
        coded: what files have of it.
        u: (B,) rate parameters.
    """
    means = model.config.lattice
    cost = (slope * (coded.y_hat - y))[:, means:].sum(1, keepdim=True)
    codes = (coded.y_hat / model.steps(coded.levels, u))[:, means:].abs().clamp(max=1)
    cost, bits = (_smooth(of) for of in (cost, codes.sum(1, keepdim=True)))
    levels = torch.log2(cost / bits)
    usual = (bits * levels).sum((2, 3), keepdim=True) / bits.sum((2, 3), keepdim=True)
    share = LEVEL_SHARE[model.config.metric]
    return (share * (levels - usual)).clamp(-FARTHEST_LEVEL, FARTHEST_LEVEL)


@undivided()
def refine(
    model: Model,
    slope: Tensor,
    y: Tensor,
    parts: Sequence[Tensor],
    coded: Dequantised,
    u: Tensor,
    costs: Costs,
    number: int,
) -> Tensor:
    """Return better latents, of the same shape as y.

    Args:
        model: as in `slope_of`.
        slope: of the errors.
        y: (B, latents, h, w) what the encoder puts out.
        parts: what files have of them, in steps.
        coded: the same, dequantised.
        u: (B,) rate parameters.
        costs: of codes.
        number: of the round, from 0.
    """
    metric = model.config.metric
    steps = model.steps(coded.levels, u)
    weight = error_weight(coded.levels, model.config) / steps.square()  # of a squared error
    shares = SHARES[metric] if number else FIRST_SHARES[metric]
    slope = shares.error * slope
    if shares.bits:
        slope += shares.bits / steps * _slope_of_bits(model, parts, coded.levels, u, costs)
    less = LATER ** max(number - 1, 0)
    most = FARTHEST[metric] * steps
    down = torch.clamp(less * slope / (2 * weight), -most, most)
    refined: Tensor = y + less * shares.codes * (coded.y_hat - y) - down
    return refined


def _smooth(values: Tensor) -> Tensor:
    """Return the means of squares around each place, (B, 1, h, w), none of them below a share."""
    around = F.pad(values, (LEVEL_SIDE // 2,) * 4, mode="replicate")
    found = F.avg_pool2d(around, LEVEL_SIDE, 1).clamp(min=0)
    return found + LEVEL_LEAST * found.mean((2, 3), keepdim=True) + LEAST


def _slope(model: Model, x: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return the slope of lambda times the distortion along the codes."""
    with torch.inference_mode(False), torch.enable_grad():
        x, levels, u = (tensor.clone() for tensor in (x, coded.levels, u))
        y_hat = coded.y_hat.clone().requires_grad_()
        decoded = model.reconstruct(Dequantised(levels, y_hat), u).float()
        error = lmbda(u) * distortion(x, decoded, model.config.metric)
        (slope,) = _gradient(error.sum() * (x.shape[2] * x.shape[3]), y_hat)
    return slope


def _slope_by_skip(model: Model, x: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return what `_slope` does of the squared error, as if the trunk did not see the codes."""
    error = model.reconstruct(coded, u).float() - x
    along = 2 * lmbda(u)[:, None, None, None] / x.shape[1] * error
    slopes = model.transform.slopes(along, model.deviation)
    weight = model.g_s.skip.weight[:, :, 0, 0].T  # type: ignore[union-attr]
    with torch.autocast(x.device.type, enabled=False):
        return mixed(slopes.permute(0, 2, 3, 1)[:, :, None], weight).permute(0, 3, 1, 2)


def _slope_of_bits(
    model: Model, parts: Sequence[Tensor], levels: Tensor, u: Tensor, costs: Costs
) -> Tensor:
    """Return the slopes of what other codes cost along the codes in steps, (B, latents, h, w).

    Those of the block means are left at 0.
    """
    own = model.config.pyramid_parts
    with torch.inference_mode(False), torch.enable_grad():
        parts, levels, u = [part.clone() for part in parts], levels.clone(), u.clone()
        groups = [part.requires_grad_() for part in parts[own:]]
        visitor = KnownBits(parts, Costs(*(table.clone() for table in costs)))
        with torch.autocast(levels.device.type, enabled=False):
            model.walk_codes(levels, u, visitor)
        # of a single place, nothing is predicted from the last group
        total = visitor.bits.sum() + 0.0 * sum(group.sum() for group in groups)
        slopes = _gradient(total, *groups)
    means = levels.new_zeros(len(levels), model.config.lattice, *levels.shape[2:])
    return torch.cat([means, *slopes], 1)


def _gradient(of: Tensor, *to: Tensor) -> tuple[Tensor, ...]:
    """Return gradients.

    Raises:
        AicError: in a forked child, where torch has GPUs and the parent took a gradient already.
    """
    try:
        return torch.autograd.grad(of, to)
    except RuntimeError as error:
        if "fork" not in str(error):
            raise
        raise AicError(
            "effort above 1 in a forked process, after its parent; start it by spawn"
        ) from error

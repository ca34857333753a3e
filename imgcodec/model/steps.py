"""How coarsely latents are quantised: steps, what levels make of them, and what errors weigh."""

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model import pyramid
from imgcodec.model.config import ModelConfig
from imgcodec.model.dct import STRIDE
from imgcodec.model.tables import RATE_INDICES

SSIM_C2 = 0.03**2  # of the structural similarity of pixels in 0..1
MASKING_LEVEL = -6.4  # log2 of the variance, and C2, whose level is the quantizer's; usual ones
LMBDA_LOW, LMBDA_OCTAVES = 4.0, 14.0  # lambda(u) = 4 * 2^(14 u)
HIGH_RATE_STEP = 26.0  # step^2 * lambda at which a fine uniform quantiser is optimal
# How many times errors of the block means, of the first group, of the second and of the others
# count when latents are rounded: what is coded early tells about what follows, zeros make those
# beside them cheap, and most of MS-SSIM looks at reduced pictures.
ROUNDING = {
    "mse": (1.4, 1.2, 0.9, 0.48),
    "ms-ssim": (1.5, 1.7, 1.0, 1.0),
    "eye": (1.0, 1.9, 1.0, 1.0),
}


def lmbda(u: Tensor) -> Tensor:
    """Return the weight of the distortion at rate parameter u, 0..1."""
    return LMBDA_LOW * 2 ** (LMBDA_OCTAVES * u)


def middle_step(u: Tensor) -> Tensor:
    """Return the step of the middle level at rate parameter u, in pixels 0..1."""
    return torch.sqrt(HIGH_RATE_STEP / lmbda(u))


def relative_step(levels: Tensor, config: ModelConfig) -> Tensor:
    """Return the step of each level as a multiple of that of the middle level."""
    return torch.exp2((config.levels // 2 - levels) / 2)


def rate_index(u: Tensor) -> Tensor:
    """Return u in eighths of an octave of the step, integers 0..56 as float32."""
    return torch.round(u * RATE_INDICES)


def eighths(levels: Tensor, config: ModelConfig) -> list[Tensor]:
    """Return by how much the pyramid's steps are finer than that of the middle level.

    Eighths of an octave, integers as float32, (B, 1, h_p, w_p) for each part of the pyramid.
    Only where levels say how much an error matters do its details follow them.
    """
    if not config.lattice:
        return []
    b, _, h, w = levels.shape
    sizes = [config.part_size(part, h, w) for part in range(config.pyramid_parts)]
    found = [levels.new_zeros(b, 1, *size) for size in sizes]
    if config.levelled:
        for octave, finer in enumerate(pyramid.eighths(levels, config.levels // 2)):
            found[2 * octave + 1] = found[2 * octave + 2] = finer
    return found


def rounding_weights(levels: Tensor, config: ModelConfig) -> list[Tensor]:
    """Return the weight of a squared error of one step against bits for each part.

    It is that of the training loss, lambda * step^2 / 3, `ROUNDING` times; latents are rounded
    towards zero where that costs less in all. Where the levels say how much an error matters,
    as with MS-SSIM, an error of one step matters as much at every level.

    Returns:
        One (B, 1, h, w) of each part's size.
    """
    b, _, h, w = levels.shape
    sizes = [config.part_size(part, h, w) for part in range(config.pyramid_parts)]
    means, *groups = _rounding(config)
    weight = _group_weight(levels, config)
    return [
        *(levels.new_full((b, 1, *size), means * HIGH_RATE_STEP / 3) for size in sizes),
        *(factor * weight for factor in groups),
    ]


def error_weight(levels: Tensor, config: ModelConfig) -> Tensor:
    """Return the weight of a squared error of one step in the loss, (B, latents, h, w).

    Errors of the block means add up over their neighbourhood: they count twice.
    """
    sizes = config.lattice, config.latents - config.lattice
    weights = torch.full_like(levels, 2 * HIGH_RATE_STEP / 3), _group_weight(levels, config)
    return torch.cat([w.expand(-1, n, -1, -1) for w, n in zip(weights, sizes, strict=True)], 1)


def masking(t: Tensor, deviation: Tensor) -> Tensor:
    """Return by how many levels the texture of a place moves it under MS-SSIM, (B, 1, h, w).

    Negative where there is more of it than usual: steps may be larger there.
    """
    luma = t[:, 1 : STRIDE**2].float() * deviation[1 : STRIDE**2, None, None]
    variance = luma.square().sum(1, keepdim=True) / (3 * STRIDE**2)  # of the colours' mean
    around = F.avg_pool2d(variance, 3, 1, 1, count_include_pad=False)
    return MASKING_LEVEL - torch.log2(around + SSIM_C2)


def _rounding(config: ModelConfig) -> list[float]:
    """Return how many times errors of the block means and of each group count."""
    *low, others = ROUNDING[config.metric]
    return [*low, *[others] * len(config.groups)][: 1 + len(config.groups)]


def _group_weight(levels: Tensor, config: ModelConfig) -> Tensor:
    weight = torch.full_like(levels, HIGH_RATE_STEP / 3)
    if not config.levelled:
        weight = weight * relative_step(levels, config).square()
    return weight

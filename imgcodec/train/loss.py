"""Losses: rate plus lambda times distortion, and the paper's equations (9) to (11)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model import STRIDE, Rates
from imgcodec.model.steps import lmbda
from imgcodec.perceptual.distortion import distortion

LEAST_COST = 0.01  # bits per pixel; keeps empty patches from counting for more and more
ERRORS = 0.011  # bits per pixel; lambda * the squared error is about this times lambda^0.5
# Squared error of rounding to 8 bits, in 0..1. Less counts as that, 58.9 dB: a picture without any
# error, as plain ones are, would leave no mean over pictures.
LEAST_ERROR = 1 / 12 / 255**2
# The eye's: of the hatch, how much it counts; blocks whose deviation is below `FLAT` are flat.
HATCH_WEIGHT, FLAT, LEAST_FLAT = 60.0, 3 / 255, 32
PAPER_LMBDA = 1.0  # lambda of equation (9)
PAPER_WARM_UP = 20_000  # w_s, steps


def rate_distortion(
    x: Tensor, x_hat: Tensor, rates: Rates, u: Tensor, metric: str = "mse"
) -> Tensor:
    """Return the mean logarithm of rate + lambda(u) * distortion over the pictures.

    The logarithm gives every picture and every lambda the same weight, as BD-rates do: without it
    a few pictures of much texture at low rates make most of the gradient.

    Args:
        x: (B, 3, H, W) in 0..1.
        x_hat: same shape.
        rates: estimated bits.
        u: (B,) rate parameter.
        metric: "mse", "ms-ssim" or "eye", see `distortion`.
    """
    bpp = _bpp(x, rates)
    errors = distortion(x, x_hat, metric)
    if metric == "eye":
        errors = errors + HATCH_WEIGHT * hatch(x, x_hat)
    return torch.log(bpp + lmbda(u) * errors + LEAST_COST).mean()


def rate(x: Tensor, rates: Rates, u: Tensor) -> Tensor:
    """Return the mean logarithm of the rate over the pictures, for what changes no picture.

    What errors cost at u, about as much as bits do, keeps pictures of few bits from counting for
    most, as in `rate_distortion`.

    Args:
        x: (B, 3, H, W).
        rates: estimated bits.
        u: (B,) rate parameter.
    """
    return torch.log(_bpp(x, rates) + ERRORS * torch.sqrt(lmbda(u))).mean()


def _bpp(x: Tensor, rates: Rates) -> Tensor:
    return (rates.codes + rates.levels) / x.shape[2] / x.shape[3]


def hatch(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the pattern that the transform's grid leaves in flat places, its variance, (B,).

    Metrics of structure take it for texture. It is that of the mean of all 8x8 blocks, luma less
    its mean over 3x3 pixels, where the original is flat; 0 where fewer than `LEAST_FLAT` are.
    """
    luma, luma_hat = (
        0.299 * p[:, :1] + 0.587 * p[:, 1:2] + 0.114 * p[:, 2:] for p in (x, x_hat.clamp(0, 1))
    )
    around = F.avg_pool2d(F.pad(luma_hat, (1, 1, 1, 1), mode="replicate"), 3, 1)
    flat = _blocks(luma).var((2, 4), keepdim=True) < FLAT**2
    count = flat.sum((1, 2, 3, 4))
    mean = (_blocks(luma_hat - around) * flat).sum((1, 3)) / count.clamp_min(1)[:, None, None]
    return torch.where(count < LEAST_FLAT, 0 * count, mean.var((1, 2), correction=0))


def _blocks(plane: Tensor) -> Tensor:
    """Return planes (B, 1, H, W) as (B, H / 8, 8, W / 8, 8)."""
    blocks: Tensor = plane[:, 0].unflatten(2, (-1, STRIDE)).unflatten(1, (-1, STRIDE))
    return blocks


def paper(x: Tensor, x_hat: Tensor, rates: Rates, importance: Tensor, u: Tensor) -> Tensor:
    """Return equation (9): squared error (10) plus the rate surrogate (11).

    The threshold r is u times the number of places, so that one network covers many rates. The
    bits of the context models are added; no gradient of theirs reaches the networks of the paper.
    """
    distortion = (x_hat - x).square().sum((1, 2, 3))
    excess = (importance.sum((1, 2, 3)) - u * importance[0].numel()).clamp_min(0)
    return (distortion + PAPER_LMBDA * excess + (rates.codes + rates.levels) * 1e-3).mean()


def paper_learning_rate(step: int, pixels: int, places: int) -> float:
    """Return d^-0.5 min(t^-0.5, t w_s^-1.5), with d the numbers that the model puts out.

    The paper prints w_s^-0.5; only -1.5 gives the linear rise over w_s steps that it describes.
    """
    rise, fall = step / math.pow(PAPER_WARM_UP, 1.5), 1 / math.sqrt(step)
    scale = math.sqrt(3 * pixels + places)
    return min(rise, fall) / scale


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the PSNR in dB of each picture, after rounding to 8 bits, (B,); see `LEAST_ERROR`."""
    rounded = torch.round(x_hat.clamp(0, 1) * 255) / 255
    error = (rounded - x).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(LEAST_ERROR))

"""Losses: rate plus lambda times distortion, and the paper's equations (9) to (11)."""

import math

import torch
from torch import Tensor

from imgcodec.model import Rates
from imgcodec.model.distortion import distortion, lmbda

LEAST_COST = 0.01  # bits per pixel; keeps empty patches from counting for more and more
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
        metric: "mse" or "ms-ssim".
    """
    rate = (rates.codes + rates.levels) / x.shape[2] / x.shape[3]
    return torch.log(rate + lmbda(u) * distortion(x, x_hat, metric) + LEAST_COST).mean()


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
    """Return the PSNR in dB of each picture, after rounding to 8 bits, (B,)."""
    rounded = torch.round(x_hat.clamp(0, 1) * 255) / 255
    return -10 * torch.log10((rounded - x).square().mean((1, 2, 3)))

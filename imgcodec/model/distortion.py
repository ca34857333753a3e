"""How far decoded pixels are from the original, on the scale of the loss rate + lambda * D."""

import torch
from torch import Tensor

from imgcodec.model.ms_ssim import ms_ssim

METRICS = {"psnr": "mse", "ms-ssim": "ms-ssim"}  # what weights are tuned to, and its distortion
TUNES = {metric: tune for tune, metric in METRICS.items()}
# 1 - MS-SSIM in units of a squared error: with it, weights fitted to either cover much the same
# rates with u. Weights fitted to the squared error have 0.019 of it for each 1 - MS-SSIM, on
# photographs between 0.1 and 1 bit per pixel; those fitted to MS-SSIM need fewer bits.
SIMILARITY_WEIGHT = 0.027
LMBDA_LOW, LMBDA_OCTAVES = 4.0, 14.0  # lambda(u) = 4 * 2^(14 u)


def lmbda(u: Tensor) -> Tensor:
    """Return the weight of the distortion at rate parameter u, 0..1."""
    return LMBDA_LOW * 2 ** (LMBDA_OCTAVES * u)


def distortion(x: Tensor, x_hat: Tensor, metric: str) -> Tensor:
    """Return the distortion of each picture, float32 (B,).

    Args:
        x: (B, C, H, W) in 0..1; for "ms-ssim" both sides are at least 161.
        x_hat: same shape.
        metric: "mse", or "ms-ssim" for a multiple of 1 - MS-SSIM.
    """
    if metric == "mse":
        return (x_hat - x).square().mean((1, 2, 3))
    with torch.autocast(x.device.type, enabled=False):
        similarity = ms_ssim(x.float(), x_hat.float(), peak=1)
    return SIMILARITY_WEIGHT * (1 - similarity)

"""How far decoded pixels are from the original, on the scale of the loss rate + lambda * D."""

import torch
from torch import Tensor

from imgcodec.perceptual.cvvdp import visible
from imgcodec.perceptual.ms_ssim import MIN_SIDE, ms_ssim
from imgcodec.perceptual.ssimulacra2 import impairment

# What weights are tuned to, and its distortion.
METRIC_OF_TUNE = {"psnr": "mse", "ms-ssim": "ms-ssim", "eye": "eye"}
TUNE_OF_METRIC = {metric: tune for tune, metric in METRIC_OF_TUNE.items()}
# 1 - MS-SSIM in units of a squared error: with it, weights fitted to either cover much the same
# rates with u. Weights fitted to the squared error have 0.019 of it for each 1 - MS-SSIM, on
# photographs between 0.1 and 1 bit per pixel; those fitted to MS-SSIM need fewer bits.
SIMILARITY_WEIGHT = 0.027
# The eye's: impairment of SSIMULACRA 2, visible difference of CVVDP, 1 - MS-SSIM and squared error
# in units of a squared error. On photographs at 0.3 bits per pixel they make 65, 14, 15 and 6 %.
IMPAIRMENT_WEIGHT, VISIBLE_WEIGHT, STRUCTURE_WEIGHT, SQUARE_WEIGHT = 2.8e-5, 3e-6, 2e-3, 0.03


def distortion(x: Tensor, x_hat: Tensor, metric: str) -> Tensor:
    """Return the distortion of each picture, float32 (B,).

    Args:
        x: (B, C, H, W) in 0..1; for "ms-ssim" both sides are at least 161, for "eye" 8,
            and C = 3.
        x_hat: same shape; for "eye" what is outside of 0..1 is clipped, as in files of pictures.
        metric: "mse", "ms-ssim" for a multiple of 1 - MS-SSIM, or "eye" for what people see.
    """
    if metric == "mse":
        return (x_hat - x).square().mean((1, 2, 3))
    with torch.autocast(x.device.type, enabled=False):
        x, x_hat = x.float(), x_hat.float()
        if metric == "ms-ssim":
            return SIMILARITY_WEIGHT * (1 - ms_ssim(x, x_hat, peak=1))
        x_hat = x_hat.clamp(0, 1)
        seen = IMPAIRMENT_WEIGHT * impairment(x, x_hat) + VISIBLE_WEIGHT * visible(x, x_hat)
        if min(x.shape[2:]) >= MIN_SIDE:  # smaller ones go without
            seen = seen + STRUCTURE_WEIGHT * (1 - ms_ssim(x, x_hat, peak=1))
        return seen + SQUARE_WEIGHT * (x_hat - x).square().mean((1, 2, 3))

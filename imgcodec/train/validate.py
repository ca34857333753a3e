"""Estimated rate, PSNR and BD-rate against JPEG on the validation slice."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcodec.metrics import bd_rate
from imgcodec.model import Model
from imgcodec.model.distortion import SIMILARITY_WEIGHT, distortion
from imgcodec.train.loss import psnr

RATE_PARAMETERS = (0.1, 0.22, 0.34, 0.46, 0.58, 0.7, 0.82)
JPEG_QUALITIES = (5, 10, 20, 35, 55, 75, 88, 94)


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate-distortion curve: means over the validation pictures."""

    rates: list[float]  # estimated bits per pixel
    level_rates: list[float]  # of them, for the levels
    psnrs: list[float]  # dB
    ms_ssims: list[float] | None = None  # dB, where the metric is MS-SSIM


@torch.inference_mode()
def curve(model: Model, pictures: Tensor) -> Curve:
    """Return the curve of a model in evaluation mode on uint8 pictures (N, 3, H, W)."""
    rates, level_rates, psnrs, ms_ssims = [], [], [], []
    pixels = pictures.shape[2] * pictures.shape[3]
    similar = model.config.metric == "ms-ssim"
    for u in RATE_PARAMETERS:
        found = []
        for chunk in torch.split(pictures, 4):
            x = chunk.float() / 255
            x_hat, bits, _ = model(x, torch.full((len(x),), u, device=x.device), real=True)
            measures = [bits.codes + bits.levels, bits.levels, psnr(x, x_hat)]
            if similar:
                measures.append(_ms_ssim_db(x, x_hat.clamp(0, 1)))
            found.append(torch.stack(measures))
        total, levels, quality, *similarity = torch.cat(found, 1).mean(1).tolist()
        rates.append(total / pixels)
        level_rates.append(levels / pixels)
        psnrs.append(quality)
        ms_ssims += similarity
    return Curve(rates, level_rates, psnrs, ms_ssims if similar else None)


def _ms_ssim_db(x: Tensor, x_hat: Tensor) -> Tensor:
    return -10 * torch.log10(distortion(x, x_hat, "ms-ssim") / SIMILARITY_WEIGHT)


def jpeg_curve(pictures: Tensor, metric: str = "mse") -> Curve:
    """Return the curve of JPEG 4:2:0 (optimised Huffman tables) on the same pictures."""
    rates, psnrs, ms_ssims = [], [], []
    for quality in JPEG_QUALITIES:
        bits, found, similar = [], [], []
        for picture in pictures.cpu().permute(0, 2, 3, 1).numpy():
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
            decoded = np.asarray(Image.open(file)).astype(np.float64)
            bits.append(8 * file.tell() / picture.shape[0] / picture.shape[1])
            found.append(20 * np.log10(255 / np.sqrt(((decoded - picture) ** 2).mean())))
            if metric == "ms-ssim":
                both = (torch.tensor(p, dtype=torch.float32) / 255 for p in (picture, decoded))
                similar.append(_ms_ssim_db(*(p.permute(2, 0, 1)[None] for p in both)).item())
        rates.append(float(np.mean(bits)))
        psnrs.append(float(np.mean(found)))
        ms_ssims += [float(np.mean(similar))] if similar else []
    return Curve(rates, [0.0] * len(rates), psnrs, ms_ssims or None)


def bd_rate_of(anchor: Curve, other: Curve) -> float | None:
    """Return the BD-rate of `other` in percent of `anchor`, None without a common quality.

    The quality is the MS-SSIM where both have it, else the PSNR.
    """
    qualities = anchor.psnrs, other.psnrs
    if anchor.ms_ssims is not None and other.ms_ssims is not None:
        qualities = anchor.ms_ssims, other.ms_ssims
    try:
        return bd_rate(anchor.rates, qualities[0], other.rates, qualities[1])
    except ValueError:
        return None

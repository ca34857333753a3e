"""Estimated rate, PSNR and BD-rate against JPEG on the validation slice."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcodec.metrics import bd_rate
from imgcodec.model import Model
from imgcodec.perceptual.ms_ssim import ms_ssim
from imgcodec.perceptual.ssimulacra2 import ssimulacra2
from imgcodec.train.loss import LEAST_ERROR, psnr

RATE_PARAMETERS = (0.1, 0.22, 0.34, 0.46, 0.58, 0.7, 0.82)
LEAST_DISSIMILARITY = 1e-5  # float32 tells MS-SSIM no better; see `LEAST_ERROR`, too
JPEG_QUALITIES = (5, 10, 20, 35, 55, 75, 88, 94)


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate-distortion curve: means over the validation pictures."""

    rates: list[float]  # estimated bits per pixel
    level_rates: list[float]  # of them, for the levels
    psnrs: list[float]  # dB
    scores: list[float] | None = None  # see `score`, where the metric is not the squared error


@torch.inference_mode()
def curve(model: Model, pictures: Tensor) -> Curve:
    """Return the curve of a model in evaluation mode on uint8 pictures (N, 3, H, W)."""
    rates, level_rates, psnrs, scores = [], [], [], []
    pixels = pictures.shape[2] * pictures.shape[3]
    metric = model.config.metric
    for u in RATE_PARAMETERS:
        found = []
        for chunk in torch.split(pictures, 4):
            x = chunk.float() / 255
            x_hat, bits, _ = model(x, torch.full((len(x),), u, device=x.device), real=True)
            measures = [bits.codes + bits.levels, bits.levels, psnr(x, x_hat)]
            if metric != "mse":
                measures.append(score(x, x_hat.clamp(0, 1), metric))
            found.append(torch.stack(measures))
        total, levels, quality, *own = torch.cat(found, 1).mean(1).tolist()
        rates.append(total / pixels)
        level_rates.append(levels / pixels)
        psnrs.append(quality)
        scores += own
    return Curve(rates, level_rates, psnrs, scores or None)


def score(x: Tensor, x_hat: Tensor, metric: str) -> Tensor:
    """Return the quality of each picture that a metric asks for, (B,).

    Args:
        x: (B, 3, H, W) in 0..1.
        x_hat: same shape.
        metric: "ms-ssim" for MS-SSIM in dB, at most 50, "eye" for SSIMULACRA 2.
    """
    if metric == "eye":
        return ssimulacra2(x, x_hat)
    return -10 * torch.log10((1 - ms_ssim(x, x_hat, peak=1)).clamp_min(LEAST_DISSIMILARITY))


def jpeg_curve(pictures: Tensor, metric: str = "mse") -> Curve:
    """Return the curve of JPEG 4:2:0 (optimised Huffman tables) on the same pictures."""
    rates, psnrs, scores = [], [], []
    for quality in JPEG_QUALITIES:
        bits, found, own = [], [], []
        for picture in pictures.cpu().permute(0, 2, 3, 1).numpy():
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
            decoded = np.asarray(Image.open(file)).astype(np.float64)
            bits.append(8 * file.tell() / picture.shape[0] / picture.shape[1])
            error = ((decoded / 255 - picture / 255) ** 2).mean()
            found.append(-10 * np.log10(max(error, LEAST_ERROR)))
            if metric != "mse":
                both = (torch.tensor(p, dtype=torch.float32) / 255 for p in (picture, decoded))
                x, x_hat = (p.permute(2, 0, 1)[None] for p in both)
                own.append(score(x, x_hat, metric).item())
        rates.append(float(np.mean(bits)))
        psnrs.append(float(np.mean(found)))
        scores += [float(np.mean(own))] if own else []
    return Curve(rates, [0.0] * len(rates), psnrs, scores or None)


def bd_rate_of(anchor: Curve, other: Curve) -> float | None:
    """Return the BD-rate of `other` in percent of `anchor`, None without a common quality.

    The quality is the metric's own where both have it, else the PSNR.
    """
    qualities = anchor.psnrs, other.psnrs
    if anchor.scores is not None and other.scores is not None:
        qualities = anchor.scores, other.scores
    try:
        return bd_rate(anchor.rates, qualities[0], other.rates, qualities[1])
    except ValueError:
        return None

"""What JPEG 2000 files hold of pictures, as the restorer takes it: OpenJPEG makes them."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcodec.jpeg.forward import FROM_RGB
from imgcodec.model.restorer import FULL, MIDDLE, Coded, Restorer
from imgcodec.perceptual.filters import constant

RATES = 0.1, 3.0  # bits per pixel that training is for
COARSEST, FINER = 96.0, 4.0  # see `steps_of`
LEAST_BPP = 0.02  # of files of a few bytes


def decoded(x: Tensor, bpp: Tensor) -> tuple[Tensor, Tensor]:
    """Return what files of about so many bits per pixel decode to, and how many they have.

    Args:
        x: (B, 3, H, W) integers 0..255.
        bpp: (B,).

    Returns:
        (B, 3, H, W) float32 integers 0..255, and (B,).
    """
    pictures = x.permute(0, 2, 3, 1).round().to(torch.uint8).cpu().numpy()
    found = np.empty_like(pictures)
    taken = []
    for i, rate in enumerate(bpp.tolist()):
        file = io.BytesIO()
        Image.fromarray(pictures[i]).save(
            file, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[24 / rate]
        )
        taken.append(8 * len(file.getvalue()) / pictures[i, ..., 0].size)
        with Image.open(file) as picture:
            found[i] = np.asarray(picture)
    pixels = torch.from_numpy(found).permute(0, 3, 1, 2).to(x.device).float()
    return pixels, torch.tensor(taken, device=x.device)


def steps_of(bpp: Tensor) -> Tensor:
    """Return the steps (B, 192) that stand for rates (B,): how far coefficients may be off.

    A file's wavelet coefficients have steps of their own and are cut off at any bit, so one number
    stands for all: 68 at 0.1 bits per pixel, 19 at 1, 7 at 3.
    """
    steps = COARSEST / (1 + FINER * bpp.clamp_min(LEAST_BPP))
    return steps[:, None].expand(-1, 192).contiguous()


def coded(restorer: Restorer, pixels: Tensor, bpp: Tensor) -> Coded:
    """Return decoded pixels (B, 3, H, W) in 0..255 of rates (B,) as the restorer takes files."""
    steps = steps_of(bpp)
    matrix = constant(FROM_RGB, pixels.device, pixels.dtype)
    luma, colours = torch.einsum("kc,bchw->bkhw", matrix, pixels).split((1, 2), 1)
    found = torch.cat([restorer.frequencies(luma - MIDDLE), restorer.frequencies(colours)], 1)
    own, others = (found / steps[:, :, None, None]).split((64, 128), 1)
    return Coded(own, others, steps, FULL)

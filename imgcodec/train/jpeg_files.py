"""What JPEG files hold of pictures, made on their device: tables, sampling and quantisation.

Nothing here asks anything of the host, so that a CUDA graph can hold a step of training.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.jpeg.forward import FROM_RGB
from imgcodec.jpeg.standard import CHROMA, LUMA
from imgcodec.model.restorer import MIDDLE, PLANES, Coded, Restorer
from imgcodec.perceptual.filters import constant

QUALITIES = 5, 95  # that training is for, of libjpeg
UNUSUAL = 0.3  # share of tables that are not the standard's


def tables(batch: int, generator: torch.Generator) -> Tensor:
    """Return random steps (batch, 192) of Y, Cb and Cr, for all qualities alike.

    As libjpeg scales the standard's tables; some are flatter, and uneven by a fifth, as those of
    cameras and of other programs.
    """
    device = generator.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    low, high = QUALITIES
    share = torch.randperm(batch, generator=generator, device=device)[:, None] + draw(batch, 1)
    base = constant(LUMA + CHROMA, device, torch.float32)[None]
    middle = base[:, :64].log().mean().exp()
    flat = 0.4 + 0.6 * draw(batch, 1)
    other = middle * (base / middle) ** flat * torch.exp(0.4 * (draw(batch, 128) - 0.5))
    base = torch.where(draw(batch, 1) < UNUSUAL, other, base)
    return scaled(base, low + (high - low) * share / batch)


def libjpeg_tables(quality: float, device: torch.device) -> Tensor:
    """Return the steps (1, 192) of a quality of libjpeg's."""
    base = constant(LUMA + CHROMA, device, torch.float32)[None]
    return scaled(base, torch.full_like(base[:, :1], quality))


def scaled(tables: Tensor, quality: Tensor) -> Tensor:
    """Return steps (B, 192) of tables (B, 128) of quality 50 at others (B, 1), as libjpeg does."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    steps = torch.floor(scale * tables + 0.5).clamp(1, 255)
    return torch.cat([steps, steps[:, 64:]], 1)


def coded(restorer: Restorer, x: Tensor, steps: Tensor, factors: tuple[int, int]) -> Coded:
    """Return what files hold of pixels.

    Args:
        restorer: whose DCT is used.
        x: (B, 3, H, W) float32 in 0..255, H and W multiples of 16.
        steps: (B, 192).
        factors: of the sampling, see `Coded`.
    """
    matrix = constant(FROM_RGB, x.device, x.dtype)
    planes = torch.round(torch.einsum("kc,bchw->bkhw", matrix, x))
    luma, colours = planes.split((1, 2), 1)
    colours = torch.round(F.avg_pool2d(colours, factors))
    own, others = steps[:, :, None, None].split(PLANES, 1)
    return Coded(
        torch.round(restorer.frequencies(luma - MIDDLE) / own),
        torch.round(restorer.frequencies(colours) / others),
        steps,
        factors,
    )

"""MS-SSIM (Wang, Simoncelli, Bovik 2003): how alike two pictures look, over five scales.

As pytorch-msssim has it: a Gaussian window over places that lie wholly in the picture, averages of
2x2 pixels (zeros beyond an odd side) between the scales, and all channels alike. The five maps of
a scale are filtered together, which takes half the time; with gradient, by products of matrices.
The order of operations is the same, as white areas show how float32 rounds.
"""

from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model.fusion import fusable
from imgcodec.perceptual.filters import constant, filtered, products, squares

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from fine to coarse
WINDOW, SIGMA = 11, 1.5  # px
MIN_SIDE = (WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1  # px: the window fits at every scale
K1, K2 = 0.01, 0.03  # of the peak: what steadies luminance and contrast


def ms_ssim(x: Tensor, x_hat: Tensor, peak: float) -> Tensor:
    """Return the MS-SSIM of each picture, (B,) in 0..1; differentiable.

    Args:
        x: (B, C, H, W) float in 0..peak; both sides are at least 161, that the last window fits.
        x_hat: same shape.
        peak: largest sample.
    """
    return joined(means(x, x_hat, peak).alike)


class Means(NamedTuple):
    """How alike two pictures are at each scale, over so many places of the window."""

    alike: Tensor  # (scales, B, C): contrast and structure, of the last scale the SSIM
    places: list[int]  # of each scale


def means(
    x: Tensor, x_hat: Tensor, peak: float, inner: tuple[slice, slice] | None = None
) -> Means:
    """Return means over the places of a window.

    Args:
        x: as in `ms_ssim`.
        x_hat: as in `ms_ssim`.
        peak: as in `ms_ssim`.
        inner: rows and columns in which a window's centre has to lie; they begin at multiples of
            32. With 96 pixels around them, means of parts are those of the whole picture, but for
            how odd sides are halved. None: all.
    """
    alike, places = [], []
    for scale in range(len(WEIGHTS)):
        if scale:
            x, x_hat = _halved(x), _halved(x_hat)
        contrast, similarity = _ssim(x, x_hat, peak)
        maps = similarity if scale == len(WEIGHTS) - 1 else contrast
        if inner is not None:
            rows, columns = (_centred(part, scale) for part in inner)
            maps = maps[..., rows, columns]
        alike.append(maps.mean((2, 3)))
        places.append(maps.shape[2] * maps.shape[3])
    return Means(torch.stack(alike), places)


def joined(alike: Tensor) -> Tensor:
    """Return the MS-SSIM (B,) of means over all places, (scales, B, C)."""
    opposite = alike <= 0
    # A power of 0 has an infinite slope, so that base is taken out before as well as after.
    weights = constant(WEIGHTS, alike.device, alike.dtype).view(-1, 1, 1)
    powers = alike.masked_fill(opposite, 1.0) ** weights
    # the gradient of `prod` asks the host
    return reduce(torch.mul, powers.masked_fill(opposite, 0.0).unbind()).mean(1)


def _ssim(x: Tensor, x_hat: Tensor, peak: float) -> tuple[Tensor, Tensor]:
    """Return maps of contrast and structure alone, and of the SSIM, (B, C, H - 10, W - 10)."""
    steadying = constant(((K1 * peak) ** 2, (K2 * peak) ** 2), x.device, x.dtype)
    return _compared(*_blurred(squares(x), products(x, x_hat)), steadying)


@fusable
def _compared(original: Tensor, decoded: Tensor, steadying: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `_ssim` does, of what `_blurred` makes of squares and products."""
    mean, square = original.chunk(2, 1)
    mean_hat, square_hat, product = decoded.chunk(3, 1)
    c1, c2 = steadying.unbind()
    both, squared, squared_hat = mean * mean_hat, mean.square(), mean_hat.square()
    variances = (square - squared) + (square_hat - squared_hat)
    contrast = (2 * (product - both) + c2) / (variances + c2)
    luminance = (2 * both + c1) / (squared + squared_hat + c1)
    return contrast, luminance * contrast


def _centred(part: slice, scale: int) -> slice:
    """Return the places of a window at a scale whose centres lie in a part of a side."""
    start, stop = part.start // 2**scale, -(-part.stop // 2**scale)
    return slice(max(start - WINDOW // 2, 0), max(stop - WINDOW // 2, 0))


def _blurred(original: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps under a Gaussian window, without the places that it does not fit in."""
    if decoded.requires_grad:  # faster with gradients, but rounded in another way
        return filtered(original, _places), filtered(decoded, _places)
    maps = torch.cat([original, decoded], 1)
    window = _window(maps.dtype, maps.device)
    channels = maps.shape[1]
    rows = window.expand(channels, 1, 1, WINDOW)
    columns = rows.transpose(2, 3)
    blurred = F.conv2d(F.conv2d(maps, columns, groups=channels), rows, groups=channels)
    return blurred[:, : original.shape[1]], blurred[:, original.shape[1] :]


def _places(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the window as a filter of lines, see `filtered`."""
    indices = np.arange(length - WINDOW + 1)[:, None] + np.arange(WINDOW)
    window = _window(torch.float64, torch.device("cpu")).numpy()
    return indices, np.broadcast_to(window, indices.shape)


def _window(dtype: torch.dtype, device: torch.device) -> Tensor:
    x = torch.arange(WINDOW, dtype=dtype, device=device) - WINDOW // 2
    window = torch.exp(-x.square() / (2 * SIGMA**2))
    return window / window.sum()


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, padding=[side % 2 for side in x.shape[2:]])

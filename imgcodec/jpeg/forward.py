"""Pixels -> coefficients that are not quantised yet, and the steps to quantise them with."""

import numpy as np
from numpy.typing import NDArray

from imgcodec.jpeg.huffman import Integers
from imgcodec.jpeg.pixels import BASIS, MIDDLE, Samples
from imgcodec.jpeg.standard import scaled

# N. Robidoux's table, which ImageMagick and mozjpeg have, too: of quality 50, row by row, for luma
# and colours. Fine steps are for what eyes see in both; the standard's table spends less on
# colours, and more on fine luma.
TABLE_50 = (
    16, 16, 16, 18, 25, 37, 56, 85, 16, 17, 20, 27, 34, 40, 53, 75,
    16, 20, 24, 31, 43, 62, 91, 135, 18, 27, 31, 40, 53, 74, 106, 156,
    25, 34, 43, 53, 69, 94, 131, 189, 37, 40, 62, 74, 94, 124, 169, 238,
    56, 53, 91, 106, 131, 169, 226, 311, 85, 75, 135, 156, 189, 238, 311, 418,
)  # fmt: skip
FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
BAND = 256  # rows of pixels at a time, a multiple of 16


def table(quality: float) -> Integers:
    """Return the steps (64,) of a quality, 1..100 on libjpeg's scale, row by row."""
    return scaled(TABLE_50, quality)


def levels(pixels: NDArray[np.uint8], factors: tuple[int, int]) -> list[Samples]:
    """Return coefficients (rows, columns, 64) of each component, in zigzag order.

    Args:
        pixels: (H, W, 3), or (H, W) if grey. What is beyond their edge repeats it.
        factors: samples of luma that share one of colour (down, across), their mean.
    """
    grey = pixels.ndim == 2
    down, across = (1, 1) if grey else factors
    missing = [(0, -len(pixels) % (8 * down)), (0, -pixels.shape[1] % (8 * across)), (0, 0)]
    pixels = np.pad(pixels, missing[: pixels.ndim], "edge")
    bands, matrix = [], np.array(FROM_RGB, np.float32).T
    for top in range(0, len(pixels), BAND):
        band = pixels[top : top + BAND].astype(np.float32)
        planes = [band] if grey else list(np.moveaxis(band @ matrix, -1, 0))
        planes[0] = planes[0] - np.float32(MIDDLE)
        h, w = band.shape[:2]
        for number in range(1, len(planes)):
            shared = planes[number].reshape(h // down, down, w // across, across)
            planes[number] = shared.mean((1, 3))
        bands.append([_blocks(plane) for plane in planes])
    return [np.concatenate(parts) for parts in zip(*bands, strict=True)]


def _blocks(samples: Samples) -> Samples:
    """Return the coefficients of a plane (h, w): (h / 8, w / 8, 64)."""
    h, w = samples.shape
    grid = samples.reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2)
    found: Samples = grid.reshape(h // 8, w // 8, 64) @ BASIS.T
    return found

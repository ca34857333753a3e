"""Coefficients -> pixels that were never rounded, for an encoder.

How coefficients become latents. A block's samples are linear in its coefficients: the inverse DCT
of coefficients times steps. So are colours at full resolution (libjpeg's triangle), red, green and
blue, and the coefficients of the encoder's lapped DCT, whose lapping joins neighbouring blocks.
All that is one linear map, with nothing rounded or limited in between. It is computed in steps by
way of pixels, since these are cheap and the map as one matrix would be wide: eight bits are
what costs, not the pixels. Latents are what the encoder's network makes of its end.
"""

import math

import numpy as np
from numpy.typing import NDArray

from imgcodec.jpeg.reading import Coefficients, Plane
from imgcodec.jpeg.syntax import ZIGZAG

Pixels = NDArray[np.float16]
Samples = NDArray[np.float32]
MIDDLE = 128.0
LOW, HIGH = -255.0, 510.0  # which nothing leaves that was a picture: a damaged file may
BAND = 32  # rows of blocks that become samples at a time


def _basis() -> Samples:
    """Return the samples (64, 64) of each coefficient of 1, in zigzag order, row by row."""
    k, n = np.arange(8)[:, None], np.arange(8)
    dct = np.cos(math.pi * (2 * n + 1) * k / 16) / 2
    dct[0] /= math.sqrt(2)
    basis = np.einsum("ui,vj->uvij", dct, dct).reshape(64, 64)
    found: Samples = basis[ZIGZAG].astype(np.float32)
    return found


BASIS = _basis()


def rgb(coefficients: Coefficients) -> Pixels:
    """Return the picture, not turned: float16 (H, W, 3), or (H, W) if grey; about 0..255.

    Nothing is rounded but to float16, an eighth of a level at most, and nothing is limited that
    is no nonsense.
    """
    height, width = coefficients.height, coefficients.width
    if len(coefficients.planes) == 1:
        luma = _samples(coefficients.planes[0])[:height, :width]
        return _halved(luma + np.float32(MIDDLE))
    luma, blue, red = (
        _widened(_samples(plane), plane.factors, height, width) for plane in coefficients.planes
    )
    luma += np.float32(MIDDLE)
    found = np.empty((height, width, 3), np.float16)
    found[..., 0] = _halved(luma + np.float32(1.402) * red)
    found[..., 1] = _halved(luma - np.float32(0.344136286) * blue - np.float32(0.714136286) * red)
    found[..., 2] = _halved(luma + np.float32(1.772) * blue)
    return found


def _halved(samples: Samples) -> Pixels:
    """Return samples of half as many bits."""
    return np.clip(samples, LOW, HIGH).astype(np.float16)


def _samples(plane: Plane) -> Samples:
    """Return the samples less 128 of all blocks of a component."""
    rows, columns = plane.blocks.shape[:2]
    basis = plane.steps[:, None].astype(np.float32) * BASIS
    found = np.empty((rows, 8, columns, 8), np.float32)
    for a in range(0, rows, BAND):
        blocks = plane.blocks[a : a + BAND].astype(np.float32)
        samples = (blocks.reshape(-1, 64) @ basis).reshape(-1, columns, 8, 8)
        found[a : a + BAND] = samples.swapaxes(1, 2)
    return found.reshape(8 * rows, 8 * columns)


def _widened(samples: Samples, factors: tuple[int, int], height: int, width: int) -> Samples:
    """Return samples at the resolution of luma, as libjpeg's triangle has them."""
    samples = samples[: -(-height // factors[0]), : -(-width // factors[1])]
    for axis, factor in enumerate(factors):
        if factor == 2:
            samples = _doubled(samples.swapaxes(0, axis)).swapaxes(0, axis)
    return samples[:height, :width]


def _doubled(samples: Samples) -> Samples:
    """Return twice as many rows: three quarters of the nearer and one of the farther one."""
    found = np.empty((2 * len(samples), *samples.shape[1:]), np.float32)
    near = np.float32(0.75) * samples
    far = np.float32(0.25) * samples
    found[::2] = near
    found[1::2] = near
    found[2::2] += far[:-1]
    found[0] += far[0]
    found[1:-1:2] += far[1:]
    found[-1] += far[-1]
    return found

"""Whether a picture was drawn by a program: text, a screenshot, a chart, flat colours."""

import functools

import numpy as np
from numpy.typing import NDArray

# A drawn picture has at least this share of pixels that equal their left neighbour, and of the
# others at least this share differ from it by a step. Photographs reach either, never both: of
# 1994 crops and the 24 Kodak pictures none has more than 0.4 and 0.2, also not as JPEG files of
# quality 10. Of pages with both, lossless WebP takes 0.4 to 1.4 times the bytes of `--tune eye`.
# Charts and maps have softer edges, and more that is even.
FLAT, STEEP = 0.5, 0.6
EVEN, SOFT = 0.8, 0.25
STEP = 32  # grey levels, in the channel that differs most
MOST_PIXELS = 2**17  # that are looked at: 0.2 ms of work


def is_drawn(pixels: NDArray[np.uint8]) -> bool:
    """Return whether a picture has flat areas and steep edges, and little between.

    Args:
        pixels: uint8 (H, W, 3) or (H, W); rows are left out of large ones.
    """
    height, width = pixels.shape[:2]
    rows = np.atleast_3d(pixels[:: -(-height * width // MOST_PIXELS)])
    left, right = rows[:, :-1], rows[:, 1:]
    distances = np.maximum(left, right) - np.minimum(left, right)
    steps = functools.reduce(np.maximum, np.moveaxis(distances, 2, 0))  # .max(2) takes 3 ms
    changes = np.count_nonzero(steps)
    if not 0 < changes <= (1 - FLAT) * steps.size:
        return False
    even = steps.size - changes >= EVEN * steps.size
    return bool(np.count_nonzero(steps >= STEP) >= (SOFT if even else STEEP) * changes)

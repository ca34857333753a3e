"""Importance levels -> which codes exist. Integers only: the decoder must find the same.

A latent that is a binary expansion has, at a given step, a number of digits: 0 (nothing is sent),
or one for "is it zero" and D - 1 for its magnitude less one; the sign is sent with what is not
zero. So D digits hold the integers -2^(D-1)..2^(D-1). A single bit (the paper's form) is sent or
not, equation (5).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL_DIGITS = 5  # a level's distance from its prediction: 0..16
LEVEL_EIGHTHS = 4  # eighths of an octave of the step in one level
MAX_DIGITS = 13


def digit_table(limits: NDArray[np.float64], coarsest_step: float, rows: int) -> NDArray[np.uint8]:
    """Return how many digits each latent has at each step, uint8 (rows, latents).

    Args:
        limits: (latents,) largest magnitude to be held, in pixels.
        coarsest_step: step of row 0, in pixels; every row is an eighth of an octave finer.
        rows: number of rows.
    """
    steps = coarsest_step * 2.0 ** (-np.arange(rows) / 8)
    largest = np.floor(limits[None] / steps[:, None] + 0.5)  # integers to be held
    digits = 1 + np.ceil(np.log2(np.maximum(largest, 1)))
    return np.where(largest < 1, 0, np.minimum(digits, MAX_DIGITS)).astype(np.uint8)


def prefix_length(levels: Any, channels: int, num_levels: int) -> Any:
    """Return how many of `channels` single bits each place keeps: n l / L, equation (5).

    Args:
        levels: integer array or tensor of any shape, 0..num_levels - 1.
        channels: n.
        num_levels: L, a divisor of n.
    """
    return channels * levels // num_levels

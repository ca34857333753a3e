"""Coefficients -> the integers whose bits pay best.

What mozjpeg calls trellis quantisation. A magnitude may be rounded down once more than to the
nearest integer, or to zero. Bits are those of Huffman codes of the symbols that are coded, so the
path through a block that costs least is found frequency by frequency: behind each that stays,
the bits of the next one depend on the run of zeros between them alone.
"""

import numpy as np
from numpy.typing import NDArray

from imgcodec.jpeg.huffman import Integers

Levels = NDArray[np.float32]
PIECE = 2**14  # blocks at a time
LARGEST = 1023  # which decoders know
UNSEEN = 0.3  # how often a symbol counts that is not seen


def chosen(
    levels: Levels, steps: Integers, weights: NDArray[np.floating], price: float
) -> NDArray[np.int16]:
    """Return quantised coefficients, int16 (n, 64). Means are rounded to the nearest.

    Args:
        levels: (n, 64) coefficients in zigzag order.
        steps: (64,) of the quantiser.
        weights: (64,) of squared errors, in steps.
        price: of a bit, in weighted squares.
    """
    scaled: Levels = np.clip(levels / steps.astype(np.float32), -LARGEST, LARGEST)
    nearest = np.rint(scaled).astype(np.int16)
    if not price:
        return nearest
    bits = _bits(_counts(nearest))
    squares = weights.astype(np.float32)[:, None]
    for a in range(0, len(scaled), PIECE):
        piece = np.ascontiguousarray(scaled[a : a + PIECE].T)
        nearest[a : a + PIECE] = _cheapest(piece, squares, price * bits).T
    return nearest


def _cheapest(scaled: Levels, squares: Levels, costs: Levels) -> NDArray[np.int16]:
    """Return the integers (64, n) of least cost.

    Args:
        scaled: (64, n) coefficients in steps.
        squares: (64, 1) what the square of an error of one step costs.
        costs: (65, 17) what a run of zeros and a size cost that follow it; of 64, the end.
    """
    size = scaled.shape[1]
    magnitudes = np.abs(scaled)
    nearest = np.rint(magnitudes)
    passed = np.cumsum(squares * magnitudes**2, 0)  # what zeros up to a frequency cost
    passed -= passed[0]
    # of the path that ends in a frequency, without what zeros up to it would cost
    best = np.full((64, size), np.inf, np.float32)
    best[0] = 0
    before = np.zeros((64, size), np.int64)
    values = np.zeros((64, size), np.float32)
    for k in range(1, 64):
        some = np.flatnonzero(nearest[k])
        if not len(some):
            continue
        paths, high = best[:k, some], nearest[k, some]
        for value in (high, np.maximum(high - 1, 1)):
            found = paths + costs[k - 1 :: -1][:, _sizes(value)]
            last = found.argmin(0)
            cost = found[last, np.arange(len(some))]
            cost += squares[k] * ((magnitudes[k, some] - value) ** 2 - magnitudes[k, some] ** 2)
            better = cost < best[k, some]
            where = some[better]
            best[k, where], before[k, where] = cost[better], last[better]
            values[k, where] = value[better]
    best[:63] += costs[64, 0]
    result = np.zeros((64, size), np.int16)
    result[0] = np.rint(scaled[0])
    at, block = best.argmin(0), np.arange(size)
    while len(block := block[at > 0]):
        at = at[at > 0]
        result[at, block] = values[at, block] * np.sign(scaled[at, block])
        at = before[at, block]
    return result


def _counts(blocks: NDArray[np.int16]) -> Integers:
    """Return how often each symbol (256,) is coded in blocks (n, 64), means aside."""
    block, k = np.nonzero(blocks[:, 1:])
    first = np.diff(block, prepend=-1) > 0
    run = k - np.where(first, 0, np.concatenate([[0], k[:-1] + 1])[: len(k)])
    size = _sizes(blocks[block, k + 1])
    found: Integers = np.bincount((run & 15) << 4 | size, minlength=256)
    found[0xF0] += (run >> 4).sum()
    found[0] = np.count_nonzero(blocks[:, 63] == 0)
    return found


def _bits(counts: Integers) -> Levels:
    """Return the bits (65, 17) of a run of zeros and a size behind it; of 64, the end."""
    seen = np.maximum(counts, UNSEEN)
    codes = -np.log2(seen / seen.sum())
    run, size = np.arange(64)[:, None], np.arange(17)
    found = np.empty((65, 17), np.float32)
    found[:64] = codes[(run & 15) << 4 | np.minimum(size, 15)] + (run >> 4) * codes[0xF0] + size
    found[64] = codes[0]
    return found


def _sizes(values: NDArray[np.generic]) -> Integers:
    """Return the number of bits of magnitudes."""
    found: Integers = np.frexp(np.abs(values).astype(np.float64))[1].astype(np.int64)
    return found

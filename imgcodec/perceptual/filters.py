"""Short filters along rows and columns as products with banded matrices.

A filter says for every sample that it puts out which samples it takes and how much of each. Rows
of that matrix are kept in blocks of `BLOCK`, each without the columns that it does not touch, so
that the cost grows with the picture and the products run at the speed of matrix products, forwards
and backwards, where convolutions of one channel are slow.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.model.fusion import fusable

BLOCK = 128  # samples put out


class Block(NamedTuple):
    """Some rows of a banded matrix: what they take from, and how much of each."""

    first: int
    last: int  # exclusive
    weights: Tensor  # (rows, last - first)


# Of a length: which samples each one that is put out takes, int (n, taps), and how much of each,
# float of the same shape.
Taps = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@lru_cache(maxsize=64)
def blocks(taps: Taps, length: int, device: torch.device, dtype: torch.dtype) -> tuple[Block, ...]:
    """Return the blocks of a filter for lines of so many samples."""
    indices, weights = taps(length)
    found = []
    with torch.inference_mode(False):  # the result may be used in training later
        for start in range(0, len(indices), BLOCK):
            index, weight = indices[start : start + BLOCK], weights[start : start + BLOCK]
            first, last = int(index.min()), int(index.max()) + 1
            matrix = np.zeros((len(index), last - first))
            rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)
            np.add.at(matrix, (rows, index - first), weight)
            found.append(Block(first, last, torch.from_numpy(matrix).to(device, dtype)))
    return tuple(found)


def filtered(maps: Tensor, down: Taps, across: Taps | None = None) -> Tensor:
    """Return maps (B, C, H, W), filtered: (B, C, H', W').

    Args:
        maps: of any floating type.
        down: the filter of columns.
        across: that of rows, None for the same.
    """
    columns = blocks(across or down, maps.shape[3], maps.device, maps.dtype)
    maps = _joined([maps[..., b.first : b.last] @ b.weights.mT for b in columns], 3)
    rows = blocks(down, maps.shape[2], maps.device, maps.dtype)
    return _joined([b.weights @ maps[..., b.first : b.last, :] for b in rows], 2)


@fusable
def products(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return two pictures, their squares and their product, (B, 5 C, H, W), to be filtered."""
    return torch.cat([x, x_hat, x * x, x_hat * x_hat, x * x_hat], 1)


@lru_cache(maxsize=256)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return numbers as a tensor, made once: no copy to the device after the first call."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)

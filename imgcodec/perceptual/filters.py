"""Short filters along rows and columns as products with banded matrices.

A filter says for every sample that it puts out which samples it takes and how much of each. Rows
of that matrix are kept in blocks, each without the columns that it does not touch, so that the
cost grows with the picture and the products run at the speed of matrix products, where
convolutions of one channel are slow. The way back is the same with the matrix transposed.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.model.fusion import fusable

# Rows of a block: many of them multiply zeros for the most part, few are many small products.
BLOCK, BLOCK_CUDA = 32, 128


class Block(NamedTuple):
    """Some rows of a banded matrix: what they take from, and how much of each."""

    first: int
    last: int  # exclusive
    weights: Tensor  # (rows, last - first)


class Band(NamedTuple):
    """A filter of lines of one length."""

    there: tuple[Block, ...]
    back: tuple[Block, ...]  # of the transposed matrix


# Of a length: which samples each one that is put out takes, int (n, taps), and how much of each,
# float of the same shape.
Taps = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@lru_cache(maxsize=160)  # pictures of 768x512 take 68, 3 MB
def band(taps: Taps, length: int, device: torch.device, dtype: torch.dtype) -> Band:
    """Return a filter for lines of so many samples."""
    columns, weights = taps(length)
    count = len(columns)
    rows = np.broadcast_to(np.arange(count)[:, None], columns.shape)
    rows, columns, weights = (numbers[weights != 0] for numbers in (rows, columns, weights))
    there = _blocks(rows, columns, weights, count, device, dtype)
    return Band(there, _blocks(columns, rows, weights, length, device, dtype))


def _blocks(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    count: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Block, ...]:
    """Return the blocks of a matrix of so many rows, of which each entry is told."""
    found = []
    size = BLOCK_CUDA if device.type == "cuda" else BLOCK
    for start in range(0, count, size):
        inside = (rows >= start) & (rows < start + size)
        row, column = rows[inside] - start, columns[inside]
        first, last = (int(column.min()), int(column.max()) + 1) if len(column) else (0, 1)
        matrix = np.zeros((min(size, count - start), last - first))
        np.add.at(matrix, (row, column - first), weights[inside])
        with torch.inference_mode(False):  # the result may be used in training later
            found.append(Block(first, last, torch.from_numpy(matrix).to(device, dtype)))
    return tuple(found)


def filtered(maps: Tensor, down: Taps, across: Taps | None = None) -> Tensor:
    """Return maps (B, C, H, W), filtered: (B, C, H', W').

    Args:
        maps: of any floating type.
        down: the filter of columns.
        across: that of rows, None for the same.
    """
    kind = maps.device, maps.dtype
    height, width = maps.shape[2:]
    rows, columns = band(down, height, *kind), band(across or down, width, *kind)
    return _Filtered.apply(maps, rows, columns)  # type: ignore[no-untyped-call, no-any-return]


class _Filtered(torch.autograd.Function):
    """Maps, filtered; a slice's own gradient would fill a whole map with zeros for each block."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, rows: Band, columns: Band) -> Tensor:
        ctx.bands = rows, columns
        return _down(_across(maps, columns.there), rows.there)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        rows, columns = ctx.bands
        return _across(_down(slope, rows.back), columns.back), None, None


def _across(maps: Tensor, blocks: tuple[Block, ...]) -> Tensor:
    """Return each row of maps (B, C, H, W), multiplied by a banded matrix."""
    lines = maps.reshape(-1, maps.shape[3])
    found = lines.new_empty(len(lines), sum(len(block.weights) for block in blocks))
    start = 0
    for first, last, weights in blocks:
        part = found[:, start : start + len(weights)]
        torch.mm(lines[:, first:last], weights.mT, out=part)
        start += len(weights)
    return found.view(*maps.shape[:3], -1)


def _down(maps: Tensor, blocks: tuple[Block, ...]) -> Tensor:
    """Return each column of maps (B, C, H, W), multiplied by a banded matrix."""
    planes = maps.reshape(-1, *maps.shape[2:])
    height = sum(len(block.weights) for block in blocks)
    found = planes.new_empty(len(planes), height, planes.shape[2])
    start = 0
    for first, last, weights in blocks:
        part = found[:, start : start + len(weights)]
        torch.bmm(weights.expand(len(planes), -1, -1), planes[:, first:last], out=part)
        start += len(weights)
    return found.view(*maps.shape[:2], height, -1)


@fusable
def squares(x: Tensor) -> Tensor:
    """Return a picture and its squares, (B, 2 C, H, W), to be filtered."""
    return torch.cat([x, x * x], 1)


@fusable
def products(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return a picture, its squares and its products with another, (B, 3 C, H, W), likewise."""
    return torch.cat([x_hat, x_hat * x_hat, x * x_hat], 1)


@lru_cache(maxsize=256)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return numbers as a tensor, made once: no copy to the device after the first call."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)

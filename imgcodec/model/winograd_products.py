"""3x3 convolutions that learn, by Winograd's algorithm as products of matrices.

F(4x4, 3x3) of Lavin and Gray (2015): maps are cut into squares of 6x6 places that overlap by two,
squares and weights are transformed, multiplied channel by channel at each of the 36 places, and
the products transformed back into squares of 4x4: a quarter of the multiplications. What was
transformed serves the gradient of the weights, which takes the direct way longest.

With float32 the results differ from direct convolutions by 1e-5 of the largest number.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STEP, SIDE = 4, 6  # places of a square that are computed, and that are looked at
AT_ONCE = 1024  # places whose squares stay in a core's cache
# how squares, products and weights are transformed along one axis
_B = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]],
    dtype=torch.float32, device="cpu",
)  # fmt: skip
_A = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float32, device="cpu",
)  # fmt: skip
_G = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    dtype=torch.float32, device="cpu",
) / 24  # fmt: skip
SQUARES, PRODUCTS, WEIGHTS = (torch.kron(one, one) for one in (_B, _A, _G))  # along both


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution of x (B, C, h, w) that keeps height and width, (B, C', h, w).

    All float32 on the CPU, the result channels last.

    Args:
        x: maps.
        weight: (C', C, 3, 3).
        bias: (C',).
    """
    return _Convolution.apply(x, weight, bias)  # type: ignore[no-untyped-call, no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        squares: list[Tensor] = []
        y = _convolve(x, _transformed(weight), bias, squares)
        ctx.save_for_backward(weight, *squares)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, *squares = ctx.saved_tensors
        above = grads[0]
        turned = weight.flip(2, 3).transpose(0, 1)
        of_x = _convolve(above, _transformed(turned)) if ctx.needs_input_grad[0] else None
        sums = weight.new_zeros(SIDE**2, weight.shape[1], weight.shape[0])
        for part, seen in zip(above.split(_at_once(above)), squares, strict=True):
            products = (PRODUCTS.T @ _cut(part)).view(SIDE**2, -1, weight.shape[0])
            sums.baddbmm_(seen.transpose(1, 2), products)
        of_weight = (WEIGHTS.T @ sums.flatten(1)).view(3, 3, *sums.shape[1:]).permute(3, 2, 0, 1)
        of_bias = above.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias


def _convolve(
    x: Tensor, weights: Tensor, bias: Tensor | None = None, keep: list[Tensor] | None = None
) -> Tensor:
    """Return the convolution with transformed weights; `keep` gets the transformed squares."""
    b, c, h, w = x.shape
    rows, columns, channels = -(-h // STEP), -(-w // STEP), weights.shape[2]
    size = b, channels, rows * STEP, columns * STEP
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for part, made in zip(x.split(_at_once(x)), y.split(_at_once(x)), strict=True):
        squares = (SQUARES @ _overlapping(part)).view(SIDE**2, -1, c)
        if keep is not None:
            keep.append(squares)
        products = PRODUCTS @ torch.bmm(squares, weights).flatten(1)
        places = products.view(STEP, STEP, len(part), rows, columns, channels)
        places = places.permute(2, 3, 0, 4, 1, 5)
        into = made.permute(0, 2, 3, 1).view(places.shape)
        if bias is None:
            into.copy_(places)
        else:
            torch.add(places, bias, out=into)
    if y.shape[2:] == x.shape[2:]:
        return y
    return y[:, :, :h, :w].contiguous(memory_format=torch.channels_last)


def _at_once(x: Tensor) -> int:
    """Return how many of the maps are transformed together."""
    return max(1, AT_ONCE // (x.shape[2] * x.shape[3]))


def _transformed(weight: Tensor) -> Tensor:
    """Return weights (C', C, 3, 3) as (36, C, C')."""
    taps = weight.permute(2, 3, 1, 0)
    return (WEIGHTS @ taps.reshape(9, -1)).view(SIDE**2, *taps.shape[2:])


def _overlapping(x: Tensor) -> Tensor:
    """Return squares of 6x6 places of maps (B, C, h, w), one for each 4x4, as (36, B n C)."""
    b, c, h, w = x.shape
    rows, columns = -(-h // STEP), -(-w // STEP)
    framed = x.new_zeros(b, rows * STEP + 2, columns * STEP + 2, c)
    framed[:, 1 : h + 1, 1 : w + 1] = x.permute(0, 2, 3, 1)
    picture, row, column, _ = framed.stride()
    strides = row, column, picture, STEP * row, STEP * column, 1
    squares = framed.as_strided((SIDE, SIDE, b, rows, columns, c), strides)
    return squares.reshape(SIDE**2, -1)


def _cut(x: Tensor) -> Tensor:
    """Return the squares of 4x4 places of maps (B, C, h, w), as (16, B n C)."""
    h, w = x.shape[2:]
    places = torch.nn.functional.pad(x, (0, -w % STEP, 0, -h % STEP)).permute(0, 2, 3, 1)
    squares = places.unflatten(2, (-1, STEP)).unflatten(1, (-1, STEP))
    cut: Tensor = squares.permute(2, 4, 0, 1, 3, 5).reshape(STEP**2, -1)
    return cut

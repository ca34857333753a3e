"""3x3 convolutions by Winograd's algorithm, half the time of the direct ones with AVX2.

NNPACK, which torch brings along, needs a fifth of the multiplications. It works in float32; its
results differ from those of direct convolutions in the fifth digit. With AVX-512, which it does
not know, direct ones take a tenth less time. Where weights learn, `winograd_products` serves.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from imgcodec.model import winograd_products

# A second thread takes a third of the time away, of direct convolutions half: with more than about
# four these should be faster.
MOST_THREADS = 4
# of a map, or of those that weights learn from; for fewer, transforming weights takes too long
LEAST_PLACES = 1024
LEAST_CHANNELS = 64  # that learn by products: with so many they are even, with more ahead


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Draw weights."""
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h, w)."""
        if learns_by_products(x, self.weight):
            return winograd_products.convolve(x, self.weight, self.bias)
        if not pays(x, self.weight):
            return super().forward(x)
        if torch.is_grad_enabled() and x.requires_grad:
            return _OfMaps.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call, no-any-return]
        return _convolve(x, self.weight, self.bias)


class _OfMaps(torch.autograd.Function):
    """The same with a gradient of the maps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return _convolve(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _convolve(grads[0], weight.flip(2, 3).transpose(0, 1), None), None, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Let NNPACK convolve maps."""
    one = (1, 1)  # of padding, and the stride
    maps = [  # one by one: NNPACK has another, slow way for several
        torch._nnpack_spatial_convolution(single, weight, bias, one, one) for single in x.split(1)
    ]
    return maps[0] if len(maps) == 1 else torch.cat(maps)


def learns_by_products(x: Tensor, weight: Tensor) -> bool:
    """Whether these weights learn from maps (B, C, h, w), faster by products of matrices."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and len(x) * x.shape[2] * x.shape[3] >= LEAST_PLACES
        and min(weight.shape[:2]) >= LEAST_CHANNELS
        and torch.is_grad_enabled()
        and weight.requires_grad
        and not torch.is_autocast_enabled("cpu")
    )


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether NNPACK is faster for these maps (B, C, h, w), and weights (C', C, 3, 3)."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[2] * x.shape[3] >= LEAST_PLACES
        # else other parts are trained, on batches of small maps, which it is slower with
        and (not torch.is_grad_enabled() or x.requires_grad and not weight.requires_grad)
        and not torch.is_autocast_enabled("cpu")
        and torch.get_num_threads() <= MOST_THREADS
        and _home() == os.getpid()  # NNPACK's threads may be missing in a child
    )


def lay_out(module: nn.Module) -> None:
    """Lay out the weights inside as the convolutions on this machine want them."""
    if _home() is None:
        for layer in module.modules():
            if isinstance(layer, Conv3x3):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def undisturbed(x: Tensor, weight: Tensor) -> Iterator[None]:
    """Let NNPACK's threads alone where convolutions like that of `x` are its own.

    Those of torch go on spinning for some milliseconds after each operation, on the same cores.
    """
    if not pays(x, weight):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _home() -> int | None:
    """Return the process in which NNPACK works; makes it start threads, as many as torch has."""
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return None  # AVX-512; or not x86, or too old for NNPACK, which would say so on stderr
    # the operation itself is not part of torch's documented interface
    if (
        not hasattr(torch, "_nnpack_spatial_convolution")
        or not torch.backends.nnpack.is_available()
    ):
        return None
    one = torch.zeros(1, 1, 3, 3, dtype=torch.float32, device="cpu")
    torch._nnpack_spatial_convolution(one, one, None, (1, 1), (1, 1))
    return os.getpid()

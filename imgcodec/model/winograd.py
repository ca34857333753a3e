"""3x3 convolutions by Winograd's algorithm, half the time of the direct ones with AVX2.

NNPACK, which torch brings along, needs a fifth of the multiplications. It works in float32 and
without gradients; its results differ from those of direct convolutions in the fifth digit. With
AVX-512, which it does not know, direct ones take a tenth less time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor, nn

# A second thread takes a third of the time away, of direct convolutions half: with more than about
# four these should be faster.
MOST_THREADS = 4
LEAST_PLACES = 1024  # of a map; in smaller ones it takes longer to transform the weights


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Draw weights."""
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h, w)."""
        if not pays(x):
            return super().forward(x)
        one = (1, 1)  # of padding, and the stride
        maps = [  # one by one: NNPACK has another, slow way for several
            torch._nnpack_spatial_convolution(single, self.weight, self.bias, one, one)
            for single in x.split(1)
        ]
        return maps[0] if len(maps) == 1 else torch.cat(maps)


def pays(x: Tensor) -> bool:
    """Whether convolutions of these maps (B, C, h, w) are faster by Winograd's algorithm."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[2] * x.shape[3] >= LEAST_PLACES
        and not torch.is_grad_enabled()
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
def undisturbed(x: Tensor) -> Iterator[None]:
    """Let NNPACK's threads alone where convolutions of maps like `x` are its own.

    Those of torch go on spinning for some milliseconds after each operation, on the same cores.
    """
    if not pays(x):
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

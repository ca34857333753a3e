"""What a program may have switched on in torch, and what would change results, switched off."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from imgcodec.runtime.forks import Lock


class _Shared:
    """Settings of the whole process, which hold while any thread is inside.

    Would each thread put back what it found, one would do so while another still computes.
    """

    def __init__(self, settings: Callable[[], AbstractContextManager[None]]) -> None:
        """Take what makes the settings, and puts back what was before."""
        self._settings = settings
        self._lock = Lock()
        self._inside = 0
        self._held = settings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._held = self._settings()
                self._held.__enter__()
            self._inside += 1

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._held.__exit__(None, None, None)


@contextmanager
def _float32() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _full_products() -> Iterator[None]:
    """Multiply float32 in full, where a caller let CPUs with AMX round factors to bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _exact_cudnn() -> Iterator[None]:
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


_FLOAT32, _FULL_PRODUCTS, _CUDNN = map(_Shared, (_float32, _full_products, _exact_cudnn))


@contextmanager
def float32() -> Iterator[None]:
    """Make new tensors float32, whatever the caller prefers."""
    with _FLOAT32:
        yield


@contextmanager
def exact() -> Iterator[None]:
    """Compute without gradients, in the precision that the code asks for."""
    with (
        _FLOAT32,
        _FULL_PRODUCTS,
        _CUDNN,
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield

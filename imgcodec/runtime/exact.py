"""What a program may have switched on in torch, and what would change results, switched off."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Any, TypeVar

import torch

from imgcodec.runtime.forks import Lock

T = TypeVar("T")


class _Shared:
    """Settings of the whole process, which hold while any thread is inside.

    Would each thread put back what it found, one would do so while another still computes.
    """

    def __init__(self, settings: Callable[[], AbstractContextManager[None]]) -> None:
        """Take what makes the settings, and puts back what was before."""
        self._settings = settings
        self._lock = Lock()
        self._inside: list[int] = []  # threads, as often as they came in
        self._held = settings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._held = self._settings()
                self._held.__enter__()
            self._inside.append(get_ident())

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside.remove(get_ident())
            if not self._inside:
                self._held.__exit__(None, None, None)

    def in_child(self) -> None:
        """Forget the threads that only the parent of a forked child has."""
        before, own = self._inside, get_ident()
        self._inside = [thread for thread in before if thread == own]
        if before and not self._inside:
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
    """Multiply float32 in full, where a caller let machines round factors."""
    cudnn, switches = torch.backends.cudnn, _switches()
    before = [switch.fp32_precision for switch in switches]
    matmul = _told(torch.get_float32_matmul_precision, "highest")
    if _told(lambda: cudnn.allow_tf32, None) is None:
        cudnn.allow_tf32 = True  # as torch begins, and fit to be asked
    try:
        torch.set_float32_matmul_precision("highest")
        with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            for switch in switches:
                switch.fp32_precision = "ieee"
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


def _switches() -> list[Any]:
    """Return what says how factors are rounded since torch 2.9, beside what said so before."""
    kinds: Any = torch.backends
    if not hasattr(kinds, "fp32_precision"):
        return []
    cuda, cudnn, onednn = kinds.cuda, kinds.cudnn, kinds.mkldnn
    return [cuda.matmul, cudnn.conv, cudnn.rnn, onednn.matmul, onednn.conv]


def _told(ask: Callable[[], T], usual: T) -> T:
    """Return what torch says; where the caller took the newer switches, it raises: the usual."""
    try:
        return ask()
    except RuntimeError:
        return usual


def _on_cpu() -> AbstractContextManager[object]:
    """Make new tensors on the CPU where nothing else is said, and the caller prefers a device."""
    return nullcontext() if torch.empty(0).device.type == "cpu" else torch.device("cpu")


_FLOAT32, _FULL_PRODUCTS = map(_Shared, (_float32, _full_products))
if hasattr(os, "register_at_fork"):
    for _shared in (_FLOAT32, _FULL_PRODUCTS):
        os.register_at_fork(after_in_child=_shared.in_child)


@contextmanager
def plain() -> Iterator[None]:
    """Make new tensors as torch does by itself: float32, on the CPU, fit for gradients."""
    with _FLOAT32, _on_cpu(), torch.inference_mode(False):
        yield


@contextmanager
def exact() -> Iterator[None]:
    """Compute without gradients, in the precision that the code asks for."""
    with (
        _FLOAT32,
        _FULL_PRODUCTS,
        _on_cpu(),
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield

"""Small functions of many elementwise operations that can become one kernel each.

On a GPU a step of training is thousands of operations of two microseconds, each launched and
written to memory for the next one alone. `fusable` marks functions of tensors that are nothing but
such operations; `fuse` has torch compile them, for whoever calls them many times: compiling takes
tens of seconds, a compiler, and on a GPU Triton. They compute the same either way, up to rounding.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])
_fused = False


def fusable(function: F) -> F:
    """Mark a function of nothing but tensors, of any size: compiled while `fuse(True)` holds."""
    compiled = None

    @wraps(function)
    def call(*args: Any) -> Any:
        nonlocal compiled
        if not _fused or torch.compiler.is_compiling():
            return function(*args)
        if compiled is None:
            compiled = torch.compile(function, dynamic=True)
        return compiled(*args)

    return call  # type: ignore[return-value]


def fuse(on: bool) -> None:
    """Have all fusable functions compiled at their next call, or not."""
    global _fused
    _fused = on
    if on:
        import torch._dynamo

        torch._dynamo.config.specialize_float = True  # numbers in the text are constants

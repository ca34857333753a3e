"""Small functions of many elementwise operations that can become one kernel each.

On a GPU a step of training is thousands of operations of two microseconds, each launched and
written to memory for the next one alone. `fusable` marks functions that are nothing but such
operations; inside of `fusing` torch compiles them. It takes tens of seconds, and needs a C++
compiler, or Triton on a GPU; where there is none, they stay as they are. They compute the same
either way, up to rounding.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import torch

VARIANTS = 32  # of a function, for ranks, layouts and numbers that differ
F = TypeVar("F", bound=Callable[..., Any])
_fused = False
_lacking = False  # a compiler
_compiled: dict[Callable[..., Any], Callable[..., Any]] = {}


def fusable(function: F) -> F:
    """Mark a function of nothing but tensors, of any size: compiled inside of `fusing`."""

    @wraps(function)
    def call(*args: Any) -> Any:
        if not _fused or _lacking or torch.compiler.is_compiling():
            return function(*args)
        if function not in _compiled:
            _compiled[function] = torch.compile(function, dynamic=True)
        try:
            return _compiled[function](*args)
        except torch._dynamo.exc.TorchDynamoException as error:
            _give_up(error)
            return function(*args)

    return call  # type: ignore[return-value]


@contextmanager
def fusing(on: bool = True) -> Iterator[None]:
    """Have fusable functions compiled meanwhile, or not."""
    global _fused
    if on and not _lacking:
        try:
            _prepare()
        except ImportError as error:
            _give_up(error)
    before, _fused = _fused, on
    try:
        yield
    finally:
        _fused = before


def _give_up(error: Exception) -> None:
    """Compile nothing any more, and say so once."""
    global _lacking
    _lacking = True
    why = " ".join(str(error).partition("\n\n")[0].split())  # torch's advice follows
    text = f"nothing is compiled, which makes steps slower: {why}"
    warnings.warn(text, RuntimeWarning, stacklevel=3)


def _prepare() -> None:
    """Load torch's compiler, and tell it what the functions here need."""
    with warnings.catch_warnings():  # torch's own, of how its parts are written
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._dynamo
        import torch._inductor.compile_fx

    config = torch._dynamo.config
    config.specialize_float = True  # numbers in the text are constants
    # torch 2.6 has another name for it
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, VARIANTS)

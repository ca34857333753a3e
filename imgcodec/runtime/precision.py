"""What machines multiply natively besides float32: only those gain by it."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from imgcodec.runtime.forks import undivided
from imgcodec.runtime.limits import is_limited

# Values of ONEDNN_MAX_CPU_ISA with which oneDNN multiplies bfloat16 a hundred times slower.
ISAS_WITHOUT_BF16 = {
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI",
}  # fmt: skip


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device, "cpu" or "cuda", gains by bfloat16, and its library may use it.

    A CPU does with AMX; with AVX512-BF16 alone AMD's multiply bfloat16 twice as fast as float32,
    Intel's half as fast. It is left where memory is limited.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = _capabilities()
    intel = str(found.get("cpu_name", "")).startswith("Intel")
    native = found.get("amx_bf16") or (found.get("avx512_bf16") and not intel)
    held_back = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISAS_WITHOUT_BF16
    onednn = torch.backends.mkldnn.enabled
    return bool(native and onednn and not held_back and not is_limited())


def multiplies_int8(device: str) -> bool:
    """Whether a device gains by products of int8 that are added up as int32, and they are exact.

    CPUs with VNNI do. The instructions before it cut sums of two products to 16 bits, and oneDNN
    can be held to those: so it is tried. They are left where memory is limited.
    """
    onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    return bool(device == "cpu" and onednn and not is_limited() and _multiplies_int8())


@lru_cache(maxsize=1)
@undivided()
def _multiplies_int8() -> bool:
    native = _capabilities().get("avx512_vnni") or _capabilities().get("avx_vnni")
    if not (native and hasattr(torch, "_int_mm")):
        return False
    try:
        for rows, inner in ((512, 96), (9, 27)):
            most = torch.full((rows, inner), 127, dtype=torch.int8, device="cpu")
            if not (torch._int_mm(most, most.T[:, :2].contiguous()) == inner * 127**2).all():
                return False
    except RuntimeError:
        return False
    return True


def _capabilities() -> dict[str, Any]:
    """Return what torch knows of this CPU: nothing before torch 2.11."""
    ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return ask()

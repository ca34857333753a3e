"""Where the trunks may multiply in bfloat16: only machines that do so natively gain by it."""

import os
from collections.abc import Callable
from typing import Any

import torch

# Values of ONEDNN_MAX_CPU_ISA with which oneDNN multiplies bfloat16 a hundred times slower.
ISAS_WITHOUT_BF16 = {
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI",
}  # fmt: skip


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device, "cpu" or "cuda", gains by bfloat16, and its library may use it.

    A CPU does with AMX; with AVX512-BF16 alone AMD's multiply bfloat16 twice as fast as float32,
    Intel's half as fast.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # torch 2.11
    found = ask()
    intel = str(found.get("cpu_name", "")).startswith("Intel")
    native = found.get("amx_bf16") or (found.get("avx512_bf16") and not intel)
    held_back = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISAS_WITHOUT_BF16
    return bool(native and torch.backends.mkldnn.enabled and not held_back)

"""What machines multiply: that int8 is chosen where its products are exact, and only there."""

import os
import subprocess
import sys

import pytest
import torch

from imgcodec.runtime import precision

ASK = "from imgcodec.runtime.precision import multiplies_int8; print(multiplies_int8('cpu'))"


@pytest.fixture
def anew():
    precision._multiplies_int8.cache_clear()
    yield
    precision._multiplies_int8.cache_clear()


def test_int8_is_multiplied_where_vnni_is():
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = found.get("avx512_vnni") or found.get("avx_vnni")
    free = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    told = subprocess.run([sys.executable, "-c", ASK], env=free, capture_output=True, text=True)
    assert told.stdout == f"{bool(native)}\n"
    assert not precision.multiplies_int8("cuda")


def test_int8_is_left_where_onednn_is_missing(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not precision.multiplies_int8("cpu")


def test_int8_is_left_where_the_library_is_held_to_older_instructions():
    held = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    told = subprocess.run([sys.executable, "-c", ASK], env=held, capture_output=True, text=True)
    assert told.stdout == "False\n"


def test_int8_is_left_where_sums_are_cut(anew, monkeypatch):
    monkeypatch.setattr(precision, "_capabilities", lambda: {"avx512_vnni": True})
    cut = torch.tensor(2**15 - 1, dtype=torch.int32)
    monkeypatch.setattr(torch, "_int_mm", lambda *_: cut, raising=False)
    assert not precision.multiplies_int8("cpu")


def test_int8_is_left_where_it_is_not_built_in(anew, monkeypatch):
    def fail(*_):
        raise RuntimeError("not implemented")

    monkeypatch.setattr(precision, "_capabilities", lambda: {"avx512_vnni": True})
    monkeypatch.setattr(torch, "_int_mm", fail, raising=False)
    assert not precision.multiplies_int8("cpu")


def test_only_float32_where_memory_is_limited(monkeypatch):
    """Other products come out in part where an allocation fails, and nobody is told."""
    able = {"avx512_vnni": True, "amx_bf16": True}
    monkeypatch.setattr(precision, "_capabilities", lambda: able)
    monkeypatch.setattr(precision, "_multiplies_int8", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert precision.multiplies_int8("cpu")
    assert precision.multiplies_bfloat16("cpu")
    monkeypatch.setattr(precision, "is_limited", lambda: True)
    assert not precision.multiplies_int8("cpu")
    assert not precision.multiplies_bfloat16("cpu")

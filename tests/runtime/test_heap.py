"""Freed memory that is kept."""

import ctypes
import subprocess
import sys

import pytest

# Whether glibc maps a block of 30 MiB by itself, to be given back as soon as it is freed
MAPPED = """
import ctypes, sys, torch
from imgcodec.runtime.heap import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd".split()]
    _fields_ += [("others", ctypes.c_size_t * 5)]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
before = libc.mallinfo2().hblks
assert libc.malloc(ctypes.c_size_t(30 << 20))
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no glibc of 2.33 or later"
)
@pytest.mark.parametrize(("how", "mapped"), [("left", "1"), ("kept", "0")])
def test_what_is_freed_is_not_asked_for_anew(how, mapped):
    command = [sys.executable, "-c", MAPPED, how]
    found = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert found.strip() == mapped

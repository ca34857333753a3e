"""Freed memory that is kept."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from imgcodec.runtime.heap import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def fault():
    parts = [torch.zeros(2**20) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fault(); fault()
first = fault()
print((fault() - first) * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_freed_is_not_asked_for_anew():
    def faulted(how):
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert faulted("left") > 8 << 20
    assert faulted("kept") < 1 << 20

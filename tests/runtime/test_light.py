"""Torch without what only compiling needs: it works, and the rest can still be had."""

import subprocess
import sys

WORK = """
import sys, time
from imgcodec.runtime import light
light.import_torch()
import torch
assert light.UNUSED not in sys.modules and not hasattr(torch, "_meta_registrations")
x = torch.ones(2, 3, requires_grad=True)
(x @ x.T).sum().backward()
assert x.grad.tolist() == [[4.0] * 3] * 2
assert not any(name.startswith("torch._refs") for name in sys.modules)
import torch._meta_registrations
assert torch._meta_registrations.__file__
assert (torch.empty(2, 3, device="meta") @ torch.empty(3, 4, device="meta")).shape == (2, 4)
print("fine")
"""
LOADED = """
import torch
before = torch._meta_registrations
from imgcodec.runtime import light
light.import_torch()
assert torch._meta_registrations is before
print("fine")
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_torch_works_and_the_rest_is_there_when_it_is_asked_for():
    run(WORK)


def test_what_is_loaded_stays():
    run(LOADED)

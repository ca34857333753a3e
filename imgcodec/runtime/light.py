"""Torch in a third less time, for commands that are over soon."""

import sys
from types import ModuleType

# What torch needs for tensors without data, as when it compiles or exports: it imports this in
# its last lines for what it registers, and takes nothing else from it.
UNUSED = "torch._meta_registrations"


def import_torch() -> None:
    """Import torch without what only compiling and exporting need.

    That can still be imported afterwards. Nothing happens where torch is loaded already.
    """
    if "torch" in sys.modules:
        return
    stand_in = sys.modules.setdefault(UNUSED, ModuleType(UNUSED))
    try:
        import torch
    finally:
        del sys.modules[UNUSED]
    name = UNUSED.partition(".")[2]
    if getattr(torch, name, None) is stand_in:
        delattr(torch, name)

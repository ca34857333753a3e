"""Memory that is freed and wanted again at once, picture after picture."""

import torch

# glibc gives freed memory back to the system beyond twice the size of the largest block that was
# freed so far and had been asked for by itself; blocks above 32 MiB do not count.
BLOCK = 31 << 20


def keep_freed() -> None:
    """Let glibc keep some 60 MB of what is freed: new pages take a twentieth of a decoder's time.

    Other libraries are left as they are.
    """
    torch.empty(BLOCK, dtype=torch.uint8, device="cpu")

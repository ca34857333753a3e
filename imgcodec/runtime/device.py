"""Where torch computes."""

import torch

from imgcodec.errors import AicError

DEVICES = "auto", "cpu", "cuda"


def chosen(device: str) -> str:
    """Return "cuda" or "cpu"; of "auto", "cuda" where it works.

    Raises:
        AicError: no such device, or none that works.
    """
    if device not in DEVICES:
        raise AicError(f"device {device}, wanted one of {', '.join(DEVICES)}")
    reason = "no CUDA device found"
    if device != "cpu" and torch.cuda.is_available():  # once asked, no forked child can use it
        try:
            torch.zeros(1, device="cuda")
            return "cuda"
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
    if device == "cuda":
        raise AicError(reason)
    return "cpu"

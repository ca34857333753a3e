"""Pillow's settings of the whole process, and what it raises on damaged files."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from imgcodec.files import reason
from imgcodec.runtime.forks import Lock

# What Pillow raises on damaged files, over all its plugins.
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    NotImplementedError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
PROCESS_LOCK = Lock()  # Pillow's pixel limit and warning filters are the process's


@contextmanager
def unlimited() -> Iterator[None]:
    """Put Pillow's limit of pixels out of force, ours is checked; and its warnings."""
    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that nobody reads here
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def reason_of(error: BaseException) -> str:
    """Return one line for what the system or Pillow reports."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known kind"
    return reason(error)

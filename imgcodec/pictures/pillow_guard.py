"""Pillow's settings of the whole process, and what it and its plugins raise."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from imgcodec.errors import AicError, FormatError, ImageError, lacks_memory
from imgcodec.files import reason
from imgcodec.runtime.forks import Lock

PROCESS_LOCK = Lock()  # Pillow's limits and warning filters are the process's
_MOST_TEXT = 2**24  # bytes: a JPEG file may have a colour profile of nearly as many


@contextmanager
def unlimited() -> Iterator[None]:
    """Put Pillow's limit of pixels out of force, ours is checked; and its warnings.

    And raise that of texts and profiles of PNG, 1 MiB each.
    """
    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that nobody reads here
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        text = PngImagePlugin.MAX_TEXT_CHUNK
        PngImagePlugin.MAX_TEXT_CHUNK = max(text, _MOST_TEXT)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            PngImagePlugin.MAX_TEXT_CHUNK = text


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what Pillow raises on a damaged file into an ImageError.

    That may be anything, over all its plugins; those written in Rust panic with what is not even
    an Exception.
    """
    try:
        yield
    except (AicError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ImageError(reason_of(error)) from error


@contextmanager
def refusing_part(what: str) -> Iterator[None]:
    """Turn what Pillow raises on a damaged part of an .aic file into a FormatError: `what` it is.

    But for too little memory, which is no damage.
    """
    try:
        with refusing():
            yield
    except ImageError as error:
        if error.__cause__ is not None and lacks_memory(error.__cause__):
            raise error.__cause__ from None
        raise FormatError(f"{what}: {error}") from error


def reason_of(error: BaseException) -> str:
    """Return one line for what the system or Pillow reports."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known kind"
    text = reason(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"{text.partition(',')[0]}: --max-pixels, max_pixels in Python"
    if text.startswith("decoder error -"):  # a number of libtiff
        text = f"is damaged, or packed in a way that is not handled ({text})"
    return text

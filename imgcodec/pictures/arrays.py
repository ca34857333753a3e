"""Pictures as uint8 arrays: their channels and their size."""

import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError
from imgcodec.format.container import MAX_PIXELS, MAX_SIDE

ByteArray = NDArray[np.uint8]
HalfArray = NDArray[np.float16]  # pixels that were never rounded to 8 bits, about 0..255
Samples = TypeVar("Samples", ByteArray, HalfArray)


def as_colour(pixels: Samples) -> Samples:
    """Return (H, W) or (H, W, 3) as (H, W, 3), without a copy."""
    if pixels.ndim == 3:
        return pixels
    return np.broadcast_to(pixels[..., None], (*pixels.shape, 3))


def pad(image: Samples, multiple: int) -> Samples:
    """Repeat the last row and column until both sides are multiples."""
    bottom, right = (-side % multiple for side in image.shape[:2])
    return np.pad(image, [(0, bottom), (0, right)] + [(0, 0)] * (image.ndim - 2), mode="edge")


def as_grey(pixels: ByteArray) -> ByteArray:
    """Return the mean of the channels of (H, W, 3), rounded, (H, W)."""
    mean: ByteArray = np.round(pixels.astype(np.float32).mean(2)).astype(np.uint8)
    return mean


def shaped_like(pixels: ByteArray, like: ByteArray) -> ByteArray:
    """Return pixels (H, W, 3) at the size of others, grey where those are: undoes `pad`."""
    height, width = like.shape[:2]
    cut = pixels[:height, :width]
    return as_grey(cut) if like.ndim == 2 else cut


def is_pil(image: Any) -> bool:
    """Return whether something is a PIL image; arrays in files have a mode, too, of opening."""
    return isinstance(getattr(image, "mode", None), str) and not isinstance(image, np.ndarray)


def as_array(image: Any) -> NDArray[Any]:
    """Return what is given as samples as an array.

    Raises:
        ImageError: it is a masked array, whose mask no file keeps; a file, or a PIL image whose
            samples are no colours or greys; or a tensor that does not become an array.
    """
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError("a masked array, wanted one without a mask")
    if isinstance(image, str | bytes | os.PathLike):
        told = f"a file or its name ({type(image).__name__})"
        raise ImageError(f"{told}, wanted uint8 (H, W, 3) or (H, W): PIL.Image.open reads files")
    if is_pil(image) and image.mode not in ("RGB", "L"):
        raise ImageError(f"a PIL image of mode {image.mode}, wanted RGB or L")
    try:
        return np.asarray(image)
    except RuntimeError as error:  # of torch: gradients, devices without memory
        raise ImageError(f"no array: {str(error).splitlines()[0]}") from error


def check_size(height: int, width: int) -> None:
    """Refuse a picture that no .aic file holds.

    Raises:
        ImageError: it is too large.
    """
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ImageError(
            f"{width}x{height} pixels, limits are {MAX_SIDE} a side, {MAX_PIXELS} in all"
        )


def check_samples(samples: Any) -> None:
    """Refuse an array that is no picture of 8 bits: uint8 (H, W, 3) or (H, W), 1..65535 a side.

    Raises:
        ImageError: it is none.
    """
    shape = samples.shape
    if samples.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        raise ImageError(f"an array of {samples.dtype} {shape}, wanted uint8 (H, W, 3) or (H, W)")
    if not 1 <= min(shape[:2]) <= max(shape[:2]) <= MAX_SIDE:
        raise ImageError(f"{shape[1]}x{shape[0]} pixels, 1..{MAX_SIDE} a side are wanted")

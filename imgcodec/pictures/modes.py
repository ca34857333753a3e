"""Pillow's many kinds of pictures -> 8-bit RGB or grey, with or without alpha."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageColor

from imgcodec.errors import AicError, ImageError
from imgcodec.pictures.arrays import ByteArray

_SPACES = {"CMYK": b"CMYK", "LAB": b"Lab ", "RGB": b"RGB ", "L": b"GRAY"}  # as ICC names them


class Samples(NamedTuple):
    """A picture's samples, and what became of its colours."""

    pixels: ByteArray  # (H, W, 3), or (H, W) of a grey picture
    alpha: ByteArray | None  # (H, W), None where all is opaque
    icc: bytes | None  # the profile of these pixels
    notes: tuple[str, ...]  # what was lost or guessed


def samples(picture: Image.Image) -> Samples:
    """Return the samples of a loaded picture of 8 bits a sample, see `depth.eight_bits`.

    Colours of another space than RGB and grey go to sRGB, by the picture's own profile if there
    is one.

    Raises:
        ImageError: there is no way to 8-bit RGB or grey.
    """
    icc = picture.info.get("icc_profile") or None
    notes: list[str] = []
    if picture.mode in ("CMYK", "LAB", "YCbCr", "HSV", "RGBX"):
        picture, icc, notes = _to_rgb(picture, icc)
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("LA" if picture.mode in ("L", "LA", "La") else "RGBA")
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    if picture.mode not in ("RGB", "L", "RGBA", "LA"):
        raise ImageError(f"mode {picture.mode} cannot be kept in 8-bit RGB or grey")
    found = np.array(picture, dtype=np.uint8)
    alpha = None
    if picture.mode in ("RGBA", "LA"):
        found, alpha = found[..., :-1], found[..., -1].copy()
        found = np.ascontiguousarray(found if picture.mode == "RGBA" else found[..., 0])
        alpha = None if alpha.min() == 255 else alpha
    if icc is not None and icc[16:20] != _SPACES["L" if found.ndim == 2 else "RGB"]:
        icc = None
        notes.append("its colour profile is not one of such pixels, and is left out")
    return Samples(found, alpha, icc, tuple(notes))


def _to_rgb(
    picture: Image.Image, icc: bytes | None
) -> tuple[Image.Image, bytes | None, list[str]]:
    """Return a picture of another colour space as RGB, the profile it has then, and notes."""
    if picture.mode in ("YCbCr", "HSV", "RGBX"):  # only other ways to write RGB
        return picture.convert("RGB"), icc, []
    try:
        if picture.mode == "LAB":
            source = ImageCms.createProfile("LAB")
        elif icc is None or icc[16:20] != _SPACES[picture.mode]:
            note = f"{picture.mode} without a colour profile: colours are a guess"
            return picture.convert("RGB"), None, [note]
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        target = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"its colour profile cannot be applied: {error}") from error
    if turned is None:
        raise ImageError("its colour profile cannot be applied")
    return turned, None, [f"{picture.mode} colours were converted to sRGB"]


def colour(name: str) -> tuple[int, int, int]:
    """Return the colour of a name like "white" or "#ff8000"; AicError for what is none."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise AicError(f"{name!r} is not the name of a colour, nor #rrggbb") from error
    return red, green, blue


def composed(pixels: ByteArray, alpha: ByteArray, colour: tuple[int, int, int]) -> ByteArray:
    """Return pixels (H, W, 3) or (H, W) laid over a colour; grey stays grey over a grey colour."""
    if pixels.ndim == 2 and len(set(colour)) > 1:
        pixels = np.repeat(pixels[..., None], 3, 2)
    share = alpha.astype(np.float32) / 255
    below = np.array(colour, np.float32)
    if pixels.ndim == 2:
        mixed = share * pixels + (1 - share) * below[0]
    else:
        mixed = share[..., None] * pixels + (1 - share[..., None]) * below
    found: ByteArray = np.round(mixed).astype(np.uint8)
    return found


def fill_invisible(pixels: ByteArray, alpha: ByteArray) -> ByteArray:
    """Return pixels with the colour of the nearest visible one where nobody sees any."""
    from scipy.ndimage import distance_transform_edt

    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    rows, columns = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    filled: ByteArray = np.ascontiguousarray(pixels[rows, columns])
    return filled

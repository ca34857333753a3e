"""Pillow's many kinds of pictures -> 8-bit RGB or grey, with or without alpha."""

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageColor

from imgcodec.errors import AicError, ImageError
from imgcodec.pictures.arrays import ByteArray

_DEEP_RAW = re.compile(r";16[BLN]|SGI16")  # Pillow's raw modes of 16 bits, which it cuts to 8
_DEEP_HEADER = {  # AVIF: flag high_bitdepth of av1C; JPEG 2000: bits of the first channel, less 1
    "AVIF": re.compile(rb"av1C..[\x40-\x7f\xc0-\xff]", re.DOTALL),
    "JPEG2000": re.compile(rb"\xff\x4f\xff\x51.{38}[^\0-\x07\x80-\x87]", re.DOTALL),
}
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_SPACES = {"CMYK": b"CMYK", "LAB": b"Lab ", "RGB": b"RGB ", "L": b"GRAY"}  # as ICC names them


class Samples(NamedTuple):
    """A picture's samples, and what became of its colours."""

    pixels: ByteArray  # (H, W, 3), or (H, W) of a grey picture
    alpha: ByteArray | None  # (H, W), None where all is opaque
    icc: bytes | None  # the profile of these pixels
    notes: tuple[str, ...]  # what was lost or guessed


def samples(picture: Image.Image) -> Samples:
    """Return the samples of a loaded picture.

    Colours of another space than RGB and grey go to sRGB, by the picture's own profile if there
    is one.

    Raises:
        ImageError: there is no way to 8-bit RGB or grey.
    """
    icc = picture.info.get("icc_profile") or None
    notes: list[str] = []
    if picture.mode in _DEEP_GREY or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        if "transparency" in picture.info:
            raise ImageError("16-bit grey with a transparent colour is not handled")
        deep = np.asarray(picture).astype(np.int64)
        return Samples(((deep + 128) // 257).clip(0, 255).astype(np.uint8), None, icc, ())
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


def is_deep(picture: Image.Image, path: Path | None) -> bool:
    """Whether an opened picture has more than 8 bits a sample; Pillow itself does not say."""
    if picture.mode in _DEEP_GREY:
        return True
    tiles: list[tuple[Any, ...]] = getattr(picture, "tile", [])  # what the decoders will be told
    deep = _DEEP_RAW.search(str(tiles[:1])) is not None
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(258, 1)  # type: ignore[attr-defined]  # BitsPerSample
        deep |= int(np.max(bits)) > 8
    elif picture.format == "PPM" and tiles:
        args = tiles[0][3]  # "RGB", or ("RGB", largest sample)
        deep |= isinstance(args, tuple) and args[-1] > 255
    elif picture.format in _DEEP_HEADER and path is not None:
        deep |= _DEEP_HEADER[picture.format].search(path.read_bytes()) is not None
    return deep


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

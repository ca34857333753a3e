"""Pixels <-> the bitstream of lossless WebP, VP8L, without the file around it.

RFC 9649, section 3; libwebp writes and reads it, by way of Pillow.
"""

import io
import struct
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from imgcodec.errors import FormatError, ImageError
from imgcodec.pictures.arrays import ByteArray, as_colour
from imgcodec.pictures.pillow_guard import refusing, refusing_part, unlimited
from imgcodec.runtime.stopwatch import stage

MAX_SIDE = 2**14  # pixels
_METHOD, _QUALITY = 4, 75  # of the encoder: more gains little, and takes long
_FILE = struct.Struct("<4sI4s4sI")  # RIFF, bytes behind it, WEBP, VP8L, bytes of the bitstream
_HEAD = struct.Struct("<BI")  # signature; sides less 1, alpha, version
_SIGNATURE = 0x2F
_SIDE_BITS = 14


@stage("codes")
def pack(pixels: ByteArray) -> bytes:
    """Return the bitstream of uint8 (H, W, 3) or (H, W), sides up to `MAX_SIDE`.

    Raises:
        ImageError: Pillow was built without WebP.
    """
    file = io.BytesIO()
    with refusing():
        picture = Image.fromarray(np.ascontiguousarray(as_colour(pixels)))
        picture.save(file, "WEBP", lossless=True, method=_METHOD, quality=_QUALITY)
    data = file.getvalue()
    *_, kind, length = _FILE.unpack_from(data)
    if kind != b"VP8L":
        raise ImageError(f"WebP without loss came out as {kind!r}")
    return data[_FILE.size : _FILE.size + length]


@stage("codes")
def unpack(data: bytes, height: int, width: int) -> ByteArray:
    """Return the pixels of a bitstream, uint8 (height, width, 3).

    Raises:
        FormatError: it is damaged, or of another size.
    """
    if len(data) < _HEAD.size:
        raise FormatError(f"{len(data)} bytes are no lossless WebP")
    signature, bits = _HEAD.unpack_from(data)
    sides = (height - 1) << _SIDE_BITS | (width - 1)
    if signature != _SIGNATURE or bits != sides:  # no alpha, version 0
        raise FormatError(f"no lossless WebP of {width}x{height} opaque pixels")
    even = data + bytes(len(data) % 2)
    head = _FILE.pack(b"RIFF", _FILE.size - 8 + len(even), b"WEBP", b"VP8L", len(data))
    file = io.BytesIO(head + even)
    with (
        _limit_of(height * width),
        refusing_part("damaged lossless WebP"),
        WebPImageFile(file) as picture,
    ):
        pixels = np.array(picture.convert("RGB"))
    if pixels.shape != (height, width, 3):
        raise FormatError(f"lossless WebP of another size than {width}x{height}")
    return pixels


def _limit_of(pixels: int) -> AbstractContextManager[None]:
    """Put Pillow's limit of pixels out of force where it would refuse so many.

    It is the whole process's: other threads may rely on it, so else it is left alone.
    """
    limit = Image.MAX_IMAGE_PIXELS
    return nullcontext() if limit is None or pixels <= limit else unlimited()

"""What lies around the coded blocks, compressed: deflate, with the usual segments at hand."""

import zlib
from functools import cache

import numpy as np

from imgcodec.errors import FormatError
from imgcodec.jpeg.standard import CHROMA, HUFFMAN, LUMA, scaled
from imgcodec.jpeg.syntax import ZIGZAG

# What libjpeg and cameras write before the first scan, and libjpeg's scans of progressive files.
_USUAL = bytes.fromhex(
    "ffe1ffff45786966000049492a0008000000ffe1ffff4578696600004d4d002a00000008"
    "ffee000e41646f626500640000000000ffee000e41646f626500640000000001"
    "ffc0000b080200020001011100ffc2000b080200020001011100"
    "ffc20011080200020003012200021101031101ffc20011080200020003011100021101031101"
    "ffc10011080200020003012200021101031101"
    "ffda000c03010002100310000001ffda0008010100010502ffda0008010301013f01"
    "ffda0008010201013f01ffda0008010100063f02ffda0008010100013f21"
    "ffda000c03010002000300000010ffda0008010301013f10ffda0008010201013f10"
    "ffda0008010100013f10"
    "ffdd00040000ffc00011080200020003012100021101031101ffc00011080200020003011100021101031101"
    "ffc00011080200020003012200021101031101"
)
_SCAN = bytes.fromhex("ffda000c03010002110311003f00ffd9")
_START = bytes.fromhex(
    "ffd8ffe000104a46494600010101004800480000ffd8ffe000104a46494600010100000100010000"
)


@cache
def _dictionary() -> bytes:
    """Return segments of files: quantisation tables of all of libjpeg's qualities, and others."""
    parts = []
    order = list(range(1, 50)) + list(range(100, 49, -1))
    for quality in order:
        for number, steps_50 in enumerate((LUMA, CHROMA)):
            steps = scaled(steps_50, quality)[ZIGZAG].astype(np.uint8)
            parts.append(b"\xff\xdb\x00C" + bytes([number]) + steps.tobytes())
    return b"".join([*parts, _USUAL, HUFFMAN, _SCAN, _START])


def deflated(data: bytes) -> bytes:
    """Return data compressed: raw deflate with the dictionary."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _dictionary())
    return coder.compress(data) + coder.flush()


def inflated(data: bytes, size: int) -> bytes:
    """Return data of so many bytes.

    Raises:
        FormatError: it is damaged, or has another size.
    """
    coder = zlib.decompressobj(-15, _dictionary())
    try:
        result = coder.decompress(data, size + 1)
    except zlib.error as error:
        raise FormatError(f"what lies around the blocks is damaged: {error}") from error
    if len(result) != size or not coder.eof or coder.unused_data:
        raise FormatError(f"what lies around the blocks has not its {size} bytes")
    return result

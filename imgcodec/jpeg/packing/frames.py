"""What lies around the coded blocks, compressed: deflate, with the usual segments at hand."""

import zlib
from functools import cache

import numpy as np

from imgcodec.errors import FormatError
from imgcodec.jpeg.syntax import ZIGZAG

_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(32 * (99,)),
)  # fmt: skip
# The Huffman tables of the JPEG standard's annex K, as segments.
_HUFFMAN = bytes.fromhex(
    "ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b5100002010303020403"
    "050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f0243362728209"
    "0a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475"
    "767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7"
    "c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffc4001f01000301010101010101"
    "01010000000000000102030405060708090a0bffc400b51100020102040403040705040400010277000102031104"
    "052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
    "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a8283848586878889"
    "8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9da"
    "e2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
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
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        for number, base in enumerate((_LUMA, _CHROMA)):
            table = np.clip((np.array(base) * scale + 50) // 100, 1, 255).astype(np.uint8)
            parts.append(b"\xff\xdb\x00C" + bytes([number]) + table[ZIGZAG].tobytes())
    return b"".join([*parts, _USUAL, _HUFFMAN, _SCAN, _START])


def is_usual(segment: bytes) -> bool:
    """Whether a segment is a Huffman table of the standard, which takes hardly a byte here."""
    return segment in _HUFFMAN


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

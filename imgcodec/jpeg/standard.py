"""The tables of the JPEG standard's annex K, and those that libjpeg makes of them."""

from collections.abc import Sequence

import numpy as np

from imgcodec.jpeg.huffman import Integers

MOST_STEP = 255  # of baseline files

# Steps of quality 50, frequencies row by row.
LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(32 * (99,)),
)  # fmt: skip
# Huffman tables, as segments: luma and chroma, of block means and of the other frequencies.
HUFFMAN = bytes.fromhex(
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


def scaled(steps: Sequence[int], quality: float) -> Integers:
    """Return libjpeg's steps of a quality 1..100, of those of quality 50."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    found = (percent * np.array(steps) + 50) // 100
    return np.clip(found, 1, MOST_STEP).astype(np.int64)


def is_standard(segment: bytes) -> bool:
    """Whether a segment holds a Huffman table of the standard."""
    return segment in HUFFMAN

"""One wrong bit of what a checksum covers, found by the checksum and set right.

A CRC is linear: by how much it differs from what it should be depends on which bits are wrong, not
on the others. No two single bits make the same difference (up to 2^32 bits), and of other damage a
share of 2^-32 for each bit looks like one; so what is long is left as it is.
"""

import math
import zlib

MOST_BYTES = 2**22  # of which other damage looks like a single wrong bit once in 128 times


def mended(data: bytes, crc: int) -> bytes | None:
    """Return what had this CRC-32 before one bit of it, or of the CRC, went wrong; None: more did.

    Nor is anything found of more than `MOST_BYTES`.

    With so many zeros behind the wrong bit as there are bytes, its difference is that of the bit
    in the last byte, shifted by as many; shifts of many bytes are kept, and met by shifts of few.
    """
    if len(data) > MOST_BYTES:
        return None
    difference = zlib.crc32(data) ^ crc
    if difference.bit_count() == 1:
        return data
    few = math.isqrt(len(data)) + 1
    kept = {}
    for bit in range(8):
        own = zlib.crc32(bytes([1 << bit])) ^ zlib.crc32(bytes(1))
        for behind in range(0, len(data) + few, few):
            kept[own] = behind, bit
            own = _shifted(own, few)
    for less in range(few):
        behind, bit = kept.get(difference, (-1, 0))
        if 0 <= behind - less < len(data):
            found = bytearray(data)
            found[len(data) - 1 - (behind - less)] ^= 1 << bit
            return bytes(found)
        difference = _shifted(difference, 1)
    return None


def _shifted(difference: int, num_bytes: int) -> int:
    """Return what a difference of CRCs becomes with so many zeros behind."""
    zeros = bytes(num_bytes)
    return zlib.crc32(zeros, difference) ^ zlib.crc32(zeros)

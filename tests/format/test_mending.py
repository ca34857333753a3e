"""Single wrong bits, found by their checksum."""

import random
import zlib

import pytest

from imgcodec.format.mending import MOST_BYTES, mended


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 24, 25, 26, 1000, 100_000])
def test_any_single_bit_is_found(length):
    chance = random.Random(length)  # noqa: S311
    data = chance.randbytes(length)
    crc = zlib.crc32(data)
    bits = range(8 * length)
    for bit in bits if length < 100 else (0, bits[-1], *chance.sample(bits, 20)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert mended(bytes(damaged), crc) == data
    for bit in range(32):  # of the checksum itself
        assert mended(data, crc ^ 1 << bit) == data


@pytest.mark.parametrize("length", [2, 30, 1000])
def test_of_more_wrong_bits_none_is_found(length):
    """Of two and one, a CRC-32 misses none below 11 kB, of three and one next to none."""
    chance = random.Random(length)  # noqa: S311
    data = chance.randbytes(length)
    for count in (2, 2, 2, 3, 3):
        damaged = bytearray(data)
        for bit in chance.sample(range(8 * length), count):
            damaged[bit // 8] ^= 1 << bit % 8
        assert mended(bytes(damaged), zlib.crc32(data)) is None
    assert mended(bytes(length), zlib.crc32(data)) is None


def test_of_long_data_none_is_found():
    data = bytes(MOST_BYTES + 1)
    assert mended(data, zlib.crc32(data) ^ 1) is None
    assert mended(data[1:], zlib.crc32(data[1:]) ^ 1) == data[1:]

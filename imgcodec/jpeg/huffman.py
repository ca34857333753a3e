"""Huffman tables of JPEG files, and bits -> bytes of a scan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError

Integers = NDArray[np.int64]
WINDOW = 16  # bits, the longest code
# An entry of `Table.steps`: bits that code and value take, how far it goes on in the block, the
# symbol, and bits of the code alone.
BITS, ADVANCE, SYMBOL, LENGTH = 0, 6, 13, 21
SKIP = 64  # an advance that ends any block


@dataclass(frozen=True)
class Table:
    """A Huffman table.

    Args:
        codes: int64 (256,) code of each symbol.
        lengths: int64 (256,) bits of each, 0: it has none.
        steps: uint32 (65536,) what stands at the head of 16 bits, as above; length 0: nothing.
        counts: int64 (256,) how often each symbol was looked up.
    """

    codes: Integers
    lengths: Integers
    steps: NDArray[np.uint32]
    counts: Integers

    @classmethod
    def counting(cls) -> "Table":
        """Return a table that has no codes: it tells which symbols are looked up."""
        ones = np.ones(256, np.int64)
        return cls(np.zeros_like(ones), ones, np.zeros(0, np.uint32), np.zeros_like(ones))

    @classmethod
    def read(cls, counts: bytes, symbols: bytes, is_dc: bool, runs: bool) -> "Table":
        """Make a table.

        Args:
            counts: (16,) symbols of each length.
            symbols: by length.
            is_dc: whether symbols are sizes alone, not runs and sizes.
            runs: whether symbols of size 0 stand for runs of ended blocks.

        Raises:
            ImageError: codes do not fit into their lengths.
        """
        codes, lengths = np.zeros(256, np.int64), np.zeros(256, np.int64)
        steps = np.full(1 << WINDOW, 1 | 1 << ADVANCE, np.uint32)
        code, place = 0, 0
        for length, count in enumerate(counts, 1):
            for symbol in symbols[place : place + count]:
                if code >= 1 << length:
                    raise ImageError("a Huffman table has more codes than fit")
                codes[symbol], lengths[symbol] = code, length
                first = code << (WINDOW - length)
                steps[first : first + (1 << (WINDOW - length))] = _step(
                    symbol, length, is_dc, runs
                )
                code += 1
            place += count
            code <<= 1
        return cls(codes, lengths, steps, np.zeros(256, np.int64))


def _step(symbol: int, length: int, is_dc: bool, runs: bool) -> int:
    run, size = symbol >> 4, symbol & 15
    advance = run + 1
    if is_dc:
        size, advance = min(symbol, 16), 1
    elif size == 0 and run < 15:  # the end of one or more blocks
        advance, size = SKIP, run if runs else 0
    return (length + size) | advance << ADVANCE | symbol << SYMBOL | length << LENGTH


def windows(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the 32 bits from each byte on; behind the end are ones."""
    padded = np.concatenate([data, np.full(8, 255, np.uint8)]).astype(np.uint32)
    words: NDArray[np.uint32] = padded[:-3] << np.uint32(24) | padded[1:-2] << np.uint32(16)
    words |= padded[2:-1] << np.uint32(8) | padded[3:]
    return words


def heads(words: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return the 16 bits from each bit on."""
    found = np.empty((len(words), 8), np.uint16)
    for bit in range(8):
        found[:, bit] = words >> np.uint32(16 - bit)
    return found.reshape(-1)


def write_bits(
    values: Integers, counts: Integers, segments: Integers, pads: Sequence[int], restarts: bool
) -> bytes:
    """Return the bytes of a scan.

    Args:
        values: (n,) numbers to be written.
        counts: (n,) bits of each, 0..32.
        segments: (n,) the restart interval of each, from 0, not decreasing.
        pads: a number for each restart interval, whose last bits fill up its last byte.
        restarts: whether markers stand between intervals.
    """
    num = len(pads)
    ends = np.cumsum(counts)
    last = np.searchsorted(segments, np.arange(num), "right") - 1
    bits = np.diff(np.where(last >= 0, ends[last], 0), prepend=0)
    filled = -(-bits // 8) * 8
    starts = np.cumsum(filled) - filled
    shift = starts - (np.cumsum(bits) - bits)  # from where they would be without padding
    at = ends - counts + shift[segments]
    pad_bits = filled - bits
    at = np.concatenate([at, starts + bits])
    counts = np.concatenate([counts, pad_bits])
    values = np.concatenate([values, np.array(pads, np.int64) & ((1 << pad_bits) - 1)])
    num_bytes = int(filled.sum()) // 8
    # each number lies in two words of 32 bits; no two share a bit, so sums do not carry
    word, room = at >> 5, 64 - (at & 31) - counts
    high, low = _halves(values, room)
    total = np.zeros(num_bytes // 4 + 3, np.float64)
    total += np.bincount(word, high, len(total))
    total += np.bincount(word + 1, low, len(total))
    data = total.astype(np.uint32).astype(">u4").view(np.uint8)[:num_bytes]
    return _stuffed(data, starts // 8, restarts)


def _halves(values: Integers, room: Integers) -> tuple[Integers, Integers]:
    """Return the upper and the lower 32 bits of values shifted left by `room`, 0..64."""
    wide = values.astype(np.uint64) << np.minimum(room, 63).astype(np.uint64)
    wide[room > 63] = 0
    return (wide >> np.uint64(32)).astype(np.int64), (wide & np.uint64(0xFFFFFFFF)).astype(
        np.int64
    )


def _stuffed(data: NDArray[np.uint8], starts: Integers, restarts: bool) -> bytes:
    """Return bytes with a zero after each 255, and markers before all segments but the first."""
    edges = [*starts.tolist(), len(data)] if restarts else [0, len(data)]
    pieces = []
    for number, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        if number:
            pieces.append(bytes([255, 0xD0 + (number - 1) % 8]))
        pieces.append(data[a:b].tobytes().replace(b"\xff", b"\xff\x00"))
    return b"".join(pieces)

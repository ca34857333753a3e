"""Huffman tables that follow from what they code, as libjpeg makes them.

A skeleton may have, in place of a segment of one Huffman table, a *short segment*, whose body is
the first byte of the other alone: the table is that which libjpeg makes for all that it codes.
"""

import heapq

import numpy as np

from imgcodec.errors import ImageError
from imgcodec.jpeg import frames, scans, syntax
from imgcodec.jpeg.huffman import WINDOW, Integers
from imgcodec.jpeg.scans import Blocks

SHORT = 5  # bytes of a short segment
_RESERVED = 256  # a symbol that no code is for, so that none is of ones alone


def table(counts: Integers) -> bytes:
    """Return the body of libjpeg's table, behind its first byte: codes of each length, symbols.

    Args:
        counts: (256,) how often each symbol is coded, one at least more than never.
    """
    lengths = [0] * (_RESERVED + 1)
    some = [*np.flatnonzero(counts).tolist(), _RESERVED]
    weights = [*counts[some[:-1]].tolist(), 1]
    # the two least trees become one, of equal ones those of the largest symbols
    heap = [(weight, -symbol, [symbol]) for weight, symbol in zip(weights, some, strict=True)]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        both = first[2] + second[2]
        for symbol in both:
            lengths[symbol] += 1
        heapq.heappush(heap, (first[0] + second[0], first[1], both))
    bits = np.bincount(lengths, minlength=WINDOW + 1).tolist()
    bits[0] = 0
    for length in range(len(bits) - 1, WINDOW, -1):
        while bits[length]:
            shorter = next(n for n in range(length - 2, 0, -1) if bits[n])
            bits[length] -= 2
            bits[length - 1] += 1
            bits[shorter + 1] += 2
            bits[shorter] -= 1
    longest = max(length for length in range(WINDOW + 1) if bits[length])
    bits[longest] -= 1  # that of the reserved symbol
    symbols = sorted(some[:-1], key=lambda symbol: (lengths[symbol], symbol))
    return bytes(bits[1 : WINDOW + 1]) + bytes(symbols)


def filled(parts: syntax.Parts, blocks: Blocks) -> syntax.Parts:
    """Return a skeleton with whole segments in place of short ones, taken apart.

    Args:
        parts: of a skeleton that may have short ones.
        blocks: all coefficients.

    Raises:
        ImageError: nothing is coded with one of them.
    """
    if not parts.short:
        return parts
    pieces, position = [], 0
    for (end, _), segment in zip(parts.short, _segments(parts, blocks), strict=True):
        if segment is None:
            raise ImageError("a Huffman table that nothing is coded with")
        pieces += [parts.skeleton[position : end - SHORT], segment]
        position = end
    pieces.append(parts.skeleton[position:])
    return syntax.read(b"".join(pieces), is_skeleton=True)


def shortened(skeleton: bytes, blocks: Blocks) -> bytes:
    """Return a skeleton with short segments where `filled` gives back the same."""
    found = [
        place for place in syntax.tables(skeleton) if not frames.is_usual(skeleton[slice(*place)])
    ]
    parts = syntax.read(_with_short(skeleton, found), is_skeleton=True)
    made = _segments(parts, blocks)
    same = [
        place
        for place, segment in zip(found, made, strict=True)
        if segment == skeleton[slice(*place)]
    ]
    return _with_short(skeleton, same)


def _with_short(skeleton: bytes, places: list[tuple[int, int]]) -> bytes:
    """Return a skeleton with short segments at some places."""
    pieces, position = [], 0
    for start, end in places:
        pieces += [skeleton[position:start], b"\xff\xc4\x00\x03", skeleton[start + 4 : start + 5]]
        position = end
    return b"".join([*pieces, skeleton[position:]])


def _segments(parts: syntax.Parts, blocks: Blocks) -> list[bytes | None]:
    """Return the whole segment of each short one; None: nothing is coded with its table."""
    for scan in parts.scans:
        if any(t is not None and t.counts is not None for t in (*scan.dc, *scan.ac)):
            scans.count(scan, parts.frame, blocks)
    result: list[bytes | None] = []
    for end, short in parts.short:
        if short.counts is None or not short.counts.any():
            result.append(None)
            continue
        body = parts.skeleton[end - 1 : end] + table(short.counts)
        result.append(b"\xff\xc4" + (2 + len(body)).to_bytes(2, "big") + body)
    return result

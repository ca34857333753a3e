"""Huffman tables that follow from what they code, as libjpeg makes them.

A skeleton may have, in place of a segment of one Huffman table, a *short segment*, whose body is
the first byte of the other alone: the table is that which libjpeg makes for all that it codes.
"""

import heapq

import numpy as np

from imgcodec.errors import ImageError
from imgcodec.jpeg import scan_writer, syntax
from imgcodec.jpeg.huffman import WINDOW, Integers
from imgcodec.jpeg.scans import Blocks
from imgcodec.jpeg.standard import is_standard

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
    short = [found for found in parts.definitions if found.said is None]
    if not short:
        return parts
    waiting = [found.table for found in short]
    for scan in parts.scans:
        if any(table is other for table in (*scan.dc, *scan.ac) for other in waiting):
            scan_writer.count(scan, parts.frame, blocks)
    pieces, position = [], 0
    for found in short:
        segment = _whole(parts, found)
        if segment is None:
            raise ImageError("a Huffman table that nothing is coded with")
        pieces += [parts.skeleton[position : found.start], segment]
        position = found.end
    pieces.append(parts.skeleton[position:])
    return syntax.read(b"".join(pieces), is_skeleton=True)


def shortened(parts: syntax.Parts) -> bytes:
    """Return a skeleton with short segments where `filled` gives back the same.

    Tables of the standard stay, which take hardly a byte where skeletons are packed.

    Args:
        parts: of a skeleton, whose tables have coded all scans.
    """
    pieces, position = [], 0
    for found in parts.definitions:
        segment = parts.skeleton[found.start : found.end]
        if not is_standard(segment) and _whole(parts, found) == segment:
            short = syntax.segment(syntax.DHT, segment[4:5])
            pieces += [parts.skeleton[position : found.start], short]
            position = found.end
    return b"".join([*pieces, parts.skeleton[position:]])


def _whole(parts: syntax.Parts, found: syntax.Definition) -> bytes | None:
    """Return the segment of libjpeg's table for what was coded; None: nothing was."""
    if found.table is None or not found.table.counts.any():
        return None
    body = parts.skeleton[found.start + 4 : found.start + 5] + table(found.table.counts)
    return syntax.segment(syntax.DHT, body)

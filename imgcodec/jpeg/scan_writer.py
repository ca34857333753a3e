"""Coefficients -> coded bytes of a scan, many blocks at a time."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError
from imgcodec.jpeg import huffman
from imgcodec.jpeg.huffman import Integers, Table
from imgcodec.jpeg.scans import Blocks, intervals, order
from imgcodec.jpeg.syntax import Frame, Scan

PIECE = 2**15  # blocks of a sequential scan that are written at a time
MOST_RUN = 0x7FFF  # blocks of a run of ended ones
MOST_HELD = 937  # bits that libjpeg holds back before it ends a run
_SIZES = np.frexp(np.arange(2**16 + 1))[1].astype(np.int64)


class _Items(NamedTuple):
    """What is to be written."""

    values: Integers
    counts: Integers  # bits
    block: Integers  # in the order of the scan


def encode(scan: Scan, frame: Frame, blocks: Blocks, pads: Sequence[int]) -> bytes:
    """Return the coded bytes of a scan, as libjpeg would write them.

    Raises:
        ImageError: its Huffman tables lack what the blocks need.
    """
    items, starts = _items(scan, frame, blocks)
    if len(pads) != len(starts):
        raise ImageError(f"{len(pads)} restart intervals, wanted {len(starts)}")
    segments = np.zeros_like(items.block)
    if len(starts) > 1:
        segments += np.searchsorted(starts, items.block, "right") - 1
    return huffman.write_bits(items.values, items.counts, segments, pads, scan.interval > 0)


def count(scan: Scan, frame: Frame, blocks: Blocks) -> None:
    """Count the symbols of a scan in its tables, as `encode` does.

    Raises:
        ImageError: its tables lack what the blocks need.
    """
    _items(scan, frame, blocks)


def _items(scan: Scan, frame: Frame, blocks: Blocks) -> tuple[_Items, Integers]:
    """Return what is to be written, and where restart intervals start, blocks."""
    which, owners = order(scan, frame)
    starts = intervals(scan, len(which))
    first = np.zeros(len(which), bool)
    first[starts] = True
    if scan.high and scan.start == 0:
        values = blocks[which, 0].astype(np.int64) >> scan.low & 1
        items = _Items(values, np.ones_like(values), np.arange(len(which)))
    elif scan.high:
        items = _refinement(scan, blocks[which, scan.start : scan.end + 1], first)
    else:
        means = None
        if scan.start == 0:
            means = _differences(blocks, which, owners, starts, scan.low)
        parts = []
        for a in range(0, len(which), PIECE):
            piece = blocks[which[a : a + PIECE], : scan.end + 1]
            part = None if means is None else means[a : a + PIECE]
            items = _sequence(scan, piece, part, owners[a : a + PIECE])
            parts.append(items._replace(block=items.block + a))
        items = _Items(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        if frame.progressive and scan.start:
            items = _merged(items, _runs(scan, blocks[which, scan.start : scan.end + 1], first))
    return items, starts


def _differences(
    blocks: Blocks, which: Integers, owners: Integers, starts: Integers, low: int
) -> Integers:
    result = np.empty(len(which), np.int64)
    for owner in range(int(owners.max()) + 1):
        mine = np.flatnonzero(owners == owner)
        values = blocks[which[mine], 0].astype(np.int64) >> low
        diff = np.diff(values, prepend=0)
        first = np.searchsorted(mine, starts)
        diff[first] = values[first]
        result[mine] = diff
    return result


def _size(values: Integers) -> Integers:
    """Return the number of bits of magnitudes, at most 65536 each."""
    found: Integers = _SIZES.take(np.abs(values))
    return found


def _looked_up(tables: tuple[Table | None, ...], owner: Integers, symbol: Integers) -> Integers:
    """Return codes and lengths, (2, n)."""
    stack = np.zeros((2, len(tables), 256), np.int64)
    at = owner << 8
    at += symbol
    counts = np.bincount(at, minlength=256 * len(tables)).reshape(-1, 256)
    for i, table in enumerate(tables):
        if table is not None:
            stack[0, i], stack[1, i] = table.codes, table.lengths
            table.counts[:] += counts[i]
    if (stack[1] == 0)[counts > 0].any():
        raise ImageError("a Huffman table lacks a symbol that the blocks need")
    found: Integers = stack.reshape(2, -1).take(at, 1)
    return found


def _sequence(scan: Scan, blocks: Blocks, means: Integers | None, owners: Integers) -> _Items:
    """Return the items of blocks, without runs of ended blocks in progressive scans."""
    some = np.abs(blocks.astype(np.int32)) >> scan.low != 0 if scan.low else blocks != 0
    if means is not None:
        some[:, 0] = True
    else:
        some[:, : scan.start] = False
    at = np.flatnonzero(some)
    block = at // blocks.shape[1]
    k = at - block * blocks.shape[1]
    value = blocks.reshape(-1).take(at).astype(np.int64)
    if scan.low:
        value = np.sign(value) * (np.abs(value) >> scan.low)
    is_dc = k == 0
    if means is not None:
        value[is_dc] = means
    changed = np.ones(len(at) + 1, bool)
    np.not_equal(block[1:], block[:-1], out=changed[1:-1])
    gap = np.empty_like(k)  # zeros before
    gap[1:] = k[1:] - k[:-1] - 1
    first = np.flatnonzero(changed[:-1])
    gap[first] = k[first] - scan.start
    size = _size(value)
    symbol = (gap & 15) << 4 | size
    if means is not None:
        symbol[is_dc] = size[is_dc]
    if (size > 15 + is_dc).any():
        raise ImageError("a coefficient is out of range")
    extra = value + (value >> 63 & (1 << size) - 1)
    owner = owners.take(block)
    code, length = _looked_up((*scan.ac, *scan.dc), owner + is_dc * len(scan.ac), symbol)
    ends = changed[1:] & (k < scan.end) if scan.sequential else np.zeros(len(at), bool)
    long = gap >> 4
    count = long + ends
    count += 1
    place = np.cumsum(count) - 1
    total = int(place[-1]) + 1 if len(place) else 0
    place -= ends
    result = _Items(np.zeros(total, np.int64), np.zeros(total, np.int64), np.repeat(block, count))
    result.values[place], result.counts[place] = code << size | extra, length + size
    end = place[ends] + 1
    before = place.repeat(long) - np.arange(1, 1 + int(long.sum()))
    before += (np.cumsum(long) - long).repeat(long)
    for at, which in ((end, 0x00), (before, 0xF0)):
        code = _looked_up(scan.ac, owners[result.block[at]], np.full(len(at), which))
        result.values[at], result.counts[at] = code
    return result


def _run_items(scan: Scan, start: Integers, count: Integers) -> _Items:
    """Return the items of runs of ended blocks."""
    size = _size(count) - 1
    code, length = _looked_up(scan.ac, np.zeros(len(start), np.int64), size << 4)
    return _Items(code << size | count - (1 << size), length + size, start)


def _run_starts(ends: NDArray[np.bool_], begins: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Return first block and number of blocks of runs: (n,) each.

    Args:
        ends: which blocks end before their last frequency.
        begins: which cannot belong to the run of the block before.
    """
    start = ends & (begins | ~np.concatenate([[False], ends[:-1]]))
    at = np.flatnonzero(start)
    group = np.cumsum(start)[ends]
    return at, np.bincount(group, minlength=len(at) + 1)[1:]


def _runs(scan: Scan, blocks: Blocks, first: NDArray[np.bool_]) -> _Items:
    """Return the items of runs of ended blocks of a first progressive scan."""
    some = np.abs(blocks.astype(np.int64)) >> scan.low != 0
    at, count = _run_starts(~some[:, -1], some.any(1) | first)
    pieces = -(-count // MOST_RUN)
    inner = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    left = np.repeat(count, pieces) - inner * MOST_RUN
    return _run_items(scan, np.repeat(at, pieces) + inner * MOST_RUN, np.minimum(left, MOST_RUN))


def _merged(one: _Items, two: _Items) -> _Items:
    """Return items in the order of blocks, those of `two` behind in each."""
    joined = [np.concatenate(pair) for pair in zip(one, two, strict=True)]
    sort = np.argsort(joined[2], kind="stable")
    return _Items(*(column[sort] for column in joined))


def _refinement(scan: Scan, blocks: Blocks, first: NDArray[np.bool_]) -> _Items:
    """Return the items of a scan of one more bit of each coefficient."""
    values = blocks.astype(np.int64)
    size = np.abs(values) >> scan.low
    width = size.shape[1]
    new, old = size == 1, size > 1
    places = np.arange(width)
    last = np.where(new, places, -1).max(1)  # newly nonzero
    before = last[:, None] > places  # places before the last of these
    # zeros since the last new one, at each place
    zeros = np.cumsum(size == 0, 1)
    reset = np.zeros_like(zeros)
    reset[:, 1:] = np.maximum.accumulate(np.where(new, zeros, 0), 1)[:, :-1]
    run = zeros - (size == 0) - reset
    # Sort keys: block, place of the next new one, number of its symbol, 0: symbol 1: corrections
    following = np.where(new, places, width)
    following = np.minimum.accumulate(following[:, ::-1], 1)[:, ::-1]
    b, k = np.nonzero(new)
    r = run[b, k]
    code, length = _looked_up(scan.ac, np.zeros(len(b), np.int64), (r & 15) << 4 | 1)
    sign = (values[b, k] > 0).astype(np.int64)
    items = [(_key(b, k, r >> 4, 0), code << 1 | sign, length + 1, b)]
    long = np.repeat(np.arange(len(b)), r >> 4)
    number = np.arange(len(long)) - np.repeat(np.cumsum(r >> 4) - (r >> 4), r >> 4)
    code, length = _looked_up(scan.ac, np.zeros(len(long), np.int64), np.full(len(long), 0xF0))
    items.append((_key(b[long], k[long], number, 0), code, length, b[long]))
    cb, ck = np.nonzero(old & before)
    bit = size[cb, ck] & 1
    items.append((_key(cb, following[cb, ck], run[cb, ck] >> 4, 1), bit, np.ones_like(bit), cb))
    # what follows the last new one belongs to the runs of ended blocks
    tail = old & ~before
    at, count, owner = _held_runs(last, width, tail.sum(1), first)
    runs = _run_items(scan, at, count)
    items.append((_key(at, np.full(len(at), width), 0, 0), runs.values, runs.counts, at))
    cb, ck = np.nonzero(tail)
    bit = size[cb, ck] & 1
    start = owner[cb]
    items.append((_key(start, np.full(len(cb), width), 0, 1), bit, np.ones_like(bit), start))
    key, value, bits, block = (np.concatenate(column) for column in zip(*items, strict=True))
    sort = np.argsort(key, kind="stable")
    return _Items(value[sort], bits[sort], block[sort])


def _key(block: Integers, place: Integers, number: Integers | int, later: int) -> Integers:
    return ((block * 128 + place) * 8 + number) * 2 + later


def _held_runs(
    last: Integers, width: int, held: Integers, first: NDArray[np.bool_]
) -> tuple[Integers, Integers, Integers]:
    """Return first block and length of runs, and the first block of each block's run.

    libjpeg holds the corrections of a run back, and ends it when they are too many.
    """
    at, count = _run_starts(last < width - 1, (last >= 0) | first)
    starts: list[int] = []
    counts: list[int] = []
    total = [0, *np.cumsum(held).tolist()]
    for start, num in zip(at.tolist(), count.tolist(), strict=True):
        end = start + num
        while start < end:
            most = min(end, start + MOST_RUN)
            stop = bisect_right(total, total[start] + MOST_HELD, start, most)
            starts.append(start)
            counts.append(stop - start)
            start = stop
    found = np.array(starts, np.int64)
    owner = np.zeros(len(last), np.int64)
    number = np.searchsorted(found, np.arange(len(last)), "right") - 1
    if len(found):
        owner = found[np.maximum(number, 0)]
    return found, np.array(counts, np.int64), owner

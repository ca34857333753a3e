"""Coded bytes of a scan -> coefficients, many blocks at a time.

Lanes read the symbols, see `lanes.py`. That takes more than fifty times the memory of the coded
bytes, so a long scan is decoded in pieces.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import DamageError
from imgcodec.jpeg import huffman
from imgcodec.jpeg.huffman import Integers, windows
from imgcodec.jpeg.lanes import Lanes
from imgcodec.jpeg.scans import Blocks, intervals, order
from imgcodec.jpeg.syntax import Frame, Scan

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
PIECE_BYTES = 2**20  # of coded data that are decoded at a time
SLACK_BYTES = 256  # that are read behind them: one block, or one symbol and its value
PIECE_BLOCKS = 2**14  # that are refined at a time
PIECE = 2**14  # symbols whose values are read at a time, as caches hold them


def decode(scan: Scan, frame: Frame, blocks: Blocks) -> list[int]:
    """Add what a scan says to the blocks, and return the padding of its intervals.

    Raises:
        DamageError: it is damaged, or says what no coder would.
    """
    which, owners = order(scan, frame)
    starts = intervals(scan, len(which))
    data, edges = _unstuffed(scan.coded)
    if len(edges) != len(starts) + 1:
        raise DamageError(f"{len(edges) - 1} restart intervals, wanted {len(starts)}")
    if not len(data):
        raise DamageError("a scan without coded data")
    if scan.high and scan.start == 0:
        ends = _decode_bits(data, edges, starts, scan, which, blocks)
    elif scan.high:
        ends = _decode_refinement(data, edges, starts, scan, which, blocks)
    else:
        ends = _decode_symbols(data, edges, starts, scan, which, owners, blocks)
    left = 8 * edges[1:] - ends
    if (left < 0).any() or (left > 7).any():
        raise DamageError("the coded data of a scan ends too early or too late")
    pads: list[int] = (data[edges[1:] - 1] | 255 << left & 255).tolist()
    return pads  # of which the last bits count


def _bits(data: NDArray[np.uint8], at: Integers) -> Integers:
    """Return the bits (n,) that stand at `at` (n,)."""
    found: Integers = data.take(at >> 3, mode="clip").astype(np.int64) >> (7 - (at & 7)) & 1
    return found


def _unstuffed(coded: bytes) -> tuple[NDArray[np.uint8], Integers]:
    """Return bytes without markers and stuffing, and where intervals begin and the last ends."""
    edges, position = [0], 0
    parts: list[bytes] = []
    for found in _RESTART.finditer(coded):
        if coded[found.start() + 1] & 7 != len(parts) & 7:
            raise DamageError("the restart intervals of a scan are not in their order")
        part = coded[position : found.start()].rstrip(b"\xff")  # what fills up before a marker
        parts.append(part.replace(b"\xff\x00", b"\xff"))
        position = found.end()
    parts.append(coded[position:].replace(b"\xff\x00", b"\xff"))
    for part in parts:
        edges.append(edges[-1] + len(part))
    return np.frombuffer(b"".join(parts), np.uint8), np.array(edges)


def _decode_symbols(
    data: NDArray[np.uint8], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    owners: Integers, blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode a scan that knows nothing before; return where its intervals end, bits."""
    lanes = Lanes(scan)
    limits = np.concatenate([starts[1:], [len(which)]])
    ends = np.empty(len(starts), np.int64)
    diffs: list[Integers] = []
    number, at, state, block = 0, 0, scan.start, 0  # of the interval, the bit, and so on
    while number < len(starts):
        if at >= 8 * edges[number + 1]:
            raise DamageError("the coded data of a scan ends too early or too late")
        base = at >> 3
        stop = min(base + PIECE_BYTES, int(edges[-1]))
        num = int(np.searchsorted(edges, stop, "right")) - 1 - number  # intervals that end in it
        cuts = 8 * edges[number + 1 : number + num + 1]
        cut_off = [8 * stop] if 8 * stop > cuts[-1:].sum() else []
        inner = np.concatenate([[at], cuts, np.array(cut_off, np.int64)]) - 8 * base
        heads = huffman.heads(windows(data[base : stop + SLACK_BYTES]))
        at_bits, entry, k, behind = lanes.symbols(heads, inner, state)
        its = slice(number, number + len(inner) - 1)
        begins = np.concatenate([[block], starts[its][1:]])
        found = _owned(_Symbols(at_bits, entry, k), heads, inner, begins, limits[its], scan)
        symbols, owner, reached, bits = found
        whole = reached == limits[its]
        if not whole[:num].all():
            raise DamageError("the coded data of a scan is damaged")
        ends[its] = 8 * base + bits
        diffs += _set_values(symbols, heads, scan, which[owner], blocks)
        if whole.all():
            number = its.stop
            at, state = 8 * int(edges[number]), scan.start
            block = int(starts[number]) if number < len(starts) else 0
        else:
            number = its.stop - 1
            at, state, block = 8 * base + behind[0], behind[1], int(reached[-1])
    if scan.start == 0:
        _add_means(blocks, which, owners, starts, np.concatenate(diffs), scan.low)
    return ends


class _Symbols(NamedTuple):
    """Symbols, in order."""

    at: Integers  # bits
    entry: Integers
    k: Integers  # frequency


def _owned(
    symbols: _Symbols, heads: NDArray[np.uint16], edges: Integers, begins: Integers,
    limits: Integers, scan: Scan,
) -> tuple[_Symbols, Integers, Integers, Integers]:  # fmt: skip
    """Return what of symbols does not stand behind the last block of an interval.

    And which block of the scan each is in; which block each interval comes to, and at which bit.

    Args:
        symbols: of intervals, the last of which may go on behind them.
        heads: the 16 bits from each bit on.
        edges: where intervals begin and the last one ends, bits.
        begins: the first block of each interval.
        limits: the block behind each.
        scan: which it is.
    """
    at, entry, k = symbols
    advance = entry >> huffman.ADVANCE & 127
    ended = (k + advance > scan.end).astype(np.int64)
    if scan.start > 0:
        runs = np.flatnonzero(advance == huffman.SKIP)
        size, value = _extra(heads, at[runs], entry[runs])
        ended[runs] = (1 << size) + value
    before = np.cumsum(ended) - ended  # blocks that ended, over all intervals
    num = len(begins)
    segment = np.zeros_like(at)
    if num > 1:
        segment += np.searchsorted(edges[1:], at, "right")
    first = np.searchsorted(segment, np.arange(num))
    if (first >= len(at)).any():
        raise DamageError("the coded data of a scan ends too early or too late")
    block = before - before[first][segment] + begins[segment]
    after = block + ended
    valid: slice | NDArray[np.bool_]
    if num == 1:
        valid = slice(int(np.searchsorted(block, limits[0])))
    else:
        valid = block < limits[segment]
    at, k, entry, segment, block, after = (
        column[valid] for column in (at, k, entry, segment, block, after)
    )
    last = np.searchsorted(segment, np.arange(num), "right") - 1
    if (entry >> huffman.LENGTH == 0).any() or (after[last] > limits).any():
        raise DamageError("the coded data of a scan is damaged")
    return _Symbols(at, entry, k), block, after[last], at[last] + (entry[last] & 63)


def _set_values(
    symbols: _Symbols, heads: NDArray[np.uint16], scan: Scan, owners: Integers, blocks: Blocks
) -> list[Integers]:
    """Set coefficients of blocks but their means; return differences of these.

    Args:
        symbols: of a scan.
        heads: the 16 bits from each bit on.
        scan: which it is.
        owners: the block of each symbol.
        blocks: all of them.
    """
    diffs: list[Integers] = []
    flat = blocks.reshape(-1)
    for a in range(0, len(symbols.at), PIECE):
        at, entry, k = (column[a : a + PIECE] for column in symbols)
        size, value = _extra(heads, at, entry)
        level = np.where(value < 1 << np.maximum(size - 1, 0), value - (1 << size) + 1, value)
        is_dc = k == 0
        coded = (size > 0) & ~is_dc
        if scan.start > 0:
            coded &= entry >> huffman.ADVANCE & 127 != huffman.SKIP
        at_coded = np.flatnonzero(coded)
        place = k[at_coded] + (entry[at_coded] >> huffman.SYMBOL + 4 & 15)
        if (place > scan.end).any() or (size > 15).any():
            raise DamageError("the coded data of a scan is damaged")
        flat[64 * owners[a : a + PIECE][at_coded] + place] = level[at_coded] << scan.low
        diffs.append(np.where(size > 0, level, 0)[is_dc])
    return diffs


def _extra(heads: NDArray[np.uint16], at: Integers, entry: Integers) -> tuple[Integers, Integers]:
    """Return how many bits follow the codes that stand at bits `at`, and what they say."""
    length = entry >> huffman.LENGTH
    size = (entry & 63) - length
    value = heads.take(at + length, mode="clip").astype(np.int64)
    return size, value >> np.maximum(16 - size, 0)


def _add_means(
    blocks: Blocks, which: Integers, owners: Integers, starts: Integers, diffs: Integers, low: int
) -> None:
    """Add up differences of block means, anew in each interval."""
    if len(diffs) != len(which):
        raise DamageError("the coded data of a scan is damaged")
    for owner in range(int(owners.max()) + 1):
        mine = np.flatnonzero(owners == owner)
        total = np.cumsum(diffs[mine])
        first = np.searchsorted(mine, starts)
        segment = np.searchsorted(starts, mine, "right") - 1
        total -= (total - diffs[mine])[first][segment]
        total <<= low
        if (np.abs(total) > 32767).any():
            raise DamageError("a block mean is out of range")
        blocks[which[mine], 0] = total


def _decode_bits(
    data: NDArray[np.uint8], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode one more bit of each block mean."""
    number = np.arange(len(which))
    segment = np.searchsorted(starts, number, "right") - 1
    at = 8 * edges[segment] + number - starts[segment]
    blocks[which, 0] |= (_bits(data, at) << scan.low).astype(np.int16)
    return 8 * edges[:-1] + np.diff(starts, append=len(which))


def _decode_refinement(
    data: NDArray[np.uint8], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode one more bit of each coefficient, and those that become nonzero with it.

    How many bits a symbol takes depends on its block, so that one has to follow the other.
    """
    table = scan.ac[0]
    if table is None:
        raise DamageError("a scan without its Huffman table")
    width = scan.end - scan.start + 1
    steps = table.steps.data
    symbols: dict[int, tuple[int, int, int]] = {}  # of the entries of the table
    limit = 8 * int(edges[-1])
    ends = []
    bounds = [*starts.tolist(), len(which)]
    segment, at, left = 0, 0, 0  # interval, bit, and blocks that have ended already
    base, memory = 0, windows(data[: PIECE_BYTES + SLACK_BYTES]).tolist()
    for begin in range(0, len(which), PIECE_BLOCKS):
        part = which[begin : begin + PIECE_BLOCKS]
        known = blocks[part, scan.start : scan.end + 1] != 0
        counts = np.zeros(len(part) + 1, np.int64)
        counts[1:] = np.cumsum(known.sum(1))
        olds = counts.tolist()
        zero_at = np.nonzero(~known)[1].tolist()  # places of zeros, block by block
        corrections: list[int] = []  # first bit and number of runs of corrections, in turns
        news: list[int] = []  # block, place, bit of the sign, in turns
        block = 0
        while block < len(part):
            stop = min(bounds[segment + 1] - begin, len(part))
            if left:
                past = min(block + left, stop)
                num = olds[past] - olds[block]
                corrections += (at, num)
                at += num
                left -= past - block
                block = past
            while block < stop:
                if not 0 <= (at >> 3) - base <= PIECE_BYTES:
                    base = at >> 3
                    memory = windows(data[base : base + PIECE_BYTES + SLACK_BYTES]).tolist()
                zeros_start = width * block - olds[block]
                zeros_end = width * (block + 1) - olds[block + 1]
                place, zero = 0, zeros_start  # next place; number of the next zero
                while place < width:
                    if at > limit:
                        raise DamageError("the coded data of a scan ends too early or too late")
                    entry = steps[memory[(at >> 3) - base] << (at & 7) >> 16 & 0xFFFF]
                    if entry not in symbols:
                        symbols[entry] = _symbol(entry)
                    length, run, size = symbols[entry]
                    at += length
                    if size == 0 and run < 15:  # ends blocks
                        left = 1 << run
                        if run:
                            word = memory[(at >> 3) - base]
                            left += word << (at & 7) >> (32 - run) & left - 1
                            at += run
                        if begin + block + left > bounds[segment + 1]:
                            raise DamageError("the coded data of a scan is damaged")
                        past = min(block + left, stop)
                        passed = place - (zero - zeros_start)  # nonzeros before `place`
                        num = olds[past] - olds[block] - passed
                        corrections += (at, num)
                        at += num
                        left -= past - block
                        block = past
                        break
                    sign = at
                    at += size
                    if zero + run >= zeros_end:  # runs beyond the block
                        raise DamageError("the coded data of a scan is damaged")
                    target = zero_at[zero + run]
                    num = target - place - run
                    if num:
                        corrections += (at, num)
                        at += num
                    if size:
                        news += (block, target, sign)
                    place, zero = target + 1, zero + run + 1
                else:
                    block += 1
            if begin + block == bounds[segment + 1]:
                ends.append(at)
                segment += 1
                at = 8 * int(edges[segment])
        _refine(data, scan, part, blocks, known, corrections, news)
    return np.array(ends)


def _symbol(entry: int) -> tuple[int, int, int]:
    """Return length, run and size of a symbol of refinement."""
    length, symbol = entry >> huffman.LENGTH, entry >> huffman.SYMBOL & 255
    if length == 0 or symbol & 15 > 1:
        raise DamageError("the coded data of a scan is damaged")
    return length, symbol >> 4, symbol & 15


def _refine(
    data: NDArray[np.uint8], scan: Scan, which: Integers, blocks: Blocks,
    known: NDArray[np.bool_], corrections: list[int], news: list[int],
) -> None:  # fmt: skip
    """Add one more bit to the known coefficients of some blocks, and set those that are new."""
    runs = np.array(corrections, np.int64).reshape(-1, 2)
    rows, columns = np.nonzero(known)
    if runs[:, 1].sum() != len(rows):
        raise DamageError("the coded data of a scan is damaged")
    offset = np.cumsum(runs[:, 1]) - runs[:, 1]
    bits = _bits(data, np.repeat(runs[:, 0] - offset, runs[:, 1]) + np.arange(len(rows)))
    target = which[rows], columns + scan.start
    blocks[target] += (np.sign(blocks[target]) * bits << scan.low).astype(np.int16)
    found = np.array(news, np.int64).reshape(-1, 3)
    positive = _bits(data, found[:, 2])
    blocks[which[found[:, 0]], found[:, 1] + scan.start] = (2 * positive - 1) << scan.low

"""Coded bytes of a scan -> coefficients, and back, many blocks at a time.

Coefficients are blocks: int16 (number of blocks, 64) in zigzag order, those of all components one
after the other, row by row. A Huffman code says nowhere where its symbols begin, but a decoder
that starts in their midst soon falls into step. So a scan is cut into lanes that are decoded side
by side; those that began out of step are done again from where the lane before them ended.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError
from imgcodec.format.container import check_pixels
from imgcodec.jpeg import huffman
from imgcodec.jpeg.huffman import Integers, Table, read_bits, windows
from imgcodec.jpeg.syntax import Frame, Scan

Blocks = NDArray[np.int16]
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
MOST_BLOCKS_A_BYTE = 8  # of a JPEG file: every block has a bit at least
MOST_LANES = 4096
LANE_BITS = 1024  # at least
STEP_BITS = 768  # in which a lane most often falls into step
PIECE = 2**15  # blocks of a sequential scan that are written at a time
MOST_RUN = 0x7FFF  # blocks of a run of ended ones
MOST_HELD = 937  # bits that libjpeg holds back before it ends a run


def order(scan: Scan, frame: Frame) -> tuple[Integers, Integers]:
    """Return the blocks of a scan in their order, and which component of it each belongs to."""
    if len(scan.components) == 1:
        c = scan.components[0]
        rows, columns = np.arange(c.height)[:, None], np.arange(c.width)
        blocks = (c.first + rows * c.columns + columns).reshape(-1)
        return blocks, np.zeros(len(blocks), np.int64)
    mcu_rows, mcu_columns = np.arange(frame.mcu_rows), np.arange(frame.mcu_columns)
    parts, owners = [], []
    for number, c in enumerate(scan.components):
        for i in range(c.down):
            for j in range(c.across):
                rows, columns = mcu_rows * c.down + i, mcu_columns * c.across + j
                parts.append(c.first + rows[:, None] * c.columns + columns)
                owners.append(number)
    blocks = np.stack(parts, -1).reshape(-1)
    return blocks, np.tile(np.array(owners), len(blocks) // len(owners))


def intervals(scan: Scan, num_blocks: int, blocks_a_unit: int) -> Integers:
    """Return where restart intervals start, blocks."""
    step = scan.interval * blocks_a_unit or num_blocks
    return np.arange(0, num_blocks, step)


def num_intervals(scan: Scan, frame: Frame) -> int:
    """Return the number of restart intervals."""
    if len(scan.components) == 1:
        units = scan.components[0].height * scan.components[0].width
    else:
        units = frame.mcu_rows * frame.mcu_columns
    return -(-units // (scan.interval or units))


def _unit(scan: Scan) -> int:
    """Blocks of an MCU."""
    if len(scan.components) == 1:
        return 1
    return sum(c.across * c.down for c in scan.components)


def empty(frame: Frame, num_bytes: int, max_pixels: int) -> Blocks:
    """Return blocks of zeros for the scans of a file of so many bytes.

    Raises:
        AicError: more pixels than that.
        ImageError: more blocks than the bytes can hold.
    """
    check_pixels(frame.width, frame.height, max_pixels)
    if frame.num_blocks > MOST_BLOCKS_A_BYTE * num_bytes:
        raise ImageError(f"{num_bytes} bytes cannot hold {frame.width}x{frame.height} pixels")
    return np.zeros((frame.num_blocks, 64), np.int16)


def decode(scan: Scan, frame: Frame, blocks: Blocks) -> list[int]:
    """Add what a scan says to the blocks, and return the padding of its intervals.

    Raises:
        ImageError: it is damaged, or says what no coder would.
    """
    which, owners = order(scan, frame)
    starts = intervals(scan, len(which), _unit(scan))
    data, edges = _unstuffed(scan.coded)
    if len(edges) != len(starts) + 1:
        raise ImageError(f"{len(edges) - 1} restart intervals, wanted {len(starts)}")
    if not len(data):
        raise ImageError("a scan without coded data")
    words = windows(data)
    if scan.high and scan.start == 0:
        ends = _decode_bits(words, edges, starts, scan, which, blocks)
    elif scan.high:
        ends = _decode_refinement(words, edges, starts, scan, which, blocks)
    else:
        ends = _decode_symbols(words, edges, starts, scan, which, owners, blocks)
    left = 8 * edges[1:] - ends
    if (left < 0).any() or (left > 7).any():
        raise ImageError("the coded data of a scan ends too early or too late")
    pads: list[int] = (read_bits(words, ends, left) | 255 << left & 255).tolist()
    return pads  # of which the last bits count


def _unstuffed(coded: bytes) -> tuple[NDArray[np.uint8], Integers]:
    """Return bytes without markers and stuffing, and where intervals begin and the last ends."""
    edges, parts = [0], []
    position = 0
    for found in _RESTART.finditer(coded):
        parts.append(coded[position : found.start()].replace(b"\xff\x00", b"\xff"))
        position = found.end()
    parts.append(coded[position:].replace(b"\xff\x00", b"\xff"))
    for part in parts:
        edges.append(edges[-1] + len(part))
    return np.frombuffer(b"".join(parts), np.uint8), np.array(edges)


class _Lanes:
    """Decoders of one scan, side by side."""

    def __init__(self, words: NDArray[np.uint32], scan: Scan) -> None:
        self._words = words
        known: list[bytes] = []  # tables
        pattern: list[tuple[int, int]] = []  # those of each block of an MCU
        for i, component in enumerate(scan.components):
            pair = []
            for table in (scan.dc[i] or scan.ac[i], scan.ac[i] or scan.dc[i]):
                steps = b"" if table is None else table.steps.tobytes()
                known += [] if steps in known else [steps]
                pair.append(known.index(steps))
            num = component.across * component.down if len(scan.components) > 1 else 1
            pattern += [(pair[0], pair[1])] * num
        # Blocks whose tables repeat are told apart later: lanes could not fall into step.
        self._num = next(n for n in range(1, 11) if pattern == (pattern * 2)[n : n + len(pattern)])
        self._steps = np.frombuffer(b"".join(known), np.uint32).astype(np.int64)
        self._table = np.array(pattern[: self._num]).reshape(-1) << huffman.WINDOW
        self._start, self._end = scan.start, scan.end

    def _run(
        self, state: list[Integers], stop: Integers
    ) -> Iterator[tuple[Integers, Integers, Integers]]:
        """Decode up to `stop`; yield where each symbol stands, its entry, and its frequency.

        The state is moved on: place, frequency and block of the MCU of each lane. Of lanes that
        have ended, the place that is yielded is -1.
        """
        at, k, phase = state
        lanes = np.flatnonzero(at < stop)
        while len(lanes):
            a, f, p, s = at[lanes], k[lanes], phase[lanes], stop[lanes]
            for _ in range(8):
                live = a < s
                window = (self._words.take(a >> 3, mode="clip").astype(np.int64) << (a & 7)) >> 16
                table = self._table.take(2 * p + (f > 0))
                entry = self._steps.take(table | window & 0xFFFF)
                yield np.where(live, a, -1), entry, f
                entry *= live
                a = a + (entry & 63)
                f = f + (entry >> huffman.ADVANCE & 127)
                done = f > self._end
                f[done] = self._start
                p = p + done
                p[p == self._num] = 0
            at[lanes], k[lanes], phase[lanes] = a, f, p
            lanes = lanes[at[lanes] < stop[lanes]]

    def symbols(self, edges: Integers) -> tuple[Integers, Integers, Integers]:
        """Return place, entry and frequency of all symbols, in order.

        Args:
            edges: where intervals begin and the last one ends, bits.
        """
        size = max(LANE_BITS, -(-int(edges[-1]) // MOST_LANES))
        cuts = [np.arange(a, b, size) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        begin = np.concatenate(cuts)
        stop = np.concatenate([begin[1:], edges[-1:]])
        follow = np.flatnonzero(~np.isin(begin, edges[:-1]))  # lanes that go on from another
        nothing = np.zeros(len(begin), np.int64)
        entry = [begin.copy(), nothing + self._start, nothing.copy()]
        result = [np.maximum(begin, stop - STEP_BITS), nothing + self._start, nothing.copy()]
        for _ in self._run(result, stop):  # likely ends of all lanes
            pass
        found: list[NDArray[np.int64]] = []
        rounds: list[Integers] = []
        last = nothing.copy()  # round that each lane was decoded in last
        todo = np.arange(len(begin))
        while len(todo):
            for after, before in zip(entry, result, strict=True):
                after[follow] = before[follow - 1]
            state = [a[todo] for a in entry]
            steps = [np.stack(step) for step in self._run(state, stop[todo])]
            found.append(np.concatenate(steps, 1) if steps else np.zeros((3, 0), np.int64))
            last[todo] = len(rounds)
            rounds.append(np.full(found[-1].shape[1], len(rounds)))
            wrong = np.zeros(len(begin), bool)
            for whole, part in zip(result, state, strict=True):
                whole[todo] = part
            for after, before in zip(entry, result, strict=True):
                wrong[follow] |= after[follow] != before[follow - 1]
            todo = np.flatnonzero(wrong)
        table = np.concatenate(found, 1)
        lane = np.searchsorted(begin, table[0], "right") - 1
        kept = (table[0] >= 0) & (last[lane] == np.concatenate(rounds))
        table = table.compress(kept, 1)
        at, what, k = table.take(np.argsort(table[0]), 1)
        return at, what, k


def _decode_symbols(
    words: NDArray[np.uint32], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    owners: Integers, blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode a scan that knows nothing before; return where its intervals end, bits."""
    at, entry, k = _Lanes(words, scan).symbols(8 * edges)
    advance, symbol = entry >> huffman.ADVANCE & 127, entry >> huffman.SYMBOL & 255
    length, bits = entry >> huffman.LENGTH & 31, entry & 63
    value = read_bits(words, at + length, np.minimum(bits - length, 16))
    size = bits - length
    is_run = (advance == huffman.SKIP) & (scan.start > 0)
    ended = (k + advance > scan.end).astype(np.int64)
    ended[is_run] = (1 << (symbol[is_run] >> 4)) + value[is_run]
    before = np.cumsum(ended) - ended  # blocks that ended, over all intervals
    segment = np.searchsorted(8 * edges[1:], at, "right")
    first = np.searchsorted(segment, np.arange(len(starts)))
    if (first >= len(at)).any():
        raise ImageError("the coded data of a scan ends too early or too late")
    block = before - before[first][segment] + starts[segment]
    limit = np.concatenate([starts[1:], [len(which)]])
    after = block + ended
    valid: slice | NDArray[np.bool_]  # not what stands behind the last block of an interval
    if len(starts) == 1:
        valid = slice(int(np.searchsorted(block, limit[0])))
    else:
        valid = block < limit[segment]
    at, k, symbol, size, value, length, bits, segment, block, after, is_run = (
        column[valid]
        for column in (at, k, symbol, size, value, length, bits, segment, block, after, is_run)
    )
    last = np.searchsorted(segment, np.arange(len(starts)), "right") - 1
    if (length == 0).any() or (after[last] != limit).any():
        raise ImageError("the coded data of a scan is damaged")
    level = np.where(value < 1 << np.maximum(size - 1, 0), value - (1 << size) + 1, value)
    is_dc = k == 0
    place = k + np.where(is_dc, 0, symbol >> 4)
    coded = (size > 0) & ~is_dc & ~is_run
    if (place[coded] > scan.end).any() or (size > 15).any():
        raise ImageError("the coded data of a scan is damaged")
    blocks[which[block[coded]], place[coded]] = level[coded] << scan.low
    if scan.start == 0:
        _add_means(blocks, which, owners, starts, np.where(size > 0, level, 0)[is_dc], scan.low)
    return at[last] + bits[last]


def _add_means(
    blocks: Blocks, which: Integers, owners: Integers, starts: Integers, diffs: Integers, low: int
) -> None:
    """Add up differences of block means, anew in each interval."""
    if len(diffs) != len(which):
        raise ImageError("the coded data of a scan is damaged")
    for owner in range(int(owners.max()) + 1):
        mine = np.flatnonzero(owners == owner)
        total = np.cumsum(diffs[mine])
        first = np.searchsorted(mine, starts)
        segment = np.searchsorted(starts, mine, "right") - 1
        total -= (total - diffs[mine])[first][segment]
        total <<= low
        if (np.abs(total) > 32767).any():
            raise ImageError("a block mean is out of range")
        blocks[which[mine], 0] = total


def _decode_bits(
    words: NDArray[np.uint32], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode one more bit of each block mean."""
    number = np.arange(len(which))
    segment = np.searchsorted(starts, number, "right") - 1
    at = 8 * edges[segment] + number - starts[segment]
    blocks[which, 0] |= (read_bits(words, at, np.ones_like(at)) << scan.low).astype(np.int16)
    return 8 * edges[:-1] + np.diff(starts, append=len(which))


def _decode_refinement(
    words: NDArray[np.uint32], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode one more bit of each coefficient, and those that become nonzero with it.

    How many bits a symbol takes depends on its block, so that one has to follow the other.
    """
    table = scan.ac[0]
    if table is None:
        raise ImageError("a scan without its Huffman table")
    width = scan.end - scan.start + 1
    known = blocks[which, scan.start : scan.end + 1] != 0
    counts = np.zeros(len(which) + 1, np.int64)
    counts[1:] = np.cumsum(known.sum(1))
    olds = counts.tolist()
    zero_at = np.nonzero(~known)[1].tolist()  # places of zeros, block by block
    steps, memory = table.steps, words.tolist()
    limit = 8 * int(edges[-1])
    corrections: list[tuple[int, int]] = []  # first bit and number of runs of corrections
    news: list[tuple[int, int, int]] = []  # block, place, bit of the sign
    ends = []
    bounds = [*starts.tolist(), len(which)]
    for segment, start in enumerate(bounds[:-1]):
        at, block = 8 * int(edges[segment]), start
        while block < bounds[segment + 1]:
            zeros_start = width * block - olds[block]
            zeros_end = width * (block + 1) - olds[block + 1]
            place, zero = 0, zeros_start  # next place; number of the next zero
            while place < width:
                if at > limit:
                    raise ImageError("the coded data of a scan ends too early or too late")
                entry = int(steps[memory[at >> 3] << (at & 7) >> 16 & 0xFFFF])
                length, symbol = entry >> huffman.LENGTH, entry >> huffman.SYMBOL & 255
                run, size = symbol >> 4, symbol & 15
                if length == 0 or size > 1:
                    raise ImageError("the coded data of a scan is damaged")
                at += length
                if size == 0 and run < 15:  # ends blocks
                    more = 1 << run
                    if run:
                        more += memory[at >> 3] << (at & 7) >> (32 - run) & more - 1
                        at += run
                    past = block + more
                    if past > bounds[segment + 1]:
                        raise ImageError("the coded data of a scan is damaged")
                    passed = place - (zero - zeros_start)  # nonzeros before `place`
                    num = olds[past] - olds[block] - passed
                    corrections.append((at, num))
                    at += num
                    block = past
                    break
                sign = at
                at += size
                if zero + run >= zeros_end:  # runs beyond the block
                    raise ImageError("the coded data of a scan is damaged")
                target = zero_at[zero + run]
                num = target - place - run
                corrections.append((at, num))
                at += num
                if size:
                    news.append((block, target, sign))
                place, zero = target + 1, zero + run + 1
            else:
                block += 1
        ends.append(at)
    runs = np.array(corrections, np.int64).reshape(-1, 2)
    if runs[:, 1].sum() != counts[-1]:
        raise ImageError("the coded data of a scan is damaged")
    offset = np.cumsum(runs[:, 1]) - runs[:, 1]
    at_bits = np.repeat(runs[:, 0] - offset, runs[:, 1]) + np.arange(counts[-1])
    bits = read_bits(words, at_bits, np.ones_like(at_bits))
    rows, columns = np.nonzero(known)
    target = which[rows], columns + scan.start
    blocks[target] += (np.sign(blocks[target]) * bits << scan.low).astype(np.int16)
    found = np.array(news, np.int64).reshape(-1, 3)
    positive = read_bits(words, found[:, 2], np.ones(len(found), np.int64))
    blocks[which[found[:, 0]], found[:, 1] + scan.start] = (2 * positive - 1) << scan.low
    return np.array(ends)


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
    segments = np.searchsorted(starts, items.block, "right") - 1
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
    starts = intervals(scan, len(which), _unit(scan))
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


def _shifted(values: Integers, low: int) -> Integers:
    """Return values without their lowest bits, towards zero."""
    result: Integers = np.sign(values) * (np.abs(values) >> low)
    return result


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
    """Return the number of bits of magnitudes."""
    return np.frexp(np.abs(values).astype(np.float64))[1].astype(np.int64)


def _looked_up(tables: tuple[Table | None, ...], owner: Integers, symbol: Integers) -> Integers:
    """Return codes and lengths, (2, n)."""
    stack = np.zeros((2, len(tables), 256), np.int64)
    for i, table in enumerate(tables):
        if table is not None:
            stack[0, i], stack[1, i] = table.codes, table.lengths
            mine = symbol if len(tables) == 1 else symbol[owner == i]
            table.counts[:] += np.bincount(mine, minlength=256)
    found: Integers = stack[:, owner, symbol]
    if not found[1].all():
        raise ImageError("a Huffman table lacks a symbol that the blocks need")
    return found


def _sequence(scan: Scan, blocks: Blocks, means: Integers | None, owners: Integers) -> _Items:
    """Return the items of blocks, without runs of ended blocks in progressive scans."""
    values = _shifted(blocks.astype(np.int64), scan.low)
    if means is not None:
        values[:, 0] = means
    else:
        values[:, : scan.start] = 0
    some = values != 0
    if means is not None:
        some[:, 0] = True
    block, k = np.nonzero(some)
    value = values[block, k]
    changed = np.ones(len(block) + 1, bool)
    changed[1:-1] = block[1:] != block[:-1]
    before = np.where(changed[:-1], scan.start - 1, np.concatenate([[0], k[:-1]])[: len(k)])
    gap = k - before - 1
    long = gap >> 4
    size = _size(value)
    is_dc = k == 0
    symbol = np.where(is_dc, size, (gap & 15) << 4 | size)
    if (size > np.where(is_dc, 16, 15)).any():
        raise ImageError("a coefficient is out of range")
    extra = np.where(value < 0, value + (1 << size) - 1, value)
    owner = owners[block]
    code = np.zeros((2, len(block)), np.int64)
    if means is not None:
        code[:, is_dc] = _looked_up(scan.dc, owner[is_dc], symbol[is_dc])
    code[:, ~is_dc] = _looked_up(scan.ac, owner[~is_dc], symbol[~is_dc])
    ends = changed[1:] & (k < scan.end) if scan.sequential else np.zeros(len(block), bool)
    count = 1 + long + ends
    place = np.cumsum(count) - 1 - ends
    total = int(count.sum())
    result = _Items(np.zeros(total, np.int64), np.zeros(total, np.int64), np.repeat(block, count))
    is_long = np.ones(total, bool)
    is_long[place] = False
    result.values[place], result.counts[place] = code[0] << size | extra, code[1] + size
    end = place[ends] + 1
    is_long[end] = False
    for at, which in ((end, 0x00), (np.flatnonzero(is_long), 0xF0)):
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
    total = np.concatenate([[0], np.cumsum(held)])
    for start, num in zip(at.tolist(), count.tolist(), strict=True):
        end = start + num
        while start < end:
            full = int(np.searchsorted(total, total[start] + MOST_HELD, "right"))
            stop = min(end, full, start + MOST_RUN)
            starts.append(start)
            counts.append(stop - start)
            start = stop
    found = np.array(starts, np.int64)
    owner = np.zeros(len(last), np.int64)
    number = np.searchsorted(found, np.arange(len(last)), "right") - 1
    if len(found):
        owner = found[np.maximum(number, 0)]
    return found, np.array(counts, np.int64), owner

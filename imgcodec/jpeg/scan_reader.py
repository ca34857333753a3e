"""Coded bytes of a scan -> coefficients, many blocks at a time.

A Huffman code says nowhere where its symbols begin, but a decoder that starts in their midst soon
falls into step. So a scan is cut into lanes that are decoded side by side; those that began out of
step are done again from where the lane before them ended.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import DamageError
from imgcodec.jpeg import huffman
from imgcodec.jpeg.huffman import Integers, read_bits, windows
from imgcodec.jpeg.scans import Blocks, intervals, order, unit
from imgcodec.jpeg.syntax import Frame, Scan

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
MOST_LANES = 4096
LANE_BITS = 1024  # at least
STEP_BITS = 768  # in which a lane most often falls into step


def decode(scan: Scan, frame: Frame, blocks: Blocks) -> list[int]:
    """Add what a scan says to the blocks, and return the padding of its intervals.

    Raises:
        DamageError: it is damaged, or says what no coder would.
    """
    which, owners = order(scan, frame)
    starts = intervals(scan, len(which), unit(scan))
    data, edges = _unstuffed(scan.coded)
    if len(edges) != len(starts) + 1:
        raise DamageError(f"{len(edges) - 1} restart intervals, wanted {len(starts)}")
    if not len(data):
        raise DamageError("a scan without coded data")
    words = windows(data)
    if scan.high and scan.start == 0:
        ends = _decode_bits(words, edges, starts, scan, which, blocks)
    elif scan.high:
        ends = _decode_refinement(words, edges, starts, scan, which, blocks)
    else:
        ends = _decode_symbols(words, edges, starts, scan, which, owners, blocks)
    left = 8 * edges[1:] - ends
    if (left < 0).any() or (left > 7).any():
        raise DamageError("the coded data of a scan ends too early or too late")
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
        raise DamageError("the coded data of a scan ends too early or too late")
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
        raise DamageError("the coded data of a scan is damaged")
    level = np.where(value < 1 << np.maximum(size - 1, 0), value - (1 << size) + 1, value)
    is_dc = k == 0
    place = k + np.where(is_dc, 0, symbol >> 4)
    coded = (size > 0) & ~is_dc & ~is_run
    if (place[coded] > scan.end).any() or (size > 15).any():
        raise DamageError("the coded data of a scan is damaged")
    blocks[which[block[coded]], place[coded]] = level[coded] << scan.low
    if scan.start == 0:
        _add_means(blocks, which, owners, starts, np.where(size > 0, level, 0)[is_dc], scan.low)
    return at[last] + bits[last]


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
        raise DamageError("a scan without its Huffman table")
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
                    raise DamageError("the coded data of a scan ends too early or too late")
                entry = int(steps[memory[at >> 3] << (at & 7) >> 16 & 0xFFFF])
                length, symbol = entry >> huffman.LENGTH, entry >> huffman.SYMBOL & 255
                run, size = symbol >> 4, symbol & 15
                if length == 0 or size > 1:
                    raise DamageError("the coded data of a scan is damaged")
                at += length
                if size == 0 and run < 15:  # ends blocks
                    more = 1 << run
                    if run:
                        more += memory[at >> 3] << (at & 7) >> (32 - run) & more - 1
                        at += run
                    past = block + more
                    if past > bounds[segment + 1]:
                        raise DamageError("the coded data of a scan is damaged")
                    passed = place - (zero - zeros_start)  # nonzeros before `place`
                    num = olds[past] - olds[block] - passed
                    corrections.append((at, num))
                    at += num
                    block = past
                    break
                sign = at
                at += size
                if zero + run >= zeros_end:  # runs beyond the block
                    raise DamageError("the coded data of a scan is damaged")
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
        raise DamageError("the coded data of a scan is damaged")
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

"""Coded bytes of a scan -> coefficients, many blocks at a time.

A Huffman code says nowhere where its symbols begin, but a decoder that starts in their midst soon
falls into step. So a scan is cut into lanes that are decoded side by side; those that began out of
step are done again from where the lane before them ended.
"""

import re
from typing import NamedTuple

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
STEPS = 16  # that lanes take before those that have ended are left out
PIECE = 2**14  # symbols whose values are read at a time, as caches hold them
STATES = 2 * huffman.SKIP  # of a block of the MCU


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


class _Piece(NamedTuple):
    """What some lanes went through in a few steps."""

    turn: int  # how often lanes had been begun anew
    lanes: Integers  # (n,)
    step: int  # before the first
    at: Integers  # (STEPS + 1, n) before each step and behind the last
    state: Integers  # (STEPS + 1, n)


class _Lanes:
    """Decoders of one scan, side by side.

    The state of a lane is the block of the MCU that it is in, times `STATES`, plus the frequency.

    Args:
        heads: the 16 bits from each bit on.
        scan: what they decode.
    """

    def __init__(self, heads: NDArray[np.uint16], scan: Scan) -> None:
        self._heads = heads
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
        num = next(n for n in range(1, 11) if pattern == (pattern * 2)[n : n + len(pattern)])
        self._steps = np.frombuffer(b"".join(known), np.uint32)
        self._moves = (self._steps & (1 << huffman.SYMBOL) - 1).astype(np.uint16)  # caches hold it
        self._start = scan.start
        state = np.arange(num * STATES)
        k = state % STATES
        self._table = np.array(pattern[:num])[state // STATES, (k > 0).astype(int)]
        self._table <<= huffman.WINDOW
        behind = (state - k + STATES) % len(state) + scan.start
        self._next = np.where(k > scan.end, behind, state)

    def _run(
        self, at: Integers, state: Integers, stop: Integers, turn: int, lanes: Integers
    ) -> tuple[list[_Piece], Integers]:
        """Decode up to `stop`, and return the way and how many symbols stood on it.

        Places and states are moved on. The last steps of a lane may lie behind its stop.
        """
        pieces: list[_Piece] = []
        counts = np.zeros(len(at), np.int64)
        some = np.flatnonzero(at < stop)
        while len(some):
            a, s = (np.empty((STEPS + 1, len(some)), np.int64) for _ in range(2))
            index, moved = (np.empty(len(some), np.int64) for _ in range(2))
            head, move = (np.empty(len(some), np.uint16) for _ in range(2))
            a[0], s[0] = at[some], state[some]
            for i in range(STEPS):
                self._heads.take(a[i], out=head, mode="clip")
                self._table.take(s[i], out=index, mode="clip")
                index += head
                self._moves.take(index, out=move, mode="clip")
                np.bitwise_and(move, 63, out=head)
                np.add(a[i], head, out=a[i + 1])
                move >>= huffman.ADVANCE
                np.add(s[i], move, out=moved)
                self._next.take(moved, out=s[i + 1], mode="clip")
            pieces.append(_Piece(turn, lanes[some], STEPS * len(pieces), a, s))
            num = (a[:-1] < stop[some]).sum(0)
            counts[some] += num
            column = np.arange(len(some))
            at[some], state[some] = a[num, column], s[num, column]
            some = some[at[some] < stop[some]]
        return pieces, counts

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
        todo = np.arange(len(begin))
        begins = np.stack([begin, np.full(len(begin), self._start)])  # place, state
        ends = np.stack([np.maximum(begin, stop - STEP_BITS), begins[1]])
        self._run(ends[0], ends[1], stop, 0, todo)  # likely ends of all lanes
        pieces: list[_Piece] = []
        turn = np.zeros(len(begin), np.int64)  # in which each lane was decoded last
        counts = np.zeros(len(begin), np.int64)
        number = 0
        while len(todo):
            begins[:, follow] = ends[:, follow - 1]
            state = begins[:, todo]
            more, counts[todo] = self._run(state[0], state[1], stop[todo], number, todo)
            pieces += more
            turn[todo] = number
            ends[:, todo] = state
            wrong = np.zeros(len(begin), bool)
            wrong[follow] = (begins[:, follow] != ends[:, follow - 1]).any(0)
            todo = np.flatnonzero(wrong)
            number += 1
        first = np.cumsum(counts) - counts
        at, states = (np.empty(int(counts.sum()), np.int64) for _ in range(2))
        for piece in pieces:
            kept = np.flatnonzero(turn[piece.lanes] == piece.turn)
            lanes = piece.lanes[kept]
            found = np.ascontiguousarray(piece.at[:-1, kept].T)
            valid = found < stop[lanes, None]
            place = ((first[lanes] + piece.step)[:, None] + np.arange(STEPS))[valid]
            at[place], states[place] = found[valid], piece.state[:-1, kept].T[valid]
        entry = self._steps.take(self._table.take(states) + self._heads.take(at)).astype(np.int64)
        return at, entry, states % STATES


def _decode_symbols(
    words: NDArray[np.uint32], edges: Integers, starts: Integers, scan: Scan, which: Integers,
    owners: Integers, blocks: Blocks,
) -> Integers:  # fmt: skip
    """Decode a scan that knows nothing before; return where its intervals end, bits."""
    heads = huffman.heads(words)
    at, entry, k = _Lanes(heads, scan).symbols(8 * edges)
    advance = entry >> huffman.ADVANCE & 127
    ended = (k + advance > scan.end).astype(np.int64)
    if scan.start > 0:
        runs = np.flatnonzero(advance == huffman.SKIP)
        size, value = _extra(heads, at[runs], entry[runs])
        ended[runs] = (1 << size) + value
    before = np.cumsum(ended) - ended  # blocks that ended, over all intervals
    segment = np.zeros_like(at)
    if len(starts) > 1:
        segment += np.searchsorted(8 * edges[1:], at, "right")
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
    at, k, entry, segment, block, after = (
        column[valid] for column in (at, k, entry, segment, block, after)
    )
    last = np.searchsorted(segment, np.arange(len(starts)), "right") - 1
    if (entry >> huffman.LENGTH == 0).any() or (after[last] != limit).any():
        raise DamageError("the coded data of a scan is damaged")
    diffs: list[Integers] = []
    flat = blocks.reshape(-1)
    for a in range(0, len(at), PIECE):
        part, kk = entry[a : a + PIECE], k[a : a + PIECE]
        size, value = _extra(heads, at[a : a + PIECE], part)
        level = np.where(value < 1 << np.maximum(size - 1, 0), value - (1 << size) + 1, value)
        is_dc = kk == 0
        coded = (size > 0) & ~is_dc
        if scan.start > 0:
            coded &= part >> huffman.ADVANCE & 127 != huffman.SKIP
        at_coded = np.flatnonzero(coded)
        place = kk[at_coded] + (part[at_coded] >> huffman.SYMBOL + 4 & 15)
        if (place > scan.end).any() or (size > 15).any():
            raise DamageError("the coded data of a scan is damaged")
        owner = which.take(block[a : a + PIECE][at_coded])
        flat[64 * owner + place] = level[at_coded] << scan.low
        diffs.append(np.where(size > 0, level, 0)[is_dc])
    if scan.start == 0:
        _add_means(blocks, which, owners, starts, np.concatenate(diffs), scan.low)
    return at[last] + (entry[last] & 63)


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

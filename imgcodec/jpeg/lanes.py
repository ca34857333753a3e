"""Bits of a scan -> Huffman symbols, many at a time.

A Huffman code says nowhere where its symbols begin, but a decoder that starts in their midst soon
falls into step. So a scan is cut into lanes that are decoded side by side; those that began out of
step are done again from where the lane before them ended.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.jpeg import huffman
from imgcodec.jpeg.huffman import Integers
from imgcodec.jpeg.syntax import Scan

MOST_LANES = 4096
LANE_BITS = 1024  # at least
STEP_BITS = 768  # in which a lane most often falls into step
STEPS = 16  # that lanes take before those that have ended are left out
STATES = 2 * huffman.SKIP  # of a block of the MCU


class _Piece(NamedTuple):
    """What some lanes went through in a few steps."""

    turn: int  # how often lanes had been begun anew
    lanes: Integers  # (n,)
    step: int  # before the first
    at: Integers  # (STEPS + 1, n) before each step and behind the last
    state: Integers  # (STEPS + 1, n)


class Lanes:
    """Decoders of one scan, side by side.

    The state of a lane is the block of the MCU that it is in, times `STATES`, plus the frequency.

    Args:
        scan: what they decode.
    """

    def __init__(self, scan: Scan) -> None:
        self._heads = np.empty(0, np.uint16)
        known: list[bytes] = []  # tables
        pattern: list[tuple[int, int]] = []  # those of each block of an MCU
        for i, num in enumerate(scan.unit):
            pair = []
            for table in (scan.dc[i] or scan.ac[i], scan.ac[i] or scan.dc[i]):
                steps = b"" if table is None else table.steps.tobytes()
                known += [] if steps in known else [steps]
                pair.append(known.index(steps))
            pattern += [(pair[0], pair[1])] * num
        # Blocks whose tables repeat are told apart later: lanes could not fall into step.
        num = next(n for n in range(1, 11) if pattern == (pattern * 2)[n : n + len(pattern)])
        self._steps = np.frombuffer(b"".join(known), np.uint32)
        self._moves = (self._steps & (1 << huffman.SYMBOL) - 1).astype(np.uint16)  # caches hold it
        self.start = scan.start
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

    def symbols(
        self, heads: NDArray[np.uint16], edges: Integers, state: int
    ) -> tuple[Integers, Integers, Integers, tuple[int, int]]:
        """Return place, entry and frequency of all symbols, in order; and place and state behind.

        Args:
            heads: the 16 bits from each bit on.
            edges: where intervals begin and the last one ends, or is cut off, bits.
            state: in which the first begins.
        """
        self._heads = heads
        size = max(LANE_BITS, -(-int(edges[-1]) // MOST_LANES))
        cuts = [np.arange(a, b, size) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        begin = np.concatenate(cuts)
        stop = np.concatenate([begin[1:], edges[-1:]])
        follow = np.flatnonzero(~np.isin(begin, edges[:-1]))  # lanes that go on from another
        todo = np.arange(len(begin))
        begins = np.stack([begin, np.full(len(begin), self.start)])  # place, state
        begins[1, 0] = state
        ends = np.stack([np.maximum(begin, stop - STEP_BITS), begins[1]])
        self._run(ends[0], ends[1], stop, 0, todo)  # likely ends of all lanes
        pieces: list[_Piece] = []
        turn = np.zeros(len(begin), np.int64)  # in which each lane was decoded last
        counts = np.zeros(len(begin), np.int64)
        number = 0
        while len(todo):
            begins[:, follow] = ends[:, follow - 1]
            on = begins[:, todo]
            more, counts[todo] = self._run(on[0], on[1], stop[todo], number, todo)
            pieces += more
            turn[todo] = number
            ends[:, todo] = on
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
        return at, entry, states % STATES, (int(ends[0, -1]), int(ends[1, -1]))

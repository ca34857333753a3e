"""Sign bits that are not sent: they are hidden in the parities of the magnitudes.

For many integers the second choice costs little more than the first, in bits and distortion
together. So the encoder may choose among both until the parities of all spell what the decoder
has to know anyway: some of the signs, which no context model predicts. Which signs those are, and
how parities spell them, follows from the scales alone.

The integers of one step of the coding order whose scale leaves a choice are sorted by it and
dealt out to *lanes*, like cards, so that all lanes are alike. A lane has positions 0, 1, ..., and
the first of them, those of the largest scales, are some *blocks* of two. Each position has a
*column*, a number of as many bits as there are blocks; the columns of odd magnitudes, added
without carry, are the lane's *syndrome*. Its bit j is the sign of the first integer of block j
that is not 0: 1 for a negative one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Costs = NDArray[np.int16]
Choices = NDArray[np.bool_]

LARGEST_ROW = 255
BITS = 8  # most blocks of a lane
BLOCK = 2  # positions
LEAST_ROW = 18  # scale index below which the second choice is too dear
# What an integer adds to its lane: how likely it is that its second choice costs little more.
MASS_ZERO, MOST_MASS = 11, 15
BIT_MASS = 66  # of a lane for each bit that is hidden in it
COLUMN_STRIDE = 11  # shares no factor with 2^bits - 1
# Costs in the trellis are small integers: numpy works on many of them at once.
BIT = 64  # of these for each bit
MOST_DEARER = 12.0  # bits that a choice counts as being dearer at most
NEVER = 24_000  # of a state that cannot be reached
IMPOSSIBLE = 8_000  # of a choice: added to the last, it does not overflow
LANES_AT_ONCE = 256


class Lanes(NamedTuple):
    """How the integers of one step are dealt out."""

    order: Array  # (N,) of the integers, the lanes' first ones, then their second ones, and so on
    number: int  # of lanes, L
    bits: int  # and blocks, of each lane
    columns: Array  # (n,) 1..2^bits - 1, of each position

    def deal(self, values: NDArray[Any], filling: float) -> NDArray[Any]:
        """Return values (N,) by position and lane, (n, L); the last lanes may lack their last."""
        dealt = np.full(len(self.columns) * self.number, filling, values.dtype)
        dealt[: len(values)] = values
        return dealt.reshape(-1, self.number)


def lanes(rows: Array) -> Lanes | None:
    """Return the lanes of integers with these scale indices (N,), None where nothing is hidden."""
    some = np.flatnonzero(rows >= LEAST_ROW)
    # few bytes sort fast
    index = some[np.argsort((LARGEST_ROW - rows[some]).astype(np.uint8), kind="stable")]
    total = int(np.minimum(rows[index] - MASS_ZERO, MOST_MASS).sum())
    bits = min(BITS, total // BIT_MASS)
    if bits == 0:
        return None
    number = max(1, total // (BITS * BIT_MASS))
    position = np.arange(-(-len(index) // number))
    columns = np.where(
        position < bits,
        1 << np.minimum(position, bits - 1),
        1 + COLUMN_STRIDE * position % ((1 << bits) - 1),
    )
    return Lanes(index, number, bits, columns)


def signs(dealt: Lanes, magnitudes: Array) -> tuple[Array, Choices]:
    """Return whose signs are hidden, and which of them are negative.

    Args:
        dealt: the lanes of the step's integers.
        magnitudes: of all of them.

    Returns:
        (indices of integers (M,), bool (M,)).
    """
    own = dealt.deal(magnitudes[dealt.order], 0)
    odd = (own & 1).astype(np.uint8)
    syndrome = np.bitwise_xor.reduce(odd * dealt.columns.astype(np.uint8)[:, None], 0)
    some = own[: BLOCK * dealt.bits].reshape(dealt.bits, BLOCK, dealt.number) != 0
    block, lane = np.nonzero(some.any(1))
    position = BLOCK * block + some.argmax(1)[block, lane]
    negative = syndrome[lane] >> block & 1 != 0
    return dealt.order[position * dealt.number + lane], negative


def choose(dealt: Lanes, first: Array, second: Array, dearer: NDArray[np.float32]) -> Array:
    """Return the integers of least cost whose parities spell the signs that are hidden.

    The best path through the lanes' trellis, all lanes at once: its states are the syndrome so
    far, and in a block whether there has been an integer other than 0. A sign that is hidden saves
    a bit.

    Args:
        dealt: the lanes.
        first: (N,) what would be chosen otherwise, in the order of `dealt.order`.
        second: (N,) the other choice, a neighbour.
        dearer: (N,) by how many bits it costs more.

    Returns:
        (N,) integers, in the same order.
    """
    switched = first % 2 != 0  # whether the even one is the second choice
    dearer = dearer.clip(-MOST_DEARER, MOST_DEARER)
    price = np.rint(np.where(switched, -dearer, dearer) * BIT)  # of the odd one
    even = dealt.deal(np.where(switched, second, first), 0)
    odd = dealt.deal(np.where(switched, first, second), 0)
    prices = dealt.deal(price.astype(np.int16), IMPOSSIBLE)
    is_odd = np.empty(even.shape, bool)
    for start in range(0, dealt.number, LANES_AT_ONCE):
        some = np.s_[:, start : start + LANES_AT_ONCE]
        is_odd[some] = _best_path(dealt, even[some], odd[some], prices[some])
    chosen = np.where(is_odd, odd, even).ravel()
    told, negative = signs(dealt._replace(order=np.arange(chosen.size)), np.abs(chosen))
    wrong = told[(chosen[told] < 0) != negative] % dealt.number
    chosen.reshape(-1, dealt.number)[:, wrong] = 0  # where there is no way, zeros tell nothing
    return chosen[: len(first)]


def _best_path(dealt: Lanes, even: Array, odd: Array, prices: Costs) -> Choices:
    """Return where odd integers are best, bool (n, L); nonsense in lanes without a way.

    Args:
        dealt: the lanes.
        even: (n, L) choice for each integer.
        odd: (n, L) other choice.
        prices: (n, L) that the odd one costs more.
    """
    length, number = prices.shape
    states = np.arange(1 << dealt.bits)
    moves = states ^ dealt.columns[:, None]  # where an odd integer comes from
    start = BLOCK * dealt.bits
    # long rows are added to faster: those of so many states together
    together = 1 << min(BLOCK, dealt.bits)
    tiled = np.tile(prices, together)

    def priced(possible: Choices, price: Costs | int) -> Costs:
        """Return what it costs to go on in some way from a block of zeros."""
        price = np.where(possible, price, IMPOSSIBLE)[:start].astype(np.int16)
        return np.tile(price, together)

    # as the first of its block, an integer turns the block's bit where it is negative
    odd_positive, odd_negative = priced(odd > 0, prices), priced(odd < 0, prices)
    even_positive, even_negative = priced(even > 0, 0), priced(even < 0, 0)
    zero = priced(even == 0, 0)
    has_opening = [bool(row.any()) for row in even[:start]]
    # of states in whose block there are zeros alone, and in whose block there are others
    costs = np.full((2, len(states), number), NEVER, np.int16)
    costs[0, 0] = 0
    all_moved, all_turned = np.empty_like(costs), np.empty_like(costs[0])
    # how the cheapest way to a state of a block that has begun came there
    by_odd, by_first_odd, by_first_even = (
        np.zeros((rows, *all_turned.shape), bool) for rows in (length, start, start)
    )
    block_begun, block_free = (np.zeros((dealt.bits, *all_turned.shape), bool) for _ in range(2))
    for block in range(dealt.bits):
        reached = np.s_[: 1 << min(dealt.bits, BLOCK * (block + 1))]  # by the columns so far
        (empty, begun), (first, rest) = costs[:, reached], all_moved[:, reached]
        turned = all_turned[reached]
        wide = -1, together * number
        wide_first, wide_rest, wide_turned = (x.reshape(wide) for x in (first, rest, turned))
        wide_empty = empty.reshape(wide)
        turns = states[reached] ^ 1 << block
        for t in range(BLOCK * block, BLOCK * (block + 1)):
            np.take(empty, moves[t][reached], 0, out=first, mode="clip")
            np.take(first, turns, 0, out=turned, mode="clip")
            wide_turned += odd_negative[t]
            wide_first += odd_positive[t]
            np.minimum(first, turned, out=first)
            if t == BLOCK * block:
                by_odd[t][reached] = by_first_odd[t][reached] = True
                begun[:] = first
            else:
                np.take(begun, moves[t][reached], 0, out=rest, mode="clip")
                wide_rest += tiled[t]
                np.less(first, rest, out=by_first_odd[t][reached])
                np.minimum(first, rest, out=rest)
                np.less(rest, begun, out=by_odd[t][reached])
                np.minimum(rest, begun, out=begun)
            if has_opening[t]:
                np.take(empty, turns, 0, out=turned, mode="clip")
                wide_turned += even_negative[t]
                np.add(wide_empty, even_positive[t], out=wide_first)
                np.minimum(first, turned, out=first)
                wide_empty += zero[t]
                np.minimum(empty, NEVER, out=empty)
                np.less(first, begun, out=by_first_even[t][reached])
                np.minimum(first, begun, out=begun)
        # a block of zeros alone hides nothing, its bit may be anything
        np.take(empty, turns, 0, out=turned, mode="clip")
        np.less(turned, empty, out=block_free[block][reached])
        np.minimum(turned, empty, out=empty)
        begun -= BIT
        np.less(begun, empty, out=block_begun[block][reached])
        np.minimum(begun, empty, out=empty)
    cost, moved = costs[0], all_moved[0]
    wide_moved = moved.reshape(-1, together * number)
    for t in range(start, length):
        np.take(cost, moves[t], 0, out=moved, mode="clip")
        wide_moved += tiled[t]
        np.less(moved, cost, out=by_odd[t])
        np.minimum(moved, cost, out=cost)

    is_odd = np.zeros((length, number), bool)
    state, lane = np.zeros(number, np.int64), np.arange(number)
    for t in reversed(range(start, length)):
        is_odd[t] = by_odd[t][state, lane]
        state ^= dealt.columns[t] * is_odd[t]
    for block in reversed(range(dealt.bits)):
        bit = 1 << block
        has_begun = block_begun[block][state, lane]
        state ^= bit * (block_free[block][state, lane] & ~has_begun)
        for t in reversed(range(BLOCK * block, BLOCK * (block + 1))):
            here = state, lane
            odd_here = np.logical_and(has_begun, by_odd[t][here], is_odd[t])
            by_even = has_begun & by_first_even[t][here]
            odd_here &= ~by_even
            has_begun &= ~by_even
            state ^= bit * (by_even & (even[t] < 0))
            opening = odd_here & by_first_odd[t][here]
            has_begun &= ~opening
            state ^= dealt.columns[t] * odd_here ^ bit * (opening & (odd[t] < 0))
    return is_odd

"""Sign bits that are not sent: they are hidden in the parities of the magnitudes.

For many integers the second choice costs little more than the first, in bits and distortion
together. So the encoder may choose among both until the parities of all spell what the decoder
has to know anyway: some of the signs, which no context model predicts. Which signs those are, and
how parities spell them, follows from the scales alone.

The integers of one step of the coding order whose scale leaves a choice are sorted by it and
dealt out to *lanes*, like cards, so that all lanes are alike. A lane has positions 0, 1, ... in a
number of consecutive *blocks*. Each position has a *column*, a number of as many bits as there
are blocks; the columns of odd magnitudes, added without carry, are the lane's *syndrome*. Its bit
j is the sign of the first integer of block j that is not 0: 1 for a negative one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Costs = NDArray[np.float32]
Choices = NDArray[np.bool_]

LARGEST_ROW = 255
BITS = 6  # most blocks of a lane
LEAST_ROW = 18  # scale index below which the second choice is too dear
# What an integer adds to its lane: how likely it is that its second choice costs little more.
MASS_ZERO, MOST_MASS = 11, 15
BIT_MASS = 80  # of a lane for each bit that is hidden in it
COLUMN_STRIDE = 11  # shares no factor with 2^bits - 1
NEVER = 1e9
LANES_AT_ONCE = 256


class Lanes(NamedTuple):
    """How the integers of one step are dealt out; (n,) arrays have an entry for each position."""

    order: Array  # (N,) of the integers, the lanes' first ones, then their second ones, and so on
    number: int  # of lanes, L
    bits: int  # and blocks, of each lane
    columns: Array  # (n,) 1..2^bits - 1
    starts: Array  # (bits + 1,) first position of each block, and n

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
    mass = np.minimum(rows[index] - MASS_ZERO, MOST_MASS)
    total = int(mass.sum())
    bits = min(BITS, total // BIT_MASS)
    if bits == 0:
        return None
    number = max(1, total // (BITS * BIT_MASS))
    length = -(-len(index) // number)
    position = np.arange(length)
    columns = np.where(
        position < bits,
        1 << np.minimum(position, bits - 1),
        1 + COLUMN_STRIDE * position % ((1 << bits) - 1),
    )
    reached = np.cumsum(mass)[np.minimum(number * (position + 1), len(mass)) - 1]
    blocks = np.minimum((reached - 1) * bits // total, bits - 1)
    starts = np.searchsorted(blocks, np.arange(bits + 1))
    return Lanes(index, number, bits, columns, starts)


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
    found, negative = [], []
    for block, (start, end) in enumerate(zip(dealt.starts[:-1], dealt.starts[1:], strict=True)):
        some = own[start:end] != 0
        lane = np.flatnonzero(some.any(0))
        found.append((start + some.argmax(0)[lane]) * dealt.number + lane)
        negative.append((syndrome[lane] >> block & 1) != 0)
    return dealt.order[np.concatenate(found)], np.concatenate(negative)


def choose(dealt: Lanes, first: Array, second: Array, dearer: Costs) -> Array:
    """Return the integers of least cost whose parities spell the signs that are hidden.

    The best path through the lanes' trellis, all lanes at once: its states are the syndrome so
    far, and whether the block has had an integer other than 0. A sign that is hidden saves a bit.

    Args:
        dealt: the lanes.
        first: (N,) what would be chosen otherwise, in the order of `dealt.order`.
        second: (N,) the other choice, a neighbour.
        dearer: (N,) by how many bits it costs more.

    Returns:
        (N,) integers, in the same order.
    """
    switched = first % 2 != 0  # whether the even one is the second choice
    price = np.where(switched, -dearer, dearer).astype(np.float32)  # of the odd one
    even = dealt.deal(np.where(switched, second, first), 0)
    odd = dealt.deal(np.where(switched, first, second), 1)
    prices = dealt.deal(price, NEVER)
    chosen = np.empty_like(even)
    for start in range(0, dealt.number, LANES_AT_ONCE):
        some = np.s_[:, start : start + LANES_AT_ONCE]
        is_odd, possible = _best_path(dealt, even[some], odd[some], prices[some])
        chosen[some] = np.where(is_odd, odd[some], even[some]) * possible
    return chosen.ravel()[: len(first)]


def _best_path(dealt: Lanes, even: Array, odd: Array, prices: Costs) -> tuple[Choices, Choices]:
    """Return where odd integers are best, bool (n, L), and in which lanes (L,) a way was found.

    Args:
        dealt: the lanes.
        even: (n, L) choice for each integer.
        odd: (n, L) other choice.
        prices: (n, L) bits that the odd one costs more.
    """
    length, number = prices.shape
    states = np.arange(1 << dealt.bits)
    moves = states ^ dealt.columns[:, None]  # the state that an odd integer comes from
    # as the first of its block, an integer turns the block's bit where it is negative
    odd_prices = np.stack([_where(odd > 0, prices), prices], 1)[:, :, None]
    odd_negative = _where(odd < 0, prices)
    even_positive, even_negative = _where(even > 0), _where(even < 0)
    zero, has_opening = _where(even == 0), [bool(row.any()) for row in even]
    cost = np.full((2, len(states), number), NEVER, np.float32)
    empty, begun = cost  # of blocks of zeros alone, of blocks with others
    empty[0] = 0
    moved = np.empty_like(cost)
    first, rest = moved
    turned = np.empty_like(first)
    # how the cheapest way to a state of a block that has begun came there
    by_odd, by_first_odd = (np.empty((length, *first.shape), bool) for _ in range(2))
    by_first_even: dict[int, Choices] = {}
    block_begun, block_free = (np.empty((dealt.bits, *first.shape), bool) for _ in range(2))
    starts = dealt.starts.tolist()
    for block in range(dealt.bits):
        halves = len(states) >> block + 1, 2, 1 << block, number  # [:, ::-1] turns the bit
        empty_turned = empty.reshape(halves)[:, ::-1]
        first_turned = first.reshape(halves)[:, ::-1]
        target = turned.reshape(halves)
        for t in range(starts[block], starts[block + 1]):
            np.take(cost, moves[t], 1, out=moved, mode="clip")
            np.add(first_turned, odd_negative[t], out=target)
            moved += odd_prices[t]
            np.minimum(first, turned, out=first)
            np.less(first, rest, out=by_first_odd[t])
            np.minimum(first, rest, out=rest)
            if has_opening[t]:
                np.add(empty_turned, even_negative[t], out=target)
                np.add(empty, even_positive[t], out=first)
                np.minimum(first, turned, out=first)
                empty += zero[t]
            np.less(rest, begun, out=by_odd[t])
            np.minimum(rest, begun, out=begun)
            if has_opening[t]:
                by_first_even[t] = first < begun
                np.minimum(first, begun, out=begun)
        # a block of zeros alone hides nothing, its bit may be anything
        np.copyto(target, empty_turned)
        np.less(turned, empty, out=block_free[block])
        np.minimum(turned, empty, out=empty)
        begun -= 1
        np.less(begun, empty, out=block_begun[block])
        np.minimum(begun, empty, out=empty)
        begun.fill(NEVER)

    possible = empty[0] < NEVER / 2
    is_odd = np.zeros((length, number), bool)
    state, lane = np.zeros(number, np.int64), np.arange(number)
    for block in reversed(range(dealt.bits)):
        bit = 1 << block
        has_begun = block_begun[block][state, lane]
        state ^= bit * (block_free[block][state, lane] & ~has_begun)
        for t in reversed(range(starts[block], starts[block + 1])):
            here = state, lane
            odd_here = np.logical_and(has_begun, by_odd[t][here], is_odd[t])
            if t in by_first_even:
                by_even = has_begun & by_first_even[t][here]
                odd_here &= ~by_even
                has_begun &= ~by_even
                state ^= bit * (by_even & (even[t] < 0))
            opening = odd_here & by_first_odd[t][here]
            has_begun &= ~opening
            state ^= dealt.columns[t] * odd_here ^ bit * (opening & (odd[t] < 0))
    return is_odd, possible


def _where(possible: Choices, price: Costs | float = 0.0) -> Costs:
    """Return the price of a way that is possible in some places only."""
    return np.where(possible, price, NEVER).astype(np.float32)

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
HIDING_ROW = 18  # scale index below which the second choice is too dear
# What an integer adds to its lane: how likely it is that its second choice costs little more.
MASS_ZERO, MOST_MASS = 11, 15
BIT_MASS = 66  # of a lane for each bit that is hidden in it
COLUMN_STRIDE = 11  # shares no factor with 2^bits - 1
# Costs in the trellis are small integers: numpy works on many of them at once.
BIT = 64  # of these for each bit
MOST_DEARER = 12.0  # bits that a choice counts as being dearer at most
NEVER = 24_000  # of a state that cannot be reached
IMPOSSIBLE = 8_000  # of a choice: added to the last, it does not overflow
LANES_AT_ONCE = 128
ROW = 256  # elements that a row needs to be fast
AT_ONCE = 3  # integers beyond the blocks: few calls are faster than few additions
MOST_WAYS = 8  # to go on with so many, or with a block
# The ways to choose the integers of a block: which are odd; and which way is taken of those that
# cost the same. That of the even ones depends on whether they are 0.
_WAYS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
_RANKS = np.array([0, 2, 6, 8])
RANKS = np.int32(16)


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
    some = np.flatnonzero(rows >= HIDING_ROW)
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


class _Stages(NamedTuple):
    """The ways to go on, of a few integers of all lanes after the other."""

    moves: Array  # (S, M) by which each way changes the state
    prices: Costs  # (S, M, L)
    ranks: Array  # (S or 1, M, L or 1): which way is taken of those that cost the same
    odd: Choices  # (M, k) which of the integers are odd


def _best_path(dealt: Lanes, even: Array, odd: Array, prices: Costs) -> Choices:
    """Return where odd integers are best, bool (n, L); nonsense in lanes without a way.

    Args:
        dealt: the lanes.
        even: (n, L) choice for each integer.
        odd: (n, L) other choice.
        prices: (n, L) that the odd one costs more.
    """
    length, number = prices.shape
    parts = _blocks(dealt, even, odd, prices), _others(dealt, prices)
    states = np.arange(1 << dealt.bits)
    # of the cheapest way to each state, before each stage and in the end
    costs = np.empty((1 + sum(len(part.moves) for part in parts), len(states), number), np.int16)
    costs[0] = NEVER
    costs[0, 0] = 0
    # long rows are added to faster: those of so many states together
    together = min(len(states), 1 << (ROW // number).bit_length())
    all_ways = np.empty((MOST_WAYS, *costs[0].shape), np.int16)
    place = 0
    for part in parts:
        tiled = np.tile(part.prices, together)[:, :, None]
        for moves, price in zip(part.moves, tiled, strict=True):
            ways = all_ways[: len(moves)]
            np.take(costs[place], states ^ moves[:, None], 0, out=ways, mode="clip")
            wide = ways.reshape(len(ways), -1, together * number)
            wide += price
            place += 1
            np.min(ways, 0, out=costs[place])

    found = []
    state, lane = np.zeros(number, np.int64), np.arange(number)
    for part in parts[::-1]:
        keys = RANKS * part.prices + part.ranks
        ways = np.empty((len(part.moves), number), np.int64)
        for stage in reversed(range(len(ways))):
            place -= 1
            moves = part.moves[stage]
            total = RANKS * costs[place][state ^ moves[:, None], lane] + keys[stage]
            ways[stage] = total.argmin(0)
            state ^= moves[ways[stage]]
        found.append(part.odd[ways].swapaxes(1, 2).reshape(-1, number))
    return np.concatenate(found[::-1])[:length]


def _blocks(dealt: Lanes, even: Array, odd: Array, prices: Costs) -> _Stages:
    """Return a stage for each block: which integers are odd, and whether its bit is turned.

    The first that is not 0 turns the bit where it is negative; one of zeros alone hides nothing,
    and its bit may be anything.
    """
    by_block = dealt.bits, BLOCK, prices.shape[1]
    start = BLOCK * dealt.bits
    choices = np.stack([values[:start].reshape(by_block) for values in (even, odd)], 1)
    first, second = choices[:, _WAYS[:, 0], 0], choices[:, _WAYS[:, 1], 1]  # (blocks, ways, L)
    told = np.where(first != 0, first, second)
    price = _WAYS @ prices[:start].astype(np.int32).reshape(by_block) - BIT * (told != 0)
    possible = np.concatenate([told >= 0, told <= 0], 1)  # without a turn, and with one
    ranks = np.broadcast_to(_RANKS[:, None], told.shape).copy()
    ranks[:, 0] = np.where(told[:, 0] == 0, 0, np.where(first[:, 0] != 0, 4, 10))
    columns = dealt.columns[:start].reshape(-1, 1, BLOCK)
    moves = np.bitwise_xor.reduce(_WAYS * columns, 2)
    turns = 1 << np.arange(dealt.bits)[:, None]
    return _Stages(
        np.concatenate([moves, moves ^ turns], 1),
        np.where(possible, np.tile(price, (1, 2, 1)), IMPOSSIBLE).astype(np.int16),
        np.concatenate([ranks, ranks + 1], 1),
        np.tile(_WAYS, (2, 1)) != 0,
    )


def _others(dealt: Lanes, prices: Costs) -> _Stages:
    """Return stages of `AT_ONCE` integers each for those beyond the blocks."""
    start = BLOCK * dealt.bits
    missing = -(len(prices) - start) % AT_ONCE
    own = np.pad(prices[start:], ((0, missing), (0, 0)), constant_values=IMPOSSIBLE)
    columns = np.pad(dealt.columns[start:], (0, missing)).reshape(-1, 1, AT_ONCE)
    odd = np.arange(1 << AT_ONCE)[:, None] >> np.arange(AT_ONCE) & 1
    total = odd @ own.astype(np.int32).reshape(-1, AT_ONCE, prices.shape[1])
    return _Stages(
        np.bitwise_xor.reduce(odd * columns, 2),
        np.minimum(total, IMPOSSIBLE).astype(np.int16),
        np.arange(len(odd))[None, :, None],
        odd != 0,
    )

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

from functools import lru_cache
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
LANES_AT_ONCE = 256
ROW = 256  # elements that a row needs to be fast
AT_ONCE = 4  # integers beyond the blocks of a stage
# The ways to go on with a block: which of its integers are odd, first without and then with a turn
# of its bit; and which way is taken of those that cost the same. That of the even ones depends on
# whether they are 0.
_WAYS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
_RANKS = np.array([0, 2, 6, 8, 1, 3, 7, 9])[:, None]
_FIRST_EVEN, _SECOND_EVEN = 4, 10  # more for the even ones, of which that is not 0
_BLOCK_ODD = np.tile(_WAYS, (2, 1)) != 0
# And those with integers beyond the blocks
_OTHER_WAYS = np.arange(1 << AT_ONCE)[:, None] >> np.arange(AT_ONCE) & 1
_OTHER_RANKS = np.arange(1 << AT_ONCE)[:, None]
_OTHER_ODD = _OTHER_WAYS != 0
RANKS = np.int32(16)
# Which way has a rank: that of the even ones may be 0, 4 or 10, and each is one more with a turn.
_WAY_OF_BLOCK_RANK = np.zeros(RANKS, np.int64)
_WAY_OF_BLOCK_RANK[:12] = 0, 4, 1, 5, 0, 4, 2, 6, 3, 7, 0, 4
_WAY_OF_OTHER_RANK = np.arange(RANKS)


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
    return Lanes(index, number, bits, _columns(bits, -(-len(index) // number)))


@lru_cache(maxsize=256)
def _columns(bits: int, length: int) -> Array:
    position = np.arange(length)
    return np.where(
        position < bits,
        1 << np.minimum(position, bits - 1),
        1 + COLUMN_STRIDE * position % ((1 << bits) - 1),
    )


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


def number_hidden(dealt: Lanes, magnitudes: Array) -> int:
    """Return how many signs are hidden, of magnitudes (N,) in the order of `dealt.order`."""
    start = BLOCK * dealt.bits * dealt.number
    first = np.zeros(start, bool)
    first[: len(magnitudes)] = magnitudes[:start] != 0
    return int(np.count_nonzero(first.reshape(dealt.bits, BLOCK, dealt.number).any(1)))


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


class _Trellis(NamedTuple):
    """What the trellises of lanes with the same columns have in common.

    Its stages are the blocks, and then `AT_ONCE` integers each; so many ways lead through each.
    """

    moves: list[Array]  # (ways, 1) by which each way changes the state, of each stage
    reached: list[int]  # how many states, the first ones, may come after each block
    blocks: Array  # (blocks, ways, states) where each way comes from
    others: Array  # (stages - blocks, AT_ONCE, states) where an odd integer comes from


@lru_cache(maxsize=32)
def _trellis(bits: int, its_columns: bytes) -> _Trellis:
    columns = np.frombuffer(its_columns, np.int64)
    start, length = BLOCK * bits, len(columns)
    moves = np.bitwise_xor.reduce(_WAYS * columns[:start].reshape(-1, 1, BLOCK), 2)
    moves = np.concatenate([moves, moves ^ 1 << np.arange(bits)[:, None]], 1)
    others = np.zeros((-(-(length - start) // AT_ONCE), AT_ONCE), np.int64)
    others.ravel()[: length - start] = columns[start:]
    more = np.bitwise_xor.reduce(_OTHER_WAYS * others[:, None], 2)
    states = np.arange(1 << bits)
    changed = np.bitwise_or.accumulate(np.bitwise_or.reduce(moves, 1))
    return _Trellis(
        [ways[:, None] for stages in (moves, more) for ways in stages],
        [1 << so_far.bit_length() for so_far in changed.tolist()],
        states ^ moves[..., None],
        states ^ others[..., None],
    )


def _best_path(dealt: Lanes, even: Array, odd: Array, prices: Costs) -> Choices:
    """Return where odd integers are best, bool (n, L); nonsense in lanes without a way.

    Args:
        dealt: the lanes.
        even: (n, L) choice for each integer.
        odd: (n, L) other choice.
        prices: (n, L) that the odd one costs more.
    """
    length, number = prices.shape
    start = BLOCK * dealt.bits
    trellis = _trellis(dealt.bits, dealt.columns.tobytes())
    block_prices, ranks = _blocks(even[:start], odd[:start], prices[:start])
    others = np.full((len(trellis.others), AT_ONCE, number), IMPOSSIBLE, np.int16)
    others.reshape(-1, number)[: length - start] = prices[start:]
    costs = _cheapest(trellis, block_prices, others)
    flat = costs.reshape(len(costs), -1)
    keys = [*(RANKS * block_prices + ranks), *(RANKS * _sums(others) + _OTHER_RANKS)]
    state, lane = np.zeros(number, np.int64), np.arange(number)
    taken = np.empty((len(keys), number), np.int64)
    for stage in reversed(range(len(keys))):  # back, from the state without a syndrome
        move = trellis.moves[stage]
        at = (state ^ move) * number
        at += lane
        key = RANKS * flat[stage].take(at)
        key += keys[stage]
        ways = _WAY_OF_BLOCK_RANK if stage < dealt.bits else _WAY_OF_OTHER_RANK
        ways.take(key.min(0) & RANKS - 1, out=taken[stage], mode="clip")
        state ^= move.take(taken[stage])
    found = (_BLOCK_ODD[taken[: dealt.bits]], _OTHER_ODD[taken[dealt.bits :]])
    return np.concatenate([part.swapaxes(1, 2).reshape(-1, number) for part in found])[:length]


def _sums(prices: Costs) -> NDArray[np.int32]:
    """Return what each way through integers beyond the blocks costs.

    Args:
        prices: (S, AT_ONCE, L) that odd integers cost more.

    Returns:
        (S, ways, L).
    """
    stages, _, number = prices.shape
    sums = np.zeros((stages, 1 << AT_ONCE, number), np.int32)
    for i in range(AT_ONCE):
        np.add(sums[:, : 1 << i], prices[:, i, None], out=sums[:, 1 << i : 2 << i])
    return np.minimum(sums, IMPOSSIBLE, out=sums)


def _cheapest(trellis: _Trellis, block_prices: Costs, prices: Costs) -> Costs:
    """Return what the cheapest way to each state costs, int16 (S + 1, states, L).

    Before each stage, and in the end.

    Args:
        trellis: of these lanes.
        block_prices: (blocks, M, L) of each way.
        prices: (S - blocks, AT_ONCE, L) that odd integers cost more.
    """
    _, reached, blocks, others = trellis
    states, number = blocks.shape[2], prices.shape[2]
    costs = np.empty((1 + len(blocks) + len(others), states, number), np.int16)
    costs[0] = NEVER
    costs[0, 0] = 0
    # long rows are added to faster: those of so many states together
    together = min(states, 1 << (ROW // number).bit_length())
    ways = np.empty((len(_BLOCK_ODD), states, number), np.int16)
    wide = ways.reshape(len(ways), -1, together * number)
    tiled = np.tile(block_prices, together)[:, :, None]
    for stage, (first, sources) in enumerate(zip(reached, blocks, strict=True)):
        before, after = costs[stage : stage + 2]
        if first < states:
            few = ways.ravel()[: len(ways) * first * number].reshape(-1, first, number)
            before.take(sources[:, :first], 0, out=few, mode="clip")
            few += block_prices[stage][:, None]
            few.min(0, out=after[:first])
            after[first:] = NEVER
        else:
            before.take(sources, 0, out=ways, mode="clip")
            wide += tiled[stage]
            ways.min(0, out=after)
    one, wide = ways[0], wide[0]
    tiled = np.tile(prices, together)
    for stage, (sources, price) in enumerate(zip(others, tiled, strict=True), len(blocks)):
        before = costs[stage]
        for source, its in zip(sources, price, strict=True):
            before.take(source, 0, out=one, mode="clip")
            wide += its
            before = np.minimum(before, one, out=costs[stage + 1])
    return costs


def _blocks(even: Array, odd: Array, prices: Costs) -> tuple[Costs, NDArray[np.int64]]:
    """Return what each way through each block costs, and its rank among those that cost the same.

    The first integer that is not 0 turns the block's bit where it is negative; a block of zeros
    alone hides nothing, and its bit may be anything.

    Args:
        even: (blocks * BLOCK, L) choice for each integer.
        odd: (blocks * BLOCK, L) other choice.
        prices: (blocks * BLOCK, L) that the odd one costs more.

    Returns:
        (int16 (blocks, ways, L), int64 of the same shape).
    """
    by_block = (-1, BLOCK, prices.shape[1])
    first, second = even.reshape(by_block).swapaxes(0, 1)
    first_odd, second_odd = odd.reshape(by_block).swapaxes(0, 1)
    some = first != 0
    even_told = np.where(some, first, second)
    told = [even_told, first_odd, first_odd, np.where(some, first, second_odd)]  # as `_WAYS`
    one, other = prices.reshape(by_block).swapaxes(0, 1)
    none = even_told == 0
    price = [np.where(none, 0, -BIT), one - BIT, one + other - BIT, other - BIT]
    found = np.empty((len(first), len(_RANKS), prices.shape[1]), np.int16)
    for way in range(len(_WAYS)):  # without a turn, and with one
        found[:, way] = np.where(told[way] >= 0, price[way], IMPOSSIBLE)
        found[:, way + len(_WAYS)] = np.where(told[way] <= 0, price[way], IMPOSSIBLE)
    even_ranks = np.where(none, 0, np.where(some, _FIRST_EVEN, _SECOND_EVEN))
    ranks = np.broadcast_to(_RANKS, found.shape).copy()
    ranks[:, :: len(_WAYS)] += even_ranks[:, None]
    return found, ranks

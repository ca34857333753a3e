"""Integers that pay best: by all that could be chosen in small blocks."""

import itertools

import numpy as np
import pytest

from imgcodec.jpeg import choosing
from imgcodec.jpeg.choosing import chosen

STEPS = np.arange(10, 74)
WEIGHTS = 30.0 * STEPS


def levels(num=200, seed=1):
    """Coefficients of blocks, few of which are not zero."""
    rng = np.random.default_rng(seed)
    spread = 40 / (1 + np.arange(64) / 2)
    return (rng.laplace(0, 1, (num, 64)) * spread).astype(np.float32)


def cost(block, wanted, bits, price):
    """What a block of integers costs: squares and the bits of all but the mean."""
    total, run = float((WEIGHTS * (block - wanted / STEPS) ** 2)[1:].sum()), 0
    for value in block[1:]:
        if value == 0:
            run += 1
            continue
        total += price * bits[run, int(abs(value)).bit_length()]
        run = 0
    return total + price * bits[64, 0] * (run > 0)


def test_without_a_price_all_are_the_nearest():
    found = chosen(levels(), STEPS, WEIGHTS, 0.0)
    assert found.dtype == np.int16
    assert np.array_equal(found, np.rint(levels() / STEPS))


@pytest.mark.parametrize("price", [30.0, 200.0, 2000.0])
def test_nothing_that_may_be_chosen_costs_less(price):
    wanted = levels()
    nearest = np.rint(wanted / STEPS).astype(int)
    bits = choosing._bits(choosing._counts(nearest))
    found = chosen(wanted, STEPS, WEIGHTS, price)
    few = np.flatnonzero(np.count_nonzero(nearest[:, 1:], axis=1) <= 4)
    assert len(few) > 50
    for block in few:
        places = np.flatnonzero(nearest[block, 1:]) + 1
        each = [{0, v, v - np.sign(v)} for v in nearest[block, places].tolist()]
        costs = []
        for values in itertools.product(*each):
            other = nearest[block].copy()
            other[places] = values
            costs.append(cost(other, wanted[block], bits, price))
        ours = cost(found[block].astype(int), wanted[block], bits, price)
        assert ours == pytest.approx(min(costs), rel=1e-4)
    assert np.array_equal(found[:, 0], nearest[:, 0])


def test_symbols_are_counted_as_they_are_written():
    blocks = np.zeros((3, 64), np.int16)
    blocks[0, [1, 20]] = 3, -1
    blocks[1, 63] = 8
    counts = choosing._counts(blocks)
    assert {symbol: n for symbol, n in enumerate(counts) if n} == {
        0x00: 2, 0x02: 1, 0x21: 1, 0xE4: 1, 0xF0: 4,
    }  # fmt: skip


def test_nothing_is_larger_than_decoders_know():
    found = chosen(np.full((2, 64), -1500, np.float32), np.ones(64, np.int64), np.ones(64), 0.1)
    assert found.min() == -1023

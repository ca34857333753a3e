"""Signs hidden in magnitudes: the decoder finds them, and nothing spells them at less cost."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcodec.entropy import sign_hiding
from imgcodec.entropy.range_coder import (
    IntegerTables,
    RangeDecoder,
    RangeEncoder,
    code_integers,
    raw_bits,
)
from imgcodec.model.cells import HIDING_ROW
from imgcodec.model.tables import mass_table

TABLES = IntegerTables(mass_table().numpy())
DIGITS = 12
SIZES = st.integers(1, 4000)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(number, seed, highest=111):
    """Rows, and integers with second choices as an encoder has them."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, rng.integers(20, highest + 1), number)
    wanted = rng.logistic(size=number) * 2 ** ((rows - 40) / 8)
    size = np.abs(wanted)
    near = np.floor(size + 0.5)
    other = np.where((size > near) | (near == 0), near + 1, near - 1)
    sign = np.where(wanted < 0, -1, 1)
    dearer = 8 * ((size - other) ** 2 - (size - near) ** 2) + rng.normal(size=number)
    return rows, (sign * near).astype(int), (sign * other).astype(int), dearer.astype(np.float32)


def chosen(lanes, first, second, dearer):
    """All integers, after those in lanes were chosen."""
    values = first.copy()
    index = lanes.order
    values[index] = sign_hiding.choose(lanes, first[index], second[index], dearer[index])
    return values


def spells(lanes, values):
    """Whether the magnitudes say which of the hidden signs are negative."""
    index, negative = sign_hiding.signs(lanes, np.abs(values))
    return ((values[index] < 0) == negative).all()


def plain_signs(rows, magnitudes):
    """What `lanes` and `signs` find, as docs/format.md says it, one integer after the other."""
    order = sorted((i for i, row in enumerate(rows) if row >= 18), key=lambda i: -rows[i])
    mass = [min(int(rows[i]) - 11, 15) for i in order]
    total = sum(mass)
    bits, number = min(8, total // 66), max(1, total // (8 * 66))
    if bits == 0:
        return {}
    found = {}
    for lane in range(number):
        syndrome, first = 0, {}
        for place, i in enumerate(order[lane::number]):
            column = 2**place if place < bits else 1 + 11 * place % (2**bits - 1)
            if magnitudes[i] % 2:
                syndrome ^= column
            if magnitudes[i] and place < 2 * bits:
                first.setdefault(place // 2, i)
        for block, i in first.items():
            found[i] = bool(syndrome >> block & 1)
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), SEEDS)
def test_signs_are_those_that_the_text_says(number, seed):
    rows, values, *_ = drawn(number, seed)
    lanes = sign_hiding.lanes(rows)
    found = {}
    if lanes is not None:
        index, negative = sign_hiding.signs(lanes, np.abs(values))
        dealt = np.abs(values)[lanes.order]
        assert sign_hiding.number_hidden(lanes, dealt) == len(index)
        found = dict(zip(index.tolist(), negative.tolist(), strict=True))
        assert len(found) == len(index)
    assert found == plain_signs(rows, np.abs(values))


@settings(deadline=None, max_examples=40)
@given(SIZES, SEEDS)
def test_what_is_chosen_spells_the_signs(number, seed):
    rows, *choices = drawn(number, seed)
    lanes = sign_hiding.lanes(rows)
    if lanes is not None:
        values = chosen(lanes, *choices)
        assert ((values == choices[0]) | (values == choices[1])).all()
        assert spells(lanes, values)


def test_lanes_of_more_than_are_handled_at_once():
    rows, *choices = drawn(150_000, 3, 40)
    lanes = sign_hiding.lanes(rows)
    assert lanes.number > 2 * sign_hiding.LANES_AT_ONCE
    assert spells(lanes, chosen(lanes, *choices))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("number", "bits"), [(5, 1), (8, 1), (9, 2), (14, 3)])
def test_nothing_that_spells_the_signs_costs_less(number, bits, seed):
    _, *choices = drawn(number, seed, 30)
    first, second, dearer = choices
    lanes = sign_hiding.lanes(np.full(number, 26))
    assert lanes.number == 1
    assert lanes.bits == bits

    def cost(values):
        index, _ = sign_hiding.signs(lanes, np.abs(values))
        return dearer[values != first].sum() - len(index)

    flips = np.array(list(itertools.product([False, True], repeat=number)))
    every = [np.where(flip, second, first) for flip in flips]
    best = min(cost(values) for values in every if spells(lanes, values))
    assert cost(chosen(lanes, *choices)) <= best + number / sign_hiding.BIT  # each is rounded


def test_hiding_pays():
    """Fewer bits and squared errors together than without, by half a percent at the least."""
    rng = np.random.default_rng(5)
    rows = np.full(20_000, 34)
    wanted = rng.logistic(size=len(rows)) * 2 ** ((rows - 40) / 8)
    size, sign = np.abs(wanted), np.where(wanted < 0, -1, 1)
    near = np.floor(size + 0.4)
    share = np.diff(TABLES.masses, axis=1, prepend=0) / 2**24
    magnitude_bits = -np.log2(np.maximum(share[34], 1e-9))

    def total(magnitude):
        return magnitude_bits[magnitude.astype(int)] + 8 * (size - magnitude) ** 2

    up, down = total(near + 1) + (near == 0), total(np.maximum(near - 1, 0)) - (near == 1)
    other = np.where((up < down) | (near == 0), near + 1, near - 1)
    dearer = np.where(other > near, up, down) - total(near)
    lanes = sign_hiding.lanes(rows)
    values = chosen(
        lanes, (sign * near).astype(int), (sign * other).astype(int), dearer.astype(np.float32)
    )

    def file_bits(values, hide):
        coder = RangeEncoder()
        code_integers(coder, values, rows, np.full(len(rows), DIGITS), TABLES, hide)
        return 8 * len(coder.finish()) + 8 * ((values - wanted) ** 2).sum()

    assert file_bits(values, True) < 0.995 * file_bits((sign * near).astype(int), False)


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS)
def test_round_trip(number, seed):
    rows, *choices = drawn(number, seed, 60)
    digits = np.full(number, DIGITS)
    lanes = sign_hiding.lanes(rows)
    values = choices[0] if lanes is None else chosen(lanes, *choices)
    coder = RangeEncoder()
    code_integers(coder, values, rows, digits, TABLES, True)
    decoder = RangeDecoder(coder.finish())
    assert code_integers(decoder, None, rows, digits, TABLES, True).tolist() == values.tolist()
    decoder.finish()


class Counter:
    """An encoder that counts bits."""

    def __init__(self):
        self.bits = 0

    def code(self, bits, p):
        self.bits += len(bits)
        return bits


def test_each_hidden_sign_saves_a_bit():
    rows, *choices = drawn(2000, 1, 50)
    digits = np.full(len(rows), DIGITS)
    lanes = sign_hiding.lanes(rows)
    values = chosen(lanes, *choices)
    counter = Counter()
    code_integers(counter, values, rows, digits, TABLES, True)
    hidden, _ = sign_hiding.signs(lanes, np.abs(values))
    assert len(hidden) > lanes.number
    assert counter.bits == raw_bits(values, digits) - len(hidden)


def test_signs_that_are_not_spelled_are_refused():
    rows, first, *_ = drawn(2000, 1, 50)
    assert not spells(sign_hiding.lanes(rows), first)
    with pytest.raises(ValueError, match="do not spell the signs"):
        code_integers(RangeEncoder(), first, rows, np.full(len(rows), DIGITS), TABLES, True)


@pytest.mark.parametrize("rows", [[], [17] * 5000, [111] * 4])
def test_little_choice_hides_nothing(rows):
    assert sign_hiding.lanes(np.array(rows, np.int64)) is None


def test_what_cannot_be_spelled_becomes_zero():
    """All columns have bit 1 alone, but block 0 begins with a negative integer."""
    lanes = sign_hiding.Lanes(np.arange(8), 2, 2, np.full(4, 2))
    first = np.array([-1, 1] * 4)
    found = sign_hiding.choose(lanes, first, 2 * first, np.full(8, 3.0, np.float32))
    assert (found[::2] == 0).all()
    assert (found[1::2] != 0).all()
    assert spells(lanes, found)


def test_training_knows_where_signs_may_be_hidden():
    assert HIDING_ROW == sign_hiding.HIDING_ROW


def test_lanes_do_not_use_an_integer_that_they_lack():
    """One lane of two lacks its last integer, which alone could set bit 1."""
    lanes = sign_hiding.Lanes(np.arange(9), 2, 2, np.array([1, 1, 1, 1, 2]))
    first = np.array([1, 1, 2, 2, -1, -1, 2, 2, 2])
    second = first + np.sign(first)
    found = sign_hiding.choose(lanes, first, second, np.full(9, 1.0, np.float32))
    assert spells(lanes, found)
    assert (found[1::2] == 0).all()
    assert (found[::2] != 0).any()

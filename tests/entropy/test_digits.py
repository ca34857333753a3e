"""How many digits a latent has: enough, no more, and none where nothing can be reached."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imgcodec.entropy.digits import MAX_DIGITS, digit_table, prefix_length

limits = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=8)


def test_digits_by_hand():
    """Step 1: limits up to 0.5 round to 0, up to 1.5 to 1, then 2, 3..4, 5..8 integers."""
    found = digit_table(np.array([0.49, 0.5, 1.49, 1.5, 2.49, 2.5, 4.49, 4.5, 8.49]), 1.0, 1)
    assert found.tolist() == [[0, 1, 1, 2, 2, 3, 3, 4, 4]]
    assert found.dtype == np.uint8


def test_step_halves_every_eight_rows():
    found = digit_table(np.array([1.0, 100.0]), 4.0, 33)
    assert found.shape == (33, 2)
    # steps 4, 2, 1, 1/2, 1/4: integers up to 0 (0.25 rounded), 1 (0.5 rounded up), 1, 2, 4
    assert found[::8, 0].tolist() == [0, 1, 1, 2, 3]
    assert found[::8, 1].tolist() == [6, 7, 8, 9, 10]  # 25, 50, 100, 200, 400
    assert found[8 - 1, 0] == 0  # half a pixel more than half a step: first at row 8
    assert found[7:9, 1].tolist() == [7, 7]


@pytest.mark.parametrize(
    ("largest", "digits"), [(4096.49, 13), (4096.51, 13), (1e9, 13), (2048.49, 12)]
)
def test_largest_number_of_digits(largest, digits):
    assert digit_table(np.array([largest]), 1.0, 1).tolist() == [[digits]]
    assert digits <= MAX_DIGITS


@given(limits, st.floats(1e-3, 1e3))
def test_digits_hold_the_limit_and_no_digit_is_idle(values, coarsest):
    rows = 40
    table = digit_table(np.array(values), coarsest, rows).astype(int)
    steps = coarsest * 2.0 ** (-np.arange(rows) / 8)
    reached = np.floor(np.array(values) / steps[:, None] + 0.5)
    room = np.where(table > 0, 2.0 ** (table - 1), 0)
    assert (room >= np.minimum(reached, 4096)).all()
    half = np.where(table > 1, 2.0 ** (table - 2), 0)  # with one digit less
    assert (half[table > 0] < reached[table > 0]).all()


@given(limits, st.floats(1e-3, 1e3))
def test_finer_steps_and_larger_limits_never_need_fewer_digits(values, coarsest):
    table = digit_table(np.sort(values), coarsest, 64).astype(int)
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table, axis=1) >= 0).all()


def test_prefix_is_n_l_over_levels():
    """Equation (5) with n = 128, L = 16: eight bits more for each level."""
    levels = np.arange(16).reshape(4, 4)
    assert prefix_length(levels, 128, 16).tolist() == (8 * levels).tolist()
    assert prefix_length(np.array([0, 1, 3]), 4, 4).tolist() == [0, 1, 3]


def test_prefix_of_tensors_is_the_same():
    levels = torch.tensor([[0, 5], [7, 15]])
    found = prefix_length(levels, 32, 16)
    assert found.dtype == torch.int64
    assert found.tolist() == [[0, 10], [14, 30]]

"""Arrays of pixels, padded and cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_reader import pixels

from imgcodec.pictures import arrays


def test_pad_repeats_the_last_row_and_column():
    a = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    expected = [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6], [4, 5, 6, 6]]
    np.testing.assert_array_equal(arrays.pad(a, 4), expected)
    np.testing.assert_array_equal(arrays.pad(np.stack([a, a + 10], -1), 4)[..., 1] - 10, expected)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 64), st.sampled_from([1, 3]))
def test_crop_undoes_pad(height, width, multiple, channels):
    a = pixels(height, width, channels)
    padded = arrays.pad(a, multiple)
    assert padded.shape[0] == -(-height // multiple) * multiple
    assert padded.shape[1] == -(-width // multiple) * multiple
    np.testing.assert_array_equal(arrays.shaped_like(arrays.as_colour(padded), a), a)

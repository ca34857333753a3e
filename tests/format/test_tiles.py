"""Geometry of tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcodec.errors import AicError
from imgcodec.format.tiles import Box, Grid, plan_grid


def test_a_grown_box_begins_at_the_grid():
    box = Box(10, 21, 30, 40)
    assert box.grown(3, 35, 100) == Box(7, 18, 33, 43)
    assert box.grown(3, 35, 100, 4) == Box(4, 16, 33, 43)
    assert box.grown(11, 35, 100, 4) == Box(0, 8, 35, 51)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_tiles_cover_a_picture_once(height, width, units):
    grid = Grid(height, width, 64 * units)
    count = np.zeros((height, width), int)
    for box in grid.boxes():
        count[box.top : box.bottom, box.left : box.right] += 1
    assert (count == 1).all()
    assert len(grid) == grid.rows * grid.columns == len(list(grid.boxes()))


@given(st.data(), st.integers(1, 300), st.integers(1, 300), st.integers(0, 3))
def test_touched_tiles_are_those_with_common_pixels(data, height, width, units):
    grid = Grid(height, width, 64 * units)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = Box(
        top, left, data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    )
    rows, columns = grid.touched(region)
    for row in range(grid.rows):
        for column in range(grid.columns):
            common = grid.box(row, column).common(region)
            has_pixels = common.height > 0 and common.width > 0
            assert has_pixels == (row in rows and column in columns)


@pytest.mark.parametrize(
    ("height", "width", "edge", "found"),
    [
        (512, 768, None, 0),
        (1080, 1920, None, 0),  # 2 megapixels
        (1448, 1449, None, 832),
        (3000, 4000, None, 1024),
        (2176, 3840, None, 1088),
        (100, 200, 64, 64),
        (100, 200, 128, 128),
        (100, 200, 256, 0),
        (64, 64, 64, 0),
        (20_000, 30_000, 4096, 4096),
    ],
)
def test_edges(height, width, edge, found):
    grid = plan_grid(height, width, edge)
    assert (grid.height, grid.width, grid.edge) == (height, width, found)


def test_an_edge_may_be_a_small_number_of_numpy():
    grid = plan_grid(100, 400, np.uint8(64))
    assert [*grid.boxes()] == [*plan_grid(100, 400, 64).boxes()]


@given(st.integers(1217, 65535), st.integers(1217, 65535))
def test_chosen_tiles_stick_out_little(height, width):
    grid = plan_grid(height, width)
    if height * width <= 2**21:
        assert grid.edge == 0
        return
    assert 832 <= grid.edge <= 1216
    area = len(grid) * grid.edge**2
    assert area < 1.9 * height * width
    if min(height, width) > 4096:
        assert area < 1.25 * height * width


@pytest.mark.parametrize("edge", ["64", 64.0, [64]])
def test_edges_that_are_no_numbers(edge):
    kind = type(edge).__name__
    with pytest.raises(AicError, match=f"^tile of {kind}, wanted a multiple of 64$"):
        plan_grid(100, 100, edge)


@pytest.mark.parametrize("edge", [-64, 1, 63, 100, 4160, 65536])
def test_edges_that_are_none(edge):
    with pytest.raises(AicError, match=rf"^tile {edge}, wanted a multiple of 64 up to 4096$"):
        plan_grid(500, 500, edge)

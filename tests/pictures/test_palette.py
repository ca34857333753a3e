"""Colours that are joined: the least seen first, and areas keep theirs."""

import numpy as np
import pytest

from imgcodec.pictures.palette import MOST, Palette


def colours(pixels):
    return {tuple(colour) for colour in pixels.reshape(-1, 3)}


def drawing(seed=0, areas=4, shades=30):
    """Plain areas, and between each two a row of shades."""
    chance = np.random.default_rng(seed)
    rows, first = [], chance.integers(0, 256, 3)
    for _ in range(areas):
        second = chance.integers(0, 256, 3)
        rows += [np.tile(first, (12, 1)), np.linspace(first, second, shades)]
        first = second
    column = np.rint(np.concatenate(rows)).astype(np.uint8)
    return np.ascontiguousarray(column[:, None].repeat(40, 1))


def test_counts():
    pixels = drawing()
    palette = Palette(pixels)
    assert len(palette) == len(colours(pixels))
    assert palette.joinable
    for count in (len(palette), 300):
        assert np.array_equal(palette.reduced(count), pixels)
    for count in (1, 2, 7, 64):
        found = palette.reduced(count)
        assert len(colours(found)) == count
        assert (found.shape, found.dtype) == (pixels.shape, np.uint8)


def test_areas_keep_their_colours():
    pixels = drawing()
    areas = [tuple(pixels[row, 0]) for row in range(5, 168, 42)]
    assert set(areas) <= colours(Palette(pixels).reduced(8))


def test_the_nearest_are_joined_first():
    near = np.array([[[10, 0, 0]], [[12, 0, 0]], [[200, 0, 0]], [[200, 50, 0]]], np.uint8)
    found = Palette(near.repeat(9, 1)).reduced(3)
    assert found[:, 0].tolist() == [[11, 0, 0], [11, 0, 0], [200, 0, 0], [200, 50, 0]]
    assert Palette(near.repeat(9, 1)).reduced(2)[2:, 0].tolist() == [[200, 25, 0]] * 2


def test_grey_stays_grey():
    grey = drawing()[..., 0]
    found = Palette(grey).reduced(5)
    assert found.shape == grey.shape
    assert len(np.unique(found)) == 5


def test_more_colours_than_are_compared():
    ramp = np.arange(3000)
    many = np.stack([ramp % 200, ramp // 200 * 10, ramp % 7], 1).astype(np.uint8)[None]
    palette = Palette(many)
    assert len(palette) > MOST
    found = palette.reduced(400)
    assert 300 < len(colours(found)) <= 400
    assert np.abs(found.astype(int) - many).max() < 40


def test_a_photograph_has_too_many():
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    palette = Palette(noise)
    assert not palette.joinable
    with pytest.raises(ValueError, match="colours are those of a photograph"):
        palette.reduced(16)

"""Whether a picture was drawn: pages and screens are, photographs are not, however worn."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgcodec.pictures import drawn
from imgcodec.pictures.drawn import is_drawn
from imgcodec.train.pages import page


@pytest.fixture(scope="module")
def photograph():
    with Image.open(Path(__file__).parents[2] / "docs/kodim23.png") as picture:
        return np.asarray(picture)


def as_jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def steps(flat, steep, size=100):
    """A row of pixels with shares of equal neighbours, and of steep ones among the others."""
    changes = size - round(flat * size)
    sharp = round(steep * changes)
    moves = np.repeat([0, drawn.STEP, 1], [size - changes, sharp, changes - sharp])
    moves[np.flatnonzero(moves)[1::2]] *= -1  # up and down, so that it stays within 0..255
    return np.concatenate([[100], 100 + np.cumsum(moves)])[np.newaxis].astype(np.uint8)


def test_limits():
    assert is_drawn(steps(drawn.FLAT, drawn.STEEP))
    assert not is_drawn(steps(drawn.FLAT - 0.02, drawn.STEEP))
    assert not is_drawn(steps(drawn.FLAT, drawn.STEEP - 0.04))
    assert is_drawn(steps(drawn.EVEN, drawn.SOFT))
    assert not is_drawn(steps(drawn.EVEN - 0.02, drawn.SOFT))
    assert not is_drawn(steps(drawn.EVEN, drawn.SOFT - 0.06))


def test_a_step_is_that_of_the_channel_that_differs_most():
    grey = steps(0.8, 1)
    colour = np.stack([np.full_like(grey, 9), grey, np.full_like(grey, 200)], 2)
    assert is_drawn(colour)
    assert not is_drawn(colour // 2)


@pytest.mark.parametrize("name", ["text", "table", "code", "screen"])
def test_pages_are_drawn(name):
    found = [is_drawn(page(name, random.Random(seed), 256)) for seed in range(12)]  # noqa: S311
    assert sum(found) >= 6  # some are reduced, or have a gradient behind them


def test_gradients_are_not_drawn():
    chance = random.Random(0)  # noqa: S311
    assert not any(is_drawn(page("gradient", chance, 256)) for _ in range(6))


def test_a_photograph_is_not_drawn(photograph):
    assert not is_drawn(photograph)
    assert not is_drawn(photograph[..., 1])
    for quality in (3, 10, 30, 90):
        assert not is_drawn(as_jpeg(photograph, quality))
    assert not is_drawn(photograph.repeat(2, 0).repeat(2, 1))  # enlarged: half equals the left
    assert not is_drawn(np.pad(photograph, ((300, 300), (0, 0), (0, 0))))  # with black bars
    assert not is_drawn(np.where(photograph > 128, photograph, 0))  # under-exposed


def test_a_noisy_scan_of_a_page_is_not_drawn():
    pages = (page("table", random.Random(seed), 256) for seed in range(12))  # noqa: S311
    clean = next(filter(is_drawn, pages))
    noise = np.random.default_rng(0).normal(0, 1, clean.shape)
    assert not is_drawn(np.clip(np.round(clean + noise), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 1, 3), (8, 8, 3), (3, 200_000)])
def test_plain_pictures_of_any_size_are_not_drawn(shape):
    assert not is_drawn(np.full(shape, 7, np.uint8))


def test_large_pictures_are_looked_at_in_parts():
    small = np.repeat(steps(0.9, 1), 64, 0)
    large = np.tile(small, (100, 40))
    assert large.size > 100 * drawn.MOST_PIXELS
    assert is_drawn(large)

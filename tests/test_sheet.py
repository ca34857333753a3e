"""The sheet script's number for a pattern that the codec leaves in flat places."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "docs/scripts/sheet.py"


@pytest.fixture(scope="module")
def hatch():
    spec = importlib.util.spec_from_file_location("sheet", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.hatch


def flat(pattern=0.0, seed=0):
    """A grey picture with grain, textured in its left half, with a checkerboard on it all."""
    random = np.random.default_rng(seed)
    picture = np.full((256, 512, 3), 120.0)
    picture[:, :256] += random.normal(0, 25, (256, 256, 1))
    picture += random.normal(0, 1, (256, 512, 1))
    checks = np.indices((256, 512)).sum(0) % 2 * 2 - 1
    return np.round(picture + pattern * checks[..., np.newaxis]).astype(np.uint8)


def test_hatch_is_the_height_of_a_pattern_in_flat_blocks(hatch):
    assert hatch(flat(), flat()) < 0.1  # of 1024 blocks with grain of one level
    for height in (0.5, 2.0):
        # less its mean over 3x3 pixels, of which five have the same sign, a checkerboard keeps 8/9
        assert hatch(flat(height), flat()) == pytest.approx(height * 8 / 9, rel=0.1)


def test_hatch_looks_at_blocks_that_are_flat_in_the_original(hatch):
    marked = flat()
    marked[:, :256] = flat(5.0)[:, :256]
    assert hatch(marked, flat()) < 0.1

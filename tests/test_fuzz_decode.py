"""The fuzz target: the seeds that the fuzzer starts from, and what is near them."""

import numpy as np
import pytest
from fuzz_decode import Target, make_seeds

CHANGES = 100


@pytest.fixture(scope="module")
def target():
    return Target()


@pytest.fixture(scope="module")
def seeds(target):
    return make_seeds(target)


def test_seeds_make_pictures(target, seeds):
    made = [target(seed) for seed in seeds if seed[0] == 0]
    assert made == [True] * 4
    assert sum(target(seed) for seed in seeds if seed[0] == 1) >= 16
    assert not target(b"")
    assert not target(b"\1")


def test_changed_seeds_are_harmless(target, seeds):
    """A hundred steps as the fuzzer takes them, the same each time: pictures or refusals."""
    chance = np.random.default_rng(0)
    made = 0
    for _ in range(CHANGES):
        data = bytearray(seeds[chance.integers(len(seeds))])
        for _ in range(chance.choice((1, 1, 2, 8))):
            at, what, count = chance.integers((1, 0, 1), (len(data), 3, 9))
            if what == 0:
                data[at] = chance.integers(256)
            elif what == 1:
                del data[at : at + count]
            else:
                data[at:at] = chance.bytes(count)
        made += target(bytes(data))
    assert 0 < made < CHANGES

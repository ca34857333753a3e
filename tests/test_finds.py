"""Inputs that the fuzzer found, and the seeds that it starts from."""

from pathlib import Path

import pytest
from fuzz_decode import Target, make_seeds

FINDS = sorted((Path(__file__).parent / "finds").glob("*"))


@pytest.fixture(scope="module")
def target():
    return Target()


def test_seeds_make_pictures(target):
    seeds = make_seeds(target)
    made = [target(seed) for seed in seeds if seed[0] == 0]
    assert made == [True] * 4
    assert sum(target(seed) for seed in seeds if seed[0] == 1) >= 16
    assert not target(b"")
    assert not target(b"\1")


@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.name)
def test_finds_are_harmless(target, find):
    target(find.read_bytes())

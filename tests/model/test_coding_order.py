"""The orders of coding: every place once, after the neighbours that it sees."""

import pytest
import torch

from imgcodec.model.coding_order import lattice_passes, others_known, phases

CPU = torch.device("cpu")
LATTICE_SIZES = [(1, 1), (1, 9), (9, 1), (5, 7), (16, 24), (17, 33)]


@pytest.mark.parametrize("size", LATTICE_SIZES, ids=str)
def test_lattice_visits_every_place_once_after_its_neighbours(size):
    height, width = size
    known = []
    for number, (places, neighbours) in enumerate(lattice_passes(height, width, 8, CPU)):
        assert neighbours.shape == (4, len(places))
        if number:
            assert set(neighbours.flatten().tolist()) <= set(known)
        known += places.tolist()
    assert sorted(known) == list(range(height * width))


def test_inner_places_lie_between_the_neighbours_that_face_each_other():
    height, width = 17, 33
    for number, (places, neighbours) in enumerate(lattice_passes(height, width, 8, CPU)):
        if number == 0:
            continue
        spacing = (4, 4, 2, 2, 1, 1)[number - 1]
        distance = spacing * (2**0.5 if number % 2 else 1)  # corners and sides in turn
        rows, columns = places // width, places % width
        inner = (rows >= spacing) & (rows < height - spacing)
        inner &= (columns >= spacing) & (columns < width - spacing)
        near = torch.stack([neighbours // width, neighbours % width])[:, :, inner].double()
        here = torch.stack([rows, columns])[:, inner].double()
        assert inner.any()
        assert torch.equal(near[:, 0] + near[:, 1], 2 * here)
        assert torch.equal(near[:, 2] + near[:, 3], 2 * here)
        lengths = (near - here[:, None]).norm(dim=0)
        assert torch.allclose(lengths, torch.full_like(lengths, distance))


def test_phases_of_a_small_map():
    (first, none, _), (second, corners, _), (third, sides, others) = phases(2, 3, CPU)
    assert (first.tolist(), none.shape) == ([0, 2], (2, 0))
    outside = 6
    assert second.tolist() == [4]
    assert corners.tolist() == [[0, 2, outside, outside]]
    assert third.tolist() == [1, 3, 5]
    assert sides[:, 0].tolist() == [outside, 0, 2]  # above
    assert sides[:, 1].tolist() == [4, outside, outside]  # below
    assert sides[:, 2].tolist() == [0, outside, 4]  # left
    assert sides[:, 3].tolist() == [2, 4, outside]  # right
    assert others.shape == (3, 0)


@pytest.mark.parametrize(("count", "radius"), [(3, 1), (3, 2), (6, 1), (6, 2), (6, 3)])
@pytest.mark.parametrize("size", LATTICE_SIZES, ids=str)
def test_phases_visit_every_place_once_after_its_neighbours(size, count, radius):
    known = []
    for places, *neighbours in phases(*size, CPU, count, radius):
        seen = torch.cat(neighbours, 1)
        assert set(seen.flatten().tolist()) <= {*known, size[0] * size[1]}
        known += places.tolist()
    assert sorted(known) == list(range(size[0] * size[1]))


def test_how_many_others_are_known():
    assert [len(seen) for seen in others_known(3, 1)] == [0, 0, 0]
    assert [len(seen) for seen in others_known(3, 2)] == [0, 0, 8]
    assert [len(seen) for seen in others_known(6, 2)] == [0, 4, 4, 0, 8, 12]

"""The pyramid of block means: invertible, close to orthonormal, and exact on integers."""

import numpy as np
import pytest
import torch

from imgcodec.model.pyramid import OCTAVES, analyse, merge_exactly, part_size, synthesise

SIZES = [(1, 1), (1, 9), (9, 1), (8, 8), (21, 33), (64, 96)]


def planes(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 50 * torch.randn(2, 3, height, width, generator=generator)


def merge_all(parts):
    lows = parts[0]
    for details in zip(parts[1::2], parts[2::2], strict=True):
        lows = merge_exactly(lows, torch.cat(details, 1))
    return lows


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_synthesis_inverts_analysis(size):
    x = planes(*size)
    parts = analyse(x)
    sizes = [
        (channels, *part_size(*size, part)) for part, channels in enumerate((3, 3, 6, 3, 6, 3, 6))
    ]
    assert [tuple(part.shape[1:]) for part in parts] == sizes
    torch.testing.assert_close(synthesise(parts, *size), x, rtol=0, atol=1e-3)


def test_what_is_flat_lies_in_the_lows_alone():
    parts = analyse(torch.full((1, 3, 16, 24), 5.0))
    assert torch.allclose(parts[0], torch.tensor(5.0 * 2**OCTAVES), atol=1e-3)
    assert max(part.abs().max() for part in parts[1:]) < 1e-4


def test_a_smooth_plane_has_small_details():
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    wave = torch.sin(rows / 12) + torch.cos(columns / 15)
    parts = analyse(wave.expand(1, 3, 32, 32))
    energies = [part.square().sum().item() for part in parts]
    assert energies[0] > 50 * sum(energies[1:])
    assert energies[5] + energies[6] < 1e-3 * sum(energies)


@pytest.mark.parametrize("part", range(2 * OCTAVES + 1))
def test_an_error_of_one_step_stays_about_one_step(part):
    parts = [torch.zeros_like(p) for p in analyse(planes(64, 64))]
    parts[part] = torch.randn(parts[part].shape, generator=torch.Generator().manual_seed(1))
    gain = synthesise(parts, 64, 64).square().sum() / parts[part].square().sum()
    assert 0.9 < gain.sqrt() < 1.15


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exact_merging_is_close_to_the_real_one(size):
    parts = [torch.round(16 * part) for part in analyse(planes(*size))]
    found = merge_all(parts)
    assert torch.equal(found, found.round())
    real = synthesise(parts, *size)
    error = found[:, :, : size[0], : size[1]] - real
    assert error.abs().max() < 8  # half a step


def test_exact_merging_of_the_largest_integers_has_no_rounding_of_floats():
    rng = np.random.default_rng(0)
    shapes = [p.shape for p in analyse(planes(16, 16))]
    arrays = [rng.integers(-(2**17), 2**17, shape) for shape in shapes]
    single = merge_all([torch.tensor(a).float() for a in arrays])
    double = merge_all([torch.tensor(a).double() for a in arrays])
    assert torch.equal(single, double)
    assert single.abs().max() < 2**24

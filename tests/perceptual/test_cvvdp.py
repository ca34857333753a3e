"""CVVDP against the package that defines it, its gradient, and its edges."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from ssimulacra2_pairs import pairs

from imgcodec.perceptual.cvvdp import cvvdp, visible

# Qualities in JOD of every third pair, by the package cvvdp 0.5.7 on "standard_4k".
QUALITIES = Path(__file__).with_name("cvvdp_pairs.csv")


def tensor(pixels):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_qualities_are_those_of_the_reference():
    with open(QUALITIES, newline="") as file:
        expected = {line["pair"]: float(line["jod"]) for line in csv.DictReader(file)}
    found = {
        name: cvvdp(tensor(x), tensor(x_hat)).item()
        for name, x, x_hat in pairs()
        if name in expected
    }
    assert len(found) == len(expected) > 100
    assert min(expected.values()) < 8
    errors = [found[name] - expected[name] for name in expected]
    assert np.abs(errors).max() < 0.003


def test_gradient_is_that_of_differences():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 33, 40, generator=generator, dtype=torch.float64)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    x_hat = (x + 0.1 * noise).clamp(0.01, 0.99).requires_grad_()
    visible(x, x_hat).sum().backward()
    for _ in range(3):
        way = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            above, below = (visible(x, x_hat + d * 1e-7 * way) for d in (1, -1))
        assert (x_hat.grad * way).sum().item() == pytest.approx(
            ((above - below) / 2e-7).item(), rel=2e-3
        )


def test_equal_pictures_have_a_finite_gradient():
    x = torch.rand(2, 3, 24, 31)
    x_hat = x.clone().requires_grad_()
    quality = cvvdp(x, x_hat)
    torch.testing.assert_close(quality, torch.full((2,), 10.0))
    quality.sum().backward()
    assert x_hat.grad.isfinite().all()

"""SSIMULACRA 2 against libjxl's program, its gradient, and its edges."""

import numpy as np
import pytest
import torch
from ssimulacra2_pairs import pairs, scores

from imgcodec.perceptual.filters import BLOCK
from imgcodec.perceptual.ssimulacra2 import impairment, impairment_of, moments, ssimulacra2


def tensor(pixels):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_scores_are_those_of_the_reference():
    expected = scores()
    found = {
        name: ssimulacra2(tensor(x), tensor(x_hat)).item()
        for name, x, x_hat in pairs()
        if name in expected
    }
    errors = np.abs([found[name] - expected[name] for name in expected])
    high = np.array(list(expected.values())) > 80
    assert np.sum(~high) >= 100
    assert errors[~high].max() < 0.5
    # The reference filters recursively in float32: of the best pictures it sees its own rounding.
    assert errors.max() < 1
    assert np.mean(errors < 0.5) > 0.95


def noisy(shape, noise=0.05):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator)
    return x, (x + noise * torch.randn(shape, generator=generator)).clamp(0.01, 0.99)


def test_gradient_is_that_of_differences():
    x, x_hat = (p.double() for p in noisy((1, 3, 33, 40)))
    x_hat.requires_grad_()
    impairment(x, x_hat).sum().backward()
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        way = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            above, below = (impairment(x, x_hat + d * 1e-5 * way) for d in (1, -1))
        assert (x_hat.grad * way).sum().item() == pytest.approx(
            ((above - below) / 2e-5).item(), rel=2e-3
        )


def test_equal_pictures_have_a_finite_gradient():
    x, _ = noisy((1, 3, 24, 24))
    x_hat = x.clone().requires_grad_()
    score = ssimulacra2(x, x_hat)
    assert score.item() == pytest.approx(100, abs=1e-3)
    impairment(x, x_hat).sum().backward()
    assert x_hat.grad.isfinite().all()


def test_a_picture_is_the_mean_of_its_parts_where_their_neighbours_are_seen():
    """Alone, parts have edges of their own, and no four-norm of a part is that of the whole."""
    x, x_hat = noisy((1, 3, 200, 256))
    x_hat[..., 128:] = x[..., 128:]
    whole = impairment(x, x_hat).item()
    size, sums, alone = 0, 0.0, 0.0
    for top in (0, 128):
        for left in (0, 128):
            rows, columns = (
                slice(max(top - 64, 0), top + 192),
                slice(max(left - 64, 0), left + 192),
            )
            parts = [p[..., rows, columns] for p in (x, x_hat)]
            inner = (
                slice(top - rows.start, min(top + 128, 200) - rows.start),
                slice(left - columns.start, left + 128 - columns.start),
            )
            weight = min(128, 200 - top) * 128
            size += weight
            sums = sums + weight * moments(*parts, inner)
            alone += weight * impairment(*(p[(..., *inner)] for p in parts)).item()
    assert impairment_of(sums / size).item() == pytest.approx(whole, rel=0.01)
    assert alone / size != pytest.approx(whole, rel=0.1)


def test_a_batch_is_its_pictures_one_by_one():
    x, x_hat = noisy((3, 3, 16, 2 * BLOCK + 9))
    together = ssimulacra2(x, x_hat)
    assert together.shape == (3,)
    for i in range(3):
        torch.testing.assert_close(
            together[i : i + 1], ssimulacra2(x[i : i + 1], x_hat[i : i + 1])
        )

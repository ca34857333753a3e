"""Filters of lines are products with their matrices, and so is the way back."""

import numpy as np
import pytest
import torch

from imgcodec.perceptual import filters


def shifted(length):
    """Return a filter of three taps that puts out two samples of three, none near the end."""
    indices = np.arange(0, max(length - 8, 1), 3)[:, None] + np.array([[0, 2, 2]])
    indices = np.concatenate([indices, indices + 1]).clip(0, length - 1)
    return indices, np.broadcast_to(np.array([0.5, -2.0, 0.25]), indices.shape)


def smoothed(length):
    indices = np.arange(length)[:, None] + np.arange(-1, 2)
    outside = (indices < 0) | (indices >= length)
    return indices.clip(0, length - 1), np.where(outside, 0.0, [0.25, 0.5, 0.25])


def dense(taps, length):
    indices, weights = taps(length)
    matrix = np.zeros((len(indices), length))
    for row, (columns, shares) in enumerate(zip(indices, weights, strict=True)):
        np.add.at(matrix[row], columns, shares)
    return torch.from_numpy(matrix)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 31), (32, 33), (65, 160)])
@pytest.mark.parametrize(
    ("down", "across"), [(smoothed, None), (shifted, smoothed), (smoothed, shifted)]
)
def test_filtered_maps_are_products_with_both_matrices(height, width, down, across):
    maps = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    expected = dense(down, height) @ maps @ dense(across or down, width).mT
    slope = torch.randn_like(expected)
    found = filters.filtered(maps, down, across)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(of, maps, slope)[0] for of in (found, expected))
    torch.testing.assert_close(*gradients)

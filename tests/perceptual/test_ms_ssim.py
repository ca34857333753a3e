"""MS-SSIM against the library that it is defined by, and at its edges."""

import pytest
import pytorch_msssim
import torch
from torch.nn import functional as F

from imgcodec.perceptual.ms_ssim import WEIGHTS, joined, means, ms_ssim


def pair(shape, noise, peak=1.0, dtype=torch.float32):
    """Smooth pictures with content at all scales, and the same with noise."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.rand(shape, generator=generator)
    for factor in (4, 16):
        small = torch.rand(*shape[:2], 12 // factor + 9, 9, generator=generator)
        x = x / 4 + F.interpolate(small, size=shape[2:], mode="bilinear")
    x = (x / x.max()).to(dtype)
    error = torch.randn(shape, generator=generator).to(dtype)
    return peak * x, peak * (x + noise * error).clamp(0, 1)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.6])
@pytest.mark.parametrize("peak", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(1, 3, 161, 161), (2, 3, 176, 203), (1, 1, 235, 168)])
def test_values_and_gradients_are_those_of_the_library(shape, peak, noise):
    x, x_hat = pair(shape, noise, peak)
    mine, theirs = (x_hat.clone().requires_grad_() for _ in range(2))
    value = ms_ssim(x, mine, peak)
    expected = pytorch_msssim.ms_ssim(theirs, x, data_range=peak, size_average=False)
    assert value.shape == (shape[0],)
    assert 0.1 < expected.min() <= expected.max() < 1
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-5)
    value.sum().backward()
    expected.sum().backward()
    scale = theirs.grad.abs().max()
    assert scale > 0
    torch.testing.assert_close(mine.grad / scale, theirs.grad / scale, rtol=0, atol=1e-3)


def test_gradients_are_those_of_the_library_in_double_precision():
    x, x_hat = pair((1, 3, 165, 170), 0.1, dtype=torch.float64)
    mine, theirs = (x_hat.clone().requires_grad_() for _ in range(2))
    ms_ssim(x, mine, 1).sum().backward()
    window = torch.arange(11, dtype=torch.float64) - 5  # the library's own is float32
    window = torch.exp(-window.square() / (2 * 1.5**2))
    window = (window / window.sum()).expand(3, 1, 1, 11)
    pytorch_msssim.ms_ssim(theirs, x, data_range=1, win=window).backward()
    scale = theirs.grad.abs().max()
    torch.testing.assert_close(mine.grad / scale, theirs.grad / scale, rtol=0, atol=1e-5)


def test_white_areas_are_rounded_as_the_library_does():
    """Variances are small differences of large squares there: 1e-4 are lost to float32."""
    ramp = torch.linspace(248, 255, 300).expand(1, 3, 200, 300)
    x, x_hat = ramp.round(), (ramp + torch.linspace(-2, 2, 200)[:, None]).round().clamp(0, 255)
    expected = pytorch_msssim.ms_ssim(x, x_hat, data_range=255)
    assert expected.item() != pytest.approx(ms_ssim(x.double(), x_hat.double(), 255).item(), 1e-6)
    assert ms_ssim(x, x_hat, 255).item() == pytest.approx(expected.item(), abs=1e-6)


def test_weights_are_those_published():
    assert WEIGHTS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def test_opposite_pictures_have_no_similarity_and_a_finite_gradient():
    x, _ = pair((1, 3, 170, 170), 0.1)
    x_hat = (1 - x).requires_grad_()
    value = ms_ssim(x, x_hat, 1)
    value.sum().backward()
    assert value.item() == 0
    assert torch.isfinite(x_hat.grad).all()


def test_what_is_no_number_is_not_hidden():
    x, x_hat = pair((2, 3, 170, 170), 0.1)
    x_hat[1, 0, 80, 80] = torch.nan
    value = ms_ssim(x, x_hat, 1)
    assert 0 < value[0] < 1
    assert torch.isnan(value[1])


def test_equal_pictures_are_wholly_alike():
    x, _ = pair((2, 3, 161, 180), 0.1)
    torch.testing.assert_close(ms_ssim(x, x, 1), torch.ones(2), rtol=0, atol=1e-6)


def test_means_of_parts_are_those_of_the_whole():
    x, worse = pair((1, 3, 416, 480), 0.1)
    whole = means(x, worse, 1)
    alike, places = 0.0, torch.zeros(5, 1, 1)
    for rows in (slice(0, 192), slice(192, 416)):
        for columns in (slice(0, 256), slice(256, 480)):
            seen = [slice(max(s.start - 96, 0), s.stop + 96) for s in (rows, columns)]
            inner = [
                slice(s.start - o.start, s.stop - o.start)
                for s, o in zip((rows, columns), seen, strict=True)
            ]
            part = means(x[..., seen[0], seen[1]], worse[..., seen[0], seen[1]], 1, tuple(inner))
            number = torch.tensor(part.places)[:, None, None]
            alike, places = alike + number * part.alike, places + number
    assert places.flatten().tolist() == whole.places
    torch.testing.assert_close(alike / places, whole.alike)
    torch.testing.assert_close(joined(whole.alike), ms_ssim(x, worse, 1))


@pytest.mark.parametrize("shape", [(1, 3, 160, 300), (1, 3, 300, 160)])
def test_a_side_too_short_is_no_picture_to_measure(shape):
    with pytest.raises(RuntimeError):
        ms_ssim(torch.zeros(shape), torch.zeros(shape), 1)

"""The restorer: what it promises of coefficients, whatever its weights are."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from imgcodec.model.restorer import PLANES, Coded, Restorer, RestorerConfig, widened
from imgcodec.train.jpeg_files import coded, libjpeg_tables, tables

SAMPLINGS = [(1, 1), (1, 2), (2, 2)]


@pytest.fixture
def restorer():
    """A network of random weights that moves coefficients by a lot."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Restorer(RestorerConfig(width=8, blocks=1))
        torch.nn.init.normal_(network.last.weight, std=3.0)
    network.spread.fill_(20)
    return network.eval().requires_grad_(False)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :96]
    base = 128 + 90 * np.sin(x / 9 + y / 15)
    planes = np.stack([base, base[::-1], 255 - base])[None] + rng.normal(0, 12, (2, 3, 64, 96))
    return torch.tensor(planes.clip(0, 255).round(), dtype=torch.float32)


def untouched(network, files):
    """Planes of a usual decoder."""
    luma, colours = files.steps[:, :, None, None].split(PLANES, 1)
    wide = widened(network.pixels(files.colours * colours), files.factors)
    return torch.cat([network.pixels(files.luma * luma), wide], 1)


@pytest.mark.parametrize("factors", SAMPLINGS)
@pytest.mark.parametrize("quality", [5, 50, 95])
def test_all_coefficients_stay_within_their_intervals(restorer, pictures, factors, quality):
    steps = libjpeg_tables(quality, pictures.device).expand(2, 192)
    files = coded(restorer, pictures, steps, factors)
    planes = restorer(files)
    assert (planes - untouched(restorer, files)).abs().mean() > 0.5  # it did something
    means = F.avg_pool2d(planes[:, 1:], factors)
    for found, said, its in (
        (planes[:, :1], files.luma, steps[:, :64]),
        (means, files.colours, steps[:, 64:]),
    ):
        off = restorer.frequencies(found) / its[:, :, None, None] - said
        assert off.abs().max() < 0.5 + 2e-3
        assert off.abs().max() > 0.3  # it came near the limit


def test_steps_change_what_it_does(restorer, pictures):
    files = coded(restorer, pictures, libjpeg_tables(30, pictures.device).expand(2, 192), (1, 1))
    halves = Coded(files.luma * 2, files.colours * 2, files.steps / 2, files.factors)
    assert torch.equal(untouched(restorer, files), untouched(restorer, halves))
    assert (restorer(files) - restorer(halves)).abs().max() > 1


def test_pixels_and_frequencies_are_inverse(restorer, pictures):
    found = restorer.pixels(restorer.frequencies(pictures))
    assert torch.allclose(found, pictures, atol=1e-3)


def test_nothing_beyond_the_reach_counts(restorer, pictures):
    """So pieces of a picture, with as much around, are restored as the whole."""
    reach = restorer.config.reach
    wide = pictures.repeat(1, 1, 2, 3)
    files = coded(restorer, wide, libjpeg_tables(20, wide.device).expand(2, 192), (2, 2))
    whole = restorer(files)
    left = 36 - 12  # the last blocks of luma
    start = left - reach
    cut = Coded(
        files.luma[..., start:], files.colours[..., start // 2 :], files.steps, files.factors
    )
    part = restorer(cut)[..., 8 * reach :]
    assert torch.allclose(part, whole[..., 8 * left :], atol=2e-3)
    closer = restorer(
        Coded(files.luma[..., left:], files.colours[..., left // 2 :], files.steps, (2, 2))
    )
    assert not torch.allclose(closer, whole[..., 8 * left :], atol=0.1)


def test_tables_for_training_are_libjpeg_s_and_others():
    generator = torch.Generator().manual_seed(0)
    found = tables(400, generator)
    assert found.shape == (400, 192)
    assert torch.equal(found[:, 64:128], found[:, 128:])
    assert found.min() == 1
    assert found.max() == 255
    usual = libjpeg_tables(50, found.device)[0]
    assert usual[:3].tolist() == [16, 11, 10]
    ratio = found[:, 0] / found[:, 7]  # 16 / 61 in libjpeg's
    inner = (found[:, 7] < 255) & (found[:, 0] > 20)
    alike = ((ratio - 16 / 61).abs() < 0.01)[inner].float().mean()
    assert 0.5 < alike < 0.9


@pytest.mark.parametrize("sizes", [{"blocks": 10**7}, {"width": 0}, {"width": 10**6}])
def test_sizes_of_forged_files_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes of a network"):
        RestorerConfig(**sizes)

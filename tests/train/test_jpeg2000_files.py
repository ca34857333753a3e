"""JPEG 2000 files as the restorer takes them, to be trained on."""

import numpy as np
import pytest
import torch
from PIL import Image, features

from imgcodec.model.restorer import Restorer
from imgcodec.train.jpeg2000_files import RATES, coded, decoded, steps_of

pytestmark = pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without OpenJPEG")


@pytest.fixture(scope="module")
def patches():
    """Two textured pictures, (2, 3, 128, 128) integers 0..255."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    grown = [np.asarray(Image.fromarray(x).resize((128, 128), Image.BICUBIC)) for x in noise]
    return torch.from_numpy(np.stack(grown)).permute(0, 3, 1, 2).float()


def test_files_have_about_the_rate_that_is_asked(patches):
    wanted = torch.tensor([0.5, 2.0])
    found, bpp = decoded(patches, wanted)
    assert found.shape == patches.shape
    assert torch.equal(found, found.round())
    assert (bpp / wanted).tolist() == pytest.approx([1, 1], rel=0.25)
    errors = (found - patches).square().mean((1, 2, 3))
    assert 0 < errors[1] < errors[0]


def test_the_restorer_gets_what_was_decoded(patches):
    restorer = Restorer()
    found, bpp = decoded(patches, torch.tensor([0.5, 2.0]))
    files = coded(restorer, found, bpp)
    luma, colours = files.steps[:, :, None, None].split((64, 128), 1)
    planes = [restorer.pixels(files.luma * luma), restorer.pixels(files.colours * colours)]
    assert torch.allclose(restorer.rgb(torch.cat(planes, 1)), found, atol=0.01)


def test_coefficients_may_move_less_at_higher_rates():
    steps = steps_of(torch.tensor([0.0, *RATES]))
    assert steps.shape == (3, 192)
    assert steps[0, 0] > steps[1, 0] > steps[2, 0] > 1

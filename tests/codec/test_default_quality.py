"""The quality if nothing is asked: one for each tune, in Python as on the command line."""

import numpy as np
import pytest

from imgcodec.codec.target import Target
from imgcodec.format.container import MAX_U, File
from imgcodec.releases import DEFAULT_QUALITIES, TUNES


def test_every_tune_has_its_own():
    assert set(DEFAULT_QUALITIES) == set(TUNES)
    for tune, quality in DEFAULT_QUALITIES.items():
        assert Target.of(tune) == Target("quality", quality)


@pytest.mark.parametrize("words", [{}, {"quality": None, "rate": None}])
def test_a_file_has_it_where_nothing_is_asked(tiny_codec, words):
    data = tiny_codec.encode(np.zeros((16, 16, 3), np.uint8), **words)
    assert File(data).header.u == round(DEFAULT_QUALITIES["psnr"] / 100 * MAX_U)

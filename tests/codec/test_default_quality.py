"""The quality if nothing is asked: one for each tune, in Python as on the command line."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgcodec.cli import main
from imgcodec.codec import Codec
from imgcodec.format.container import MAX_U, File
from imgcodec.releases import DEFAULT_QUALITIES, NEWEST, TUNES
from imgcodec.target import Target


def test_every_tune_has_its_own():
    assert set(DEFAULT_QUALITIES) == set(TUNES)
    for tune, quality in DEFAULT_QUALITIES.items():
        assert Target.of(DEFAULT_QUALITIES[tune]) == Target("quality", quality)


@pytest.mark.parametrize("words", [{}, {"quality": None, "rate": None}])
def test_a_file_has_it_where_nothing_is_asked(tiny_codec, words):
    data = tiny_codec.encode(np.zeros((16, 16, 3), np.uint8), **words)
    assert File(data).header.u == round(DEFAULT_QUALITIES["psnr"] / 100 * MAX_U)


def test_a_copy_of_released_weights_has_that_of_its_tune(tmp_path):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(NEWEST["eye"].path.read_bytes())
    codec = Codec("cpu", weights=copy)
    assert codec.tune == "eye"
    data = codec.encode(np.zeros((16, 16, 3), np.uint8))
    assert File(data).header.u == round(DEFAULT_QUALITIES["eye"] / 100 * MAX_U)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "a.png")
    words = ["encode", str(tmp_path / "in"), str(tmp_path / "out"), "--weights", str(copy)]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert CliRunner().invoke(main, words).stdout == "1 file is up to date\n"

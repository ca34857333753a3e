"""Where the bits of a file went."""

from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from imgcodec import cli
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.format.tiles import Box
from imgcodec.pictures.heatmap import heatmap
from imgcodec.pictures.reader import read_image
from imgcodec.pictures.roi import Roi


@pytest.fixture(scope="module")
def half_flat(textured):
    """Something to see on the left, nothing on the right."""
    picture = textured(120, 200)
    picture[:, 104:] = 90
    return picture


@pytest.mark.parametrize("tile", [None, 64])
def test_bits_are_those_of_the_file(tiny_codec, half_flat, tile):
    data = tiny_codec.encode(half_flat, quality=40, tile=tile)
    levels, bits = tiny_codec.inspect(data)
    assert levels.shape == bits.shape == (15, 25)
    tiles = container.unpack(data)[1]
    assert bits.sum() == pytest.approx(8 * sum(map(len, tiles)), rel=0.02, abs=32 * len(tiles))
    assert bits[:, :12].mean() > 1.03 * bits[:, 15:].mean()
    assert levels.min() == levels.max()


def test_levels_are_those_that_were_asked(tiny_codec, half_flat):
    roi = Roi.box(120, 200, Box(0, 0, 64, 64))
    plain = tiny_codec.inspect(tiny_codec.encode(half_flat, quality=40))[0]
    levels, _ = tiny_codec.inspect(tiny_codec.encode(half_flat, quality=40, roi=roi))
    np.testing.assert_array_equal(levels - plain, roi.shifts)


def test_single_bits_are_refused(paper_codec, textured):
    data = paper_codec.encode(textured(64, 64), 24.0)
    with pytest.raises(AicError, match="single bits"):
        paper_codec.inspect(data)


def test_the_drawing_has_both_maps_and_their_scales():
    pixels = np.full((40, 300, 3), 128, np.uint8)
    values = np.zeros((5, 38), np.float32)
    values[:, 20:] = 3
    sheet = heatmap(pixels, values, 64 * values)
    assert sheet.shape[1] == 300
    one, two = np.split(sheet, 2)
    for panel in (one, two):
        assert panel[5, 250].mean() > panel[5, 20].mean() + 50  # hot is bright
        below = panel[40:]
        assert (below == 255).all(2).any()
        assert len(np.unique(below.reshape(-1, 3), axis=0)) > 100  # the bar
    assert np.array_equal(one[:40], two[:40])
    heatmap(
        np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    )


def test_the_command_draws(tiny_codec, half_flat, tmp_path, monkeypatch):
    (tmp_path / "a.aic").write_bytes(tiny_codec.encode(half_flat, quality=40))
    monkeypatch.setattr("imgcodec.codec.Codec", lambda **words: tiny_codec)
    monkeypatch.setattr("imgcodec.cli.loading.needed", lambda model_id: SimpleNamespace(path=None))
    words = ["inspect", str(tmp_path / "a.aic"), str(tmp_path / "a.png")]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    assert "bpp a place" in result.stdout
    assert read_image(tmp_path / "a.png").shape[1] == 240
    assert CliRunner().invoke(cli.main, words).exit_code == 1  # it exists
    piped = CliRunner().invoke(
        cli.main, ["inspect", "-", "-"], input=(tmp_path / "a.aic").read_bytes()
    )
    assert piped.stdout_bytes == (tmp_path / "a.png").read_bytes()
    assert piped.stderr == result.stdout.replace(words[2], "stdout.png")

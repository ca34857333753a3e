"""Pixels of JPEG files that were never rounded: those of other decoders, without their noise."""

import io

import numpy as np
import pytest
from jpeg_files import jpeg, picture
from PIL import Image

from imgcodec.jpeg import pixels, reading


def usual(data):
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened).astype(np.float64)


def error(found, wanted):
    return np.square(np.clip(found.astype(np.float64), 0, 255) - wanted).mean()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(75, 117), (64, 96), (1, 1), (9, 2)])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_those_of_other_decoders_before_they_are_rounded(
    subsampling, size, progressive
):
    data = jpeg(picture(*size), quality=95, subsampling=subsampling, progressive=progressive)
    found = pixels.rgb(reading.read(data))
    assert found.dtype == np.float16
    assert found.shape == (*size, 3)
    wanted = usual(data)
    assert np.abs(np.clip(found, 0, 255) - wanted).max() < 3.2
    assert error(found, wanted) < 1


@pytest.mark.parametrize("subsampling", [0, 2])
def test_they_come_closer_to_the_original(subsampling):
    """Where the file holds more than eight bits of Y, Cb and Cr leave."""
    y, x = np.mgrid[:96, :128]
    plane = 120 + 60 * np.sin(x / 19) * np.cos(y / 23)
    original = np.stack([plane, plane * 0.8 + 20, 230 - plane * 0.7], -1).round()
    data = jpeg(original.astype(np.uint8), quality=98, subsampling=subsampling)
    assert error(pixels.rgb(reading.read(data)), original) < 0.8 * error(usual(data), original)


def test_grey_has_no_colours():
    data = jpeg(mode="L", quality=90)
    found = pixels.rgb(reading.read(data))
    assert found.shape == (75, 117)
    assert np.abs(np.clip(found, 0, 255) - usual(data)).max() < 1.1


def test_nonsense_stays_finite():
    blocks = np.full((1, 1, 64), 32767, np.int16)
    plane = reading.Plane(blocks, np.full(64, 65535), (1, 1))
    found = pixels.rgb(reading.Coefficients(8, 8, (plane, plane, plane)))
    assert np.isfinite(found).all()
    assert found.min() >= -255
    assert found.max() <= 510

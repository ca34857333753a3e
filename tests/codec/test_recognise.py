"""Pictures that were decoded from aic files come back as the very same files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgcodec import Codec
from imgcodec.codec.tile_codec import TileCodec
from imgcodec.format.tiles import Box
from imgcodec.pictures.roi import Roi

PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "kodim23.png"


@pytest.fixture(scope="module")
def codec():
    return Codec("cpu", tune="psnr")


@pytest.fixture(scope="module")
def photograph():
    with Image.open(PHOTOGRAPH) as picture:
        return np.asarray(picture.convert("RGB"))[100:228, 300:492]


@pytest.mark.parametrize(("quality", "entropy"), [(30, "range"), (60, "none"), (85, "range")])
def test_a_second_generation_is_the_same_file(codec, photograph, quality, entropy):
    first = codec.encode(photograph, quality=quality, entropy=entropy)
    second = codec.encode(codec.decode(first), quality=quality, entropy=entropy)
    assert bytes(second) == bytes(first)


def test_effort_does_not_touch_what_is_recognised(codec, photograph):
    first = codec.encode(photograph, quality=60, effort=2)
    assert bytes(codec.encode(codec.decode(first), quality=60, effort=3)) == bytes(first)


def test_other_pictures_and_other_qualities_are_not(codec, photograph, monkeypatch):
    asked = []
    original = TileCodec.off_grid
    monkeypatch.setattr(TileCodec, "off_grid", lambda *a: asked.append(original(*a)) or asked[-1])
    data = codec.encode(photograph, quality=60)
    codec.encode(codec.decode(data), quality=55)
    assert len(asked) == 2
    assert min(asked) > 0.25
    codec.encode(codec.decode(data), quality=60)
    assert asked[-1] < 0.22


def test_a_region_is_served_anew(codec, photograph, monkeypatch):
    monkeypatch.setattr(TileCodec, "off_grid", lambda *_: pytest.fail("it was looked at"))
    height, width = photograph.shape[:2]
    roi = Roi.box(height, width, Box(0, 0, height // 2, width // 2))
    assert codec.encode(photograph, quality=60, roi=roi).report.bpp > 0

"""Smaller files made from files alone."""

import numpy as np
import pytest

from imgcodec.errors import AicError, FormatError, ModelMismatchError
from imgcodec.format import container


def error(codec, data, image):
    return np.mean((codec.decode(data).astype(float) - image) ** 2)


@pytest.fixture(scope="module")
def image(textured):
    return textured(192, 256)


@pytest.mark.parametrize("tile", [None, 128])
@pytest.mark.parametrize("entropy", container.ENTROPIES)
def test_trimmed_files_keep_the_rate_and_most_of_the_picture(tiny_codec, image, tile, entropy):
    data = tiny_codec.encode(image, quality=100, entropy=entropy, tile=tile)
    header, tiles, _ = container.unpack(data)
    trimmed = tiny_codec.trim(data, 0.9)
    report = trimmed.report
    assert 0.95 * 0.9 <= report.bpp == 8 * len(trimmed) / image[..., 0].size <= 0.9
    after, cut, _ = container.unpack(trimmed)
    assert after.u < header.u
    assert (after.width, after.height, after.tile) == (header.width, header.height, header.tile)
    assert (after.entropy, len(cut)) == (header.entropy, len(tiles))
    fresh = tiny_codec.encode(image, 0.9, entropy, tile=tile)
    assert error(tiny_codec, data, image) < error(tiny_codec, trimmed, image)
    assert error(tiny_codec, trimmed, image) < 1.25 * error(tiny_codec, fresh, image)


def test_a_file_that_cannot_get_smaller_says_so(tiny_codec):
    data = tiny_codec.encode(np.full((64, 96, 3), 90, np.uint8), quality=0, lossless=False)
    with pytest.raises(AicError, match=f"^the file cannot get smaller: it has {len(data)} bytes$"):
        tiny_codec.trim(data, 0.999 * data.report.bpp)


def test_trimming_twice_is_like_trimming_once(tiny_codec, image):
    data = tiny_codec.encode(image, quality=100)
    once = tiny_codec.trim(data, 0.8)
    twice = tiny_codec.trim(tiny_codec.trim(data, 1.1), 0.8)
    assert error(tiny_codec, twice, image) < 1.2 * error(tiny_codec, once, image)


def test_grey_stays_grey_and_chunks_stay(tiny_codec, image):
    data = tiny_codec.encode(image[..., 0].copy(), quality=100)
    header, tiles, _ = container.unpack(data)
    chunks = [(b"noTe", b"taken by a drone")]
    trimmed = tiny_codec.trim(container.pack(header, tiles, chunks), 0.9)
    after, _, kept = container.unpack(trimmed)
    assert (after.channels, kept) == (1, chunks)
    assert 8 * len(trimmed) <= 0.9 * image[..., 0].size


def test_files_that_are_small_already_are_refused(tiny_codec, image):
    data = tiny_codec.encode(image, 0.8)
    for rate in (0.8, 1.0, 24.0):
        with pytest.raises(AicError, match=r"^the file has 0\.7\d+ bpp already, \S+ asked$"):
            tiny_codec.trim(data, rate)


def test_a_size_is_asked_like_a_rate(tiny_codec, image):
    data = tiny_codec.encode(image, quality=70)
    size = len(data) * 2 // 3
    trimmed = tiny_codec.trim(data, size=size)
    assert 0.95 * size < len(trimmed) <= size
    assert trimmed == tiny_codec.trim(data, 8 * size / image[..., 0].size)
    for size in (len(data), 10**12):
        with pytest.raises(
            AicError, match=rf"^the file has {len(data)} bytes already, {size} asked$"
        ):
            tiny_codec.trim(data, size=size)
    with pytest.raises(AicError, match=r"^size 20 is too low for this picture, which needs \d+$"):
        tiny_codec.trim(data, size=20)
    with pytest.raises(AicError, match="wanted more than 0 bytes"):
        tiny_codec.trim(data, size=0)
    with pytest.raises(AicError, match="^a rate or a size is needed$"):
        tiny_codec.trim(data)
    with pytest.raises(AicError, match="^rate and size are asked at once"):
        tiny_codec.trim(data, 0.5, 2000)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_rates_that_are_none(tiny_codec, image, rate):
    with pytest.raises(AicError, match="wanted more than 0 bits per pixel"):
        tiny_codec.trim(tiny_codec.encode(image, quality=70), rate)


def test_a_rate_too_low(tiny_codec, image):
    with pytest.raises(AicError, match=r"^rate 0\.001 is too low for this picture, which needs"):
        tiny_codec.trim(tiny_codec.encode(image, quality=70), 0.001)


def test_damage_and_other_weights_are_refused(tiny_codec, paper_codec, image):
    data = bytearray(tiny_codec.encode(image, quality=70))
    with pytest.raises(ModelMismatchError):
        paper_codec.trim(bytes(data), 0.5)
    data[-3] ^= 1
    with pytest.raises(FormatError, match="checksum mismatch in tile 0"):
        tiny_codec.trim(bytes(data), 0.5)

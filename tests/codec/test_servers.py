"""One codec for a whole server: shared by threads, also those of asyncio."""

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from imgcodec.codec import Codec
from imgcodec.pictures.picture import Picture

THREADS, PICTURES = 4, 4


@pytest.fixture(scope="module")
def pictures(textured):
    """Of two sizes, in turn."""
    return [textured(24 + 8 * (seed % 2), 24, seed) for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def alone(tiny_codec, pictures):
    """What one thread makes of them: files and pixels."""
    return [there_and_back(tiny_codec, picture) for picture in pictures]


def there_and_back(codec, picture):
    data = codec.encode(picture, quality=60)
    return bytes(data), codec.decode(data)


def assert_same(found, wanted):
    for (data, pixels), (data_alone, pixels_alone) in zip(found, wanted, strict=True):
        assert data == data_alone
        assert np.array_equal(pixels, pixels_alone)


def test_threads_that_share_a_codec_make_the_files_of_one(tiny_codec, pictures, alone):
    """Whatever the program has set in torch, which is set so again afterwards."""
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(partial(there_and_back, tiny_codec), pictures * THREADS))
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
    assert_same(found, alone * THREADS)


def test_threads_may_load_weights_that_files_name(tiny_weights):
    """A file of released weights, read by several threads of a codec that has others."""
    image = np.full((16, 16, 3), 90, np.uint8)
    data = Codec("cpu").encode(image)
    codec = Codec("cpu", weights=tiny_weights)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(codec.decode, [data] * THREADS))
    assert all(np.array_equal(pixels, found[0]) for pixels in found)


def test_asyncio_hands_pictures_to_threads(tiny_codec, pictures, alone):
    async def serve():
        return await asyncio.gather(
            *(asyncio.to_thread(there_and_back, tiny_codec, picture) for picture in pictures)
        )

    assert_same(asyncio.run(serve()), alone)


@pytest.mark.parametrize("lossless", [False, True])
def test_decoding_leaves_the_settings_of_other_threads_alone(
    tiny_codec, textured, monkeypatch, lossless
):
    """Pillow's limit of pixels and the filters of warnings are the whole process's."""
    picture = Picture(textured(64, 64), np.arange(64 * 64).reshape(64, 64).astype(np.uint8))
    data = tiny_codec.encode(picture, **({"lossless": True} if lossless else {"quality": 60}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    seen = []
    load, filters = ImageFile.ImageFile.load, list(warnings.filters)

    def watched(self):
        seen.append((Image.MAX_IMAGE_PIXELS, list(warnings.filters) == filters))
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watched)
    found = tiny_codec.decode_picture(data)
    assert np.array_equal(found.alpha, picture.alpha)
    assert len(seen) >= 1 + lossless
    assert set(seen) == {(5000, True)}
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # no limit of ours
    assert tiny_codec.decode(data).shape == (64, 64, 3)

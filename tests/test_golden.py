"""Files that must decode for ever: tests/golden, a folder for each release that added some.

The codes of a golden file are exact on every machine. Its pixels come from a float network, so
they may differ by little. Nothing there is ever written anew, see tests/golden/make.py.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from cross_device import hashes, integers
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import alpha_of
from imgcodec.releases import DEFAULT_TUNE, NEWEST, RELEASES

FOLDER = Path(__file__).parent / "golden"
sys.path.insert(0, str(FOLDER))
from make import CASES, source  # noqa: E402 - it stands beside the files that it made

PROMISED = {  # SHA-256 of every golden file; lines are added, never changed
    "v1/chunks.aic": "b9567fa173c1eb9c21edbc673b1853d7127445a13b1fbc827a891da7b5792581",
    "v1/chunks.png": "973a5d99bb58b7d306d18b2e1aed7c19e0e342e53fb5df5e53439481a7aaaba0",
    "v1/coarsest.aic": "b63a1be9ded5aae7e7c9ef02a14317e55c6320a9fca386f3d46954f06813385e",
    "v1/coarsest.png": "388a1b62454767d20c72f5925d1f74af90037978a4491708497de509b57558de",
    "v1/effort.aic": "0e226036e0279dcc8c7c5c92a8d955ab4bfa9176c6915cd0410b884ebce44c5a",
    "v1/effort.png": "096c9dd58a22273ab1cab2494cc30bc1e25e72ed00890ab8208cf71ec43cf6c8",
    "v1/expected.json": "e38bcb73d814d31c87c6edecb2f6627ffd82acb6bb08eaaf151211d1f8b7ca05",
    "v1/eye-tiles.aic": "ea569f970df8db3734227899aebbe232d244e7339d7bc0a882cab8813fc6784d",
    "v1/eye-tiles.png": "2c3444c0e8a7cb5cdf94ad9c144f5737882e0f1e66a5c0addde6045efc66e958",
    "v1/eye.aic": "499cca11094732d9fdf05a5980b70957c339977f7ab0c0927970f823d108a3ad",
    "v1/eye.png": "d1dc28cf453a0e955cc15f43960c0fe5b42fcfa0f69d55768f8847954bae665d",
    "v1/finest.aic": "ac5894e390644292b9e352b1b841ba366c3f26d48f644d48366e0b4ab04731ce",
    "v1/finest.png": "6c3c56a7d8e0353f436c6f38396fe4f8e2296f4a69a2533194a97b22232ed3f6",
    "v1/grey.aic": "966e7a84411fc2dcdb53c64f0920534b9514c6d30e8a2cd81a9dc78455545df7",
    "v1/grey.png": "da1806a11c4331c9fa29a71db09e1fc4c5f5bf6a7ebbdb9b1a84eab7d88a7882",
    "v1/ms-ssim-none.aic": "56298683d9bb12d36c8cd87706e4565b346c8f65398bd554bafeabae0ea28f54",
    "v1/ms-ssim-none.png": "6f619f33f565b2b11731b1a431090dd979204be65031826cee1846326c37cf3c",
    "v1/ms-ssim.aic": "1cb6c3edceea2181090f871781e7d018af46b971b8a02864c65d709067d2d2d8",
    "v1/ms-ssim.png": "144c84723e50a0f90f85a752b7f963c8071f18e7a16594ea075070e1a6c0648f",
    "v1/none.aic": "b6871728aa29568f683bdeeabc5240881fb7a167c715604643e39f80db2d15db",
    "v1/none.png": "f525ae6189d8772ba84435d2e58bdff77d35553bde72086b08d8a755b9fe69db",
    "v1/one-pixel.aic": "c6c7e70a79ed6b218c6db1d6144c36209f6815095e4f42eb024271f257b02a29",
    "v1/one-pixel.png": "a018a419cf31c8e2ae106478da772454425ddbdb2fca21cdf233ff00d648a611",
    "v1/range.aic": "86f5105836910afd6c205394e4be339900f6baebbb25006fb5f18d18de7767c5",
    "v1/range.png": "d349320dd2025e75ef85f2bfdf4766cc8f736b81629203db19a963af0a362a3e",
    "v1/roi.aic": "775d908739bf7137451f0c8352bd3e95bebb5ffbc8c664f1ceede56454c234d8",
    "v1/roi.png": "b5a7c901fb36dbd0593e134118e3844c76cb1e16a269640f912b28e22e890fbc",
    "v1/tiles.aic": "445b7651cac6830861e9a23557f1cf7d0627a1786ca9984bc5b228f30499794f",
    "v1/tiles.png": "d5dcf1a29caa95736e323d29e87a7c6455202c0af810c53e0547c154c0e4efb0",
}
FILES = sorted(FOLDER.glob("v*/*.aic"))


@pytest.fixture(scope="module")
def codec():
    """A codec that encodes with something else than most files need."""
    return Codec("cpu", tune=DEFAULT_TUNE)


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def path(request):
    return request.param


@pytest.fixture
def expected(path):
    return json.loads((path.parent / "expected.json").read_text())[path.stem]


def test_nobody_changes_what_was_promised():
    found = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for file in FOLDER.glob("v*/*")
    }
    assert found == PROMISED


def test_every_case_is_there():
    assert {path.stem for path in FILES if path.parent.name == "v1"} == set(CASES)
    used = {container.File(path.read_bytes()).header.model_id for path in FILES}
    assert used == {release.model_id for release in RELEASES}


def test_codes(path, expected, codec):
    data = path.read_bytes()
    assert len(data) == expected["bytes"]
    codec.decode(data)  # brings the weights that the file names
    levels, codes = integers(codec, data)
    assert hashes(levels, codes).items() <= expected.items()


@pytest.mark.parametrize("fast", [False, True])
def test_pixels(path, codec, monkeypatch, fast):
    """Also those of machines that multiply bfloat16, or do not."""
    data = path.read_bytes()
    codec.decode(data)
    tile_codec = codec._tile_codecs[container.File(data).header.model_id]
    monkeypatch.setattr(tile_codec, "fast", fast)
    found = codec.decode(data).astype(float)
    with Image.open(path.with_suffix(".png")) as picture:
        error = found - np.asarray(picture)
    assert np.abs(error).max() <= 2
    assert np.sqrt(np.mean(error**2)) <= 0.5


def test_picture_is_the_photograph(path, codec):
    """Not only the same as ever, but right."""
    original = source(CASES[path.stem][0])
    found = codec.decode_picture(path.read_bytes())
    assert found.pixels.shape == original.pixels.shape
    least = {"coarsest": 19, "none": 24, "chunks": 24, "one-pixel": 20, "roi": 24}
    seen = slice(16, None), slice(16, None)  # what is not seen is not kept
    if path.stem == "one-pixel":
        seen = slice(None), slice(None)
    mse = np.mean((found.pixels[seen].astype(float) - original.pixels[seen]) ** 2)
    assert 10 * np.log10(255**2 / mse) > least.get(path.stem, 26)


def test_what_else_is_kept():
    header, _, chunks = container.unpack((FOLDER / "v1" / "chunks.aic").read_bytes())
    original = source("RGBA")
    assert (header.width, header.height) == (96, 64)
    assert Metadata.of(chunks) == original.metadata
    assert np.array_equal(alpha_of(chunks, 64, 96), original.alpha)


@pytest.mark.parametrize("case", ["range", "none", "grey", "tiles", "ms-ssim", "eye"])
def test_size_of_a_new_file(case):
    """A float on a threshold may turn a bit; a better search may fill the rate."""
    mode, tune, asked = CASES[case]
    data = (FOLDER / "v1" / f"{case}.aic").read_bytes()
    if NEWEST[tune].model_id != container.File(data).header.model_id:
        pytest.skip("there are newer weights")
    again = Codec("cpu", tune=tune).encode(source(mode), **asked)
    assert 0.99 * len(data) - 4 <= len(again) <= asked["rate"] * 96 * 64 / 8

"""Files that must decode for ever: tests/golden, made with the shipped weights.

The codes of a golden file are exact on every machine. Its pixels come from a float network, so
they may differ by little. `pytest --update-golden` makes the files anew; the diff is reviewed,
and means a new version of the format or new weights.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from cross_device import hashes, integers
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import Picture, alpha_of
from imgcodec.releases import TUNES

HERE = Path(__file__).parent
FOLDER = HERE / "golden"
EXPECTED = FOLDER / "expected.json"
PHOTO = HERE.parent / "docs" / "kodim23.png"
BOX = (250, 120, 346, 184)  # 96 x 64 pixels: left, top, right, bottom
RATE = 0.5
ALPHA = np.full((64, 96), 255, np.uint8)
ALPHA[:, 48:] = 128
METADATA = Metadata(icc=b"a profile", exif=b"II*\0", xmp=b"<x/>")
CASES = {  # mode of the picture, entropy coder, edge of the tiles, what is aimed at
    "range": ("RGB", "range", None, "psnr"),
    "none": ("RGB", "none", None, "psnr"),
    "grey": ("L", "range", None, "psnr"),
    "tiles": ("RGB", "range", 64, "psnr"),
    "ms-ssim": ("RGB", "range", None, "ms-ssim"),
    "chunks": ("RGB", "range", None, "psnr"),
}
HEAD_BYTES = container.overhead_bytes(1)


@pytest.fixture(scope="module")
def codecs():
    return {tune: Codec("cpu", tune=tune) for tune in TUNES}


@pytest.fixture
def shipped(case, codecs):
    """The codec that wrote the case."""
    return codecs[CASES[case][3]]


def source(case):
    with Image.open(PHOTO) as photo:
        pixels = np.asarray(photo.crop(BOX).convert(CASES[case][0]))
    return Picture(pixels, ALPHA, METADATA) if case == "chunks" else Picture(pixels)


@pytest.fixture(scope="module")
def expected(request, codecs):
    """What expected.json says; with --update-golden, written first."""
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        facts = {}
        for case, (_, entropy, tile, tune) in CASES.items():
            shipped = codecs[tune]
            data = shipped.encode(source(case), RATE, entropy, tile=tile)
            (FOLDER / f"{case}.aic").write_bytes(data)
            Image.fromarray(shipped.decode(data)).save(FOLDER / f"{case}.png")
            facts[case] = {
                "bytes": len(data),
                "header": data[:HEAD_BYTES].hex(),
                **hashes(*integers(shipped, data)),
            }
        EXPECTED.write_text(json.dumps(facts, indent=2) + "\n")
    if not EXPECTED.is_file():
        pytest.fail("tests/golden is empty, `pytest --update-golden` makes its files")
    return json.loads(EXPECTED.read_text())


@pytest.fixture(params=CASES)
def case(request, expected):
    assert set(expected) == set(CASES)
    return request.param


@pytest.fixture
def data(case):
    return (FOLDER / f"{case}.aic").read_bytes()


def test_header(case, data, expected, shipped):
    assert data[:HEAD_BYTES].hex() == expected[case]["header"]
    assert len(data) == expected[case]["bytes"]
    header, tiles, chunks = container.unpack(data)
    assert len(tiles) == (2 if case == "tiles" else 1)
    assert (header.width, header.height) == (96, 64)
    assert [kind for kind, _ in chunks] == [kind for kind, _ in source(case).chunks()]
    assert Metadata.of(chunks) == source(case).metadata
    assert np.array_equal(alpha_of(chunks, 64, 96), source(case).alpha)
    assert header.channels == (1 if case == "grey" else 3)
    assert container.ENTROPIES[header.entropy] == CASES[case][1]
    assert header.model_id == shipped.model_id


def test_codes(case, data, expected, shipped):
    levels, codes = integers(shipped, data)
    assert levels.shape == (8 * 12,)
    assert codes.any()
    assert hashes(levels, codes).items() <= expected[case].items()


@pytest.mark.parametrize("fast", [False, True])
def test_pixels(case, data, shipped, monkeypatch, fast):
    """Also those of machines that multiply bfloat16, or do not."""
    monkeypatch.setattr(shipped._tile_codec, "fast", fast)
    found = shipped.decode(data).astype(float)
    with Image.open(FOLDER / f"{case}.png") as picture:
        error = found - np.asarray(picture)
    assert error.shape == (64, 96, 3)
    assert np.abs(error).max() <= 2
    assert np.sqrt(np.mean(error**2)) <= 0.5


def test_size_of_a_new_file(case, data, shipped):
    """A float on a threshold may turn a bit; a better search may fill the rate."""
    _, entropy, tile, _ = CASES[case]
    again = shipped.encode(source(case), RATE, entropy, tile=tile)
    assert 0.99 * len(data) - 4 <= len(again) <= RATE * 96 * 64 / 8


def test_picture_is_the_photograph(case, data, shipped):
    """Not only the same as ever, but right."""
    pixels = source(case).pixels
    pixels = np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels
    mse = np.mean((shipped.decode(data).astype(float) - pixels) ** 2)
    assert 10 * np.log10(255**2 / mse) > {"none": 24, "chunks": 26}.get(case, 28)


def test_files_decode_whatever_the_codec_encodes_for(case, data, codecs):
    one, *others = (codec.decode(data) for codec in codecs.values())
    for other in others:
        assert np.array_equal(one, other)

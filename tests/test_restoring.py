"""JPEG files restored: as other decoders have them, but better, and without seams."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from imgcodec import restoring, weights
from imgcodec.errors import AicError
from imgcodec.metrics import psnr
from imgcodec.model.restorer import Restorer, RestorerConfig
from imgcodec.restoring import Restorer as Restoring


def photograph(height, width, seed=0):
    """Waves, edges and some noise, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 120 + 50 * np.sin(x / 15) * np.cos(y / 21) + 60 * ((x + y) // 37 % 2)
    pixels = np.stack([base, base * 0.7 + 30, 220 - base * 0.6], -1)
    return np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def usual(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def small(path, moves, seed=0):
    """The path of weights that move coefficients by so much."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Restorer(RestorerConfig(width=8, blocks=1))
        torch.nn.init.normal_(network.last.weight, std=moves)
    network.spread.fill_(20)
    weights.save_restorer(path, network)
    return path


@pytest.fixture(scope="module")
def released():
    return Restoring()


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Moves nothing but what the colours' intervals ask for."""
    return Restoring(small(tmp_path_factory.mktemp("still") / "still.safetensors", 0.0))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(75, 117), (8, 8), (1, 1), (17, 64)])
def test_an_untrained_network_decodes_as_others_do(still, size, subsampling, progressive):
    data = jpeg(photograph(*size), quality=90, subsampling=subsampling, progressive=progressive)
    found = still.restore(data)
    assert found.shape == (*size, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - usual(data)).mean() < 3
    if subsampling == "4:4:4":
        assert np.abs(found.astype(int) - usual(data)).max() <= 2


def test_colours_of_half_the_height_are_those_of_half_the_width_turned(released):
    pixels = photograph(48, 64)
    data = jpeg(pixels, quality=40, subsampling="4:2:2")
    ours = released.restore(data)
    coefficients = restoring.reading.read(data)
    turned = coefficients._replace(
        height=64,
        width=48,
        planes=tuple(
            plane._replace(
                blocks=transposed(plane.blocks.swapaxes(0, 1)),
                steps=transposed(plane.steps),
                factors=plane.factors[::-1],
            )
            for plane in coefficients.planes
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring.reading, "read", lambda data, most: turned)
        found = released.restore(b"")
    assert np.abs(found.swapaxes(0, 1).astype(int) - ours).max() <= 1


def transposed(zigzag):
    """Coefficients (..., 64) in zigzag order of transposed blocks."""
    raster = np.empty_like(zigzag)
    raster[..., restoring.reading.ZIGZAG] = zigzag
    turned = raster.reshape(*zigzag.shape[:-1], 8, 8).swapaxes(-1, -2).reshape(zigzag.shape)
    return np.ascontiguousarray(turned[..., restoring.reading.ZIGZAG])


@pytest.mark.parametrize("quality", [10, 40, 90])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_released_weights_come_closer_to_the_original(released, quality, subsampling):
    pixels = photograph(160, 240)
    data = jpeg(pixels, quality=quality, subsampling=subsampling)
    assert psnr(pixels, released.restore(data)) > psnr(pixels, usual(data)) + 0.3


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_the_finest_steps_leave_nothing_to_guess(released, subsampling):
    pixels = photograph(104, 120)
    data = jpeg(pixels, quality=100, subsampling=subsampling)
    assert psnr(pixels, released.restore(data)) > psnr(pixels, usual(data)) - 0.1


def test_grey_stays_grey(released):
    pixels = photograph(90, 130)[..., 0]
    data = jpeg(pixels, quality=20)
    found = released.restore(data)
    assert found.shape == (90, 130)
    assert psnr(pixels, found) > psnr(pixels, usual(data)) + 0.3


def test_a_file_restored_and_compressed_again_is_the_same(released):
    """Since no coefficient has left its interval, but for the rounding of pixels."""
    data = jpeg(photograph(96, 96), quality=15, subsampling="4:4:4")
    again = jpeg(released.restore(data), quality=15, subsampling="4:4:4")
    first, second = (restoring.reading.read(file).planes[0].blocks for file in (data, again))
    assert (first == second).mean() > 0.97
    assert np.abs(first.astype(int) - second).max() <= 1


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_pieces_have_no_seams(tmp_path, monkeypatch, subsampling):
    restorer = Restoring(small(tmp_path / "own.safetensors", 0.5))
    data = jpeg(photograph(150, 300), quality=20, subsampling=subsampling)
    whole = restorer.restore(data)
    assert np.abs(whole.astype(int) - usual(data)).mean() > 1
    monkeypatch.setattr(restoring, "BLOCKS", (4, 6))
    pieces = restorer.restore(data)
    assert np.abs(whole.astype(int) - pieces).max() <= 1
    assert (whole != pieces).mean() < 0.001


def test_weights_come_back_and_others_are_refused(tmp_path):
    path = small(tmp_path / "own.safetensors", 0.5)
    loaded = weights.load_restorer(path)
    assert loaded.config == RestorerConfig(width=8, blocks=1)
    assert loaded.spread.tolist() == [20] * 192
    for data in (b"", b"x" * 100, path.read_bytes()[:-8], path.read_bytes() + b"0"):
        path.write_bytes(data)
        with pytest.raises(AicError, match="is not a weights file that restores"):
            weights.load_restorer(path)
    other = tmp_path / "aic-restore-1.2.safetensors"
    other.write_bytes(b"x")
    with pytest.raises(AicError, match="damaged"):
        weights.load_restorer(other)
    with pytest.raises(AicError, match="cannot read"):
        weights.load_restorer(tmp_path / "none.safetensors")


def test_damaged_files_are_refused(still):
    """Cuts and changed bytes: nothing but a refusal or pixels may come of them."""
    data = bytearray(jpeg(photograph(40, 56), quality=30, progressive=True))
    refused = 0
    for at in range(0, len(data), 7):
        for changed in (bytes(data[:at]), bytes(data[:at]) + b"\xa5" + bytes(data[at + 1 :])):
            try:
                still.restore(changed, max_pixels=10**5)
            except AicError:
                refused += 1
    assert refused > len(data) / 7

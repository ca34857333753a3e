"""Pictures of many tiles: a rate for the whole, no seams, regions, previews, damage."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, build, decode_reporting, liven, write_weights

from imgcodec import metrics
from imgcodec.codec import Codec, salvage
from imgcodec.codec.decompress import Decompressor
from imgcodec.codec.quality import Quality, Strips
from imgcodec.errors import AicError, AicWarning, FormatError, TileError
from imgcodec.format import container
from imgcodec.format.tiles import Box, Grid
from imgcodec.model import Dequantised, ModelConfig
from imgcodec.model.winograd import Conv3x3
from imgcodec.pictures.reader import read_image
from imgcodec.releases import TUNES
from imgcodec.runtime.exact import exact
from imgcodec.train.export import make_tables
from imgcodec.weights import save

# ---------------------------------------------------------------- files of many tiles


@pytest.fixture(scope="module")
def picture(textured):
    return textured(136, 200)


@pytest.fixture(scope="module")
def tiled(tiny_codec, picture):
    """The picture in 3 x 4 tiles, the last ones cut by the edge."""
    return tiny_codec.encode(picture, quality=70, tile=64)


@pytest.fixture(scope="module")
def many(tiny_codec, textured):
    """A picture in 7 x 7 tiles."""
    return tiny_codec.encode(textured(64 * 7, 64 * 7), quality=70, tile=64)


@pytest.mark.parametrize(
    ("kind", "wanted", "close", "tile", "side"),  # which the larger tiles do not divide
    [
        ("psnr", 30, 0.06, 64, 128),
        ("psnr", 30, 0.06, 128, 136),
        ("ms_ssim", 0.96, 0.001, 64, 192),
        ("ms_ssim", 0.96, 0.001, 128, 168),
        ("ssimulacra2", 55, 0.5, 64, 128),
        ("ssimulacra2", 55, 0.5, 128, 168),
    ],
)
def test_a_quality_holds_for_the_whole_picture(textured, tile, side, kind, wanted, close):
    codec, image = Codec("cpu"), textured(side, side)
    data = codec.encode(image, tile=tile, lossless=False, **{kind: wanted})
    assert len(container.unpack(data)[1]) > 3
    assert not data.report.limited
    found = getattr(metrics, kind)(image, codec.decode(data))
    assert found == pytest.approx(wanted, abs=close)


@pytest.mark.parametrize("shape", [(200, 800, 3), (800, 300)])
@pytest.mark.parametrize("kind", ["psnr", "ms_ssim", "ssimulacra2"])
def test_strips_are_measured_as_the_whole_is(textured, shape, kind):
    image = textured(*shape[:2])
    image = image if len(shape) == 3 else np.ascontiguousarray(image[..., 0])
    worse = image.copy()
    worse[: shape[0] // 2, 500:530] ^= 96  # around where blocks meet
    worse[480:520] ^= 48
    strips, whole = Strips(kind, shape), Quality(kind, shape)
    whole.add(image, worse)
    for start in range(0, shape[0], 64):
        strips.take(image[start : start + 64], worse[start : start + 64])
    close = 1e-9 if kind == "psnr" else 0.01
    assert strips.decibels == pytest.approx(whole.decibels, abs=close)


def codes_of(codec, data):
    """Return a decompressor of a whole file, with its header."""
    header, tiles, _ = container.unpack(data)
    return Decompressor(codec._tile_codec, header, tiles.__getitem__), header


def listening(codec, data, region):
    """Return a decompressor of a region, and the numbers of the tiles that it has asked for."""
    header, tiles, _ = container.unpack(data)
    asked = []

    def tile(number):
        asked.append(number)
        return tiles[number]

    return Decompressor(codec._tile_codec, header, tile, region), asked


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize("rate", [0.8, 1.15])
def test_the_rate_holds_for_the_whole_file(tiny_codec, textured, entropy, rate):
    data = tiny_codec.encode(textured(192, 256), rate, entropy, tile=128)
    report = data.report
    header, tiles, _ = container.unpack(data)
    assert (header.edge, len(tiles)) == (128, 4)
    # raw bits grow by jumps: one a place for each latent that is sent from some u on
    assert (0.95 if entropy == "none" else 0.99) * rate <= report.bpp <= rate
    assert report.bpp == 8 * len(data) / (192 * 256)


def test_round_trip_of_many_tiles(tiny_codec, picture, tiled):
    found = tiny_codec.decode(tiled)
    assert found.shape == picture.shape
    one = tiny_codec.decode(tiny_codec.encode(picture, 1.0))
    error, error_of_one = (np.mean((x.astype(float) - picture) ** 2) for x in (found, one))
    assert error < 1.3 * error_of_one  # small tiles cost bits, and seams would cost more


@pytest.mark.parametrize("size", [(1, 65), (65, 1), (64, 65), (129, 200)])
def test_odd_sizes(tiny_codec, textured, size):
    image = textured(*size)
    data = tiny_codec.encode(image, 8 + 8 * 200 / image[..., 0].size, tile=64)
    assert len(container.unpack(data)[1]) == -(-size[0] // 64) * -(-size[1] // 64)
    assert tiny_codec.decode(data).shape == image.shape


def test_grey_in_many_tiles(tiny_codec, picture):
    grey = picture[:128, :, 1].copy()
    found = tiny_codec.decode(tiny_codec.encode(grey, 1.0, tile=128))
    assert (found == found[..., :1]).all()
    assert np.abs(found[..., 0].astype(float) - grey).mean() < 20


def test_more_effort_for_many_tiles(tiny_codec, textured):
    errors, picture = [], textured(100, 128)
    for effort in (1, 3):
        data = tiny_codec.encode(picture, 1.0, effort=effort, tile=64)
        report = data.report
        assert report.bpp <= 1.0
        errors.append(np.mean((tiny_codec.decode(data).astype(float) - picture) ** 2))
    assert errors[1] < errors[0]


def test_a_rate_too_low_for_many_tiles(tiny_codec, textured):
    picture = textured(130, 128)
    with pytest.raises(AicError, match=r"^rate 0\.001 is too low .* needs 0\.\d+$") as caught:
        tiny_codec.encode(picture, 0.001, tile=64)
    least = float(str(caught.value).rsplit(maxsplit=1)[1])
    assert tiny_codec.encode(picture, least, tile=64)


# ---------------------------------------------------------------- seams


@pytest.fixture
def apart(monkeypatch):
    """Each tile is decoded on its own."""
    monkeypatch.setattr("imgcodec.format.tiles.SQUARE", 64)


def largest_seam(codec, data):
    """Return the largest difference to the same codes decoded in one piece, grey levels."""
    decompressor, header = codes_of(codec, data)
    with exact():
        whole = decompressor._gather(Box(0, 0, header.height, header.width).places(8))
        assert whole.y_hat.std() > 0
        in_one = codec._tile_codec.synthesise(whole, header.u)[0][: header.height, : header.width]
    return np.abs(codec.decode(data).astype(int) - in_one).max()


@pytest.mark.parametrize("side", [64, 128, 192])
def test_tiles_decode_like_the_same_codes_in_one_piece(tiny_codec, tiled, monkeypatch, side):
    monkeypatch.setattr("imgcodec.format.tiles.SQUARE", side)
    assert largest_seam(tiny_codec, tiled) <= 1


@pytest.mark.parametrize("side", [64, pytest.param(192, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tune", TUNES)
def test_the_shipped_weights_leave_no_seams(tune, monkeypatch, side):
    monkeypatch.setattr("imgcodec.format.tiles.SQUARE", side)
    codec = Codec("cpu", tune=tune)
    photograph = read_image(Path(__file__).parents[2] / "docs" / "kodim23.png")
    data = codec.encode(photograph[:108, 100:292], quality=60, tile=64)
    assert largest_seam(codec, data) <= 1


@pytest.mark.usefixtures("apart")
def test_seams_would_be_seen_without_the_halo(tiny_codec, tiled, monkeypatch):
    """The test above can fail."""
    smooth = tiny_codec.decode(tiled).astype(int)
    monkeypatch.setattr(ModelConfig, "decoder_reach", 0)
    assert np.abs(tiny_codec.decode(tiled) - smooth).max() > 4


@pytest.fixture(scope="module")
def far_codec(tmp_path_factory):
    """A codec whose decoder passes on what stands as far to the left as it can see, undamped."""
    model = build(TINY)
    with torch.no_grad():
        layers = [m for m in model.g_s.modules() if isinstance(m, Conv3x3)]
        assert len(layers) == 2 + 2 * TINY.decoder_blocks
        for layer in layers:
            layer.weight.zero_()
            layer.weight[0, 0, 1, 0] = 1
    path = tmp_path_factory.mktemp("far") / "far.safetensors"
    save(path, model, make_tables(model))
    return Codec("cpu", weights=path)


@pytest.fixture(scope="module")
def far_tiles(far_codec):
    """A file of tiles, 64 pixels a side, with structure at the borders."""
    rows, columns = np.mgrid[:128, :192] // 8
    squares = 90 + 70 * ((rows + columns // 2) % 2)
    pixels = np.repeat(squares[..., None], 3, 2).astype(np.uint8)
    return far_codec.encode(pixels, 2.0, tile=64, lossless=False)


@pytest.mark.usefixtures("apart")
def test_the_halo_is_as_wide_as_the_decoder_sees(far_codec, far_tiles):
    assert TINY.decoder_reach == 7
    assert largest_seam(far_codec, far_tiles) <= 1


@pytest.mark.usefixtures("apart")
def test_a_halo_one_place_smaller_leaves_seams(far_codec, far_tiles, monkeypatch):
    monkeypatch.setattr(ModelConfig, "decoder_reach", TINY.decoder_reach - 1)
    assert largest_seam(far_codec, far_tiles) > 8


def test_reach_of_the_released_weights():
    assert ModelConfig().decoder_reach == 23
    assert ModelConfig().decoder_grid == 1


COARSE = replace(TINY, coarse_blocks=1, coarse_width=8)


@pytest.fixture(scope="module")
def coarse_codec(tmp_path_factory):
    """A codec whose decoder has blocks at coarser resolutions, which say much."""
    return Codec("cpu", weights=write_weights(tmp_path_factory.mktemp("coarse"), COARSE))


@pytest.fixture(scope="module")
def coarse_tiles(coarse_codec, picture):
    return coarse_codec.encode(picture, quality=70, tile=64)


@pytest.mark.usefixtures("apart")
def test_coarse_blocks_leave_no_seams(coarse_codec, coarse_tiles):
    assert largest_seam(coarse_codec, coarse_tiles) <= 1


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("name", ["decoder_reach", "decoder_grid"])
def test_coarse_blocks_would_leave_some(coarse_codec, coarse_tiles, monkeypatch, name):
    monkeypatch.setattr(ModelConfig, name, 1)
    assert largest_seam(coarse_codec, coarse_tiles) > 1


@pytest.mark.usefixtures("apart")
def test_a_region_is_a_part_of_the_picture_with_coarse_blocks(coarse_codec, coarse_tiles):
    whole = coarse_codec.decode(coarse_tiles).astype(int)
    for top, left in ((0, 0), (37, 91), (86, 8)):
        found = coarse_codec.decode(coarse_tiles, region=(left, top, 70, 50))
        assert np.abs(found - whole[top : top + 50, left : left + 70]).max() <= 1


def test_reach_of_coarse_blocks():
    """No place sees further, and some see as far."""
    assert COARSE.decoder_reach == TINY.decoder_reach + 2 * 2 + 2 * 4 + 3
    model = liven(build(COARSE)).requires_grad_(False)
    size, furthest = 64, 0
    levels, u = torch.full((1, 1, size, 1), 7.0), torch.tensor([0.5])
    generator = torch.Generator().manual_seed(0)
    for place in range(32, 36):
        y_hat = torch.randn(1, 12, size, 1, generator=generator).requires_grad_()
        pixels = model.reconstruct(Dequantised(levels, y_hat), u)[:, :, 8 * place : 8 * place + 8]
        (slope,) = torch.autograd.grad(pixels.square().sum(), y_hat)
        seen = slope[0, :, :, 0].abs().sum(0).nonzero()[:, 0]
        furthest = max(furthest, place - seen.min().item(), seen.max().item() - place)
    assert COARSE.decoder_reach - 2 <= furthest <= COARSE.decoder_reach


def test_gathered_codes_are_those_of_the_tiles(tiny_codec, tiled):
    decompressor, _ = codes_of(tiny_codec, tiled)
    with exact():
        whole = decompressor._gather(Box(0, 0, 17, 25))
        part = decompressor._gather(Box(5, 6, 17, 22))
        own = decompressor._of_tile(1, 2)
    for name in Dequantised._fields:
        everything = getattr(whole, name)
        assert (everything[..., 5:17, 6:22] == getattr(part, name)).all()
        assert (everything[..., 8:16, 16:24] == getattr(own, name)).all()


def test_small_tiles_go_together(tiny_codec, picture, monkeypatch):
    """Whole ones, and those cut to the right, below and at the corner."""
    tile_codec, called = tiny_codec._tile_codec, []

    def counted(name, tiles):
        method = getattr(tile_codec, name)

        def call(found, *arguments):
            called.append((name, tiles(found)))
            return method(found, *arguments)

        monkeypatch.setattr(tile_codec, name, call)

    counted("analyse", lambda pixels: pixels.shape[:3])
    counted("plan", lambda latents: len(latents.levels))
    counted("read", len)
    counted("synthesise", lambda found: tuple(found.levels.shape[2:]))
    sizes = (6, 2, 3, 1)
    data = tiny_codec.encode(picture, quality=70, tile=64)
    assert called == [("analyse", (1, 136, 200)), *(("plan", n) for n in sizes)]
    called.clear()
    tiny_codec.decode(data)
    assert called == [*(("read", n) for n in sizes), ("synthesise", (17, 25))]


@pytest.mark.parametrize("side", [64, 128, 1024])
def test_no_tile_is_read_twice(tiny_codec, tiled, monkeypatch, side):
    monkeypatch.setattr("imgcodec.format.tiles.SQUARE", side)
    decompressor, asked = listening(tiny_codec, tiled, Box(0, 0, 136, 200))
    with exact():
        strips = [decompressor.strip(row) for row in decompressor.rows]
    assert [strip.shape for strip in strips] == [(height, 200, 3) for height in (64, 64, 8)]
    assert sorted(asked) == list(range(12))


# ---------------------------------------------------------------- regions


@pytest.fixture(scope="module")
def whole(tiny_codec, tiled):
    return tiny_codec.decode(tiled)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_regions_are_cut_from_the_picture(tiny_codec, tiled, whole, data):
    x, y = data.draw(st.integers(0, 199)), data.draw(st.integers(0, 135))
    width, height = data.draw(st.integers(1, 200 - x)), data.draw(st.integers(1, 136 - y))
    found = tiny_codec.decode(tiled, (x, y, width, height))
    wanted = whole[y : y + height, x : x + width]
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.uint32, np.uint64, np.int64])
def test_regions_of_any_integers(tiny_codec, tiled, whole, kind):
    found = tiny_codec.decode(tiled, np.array([120, 0, 16, 8], kind))
    assert np.abs(found.astype(int) - whole[:8, 120:136]).max() <= 1


def test_a_region_reads_the_tiles_around_it_only(tiny_codec, many):
    decompressor, asked = listening(tiny_codec, many, Box(196, 206, 236, 246))
    assert list(decompressor.rows) == [3]
    with exact():
        pixels = decompressor.strip(3)
    assert pixels.shape == (40, 40, 3)
    around = {7 * row + column for row in range(1, 6) for column in range(1, 6)}
    assert set(asked) <= around  # a halo of at most two tiles
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ((0, 0, 0, 5), "has no pixels"),
        ((0, 0, 5, -1), "has no pixels"),
        ((-1, 0, 5, 5), "leaves the picture"),
        ((0, 0, 201, 136), "leaves the picture, 200x136 pixels"),
        ((172, 0, 29, 5), "leaves the picture"),
        ((0, 135, 1, 2), "leaves the picture"),
        ((0, 0, 1), "wanted left, top, width and height"),
        ((0, 0, 1.5, 2), "wanted left, top, width and height"),
        (7, "wanted left, top, width and height"),
    ],
)
def test_regions_that_are_none(tiny_codec, tiled, region, reason):
    with pytest.raises(AicError, match=reason):
        tiny_codec.decode(tiled, region)


def test_more_pixels_than_allowed_are_refused(tiny_codec, tiled, monkeypatch):
    assert tiny_codec.decode(tiled, max_pixels=136 * 200).shape == (136, 200, 3)
    assert tiny_codec.decode(tiled, (0, 0, 9, 9), max_pixels=81).shape == (9, 9, 3)
    monkeypatch.setattr(tiny_codec._tile_codec, "read", None)
    with pytest.raises(AicError, match="^200x136 pixels, at most 27199 are allowed$"):
        tiny_codec.decode(tiled, max_pixels=136 * 200 - 1)
    with pytest.raises(AicError, match="at most nan"):
        tiny_codec.decode(tiled, max_pixels=math.nan)
    with pytest.raises(AicError, match="^max_pixels of NoneType, wanted a number of pixels$"):
        tiny_codec.decode(tiled, max_pixels=None)


# ---------------------------------------------------------------- previews


@pytest.mark.parametrize("entropy", ["range", "none"])
def test_previews_get_better_with_their_rate(tiny_codec, picture, entropy):
    picture = picture[:128]
    data = tiny_codec.encode(picture, quality=100, entropy=entropy, tile=128)
    whole = tiny_codec.decode(data)
    bpp = 8 * len(data) / (128 * 200)
    errors = []
    for share in (1e-6, 0.3, 0.7, 1.1):
        found = tiny_codec.decode(data, max_rate=share * bpp)
        assert found.shape == (128, 200, 3)
        errors.append(float(np.mean((found.astype(float) - picture) ** 2)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.2 * errors[-1]
    assert np.array_equal(found, whole)
    region = (100, 70, 60, 50)
    part = tiny_codec.decode(data, region, max_rate=0.3 * bpp)
    preview = tiny_codec.decode(data, max_rate=0.3 * bpp)[70:120, 100:160]
    assert np.abs(part.astype(int) - preview).max() <= 1


def test_a_preview_at_the_rate_of_the_file_is_all_of_it(tiny_codec, textured):
    below = 0
    for width in range(30, 36):
        data = tiny_codec.encode(textured(47, width), quality=60, lossless=False, entropy="none")
        below += data.report.bpp * width * 47 < 8 * len(data)  # as floats are rounded
        found = tiny_codec.decode(data, max_rate=data.report.bpp)
        assert np.array_equal(found, tiny_codec.decode(data))
    assert below


@pytest.mark.parametrize("target", [{"quality": 50}, {"rate": 4}, {"quality": 50, "effort": 2}])
@pytest.mark.parametrize("entropy", ["range", "none"])
def test_single_bits_in_tiles(paper_codec, picture, entropy, target):
    data = paper_codec.encode(picture, entropy=entropy, tile=64, **target)
    assert len(container.unpack(data)[1]) == 12
    whole = paper_codec.decode(paper_codec.encode(picture, entropy=entropy, **target))
    assert np.abs(paper_codec.decode(data).astype(int) - whole).mean() < 4


def test_single_bits_have_no_preview(paper_codec, picture):
    data = paper_codec.encode(picture, 2.0)
    assert paper_codec.decode(data, max_rate=20).shape == (136, 200, 3)
    with pytest.raises(AicError, match="^files of single bits have no preview$"):
        paper_codec.decode(data, max_rate=0.01)


# ---------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def two_tiles(tiny_codec, textured):
    data = tiny_codec.encode(textured(64, 128), 0.5, tile=64)
    assert len(container.unpack(data)[1]) == 2
    return data


def test_every_flipped_bit_of_two_tiles_is_refused(tiny_codec, two_tiles):
    for position in range(8 * len(two_tiles)):
        broken = bytearray(two_tiles)
        broken[position // 8] ^= 1 << position % 8
        with pytest.raises(AicError):
            container.unpack(bytes(broken))
        if position % 47 == 0:  # through the whole decoder, which reads tile after tile
            with pytest.raises(AicError):
                tiny_codec.decode(bytes(broken))


def test_every_truncation_of_two_tiles_is_refused(tiny_codec, two_tiles):
    for length in range(len(two_tiles)):
        with pytest.raises(AicError):
            tiny_codec.decode(two_tiles[:length])


def test_a_damaged_tile_is_refused(tiny_codec, tiled):
    header, tiles, _ = container.unpack(tiled)
    tiles[5] = b""
    with pytest.raises(FormatError, match="0 bytes of data for 64 places"):
        tiny_codec.decode(container.pack(header, tiles))


def spoil(data, *numbers):
    """Return a file with two bits of each of these tiles flipped."""
    _, tiles, _ = container.unpack(data)
    starts = np.cumsum([len(data) - sum(map(len, tiles)), *map(len, tiles)])
    broken = bytearray(data)
    for number in numbers:
        broken[starts[number] + 3] ^= 48
    return bytes(broken)


@pytest.mark.parametrize("numbers", [(0,), (5, 6), (11,), (1, 4, 5, 6, 9), tuple(range(12))])
def test_a_damaged_tile_costs_only_itself(tiny_codec, picture, tiled, numbers):
    broken = spoil(tiled, *numbers)
    with pytest.raises(FormatError, match=f"^checksum mismatch in tile {numbers[0]}$"):
        tiny_codec.decode(broken)
    found, report = decode_reporting(tiny_codec, broken, keep_going=True)
    assert report.damaged == {n: f"checksum mismatch in tile {n}" for n in numbers}
    whole = tiny_codec.decode(tiled).astype(int)
    wrong = np.abs(found - whole).max(2)
    grid = Grid(136, 200, 64)
    for number, box in enumerate(grid.boxes()):
        inner = wrong[box.top + 60 : box.bottom, box.left : box.right]
        here = wrong[box.top : box.bottom, box.left : box.right]
        if number in numbers:
            assert here.max() > 4, number
            assert here.mean() < 100
        elif not {number - 1, number + 1, number - 4, number + 4, number - 5} & set(numbers):
            assert inner.size == 0 or here[here.shape[0] // 2, here.shape[1] // 2] <= 2


def test_a_single_wrong_bit_is_set_right(tiny_codec, tiled):
    broken = bytearray(spoil(tiled, 1))
    start = next(
        place for place, pair in enumerate(zip(broken, tiled, strict=True)) if pair[0] != pair[1]
    )
    broken[start] ^= 16
    broken[-1] ^= 1
    with pytest.raises(FormatError, match="^checksum mismatch in tile 1$"):
        tiny_codec.decode(bytes(broken))
    found, report = decode_reporting(tiny_codec, bytes(broken), keep_going=True)
    assert np.array_equal(found, tiny_codec.decode(tiled))
    assert (sorted(report.damaged), sorted(report.mended)) == ([1, 11], [1, 11])
    assert report.damage == (
        "2 damaged tiles are set right: checksum mismatch in tile 1, a single wrong bit;"
        " checksum mismatch in tile 11, a single wrong bit"
    )
    broken[start + 1] ^= 7
    _, report = decode_reporting(tiny_codec, bytes(broken), keep_going=True)
    assert report.damage == (
        "1 damaged tile is filled in: checksum mismatch in tile 1;"
        " 1 damaged tile is set right: checksum mismatch in tile 11, a single wrong bit"
    )


def test_what_is_set_right_and_makes_no_sense_is_filled_in(tiny_codec, tiled):
    header, tiles, chunks = container.unpack(tiled)
    tiles[-1] += bytes(400)
    broken = bytearray(container.pack(header, tiles, chunks))
    broken[-1] ^= 1
    _, report = decode_reporting(tiny_codec, bytes(broken), keep_going=True)
    assert (sorted(report.damaged), report.mended) == ([11], {})
    assert report.damage == (
        "1 damaged tile is filled in: tile 11: the entropy-coded data goes on after its end"
    )


def test_filling_continues_what_lies_around(tiny_codec):
    """A smooth picture: the hole is hardly seen."""
    rows, columns = np.mgrid[:192, :192]
    image = np.stack([rows + 30, 200 - columns / 2, columns + 20], -1).astype(np.uint8)
    data = tiny_codec.encode(image, quality=80, tile=64)
    found, report = decode_reporting(tiny_codec, spoil(data, 4), keep_going=True)
    assert list(report.damaged) == [4]
    hole = found[64:128, 64:128].astype(float) - image[64:128, 64:128]
    flat = image[64:128, 64:128].mean((0, 1)) - image[64:128, 64:128]
    assert np.mean(hole**2) < 0.5 * np.mean(flat**2)


def test_a_cut_file_gives_what_there_is(tiny_codec, tiled):
    cut = tiled[: len(tiled) - len(container.unpack(tiled)[1][-1]) - 5]
    with pytest.raises(FormatError, match="the header claims"):
        tiny_codec.decode(cut)
    found, report = decode_reporting(tiny_codec, cut, keep_going=True)
    assert sorted(report.damaged) == [10, 11]
    assert "is cut" in report.damaged[10]
    assert np.abs(found[:64].astype(int) - tiny_codec.decode(tiled)[:64]).max() <= 1


@pytest.mark.parametrize("entropy", ["range", "none"])
def test_a_tile_that_is_cut_is_decoded_as_far_as_it_goes(tiny_codec, picture, entropy):
    data = tiny_codec.encode(picture, 2.0, entropy)
    (tile,) = container.unpack(data)[1]
    start = len(data) - len(tile)
    errors = []
    for share in (0.3, 0.6, 0.9, 0.99):
        cut = data[: start + int(share * len(tile))]
        found, report = decode_reporting(tiny_codec, cut, keep_going=True)
        why = f"tile 0 is cut: {len(cut) - start} of {len(tile)} bytes"
        assert report.damaged == {0: why}
        assert report.damage == f"1 damaged tile is decoded in part: {why}"
        errors.append(float(np.mean((found.astype(float) - picture) ** 2)))
    errors.append(float(np.mean((tiny_codec.decode(data).astype(float) - picture) ** 2)))
    assert errors == sorted(errors, reverse=True)
    nothing, report = decode_reporting(tiny_codec, data[: start + 5], keep_going=True)
    assert report.damage.startswith("1 damaged tile is filled in: tile 0 is cut")
    assert nothing.std() < 1
    assert errors[0] < 0.8 * np.mean((nothing.astype(float) - picture) ** 2)


def test_a_damaged_tile_is_decoded_up_to_where_that_is_noticed(tiny_codec, textured):
    picture = textured(200, 328)
    data = tiny_codec.encode(picture, quality=100)
    nothing, _ = decode_reporting(tiny_codec, spoil(data, 0), keep_going=True)
    assert nothing.std() < 1

    def error(found):
        return float(np.mean((found.astype(float) - picture) ** 2))

    kept = []
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        broken = bytearray(data)
        place = int(share * len(data))
        broken[place : place + 20] = bytes(20)
        found, report = decode_reporting(tiny_codec, bytes(broken), keep_going=True)
        assert report.damage == "1 damaged tile is decoded in part: checksum mismatch in tile 0"
        few, _ = decode_reporting(tiny_codec, data[: place // 2], keep_going=True)
        kept.append(error(found) <= 1.05 * error(few))
        assert error(found) < 0.8 * error(nothing)
    assert sum(kept) >= 3  # by chance, as it is noticed by chance


@pytest.mark.parametrize("raw", [False, True])
def test_no_code_of_a_tile_that_is_cut_is_another(tiny_codec, picture, raw):
    """Of the part in which it ends, codes are right or 0, and all are 0 after it."""
    data = tiny_codec.encode(picture, 2.0, "none" if raw else "range")
    header, (tile,), _ = container.unpack(data)
    size = 17, 25
    reader = tiny_codec._tile_codec
    whole = reader.read([tile], [header.u], size, raw)
    config = reader.model.config
    known = set()
    for num_bytes in range(len(tile) // 8, len(tile), len(tile) // 12):
        damaged = TileError("cut", tile[:num_bytes], len(tile))
        found = salvage.beginning(reader, damaged, header.u, size, raw, 1.0)
        assert torch.equal(found.levels, whole.levels)
        alike = [torch.equal(*pair) for pair in zip(found.parts, whole.parts, strict=True)]
        end = alike.index(False)
        known.add(end)
        assert not any(alike[end:])
        if end >= config.pyramid_parts:
            assert (found.parts[end] == whole.parts[end]).any()
            assert not any(part.any() for part in found.parts[end + 1 :])
    assert len(known) > 2


def test_tiles_behind_a_missing_byte_are_decoded(tiny_codec, tiled):
    start = len(tiled) - sum(map(len, container.unpack(tiled)[1]))
    found, report = decode_reporting(
        tiny_codec, tiled[: start + 3] + tiled[start + 4 :], keep_going=True
    )
    assert np.abs(found[128:].astype(int) - tiny_codec.decode(tiled)[128:]).max() <= 1
    assert sorted(set(report.damaged) - set(report.mended)) == [0]
    assert report.damage.startswith(
        "1 damaged tile is filled in: checksum mismatch in tile 0;"
        " 11 damaged tiles are set right: tile 1 stands 1 byte too early; tile 2 stands"
    )


def test_a_preview_of_a_damaged_file_is_that_of_the_whole_one(tiny_codec, picture, tiled):
    preview = tiny_codec.decode(tiled, max_rate=0.5)
    for data in (tiled[:-3], tiled + bytes(len(tiled))):
        found, _ = decode_reporting(tiny_codec, data, keep_going=True, max_rate=0.5)
        assert np.array_equal(found[:64], preview[:64])
    one = tiny_codec.encode(picture, 2.0)
    found, _ = decode_reporting(tiny_codec, one[:-200], keep_going=True, max_rate=0.5)
    assert np.array_equal(found, tiny_codec.decode(one, max_rate=0.5))


def test_bytes_after_the_end_are_told(tiny_codec, tiled):
    with pytest.raises(FormatError, match="the header claims"):
        tiny_codec.decode(tiled + b"extra")
    found, report = decode_reporting(tiny_codec, tiled + b"extra", keep_going=True)
    assert (report.damaged, report.excess) == ({}, 5)
    assert report.damage == "5 bytes after the end left out"
    assert np.array_equal(found, tiny_codec.decode(tiled))
    _, report = decode_reporting(tiny_codec, spoil(tiled, 4) + b"x", keep_going=True)
    assert report.damage.endswith("; 1 byte after the end left out")


def test_python_is_warned_of_what_is_filled_in(tiny_codec, tiled):
    with pytest.warns(
        AicWarning, match="1 damaged tile is filled in: checksum mismatch in"
    ) as told:
        tiny_codec.decode(spoil(tiled, 4), keep_going=True)
    assert [warning.filename for warning in told] == [__file__]
    tiny_codec.decode(tiled, keep_going=True)


def test_a_region_does_not_care_about_damage_elsewhere(tiny_codec, many):
    region = (0, 0, 64, 64)
    assert np.array_equal(
        tiny_codec.decode(spoil(many, 48), region), tiny_codec.decode(many, region)
    )


def test_damage_to_header_or_index_is_never_passed_over(tiny_codec, tiled):
    for position in (5, 30, 40):
        broken = bytearray(tiled)
        broken[position] ^= 1
        with pytest.raises(AicError):
            tiny_codec.decode(bytes(broken), keep_going=True)


PEAK = """
import sys
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from imgcodec.codec import Codec

torch.set_num_threads(1)
codec = Codec("cpu", weights=Path(sys.argv[1]))


def peak(work):
    Path("/proc/self/clear_refs").write_text("5")
    work()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def encoded(height):
    y, x = np.mgrid[:height, :512].astype(np.float32)
    grey = 128 + 60 * np.sin(x / 9) + 60 * np.sin(y / 11)
    del x, y
    pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    del grey
    found = []
    used = peak(lambda: found.append(codec.encode(pixels, quality=30, tile=512)))
    return used, found[0]


def decoded(data):  # what was freed may lie where it is of no use, the first time
    return min(peak(lambda: codec.decode_rows(data, lambda rows: None)) for _ in range(2))


encoded(512)
small, large = encoded(3072), encoded(6144)  # squares with a halo above and below in both
print((large[0] - small[0]) // 1024, (decoded(large[1]) - decoded(small[1])) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux can forget a peak")
def test_memory_does_not_grow_with_the_tiles(tiny_weights):
    """3 megapixels take no more than 1.5 do, beyond the pixels and what the file holds."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tiny_weights)], capture_output=True, text=True, check=True
    )
    encoding, decoding = map(int, done.stdout.split())
    assert encoding < 6 + 40  # the pixels, and some
    assert decoding < 40

"""Files that keep every pixel: asked for, and of pictures that are drawn."""

from contextlib import suppress

import numpy as np
import pytest
from tiny import drawn_page

from imgcodec.codec import Codec
from imgcodec.errors import AicError, FormatError
from imgcodec.format import container
from imgcodec.format.tiles import Box
from imgcodec.pictures import vp8l
from imgcodec.pictures.drawn import is_drawn
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.roi import Roi


@pytest.fixture(scope="module")
def codec():
    """One of trained weights."""
    return Codec("cpu")


@pytest.fixture(scope="module")
def drawing():
    """A page of text, 128x128."""
    return drawn_page(128, 3)


@pytest.fixture(scope="module")
def lossless(tiny_codec, drawing):
    return tiny_codec.encode(drawing, lossless=True)


def noise(height, width, channels=3):
    shape = (height, width, 3)[: 2 + (channels == 3)]
    return np.random.default_rng(height).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width", "tile"), [(1, 1, None), (7, 130, 64), (200, 64, 64), (64, 64, 64)]
)
def test_every_pixel_comes_back(tiny_codec, height, width, tile, channels):
    pixels = noise(height, width, channels)
    data = tiny_codec.encode(pixels, lossless=True, tile=tile)
    assert data.report.lossless
    assert data.report.bpp == 8 * len(data) / (height * width)
    header = container.File(data).header
    assert (header.method, header.channels) == (container.LOSSLESS, channels)
    found = tiny_codec.decode_picture(data)
    assert np.array_equal(found.pixels, pixels)
    assert found.pixels.shape == pixels.shape


def test_regions_read_their_own_tiles_alone(tiny_codec):
    pixels = noise(150, 200)
    data = tiny_codec.encode(pixels, lossless=True, tile=64)
    part = tiny_codec.decode(data, region=(50, 70, 100, 40))
    assert np.array_equal(part, pixels[70:110, 50:150])
    broken = bytearray(data)
    broken[-1] ^= 3
    with pytest.raises(FormatError, match="checksum mismatch in tile 11"):
        tiny_codec.decode(bytes(broken))
    assert np.array_equal(
        tiny_codec.decode(bytes(broken), region=(0, 0, 128, 128)), pixels[:128, :128]
    )
    with pytest.warns(Warning, match="1 damaged tile is filled in: checksum mismatch in tile 11"):
        found = tiny_codec.decode(bytes(broken), keep_going=True)
    assert (found[128:, 192:] == 128).all()
    found[128:, 192:] = pixels[128:, 192:]
    assert np.array_equal(found, pixels)


def test_damaged_tiles_are_named_whatever_is_wrong_and_however_many(tiny_codec):
    data = tiny_codec.encode(np.zeros((64, 64 * 25, 3), np.uint8), tile=64, lossless=True)
    header, tiles, _ = container.unpack(data)
    one = container.pack(header, [*tiles[:7], b"", *tiles[8:]])
    with pytest.warns(Warning, match="1 damaged tile is filled in: tile 7: 0 bytes are no "):
        tiny_codec.decode(one, keep_going=True)
    with pytest.warns(Warning, match="25 damaged tiles .*tile 19: [^;]*; and 5 more$"):
        tiny_codec.decode(container.pack(header, [b""] * 25), keep_going=True)


@pytest.mark.parametrize("keep_going", [False, True])
@pytest.mark.parametrize(
    "part", ["WebPImagePlugin.WebPImageFile.convert", "PngImagePlugin.PngImageFile.load"]
)
def test_too_little_memory_is_no_damage(tiny_codec, monkeypatch, part, keep_going):
    pixels = np.full((9, 8), 7, np.uint8)
    data = tiny_codec.encode(Picture(pixels, pixels), lossless=True)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(f"PIL.{part}", fail)
    with pytest.raises(MemoryError):
        tiny_codec.decode_picture(data, keep_going=keep_going)


def test_a_side_too_long_for_one_tile(tiny_codec):
    pixels = noise(2, vp8l.MAX_SIDE + 1, 1)
    data = tiny_codec.encode(pixels, lossless=True)
    assert container.File(data).header.grid == (1, 17)
    assert np.array_equal(tiny_codec.decode_picture(data).pixels, pixels)


def test_colours_that_cannot_be_seen_are_kept_too(tiny_codec):
    picture = Picture(noise(32, 32), np.zeros((32, 32), np.uint8))
    found = tiny_codec.decode_picture(tiny_codec.encode(picture, lossless=True))
    assert np.array_equal(found.pixels, picture.pixels)
    assert np.array_equal(found.alpha, picture.alpha)


def test_any_codec_reads_it(paper_codec, lossless, drawing):
    assert np.array_equal(paper_codec.decode(lossless), drawing)


# what is drawn


def test_drawings_are_kept_where_that_is_smaller(codec, drawing, lossless):
    for asked in ({"quality": 100}, {"psnr": 60}, {"rate": 24}, {"size": len(lossless)}):
        found = codec.encode(drawing, **asked)
        assert bytes(found) == bytes(lossless)
        assert found.report.lossless
        assert not found.report.limited
    for asked in ({"quality": 0}, {"size": len(lossless) - 1}):
        found = codec.encode(drawing, **asked)
        assert len(found) < len(lossless)
        assert not found.report.lossless


def test_drawings_are_not_kept_where_that_is_not_asked(tiny_codec, drawing):
    for asked in ({"lossless": False}, {"entropy": "none"}):
        assert not tiny_codec.encode(drawing, quality=100, **asked).report.lossless


def test_a_region_of_a_drawing_is_kept_with_it(tiny_codec, drawing):
    roi = Roi.box(*drawing.shape[:2], Box(0, 0, 16, 16))
    assert tiny_codec.encode(drawing, 24, roi=roi).report.lossless


def test_photographs_are_not_kept(tiny_codec, textured):
    assert not tiny_codec.encode(textured(64, 64), quality=100).report.lossless


def test_detail_that_the_codec_cannot_hold_is_kept(codec):
    checkers = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    assert not is_drawn(checkers)
    found = codec.encode(checkers, quality=90)
    assert found.report.lossless
    assert np.array_equal(codec.decode_picture(found).pixels, checkers)
    lossy = codec.encode(checkers, quality=90, lossless=False)
    assert len(found) < len(lossy)
    assert lossy.report.detail_limit_db < 20


# refusals


def test_what_excludes_each_other(tiny_codec, drawing, lossless):
    with pytest.raises(AicError, match="quality and lossless exclude each other"):
        tiny_codec.encode(drawing, quality=50, lossless=True)
    least = f"needs {len(lossless)} bytes without loss"
    with pytest.raises(AicError, match=f"100 bytes is too little for this picture, which {least}"):
        tiny_codec.encode(drawing, size=100, lossless=True)
    assert tiny_codec.encode(drawing, size=len(lossless), lossless=True) == lossless


def test_there_is_nothing_to_trim_or_to_inspect(tiny_codec, lossless):
    with pytest.raises(AicError, match="the file has no codes to leave out: decode it"):
        tiny_codec.trim(lossless, 0.1)
    with pytest.raises(AicError, match="the file has no codes, and no importance map"):
        tiny_codec.inspect(lossless)


@pytest.mark.parametrize(
    "change",
    [
        lambda tile: b"",
        lambda tile: tile[:4],
        lambda tile: tile[:20],
        lambda tile: b"\x2e" + tile[1:],
        lambda tile: tile[:1] + bytes([tile[1] ^ 1]) + tile[2:],  # another width
        lambda tile: tile[:4] + bytes([tile[4] | 0x10]) + tile[5:],  # alpha
        lambda tile: tile[:4] + bytes([tile[4] | 0x20]) + tile[5:],  # version
        lambda tile: tile[:5] + bytes(len(tile) - 5),
        lambda tile: tile[:5] + bytes(255 - x for x in tile[5:]),
    ],
)
def test_tiles_that_are_none_behind_right_checksums(tiny_codec, lossless, change):
    header, (tile,), chunks = container.unpack(lossless)
    data = container.pack(header, [change(tile)], chunks)
    with pytest.raises(FormatError, match="lossless WebP"):
        tiny_codec.decode(data)


def test_damage_inside_of_a_tile_is_a_picture_or_a_refusal(tiny_codec, lossless):
    header, (tile,), chunks = container.unpack(lossless)
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(tile)
        for position in rng.integers(5, len(tile), 3):
            broken[position] = rng.integers(256)
        with suppress(FormatError):
            found = tiny_codec.decode(container.pack(header, [bytes(broken)], chunks))
            assert found.shape == (128, 128, 3)

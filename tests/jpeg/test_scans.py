"""JPEG files taken apart and put together again."""

import io
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from jpeg_files import jpeg, opened, padded, picture
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.jpeg import lanes, scan_reader, scan_writer, syntax


def rebuilt(data):
    return padded(data, 255)


def test_every_kind_comes_back(kind):
    parts, blocks, pads = opened(kind)
    for scan, pad in zip(parts.scans, pads, strict=True):
        assert scan_writer.encode(scan, parts.frame, blocks, pad) == scan.coded


def test_the_skeleton_says_the_same_as_the_file(kind):
    parts = syntax.read(kind)
    again = syntax.read(parts.skeleton, is_skeleton=True)
    assert again.frame == parts.frame
    assert len(again.scans) == len(parts.scans)
    coded = sum(len(scan.coded) for scan in parts.scans)
    assert len(parts.skeleton) + coded == len(kind)
    for one, two in zip(again.scans, parts.scans, strict=True):
        assert (one.start, one.end, one.high, one.low, one.after) == (
            two.start, two.end, two.high, two.low, two.after,
        )  # fmt: skip


def test_coefficients_are_those_of_the_picture():
    """Of a grey block: the mean alone, and what a cosine is."""
    flat = np.full((8, 8), 168, np.uint8)
    parts, blocks, _ = opened(jpeg(flat, "L", quality=50))
    assert blocks[0, 0] == round(8 * (168 - 128) / parts.steps[0][0])
    assert not blocks[0, 1:].any()
    wave = 128 + 100 * np.cos((2 * np.arange(8) + 1) * np.pi / 16)
    _, blocks, _ = opened(jpeg(np.tile(wave, (8, 1)).astype(np.uint8), "L", quality=50))
    assert blocks[0, 1] > 10  # along the row comes first in zigzag order
    assert blocks[0, 2] == 0


def test_progressive_and_sequential_files_hold_the_same():
    one, two = jpeg(quality=80), jpeg(quality=80, progressive=True)
    assert np.array_equal(opened(one)[1], opened(two)[1])


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 17), (16, 16), (1, 300), (300, 1)])
@pytest.mark.parametrize("progressive", [False, True])
def test_odd_sizes(size, progressive):
    data = jpeg(picture(*size), progressive=progressive)
    assert rebuilt(data) == data


def test_lanes_fall_into_step():
    """A file of many lanes, of which most begin in the midst of a symbol."""
    data = jpeg(picture(400, 500), quality=92)
    parts, blocks, _ = opened(data)
    assert len(parts.scans[0].coded) * 8 > 20 * lanes.LANE_BITS
    assert rebuilt(data) == data


def test_a_scan_is_decoded_in_pieces(kind, monkeypatch):
    parts, blocks, pads = opened(kind)
    monkeypatch.setattr(scan_reader, "PIECE_BYTES", 301)
    monkeypatch.setattr(scan_reader, "PIECE_BLOCKS", 5)
    _, found, its_pads = opened(kind)
    assert np.array_equal(found, blocks)
    assert its_pads == pads


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 1}])
def test_pieces_may_be_as_small_as_a_byte_and_a_block(monkeypatch, options):
    data = jpeg(picture(18, 35), **options)
    _, blocks, pads = opened(data)
    monkeypatch.setattr(scan_reader, "PIECE_BYTES", 1)
    monkeypatch.setattr(scan_reader, "PIECE_BLOCKS", 1)
    _, found, its_pads = opened(data)
    assert np.array_equal(found, blocks)
    assert its_pads == pads


def test_damage_in_pieces_is_never_a_bug(kind, monkeypatch):
    monkeypatch.setattr(scan_reader, "PIECE_BYTES", 301)
    monkeypatch.setattr(scan_reader, "PIECE_BLOCKS", 20)
    rng = np.random.default_rng(12)
    for _ in range(3):
        data = bytearray(kind)
        for place in rng.integers(len(data) // 2, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        with suppress(ImageError):
            opened(bytes(data))


@pytest.mark.parametrize("progressive", [False, True])
def test_memory_does_not_grow_with_the_coded_bytes(monkeypatch, progressive):
    monkeypatch.setattr(scan_reader, "PIECE_BYTES", 2**12)
    monkeypatch.setattr(scan_reader, "PIECE_BLOCKS", 2**6)
    noise = np.random.default_rng(5).integers(0, 256, (256, 512), dtype=np.uint8)
    data = jpeg(noise, "L", quality=95, progressive=progressive)
    tracemalloc.start()
    opened(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) > 1e5
    assert peak < 30 * noise.size  # at once it takes 92 and 130


def test_runs_longer_than_a_symbol_can_say():
    flat = np.full((8 * 260, 8 * 130), 77, np.uint8)
    flat[0, 0] = flat[-1, -1] = 255
    data = jpeg(flat, "L", progressive=True)
    assert opened(data)[0].frame.num_blocks > scan_writer.MOST_RUN
    assert rebuilt(data) == data


def test_corrections_that_libjpeg_holds_back_end_runs():
    """Blocks that were all there before: many corrections in each, no new coefficient."""
    noise = np.random.default_rng(5).integers(0, 256, (256, 256), dtype=np.uint8)
    data = jpeg(noise, "L", quality=98, progressive=True)
    assert rebuilt(data) == data


@pytest.mark.parametrize("pad", [0, 0b0101010])
@pytest.mark.parametrize("options", [{"restart_marker_blocks": 2}, {"progressive": True}])
def test_padding_of_other_bits_is_found(pad, options):
    data = padded(jpeg(**options), pad)
    parts, blocks, pads = opened(data)
    assert any(value != 255 for scan in pads for value in scan)
    for scan, found in zip(parts.scans, pads, strict=True):
        assert scan_writer.encode(scan, parts.frame, blocks, found) == scan.coded


def marked(data, old, new):
    """The file with another marker."""
    assert data.count(bytes([0xFF, old])) == 1
    return data.replace(bytes([0xFF, old]), bytes([0xFF, new]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JPEG file"),
        (b"\x89PNG", "not a JPEG file"),
        (b"\x89AIC\1\1", "a packed JPEG file, which `aic unpack` gives back"),
        (b"\x89AIC\1\0", "an .aic file, which `aic decode` decodes"),
        (jpeg()[:2], "no picture"),
        (jpeg()[:100], "segment is cut"),
        (marked(jpeg(), 0xC0, 0xC9), "arithmetic coding"),
        (marked(jpeg(), 0xC0, 0xC3), "lossless"),
        (marked(jpeg(), 0xC0, 0xC5), "hierarchical"),
        (marked(jpeg(), 0xC0, 0xDC), "number of lines"),
        (jpeg().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "12 bits a sample"),
        (
            jpeg().replace(b"\xff\xc0\x00\x11\x08\x00", b"\xff\xc0\x00\x11\x08\xff"),
            "damaged|too early",
        ),
        (
            jpeg().replace(b"\xff\xc0\x00\x11\x08\x00K", b"\xff\xc0\x00\x11\x08\x00\x00"),
            "a number of lines that is not in",
        ),
        (jpeg()[:600] + jpeg()[-2:], "segment is cut"),
        (jpeg()[:-500], "damaged|too early"),
        (jpeg(restart_marker_blocks=2).replace(b"\xff\xd3", b""), "restart intervals"),
    ],
)
def test_what_cannot_be_read_is_refused(data, reason):
    with pytest.raises(ImageError, match=reason):
        opened(data)


def test_damage_is_refused_or_read_but_never_a_bug(kind):
    rng = np.random.default_rng(11)
    for _ in range(30):
        data = bytearray(kind)
        for place in rng.integers(2, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        with suppress(ImageError):
            parts, blocks, pads = opened(bytes(data))
            for scan, pad in zip(parts.scans, pads, strict=True):
                scan_writer.encode(scan, parts.frame, blocks, pad)


def test_the_tables_of_a_picture_are_those_of_its_first_scan():
    data = jpeg(quality=70)
    parts = syntax.read(data)
    with Image.open(io.BytesIO(data)) as image:
        tables = image.quantization
    for component, steps in zip(parts.frame.components, parts.steps, strict=True):
        found = np.array(tables[component.table])
        assert sorted(found) == sorted(steps)
        assert steps[0] == found[0]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_scan_without_data_is_refused(progressive):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "JPEG", progressive=progressive)
    data = file.getvalue()
    at = data.index(b"\xff\xda")
    header = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    parts = syntax.read(data[: at + header] + b"\xff\xd9")
    blocks = np.zeros((parts.frame.num_blocks, 64), np.int16)
    with pytest.raises(ImageError, match="^a scan without coded data$"):
        scan_reader.decode(parts.scans[0], parts.frame, blocks)

"""The container: exact bytes, round trips, both sides of each limit, damage and abuse."""

import json
import math
import re
import struct
import tracemalloc
import zlib
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcodec.errors import AicError, FormatError, ImageError, ModelMismatchError, TileError
from imgcodec.files import stored
from imgcodec.format import container
from imgcodec.format.container import (
    ENTROPIES,
    MAX_EDGE,
    Header,
    check_chunks,
    info,
    overhead_bytes,
    pack,
    unpack,
)
from imgcodec.format.damaged import DamagedFile

MODEL_ID = bytes.fromhex("0011223344556677")
ONE_TILE = bytes.fromhex(
    "89414943 01 00 03 01 05000000 03000000 0080 0000 0011223344556677 00"
    "03000000 1d80bc55"
    "46ccd944"
    "010203"
)
TWO_TILES = bytes.fromhex(
    "89414943 01 00 01 00 64000000 1e000000 ffff 0100 0011223344556677 02"
    "04000000 68e7677a 05000000 1475cab4"
    "23109dd8"
    "6e6f5445 02000000 98c02a33 6869"
    "4d555354 00000000 dd28dddf"
    "6c656674 7269676874"
)
TWO_TILES_PARTS = (
    Header(100, 30, channels=1, entropy=0, u=65535, tile=1, model_id=MODEL_ID),
    [b"left", b"right"],
    [(b"noTE", b"hi"), (b"MUST", b"")],
)


def header(**changes):
    """A valid header of one tile, with changes."""
    fields = {"width": 5, "height": 3, "channels": 3, "entropy": 1, "u": 32768, "tile": 0}
    return Header(**{**fields, "model_id": MODEL_ID, **changes})


def sealed(entries=((3, 0x55BC801D),), body=b"\1\2\3", **changes):
    """A file written without `pack`: any values in the header, its checksum always right."""
    fields = {"magic": b"\x89AIC", "version": 1, "method": 0, "channels": 3, "entropy": 1}
    fields |= {"width": 5, "height": 3, "u": 32768, "tile": 0, "model_id": MODEL_ID, "chunks": 0}
    assert changes.keys() <= fields.keys()
    head = struct.pack("<4s4B2I2H8sB", *{**fields, **changes}.values())
    head += b"".join(struct.pack("<2I", *entry) for entry in entries)
    return head + struct.pack("<I", zlib.crc32(head)) + body


def chunk(kind, data, length=None, crc=None):
    """The bytes of a chunk, with a wrong length or checksum if given."""
    length = len(data) if length is None else length
    return struct.pack("<4s2I", kind, length, crc or zlib.crc32(kind + data)) + data


class Fake(bytes):
    """Bytes that claim a length which no test can afford."""

    claimed = 0

    def __len__(self):
        return self.claimed


class Longest(Fake):
    claimed = 2**32 - 1


class TooLong(Fake):
    claimed = 2**32


def test_exact_bytes_of_one_tile():
    assert pack(header(), [b"\1\2\3"]) == ONE_TILE
    assert unpack(ONE_TILE) == (header(), [b"\1\2\3"], [])
    assert sealed() == ONE_TILE


def test_exact_bytes_without_loss():
    data = sealed(method=2, entropy=0, u=0, model_id=bytes(8))
    parts = header(method=2, entropy=0, u=0, model_id=bytes(8)), [b"\1\2\3"], []
    assert pack(*parts) == data
    assert unpack(data) == parts
    assert info(data)["method"] == 2


def test_exact_bytes_of_two_tiles_with_chunks():
    assert pack(*TWO_TILES_PARTS) == TWO_TILES
    assert unpack(TWO_TILES) == TWO_TILES_PARTS


def test_example_of_the_format_page():
    page = Path(__file__).parents[2].joinpath("docs", "format.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```hex\n(.*?)```", page, re.DOTALL)
    assert bytes.fromhex(example) == ONE_TILE


def test_what_is_like_bytes():
    apart = memoryview(bytes(both for byte in TWO_TILES for both in (byte, 0)))[::2]
    for same in (bytearray(TWO_TILES), memoryview(TWO_TILES), array("B", TWO_TILES), apart):
        assert unpack(same) == TWO_TILES_PARTS


@pytest.mark.parametrize("data", [None, "picture.aic", 7, [1, 2]])
def test_what_is_no_bytes(data):
    with pytest.raises(TypeError, match="bytes-like"):
        unpack(data)


def test_overhead():
    assert overhead_bytes(1) == 41 == len(ONE_TILE) - len(b"\1\2\3")
    assert overhead_bytes(1) < 48
    chunks = TWO_TILES_PARTS[2]
    assert overhead_bytes(2, chunks) == 75 == len(TWO_TILES) - len(b"leftright")


@pytest.mark.parametrize(
    ("width", "height", "tile", "grid"),
    [
        (5, 3, 0, (1, 1)),
        (65535, 1, 0, (1, 1)),
        (1, 65535, 0, (1, 1)),
        (65, 1, 1, (1, 2)),
        (128, 64, 1, (1, 2)),
        (129, 65, 1, (2, 3)),
        (1, 65535, 1, (1024, 1)),
        (32768, 32768, 1, (512, 512)),
        (65535, 16384, 16, (16, 64)),
        (65535, 1, 64, (1, 16)),
    ],
)
def test_grid(width, height, tile, grid):
    assert header(width=width, height=height, tile=tile).grid == grid


@st.composite
def parts(draw):
    """Header, tiles and chunks of a valid file with at most 64 tiles."""
    width = draw(st.integers(1, 65535))
    height = draw(st.integers(1, min(65535, MAX_EDGE**2 // width)))
    tile = draw(st.integers(1, 64))
    edge = 64 * tile
    if edge >= max(width, height) or math.ceil(width / edge) * math.ceil(height / edge) > 64:
        tile = 0
    u = draw(st.integers(0, 65535))
    model_id = draw(st.binary(min_size=8, max_size=8))
    made = Header(
        width, height, draw(st.sampled_from([1, 3])), draw(st.integers(0, 1)), u, tile, model_id
    )
    count = math.prod(made.grid)
    tiles = draw(st.lists(st.binary(max_size=20), min_size=count, max_size=count))
    kinds = st.from_regex(rb"[A-Za-z]{4}", fullmatch=True)
    chunks = draw(st.dictionaries(kinds, st.binary(max_size=20), max_size=4))
    return made, tiles, list(chunks.items())


@settings(deadline=None)
@given(parts())
def test_round_trip(made):
    data = pack(*made)
    assert unpack(data) == made
    assert len(data) == overhead_bytes(len(made[1]), made[2]) + sum(map(len, made[1]))


@settings(deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_give_a_result_or_a_format_error(data, begins_well):
    data = b"\x89AIC\x01\x00" + data if begins_well else data
    try:
        assert pack(*unpack(data)) == data
    except FormatError:
        pass


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "channels": st.sampled_from([1, 3, 2]),
            "entropy": st.integers(0, 2),
            "width": st.integers(0, 200) | st.integers(0, 2**32 - 1),
            "height": st.integers(0, 200) | st.integers(0, 2**32 - 1),
            "tile": st.integers(0, 3) | st.integers(0, 65535),
            "chunks": st.integers(0, 2),
        }
    ),
    st.lists(st.just((0, 0)) | st.tuples(*[st.integers(0, 2**32 - 1)] * 2), max_size=6),
    st.binary(max_size=40),
)
def test_any_header_with_a_right_checksum_gives_a_result_or_a_format_error(fields, entries, body):
    data = sealed(entries, body, **fields)
    try:
        assert pack(*unpack(data)) == data
    except FormatError:
        pass


@pytest.mark.parametrize("field", ["width", "height"])
def test_limits_of_a_side(field):
    for side in (1, 65535):
        assert getattr(header(**{field: side}), field) == side
        assert getattr(unpack(sealed(**{field: side}))[0], field) == side
    for side in (-1, 0, 65536, 2**31):
        with pytest.raises(FormatError, match=rf"^{field} {side} is outside 1\.\.65535$"):
            header(**{field: side})
    for side in (0, 65536, 2**31):
        with pytest.raises(FormatError, match=rf"^{field} {side} is outside 1\.\.65535$"):
            unpack(sealed(**{field: side}))


@pytest.mark.parametrize(("width", "height"), [(32768, 32768), (65535, 16384), (16384, 65535)])
def test_limit_of_pixels(width, height):
    size = {"width": width, "height": height, "tile": 64}
    tiles = ((0, 0),) * math.prod(header(**size).grid)
    assert unpack(sealed(tiles, b"", **size))[0] == header(**size)
    pixels = width * (height + 1) if height < 65535 else (width + 1) * height
    wider, higher = (width + 1, height) if height == 65535 else (width, height + 1)
    with pytest.raises(FormatError, match=f"^number of pixels {pixels} is outside 1..1073741824$"):
        unpack(sealed(width=wider, height=higher))


@pytest.mark.parametrize(("width", "height"), [(4096, 4096), (65535, 256), (1, 65535)])
def test_limit_of_one_tile(width, height):
    assert unpack(sealed(width=width, height=height))[0] == header(width=width, height=height)
    wider, higher = (width + 1, height) if width < 65535 else (width, height + 1)
    if wider * higher > 2**24:
        match = f"^one tile of {wider}x{higher} pixels, at most 16777216 are allowed$"
        with pytest.raises(FormatError, match=match):
            unpack(sealed(width=wider, height=higher))


def test_channels():
    for channels in (1, 3):
        assert unpack(sealed(channels=channels))[0].channels == channels
    for channels in (0, 2, 4, 255):
        with pytest.raises(FormatError, match=f"^channels {channels} is neither 1 nor 3$"):
            unpack(sealed(channels=channels))


def test_entropy():
    assert ENTROPIES == ("none", "range")
    for entropy in (0, 1):
        assert unpack(sealed(entropy=entropy))[0].entropy == entropy
    with pytest.raises(FormatError, match=r"^entropy 2 is outside 0\.\.1$"):
        unpack(sealed(entropy=2))
    with pytest.raises(FormatError, match=r"^entropy -1 is outside 0\.\.1$"):
        header(entropy=-1)


def test_u():
    for u in (0, 65535):
        assert unpack(pack(header(u=u), [b""]))[0].u == u
    for u in (-1, 65536):
        with pytest.raises(FormatError, match=rf"^u {u} is outside 0\.\.65535$"):
            header(u=u)


def test_tile_edge():
    two = ((0, 0), (0, 0))
    assert unpack(sealed(two, b"", width=65, tile=1))[1] == [b"", b""]
    assert unpack(sealed(two, b"", height=65, tile=1))[1] == [b"", b""]
    for side, tile in ((64, 1), (65, 2), (65535, 1024), (65535, 65535)):
        match = f"^tile edge {64 * tile} for {side}x3, one tile has 0$"
        with pytest.raises(FormatError, match=match):
            unpack(sealed(width=side, tile=tile))
    with pytest.raises(FormatError, match=r"^tile edge 4160 is outside 0\.\.4096$"):
        header(width=65535, tile=65)
    with pytest.raises(FormatError, match="^tile edge -64 for 5x3"):
        header(tile=-1)


def test_length_of_the_model_id():
    for length in (0, 7, 9):
        with pytest.raises(FormatError, match=f"^model id has {length} bytes, not 8$"):
            header(model_id=bytes(length))


def test_number_of_tiles():
    for count in (0, 2):
        with pytest.raises(FormatError, match=f"^{count} tiles, the header has 1$"):
            pack(header(), [b""] * count)
    with pytest.raises(FormatError, match="^1 tiles, the header has 6$"):
        pack(header(width=129, height=65, tile=1), [b""])


def test_number_of_chunks():
    kinds = [bytes([97 + i // 26, 97 + i % 26]) + b"aa" for i in range(256)]
    chunks = [(kind, b"") for kind in kinds]
    assert unpack(pack(header(), [b"x"], chunks[:255])) == (header(), [b"x"], chunks[:255])
    with pytest.raises(FormatError, match=r"^number of chunks 256 is outside 0\.\.255$"):
        pack(header(), [b"x"], chunks)


def test_longest_tile_and_chunk():
    data = pack(header(), [Longest()])
    assert data[29:37].hex() == "ffffffff00000000"
    assert pack(header(), [b""], [(b"aaaa", Longest())])[45:49].hex() == "ffffffff"
    match = r"^length of a tile or chunk 4294967296 is outside 0\.\.4294967295$"
    with pytest.raises(FormatError, match=match):
        pack(header(), [TooLong()])
    with pytest.raises(FormatError, match=match):
        pack(header(), [b""], [(b"aaaa", TooLong())])


@pytest.mark.parametrize("kind", [b"abc", b"abcde", b"abc1", b"ab d", b"abc\xe9", b"\x1b[2J", b""])
def test_type_of_chunk_is_letters(kind):
    match = f"^chunk type {re.escape(repr(kind))} is not four letters$"
    with pytest.raises(FormatError, match=match):
        pack(header(), [b""], [(kind, b"")])
    if len(kind) == 4:
        with pytest.raises(FormatError, match=match):
            unpack(sealed(body=chunk(kind, b"") + b"\1\2\3", chunks=1))


def test_type_of_chunk_occurs_once():
    with pytest.raises(FormatError, match="^a type of chunk occurs twice$"):
        pack(header(), [b""], [(b"abcd", b"1"), (b"abcd", b"2")])
    body = chunk(b"abcd", b"1") + chunk(b"abcd", b"2") + b"\1\2\3"
    with pytest.raises(FormatError, match="^a type of chunk occurs twice$"):
        unpack(sealed(body=body, chunks=2))
    both = [(b"abcd", b"1"), (b"abcD", b"2")]  # types that differ by case are two types
    assert unpack(pack(header(), [b""], both))[2] == both


def test_order_of_chunks_is_kept():
    for chunks in ([(b"aaaa", b"1"), (b"bbbb", b"2")], [(b"bbbb", b"2"), (b"aaaa", b"1")]):
        assert unpack(pack(header(), [b"x"], chunks))[2] == chunks


def test_unknown_chunks():
    chunks = [(b"optI", b"kept"), (b"Must", b"kept too")]
    assert unpack(pack(header(), [b"x"], chunks))[2] == chunks
    check_chunks(chunks[:1], known=())
    check_chunks(chunks, known={b"Must"})
    with pytest.raises(FormatError, match="^chunk Must is mandatory and not known$"):
        check_chunks(chunks, known={b"optI", b"must", b"MUST"})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes, a header has at least 29"),
        (b"A", "1 byte, a header has at least 29"),
        (ONE_TILE[:28], "28 bytes, a header has at least 29"),
        (sealed(magic=b"\x89PNG"), "not an .aic file"),
        (sealed(version=0), "version 0, method 0, this decoder knows 1 and 0 to 2"),
        (sealed(version=2), "version 2, method 0, this decoder knows 1 and 0 to 2"),
        (sealed(method=3), "version 1, method 3, this decoder knows 1 and 0 to 2"),
        (sealed(method=2), "without loss, but with an entropy coder, a rate or a model"),
        (
            sealed(method=2, entropy=0, model_id=bytes(8)),
            "without loss, but with an entropy coder, a rate or a model",
        ),
        (
            sealed(method=2, entropy=0, u=0),
            "without loss, but with an entropy coder, a rate or a model",
        ),
        (sealed(method=1), "a packed JPEG file, which `aic unpack` gives back as it was"),
        (ONE_TILE[:29], "29 bytes, this header with its index has 41"),
        (ONE_TILE[:40], "40 bytes, this header with its index has 41"),
        (ONE_TILE[:41], "41 bytes, the header claims 44"),
        (ONE_TILE + b"\0", "45 bytes, the header claims 44"),
        (ONE_TILE[:37] + b"\0" + ONE_TILE[38:], "checksum mismatch in the header"),
        (sealed(((3, 1),)), "checksum mismatch in tile 0"),
        (sealed(((0, 0), (1, 7)), b"\0", width=65, tile=1), "checksum mismatch in tile 1"),
        (sealed(((2, 0),)), "44 bytes, the header claims 43"),
        (sealed(chunks=1), "44 bytes, the head of a chunk ends at 53"),
        (sealed(((0, 0),), chunk(b"abcd", b"")[:11], chunks=1),
         "52 bytes, the head of a chunk ends at 53"),
        (sealed(((0, 0),), chunk(b"abcd", b"xy", length=3), chunks=1),
         "chunk abcd claims 3 bytes, 2 are left"),
        (sealed(((0, 0),), chunk(b"abcd", b"xy", crc=1), chunks=1),
         "checksum mismatch in chunk abcd"),
        (sealed(((0, 0),), chunk(b"abcd", b"xy"), chunks=0), "55 bytes, the header claims 41"),
        (sealed(chunks=2, body=chunk(b"abcd", b"xy") + b"\1\2\3"),
         "58 bytes, the head of a chunk ends at 67"),
    ],
)  # fmt: skip
def test_refusal_names_its_reason(data, reason):
    with pytest.raises(FormatError, match=f"^{re.escape(reason)}$"):
        unpack(data)


def test_chunk_may_end_the_file():
    data = sealed(((0, 0),), chunk(b"abcd", b"xy"), chunks=1)
    assert unpack(data) == (header(), [b""], [(b"abcd", b"xy")])


def test_another_spelling_is_refused(monkeypatch):
    monkeypatch.setattr(container, "pack", lambda *parts: ONE_TILE[:-1] + b"\4")
    with pytest.raises(FormatError, match="^not spelled as it would be written$"):
        unpack(ONE_TILE)


def test_swapped_tiles_are_refused():
    with pytest.raises(FormatError, match="^checksum mismatch in tile 0$"):
        unpack(TWO_TILES.replace(b"leftright", b"rightleft"))


def test_every_truncation_is_refused():
    for length in range(len(TWO_TILES)):
        with pytest.raises(FormatError):
            unpack(TWO_TILES[:length])


def test_every_flipped_bit_is_refused():
    for bit in range(8 * len(TWO_TILES)):
        damaged = bytearray(TWO_TILES)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            unpack(bytes(damaged))


@pytest.mark.parametrize("bits", [1, 3])
def test_tiles_are_found_whatever_is_damaged_of_chunks(bits):
    """And chunks: single bits are set right, others cost their chunk, lengths those after it."""
    header, tiles, chunks = TWO_TILES_PARTS
    first = len(pack(header, tiles)) - len(b"leftright")
    second = first + len(chunk(*chunks[0]))
    for place in range(first, len(TWO_TILES) - len(b"leftright")):
        for shift in range(8):
            damaged = bytearray(TWO_TILES)
            damaged[place] ^= (bits << shift) % 255
            found = DamagedFile(bytes(damaged))
            assert [found.tile(number) for number in range(2)] == tiles
            assert found.excess == 0
            assert len(found.chunks) + len(found.lost) == 2
            here, within = (0, place - first) if place < second else (1, place - second)
            others = [one for number, one in enumerate(chunks) if number != here]
            if within in range(4, 8):  # a length
                assert found.chunks == [one for one in others if here]
            elif found.lost:
                assert found.chunks == others
                assert bits == 3 or within < 4  # no type, but for letters
            else:
                assert found.chunks == chunks
                assert len(found.mended) == 1


def test_what_is_cut_or_too_long_has_its_chunks_all_the_same():
    header, tiles, chunks = TWO_TILES_PARTS
    lost = bytearray(TWO_TILES)
    lost[TWO_TILES.index(b"hi")] ^= 3
    for data in (lost[:-3], lost + b"extra"):
        found = DamagedFile(bytes(data))
        assert (found.tile(0), found.chunks) == (b"left", chunks[1:])
        assert found.lost == ["checksum mismatch in chunk noTE"]
    assert found.excess == 5
    assert DamagedFile(pack(header, [b"left", b""]) + b"extra").excess == 5
    within = DamagedFile(TWO_TILES[: TWO_TILES.index(b"hi")])
    assert (within.chunks, len(within.lost)) == ([], 2)
    with pytest.raises(FormatError, match="tile 0 is cut: 0 of 4 bytes"):
        within.tile(0)


@pytest.mark.parametrize("by", [-3, -1, 1, 5])
def test_tiles_are_found_behind_bytes_that_are_missing_or_too_many(by):
    header, tiles, chunks = TWO_TILES_PARTS
    whole = pack(header, [b"the left one", b"right"], chunks)
    place = whole.index(b"left")
    data = whole[:place] + bytes(max(by, 0)) + whole[place - min(by, 0) :]
    for lost in (False, True):
        found = DamagedFile(data)
        assert (found.tile(1), found.excess) == (b"right", 0)
        with pytest.raises(FormatError, match="^checksum mismatch in tile 0$"):
            found.tile(0)
        if lost:
            assert (len(found.lost), found.mended) == (1, {})
        else:
            many = f"{abs(by)} byte{'s' * (abs(by) > 1)}"
            way = "late" if by > 0 else "early"
            assert found.mended == {1: f"tile 1 stands {many} too {way}"}
            data = data.replace(b"hi", b"ih")


def test_what_is_cut_is_not_taken_for_moved():
    header, _, chunks = TWO_TILES_PARTS
    for tiles in ([b"same", b"same"], [b"left", b""]):
        whole = pack(header, tiles, chunks)
        found = DamagedFile(whole[:-1])
        with pytest.raises(TileError) as error:
            found.tile(0 if tiles[1] == b"" else 1)
        assert (error.value.data, error.value.length) == (tiles[0][:3], 4)
    found = DamagedFile(pack(header, [b"same", b"same"])[:-4])
    assert [found.tile(number) for number in range(2)] == [b"same", b"same"]
    assert found.mended == {1: "tile 1 stands 4 bytes too early"}  # nothing else can be told


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 255))
def test_any_bytes_after_the_index_have_a_place_of_the_tiles(body, chunks):
    found = DamagedFile(sealed(body=body, chunks=chunks))
    assert len(found.chunks) + len(found.lost) == chunks
    try:
        assert zlib.crc32(found.tile(0)) == 0x55BC801D
    except FormatError:
        pass


LONGEST = 2**32 - 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (sealed(width=4096, height=4096), None),
        (sealed(width=32768, height=32768), "one tile of 32768x32768 pixels"),
        (sealed(width=65536, height=16384), "width 65536"),
        (sealed(width=2**32 - 1, height=2**32 - 1), "width 4294967295"),
        (sealed(width=32768, height=32768, tile=1), "44 bytes, this header .* has 2097185"),
        (sealed(((LONGEST, 0),)), "44 bytes, the header claims 4294967336"),
        (sealed(((LONGEST, 0),) * 16, width=1024, tile=1), "164 bytes, the header claims"),
        (sealed(body=chunk(b"abcd", b"", LONGEST), chunks=255), "claims 4294967295 bytes, 0 are"),
    ],
)
def test_claims_allocate_nothing(data, reason):
    tracemalloc.start()
    try:
        if reason is None:
            assert unpack(data)[0].width == 4096
            assert info(data)["bytes"] == 44
        else:
            with pytest.raises(FormatError, match=reason):
                unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_info():
    expected = {
        "version": 1,
        "method": 0,
        "width": 100,
        "height": 30,
        "channels": 1,
        "entropy": "none",
        "u": 1.0,
        "tile": 64,
        "grid": [1, 2],
        "model_id": "0011223344556677",
        "bytes": 84,
        "bpp": 0.224,
        "tiles": [{"bytes": 4}, {"bytes": 5}],
        "chunks": [{"type": "noTE", "bytes": 2}, {"type": "MUST", "bytes": 0}],
    }
    assert info(TWO_TILES) == expected
    assert json.loads(json.dumps(info(TWO_TILES))) == expected


def test_info_of_one_tile():
    facts = info(ONE_TILE)
    assert (facts["entropy"], facts["tile"], facts["grid"]) == ("range", 0, [1, 1])
    assert facts["u"] == 32768 / 65535
    assert facts["bpp"] == 8 * 44 / 15


def test_info_refuses_what_unpack_refuses():
    with pytest.raises(FormatError, match="^44 bytes, the header claims 45$"):
        info(sealed(((4, 0),)))


def test_errors_share_one_base():
    for error in (FormatError, ModelMismatchError, ImageError):
        assert issubclass(error, AicError)
    assert not issubclass(AicError, ValueError)


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    """Were it mapped, the system would end the process."""
    path = tmp_path / "a.aic"
    for length in range(len(TWO_TILES)):
        path.write_bytes(TWO_TILES)
        with stored(path) as data:
            path.write_bytes(TWO_TILES[:length])
            with pytest.raises(FormatError, match="^was cut while it was read$"):
                [container.File(data).tile(number) for number in range(2)]
    path.write_bytes(TWO_TILES)
    with stored(path) as data:
        file = container.File(data)
        assert (file.header, [file.tile(0), file.tile(1)], file.chunks) == TWO_TILES_PARTS

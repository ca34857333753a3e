"""JPEG files packed and unpacked, whole and damaged."""

import hashlib
import io
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fuzz_pack import sealed, target
from jpeg_files import jpeg, opened, padded, picture
from PIL import Image

import imgcodec
from imgcodec import releases
from imgcodec.entropy.range_coder import RangeEncoder
from imgcodec.errors import AicError, FormatError, ImageError, ModelMismatchError
from imgcodec.format import container, packed
from imgcodec.jpeg import optimal, packing, scan_writer, standard, syntax
from imgcodec.jpeg.packing import coding, network, skeletons
from imgcodec.pictures.headers.unread import passed_over

GOLDEN = Path(__file__).parent / "golden"
PROMISED = {  # SHA-256 of every golden file; lines are added, never changed
    "plain.aic": "3872d49decc04c240857b83183765bec508eeef6fb19f119e4872428567d81e8",
    "progressive.aic": "88218b0af713f5db4492b5f110f12aa38dc11b673079727b8bb38d21b85341f7",
    "restarts.aic": "f78d9efc74da730d77f564406ff49669fc261484e36d49647894686a608dab9e",
    "grey.aic": "6ec902e0fb0f0b2c8c027d3242ee2d5db6696103b19f057f855ac500f14fd956",
    "optimised-1.2.aic": "a238046520da6d79e4589170a2635ba00a4d2d427408817bd03e7e77c70f9fe1",
    "progressive-1.2.aic": "e520b060d51c9550083a410682c0c997373133da1b1481b967abbdfa4b2e938f",
    "restarts-1.2.aic": "7c551edbe62033bd642c3fda90cc1e260e347008edd2b7f6a6f50f93c6d2ca31",
    "grey-1.2.aic": "00374d117de7072865707584b44363ce0ff52b05ece355f4c24f7e726b02c170",
}
FEW_KINDS = ("RGB 2 plain", "RGB 0 progressive", "grey", "CMYK progressive")
PHOTO = jpeg(quality=85)
PACKED = packing.pack(PHOTO)


def test_every_kind_comes_back(kind):
    made = packing.pack(kind)
    assert packing.unpack(made) == kind


def test_photographs_get_smaller():
    """By more than the trimmed tables, as a file without noise shows."""
    data = jpeg(picture(256, 384), quality=85)
    assert len(packing.pack(data)) < 0.9 * len(data)


def test_what_stands_around_the_picture_comes_back():
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + bytes(range(256)) * 20
    data = (
        jpeg(exif=exif, comment=b"a comment", icc_profile=b"colours" * 99) + b"trailing \xff\xd8\0"
    )
    assert packing.unpack(packing.pack(data)) == data


def test_no_end_of_picture():
    assert PHOTO.endswith(b"\xff\xd9")
    data = PHOTO[:-2]
    assert packing.unpack(packing.pack(data)) == data


@pytest.mark.parametrize("pad", [0, 0b0101010])
def test_padding_of_any_bits_comes_back(pad):
    data = padded(jpeg(restart_marker_blocks=2), pad)
    assert data != padded(data, 255)
    assert packing.unpack(packing.pack(data)) == data


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("zeros", [slice(0, 1), slice(1, 64), slice(0, 64)])
def test_steps_of_zero_come_back(zeros):
    """Decoders make one grey of them, but a file is a file."""
    data = bytearray(PHOTO)
    for start in (found.end() + 3 for found in re.finditer(b"\xff\xdb", PHOTO)):
        table = data[start : start + 64]
        table[zeros] = bytes(64)[zeros]
        data[start : start + 64] = table
    assert any((steps[zeros] == 0).all() for steps in syntax.read(bytes(data)).steps)
    assert packing.unpack(packing.pack(bytes(data))) == data


def test_slices_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(packing, "SLICE_BLOCKS", 60)
    made = packing.pack(PHOTO, threads=1)
    assert len(packed.unpack(made).slices) > 2
    assert packing.pack(PHOTO, threads=3) == made
    assert packing.unpack(made, threads=2) == PHOTO


def test_there_are_no_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(packing.os, "cpu_count", lambda: 2)
    taken = []
    monkeypatch.setattr(
        packing, "ThreadPoolExecutor", lambda num: taken.append(num) or ThreadPoolExecutor(num)
    )
    assert list(packing._each(abs, range(5), 100)) == list(packing._each(abs, range(5), None))
    assert taken == [2, 2]


@pytest.mark.parametrize("work", [imgcodec.pack, imgcodec.unpack, imgcodec.restore])
def test_a_number_of_threads_that_is_none(work):
    for number in (0, -3, 10**9):
        with pytest.raises(AicError, match=f"^threads {number}, wanted 1..1024$"):
            work(PACKED if work is imgcodec.unpack else PHOTO, threads=number)


def test_a_view_of_bytes_is_as_good():
    assert imgcodec.pack(memoryview(PHOTO)) == PACKED
    assert imgcodec.unpack(memoryview(PACKED)) == PHOTO
    restored = imgcodec.restore(memoryview(PHOTO))
    assert np.array_equal(restored, imgcodec.restore(PHOTO))
    for work in (imgcodec.pack, imgcodec.unpack, imgcodec.restore):
        with pytest.raises(TypeError, match="bytes-like"):
            work("photo.jpg")


def test_threads_do_not_change_the_file():
    assert packing.pack(PHOTO) == PACKED


def unusual():
    """A file with a symbol that no coder would write: a run of zeros before a block's end."""
    from imgcodec.jpeg import huffman

    flat = np.full((8, 8), 140, np.uint8)
    data = jpeg(flat, "L")
    parts, blocks, _ = opened(data)
    scan = parts.scans[0]
    table = scan.ac[0]
    items = scan_writer._sequence(
        scan, blocks, blocks[:, 0].astype(np.int64), np.zeros(1, np.int64)
    )
    values = np.insert(items.values, 1, table.codes[0xF0])
    counts = np.insert(items.counts, 1, table.lengths[0xF0])
    coded = huffman.write_bits(values, counts, np.zeros(3, np.int64), [255], False)
    return data.replace(scan.coded, coded)


def test_what_would_not_come_back_is_refused():
    with pytest.raises(ImageError, match="bit for bit"):
        packing.pack(unusual())


def test_large_pictures_are_refused_before_work():
    with pytest.raises(AicError, match="--max-pixels"):
        packing.pack(PHOTO, max_pixels=117 * 75 - 1)
    assert packing.pack(PHOTO, max_pixels=117 * 75) == PACKED
    with pytest.raises(AicError, match="--max-pixels"):
        packing.unpack(PACKED, max_pixels=117 * 75 - 1)


def test_functions_of_the_package_take_a_limit_of_pixels():
    for work, data in (
        (imgcodec.pack, PHOTO), (imgcodec.unpack, PACKED), (imgcodec.restore, PHOTO),
    ):  # fmt: skip
        with pytest.raises(
            AicError, match="117x75 pixels, at most 8774 are .* max_pixels in Python"
        ):
            work(data, max_pixels=117 * 75 - 1)


def test_a_run_of_255_takes_no_square_of_time():
    """One of 2 MB would take hours."""
    run = PHOTO[:-2] + b"\xff" * 2**21
    assert packing.unpack(packing.pack(run + b"\xff\xd9")) == run + b"\xff\xd9"
    assert len(syntax.read(run + b"\0\xff\xd9").scans) == 1
    with Image.open(io.BytesIO(run + b"\0\xff\xd9")) as picture:
        assert passed_over(picture) == []


def test_a_header_alone_holds_no_picture():
    data = PHOTO.replace(
        b"\xff\xc0\x00\x11\x08\x00K\x00u", b"\xff\xc0\x00\x11\x08\xff\xff\x3f\xff"
    )
    with pytest.raises(ImageError, match="cannot hold"):
        packing.pack(data)


def forged(data, at, value):
    """The file with other bytes in its header, and the right sum."""
    data = bytearray(data)
    data[at : at + len(value)] = value
    end = 36 + 8 * int.from_bytes(data[6:8], "little")
    data[end : end + 4] = zlib.crc32(bytes(data[:end])).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", FormatError, "a header has"),
        (PACKED[:20], FormatError, "a header has"),
        (b"\x89PNG" + PACKED[4:], FormatError, "not an .aic file"),
        (forged(PACKED, 4, b"\x02"), FormatError, "version 2, method 1"),
        (forged(PACKED, 5, b"\x00"), FormatError, "an encoded picture"),
        (PACKED[:6] + b"\x00\x00" + PACKED[8:], FormatError, "no slices"),
        (PACKED[:6] + b"\xff\xff" + PACKED[8:], FormatError, "this header with its index"),
        (PACKED[:9] + b"\x00" + PACKED[10:], FormatError, "mismatch in the header"),
        (forged(PACKED, 8, bytes(8)), ModelMismatchError, "needs weights"),
        (forged(PACKED, 16, b"\x00"), FormatError, "not the one that was packed"),
        (forged(PACKED, 20, b"\x00\x00\x00\x00"), FormatError, "not the one that was packed"),
        (forged(PACKED, 24, b"\xff\x00\x00\x00"), FormatError, "has not its"),
        (forged(PACKED, 24, b"\xff\xff\xff\xff"), FormatError, "blocks of a smaller file"),
        (forged(PACKED, 28, b"\xff\xff\xff\xff"), FormatError, "the header claims"),
        (PACKED[:-1], FormatError, "the header claims"),
        (PACKED + b"\x00", FormatError, "the header claims"),
        (PACKED[:50] + b"\x00" + PACKED[51:], FormatError, "around the blocks"),
        (PACKED[:-3] + b"\x00" + PACKED[-2:], FormatError, "mismatch in slice 0"),
    ],
)
def test_damaged_files_are_refused(data, error, reason):
    with pytest.raises(error, match=reason) as found:
        packing.unpack(data)
    assert "\n" not in str(found.value)


def test_forged_parts_are_refused_or_do_not_match():
    """Files whose sums are right, and whose parts are damaged."""
    header, frame, slices = packed.unpack(PACKED)
    around = skeletons.inflated(frame, header.frame_bytes)
    rng = np.random.default_rng(2)
    for _ in range(40):
        part = bytearray(around if rng.random() < 0.7 else slices[0])
        is_frame = len(part) == len(around)
        for place in rng.integers(0, len(part), rng.integers(1, 4)):
            part[place] = rng.integers(256)
        if is_frame:
            made = packed.pack(header, skeletons.deflated(bytes(part)), slices)
        else:
            made = packed.pack(header, frame, [bytes(part)])
        with suppress(AicError):
            assert packing.unpack(made, 10**6) == PHOTO


def test_what_is_around_the_blocks_has_its_size():
    made = skeletons.deflated(b"\xff\xd8 something")
    assert skeletons.inflated(made, 12) == b"\xff\xd8 something"
    for size in (0, 11, 13, 2**32 - 1):
        with pytest.raises(FormatError):
            skeletons.inflated(made, size)
    with pytest.raises(FormatError):
        skeletons.inflated(made + b"\x00", 12)


def test_an_encoded_picture_is_told_from_a_packed_file():
    made = Path(__file__).parents[2] / "golden" / "v1"
    for path in sorted(made.glob("*.aic")):
        with pytest.raises(FormatError, match="^an encoded picture, which `aic decode` decodes"):
            packing.unpack(path.read_bytes())


def test_other_decoders_say_what_to_do():
    with pytest.raises(FormatError, match="aic unpack"):
        container.File(PACKED)


def test_info_tells_what_is_in_it():
    facts = packed.info(PACKED)
    assert facts["method"] == 1
    assert facts["jpeg_bytes"] == len(PHOTO)
    assert facts["jpeg_crc"] == f"{zlib.crc32(PHOTO):08x}"
    assert facts["model_id"] == releases.PACKING[-1].model_id.hex()
    assert sum(part["bytes"] for part in facts["slices"]) < len(PACKED) == facts["bytes"]


def test_integers_of_all_sizes_are_coded():
    """Coefficients as large as a file may hold, and means beside them."""
    rng = np.random.default_rng(4)
    truth = rng.integers(-32767, 32768, (64, 5, 3)).astype(np.int32) >> rng.integers(
        0, 16, (64, 5, 3)
    )
    shapes = [coding.Shape(5, 3, np.full(64, 65535), 0)]
    networks = network.load(releases.PACKING[-1].path)
    encoder = RangeEncoder()
    coding.walk(shapes, [truth], coding.Coding(encoder, networks))
    from imgcodec.entropy.range_coder import RangeDecoder

    decoder = RangeDecoder(encoder.finish())
    (found,) = coding.walk(shapes, None, coding.Coding(decoder, networks))
    assert np.array_equal(found, truth)
    decoder.finish()


def test_no_weights_are_no_crash(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(AicError, match="not a weights file"):
        network.load(path)


@pytest.mark.parametrize("kind", FEW_KINDS, indirect=True)
def test_the_fuzz_target_reaches_all(kind):
    assert target(b"\2" + kind)
    made = packing.pack(kind)
    header, frame, slices = packed.unpack(made)
    around = skeletons.inflated(frame, header.frame_bytes)
    assert target(b"\0" + made)
    # the size and sum of the file are wrong there, which is found last
    with pytest.raises(FormatError, match="not the one"):
        packing.unpack(sealed(len(around).to_bytes(2, "little") + around + slices[0]))
    assert not target(b"")
    assert not target(b"\1")


def test_the_format_page_has_the_dictionary():
    page = Path(__file__).parents[3].joinpath("docs", "format.md").read_text(encoding="utf-8")
    lines = page.split("### The preset dictionary")[1].split("\n## ")[0].splitlines()
    told = "".join(line.strip() for line in lines if line.startswith("    "))
    ends = [bytes.fromhex(part) for part in told.split("...")]
    before, after = skeletons._dictionary().split(standard.HUFFMAN)
    assert ends == [before[100 * 2 * 69 :], after]  # behind the quantisation tables
    whole = skeletons._dictionary()
    assert f"It has {len(whole)} bytes and the CRC-32 `{zlib.crc32(whole):08x}`" in page


def test_golden_files_come_back():
    """Files that were packed once unpack for ever; each holds the CRC of what comes out."""
    found = sorted(GOLDEN.glob("*.aic"))
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found} == PROMISED
    for path in found:
        assert packing.unpack(path.read_bytes())[:2] == b"\xff\xd8"


def coded(skeleton, blocks):
    """A skeleton taken apart, whose tables have coded all scans."""
    parts = syntax.read(skeleton, is_skeleton=True)
    for scan in parts.scans:
        scan_writer.count(scan, parts.frame, blocks)
    return parts


def test_tables_that_follow_are_not_stored():
    """Of optimised and progressive files; the standard's are kept, which take nothing."""
    for options in ({"optimize": True}, {"progressive": True}):
        data = jpeg(quality=70, **options)
        parts, blocks, _ = opened(data)
        short = optimal.shortened(coded(parts.skeleton, blocks))
        number = len(parts.definitions)
        assert number == data.count(b"\xff\xc4") > 3
        assert short.count(b"\xff\xc4\x00\x03") == number
        found = optimal.filled(syntax.read(short, is_skeleton=True), blocks)
        assert found.skeleton == parts.skeleton
    parts, blocks, _ = opened(jpeg(quality=70))
    assert optimal.shortened(coded(parts.skeleton, blocks)) == parts.skeleton


def test_tables_of_other_coders_are_kept():
    """Two symbols of a table have each the other's code."""
    parts, blocks, _ = opened(jpeg(quality=70, optimize=True))
    skeleton = bytearray(parts.skeleton)
    place = syntax.read(parts.skeleton, is_skeleton=True).definitions[1]
    end = place.end
    skeleton[end - 1], skeleton[end - 2] = skeleton[end - 2], skeleton[end - 1]
    short = optimal.shortened(coded(bytes(skeleton), blocks))
    assert skeleton[place.start : end] in short
    assert short.count(b"\xff\xc4\x00\x03") == len(parts.definitions) - 1
    assert optimal.filled(syntax.read(short, is_skeleton=True), blocks).skeleton == skeleton


def test_short_segments_that_nothing_is_coded_with_are_refused():
    parts, blocks, _ = opened(PHOTO)
    more = b"\xff\xc4\x00\x03\x03\xff\xda"
    read = syntax.read(parts.skeleton.replace(b"\xff\xda", more), is_skeleton=True)
    with pytest.raises(ImageError, match="nothing is coded with"):
        optimal.filled(read, blocks)
    with pytest.raises(ImageError, match="damaged"):
        syntax.read(PHOTO.replace(b"\xff\xda", more))


def test_tables_are_no_longer_than_sixteen_bits():
    counts = np.zeros(256, np.int64)
    counts[:30] = np.array([1, 1, *np.cumprod(np.full(28, 1.7))], np.int64)
    body = optimal.table(counts)
    assert sum(body[:16]) == 30 == len(body) - 16
    lengths = np.repeat(np.arange(1, 17), list(body[:16]))
    assert (2.0**-lengths).sum() < 1
    sizes = [counts[list(body[16:])][lengths == length] for length in np.unique(lengths)]
    assert len(sizes) > 10
    for shorter, longer in zip(sizes[:-1], sizes[1:], strict=True):
        assert shorter.min() >= longer.max()


def test_a_coder_that_forgets_is_noticed(monkeypatch):
    """What was coded is decoded before it is returned."""
    whole = packing.RangeEncoder.finish
    monkeypatch.setattr(packing.RangeEncoder, "finish", lambda self: whole(self)[:-4] + bytes(4))
    with pytest.raises(AicError):
        packing.pack(PHOTO)


def test_python_names_do_the_same():
    assert imgcodec.pack(PHOTO) == PACKED
    assert imgcodec.unpack(PACKED) == PHOTO
    with pytest.raises(ImageError):
        imgcodec.pack(PACKED)
    with pytest.raises(FormatError):
        imgcodec.unpack(PHOTO)

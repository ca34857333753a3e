"""Pictures of all kinds that Pillow makes: read exactly, or refused in one line."""

import contextlib
import copy
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError, features

from imgcodec.errors import ImageError
from imgcodec.format import container
from imgcodec.pictures import arrays, reader
from imgcodec.pictures.headers import unknown


def pixels(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def opened(path):
    """Mode and pixels as Pillow alone gives them."""
    with Image.open(path) as picture:
        return picture.mode, np.array(picture)


def refusal(path):
    """The message of a refusal, after what holds for all of them."""
    with pytest.raises(ImageError) as info:
        reader.read_image(path)
    message = str(info.value)
    assert message.startswith(f"{path}: ")
    message = message.removeprefix(f"{path}: ")
    assert message
    assert "\n" not in message
    assert not message.endswith(".")
    return message


# reading what is handled


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_are_read_exactly(tmp_path, suffix, channels):
    a = pixels(9, 17, channels)
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(a).save(tmp_path / f"a{suffix}", **options)
    b = reader.read_image(tmp_path / f"a{suffix}")
    assert b.dtype == np.uint8
    if suffix == ".webp" and channels == 1:
        a = np.stack([a] * 3, axis=-1)  # WebP has no grey pictures
    np.testing.assert_array_equal(a, b)
    b[0, 0] = 1  # the caller owns it


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_read_as_pillow_decodes_it(tmp_path, mode):
    Image.fromarray(pixels(33, 21)).convert(mode).save(tmp_path / "a.jpg")
    kind, expected = opened(tmp_path / "a.jpg")
    assert kind == mode
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.jpg"), expected)


def test_the_content_counts_not_the_suffix(tmp_path):
    a = pixels(5, 6)
    Image.fromarray(a).save(tmp_path / "a.jpg", "PNG")
    np.testing.assert_array_equal(reader.read_image(str(tmp_path / "a.jpg")), a)


# By the EXIF standard: which corner of the scene is at row 0, column 0 of the file.
UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
STORED = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[30, 60], [20, 50], [10, 40]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[40, 10], [50, 20], [60, 30]],
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.array(STORED[orientation], np.uint8))
    options = {"lossless": True} if suffix == ".webp" else {}
    picture.save(tmp_path / f"a{suffix}", exif=exif, **options)
    read = reader.read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read[..., 0] if read.ndim == 3 else read, UPRIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.png"), UPRIGHT)


def test_damaged_exif_is_upright(tmp_path):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=b"Exif\0\0no such thing")
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.png"), UPRIGHT)


def test_palette_becomes_rgb_exactly(tmp_path):
    palette = pixels(16, 1).reshape(16, 3)
    index = pixels(8, 9, 1) % 16
    picture = Image.fromarray(index, "L").convert("P")
    picture.putdata(index.ravel().tolist())
    picture.putpalette(palette.ravel().tolist())
    picture.save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png")[0] == "P"
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.png"), palette[index])


def test_still_gif_is_read(tmp_path):
    a = pixels(6, 7, 1) // 64 * 64
    Image.fromarray(a).save(tmp_path / "a.gif")
    read = reader.read_image(tmp_path / "a.gif")
    np.testing.assert_array_equal(read[..., 0] if read.ndim == 3 else read, a)


def test_one_bit_becomes_black_and_white(tmp_path):
    a = pixels(7, 9, 1) > 127
    Image.fromarray(a).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png")[0] == "1"
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.png"), a * np.uint8(255))


def test_pillow_image_follows_the_same_rules():
    a = pixels(4, 5)
    np.testing.assert_array_equal(reader.from_pil(Image.fromarray(a)).pixels, a)
    assert not reader.from_pil(Image.new("RGBA", (4, 4))).alpha.any()
    with pytest.raises(ImageError, match="mode F"):
        reader.from_pil(Image.new("F", (4, 4)))


@pytest.mark.parametrize("name", ["TIFF", "PSD"])
def test_copies_of_pillow_images_that_were_opened(name):
    a = pixels(4, 5)
    file = io.BytesIO()
    if name == "TIFF":
        Image.fromarray(a).save(file, name)
    else:
        head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, *a.shape[:2], 8, 3)
        file.write(head + bytes(14) + np.moveaxis(a, 2, 0).tobytes())
    with Image.open(file) as picture:
        assert picture.format == name
        twin = copy.deepcopy(picture)
    np.testing.assert_array_equal(reader.from_pil(twin).pixels, a)


def test_pillow_image_opened_but_truncated_is_refused(tmp_path):
    Image.fromarray(pixels(64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with Image.open(tmp_path / "b.png") as picture, pytest.raises(ImageError, match="truncated"):
        reader.from_pil(picture)


# refusing what is not


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_refused_where_pixels_alone_are_asked(tmp_path, mode):
    suffix = "tif" if mode == "PA" else "png"
    Image.new(mode, (8, 8)).save(tmp_path / f"a.{suffix}")
    assert refusal(tmp_path / f"a.{suffix}") == "has transparency"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_counts_where_it_occurs(tmp_path, mode):
    key = (1, 2, 3) if mode == "RGB" else 3
    Image.new(mode, (8, 8)).save(tmp_path / "a.png", transparency=key)
    assert not reader.read_image(tmp_path / "a.png").any()
    Image.new(mode, (8, 8), key).save(tmp_path / "a.png", transparency=key)
    assert refusal(tmp_path / "a.png") == "has transparency"


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("I;16", "png"),
        ("I;16", "tif"),
        ("I", "tif"),
        ("F", "tif"),
        ("CMYK", "jpg"),
        ("LAB", "tif"),
    ],
)
def test_other_modes_are_refused_by_name(tmp_path, mode, suffix):
    Image.new(mode, (8, 8)).save(tmp_path / f"a.{suffix}")
    message = refusal(tmp_path / f"a.{suffix}")
    if mode.startswith("I;16"):
        assert "more than 8 bits" in message
    elif mode in ("I", "F"):
        assert "more than 8 bits" in message  # 32 in the TIFF
    else:
        told = {"CMYK": "without a colour profile: colours are a guess"}
        assert message == f"{mode} {told.get(mode, 'colours were converted to sRGB')}"


def png(width, height, depth, colour, data, before=b""):
    """A PNG file with the header of one's choice."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + before + body + chunk(b"IEND", b"")


def test_png_helper_makes_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 2, b"\0" + bytes(range(6))))
    np.testing.assert_array_equal(
        reader.read_image(tmp_path / "a.png"), np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    )


def test_16_bit_rgb_png_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, b"\0" + bytes(12)))
    assert opened(tmp_path / "a.png")[0] == "RGB"  # Pillow would cut it
    assert refusal(tmp_path / "a.png") == "has more than 8 bits a sample"


@pytest.mark.parametrize("kind", ["P6", "P3"])
@pytest.mark.parametrize(("largest", "fits"), [(255, True), (256, False), (65535, False)])
def test_ppm_with_larger_samples_is_refused(tmp_path, kind, largest, fits):
    data = b"1 2 3" if kind == "P3" else bytes([1, 2, 3] if fits else [0, 1, 0, 2, 0, 3])
    (tmp_path / "a.ppm").write_bytes(f"{kind} 1 1 {largest}\n".encode() + data)
    if fits:
        np.testing.assert_array_equal(reader.read_image(tmp_path / "a.ppm"), [[[1, 2, 3]]])
    else:
        assert "more than 8 bits" in refusal(tmp_path / "a.ppm")


@pytest.mark.parametrize(("bits", "planar"), [(8, 1), (16, 1), (16, 2)])
def test_16_bit_rgb_tiff_is_refused(tmp_path, bits, planar):
    data = bytes(range(3 * bits // 8))
    start = 8 + len(data)
    plane = len(data) // 3
    counts = 3 if planar == 2 else 1
    fields = 10
    tail = start + 2 + 12 * fields + 4  # three shorts of BitsPerSample, then offsets and counts
    offsets, sizes = tail + 6, tail + 6 + 4 * counts
    entries = [
        (256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, tail), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, counts, 8 if counts == 1 else offsets), (277, 3, 1, 3), (278, 3, 1, 1),
        (279, 4, counts, len(data) if counts == 1 else sizes), (284, 3, 1, planar),
    ]  # fmt: skip
    ifd = struct.pack("<H", fields) + b"".join(struct.pack("<HHII", *e) for e in entries)
    extra = struct.pack("<3H", *[bits] * 3)
    extra += struct.pack("<3I", *(8 + plane * i for i in range(3))) + struct.pack(
        "<3I", *[plane] * 3
    )
    (tmp_path / "a.tif").write_bytes(
        b"II*\0" + struct.pack("<I", start) + data + ifd + bytes(4) + extra
    )
    if bits == 8:
        np.testing.assert_array_equal(reader.read_image(tmp_path / "a.tif"), [[[0, 1, 2]]])
    else:
        assert "more than 8 bits" in refusal(tmp_path / "a.tif")


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_jpeg_2000_of_more_than_8_bits_is_refused(tmp_path):
    a = pixels(16, 16)
    Image.fromarray(a).save(tmp_path / "a.jp2", irreversible=False)
    np.testing.assert_array_equal(reader.read_image(tmp_path / "a.jp2"), a)
    data = bytearray((tmp_path / "a.jp2").read_bytes())
    sample_bits = data.index(b"\xff\x4f\xff\x51") + 4 + 38
    assert data[sample_bits] == 7
    data[sample_bits] = 9
    (tmp_path / "a.jp2").write_bytes(data)
    assert "more than 8 bits" in refusal(tmp_path / "a.jp2")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_of_more_than_8_bits_is_refused(tmp_path):
    Image.fromarray(pixels(16, 16)).save(tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    np.testing.assert_array_equal(
        reader.read_image(tmp_path / "a.avif"), opened(tmp_path / "a.avif")[1]
    )
    # Pillow writes 8 bits only, so these are called 10.
    at = data.index(b"av1C") + 6
    deep = data[:at] + bytes([data[at] | 0x40]) + data[at + 1 :]
    deep = deep.replace(b"pixi\0\0\0\0\3\x08\x08\x08", b"pixi\0\0\0\0\3\x0a\x0a\x0a")
    (tmp_path / "a.avif").write_bytes(deep)
    assert "more than 8 bits" in refusal(tmp_path / "a.avif")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animation_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(pixels(8, 8, 3, seed)) for seed in range(3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert (
        refusal(tmp_path / f"a.{suffix}")
        == "holds 3 pictures (animation or pages), save the one that is meant"
    )


def test_a_further_page_of_an_unknown_kind_is_named(tmp_path):
    """As a mask, which only rasterio reads."""
    image = Image.new("1", (8, 8))
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image])
    data = (tmp_path / "a.tif").read_bytes()
    before, colours, behind = data.rpartition(struct.pack("<HHIH", 262, 3, 1, 1))
    (tmp_path / "a.tif").write_bytes(before + colours[:-2] + b"\4\0" + behind)
    told = "a further picture that it holds cannot be read (unknown pixel mode)"
    assert refusal(tmp_path / "a.tif") == told


def test_drawing_is_refused_before_a_program_is_started(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.eps")
    monkeypatch.setattr(subprocess, "check_call", lambda *_: pytest.fail("started a program"))
    assert refusal(tmp_path / "a.eps") == "EPS drawings are not handled"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tif", "ppm"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    Image.fromarray(pixels(64, 64)).save(
        tmp_path / "a", {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix)
    )
    data = (tmp_path / "a").read_bytes()
    (tmp_path / f"b.{suffix}").write_bytes(data[: int(share * len(data))])
    refusal(tmp_path / f"b.{suffix}")


def test_truncated_progressive_jpeg_is_refused(tmp_path):
    Image.fromarray(pixels(64, 64)).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[: len(data) // 2])
    assert "truncated" in refusal(tmp_path / "b.jpg")


@pytest.mark.parametrize("data", [b"", b"hello, this is text\n", bytes(1000)])
def test_what_is_no_picture_is_refused(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert refusal(tmp_path / "a.png") == "not a picture of a known kind"


@pytest.mark.parametrize(("method", "command"), [(0, "decode"), (1, "unpack"), (2, "decode")])
def test_files_of_ours_are_told(tmp_path, method, command):
    (tmp_path / "a.aic").write_bytes(container.MAGIC + bytes([1, method]) + bytes(50))
    assert f"`aic {command}`" in refusal(tmp_path / "a.aic")


@pytest.mark.parametrize("primary", [0, 1])
def test_the_picture_that_heif_names_is_read(tmp_path, primary):
    """Of several, as telephones write bursts and both sides of a scene."""
    pillow_heif = pytest.importorskip("pillow_heif")
    several = pillow_heif.HeifFile()
    for colour in (40, 200):
        several.add_from_pillow(Image.new("RGB", (64, 64), (colour,) * 3))
    several.save(tmp_path / "a.heic", quality=90, primary_index=primary)
    found = reader.read_picture(tmp_path / "a.heic")
    assert abs(int(found.pixels.mean()) - (40, 200)[primary]) < 3
    assert found.notes == ("1 further picture left out",)


@pytest.mark.parametrize(
    ("kind", "package", "data"),
    [
        ("AVIF", "pillow-avif-plugin", b"\0\0\0\x0cftypavif"),
        ("HEIF", "pillow-heif", b"\0\0\0\x0cftypheic"),
        ("JPEG XL", "pillow-jxl-plugin", b"\xff\x0a\x7f" + bytes(40)),
    ],
)
def test_a_kind_that_a_plugin_reads_is_told(tmp_path, monkeypatch, kind, package, data):
    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr(Image, "open", lambda _: (_ for _ in ()).throw(UnidentifiedImageError()))
    monkeypatch.setattr(reader, "_PLUGINS", ())
    monkeypatch.setitem(Image.OPEN, kind, None)
    wanted = f"a picture in {kind} that is damaged or of a kind that is not handled"
    assert refusal(tmp_path / "a") == wanted
    monkeypatch.delitem(Image.OPEN, kind)
    monkeypatch.setattr(unknown, "find_spec", lambda _: None)
    assert refusal(tmp_path / "a") == f"a picture in {kind}, which the package {package} reads"


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("PNG", b"\x89PNG\r\n\x1a\n", ""),
        (
            "PNG",
            b"\x89PNG\r\n\x1a\n\0\0\0\0tEXt" + bytes(4),
            ": broken PNG file (bad header checksum in b'tEXt')",
        ),
        ("JPEG", b"\xff\xd8\xff\xd9", ""),
        ("JPEG", b"\xff\xd8\xff\xc1\0\x0b\x0c\0\1\0\1\1\1\x11\0", ": cannot handle 12-bit layers"),
        ("PSD", b"8BPS\0\1" + bytes(90), ""),
        ("TIFF", b"II*\0" + bytes(9), ""),
        ("TIFF", b"II*\0\x08\0\0\0\1", ": the directory of a TIFF file is damaged"),
    ],
)
def test_a_damaged_picture_is_called_by_its_kind(tmp_path, kind, data, reason):
    (tmp_path / "a").write_bytes(data)
    wanted = f"a {kind} that is damaged or of a kind that is not handled{reason}"
    assert refusal(tmp_path / "a") == wanted


def test_missing_file_and_folder_are_refused(tmp_path):
    assert refusal(tmp_path / "none.png") == "no such file or directory"
    assert refusal(tmp_path) == "is a directory"


def test_every_flipped_byte_gives_a_picture_or_a_refusal(tmp_path):
    for suffix in ("png", "jpg", "gif", "tif"):
        Image.fromarray(pixels(8, 8, 1)).save(tmp_path / f"a.{suffix}")
        data = (tmp_path / f"a.{suffix}").read_bytes()
        for place in range(0, len(data), 3):
            damaged = bytearray(data)
            damaged[place] ^= 0xFF
            (tmp_path / "b").write_bytes(damaged)
            with contextlib.suppress(ImageError):
                assert reader.read_image(tmp_path / "b").dtype == np.uint8


# size


@pytest.mark.parametrize(
    ("width", "height"), [(65536, 1), (1, 65536), (32769, 32768), (2**31 - 1, 2**31 - 1)]
)
def test_size_bomb_is_refused_by_its_header(tmp_path, width, height):
    (tmp_path / "a.png").write_bytes(png(width, height, 8, 2, b""))
    message = refusal(tmp_path / "a.png")
    assert message == f"{width}x{height} pixels, limits are 65535 a side, 1073741824 in all"


@pytest.mark.parametrize("kind", ["ico", "icns", "blp"])
def test_size_bomb_inside_a_picture_is_refused_by_its_header(tmp_path, kind):
    """Whatever the picture says; Pillow decodes what lies inside."""
    data = png(9000, 9000, 8, 2, b"")
    if kind == "ico":
        head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(data), 22)
    elif kind == "icns":
        head = struct.pack(">4sI4sI", b"icns", 16 + len(data), b"ic07", 8 + len(data))
    else:
        file = io.BytesIO()
        Image.new("L", (1, 1)).save(file, "JPEG")
        data = file.getvalue()
        at = data.index(b"\xff\xc0") + 5
        data = data[:at] + struct.pack(">HH", 9000, 9000) + data[at + 4 :]
        head = struct.pack("<4s6I", b"BLP1", 0, 0, 16, 16, 5, 1)
        head += struct.pack("<33I", 160, *[0] * 15, len(data), *[0] * 16)
    (tmp_path / "a").write_bytes(head + data)
    words = r"\(81000000 pixels\) exceeds limit of 50000000 pixels: --max-pixels, max_pixels"
    with pytest.raises(ImageError, match=words):
        reader.read_picture(tmp_path / "a", max_pixels=50_000_000)


def test_size_at_the_limits_passes_and_only_its_data_are_missing(tmp_path, monkeypatch):
    # Not 2^30 pixels, which need 3 GB: the limit itself is moved.
    monkeypatch.setattr(arrays, "MAX_PIXELS", 12)
    (tmp_path / "a.png").write_bytes(png(4, 3, 8, 0, bytes(15)))
    assert reader.read_image(tmp_path / "a.png").shape == (3, 4)
    (tmp_path / "a.png").write_bytes(png(13, 1, 8, 0, bytes(14)))
    assert refusal(tmp_path / "a.png").startswith("13x1 pixels")
    monkeypatch.undo()
    (tmp_path / "a.png").write_bytes(png(65535, 1, 8, 0, bytes(65536)))
    assert reader.read_image(tmp_path / "a.png").shape == (1, 65535)


@pytest.mark.parametrize("limit", [10, 40])  # a refusal of Pillow's own, and a warning of it
def test_limit_of_pillow_is_out_of_force_and_back_again(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    Image.fromarray(pixels(8, 8)).save(tmp_path / "a.png")
    with pytest.raises((Image.DecompressionBombError, Image.DecompressionBombWarning)):
        Image.open(tmp_path / "a.png")
    assert reader.read_image(tmp_path / "a.png").shape == (8, 8, 3)
    assert limit == Image.MAX_IMAGE_PIXELS
    refusal(tmp_path / "none.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_text_bomb_is_refused(tmp_path):
    body = b"Comment\0\0" + zlib.compress(bytes(64 * 2**20))
    text = (
        struct.pack(">I", len(body))
        + b"zTXt"
        + body
        + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    )
    (tmp_path / "a.png").write_bytes(png(1, 1, 8, 0, bytes(2), text))
    assert "too large" in refusal(tmp_path / "a.png")


def test_import_changes_nothing_in_pillow():
    code = (
        "import warnings, numpy; from PIL import Image, ImageFile\n"
        "def state():\n"
        "    flags = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES\n"
        "    return flags, warnings.filters[:]\n"
        "before = state()\n"
        "import imgcodec.pictures.reader, imgcodec.pictures.writer\n"
        "print(state() == before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"

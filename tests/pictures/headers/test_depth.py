"""Samples of every depth, sign, polarity and number: scaled to 8 bits, told, or refused."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from picture_files import png, tiff
from PIL import Image, TiffImagePlugin, TiffTags, features

from imgcodec.errors import ImageError
from imgcodec.pictures.headers import depth
from imgcodec.pictures.reader import from_pil, read_picture

REDUCED = "more than 8 bits a sample were reduced to 8"
UNKNOWN = "a TIFF that is damaged or of a kind that is not handled:"


def eight(values, bits):
    """Samples of so many bits as those of 8, rounded."""
    return np.floor(np.asarray(values, float) * 255 / (2**bits - 1) + 0.5)


def random(bits, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2**bits, shape)


def read(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    return read_picture(tmp_path / "a")


def refusal(tmp_path, data, strict=False):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(tmp_path / "a", strict)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{tmp_path / 'a'}: ")


# PNG


@pytest.mark.parametrize(
    ("bits", "colour", "channels"),
    [(1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3)],
)
def test_the_transparent_colour_of_a_png(tmp_path, bits, colour, channels):
    a = random(bits, 6, 8, channels)
    key = a[2, 3]
    found = read(tmp_path, png(a, bits, colour, (b"tRNS", struct.pack(f">{channels}H", *key))))
    np.testing.assert_array_equal(found.alpha, np.where((a == key).all(-1), 0, 255))
    np.testing.assert_array_equal(found.pixels, eight(a, bits).squeeze())


@pytest.mark.parametrize(("bits", "key", "hidden"), [(2, 7, 3), (4, 0x15, 5), (8, 257, 1)])
def test_only_the_low_bits_of_a_transparent_grey_count(tmp_path, bits, key, hidden):
    a = np.arange(min(2**bits, 16)).reshape(1, -1, 1)
    found = read(tmp_path, png(a, bits, 0, (b"tRNS", struct.pack(">H", key))))
    np.testing.assert_array_equal(found.alpha, np.where(a[..., 0] == hidden, 0, 255))


@pytest.mark.parametrize("key", [(256, 512, 768), (65535, 0, 0)])
def test_only_that_colour_is_transparent_to_the_last_bit(tmp_path, key):
    a = np.array([[key, (key[0] ^ 254, *key[1:]), (key[0], key[1] ^ 1, key[2])]])
    found = read(tmp_path, png(a, 16, 2, (b"tRNS", struct.pack(">3H", *key))))
    np.testing.assert_array_equal(found.alpha, [[0, 255, 255]])
    with Image.open(tmp_path / "a") as opened:  # and where Pillow has opened the file already
        np.testing.assert_array_equal(from_pil(opened).alpha, [[0, 255, 255]])
    with Image.open(tmp_path / "a") as opened:
        opened.load()  # what it cut is lost
        with pytest.raises(ImageError, match="more bits than its samples"):
            from_pil(opened)


def test_a_text_is_no_transparent_colour(tmp_path):
    a = random(8, 2, 3, 3)
    key, text = (b"tRNS", struct.pack(">3H", *a[0, 0])), (b"tEXt", b"transparency\0none")
    assert "a text named 'transparency' stands" in refusal(tmp_path, png(a, 8, 2, key, text))
    data = png(a, 8, 2, key)
    length, body = struct.pack(">I", len(text[1])), b"".join(text)
    behind = length + body + struct.pack(">I", zlib.crc32(body))
    found = read(tmp_path, data[:-12] + behind + data[-12:])
    np.testing.assert_array_equal(found.alpha, np.where((a == a[0, 0]).all(-1), 0, 255))


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_of_png_are_rounded(tmp_path, colour, channels):
    a = random(16, 9, 11, channels)
    found = read(tmp_path, png(a, 16, colour))
    colours = a if channels % 2 else a[..., :-1]
    np.testing.assert_array_equal(found.pixels, eight(colours, 16).squeeze())
    if channels % 2 == 0:
        np.testing.assert_array_equal(found.alpha, eight(a[..., -1], 16))
    assert found.notes == (REDUCED,)


# TIFF


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_grey_of_tiff(tmp_path, bits, photometric, order):
    a = random(bits, 7, 10, 1)
    data = tiff(a, bits, photometric, order=order)
    if (bits, photometric, order) in ((12, 1, ">"), (12, 0, "<"), (12, 0, ">"), (16, 0, ">")):
        assert refusal(tmp_path, data) == (
            f"{UNKNOWN} {bits} bits a sample, SampleFormat 1,"
            f" PhotometricInterpretation {photometric}, 1 samples a pixel, compression 1"
        )
        return
    found = read(tmp_path, data)
    light = a if photometric else 2**bits - 1 - a
    np.testing.assert_array_equal(found.pixels, eight(light, bits)[..., 0])
    assert found.notes == (REDUCED,) * (bits > 8)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,)])
def test_16_bit_colours_of_tiff(tmp_path, order, extra):
    a = random(16, 5, 6, 3 + len(extra))
    if extra == (1,):  # colours times alpha
        a[..., 3] |= 1
        a[..., :3] = a[..., :3] * a[..., 3:] // 65535
    found = read(tmp_path, tiff(a, 16, 2, order=order, extra=extra))
    wanted = eight(a[..., :3] * (65535 / a[..., 3:] if extra == (1,) else 1), 16)
    np.testing.assert_allclose(found.pixels, wanted, atol=extra == (1,))
    if extra in ((1,), (2,)):
        np.testing.assert_array_equal(found.alpha, eight(a[..., 3], 16))
    left = ("1 further sample of each pixel left out",) * (extra == (0,))
    assert found.notes == (REDUCED, *left)


@pytest.mark.parametrize(
    ("bits", "sign", "words"),
    [
        (8, 2, "signed samples cannot be kept"),
        (16, 2, "signed samples cannot be kept"),
        (32, 2, "mode I cannot be kept"),
        (32, 1, "mode I cannot be kept"),
        (16, 3, f"{UNKNOWN} 16 bits a sample, SampleFormat 3"),
        (32, 3, "mode F cannot be kept"),
        (64, 3, f"{UNKNOWN} 64 bits a sample, SampleFormat 3"),
        (10, 1, f"{UNKNOWN} 10 bits a sample"),
        (14, 1, f"{UNKNOWN} 14 bits a sample"),
    ],
)
def test_what_has_no_way_to_8_bits_is_refused(tmp_path, bits, sign, words):
    assert refusal(tmp_path, tiff(random(7, 4, 5, 1), bits, sign=sign)).startswith(words)


@pytest.mark.parametrize("extra", [(0,), (0, 0), (2, 0)])
def test_further_samples_are_told(tmp_path, extra):
    a = random(8, 5, 6, 3 + len(extra))
    found = read(tmp_path, tiff(a, 8, 2, extra=extra))
    np.testing.assert_array_equal(found.pixels, a[..., :3])
    count = extra.count(0)
    words = f"{count} further sample{'s' if count > 1 else ''} of each pixel left out"
    assert found.notes == (words,)
    assert refusal(tmp_path, tiff(a, 8, 2, extra=extra), strict=True) == words
    if 2 in extra:
        np.testing.assert_array_equal(found.alpha, a[..., 3])


def test_what_pillow_saves_as_rgbx_has_a_further_sample(tmp_path):
    Image.new("RGBX", (4, 4)).save(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").notes == ("1 further sample of each pixel left out",)


@pytest.mark.parametrize(
    ("bits", "photometric", "extra", "more"),
    [
        (16, 2, (), None), (8, 2, (), {266: ("H", [2])}), (12, 1, (), None),
        (16, 1, (), None), (8, 0, (), None), (8, 6, (), {530: ("H", [1, 1])}), (4, 1, (), None),
        (8, 2, (1,), None), (8, 2, (2, 0), None),
    ],
)  # fmt: skip
def test_planes_that_pillow_would_mix_up_are_refused(tmp_path, bits, photometric, extra, more):
    channels = (3 if photometric in (2, 6) else 1) + len(extra)
    data = tiff(random(bits, 4, 6, channels), bits, photometric, planar=2, extra=extra, more=more)
    what = "more than 8 bits a sample" if bits > 8 else "such samples"
    assert refusal(tmp_path, data) == f"{what} in separate planes are not handled"


def test_uncompressed_ycbcr_of_a_lower_resolution_is_refused(tmp_path):
    assert "of a lower resolution" in refusal(tmp_path, tiff(random(8, 4, 6, 3), 8, 6))


@pytest.mark.parametrize(
    ("largest", "step", "told"), [(255, 1, False), (65535, 257, False), (65280, 256, False)]
)
def test_palettes_of_16_bits_that_mean_8(tmp_path, largest, step, told):
    colours = random(8, 3, 256)
    colours[:, 0] = 255
    data = tiff(random(8, 5, 6, 1), 8, 3, more={320: ("H", (colours * step).ravel().tolist())})
    found = read(tmp_path, data)
    assert (colours * step).max() == largest
    index = random(8, 5, 6, 1)[..., 0]
    np.testing.assert_array_equal(found.pixels, np.moveaxis(colours[:, index], 0, -1))
    assert bool(found.notes) == told


def test_palettes_of_more_than_8_bits_are_rounded(tmp_path):
    colours = random(16, 3, 256)
    found = read(
        tmp_path, tiff(random(8, 5, 6, 1), 8, 3, more={320: ("H", colours.ravel().tolist())})
    )
    index = random(8, 5, 6, 1)[..., 0]
    wanted = np.moveaxis(eight(colours, 16)[:, index], 0, -1)
    np.testing.assert_array_equal(found.pixels, wanted)
    assert found.notes == ("a palette of 16-bit colours was reduced to 8 bits",)


# others


@pytest.mark.parametrize("kind", ["P5", "P6"])
@pytest.mark.parametrize("largest", [1, 15, 255, 511, 1023, 4095, 65535])
def test_ppm_of_any_depth(tmp_path, kind, largest):
    a = np.random.default_rng(0).integers(0, largest + 1, (8, 9) if kind == "P5" else (8, 3, 3))
    size = b"%d 8" % a.shape[1]
    data = a.astype(">u2" if largest > 255 else "u1").tobytes()
    found = read(tmp_path, kind.encode() + b"\n" + size + b"\n%d\n" % largest + data)
    np.testing.assert_array_equal(found.pixels, np.floor(a * 255 / largest + 0.5))
    assert found.notes == (REDUCED,) * (largest > 255)


@pytest.mark.parametrize("mode", ["RGB;16", "L;16"])
@pytest.mark.parametrize("bits", [10, 12])
def test_deep_heif(tmp_path, mode, bits, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    shape = (64, 64, 3) if mode == "RGB;16" else (64, 64)
    smooth = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    a = np.broadcast_to(smooth.reshape(64, 64, *[1] * (len(shape) - 2)), shape)
    file = io.BytesIO()
    heif.from_bytes(mode, (64, 64), a.tobytes()).save(file, quality=-1, chroma=444)
    held = np.asarray(heif.open_heif(file, convert_hdr_to_8bit=False)) >> (16 - bits)
    found = read(tmp_path, file.getvalue())
    np.testing.assert_array_equal(found.pixels, eight(held, bits))
    assert found.notes == (REDUCED,)
    assert "more than 8 bits" in refusal(tmp_path, file.getvalue(), strict=True)


def test_deep_heif_whose_colours_are_multiplied_with_alpha(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    shown = np.full((64, 64, 4), 20000, np.uint16)
    shown[..., 3], shown[:, 32:, 3] = 65535, 25600
    seen = shown.copy()
    seen[:, 32:, :3] = 20000 * 25600 // 65535
    found = []
    for mode, samples in (("RGBA;16", shown), ("RGBa;16", seen)):
        file = io.BytesIO()
        heif.from_bytes(mode, (64, 64), samples.tobytes()).save(file, quality=-1, chroma=444)
        found.append(read(tmp_path, file.getvalue()))
    assert np.abs(found[0].pixels - found[1].pixels.astype(int)).max() <= 1
    np.testing.assert_array_equal(found[0].alpha, found[1].alpha)


def jpeg_2000(values, bits):
    """A JPEG 2000 file of samples (C, H, W)."""
    rasterio = pytest.importorskip("rasterio")
    count, height, width = values.shape
    grid = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    words = {"quality": 100, "reversible": "yes", "ycc": "no", "nbits": bits}
    with warnings.catch_warnings(), rasterio.MemoryFile(ext="jp2") as file:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with file.open(driver="JP2OpenJPEG", **grid, **words) as dataset:
            dataset.write(values)
        return file.read()


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_grey_of_jpeg_2000(tmp_path, bits):
    a = random(bits, 1, 32, 32).astype("u2" if bits > 8 else "u1")
    found = read(tmp_path, jpeg_2000(a, bits))
    np.testing.assert_array_equal(found.pixels, eight(a[0], bits))
    assert found.notes == (REDUCED,) * (bits > 8)


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize(
    ("bits", "channels", "kind", "words"),
    [
        (4, 1, "u1", "4 bits a sample of JPEG 2000 are not handled"),
        (9, 1, "u2", "more than 8 bits a sample of this kind of JPEG 2000"),  # white gets black
        (12, 3, "u2", "more than 8 bits a sample of this kind of JPEG 2000"),
        (16, 1, "i2", "signed samples cannot be kept"),
    ],
)
def test_jpeg_2000_that_pillow_would_get_wrong(tmp_path, bits, channels, kind, words):
    a = random(4, channels, 32, 32).astype(kind)
    assert refusal(tmp_path, jpeg_2000(a, bits)).startswith(words)


def channels_of_jpeg_2000(mode, *told):
    """A file of zeros, whose channels are told to be (number, kind, colour); () for nothing."""
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, "JPEG2000", irreversible=False)
    data = file.getvalue()
    at = data.index(b"cdef") if mode == "RGBA" else data.index(b"colr")
    size = int.from_bytes(data[at - 4 : at], "big")
    old, header = data[at - 4 : at - 4 + size], data.index(b"jp2h")
    new = struct.pack(
        f">I4sH{3 * len(told)}H", 10 + 6 * len(told), b"cdef", len(told), *sum(told, ())
    )
    new = (old if mode != "RGBA" else b"") + new * bool(told)
    whole = int.from_bytes(data[header - 4 : header], "big") + len(new) - len(old)
    data = data.replace(old, new)
    return data[: header - 4] + whole.to_bytes(4, "big") + data[header:]


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize("told", [(), ((3, 65535, 65535),), ((3, 1, 0),)])
def test_a_channel_of_jpeg_2000_that_says_nothing_is_told(tmp_path, told):
    found = read(tmp_path, channels_of_jpeg_2000("RGBA", *told))
    said = "a further sample that does not say what it is was taken for transparency"
    assert found.notes == (() if told == ((3, 1, 0),) else (said,))
    assert not found.alpha.any()


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_channels_that_pillow_does_not_heed_are_refused(tmp_path):
    upright = tuple((number, 0, number + 1) for number in range(3))
    assert read(tmp_path, channels_of_jpeg_2000("RGB", *upright)).notes == ()
    swapped = ((0, 0, 3), (1, 0, 2), (2, 0, 1))
    for data, words in (
        (channels_of_jpeg_2000("RGB", *swapped), "channels of JPEG 2000 in another order"),
        (channels_of_jpeg_2000("RGBA", *upright, (3, 2, 0)), "premultiplied transparency of"),
    ):
        assert refusal(tmp_path, data).startswith(words)


def fits(bits):
    lines = [
        "SIMPLE  = T",
        f"BITPIX  = {bits}",
        "NAXIS   = 2",
        "NAXIS1  = 2",
        "NAXIS2  = 2",
        "END",
    ]
    return "".join(line.ljust(80) for line in lines).ljust(2880).encode() + bytes(2880)


def test_fits_is_signed(tmp_path):
    assert read(tmp_path, fits(8)).pixels.shape == (2, 2)
    assert refusal(tmp_path, fits(16)).startswith("signed samples cannot be kept")


def test_further_channels_of_photoshop(tmp_path):
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 5, 2, 2, 8, 3)
    found = read(tmp_path, head + bytes(12) + bytes(2) + bytes(range(20)))
    np.testing.assert_array_equal(found.pixels[..., 1], [[4, 5], [6, 7]])
    assert found.notes == ("2 further samples of each pixel left out",)


# what is told of colours, and not heeded


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ((1, 13), None),
        ((2, 2), None),
        ((12, 13), "color primaries 12"),
        ((9, 16), "color primaries 9"),
        ((1, 16), "transfer characteristics 16"),
    ],
)
def test_codes_of_colours_in_png(tmp_path, codes, told):
    chunk = (b"cICP", bytes((*codes, 0, 1)))
    data = png(random(8, 4, 5, 3), 8, 2, (b"tEXt", b"a\0b"), chunk)
    notes = read(tmp_path, data).notes
    wanted = [f"its colours are not sRGB ({told}), and stay"] if told else []
    assert [note for note in notes if "sRGB" in note] == wanted
    if told:
        (tmp_path / "b").write_bytes(png(random(8, 4, 5, 3), 8, 2, chunk))
        with pytest.raises(ImageError, match="its colours are not sRGB"):
            read_picture(tmp_path / "b", strict=True)


def test_narrow_range_in_png_is_told(tmp_path):
    found = read(tmp_path, png(random(8, 4, 5, 3), 8, 2, (b"cICP", bytes((1, 13, 0, 0)))))
    assert found.notes == ("its colours are not sRGB (narrow range), and stay",)


def test_grey_that_does_not_say_which_end_is_white_is_refused(tmp_path):
    """Pillow would take 0 for white, and GDAL for black."""
    with pytest.raises(ImageError, match="PhotometricInterpretation"):
        read(tmp_path, tiff(random(8, 4, 5, 1), 8, photometric=None))


@pytest.mark.parametrize(
    ("channels", "how", "told"),
    [
        (4, {"photometric": 2, "extra": (0,)}, "1 further sample of each pixel left out"),
        (1, {"more": {330: ("I", [8])}}, "1 further picture left out"),
        (1, {"more": {37724: ("I", [8])}}, "not kept: tag 37724"),
        (1, {"more": {65000: ("I", [8])}}, "not kept: tag 65000"),
        (1, {"more": {291: ("H", [0] * 256)}}, "not kept: the grey response curve"),
        (1, {"more": {301: ("H", [0] * 256)}}, "not kept: the transfer function"),
    ],
)
def test_what_a_tiff_has_besides_is_told_or_refused(tmp_path, channels, how, told):
    data = tiff(random(8, 4, 5, channels), 8, **how)
    assert read(tmp_path, data).notes == (told,)
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(ImageError, match=told):
        read_picture(tmp_path / "b", strict=True)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_codes_of_colours_in_avif(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "AVIF")
    data = file.getvalue()
    assert read(tmp_path, data).notes == ()
    at = data.index(b"colrnclx") + 8
    other = data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :]
    assert read(tmp_path, other).notes == (
        "its colours are not sRGB (color primaries 9), and stay",
    )


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize(("code", "told"), [(16, False), (14, True), (20, True), (21, True)])
def test_codes_of_colours_in_jpeg_2000(tmp_path, code, told):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "JPEG2000", no_jp2=False)
    data = file.getvalue()
    at = data.index(b"colr") + 7
    assert data[at : at + 4] == bytes((0, 0, 0, 16))
    found = read(tmp_path, data[:at] + code.to_bytes(4, "big") + data[at + 4 :])
    wanted = (f"its colours are not sRGB (EnumCS {code}), and stay",)
    assert found.notes == (wanted if told else ())


@pytest.mark.parametrize(("photometric", "channels"), [(2, 4)])
@pytest.mark.parametrize("extra", [(), (2,), (1,), (999,)])
def test_a_fourth_sample_that_says_nothing_is_told(tmp_path, photometric, channels, extra):
    found = read(tmp_path, tiff(random(8, 4, 5, channels), 8, photometric, extra=extra))
    said = "a further sample that does not say what it is was taken for transparency"
    assert found.notes == ((said,) if extra in ((), (999,)) else ())
    assert found.alpha is not None


@pytest.mark.skipif(features.version("pil") < "13", reason="Pillow 12 reads no plain YCbCr")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ""),
        ({529: (0.299, 0.587, 0.114)}, ""),
        ({529: (0.2126, 0.7152, 0.0722)}, "other coefficients (0.2126, 0.7152, 0.0722)"),
        ({532: (16, 235, 128, 240, 128, 240)}, "other black and white (16, 235, 128"),
        ({532: (0, 255, 128, 255, 128, 255)}, ""),
    ],
)
def test_other_ways_to_mean_ycbcr_are_told(tmp_path, more, told):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, values in more.items():
        tags.tagtype[tag] = TiffTags.RATIONAL
        tags[tag] = tuple(map(float, values))
    path = tmp_path / "a.tif"
    Image.new("RGB", (16, 16), "red").convert("YCbCr").save(path, tiffinfo=tags)
    with Image.open(path) as picture:
        assert picture.tag_v2.get(262) == 6
    notes = " ".join(read_picture(path).notes)
    assert told in notes
    assert ("YCbCr" in notes) == bool(told)


@pytest.mark.parametrize("white", [0.3127, 0.3457])
def test_colours_of_tiff_that_are_those_of_srgb_are_not_named(tmp_path, white):
    """As ImageMagick writes them into each file."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[318] = (white, 0.329)
    tags[319] = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.tif", tiffinfo=tags)
    notes = read_picture(tmp_path / "a.tif").notes
    assert notes == ("not kept: the white point",) * (white != 0.3127)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("black", "white"), [(0, 1), (16, 1)])
def test_rgb_of_another_range_is_told(tmp_path, bits, black, white):
    most = 2**bits - 1
    data = tiff(random(bits, 2, 3, 3), bits, 2, more={532: ("I", [black, white * most] * 3)})
    notes = " ".join(read(tmp_path, data).notes)
    assert ("its RGB has other black and white (16, 255, 16" in notes) == bool(black and bits == 8)


@pytest.mark.parametrize(("largest", "told"), [(4095, True), (8000, True), (9000, False)])
def test_what_does_not_use_its_16_bits_is_dark(tmp_path, largest, told):
    values = np.array([[[0], [largest]]])
    said = "its samples use less than an eighth of their range, so it is dark"
    for data in (tiff(values, 16, 1), png(values, 16, 0), png(values.repeat(3, 2), 16, 2)):
        assert (said in read(tmp_path, data).notes) == told


# what is not there, or not what it looks like


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("offsets", [[0], [8, 0, 8], [8]])
def test_strips_that_are_missing_are_refused(tmp_path, planar, offsets):
    """Pillow would read the header as pixels, or leave them black."""
    values = random(8, 6, 5, 3)
    data = tiff(values, 8, 2, planar=planar, more={278: ("I", [2])})
    at = data.index(struct.pack("<HH", 273, 4))
    entry = struct.pack("<HHI", 273, 4, len(offsets))
    if len(offsets) < 2:
        data = data[:at] + entry + struct.pack("<I", sum(offsets)) + data[at + 12 :]
    else:
        data = data[:at] + entry + struct.pack("<I", len(data)) + data[at + 12 :]
        data += struct.pack(f"<{len(offsets)}I", *offsets)
    assert refusal(tmp_path, data).startswith("a TIFF of which strips or tiles are missing")


def test_a_tile_far_larger_than_its_picture_is_refused(tmp_path):
    """Pillow would decode all of it."""
    more = {322: ("I", [8192]), 323: ("I", [4096]), 324: ("I", [8]), 325: ("I", [9])}
    data = tiff(random(8, 4, 5, 1), 8, 1, more=more)
    assert refusal(tmp_path, data) == "tiles of 8192x4096 pixels in a picture of 5x4"


@pytest.mark.parametrize("compress", [None, "lzw"])
def test_a_sparse_tiff_is_refused(tmp_path, compress):
    rasterio = pytest.importorskip("rasterio")
    words = {"compress": compress, "blockxsize": 16, "blockysize": 16, "photometric": "rgb"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            tmp_path / "a.tif", "w", "GTiff", 32, 32, 3, dtype="uint8", sparse_ok=True, tiled=True,
            **words,
        ) as dataset:  # fmt: skip
            dataset.write(np.ones((3, 16, 16), np.uint8), window=((0, 16), (0, 16)))
    with pytest.raises(ImageError, match=r"strips or tiles are missing \(sparse, or damaged\)$"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [16, 32])
def test_targa_says_whether_there_is_alpha(tmp_path, bits):
    pixels = random(8, 3, 4, bits // 8).astype(np.uint8)

    def targa(of_alpha):
        head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 3, bits, 0x20 | of_alpha)
        return head + pixels.tobytes()

    with_alpha = read(tmp_path, targa(8 if bits == 32 else 1))
    assert with_alpha.notes == ()
    assert (with_alpha.alpha is not None) == (bits == 32 or bool((pixels[..., 1] < 128).any()))
    without = read(tmp_path, targa(0))
    assert without.alpha is None
    assert without.notes == ("1 further sample of each pixel left out",)
    assert np.array_equal(without.pixels, with_alpha.pixels)
    if bits == 32:
        assert np.array_equal(without.pixels, pixels[..., 2::-1])


@pytest.mark.parametrize("alpha", [0, 0x8000])
def test_transparency_of_bmp_with_16_bits_is_told(tmp_path, alpha):
    """Which Pillow does not read."""
    head = struct.pack("<IiiHHIIiiII4I", 108, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0, 31744, 992, 31, alpha)
    data = b"BM" + struct.pack("<IHHI", 130, 0, 0, 122) + head.ljust(108, b"\0") + bytes(8)
    assert read(tmp_path, data).notes == ("its transparency is left out",) * bool(alpha)


def test_bits_of_xbm_are_black(tmp_path):
    text = "#define a_width 9\n#define a_height 1\nstatic char a_bits[] = {\n0x06, 0x01};\n"
    (tmp_path / "a.xbm").write_text(text)
    found = read_picture(tmp_path / "a.xbm")
    assert found.pixels.tolist() == [[255, 0, 0, 255, 255, 255, 255, 255, 0]]
    assert found.notes == ()


def test_planes_of_tiff_are_refused(tmp_path):
    data = tiff(random(8, 4, 5, 3), 8, 2, more={32997: ("H", [2])})
    assert refusal(tmp_path, data) == "holds 2 planes, save the one that is meant"


@pytest.mark.parametrize("kind", [0, 1])
def test_a_preview_of_a_raw_photograph_is_refused(tmp_path, kind):
    data = tiff(random(8, 4, 5, 3), 8, 2, more={254: ("I", [kind]), 330: ("I", [8])})
    if kind:
        assert refusal(tmp_path, data).startswith("its first picture is a preview")
    else:
        assert read(tmp_path, data).notes == ("1 further picture left out",)


def test_a_small_picture_alone_is_read(tmp_path):
    assert read(tmp_path, tiff(random(8, 4, 5, 3), 8, 2, more={254: ("I", [1])})).notes == ()


def test_a_tiff_of_another_kind_is_told_by_its_compression(tmp_path):
    data = tiff(random(8, 4, 5, 3), 8, 2)
    entry = struct.pack("<HHIH", 259, 3, 1, 1)
    assert data.count(entry) == 1
    said = refusal(tmp_path, data.replace(entry, entry[:-2] + struct.pack("<H", 34887)))
    assert said == (
        "a TIFF that is damaged or of a kind that is not handled: 8 bits a sample, SampleFormat 1,"
        " PhotometricInterpretation 2, 3 samples a pixel, compression 34887"
    )


def test_planes_of_fits_are_refused(tmp_path):
    data = fits(8)
    assert b"NAXIS3" not in data
    three = data.replace(b"NAXIS   =                    2", b"NAXIS   =                    3")
    card = b"NAXIS3  =                    4".ljust(80)
    at = three.index(b"END".ljust(80))
    three = three[:at] + card + three[at : at + 80] + three[at + 160 :] + bytes(80)
    assert refusal(tmp_path, three) == "holds 4 planes, save the one that is meant"


@pytest.mark.parametrize("piece", [1, 2**20])
@pytest.mark.parametrize("wrong", ["pixels", "checksum"])
def test_a_wrong_checksum_of_a_png_is_refused(tmp_path, monkeypatch, wrong, piece):
    """The last rows of a picture can be damaged without the decoder seeing it."""
    monkeypatch.setattr(depth, "_PIECE", piece)
    values = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    data = bytearray(png(values, 8, 2))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert read_picture(path).notes == ()
    data[data.index(b"IEND") - (30 if wrong == "pixels" else 6)] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="is damaged: a checksum of its pixels is wrong"):
        read_picture(path)


def test_what_is_behind_the_end_of_a_png_has_no_checksums(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(np.zeros((4, 5, 3), np.uint8), 8, 2) + bytes(4) + b"IDAT" + bytes(4))
    assert read_picture(path).notes == ("not kept: 12 bytes behind its end",)


@pytest.mark.parametrize("cut", [1, 700, 769])
def test_a_pcx_without_its_palette_is_refused(tmp_path, cut):
    path = tmp_path / "a.pcx"
    values = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    picture = Image.fromarray(values).quantize(256)
    picture.save(path)
    assert np.array_equal(read_picture(path).pixels, np.asarray(picture.convert("RGB")))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ImageError, match="its palette is missing"):
        read_picture(path)
    data = bytearray(path.read_bytes())
    data[68] = 2  # that says of grey that it has none
    path.write_bytes(data)
    assert read_picture(path).pixels.ndim == 2


@pytest.mark.parametrize("mode", ["P", "L"])
@pytest.mark.parametrize("box", [(0, 0, 12, 10), (3, 2, 12, 10), (0, 0, 5, 10)])
def test_nothing_is_around_the_frame_of_a_gif(tmp_path, mode, box):
    values = np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    picture = Image.fromarray(values).convert("L")
    picture = picture.quantize(8) if mode == "P" else picture
    left, top, right, bottom = box
    file = io.BytesIO()
    picture.crop(box).save(file, "GIF")
    data = bytearray(file.getvalue())
    data[6:10] = struct.pack("<HH", 12, 10)
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, right - left, bottom - top)) + 1
    data[at : at + 4] = struct.pack("<HH", left, top)
    found = read(tmp_path, data)
    wanted = np.zeros((10, 12), np.uint8)
    wanted[top:bottom, left:right] = 255
    assert (found.alpha is None) == (wanted.min() == 255)
    if found.alpha is not None:
        assert np.array_equal(found.alpha, wanted)
    plain = np.asarray(picture.convert("L"))
    shown = found.pixels if found.pixels.ndim == 2 else found.pixels[..., 0]
    assert np.array_equal(shown[wanted > 0], plain[wanted > 0])
    assert found.notes == ()

"""Pictures with all that belongs to them: transparency, depth, colour spaces, metadata."""

import io
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from imgcodec.errors import AicError, FormatError, ImageError
from imgcodec.format import container
from imgcodec.format.exif import tiff_part
from imgcodec.format.metadata import Metadata
from imgcodec.pictures import modes, reader, writer
from imgcodec.pictures.modes import composed, fill_invisible
from imgcodec.pictures.picture import ALPHA_CHUNK, Picture, alpha_of
from imgcodec.pictures.reader import read_picture
from imgcodec.pictures.writer import write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" note="kept"/></x:xmpmeta>'


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def exif_of(orientation=1, **more):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    return exif.tobytes()


# transparency


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_read_and_written_exactly(tmp_path, mode, suffix):
    channels = len(mode)
    a = pixels(9, 13, channels)
    a[..., -1] = a[..., -1] // 2 + 1  # WebP would not keep what is invisible
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(a, mode).save(tmp_path / f"a.{suffix}", **options)
    found = read_picture(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found.alpha, a[..., -1])
    wanted = a[..., :3] if mode == "RGBA" else a[..., 0]
    if mode == "LA" and suffix == "webp":
        wanted = np.repeat(a[..., :1], 3, 2)  # WebP has no grey pictures
    np.testing.assert_array_equal(found.pixels, wanted)
    write_image(tmp_path / f"b.{suffix}", found)
    again = read_picture(tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(again.alpha, found.alpha)
    np.testing.assert_array_equal(again.pixels, found.pixels)


def test_premultiplied_alpha_and_palettes(tmp_path):
    picture = Image.new("PA", (4, 4))
    picture.save(tmp_path / "a.tif")
    assert not read_picture(tmp_path / "a.tif").alpha.any()
    indexed = Image.fromarray(pixels(6, 7, 3)).quantize(8)
    indexed.save(tmp_path / "a.png", transparency=bytes([0, 100, 255, 255, 7, 255, 255, 255]))
    found = read_picture(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        wanted = np.array(opened.convert("RGBA"))
    assert {0, 7, 100, 255} == set(found.alpha.flatten().tolist())
    np.testing.assert_array_equal(np.dstack([found.pixels, found.alpha]), wanted)


def test_what_is_opaque_has_no_alpha(tmp_path):
    Image.fromarray(pixels(4, 4, 3)).convert("RGBA").save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").alpha is None


def test_what_nobody_sees_is_filled_smoothly():
    a = pixels(37, 50, 3)
    alpha = np.full((37, 50), 9, np.uint8)
    alpha[5:35, 12:] = 0
    a[alpha != 0] = (10, 200, 60)
    filled = fill_invisible(a, alpha)
    np.testing.assert_array_equal(filled, np.broadcast_to([10, 200, 60], a.shape))
    a[:, :12] = (10, 100, 60)  # now from one colour to another
    filled = fill_invisible(a, alpha)
    np.testing.assert_array_equal(filled[alpha != 0], a[alpha != 0])
    assert 100 <= filled[..., 1].min() <= filled[..., 1].max() <= 200
    assert np.abs(np.diff(filled[10:30, 11:, 1].astype(int))).max() < 50
    assert np.array_equal(fill_invisible(a[..., 1], alpha), filled[..., 1])
    hidden = np.zeros((37, 50), np.uint8)
    np.testing.assert_array_equal(fill_invisible(a, hidden), a)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 65), (65, 3), (64, 64)])
@pytest.mark.parametrize("corner", [0, -1])
def test_one_visible_pixel_fills_all(shape, corner):
    alpha = np.zeros(shape, np.uint8)
    alpha[corner, corner] = 1
    a = pixels(*shape, 3)
    filled = fill_invisible(a, alpha)
    np.testing.assert_array_equal(filled, np.broadcast_to(a[corner, corner], a.shape))


def test_laid_over_a_colour():
    a, alpha = pixels(4, 4, 3), np.array([[0, 128, 255, 64]] * 4, np.uint8)
    found = composed(a, alpha, (255, 0, 10))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(found, share * a + (1 - share) * [255, 0, 10], atol=0.51)
    grey = composed(a[..., 0], alpha, (255, 255, 255))
    assert grey.shape == (4, 4)
    assert (grey[:, 0] == 255).all()
    assert composed(a[..., 0], alpha, (255, 0, 0)).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("name", "rgb"),
    [
        ("white", (255, 255, 255)), ("#ff8000", (255, 128, 0)), ("#123", (17, 34, 51)),
        ("#ff8000ff", (255, 128, 0)), ("rgb(255,0,0)", (255, 0, 0)),
    ],
)  # fmt: skip
def test_names_of_colours(name, rgb):
    assert modes.colour(name) == rgb


@pytest.mark.parametrize(
    "name",
    ["", "whitish", "#12", "keep", "rgb(300,0,0)", "hsl(0,200%,25%)", "#ff800080", "#f80c"],
)
def test_names_of_none(name):
    with pytest.raises(AicError, match="is not the name of a colour"):
        modes.colour(name)


# depth


def test_16_bit_grey_is_rounded_to_8(tmp_path):
    deep = np.arange(0, 65536, 257 // 2, dtype=np.uint16).reshape(1, -1)
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        found = read_picture(tmp_path / name)
        np.testing.assert_array_equal(found.pixels, np.round(deep / 257))
        assert found.notes == ("more than 8 bits a sample were reduced to 8",)
        with pytest.raises(ImageError, match="more than 8 bits a sample"):
            read_picture(tmp_path / name, strict=True)


@pytest.mark.parametrize("kind", [b"P5", b"P6"])
def test_16_bit_ppm_is_reduced(tmp_path, kind):
    samples = [0, 257, 30000, 65535, 128, 129]
    data = struct.pack(">6H", *samples)
    size = b"6 1" if kind == b"P5" else b"2 1"
    (tmp_path / "a.ppm").write_bytes(kind + b"\n" + size + b"\n65535\n" + data)
    found = read_picture(tmp_path / "a.ppm")
    assert found.notes
    assert found.pixels.shape == ((1, 6) if kind == b"P5" else (1, 2, 3))
    np.testing.assert_allclose(found.pixels.flatten(), np.array(samples) / 257, atol=1)


@pytest.mark.parametrize("none", [None, [[1]], Image.new("L", (4, 4))])
def test_pixels_that_are_no_array_are_refused(none):
    with pytest.raises(ImageError, match="^pixels are .*, wanted an array$"):
        Picture(none).check()


def test_32_bits_are_refused(tmp_path):
    for mode in ("I", "F"):
        Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
        with pytest.raises(ImageError, match=f"mode {mode} cannot be kept"):
            read_picture(tmp_path / "a.tif")


# colour spaces


def test_lab_becomes_srgb(tmp_path):
    smooth = np.add.outer(np.arange(16), np.arange(24)) * 5
    a = np.dstack([smooth, smooth[::-1], smooth[:, ::-1]]).astype(np.uint8)
    lab = ImageCms.profileToProfile(
        Image.fromarray(a),
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB",
    )  # fmt: skip
    lab.save(tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif")
    assert found.notes == ("LAB colours were converted to sRGB",)
    assert np.abs(found.pixels.astype(int) - a).mean() < 3
    lab.save(tmp_path / "a.tif", icc_profile=SRGB)
    assert read_picture(tmp_path / "a.tif").notes == (
        "its colour profile is not one of such pixels, and is left out",
        "LAB colours were converted to sRGB",
    )


def test_cmyk_is_a_guess_without_a_profile_of_its_own(tmp_path):
    a = Image.fromarray(pixels(8, 8, 3)).convert("CMYK")
    guess = "CMYK without a colour profile: colours are a guess"
    left = "its colour profile is not one of such pixels, and is left out"
    for icc, notes in ((None, (guess,)), (SRGB, (left, guess))):
        a.save(tmp_path / "a.tif", icc_profile=icc)
        found = read_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(found.pixels, np.array(a.convert("RGB")))
        assert found.metadata.icc is None
        assert found.notes == notes


def cmyk_profile():
    """A profile whose colours are greys: L* falls with the sum of the inks."""
    table = bytearray()
    for node in range(16):
        table += bytes([255 - 63 * bin(node).count("1"), 128, 128])
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += b"".join(struct.pack(">i", 65536 * (i in (0, 4, 8))) for i in range(9))
    lut += identity * 4 + table + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"none\0"
    words = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    parts = {b"A2B0": lut, b"wtpt": white, b"cprt": text, b"desc": words}
    start, entries, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, part in parts.items():
        entries += name + struct.pack(">II", start + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    total = start + len(body)
    head = struct.pack(">I4sI4s4s4s", total, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + entries + body


def test_cmyk_goes_through_its_profile(tmp_path):
    inks = np.zeros((4, 4, 4), np.uint8)
    inks[:, 2:] = 255
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif", icc_profile=cmyk_profile())
    found = read_picture(tmp_path / "a.tif")
    assert found.notes == ("CMYK colours were converted to sRGB",)
    assert found.metadata.icc is None
    assert (found.pixels[:, 0] > 250).all()
    assert (found.pixels[:, 3] < 12).all()
    with pytest.raises(ImageError, match="CMYK"):
        read_picture(tmp_path / "a.tif", strict=True)


def test_cmyk_is_a_guess_with_a_damaged_profile(tmp_path):
    broken = bytearray(cmyk_profile())
    broken[140:200] = bytes(60)
    a = Image.new("CMYK", (4, 4), (10, 80, 30, 5))
    a.save(tmp_path / "a.tif", icc_profile=bytes(broken))
    found = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, np.array(a.convert("RGB")))
    assert found.metadata.icc is None
    assert found.notes == (
        "its colour profile is damaged, and is left out",
        "CMYK without a colour profile: colours are a guess",
    )
    with pytest.raises(ImageError, match="its colour profile is damaged"):
        read_picture(tmp_path / "a.tif", strict=True)


# metadata


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_metadata_survive(tmp_path, suffix):
    meant = Metadata(SRGB, tiff_part(exif_of()), XMP.replace(b'"6"', b'"1"'))
    write_image(tmp_path / f"a.{suffix}", Picture(pixels(16, 24, 3), None, meant))
    found = read_picture(tmp_path / f"a.{suffix}").metadata
    assert found.icc == SRGB
    assert found.xmp == meant.xmp
    with Image.open(tmp_path / f"a.{suffix}") as opened:
        exif = opened.getexif()
        assert exif[0x010F] == "a maker"
        assert exif.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"
    if suffix != "tif":  # which has them among its own tags
        assert found.exif == meant.exif
    else:
        write_image(tmp_path / "b.jpg", Picture(pixels(16, 24, 3), None, found))
        with Image.open(tmp_path / "b.jpg") as opened:
            assert opened.getexif()[0x010F] == "a maker"
            assert opened.getexif().get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"


@pytest.mark.parametrize("suffix", ["bmp", "ppm"])
def test_formats_without_a_place_for_metadata(tmp_path, suffix):
    assert writer.left_out(f"a.{suffix}", Metadata(SRGB, None, XMP)) == ["icc", "xmp"]
    write_image(tmp_path / f"a.{suffix}", Picture(pixels(4, 4, 3), None, Metadata(SRGB)))
    assert not read_picture(tmp_path / f"a.{suffix}").metadata
    with pytest.raises(ImageError, match="cannot be transparent"):
        write_image(tmp_path / f"b.{suffix}", Picture(pixels(4, 4, 3), pixels(4, 4)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_applied_once(tmp_path, order):
    a = pixels(6, 10, 4)
    start = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack(order + "HHI4s", 0x0131, 2, 4, b"aic\0")
    exif = start + struct.pack(order + "IH", 8, 2) + entries + bytes(4) + b"a maker's own data"
    Image.fromarray(a).save(tmp_path / "a.png", exif=b"Exif\0\0" + exif)
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found.alpha, np.rot90(a[..., 3], -1))
    np.testing.assert_array_equal(found.pixels, np.rot90(a[..., :3], -1))
    assert found.metadata.exif == exif.replace(
        struct.pack(order + "HI", 3, 1) + struct.pack(order + "H", 6),
        struct.pack(order + "HI", 3, 1) + struct.pack(order + "H", 1),
    )
    write_image(tmp_path / "b.png", found)
    again = read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(again.alpha, found.alpha)
    assert again.metadata == found.metadata


@pytest.mark.parametrize(
    "xmp",
    [
        XMP,
        XMP.replace(b'"', b"'"),
        b"<rdf:Description><tiff:Orientation>8</tiff:Orientation></rdf:Description>",
    ],
)
def test_xmp_is_upright_too(xmp):
    found = Metadata(xmp=xmp).upright().xmp
    assert found in (xmp.replace(b"6", b"1", 1), xmp.replace(b">8<", b">1<"))
    assert found != xmp


@pytest.mark.parametrize(
    "exif",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"no exif at all"],
)
def test_damaged_exif_stays_as_it_is(exif):
    assert Metadata(exif=exif).upright().exif == exif


def test_a_profile_of_other_pixels_is_left_out(tmp_path):
    Image.fromarray(pixels(4, 4)).save(tmp_path / "a.png", icc_profile=SRGB)
    found = read_picture(tmp_path / "a.png")
    assert found.metadata.icc is None
    assert found.notes == ("its colour profile is not one of such pixels, and is left out",)


def test_kinds_of_metadata():
    whole = Metadata(b"i", b"e", b"x")
    assert whole.kinds == ["icc", "exif", "xmp"]
    assert whole.only(("exif",)) == Metadata(exif=b"e")
    assert not whole.only(())
    assert Metadata.of(whole.chunks()) == whole
    assert Metadata.of([(b"else", b"")]) == Metadata()


def test_of_a_telephones_two_pictures_the_first_counts(tmp_path):
    first, second = (Image.fromarray(pixels(16, 16, 3, seed=seed)) for seed in range(2))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    found = read_picture(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        assert opened.n_frames == 2
        np.testing.assert_array_equal(found.pixels, np.array(opened))


def test_plugins_are_asked_last(tmp_path, monkeypatch):
    class FakeFile(ImageFile.ImageFile):
        format = "FAKE"

        def _open(self):
            self._size, self._mode = (3, 2), "L"
            self.tile = [("raw", (0, 0, 3, 2), 4, ("L", 0, 1))]

    plugin = types.ModuleType("a_plugin")
    plugin.register_heif_opener = lambda: Image.register_open(
        "FAKE", FakeFile, lambda start: start[:4] == b"FAKE"
    )
    monkeypatch.setitem(sys.modules, "a_plugin", plugin)
    monkeypatch.setattr(reader, "_PLUGINS", ("no_such_plugin", "a_plugin"))
    for table in (Image.OPEN, Image.ID):
        monkeypatch.setattr(Image, "OPEN" if table is Image.OPEN else "ID", table.copy())
    (tmp_path / "a.heic").write_bytes(b"FAKE" + bytes(range(6)))
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.heic").pixels, np.arange(6).reshape(2, 3)
    )


# in files


def test_all_of_a_picture_comes_back_from_a_file(tiny_codec, textured):
    alpha = pixels(64, 80) // 128 * 255
    meant = Metadata(SRGB, exif_of()[6:], XMP)
    data = tiny_codec.encode(Picture(textured(64, 80), alpha, meant), 12.0)
    header, _, chunks = container.unpack(data)
    assert 8 * len(data) <= 12 * 64 * 80
    np.testing.assert_array_equal(alpha_of(chunks, header.height, header.width), alpha)
    assert Metadata.of(chunks) == meant
    assert tiny_codec.decode(data).shape == (64, 80, 3)


def test_the_pixels_behind_alpha_cost_nothing(tiny_codec, textured):
    picture = textured(128, 128)
    alpha = np.zeros((128, 128), np.uint8)
    alpha[40:60, 40:60] = 255
    hidden = picture.copy()
    hidden[alpha == 0] = pixels(128, 128, 3)[alpha == 0]
    one, two = (tiny_codec.encode(Picture(p, alpha), 2.0) for p in (picture, hidden))
    assert one == two


def test_pil_images_keep_everything(tiny_codec, textured):
    alpha = pixels(48, 48)
    rgba = Image.fromarray(np.dstack([textured(48, 48), alpha]))
    rgba.info["icc_profile"] = SRGB
    _, _, chunks = container.unpack(tiny_codec.encode(rgba, 24.0))
    np.testing.assert_array_equal(alpha_of(chunks, 48, 48), alpha)
    assert Metadata.of(chunks).icc == SRGB


def grey_png(width, height, mode="L"):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be read"),
        (b"GIF89a" + bytes(20), "cannot be read"),
        (grey_png(8, 8)[:-30], "cannot be read"),
        (grey_png(8, 9), "alpha channel of 8x9 L, the picture has 8x8"),
        (grey_png(60000, 60000 // 999), "the picture has 8x8"),
        (grey_png(8, 8, "RGB"), "alpha channel of 8x8 RGB"),
    ],
)
def test_hostile_alpha_is_refused(data, reason):
    with pytest.raises(FormatError, match=reason):
        alpha_of([(ALPHA_CHUNK, data)], 8, 8)


def test_further_pictures_are_named(tmp_path):
    picture = Image.new("RGB", (20, 12), "red")
    picture.save(tmp_path / "a.mpo", save_all=True, append_images=[picture.rotate(180)])
    assert read_picture(tmp_path / "a.mpo").notes == ("1 further picture left out",)
    with pytest.raises(ImageError, match="1 further picture left out"):
        read_picture(tmp_path / "a.mpo", strict=True)


@pytest.mark.parametrize(("primaries", "noted"), [(1, False), (9, True), (12, True)])
def test_colours_of_heif_that_are_not_heeded_are_named(tmp_path, primaries, noted):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.new("RGB", (32, 32), "red"))
    file.save(
        tmp_path / "a.heic", save_nclx_profile=True, color_primaries=primaries,
        transfer_characteristics=13, matrix_coefficients=6, full_range_flag=1,
    )  # fmt: skip
    notes = read_picture(tmp_path / "a.heic").notes
    assert any("colours are not sRGB" in note for note in notes) == noted

"""What Pillow tells of pictures besides pixels: all its forms are kept, or named in a line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from imgcodec.errors import ImageError
from imgcodec.format.exif import tiff_part
from imgcodec.format.metadata import Metadata
from imgcodec.pictures import profiles
from imgcodec.pictures.headers.overlooked import overlooked
from imgcodec.pictures.headers.tiff_directories import moved
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import from_pil, read_image, read_picture
from imgcodec.pictures.writer import empty_jpeg, left_out, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><rdf:Description note="kept"/></x:xmpmeta>'
EIGHT = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)


def exif_of(orientation=1, **more):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    exif.update(more)
    return exif.tobytes()


def test_large_profiles_and_texts_of_png_are_read(tmp_path):
    """Pillow by itself refuses the file; decoding writes such profiles."""
    profile = (len(SRGB) + 2**21).to_bytes(4, "big") + SRGB[4:] + bytes(2**21)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode() + 2**21 * " ", zip=True)
    Image.fromarray(EIGHT).save(tmp_path / "a.png", icc_profile=profile, pnginfo=texts)
    found = read_picture(tmp_path / "a.png")
    assert found.notes == ()
    assert found.metadata.icc == profile
    assert found.metadata.xmp.rstrip() == XMP


def raw(name, data):
    """A text as ImageMagick writes it."""
    digits = data.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\n{name}\n{len(data):8}\n{lines}\n"


def png(path, pixels=EIGHT, texts=(), chunks=(), **words):
    """A PNG file with texts, and with chunks of one's own before the pixels."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts:
        info.add_text(name, text, zip=True)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", pnginfo=info, **words)
    data = file.getvalue()
    extra = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(data[:33] + extra + data[33:])
    return path


def gama(value):
    return b"gAMA", struct.pack(">I", round(100000 * value))


def chrm(points):
    return b"cHRM", struct.pack(">8I", *(round(100000 * point) for point in points))


# how many dots an inch has


def densities(picture):
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    return tuple(found.get(tag) for tag in (282, 283, 296))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_a_density_is_kept(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(EIGHT).save(path, dpi=(300, 200))
    found = read_picture(path)
    assert densities(found) == (300, 200, 2)
    assert found.notes == ()
    assert densities(from_pil(Image.open(path))) == (300, 200, 2)
    for other in ("b.png", "b.jpg", "b.bmp", "b.tif"):
        write_image(tmp_path / other, found, force=True)
        with Image.open(tmp_path / other) as written:
            assert written.info["dpi"] == pytest.approx((300, 200), abs=0.02)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("dpi", [72, 96])
def test_a_density_of_screens_is_none(tmp_path, name, dpi):
    Image.fromarray(EIGHT).save(tmp_path / name, dpi=(dpi, dpi))
    assert not read_picture(tmp_path / name).metadata


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_density_joins_exif_data_that_do_not_tell_it(tmp_path, name):
    Image.fromarray(EIGHT).save(tmp_path / name, dpi=(300, 300), exif=exif_of(6))
    found = read_picture(tmp_path / name, strict=True)
    assert densities(found) == pytest.approx((300, 300, 2))
    told = Image.Exif()
    told.load(found.metadata.exif)
    assert (told[0x010F], told.get_ifd(0x8769)[0x9003]) == ("a maker", "2026:01:02 03:04:05")


def test_a_density_beside_damaged_exif_data_is_told(tmp_path):
    exif = tiff_part(exif_of())[:30]
    Image.fromarray(EIGHT).save(tmp_path / "a.png", dpi=(300, 300), exif=exif)
    found = read_picture(tmp_path / "a.png")
    assert found.metadata.exif == exif
    (note,) = found.notes
    assert note.startswith("not kept: ")
    assert note.endswith(" dots an inch, of which its EXIF data do not tell")


def test_a_density_that_exif_tells_stays_as_it_is(tmp_path):
    Image.fromarray(EIGHT).save(tmp_path / "a.jpg", dpi=(300, 300), exif=exif_of())
    own = Image.Exif()
    own[282], own[283], own[296] = 600, 600, 2
    Image.fromarray(EIGHT).save(tmp_path / "b.jpg", dpi=(300, 300), exif=own)
    found = read_picture(tmp_path / "b.jpg")
    assert (densities(found), found.notes) == ((600, 600, 2), ())
    without = from_pil(Image.open(tmp_path / "a.jpg"), {"exif": b""})
    assert (without.metadata.exif, without.notes) == (None, ())


def test_pixels_that_are_not_square_are_told(tmp_path):
    path = png(tmp_path / "a.png", chunks=[(b"pHYs", struct.pack(">IIB", 2, 1, 0))])
    assert densities(read_picture(path)) == (2, 1, 1)
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG", dpi=(2, 1))
    data = bytearray(file.getvalue())
    data[data.index(b"JFIF\0") + 7] = 0  # no unit
    (tmp_path / "b.jpg").write_bytes(data)
    found = read_picture(tmp_path / "b.jpg")
    assert densities(found) == (2, 1, 1)
    for name in ("c.png", "c.jpg", "c.tif"):
        write_image(tmp_path / name, found)
        assert densities(read_picture(tmp_path / name)) == (2, 1, 1)
    with Image.open(tmp_path / "c.png") as written:
        assert written.info["aspect"] == (2, 1)
    for file in (tmp_path / "c.jpg", io.BytesIO(empty_jpeg(found, np.full(64, 9)))):
        with Image.open(file) as written:
            assert (written.info["jfif_unit"], written.info["jfif_density"]) == (0, (2, 1))


@pytest.mark.parametrize("dots", [(0, 0), (0, 5), (2**32 - 1, 2**32 - 1)])
def test_densities_that_are_none(tmp_path, dots):
    path = png(tmp_path / "a.png", chunks=[(b"pHYs", struct.pack(">IIB", *dots, 1))])
    assert not read_picture(path).metadata


def test_a_density_beyond_what_files_hold_is_left_to_exif(tmp_path):
    found = Image.Exif()
    found[282], found[283], found[296] = 100_000, 100_000, 2
    picture = Picture(EIGHT, None, Metadata(exif=tiff_part(found.tobytes())))
    for name in ("a.png", "a.jpg", "a.bmp"):
        write_image(tmp_path / name, picture)
    with Image.open(tmp_path / "a.png") as written:
        assert "dpi" not in written.info


# what PNG has no place for


@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_exif_in_a_text_turns_the_picture_and_is_kept(tmp_path, name):
    found = read_picture(
        png(tmp_path / "a.png", texts=[(f"Raw profile type {name}", raw(name, exif_of(6)))])
    )
    np.testing.assert_array_equal(found.pixels, np.rot90(EIGHT, -1))
    assert found.metadata.exif == tiff_part(exif_of(1))
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "data"),
    [("xmp", XMP), ("APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP)],
)
def test_xmp_in_a_text_is_kept(tmp_path, name, data):
    path = png(tmp_path / "a.png", texts=[(f"Raw profile type {name}", raw(name, data))])
    assert read_picture(path, strict=True).metadata == Metadata(xmp=XMP)


@pytest.mark.parametrize("name", ["icc", "icm"])
def test_a_profile_in_a_text_is_kept(tmp_path, name):
    path = png(tmp_path / "a.png", texts=[(f"Raw profile type {name}", raw(name, SRGB))])
    assert read_picture(path, strict=True).metadata == Metadata(icc=SRGB)
    path = png(tmp_path / "b.png", EIGHT[..., 0], [(f"Raw profile type {name}", raw(name, SRGB))])
    found = read_picture(path)
    assert found.metadata == Metadata()
    assert found.notes == ("its colour profile is not one of such pixels, and is left out",)


def test_xmp_as_plain_text_of_png_is_kept(tmp_path):
    packet = XMP.replace(b"kept", "ünd".encode())
    path = png(tmp_path / "a.png", texts=[("XML:com.adobe.xmp", packet.decode("latin-1"))])
    assert read_picture(path, strict=True).metadata == Metadata(xmp=packet)


@pytest.mark.parametrize(
    "text", ["", "exif", "exif 4 zz", "exif 99 4d4d", "exif " + "9" * 5000 + " 00", "\nexif\n1\n0"]
)
def test_a_broken_text_is_named(tmp_path, text):
    found = read_picture(png(tmp_path / "a.png", texts=[("Raw profile type exif", text)]))
    assert found.metadata == Metadata()
    assert found.notes == ("not kept: the text 'Raw profile type exif'",)


def test_values_are_not_what_their_names_say(tmp_path):
    """Texts of PNG land beside what Pillow means by these names."""
    names = ("exif", "icc_profile", "gamma", "chromaticity", "srgb", "photoshop", "comment")
    path = png(tmp_path / "a.png", texts=[(name, "a text") for name in names])
    found = read_picture(path)
    assert found.metadata == Metadata()
    assert found.notes[-1] == (
        "not kept: the text 'exif', the text 'icc_profile', the text 'gamma',"
        " the text 'chromaticity', 3 more"
    )


def test_exif_that_is_no_structure_is_left_out(tmp_path):
    path = png(tmp_path / "a.png", exif=b"Exif\0\0no such thing")
    found = read_picture(path)
    assert found.metadata == Metadata()
    assert found.notes == ("its EXIF data are no TIFF structure, and are left out",)
    with pytest.raises(ImageError, match="no TIFF structure"):
        read_picture(path, strict=True)


# what is not kept


def jpeg(path, *segments):
    """A JPEG file with segments (marker, data) of one's own."""
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG")
    data = file.getvalue()
    extra = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
        for marker, body in segments
    )
    path.write_bytes(data[:2] + extra + data[2:])
    return path


def resource(code, data):
    return b"Photoshop 3.0\x008BIM" + struct.pack(">HHI", code, 0, len(data)) + data


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ((0xED, resource(0x0404, b"\x1c\2\x78\0\2hi")), "IPTC"),
        ((0xED, resource(0x0425, bytes(16))), "Photoshop's resources"),
        ((0xFE, b"by hand"), "a comment"),
        ((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60)), "extended XMP"),
    ],
)
def test_what_jpeg_files_have_besides_is_named(tmp_path, segment, name):
    path = jpeg(tmp_path / "a.jpg", segment)
    assert read_picture(path).notes == (f"not kept: {name}",)
    with pytest.raises(ImageError, match=f"not kept: {name}"):
        read_picture(path, strict=True)
    assert read_picture(path, strict=True, kinds=("icc", "exif")).notes == ()
    assert read_image(path).shape == (4, 8, 3)  # pixels alone are asked


def test_texts_of_png_are_named_without_what_a_terminal_would_obey(tmp_path):
    path = png(tmp_path / "a.png", texts=[("Software", "by hand"), ("\x1b[2J\x85", "x")])
    assert read_picture(path).notes == (r"not kept: the text 'Software', the text '\x1b[2J\x85'",)


def test_tags_of_tiff_are_kept_or_named(tmp_path):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[270], tags[316] = "what it shows", "a computer"
    tags[33723], tags[34377], tags[65000] = b"iptc", b"8BIM", "own"
    for tag in (33723, 34377):
        tags.tagtype[tag] = 7
    Image.fromarray(EIGHT).save(tmp_path / "a.tif", tiffinfo=tags)
    found = read_picture(tmp_path / "a.tif")
    assert found.notes == ("not kept: IPTC, Photoshop's resources, tag 65000",)
    exif = Image.Exif()
    exif.load(found.metadata.exif)
    assert (exif[270], exif[316]) == ("what it shows", "a computer")


# turned pictures


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_sides_in_exif_are_those_of_the_upright_picture(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {0xA002: 8, 0xA003: 4}
    Image.fromarray(EIGHT).save(tmp_path / f"a.{suffix}", exif=exif.tobytes())
    found = read_picture(tmp_path / f"a.{suffix}")
    assert found.shape == (8, 4, 3)
    read = Image.Exif()
    read.load(found.metadata.exif)
    assert read.get_ifd(0x8769) == {0xA002: 4, 0xA003: 8}
    assert read.get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_subject_is_where_it_was(tmp_path, suffix, orientation):
    """Pillow turns a TIFF itself."""
    pixels = np.zeros((5, 8), np.uint8)
    pixels[1, 6] = 255
    for sides in ((), (3,), (4, 2)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x8769] = {0x9214: (6, 1, *sides), 0xA214: (6, 1), 0x9209: 1}
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif.tobytes())
        found = read_picture(tmp_path / f"a.{suffix}")
        read = Image.Exif()
        read.load(found.metadata.exif)
        inner = read.get_ifd(0x8769)
        x, y = inner[0xA214]
        assert found.pixels[y, x] == 255
        sides = sides[::-1] if orientation > 4 else sides
        assert inner[0x9214] == (x, y, *sides)


@pytest.mark.parametrize("quote", [b'"', b"'"])
def test_xmp_alone_turns_a_picture_once(tmp_path, quote):
    packet = b'<x tiff:Orientation="6" tiff:ImageWidth="8" tiff:ImageLength="4"/>'.replace(
        b'"', quote
    )
    Image.fromarray(EIGHT).save(tmp_path / "a.webp", lossless=True, xmp=packet)
    found = read_picture(tmp_path / "a.webp")
    np.testing.assert_array_equal(found.pixels, np.rot90(EIGHT, -1))
    upright = b'<x tiff:Orientation="1" tiff:ImageWidth="4" tiff:ImageLength="8"/>'
    assert found.metadata.xmp == upright.replace(b'"', quote)


@pytest.mark.parametrize(
    "said", [b'<y tiff:Orientation="6"/>', b"<tiff:Orientation>6 </tiff:Orientation>"]
)
def test_xmp_alone_turns_a_tiff_once(tmp_path, said):
    """Pillow turns it as well, and forgets the orientation where it stands as it expects."""
    sides = b"<tiff:ImageWidth>%d</tiff:ImageWidth><tiff:ImageLength>%d</tiff:ImageLength>"
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = b"<x>" + said + sides % (8, 4) + b"</x>"
    Image.fromarray(EIGHT).save(tmp_path / "a.tif", tiffinfo=tags)
    found = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, np.rot90(EIGHT, -1))
    assert sides % (4, 8) in found.metadata.xmp
    assert found.metadata.orientation == 1


# boxes


def box(kind, data, long=False):
    if long:
        return struct.pack(">I4sQ", 1, kind, len(data) + 16) + data
    return struct.pack(">I4s", len(data) + 8, kind) + data


XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def jp2(path, boxes=b"", colour=b"\1\0\0\0\0\0\x10", pixels=EIGHT, density=b""):
    """A JPEG 2000 file with another colr box, and with boxes before its codestream."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", irreversible=False)
    data = file.getvalue()
    start = data.index(b"jp2h") - 4
    stream = data[data.index(b"jp2c") + 4 :]
    header = box(b"jp2h", data[start + 8 : start + 30] + box(b"colr", colour) + density)
    path.write_bytes(data[:start] + header + boxes + box(b"jp2c", stream))
    return path


@pytest.mark.parametrize("long", [False, True])
def test_metadata_of_jpeg_2000_are_kept(tmp_path, long):
    exif = tiff_part(exif_of(6))
    boxes = box(b"uuid", XMP_UUID + XMP, long) + box(b"uuid", b"JpgTiffExif->JP2" + exif, long)
    path = jp2(tmp_path / "a.jp2", boxes, b"\2\0\0" + SRGB)
    found = read_picture(path, strict=True)
    np.testing.assert_array_equal(found.pixels, np.rot90(EIGHT, -1))
    assert found.metadata == Metadata(SRGB, tiff_part(exif_of(1)), XMP)
    with Image.open(path) as picture:
        assert from_pil(picture).metadata == found.metadata


@pytest.mark.parametrize("kind", [b"resc", b"resd"])
def test_a_density_of_jpeg_2000_is_kept(tmp_path, kind):
    """Of its scan, which Pillow reads, or of how it is shown."""
    told = box(b"res ", box(kind, struct.pack(">4H2b", 11811, 10, 59055, 100, 1, 1)))
    found = densities(read_picture(jp2(tmp_path / "a.jp2", density=told)))
    assert found == pytest.approx((150, 300, 2), abs=0.01)
    nothing = box(b"res ", box(kind, bytes(10)) + box(b"resd", b""))
    assert read_picture(jp2(tmp_path / "a.jp2", density=nothing)).metadata == Metadata()


def test_a_profile_of_others_in_jpeg_2000_is_named(tmp_path):
    found = read_picture(jp2(tmp_path / "a.jp2", colour=b"\2\0\0" + SRGB, pixels=EIGHT[..., 0]))
    assert found.metadata == Metadata()
    assert found.notes[0] == "its colour profile is not one of such pixels, and is left out"


@pytest.mark.parametrize(
    "boxes",
    [
        b"\0\0\0\7uuid",
        b"\xff\xff\xff\xffuuid" + XMP_UUID,
        b"\0\0\0\1uuid" + b"\xff" * 8,
        b"\0\0\0\1uuid" + bytes(8),
        box(b"uuid", b"short"),
        box(b"free", b"") * 3000,
        b"".join(struct.pack(">I4s", 8 * (2000 - i), b"jp2h") for i in range(2000)),
    ],
)
def test_damaged_boxes_are_passed_over(boxes):
    file = io.BytesIO(box(b"ftyp", b"jp2 ") + boxes)
    picture = Image.new("L", (1, 1))
    picture.format, picture.fp = "JPEG2000", file
    assert overlooked(picture) == {}
    assert file.tell() == 0


def test_xmp_of_jpeg_xl_is_kept(tmp_path):
    pytest.importorskip("pillow_jxl")
    Image.fromarray(EIGHT).save(tmp_path / "a.jxl", lossless=True, xmp=XMP)
    assert read_picture(tmp_path / "a.jxl").metadata.xmp == XMP


# colours by numbers


ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
COLOURS = np.array([[[0, 64, 128], [128, 128, 128], [255, 255, 255], [200, 10, 10]]], np.uint8)


def srgb_of(linear):
    linear = linear.clip(0, 1)
    return 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def seen(found):
    """The sRGB values that a picture's profile gives its pixels."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(found.metadata.icc))
    target = ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(
        Image.fromarray(found.pixels), profile, target, outputMode="RGB"
    )
    return np.array(turned).astype(int)


@pytest.mark.parametrize("gamma", [1.0, 0.55, 0.4])
@pytest.mark.parametrize("grey", [False, True])
def test_gamma_becomes_a_profile(tmp_path, gamma, grey):
    pixels = COLOURS[..., 1] if grey else COLOURS
    found = read_picture(png(tmp_path / "a.png", pixels, chunks=[gama(gamma)]), strict=True)
    assert found.metadata.icc[16:20] == (b"GRAY" if grey else b"RGB ")
    wanted = srgb_of((pixels / 255) ** (1 / gamma))
    assert np.abs(seen(found) - (wanted[..., None] if grey else wanted)).max() <= 1


@pytest.mark.parametrize("chunks", [[chrm(ADOBE)], [gama(0.45455), chrm(ADOBE)]])
def test_primaries_become_a_profile(tmp_path, chunks):
    found = read_picture(png(tmp_path / "a.png", COLOURS, chunks=chunks))
    to_srgb = np.array([[1.39828, -0.39828, 0], [0, 1, 0], [0, -0.04294, 1.04294]])  # both of D65
    wanted = srgb_of((COLOURS / 255) ** 2.2 @ to_srgb.T)
    assert np.abs(seen(found) - wanted).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [chrm(profiles._SRGB)],
        [gama(0.45455), chrm(profiles._SRGB)],
        [(b"sRGB", b"\0"), gama(1.0)],
        [(b"sRGB", b"\0"), gama(0.45455), chrm(profiles._SRGB)],
    ],
)
def test_srgb_needs_no_profile(tmp_path, chunks):
    found = read_picture(png(tmp_path / "a.png", chunks=chunks), strict=True)
    assert found.metadata == Metadata()


def test_a_real_profile_counts_before_the_numbers(tmp_path):
    found = read_picture(png(tmp_path / "a.png", chunks=[gama(1.0)], icc_profile=SRGB))
    assert found.metadata.icc == SRGB


def test_a_damaged_profile_is_named(tmp_path):
    path = png(tmp_path / "a.png", chunks=[(b"iCCP", b"name\0\0no zlib")])
    assert read_picture(path).notes == ("its colour profile is damaged, and is left out",)


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (gama(0), "gamma 0"),
        (gama(300), "gamma 300"),
        (chrm((0.3, 0, *ADOBE[2:])), "a colour without brightness"),
        (chrm((0.3127, 0.329, *(0.3, 0.3) * 3)), "three colours on a line"),
        (chrm((0.3127, 0.329, 0.64, 0.33, 0.64, 0.34, 0.641, 0.32)), "colours far from any light"),
    ],
)
def test_numbers_that_are_no_colours_are_named(tmp_path, chunk, reason):
    found = read_picture(png(tmp_path / "a.png", chunks=[chunk]))
    assert found.metadata.icc is None
    assert found.notes == (f"its gAMA and cHRM are left out: {reason}",)


def test_too_few_numbers_are_no_colours():
    with pytest.raises(ValueError, match="2 numbers of colours"):
        profiles.of_png({"chromaticity": (0.3, 0.3)}, grey=False)


# writing


BIG = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("kind", "most", "make"),
    [
        ("exif", 65527, lambda size: BIG.ljust(size, b"m")),
        ("xmp", 65504, lambda size: b"x" * size),
        ("icc", 255 * 65519, lambda size: SRGB.ljust(size, b"\0")),
    ],
)
def test_what_is_too_long_for_jpeg_is_left_out(tmp_path, kind, most, make):
    pixels = np.tile(EIGHT, (4, 4, 1))
    for size, fits in ((most, True), (most + 1, False)):
        meant = Metadata(**{kind: make(size)})
        assert (
            left_out("a.jpg", meant) == []
            if fits
            else [f"{kind} ({size} bytes, at most {most} fit into a JPEG file)"]
        )
        write_image(tmp_path / "a.jpg", Picture(pixels, None, meant), force=True)
        assert read_picture(tmp_path / "a.jpg").metadata == (meant if fits else Metadata())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize(
    "exif", [b"", b"no exif at all", b"Exif\0\0" + BIG], ids=["empty", "text", "words before"]
)
def test_exif_that_is_no_structure_stays_out_of_every_format(tmp_path, suffix, exif):
    meant = Metadata(exif=exif)
    assert left_out(f"a.{suffix}", meant) == ["exif (no TIFF structure)"]
    write_image(tmp_path / f"a.{suffix}", Picture(EIGHT, None, meant))
    assert read_picture(tmp_path / f"a.{suffix}", strict=suffix != "jpg").metadata == Metadata()


def structure(*entries):
    """EXIF data of entries (tag, type, count, value)."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def test_how_exif_says_its_pixels_are_stored_is_not_that_of_a_tiff(tmp_path):
    entries = [(256, 4, 1, 7), (258, 3, 1, 16), (262, 3, 1, 6), (273, 4, 1, 99), (277, 3, 1, 1)]
    meant = Metadata(exif=structure(*entries, (305, 2, 4, 0x00636961)))
    assert left_out("a.tif", meant) == []
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, meant))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), EIGHT)
    with Image.open(tmp_path / "a.tif") as found:
        assert found.getexif()[305] == "aic"


@pytest.mark.parametrize("entry", [(0x8769, 2, 4, 0x00636961), (0x010F, 5, 1, 8), (256, 3, 1, 4)])
def test_exif_of_which_nothing_is_left_stays_out_of_tiff_alone(tmp_path, entry):
    meant = Metadata(exif=structure(entry))
    assert left_out("a.tif", meant) == ["exif (nothing that TIFF files have a place for)"]
    assert left_out("a.png", meant) == []
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, meant))
    assert read_picture(tmp_path / "a.tif", strict=True).metadata == Metadata()


def test_tags_that_tiff_files_have_no_place_for_are_named(tmp_path):
    exif = Image.Exif()
    exif.update({271: "a maker", 531: 1, 59932: b"  ", 0x8769: {0x9209: 1}})
    assert left_out("a.tif", Metadata(exif=exif.tobytes()[6:])) == []
    exif[318] = (0.31, 0.33)
    assert left_out("a.tif", Metadata(exif=exif.tobytes()[6:])) == ["EXIF's tags 318"]
    del exif[318]
    exif.update(dict.fromkeys(range(50700, 50706), b"?"))
    meant = Metadata(exif=exif.tobytes()[6:])
    told = "EXIF's tags 50700 50701 50702 50703 and others"
    assert (left_out("a.tif", meant), left_out("a.png", meant)) == ([told], [])
    write_image(tmp_path / "a.tif", Picture(EIGHT, metadata=meant))
    with Image.open(tmp_path / "a.tif") as written:
        assert written.getexif()[271] == "a maker"


def test_the_innermost_directory_comes_through_tiff(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2026:01:02 03:04:05", 0xA005: {1: "R98"}}
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, Metadata(exif=exif.tobytes()[6:])))
    read = Image.Exif()
    read.load(read_picture(tmp_path / "a.tif").metadata.exif)
    assert read.get_ifd(0xA005) == {1: "R98"}


def test_bytes_in_exif_stay_what_they_are_in_tiff(tmp_path):
    """Of type UNDEFINED, not BYTE, but for the version of GPS."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C], exif.get_ifd(0x8825)[0] = b"a maker's", b"\2\3\0\0"
    data = exif.tobytes()[6:].replace(b"\x92\x7c\0\1", b"\x92\x7c\0\7")
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, Metadata(exif=data)))
    for found in (
        (tmp_path / "a.tif").read_bytes(),
        read_picture(tmp_path / "a.tif").metadata.exif,
    ):
        assert found.count(struct.pack(">HHI", 0x927C, 7, 9)) == 1
        assert found.count(struct.pack(">HHI4s", 0, 1, 4, b"\2\3\0\0")) == 1
        assert b"a maker's" in found


def makers_notes(order, head, start, text=b"a camera"):
    """Two entries, of which one says where its text stands, counted from `start` before them."""
    place = start + len(head) + 30
    entries = struct.pack(f"{order}HHHIIHHIHH", 2, 6, 2, len(text), place, 7, 3, 1, 5, 0)
    return head + entries + bytes(4) + text


@pytest.mark.parametrize(("order", "head"), [("<", b""), (">", b"Panasonic\0\0\0")])
@pytest.mark.parametrize(("kept", "kind"), [(False, 4), (True, 4), (False, 13)])
def test_makers_notes_point_to_where_they_are_in_tiff(tmp_path, order, head, kept, kind):
    """And in EXIF data again. Those that count from their own start are kept as they are."""
    start = 8 + 18 + 18
    notes = makers_notes(order, head, 0 if kept else start)
    data = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, kind, 1, 26, 0)
    data += struct.pack("<HHHIII", 1, 0x927C, 7, len(notes), start, 0) + notes
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, Metadata(exif=data)))
    written = (tmp_path / "a.tif").read_bytes()
    at = written.index(head + struct.pack(f"{order}HHH", 2, 6, 2))
    assert written[at:].startswith(makers_notes(order, head, 0 if kept else at))
    assert at != start
    read = read_picture(tmp_path / "a.tif").metadata.exif
    again = read.index(head + struct.pack(f"{order}HHH", 2, 6, 2))
    assert read[again:].startswith(makers_notes(order, head, 0 if kept else again))
    assert again != at
    with Image.open(tmp_path / "a.tif") as picture:
        assert np.array_equal(picture, EIGHT)


def test_no_pointers_of_makers_notes():
    """Of other structures nothing changes, wherever they stand."""
    whole = makers_notes("<", b"", 44, bytes(10))
    assert moved(whole, 44, 46) == makers_notes("<", b"", 46, bytes(10))
    damaged = whole[:16] + b"\xff" + whole[17:]
    for notes in (bytes(40), b"\1\0" + 38 * b"\xff", damaged, whole[:20], b""):
        assert moved(notes, 44, 46) == notes


def test_sides_in_exif_are_such_as_libtiff_reads(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0xA002: 8, 0xA003: 4, 0xA001: 1}
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, Metadata(exif=exif.tobytes()[6:])))
    written = (tmp_path / "a.tif").read_bytes()
    for tag, kind, value in ((0xA001, 3, 2**16), (0xA002, 4, 8), (0xA003, 4, 4)):
        assert written.count(struct.pack(">HHII", tag, kind, 1, value)) == 1


@pytest.mark.parametrize("code", ["utf-8", "latin-1"])
def test_letters_of_texts_come_through_tiff(tmp_path, code):
    """Pillow reads Latin-1, and would write ASCII, each other letter as a question mark."""
    exif = Image.Exif()
    exif[0x8298], exif.get_ifd(0x8769)[0xA430], exif.get_ifd(0x8825)[0x1D] = "___A", "___B", "___C"
    text = "©é".encode(code)[-3:].rjust(3, b"_")
    data = exif.tobytes()[6:].replace(b"___", text)
    for path in (tmp_path / "a.tif", tmp_path / "b.tif"):
        write_image(path, Picture(EIGHT, None, Metadata(exif=data)))
        assert all(text + end in path.read_bytes() for end in (b"A\0", b"B\0", b"C\0"))
        data = read_picture(path).metadata.exif
        assert all(text + end in data for end in (b"A\0", b"B\0", b"C\0"))
    exif = Image.Exif()
    exif.load(data)
    given = from_pil(Image.fromarray(EIGHT), {"exif": exif})
    assert given.metadata.exif == data


@pytest.mark.parametrize(("order", "code"), [(">", "utf-16-be"), ("<", "utf-16-le")])
def test_comments_come_through_tiff_which_gets_their_order_of_bytes(tmp_path, order, code):
    exif = Image.Exif()
    exif.endian = order
    text = b"UNICODE\0" + "Grüße".encode(code)
    exif.get_ifd(0x8769)[0x9286] = exif.get_ifd(0x8825)[0x1B] = text + b"\0"
    data = exif.tobytes()[6:]
    for tag in (0x9286, 0x1B):  # as UNDEFINED
        data = data.replace(struct.pack(order + "HH", tag, 1), struct.pack(order + "HH", tag, 7))
    write_image(tmp_path / "a.tif", Picture(EIGHT, None, Metadata(exif=data)))
    read = Image.Exif()
    read.load(read_picture(tmp_path / "a.tif").metadata.exif)
    comments = read.get_ifd(0x8769)[0x9286], read.get_ifd(0x8825)[0x1B]
    assert read.endian == order
    assert comments == (text + b"\0",) * 2


def test_xmp_that_is_no_utf8_stays_out_of_png(tmp_path):
    meant = Metadata(xmp=XMP.decode().encode("utf-16"))
    assert left_out("a.png", meant) == ["xmp (no UTF-8, which PNG files want)"]
    assert left_out("a.webp", meant) == []
    write_image(tmp_path / "a.png", Picture(EIGHT, None, meant))
    assert read_picture(tmp_path / "a.png", strict=True).metadata == Metadata()


def test_a_profile_of_grey_stays_out_of_webp(tmp_path):
    meant = Metadata(icc=profiles.of_png({"gamma": 1.0}, grey=True))
    assert left_out("a.webp", meant) == ["icc (of grey, WebP files have colours)"]
    write_image(tmp_path / "a.webp", Picture(EIGHT[..., 0], None, meant))
    assert read_picture(tmp_path / "a.webp", strict=True).metadata == Metadata()


# PIL images


def test_metadata_given_count_in_place_of_a_pictures_own(tmp_path):
    Image.fromarray(EIGHT).save(tmp_path / "a.tif", exif=Image.Exif(), icc_profile=SRGB)
    with Image.open(tmp_path / "a.tif") as picture:
        found = from_pil(picture, {"exif": b"", "icc_profile": b"", "xmp": XMP})
        assert found.metadata == Metadata(xmp=XMP)
        assert picture.info["icc_profile"] == SRGB
    grey = from_pil(Image.fromarray(EIGHT[..., 0]), {"icc_profile": SRGB})
    assert grey.notes == ("its colour profile is not one of such pixels, and is left out",)


def test_exif_data_that_are_no_bytes_are_named():
    picture = Image.fromarray(EIGHT)
    found = from_pil(picture, {"exif": "text"})
    assert found.metadata.exif is None
    assert found.notes == ("its EXIF data are no bytes, and are left out",)

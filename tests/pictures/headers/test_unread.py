"""What a file holds that nothing reads is named."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from imgcodec.errors import ImageError
from imgcodec.format.exif import density as density_of
from imgcodec.format.exif import proportion
from imgcodec.pictures.headers.unread import _PIECE, passed_over
from imgcodec.pictures.reader import from_pil, read_picture

PIXELS = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(name, **words):
    if name in ("HEIF", "JXL"):
        plugin = pytest.importorskip({"HEIF": "pillow_heif", "JXL": "pillow_jxl"}[name])
        getattr(plugin, "register_heif_opener", lambda: None)()
    more = {"WEBP": {"lossless": True}, "JXL": {"use_container": True}}.get(name, {})
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, name, **more | words)
    return file.getvalue()


def with_segment(data, marker, body):
    return data[:2] + segment(marker, body) + data[2:]


def segment(marker, body):
    return bytes([255, marker]) + struct.pack(">H", 2 + len(body)) + body


def with_chunks(data, *chunks, last=False):
    packed = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    at = len(data) - 12 if last else 33
    return data[:at] + packed + data[at:]


def notes(tmp_path, data):
    """Of a file, of which all pixels are as they would be."""
    path = tmp_path / "a"
    path.write_bytes(data)
    found = read_picture(path)
    with Image.open(path) as picture:
        assert from_pil(picture).notes == found.notes
        assert np.array_equal(np.asarray(picture.convert("RGB")), found.pixels)
    if found.notes:
        with pytest.raises(ImageError):
            read_picture(path, strict=True)
    return found.notes


JPEG = saved("JPEG")


@pytest.mark.parametrize("behind", [b"", bytes(10), b"\xff\0\r\n"])
def test_filling_behind_a_jpeg_file_is_nothing(tmp_path, behind):
    assert notes(tmp_path, JPEG + behind) == ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_what_stands_behind_a_jpeg_file_is_counted(tmp_path, options):
    """As the videos of telephones."""
    data = saved("JPEG", **options)
    video = b"\0\0\0\x18ftypmp42" + b"\xff\xd9" * 8
    assert notes(tmp_path, data + video) == (f"not kept: {len(video)} bytes behind its end",)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "BMP", "JPEG2000", "AVIF", "HEIF", "JXL"])
def test_what_stands_behind_other_files_is_counted(tmp_path, name):
    data = saved(name)
    assert notes(tmp_path, data) == notes(tmp_path, data + bytes(7)) == ()
    assert notes(tmp_path, data + bytes(40)) == ()
    assert notes(tmp_path, data + b"PK\3\4") == ("not kept: 4 bytes behind its end",)
    far = bytes(_PIECE) + b"PK"
    assert notes(tmp_path, data + far) == (f"not kept: {len(far)} bytes behind its end",)


@pytest.mark.parametrize("name", ["JPEG2000", "AVIF", "HEIF", "JXL"])
def test_boxes_that_nobody_knows_are_named(tmp_path, name):
    def box(kind, body):
        return struct.pack(">I", 8 + len(body)) + kind + body

    data = saved(name)
    assert notes(tmp_path, data + box(b"free", b"free") + box(b"skip", b"")) == ()
    more = box(b"mpvd", b"video") + box(b"free", b"") + box(b"uuid", bytes(16))
    assert notes(tmp_path, data + more) == ("not kept: box mpvd, box uuid",)
    twice = box(b"xml ", b"<x/>") + box(b"xml ", b"<y/>")
    told = "another XMP" if name.startswith("J") else "box xml "
    assert notes(tmp_path, data + twice) == (f"not kept: {told}",)
    if name == "JPEG2000":  # which OpenJPEG refuses
        assert notes(tmp_path, data + data[data.index(b"jp2c") - 4 :]) == (
            "not kept: another picture",
        )
        return
    video = box(b"ftyp", b"mp42") + box(b"moov", b"video")
    assert notes(tmp_path, data + video) == (f"not kept: {len(video)} bytes behind its end",)


@pytest.mark.parametrize("local", [False, True])
def test_pictures_of_gif_end_where_they_say(tmp_path, local):
    file = io.BytesIO()
    picture = Image.fromarray(PIXELS).quantize(5)
    picture.save(file, "GIF", comment=b";" * 300, include_color_table=local)
    assert notes(tmp_path, file.getvalue()) == ("not kept: a comment",)
    wanted = "not kept: a comment, 1 byte behind its end"
    assert notes(tmp_path, file.getvalue() + b";") == (wanted,)


@pytest.mark.parametrize("told", [0, 1, 60, 54 + 96, 10**6])
def test_a_bmp_file_ends_where_its_pixels_do(tmp_path, told):
    data = saved("BMP")
    data = data[:2] + struct.pack("<I", told) + data[6:]
    assert notes(tmp_path, data) == ()
    assert notes(tmp_path, data + b"more") == ("not kept: 4 bytes behind its end",)


def test_further_sides_of_a_dds_cube_are_told(tmp_path):
    data = bytearray(saved("DDS"))
    assert notes(tmp_path, data) == ()
    told = ("not kept: another picture",)
    for caps in (0x200, 0x200000):
        data[112:116] = caps.to_bytes(4, "little")
        assert notes(tmp_path, data) == told
    data[112:116] = bytes(4)
    data[84:88] = b"DX10"
    data[80:84] = (4).to_bytes(4, "little")  # it has a name of its kind of pixels
    for num, wanted in ((1, ()), (6, told)):
        more = (29, 3, 0, num, 0)  # RGBA in sRGB, of two dimensions
        head = b"".join(part.to_bytes(4, "little") for part in more)
        pixels = bytes(4 * 8 * 8)
        assert notes(tmp_path, data[:128] + head + pixels) == wanted


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"P4 9 2 ", 4),
        (b"P5 9 2 255 ", 18),
        (b"P5 9 2 1000 ", 36),
        (b"P5 9 2 65535 ", 36),
        (b"P6 # two\n9 2 255 ", 54),
        (b"P6 9 2 15 ", 54),
        (b"P6 9 2 4095 ", 108),
        (b"Pf 9 2 -1.0 ", 72),
    ],
)
def test_a_second_picture_of_a_netpbm_stream_is_counted(tmp_path, head, size):
    path = tmp_path / "a.ppm"
    one = head + bytes(range(1, 1 + size))

    def told(data):
        path.write_bytes(data)
        with Image.open(path) as picture:
            return [name for name in passed_over(picture) if name != "a comment"]

    assert told(one) == told(one + b"\n") == []
    assert told(one + one) == [f"{len(one)} bytes behind its end"]


@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE3, 0xE4, 0xEB, 0xED])
def test_segments_of_makers_are_named(tmp_path, marker):
    """As the temperatures of thermal cameras, or credentials."""
    data = with_segment(JPEG, marker, b"FLIR\0\1\0\0\0")
    assert notes(tmp_path, data) == (f"not kept: segment APP{marker - 0xE0}",)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE0, b"JFXX\0\x13"),
        (0xEA, b"aic half\0"),
        (0xEC, b"Ducky\0\1\0\4\0\0\0<"),
        (0xEE, b"Adobe\0d\0\0\0\0\1"),
    ],
)
def test_segments_that_say_how_a_file_is_made_are_not(tmp_path, marker, body):
    assert notes(tmp_path, with_segment(JPEG, marker, body)) == ()


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize(
    ("marker", "body", "told"),
    [
        (0xE1, XMP + b"<x/>", "segment APP1"),
        (0xE1, b"Exif\0\0II*\0\x08" + bytes(9), "segment APP1"),
        (0xE2, b"ICC_PROFILE\0\1\1", "segment APP2"),
        (0xFE, b"late", "a comment behind pixels"),
        (0xEE, b"Adobe\0d\0\0\0\0\1", ""),
        (0xDB, b"\3" + bytes(range(1, 65)), ""),
    ],
)
def test_segments_behind_pixels_are_named(tmp_path, between, marker, body, told):
    data = saved("JPEG", progressive=True)
    at = data.rindex(b"\xff\xda") if between else len(data) - 2
    data = data[:at] + segment(marker, body) + data[at:]
    assert notes(tmp_path, data) == ((f"not kept: {told}",) if told else ())


def test_only_one_xmp_of_jpeg_is_kept(tmp_path):
    one = with_segment(JPEG, 0xE1, XMP + b"<x/>")
    assert notes(tmp_path, with_segment(one, 0xE1, XMP + b"<x/>")) == ()
    assert notes(tmp_path, with_segment(one, 0xE1, XMP + b"<y/>")) == ("not kept: another XMP",)


def test_segments_of_several_pictures_are_named(tmp_path):
    picture, file = Image.fromarray(PIXELS), io.BytesIO()
    picture.save(file, "MPO", save_all=True, append_images=[picture])
    wanted = "1 further picture left out"
    assert notes(tmp_path, file.getvalue()) == (wanted,)
    data = with_segment(file.getvalue(), 0xEB, b"JP\0\0")
    assert notes(tmp_path, data) == (wanted, "not kept: segment APP11")


def test_chunks_of_png_are_named(tmp_path):
    data = saved("PNG")
    found = with_chunks(data, (b"tIME", bytes(7)), (b"sBIT", b"\5\6\5"), (b"bKGD", bytes(6)))
    assert notes(tmp_path, found) == ("not kept: chunk tIME, chunk bKGD",)
    found = with_chunks(data, (b"caBX", b"credentials"), last=True)
    assert notes(tmp_path, found) == ("not kept: chunk caBX",)
    found = with_chunks(data, (b"orNT", b"\6"), (b"vpAg", bytes(9)), (b"sBIT", bytes([5, 6, 5])))
    assert notes(tmp_path, found) == ("not kept: chunk orNT, chunk vpAg",)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"XML:com.adobe.xmp\0\0\0\0\0<x/>", ""),
        (b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>"), ""),
        (b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>")[::-1], "XML:com.adobe.xmp"),
        (b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>")[:-2], "XML:com.adobe.xmp"),
        (b"XML:com.adobe.xmp\0\1\7\0\0<x/>", "XML:com.adobe.xmp"),
        (b"XML:com.adobe.xmp", "XML:com.adobe.xmp"),
        (b"Title\0\0\0\0\0\xff\xfe", "Title"),
        (b"Title\0\0\0\0\0by hand", "Title"),
    ],
)
def test_texts_of_png_that_are_not_kept_are_named(tmp_path, text, told, last):
    data = with_chunks(saved("PNG"), (b"iTXt", text), last=last)
    assert notes(tmp_path, data) == ((f"not kept: the text {told!r}",) if told else ())


@pytest.mark.parametrize(
    ("kind", "start", "name"),
    [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x>", "XMP"), (b"eXIf", b"II*\0\x08\0", "EXIF")],
)
def test_only_one_of_a_kind_is_kept_of_png(tmp_path, kind, start, name):
    one, two = (kind, start + bytes(8) + b"a"), (kind, start + bytes(8) + b"b")
    assert notes(tmp_path, with_chunks(saved("PNG"), one, one)) == ()
    assert notes(tmp_path, with_chunks(saved("PNG"), one, two)) == (f"not kept: another {name}",)


def test_chunks_of_webp_that_nobody_knows_are_named(tmp_path):
    data = saved("WEBP", lossless=True, icc_profile=SRGB, exif=b"Exif\0\0II*\0\x08" + bytes(9))
    assert notes(tmp_path, data) == ()
    two = data + b"EXIF" + struct.pack("<I", 8) + b"II*\0\x08\0\0\0"
    two = two[:4] + struct.pack("<I", len(two) - 8) + two[8:]
    assert notes(tmp_path, two) == ("not kept: another EXIF",)
    data += b"odd\xff" + struct.pack("<I", 3) + b"abc\0" + b"XMPA" + bytes(4)
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    assert notes(tmp_path, data) == (r"not kept: chunk odd\xff, chunk XMPA",)


@pytest.mark.parametrize(("name", "side"), [("ICO", 8), ("ICNS", 32)])
def test_other_sizes_of_an_icon_are_told(tmp_path, name, side):
    picture = Image.new("RGB", (2 * side, 2 * side), "red")
    picture.save(tmp_path / "a", name, sizes=[(side, side), (2 * side, 2 * side)])
    found = read_picture(tmp_path / "a")
    assert len(found.notes) == 1
    assert found.notes[0].endswith("left out")


def test_maps_of_a_telephone_are_told(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(tmp_path / "a.heic")
    pillow_heif.register_heif_opener()
    with Image.open(tmp_path / "a.heic") as picture:
        assert from_pil(picture).notes == ()
    with Image.open(tmp_path / "a.heic") as picture:
        picture.info["aux"] = {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]}
        picture.info["depth_images"] = [None]
        assert from_pil(picture).notes == ("2 further pictures left out",)
    with Image.open(tmp_path / "a.heic") as picture:
        picture.info["metadata"] = [{"type": "iptc"}, {"type": "", "content_type": "text/x"}]
        assert from_pil(picture).notes == ("not kept: IPTC, metadata text/x",)


# profiles


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_that_is_cut_is_named(tmp_path, name):
    data = saved(name, icc_profile=SRGB[:200], **({"lossless": True} if name == "WEBP" else {}))
    assert notes(tmp_path, data) == ("its colour profile is damaged, and is left out",)


def test_a_profile_that_is_cut_in_its_chunk_is_named(tmp_path):
    body = b"name\0\0" + zlib.compress(SRGB)[:40]
    data = with_chunks(saved("PNG"), (b"iCCP", body))
    assert notes(tmp_path, data) == ("its colour profile is damaged, and is left out",)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_profile_behind_the_header_of_a_jpeg_file_is_kept(tmp_path, parts):
    """As libjpeg reads it, in any order; Pillow leaves it."""
    step = -(-len(SRGB) // parts)
    icc = [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, parts]) + SRGB[i * step :][:step])
        for i in range(parts)
    ]
    data = saved("JPEG")
    at = data.index(b"\xff\xda")
    (tmp_path / "a").write_bytes(data[:at] + b"".join(icc[::-1]) + data[at:])
    found = read_picture(tmp_path / "a", strict=True)
    assert found.metadata.icc == SRGB
    cut = data[:at] + b"".join(icc[1:]) + segment(0xE2, b"ICC_PROFILE\0\1\3") + data[at:]
    assert notes(tmp_path, cut) == ("its colour profile is damaged, and is left out",)


def bmp(profile, start=124):
    header = struct.pack("<IiiHHIIiiII", 124, 8, -4, 1, 24, 0, 96, 0, 0, 0, 0) + bytes(16)
    header += b"DEBM" + bytes(52) + struct.pack("<III", start + 96, len(profile), 0)
    pixels = PIXELS[..., ::-1].tobytes()
    return b"BM" + struct.pack("<IHHI", 138 + 96, 0, 0, 138) + header + pixels + profile


def test_the_profile_of_a_bmp_file_is_kept(tmp_path):
    (tmp_path / "a").write_bytes(bmp(SRGB))
    found = read_picture(tmp_path / "a", strict=True)
    assert found.metadata.icc == SRGB
    assert np.array_equal(found.pixels, PIXELS)
    assert notes(tmp_path, bmp(SRGB, 10**6)) == (
        "its colour profile is damaged, and is left out",
        f"not kept: {len(SRGB)} bytes behind its end",
    )


def test_comments_of_netpbm_and_targa_are_told(tmp_path):
    assert notes(tmp_path, b"P6\n2 1\n255\n######") == ()
    assert notes(tmp_path, b"P6\n# by hand\n2 1\n255\n######") == ("not kept: a comment",)
    assert notes(tmp_path, saved("TGA")) == ()
    assert notes(tmp_path, saved("TGA", id_section=b"by hand")) == ("not kept: a comment",)


def test_extensions_of_gif_are_told(tmp_path):
    data = saved("GIF")
    assert notes(tmp_path, data) == ()
    start = 13 + 3 * (2 << (data[10] & 7))
    for name, told in ((b"ICCRGBG1012", True), (b"XMP DataXMP", True), (b"NETSCAPE2.0", False)):
        more = b"\x21\xff\x0b" + name + b"\3\1\0\0\0"
        wanted = (f"not kept: extension {name.decode()}",) * told
        assert notes(tmp_path, data[:start] + more + data[start:]) == wanted


def test_pixels_of_gif_that_are_not_square(tmp_path):
    data = bytearray(saved("GIF"))
    for told, wanted in ((0, None), (113, 0.5)):  # nothing, and two of width to one of height
        data[12] = told
        (tmp_path / "a").write_bytes(data)
        exif = read_picture(tmp_path / "a").metadata.exif
        assert (exif and proportion(exif)) == wanted


def photoshop(*resources, mode=3, channels=3):
    parts = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)
        for number, body in resources
    )
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHI", channels, 1, 2, 8, mode, 0)
    return head + struct.pack(">I", len(parts)) + parts + bytes(6) + bytes(range(2 * channels))


def test_resources_of_photoshop(tmp_path):
    exif, xmp = b"II*\0\x08" + bytes(9), b"<x/>"
    density = struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1)
    data = photoshop((1005, density), (1028, b"iptc"), (1058, exif), (1060, xmp))
    assert notes(tmp_path, data) == ("not kept: IPTC",)
    found = read_picture(tmp_path / "a").metadata
    assert (density_of(found.exif), found.xmp) == ((300, 150), xmp)
    assert notes(tmp_path, photoshop()) == ()


@pytest.mark.parametrize(("layers", "told"), [(None, True), (0, True), (1, True), (-1, False)])
def test_a_fourth_channel_of_photoshop_may_be_a_selection(tmp_path, layers, told):
    """It is transparency where the number of layers is below 0."""
    data = photoshop(channels=4)
    if layers is not None:
        layer = bytes(18) + b"8BIMnorm\xff\0\0\0" + bytes(4)
        body = struct.pack(">h", layers) + abs(layers) * layer
        sizes = struct.pack(">II", len(body) + 4, len(body))
        data = data[:-14] + sizes + body + data[-10:]
    words = "a further sample that does not say what it is was taken for transparency"
    assert notes(tmp_path, data) == (words,) * told
    assert read_picture(tmp_path / "a").alpha is not None


def test_duotones_of_photoshop_are_told(tmp_path):
    (tmp_path / "a").write_bytes(photoshop(mode=8, channels=1))
    assert read_picture(tmp_path / "a").notes == ("the colours of its duotone are left out",)


@pytest.mark.parametrize(
    ("kind", "points", "gamma", "told"),
    [
        (b"BGRs", (), 0, ""),
        (b"\0\0\0\0", (), 0, ""),
        (b"\0\0\0\0", (), 2.2, ""),
        (b"\0\0\0\0", (), 1, "calibrated by the file's own"),
        (b"\0\0\0\0", (0.64, 0.33, 0.3, 0.6, 0.15, 0.06), 2.2, ""),
        (b"\0\0\0\0", (0.64, 0.33, 0.3, 0.6, 0.15, 0.06), 1, "calibrated by the file's own"),
        (b"\0\0\0\0", (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), 2.2, "calibrated by the file's"),
        (b"KNIL", (), 0, "a profile in another file"),
    ],
)
def test_colours_of_bmp(tmp_path, kind, points, gamma, told):
    head = struct.pack("<IiiHHIIiiII", 124, 8, 4, 1, 24, 0, 96, 0, 0, 0, 0) + bytes(16) + kind
    for x, y in zip(points[::2], points[1::2], strict=True):
        head += struct.pack("<3I", *(round(2**30 * value) for value in (x, y, 1 - x - y)))
    head = head.ljust(96, b"\0") + struct.pack("<3I", *[round(65536 * gamma)] * 3)
    head = head.ljust(124, b"\0")
    data = b"BM" + struct.pack("<IHHI", 138 + 96, 0, 0, 138) + head + bytes(range(96))
    found = " ".join(notes(tmp_path, data))
    assert (told in found) if told else not found

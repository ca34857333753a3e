"""What GeoTIFFs hold besides three bands of bytes: kept, said or refused."""

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from picture_files import tiff
from PIL import Image, ImageCms
from test_geotiff import PLACE, mosaic, write  # noqa: F401  # one of them is a fixture

from imgcodec.errors import ImageError
from imgcodec.format import container
from imgcodec.pictures.geo import geotiff
from imgcodec.pictures.geo.georeference import CHUNK
from imgcodec.pictures.picture import ALPHA_CHUNK, Picture, alpha_of
from imgcodec.pictures.png import GreyPng
from imgcodec.pictures.profiles import MISFIT, of_png
from imgcodec.pictures.reader import read_picture

rasterio = pytest.importorskip("rasterio")
from rasterio.enums import ColorInterp  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RNG = np.random.default_rng(3)
ALL = np.s_[:, :]
COLOURS = RNG.integers(1, 256, (40, 50, 3), np.uint8)
ALPHA = np.where(np.hypot(*np.mgrid[-20:20, -25:25]) < 15, 255, 0).astype(np.uint8)
INSIDE = {33550: ("d", [1, 1, 0]), 33922: ("d", [0, 0, 0, 100, 200, 0])}  # where it lies
ALPHA[3:9] = RNG.integers(0, 256, (6, 50))


def called(*names):
    """Give bands their interpretations."""

    def finish(dataset):
        dataset.colorinterp = [ColorInterp[name] for name in names]

    return finish


def opened(path):
    return geotiff.open_raster(path)


def alpha(raster):
    """The alpha that goes into a file, None where there is none."""
    return alpha_of(raster.chunks(), *raster.shape[:2])


# ---- what bands mean


def test_white_is_zero(tmp_path):
    grey = COLOURS[..., 0]
    raster = opened(write(tmp_path / "a.tif", 255 - grey, photometric="miniswhite"))
    assert np.array_equal(raster[ALL], grey)
    assert (alpha(raster), raster.notes) == (None, ())
    bits = write(tmp_path / "b.tif", grey & 1, photometric="miniswhite", nbits=1)
    assert np.array_equal(opened(bits)[ALL], 255 * (1 - (grey & 1)))


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_and_gdal_makes_a_palette_of_it(tmp_path, bits):
    grey = RNG.integers(0, 2**bits, (40, 50, 1))
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(grey, bits, 0, more=INSIDE))
    raster = opened(path)
    wanted = np.floor((2**bits - 1 - grey[..., 0]) * (255 / (2**bits - 1)) + 0.5)
    assert np.array_equal(raster[ALL], wanted)
    assert ["samples 0..65535 were scaled" in note for note in raster.notes] == [True] * (bits > 8)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_spread(tmp_path, bits):
    grey = COLOURS[..., 0] >> (8 - bits)
    raster = opened(write(tmp_path / "a.tif", grey, nbits=bits))
    assert np.array_equal(raster[ALL], grey * (255 // (2**bits - 1)))
    assert raster.notes == ()


def test_bands_in_another_order(tmp_path):
    pixels = np.dstack([ALPHA, COLOURS[..., ::-1]])
    raster = opened(
        write(tmp_path / "a.tif", pixels, called("alpha", "blue", "green", "red"), alpha="no")
    )
    assert np.array_equal(raster[ALL][ALPHA > 0], COLOURS[ALPHA > 0])
    assert np.array_equal(alpha(raster), ALPHA)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["blue", "green", "red", "undefined"], r".*: 4 \(undefined\); .* -b 3 -b 2 -b 1$"),
        (["red", "green", "blue", "alpha", "nir"], r".*: 5 \(nir\); .* -b 1 -b 2 -b 3 -b 4$"),
        (["gray", "undefined"], "2 bands, neither of which says alpha: choose"),
        (["gray"] * 4, "4 bands, which do not say red, green and blue: choose"),
        (["nir", "red", "green"], "3 bands, which do not say"),
        (["cyan", "magenta", "yellow", "black"], "4 bands, which do not say"),
    ],
)
def test_bands_that_are_no_colours_are_refused(tmp_path, names, reason):
    pixels = RNG.integers(0, 256, (9, 9, len(names)), np.uint8)
    path = write(tmp_path / "a.tif", pixels, called(*names), photometric="minisblack")
    with pytest.raises(ImageError, match=f"^{path}: {reason}"):
        opened(path)


def test_nameless_bands_are_a_guess(tmp_path):
    raster = opened(write(tmp_path / "a.tif", COLOURS, photometric="minisblack"))
    assert np.array_equal(raster[ALL], COLOURS)
    assert "do not say their colours" in raster.notes[0]


def test_colours_of_jpeg_come_as_rgb(tmp_path):
    flat = np.full((64, 64, 3), (200, 60, 20), np.uint8)
    words = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True}
    raster = opened(write(tmp_path / "a.tif", flat, **words, blockxsize=64, blockysize=64))
    assert np.abs(raster[ALL].astype(int) - flat).max() <= 2


def test_palettes(tmp_path):
    index = RNG.integers(0, 4, (40, 50), np.uint8)

    def made(colours, **words):
        return opened(
            write(
                tmp_path / "a.tif", index, lambda d: d.write_colormap(1, dict(enumerate(colours))),
                photometric="palette", **words,
            )
        )  # fmt: skip

    colours = [(255, 0, 0), (1, 2, 3), (4, 4, 4), (0, 9, 0)]
    raster = made(colours)
    assert np.array_equal(raster[ALL], np.array(colours)[index])
    assert alpha(raster) is None
    assert np.array_equal(alpha(made(colours, nodata=2)), np.where(index == 2, 0, 255))
    greys = made([(9, 9, 9), (1, 1, 1), (4, 4, 4), (0, 0, 0)])
    assert np.array_equal(greys[ALL], np.array([9, 1, 4, 0])[index])


@pytest.mark.parametrize(("step", "told"), [(257, False), (256, False), (1, False), (201, True)])
def test_palettes_of_16_bits_are_told(tmp_path, step, told):
    path = tmp_path / "a.tif"
    palette = ("H", [*range(0, 256 * step, step)] * 3)
    path.write_bytes(tiff(COLOURS[..., :1], 8, 3, more=INSIDE | {320: palette}))
    raster, plain = opened(path), read_picture(path)
    assert raster.notes == ("a palette of 16-bit colours was reduced to 8 bits",) * told
    assert plain.notes == (*raster.notes, "without its georeference")
    assert np.abs(raster[ALL][..., None].astype(int) - plain.pixels).max() <= told


# ---- depth


@pytest.mark.parametrize(
    ("dtype", "most", "words"),
    [(np.uint16, 65535, {}), (np.uint16, 4095, {"nbits": 12}), (np.int16, 32767, {})],
)
def test_deep_samples_are_scaled_and_said(tmp_path, dtype, most, words):
    deep = RNG.integers(0, most + 1, (40, 50, 3)).astype(dtype)
    deep[0, 0] = 0, most, most // 2
    raster = opened(write(tmp_path / "a.tif", deep, photometric="rgb", **words))
    assert np.array_equal(raster[ALL], np.floor(deep * (255 / most) + 0.5))
    assert f"samples 0..{most} were scaled" in raster.notes[0]


def test_negative_samples_are_refused_where_they_are_seen(tmp_path):
    deep = np.full((40, 50), 32767, np.int16)
    deep[:, :9] = -9999
    path = write(tmp_path / "a.tif", deep)
    with pytest.raises(ImageError, match=f"^{path}: samples below 0: choose"):
        opened(path)[ALL]
    raster = opened(write(path, deep, nodata=-9999))
    assert (raster.coded()[ALL] == 255).all()
    assert np.array_equal(alpha(raster), np.where(deep < 0, 0, 255))


@pytest.mark.parametrize("dtype", ["float32", "uint32", "int8", "complex64"])
def test_samples_without_a_way_to_8_bits_are_refused(tmp_path, dtype):
    path = write(tmp_path / "a.tif", np.zeros((9, 9), dtype))
    with pytest.raises(ImageError, match=f"^{path}: samples of {dtype}: choose how"):
        opened(path)


# ---- alpha


@pytest.mark.parametrize("channels", [1, 3])
def test_an_alpha_band_is_kept_and_what_it_hides_is_filled(tmp_path, channels):
    pixels = np.dstack([COLOURS[..., :channels], ALPHA])
    raster = opened(write(tmp_path / "a.tif", pixels, alpha="yes"))
    assert raster.shape == ((40, 50, 3) if channels == 3 else (40, 50))
    assert np.array_equal(alpha(raster), ALPHA)
    assert np.array_equal(raster[ALL].reshape(40, 50, channels), pixels[..., :channels])
    coded = raster.coded()
    found = coded[ALL].reshape(40, 50, channels)
    assert np.array_equal(found[ALPHA > 0], pixels[ALPHA > 0][:, :channels])
    hidden = (ALPHA == 0) & (COLOURS[..., 0] < 30)
    assert not np.array_equal(found[hidden], pixels[hidden][:, :channels])
    assert (coded[0:2, 0:3] == 128).all()  # nothing to be seen
    white = raster.flattened((255, 255, 255))
    assert (white[0:2, 0:3] == 255).all()
    assert white.chunks() == raster.flattened(None).chunks() == raster.chunks()[1:]
    dropped = raster.flattened(None)[ALL].reshape(40, 50, channels)
    assert np.array_equal(dropped, pixels[..., :channels])
    assert raster.flattened((255, 0, 0))[0:1, 0:1].tolist() == [[[255, 0, 0]]]


def test_deep_and_premultiplied_alpha(tmp_path):
    pixels = np.dstack([COLOURS, ALPHA]).astype(np.uint16) * 257
    raster = opened(write(tmp_path / "a.tif", pixels, photometric="rgb", alpha="yes"))
    assert np.array_equal(alpha(raster), ALPHA)
    assert np.array_equal(raster[ALL][ALPHA > 0], COLOURS[ALPHA > 0])
    dark = np.round(COLOURS * (ALPHA[..., None] / 255)).astype(np.uint8)
    pixels = np.dstack([dark, ALPHA])
    raster = opened(write(tmp_path / "b.tif", pixels, photometric="rgb", alpha="premultiplied"))
    solid = ALPHA > 200
    assert np.abs(raster[ALL][solid].astype(int) - COLOURS[solid]).max() <= 1


@pytest.mark.parametrize(
    ("channels", "kind", "words"),
    [
        (3, np.uint8, {"compress": "lerc"}),
        (3, np.uint8, {"bigtiff": "yes", "endianness": "big"}),
        (1, np.uint16, {}),
    ],
)
def test_premultiplied_alpha_of_files_that_pillow_does_not_open(tmp_path, channels, kind, words):
    dark = np.round(COLOURS[..., :channels] * (ALPHA[..., None] / 255)).astype(np.uint8)
    pixels = np.dstack([dark, ALPHA])
    kept = {"alpha": "premultiplied"} | ({"photometric": "rgb"} if channels == 3 else {})
    plain = opened(write(tmp_path / "a.tif", pixels, **kept))
    deep = pixels.astype(kind) * kind(np.iinfo(kind).max // 255)
    found = opened(write(tmp_path / "b.tif", deep, **kept, **words))
    assert np.array_equal(found[ALL], plain[ALL])


def test_alpha_of_cmyk_is_refused(tmp_path):
    pixels = np.dstack([COLOURS, ALPHA])
    note = "CMYK colours were converted by GDAL: they are a guess"
    assert opened(write(tmp_path / "a.tif", pixels, photometric="cmyk")).notes == (note,)
    path = write(tmp_path / "a.tif", np.dstack([pixels, ALPHA]), photometric="cmyk", alpha="yes")
    with pytest.raises(ImageError, match=f"^{path}: CMYK with alpha, .* is not handled"):
        opened(path)


def test_nodata_hides_pixels_that_have_it_in_all_bands(tmp_path):
    pixels = COLOURS.copy()
    pixels[5:9] = 0
    pixels[20, 20, 1] = 0  # a colour like others
    wanted = np.full((40, 50), 255)
    wanted[5:9] = 0
    path = tmp_path / "a.tif"
    assert np.array_equal(alpha(opened(write(path, pixels, nodata=0))), wanted)
    nowhere = write(path, pixels, nodata=0, crs=None, transform=rasterio.Affine.identity())
    assert np.array_equal(alpha(opened(nowhere)), wanted)
    both = np.dstack([pixels, np.full((40, 50), 255, np.uint8)])
    both[30:] = 0, 0, 9, 0
    wanted[30:] = 0
    assert np.array_equal(alpha(opened(write(path, both, nodata=0))), wanted)
    opaque = opened(write(path, COLOURS, nodata=0))
    assert alpha(opaque) is None
    pixels[5:9] = 1, 2, 3
    tagged = write(path, pixels, lambda d: d.update_tags(NODATA_VALUES="1 2 3"))
    wanted[30:] = 255
    assert np.array_equal(alpha(opened(tagged)), wanted)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("place", [{}, {"crs": None, "transform": None}])
def test_masks(tmp_path, inside, place):
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        write(path, COLOURS, lambda d: d.write_mask(ALPHA > 100), **place)
    assert path.with_suffix(".tif.msk").exists() != inside
    assert np.array_equal(alpha(opened(path)), np.where(ALPHA > 100, 255, 0))


def test_a_png_made_of_strips_is_the_plane():
    plane = np.tile(ALPHA, (20, 7))
    png = GreyPng(*plane.shape)
    for top in range(0, len(plane), 256):
        png.take(plane[top : top + 256])
    data = png.finish()
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), plane)
    whole = io.BytesIO()
    Image.fromarray(plane).save(whole, "PNG", optimize=True)
    assert len(data) < 1.1 * whole.tell()


# ---- what else there is


def test_what_is_left_out_is_said(tmp_path):
    path = tmp_path / "a.tif"

    def finish(dataset):
        dataset.update_tags(TIFFTAG_SOFTWARE="x", AREA_OR_POINT="Point")
        dataset.update_tags(2, **{"b\xf6": "y", "STATISTICS_MEAN": "3"})
        dataset.set_band_description(1, "red edge")
        dataset.scales = dataset.offsets = [0.5] * 3
        dataset.units = ["m"] * 3
        dataset.build_overviews([2])

    (note,) = opened(write(path, COLOURS, finish)).notes
    assert note == (
        "without its overviews, band descriptions, units, scales and offsets,"
        r" tags TIFFTAG_SOFTWARE b\xf6"
    )
    many = {f"t{number}": "x" for number in range(9)}
    (note,) = opened(write(path, COLOURS, lambda d: d.update_tags(**many))).notes
    assert note == "without its tags t0 t1 t2 t3 t4 and others"


def test_what_gdal_keeps_beside_a_file_is_said(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS[..., 0])
    inner = "<CategoryNames><Category>water</Category></CategoryNames>"
    inner += "<GDALRasterAttributeTable></GDALRasterAttributeTable>"
    band = f'<PAMRasterBand band="1">{inner}</PAMRasterBand>'
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    assert opened(path).notes == ("without its category names, attribute table",)


def test_an_orientation_is_said(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS[..., 0])
    sample_format, orientation = (
        struct.pack("<HHIHH", *e, 0) for e in ((339, 3, 1, 1), (274, 3, 1, 6))
    )
    data = path.read_bytes()
    assert data.count(sample_format) == 1
    path.write_bytes(data.replace(sample_format, orientation))
    raster = opened(path)
    assert raster.notes == ("without its orientation, which GDAL does not heed",)
    assert np.array_equal(raster[ALL], COLOURS[..., 0])


def test_pages_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS)
    write(path, COLOURS, append_subdataset=True)
    with pytest.raises(ImageError, match="holds several pictures .* GTIFF_DIR:1:a.tif$"):
        opened(path)


@pytest.mark.parametrize(
    ("kind", "size", "channels", "told"),
    [
        (0, (8, 4), 1, "refused"),
        (1, (8, 4), 1, "without its overviews"),
        (1, (8, 4), 3, "1 further picture left out"),  # it is grey, and no overview of colours
        (4, (16, 8), 1, "a mask"),
    ],
)  # kinds of NewSubfileType
def test_pictures_inside_the_first(tmp_path, kind, size, channels, told):
    """Another one is refused, a smaller one is told, a mask hides pixels."""
    pixels, means = COLOURS[:8, :16, :channels], 2 if channels == 3 else 1
    start = len(tiff(pixels, 8, means, more=INSIDE | {330: ("I", [0])}))
    data = tiff(pixels, 8, means, more=INSIDE | {330: ("I", [start])})
    (width, height), bits = size, 1 if kind == 4 else 8
    rows = bytes((0b01111111, 255)) * 16
    entries = (
        (254, kind), (256, width), (257, height), (258, bits), (259, 1),
        (262, 4 if kind == 4 else 1), (273, start + 2 + 9 * 12 + 4), (278, height), (279, 32),
    )  # fmt: skip
    inside = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    path = tmp_path / "a.tif"
    path.write_bytes(data + struct.pack("<H", len(entries)) + inside + bytes(4) + rows)
    if told == "refused":
        with pytest.raises(ImageError, match="holds several pictures"):
            opened(path)
        return
    raster = opened(path)
    hidden = alpha(raster)
    if kind == 1:
        assert (hidden, raster.notes) == (None, (told,))
    else:
        assert raster.notes == ()
        assert (hidden[:, 0] == 0).all()
        assert (hidden[:, 1:] == 255).all()


def test_a_broken_file_says_one_line(aic, mosaic, tmp_path, capfd):  # noqa: F811
    broken = tmp_path / "a.tif"
    broken.write_bytes(mosaic.read_bytes()[:9000])
    result = aic("encode", broken, tmp_path / "a.aic")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "IReadBlock failed" in result.stderr
    assert capfd.readouterr().err == ""


def test_an_error_of_gdal_itself_says_one_line(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS[..., 0])
    data = path.read_bytes()
    offsets = struct.pack("<HH", 273, 3)  # StripOffsets of SHORT becomes one of ASCII
    offsets = offsets if offsets in data else struct.pack("<HH", 273, 4)
    assert data.count(offsets) == 1
    path.write_bytes(data.replace(offsets, struct.pack("<HH", 273, 2)))
    with pytest.raises(ImageError, match=f"^{path}: .*StripOffsets"):
        opened(path)


def test_xmp_is_kept(tmp_path):
    xmp = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    path = write(tmp_path / "a.tif", COLOURS, lambda d: d.update_tags(ns="xml:XMP", a=xmp))
    raster = opened(path)
    assert raster.metadata.xmp.endswith(xmp.encode())
    assert raster.notes == ()


def test_a_colour_profile_is_kept(aic, tmp_path):
    from base64 import b64encode

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    words = {"source_icc_profile": b64encode(icc).decode()}
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    assert opened(write(source, COLOURS, **words)).metadata.icc == icc
    (note,) = opened(write(tmp_path / "g.tif", COLOURS[..., 0], **words)).notes
    assert "profile is not one of such pixels" in note
    assert aic("encode", source, file).exit_code == 0
    result = aic("decode", file, back)
    assert (result.exit_code, result.stderr) == (0, "")
    assert read_picture(back).metadata.icc == icc
    assert opened(source).keeping(()).metadata.icc is None


def test_grey_over_a_colour_loses_its_profile_of_grey(tmp_path):
    from base64 import b64encode

    icc = of_png({"gamma": 0.6}, grey=True)
    words = {"source_icc_profile": b64encode(icc).decode(), "alpha": "yes"}
    raster = opened(write(tmp_path / "a.tif", np.dstack([COLOURS[..., 0], ALPHA]), **words))
    assert raster.flattened((9, 9, 9)).metadata.icc == icc
    found = raster.flattened((255, 0, 0))
    assert (found.metadata.icc, found.notes) == (None, (*raster.notes, MISFIT))


# ---- the commands


def test_transparency_goes_there_and_back(aic, tmp_path):
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    pixels = np.tile(np.dstack([COLOURS, ALPHA]), (5, 5, 1))
    plane = pixels[..., 3]
    write(source, pixels)
    result = aic("encode", source, file, "--tile", "64", "--strict")
    assert (result.exit_code, result.stderr.count("not kept")) == (0, 0)
    data = bytearray(file.read_bytes())
    assert aic("decode", file, back).exit_code == 0
    with rasterio.open(back) as dataset:
        assert [kind.name for kind in dataset.colorinterp] == ["red", "green", "blue", "alpha"]
        assert np.array_equal(dataset.read(4), plane)
        assert (dataset.transform, dataset.crs.to_epsg()) == (PLACE, 32632)
    with Image.open(back) as picture:
        assert picture.tag_v2[338] == (2,)  # not premultiplied
    data[-1] ^= 3
    (tmp_path / "bad.aic").write_bytes(data)
    region = ["--region", "40,30,100,90"]
    damaged = aic("decode", tmp_path / "bad.aic", tmp_path / "bad.tif", "--keep-going")
    assert "1 damaged tile is filled in" in damaged.stderr
    for name, of in (("bad.tif", ALL), ("part.tif", np.s_[30:120, 40:140])):
        if name == "part.tif":
            assert aic("decode", file, tmp_path / name, *region).exit_code == 0
        with rasterio.open(tmp_path / name) as dataset:
            assert np.array_equal(dataset.read(4), plane[of])
    assert aic("decode", file, back, "--alpha", "#00ff00", "--force").exit_code == 0
    with rasterio.open(back) as dataset:
        assert dataset.count == 3
        assert (np.moveaxis(dataset.read(), 0, -1)[plane == 0] == (0, 255, 0)).all()
    result = aic("decode", file, tmp_path / "b.png")
    assert "without georeference" in result.stderr
    assert np.array_equal(np.array(Image.open(tmp_path / "b.png"))[..., 3], plane)


def test_grey_over_a_colour_becomes_colour(aic, tmp_path):
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    write(source, np.dstack([COLOURS[..., 0], ALPHA]), alpha="yes")
    assert aic("encode", source, file).exit_code == 0
    assert container.unpack(file.read_bytes())[0].channels == 1
    assert aic("decode", file, back).exit_code == 0
    with rasterio.open(back) as dataset:
        assert [kind.name for kind in dataset.colorinterp] == ["gray", "alpha"]
    assert aic("decode", file, back, "--alpha", "red", "--force").exit_code == 0
    with rasterio.open(back) as dataset:
        assert (np.moveaxis(dataset.read(), 0, -1)[ALPHA == 0] == (255, 0, 0)).all()


def test_strict_refuses_what_is_said_otherwise(aic, tmp_path):
    source, file = tmp_path / "a.tif", tmp_path / "a.aic"
    write(source, COLOURS.astype(np.uint16), photometric="rgb")
    result = aic("encode", source, file, "--strict")
    assert (result.exit_code, file.exists()) == (1, False)
    assert "scaled to 0..255" in result.stderr
    result = aic("encode", source, file)
    assert (result.exit_code, "scaled to 0..255" in result.stderr) == (0, True)


def test_what_is_kept_without_loss_is_what_a_picture_keeps(tiny_codec, tmp_path):
    raster = opened(write(tmp_path / "a.tif", np.dstack([COLOURS, ALPHA])))
    whole = tiny_codec.encode(Picture(COLOURS, ALPHA), lossless=True)
    mapped = tiny_codec.encode(raster, lossless=True)
    assert container.unpack(mapped)[1] == container.unpack(whole)[1]
    assert np.array_equal(tiny_codec.decode(mapped), COLOURS)


def test_hidden_noise_is_not_coded(tiny_codec, tmp_path, textured, monkeypatch):
    noise = RNG.integers(0, 256, (160, 200, 4), np.uint8)
    noise[..., 3] = 0
    noise[:100, :100, :3] = textured(100, 100)
    noise[:100, :100, 3] = 255
    raster = opened(write(tmp_path / "a.tif", noise))
    coded = raster.coded()
    assert np.ptp(coded[100:, 100:]) == 0
    border = coded[:, 90:110].astype(int)  # no edge where the mosaic ends
    assert np.abs(border[:95, 10] - border[:95, 9]).mean() < 25  # of the noise it is 85
    monkeypatch.setattr("imgcodec.format.tiles.SQUARE", 64)  # tiles see little around them
    flat = tiny_codec.encode(np.full((160, 200, 3), 128, np.uint8), tile=64)
    kept, dropped = (
        container.unpack(tiny_codec.encode(picture, tile=64))
        for picture in (raster, raster.flattened(None))
    )
    assert kept[1][-1] == container.unpack(flat)[1][-1]
    assert dropped[1][-1] != kept[1][-1]
    assert [[kind for kind, _ in chunks] for _, _, chunks in (kept, dropped)] == [
        [ALPHA_CHUNK, CHUNK], [CHUNK]
    ]  # fmt: skip


def test_without_rasterio_the_loss_is_said(aic, mosaic, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "rasterio", None)
    file = tmp_path / "a.aic"
    result = aic("encode", mosaic, file)
    assert result.exit_code == 0
    assert "without its georeference, kept with the extra geo" in result.stderr
    result = aic("encode", mosaic, file, "--force", "--strict")
    assert (result.exit_code, "without its georeference" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"nodata": 0, "crs": None, "transform": None}, "nodata value"),
        ({"nodata": 0}, "georeference and nodata value"),
    ],
)
def test_pillow_loses_nodata_with_a_word(tmp_path, monkeypatch, words, kind):
    path = write(tmp_path / "a.tif", COLOURS, **words)
    assert f"without its {kind}" in read_picture(path).notes
    monkeypatch.setitem(sys.modules, "rasterio", None)
    wanted = f"without its {kind}, kept with the extra geo "
    assert any(note.startswith(wanted) for note in read_picture(path).notes)


# ---- places


def test_rpcs_come_back_with_a_region(aic, tmp_path):
    from rasterio.rpc import RPC

    numbers = dict(zip(("height", "lat", "long", "line", "samp"), range(5), strict=True))
    rpcs = RPC(
        **{f"{name}_off": number + 10.5 for name, number in numbers.items()},
        **{f"{name}_scale": number + 2.5 for name, number in numbers.items()},
        **{
            f"{name}_{part}_coeff": [1 / (number + 3) for number in range(20)]
            for name in ("line", "samp")
            for part in ("num", "den")
        },
        err_bias=1.5,
    )
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    write(source, COLOURS, rpcs=rpcs, crs=None, transform=None)
    assert aic("encode", source, file, "--strict").exit_code == 0
    assert aic("decode", file, back, "--region", "7,4,20,20").exit_code == 0
    with rasterio.open(source) as a, rasterio.open(back) as b:
        wanted = a.rpcs.to_dict()
        assert wanted["line_off"], wanted["samp_off"] == (13.5, 14.5)
        assert b.rpcs.to_dict() == wanted | {"line_off": 9.5, "samp_off": 7.5}
        assert b.transform.is_identity


def test_points_stay_points(aic, tmp_path):
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    write(source, COLOURS, lambda dataset: dataset.update_tags(AREA_OR_POINT="Point"))
    assert aic("encode", source, file, "--strict").exit_code == 0
    assert aic("decode", file, back).exit_code == 0
    for path in (source, back):
        with rasterio.open(path) as dataset:
            assert (dataset.tags()["AREA_OR_POINT"], dataset.transform) == ("Point", PLACE)
    with Image.open(source) as a, Image.open(back) as b:  # the tie point is half a pixel away
        assert a.tag_v2[33922] == b.tag_v2[33922]


def test_the_epoch_of_coordinates_is_named(aic, tmp_path):
    keys = [1, 1, 0, 3, 1024, 0, 1, 2, 2048, 0, 1, 7912, 5120, 34736, 1, 0]  # ITRF2014, 2010.5
    more = INSIDE | {34735: ("H", keys), 34736: ("d", [2010.5])}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(COLOURS, 8, 2, more=more))
    note = "without the epoch of its coordinates, 2010.5"
    assert opened(path).notes == (note,)
    assert note in aic("encode", path, tmp_path / "a.aic").stderr
    assert aic("encode", path, tmp_path / "b.aic", "--strict").exit_code == 1
    del more[34736]  # a damaged one
    path.write_bytes(tiff(COLOURS, 8, 2, more=more))
    assert opened(path).notes == ()


def test_a_map_becomes_a_jpeg_file_by_gdal_where_pillow_does_not_read_it(aic, tmp_path):
    def masked(dataset):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            dataset.write_mask(ALPHA > 99)

    source, made = write(tmp_path / "a.tif", COLOURS, masked), tmp_path / "a.jpg"
    into = "encode", source, made, "--into", "jpeg"
    done = aic(*into)
    assert (done.exit_code, "cannot be transparent" in done.stderr) == (1, True)
    done = aic(*into, "--alpha", "white")
    assert (done.exit_code, done.stderr) == (0, f"{source}: without its georeference\n")
    with Image.open(made) as found:
        pixels = np.asarray(found).astype(int)
    assert pixels[ALPHA < 99].mean() > 240
    assert np.abs(pixels - COLOURS)[ALPHA > 99].mean() < 60
    assert aic(*into, "--alpha", "drop", "--force", "--crop", "5,5,20,20").exit_code == 0
    with Image.open(made) as found:
        assert found.size == (20, 20)
    assert aic(*into, "--alpha", "drop", "--force", "--strict").exit_code == 1
    assert aic(*into, "--alpha", "drop", "--force", "--max-pixels", "99").exit_code == 1


def test_nodata_of_a_map_is_laid_over_a_colour_in_a_jpeg_file(aic, tmp_path):
    pixels = COLOURS.copy()
    pixels[:20, :20] = 0
    source, made = write(tmp_path / "a.tif", pixels, nodata=0), tmp_path / "a.jpg"
    into = "encode", source, made, "--into", "jpeg", "--force"
    assert "without its georeference and nodata value" in aic(*into).stderr
    done = aic(*into, "--alpha", "white")
    assert (done.exit_code, done.stderr) == (0, f"{source}: without its georeference\n")
    with Image.open(made) as found:
        assert np.asarray(found)[2:14, 2:14].min() > 240
    assert aic(*into, "--alpha", "drop", "--resize", "50%").exit_code == 0
    with Image.open(made) as found:
        assert np.asarray(found)[1:7, 1:7].max() < 15


@pytest.mark.parametrize("by", ["mask", "nodata"])
def test_a_tiff_without_a_place_is_cut_and_resized(by, aic, tmp_path):
    pixels = COLOURS.copy()
    pixels[:20, :20] = 0
    nowhere = {"crs": None, "transform": rasterio.Affine.identity()}
    source, made, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.png"))
    if by == "mask":
        write(source, pixels, lambda dataset: dataset.write_mask(pixels.any(-1)), **nowhere)
    else:
        write(source, pixels, nodata=0, **nowhere)
    words = "encode", source, made, "--lossless", "--crop", "10,10,30,20"
    assert "at most" in aic(*words, "--max-pixels", "99").stderr
    done = aic(*words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert aic("decode", made, back).exit_code == 0
    with Image.open(back) as found:
        samples = np.asarray(found)
    assert np.array_equal(samples[..., :3], pixels[10:30, 10:40])
    assert np.array_equal(samples[..., 3], np.uint8(255) * pixels[10:30, 10:40].any(-1))
    assert aic(*words, "--resize", "50%", "--alpha", "white", "--force").exit_code == 0
    assert aic("decode", made, back, "--force").exit_code == 0
    with Image.open(back) as found:
        assert (found.mode, found.size, found.getpixel((1, 1))) == ("RGB", (15, 10), (255,) * 3)


def test_many_bands_are_refused_in_one_line(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((9, 9, 8), np.uint8))
    words = [sys.executable, "-m", "imgcodec", "encode", path, tmp_path / "a.aic"]
    for more in ([], ["--into", "jpeg"]):  # by GDAL, and by Pillow, which would log it
        done = subprocess.run([*words, *more], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_bigtiff(tmp_path):
    raster = opened(write(tmp_path / "a.tif", COLOURS, bigtiff="yes"))
    assert np.array_equal(raster[ALL], COLOURS)


def with_tags(path, more):
    """Add tags of ASCII to a little-endian TIFF file, in a directory at its end."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [bytes(data[start + 2 + 12 * i :][:12]) for i in range(count)]
    after = bytes(data[start + 2 + 12 * count :][:4])
    entries = [e for e in entries if struct.unpack_from("<H", e)[0] not in more]
    for tag, entry in more.items():
        entries.append(struct.pack("<H", tag) + entry)
    data += bytes(len(data) % 2)
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(entries)) + b"".join(sorted(entries, key=lambda e: e[1::-1]))
    path.write_bytes(data + after)
    return path


def test_tags_that_gdal_does_not_tell_are_named(tmp_path):
    short = struct.pack("<HI", 2, 4) + b"abc\0"
    path = write(tmp_path / "a.tif", COLOURS)
    assert opened(path).notes == ()
    with_tags(path, {285: short, 33723: short, 50838: short, 318: short})
    wanted = "not kept: the page's name, the white point, IPTC, tag 50838"
    assert opened(path).notes == (wanted,)


def test_tags_of_files_that_pillow_does_not_open_are_named(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS, compress="lerc")
    assert opened(path).notes == ()
    turned = struct.pack("<HIHH", 3, 1, 6, 0)
    with_tags(path, {274: turned, 33723: struct.pack("<HI", 2, 4) + b"abc\0"})
    wanted = ("not kept: IPTC", "without its orientation, which GDAL does not heed")
    assert opened(path).notes == wanted


def test_a_damaged_directory_is_refused(tmp_path):
    path = with_tags(write(tmp_path / "a.tif", COLOURS), {33723: struct.pack("<HII", 7, 9, 10**6)})
    with pytest.raises(ImageError, match=f"^{path}: the directory .* is damaged"):
        opened(path)


def test_other_colours_of_a_map_are_told(tmp_path):
    path = write(tmp_path / "a.tif", COLOURS, interleave="pixel")
    with_tags(path, {262: struct.pack("<HIHH", 3, 1, 8, 0)})
    notes = opened(path).notes
    assert "Lab colours were converted by GDAL: they are a guess" in notes

"""GeoTIFF by windows: pixels, georeference, refusals."""

import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

from imgcodec import cli
from imgcodec.errors import AicError, FormatError
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.geo import georeference, geotiff
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import read_image

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning"  # where the tests open a file
)
PLACE = rasterio.Affine(0.25, 0.0, 500_000.0, 0.0, -0.25, 5_400_000.0)  # metres of UTM


def write(path, pixels, finish=None, **words):
    bands = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
    facts = {"crs": "EPSG:32632", "transform": PLACE} | words
    with rasterio.open(
        path, "w", driver="GTiff", dtype=str(bands.dtype), count=len(bands),
        height=bands.shape[1], width=bands.shape[2], **facts,
    ) as dataset:  # fmt: skip
        dataset.write(bands)
        if finish is not None:
            finish(dataset)
    return path


@pytest.fixture
def mosaic(tmp_path, textured):
    return write(tmp_path / "mosaic.tif", textured(136, 192))


# ---- reading


@pytest.mark.parametrize("shape", [(70, 90, 3), (70, 90)])
def test_windows_are_those_of_the_picture(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    raster = geotiff.open_raster(write(tmp_path / "a.tif", pixels))
    assert (raster.shape, raster.ndim, raster.dtype) == (shape, len(shape), np.uint8)
    for window in (np.s_[:, :], np.s_[3:50, 7:8], np.s_[60:999, 80:]):
        assert np.array_equal(raster[window], pixels[window])


def test_a_raster_is_coded_as_its_pixels_are(tiny_codec, mosaic):
    raster = geotiff.open_raster(mosaic)
    alike = Picture(
        read_image(mosaic), None, Metadata(xmp=raster.chunks()[0][1])
    )  # takes as much room
    for tile, asked in ((None, {"rate": 1.0}), (64, {"quality": 60})):
        one, two = (tiny_codec.encode(picture, tile=tile, **asked) for picture in (raster, alike))
        assert container.unpack(one)[:2] == container.unpack(two)[:2]


def test_others_are_left_to_pillow(tmp_path, monkeypatch, mosaic):
    pixels = np.zeros((5, 6, 3), np.uint8)
    plain = write(tmp_path / "plain.tif", pixels, crs=None, transform=rasterio.Affine.identity())
    broken = tmp_path / "broken.tif"
    broken.write_bytes(mosaic.read_bytes()[:60])
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    for path in (plain, broken, tmp_path / "a.png", tmp_path / "none.tif"):
        assert geotiff.open_raster(path) is None
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    assert geotiff.open_raster(mosaic) is None
    assert not geotiff.has_writer("a.tif")


# ---- there and back


def test_the_georeference_comes_back(aic, mosaic, tmp_path):
    file, back = tmp_path / "a.aic", tmp_path / "b.tif"
    assert aic("encode", mosaic, file, "--rate", "1", "--tile", "64").exit_code == 0
    assert [kind for kind, _ in container.unpack(file.read_bytes())[2]] == [georeference.CHUNK]
    assert aic("decode", file, back).exit_code == 0
    with rasterio.open(mosaic) as a, rasterio.open(back) as b:
        assert (b.crs, b.transform, b.shape, b.dtypes) == (a.crs, PLACE, a.shape, a.dtypes)
        assert b.colorinterp[0] == rasterio.enums.ColorInterp.red
        error = a.read().astype(float) - b.read()
    assert np.abs(error).mean() < 30
    plain = tmp_path / "b.ppm"
    result = aic("decode", file, plain)
    assert (result.exit_code, "without georeference" in result.stderr) == (0, True)
    assert np.array_equal(read_image(plain), read_image(back))


def test_a_region_has_the_georeference_of_its_corner(aic, mosaic, tmp_path):
    file, back = tmp_path / "a.aic", tmp_path / "b.tif"
    assert aic("encode", mosaic, file, "--rate", "1").exit_code == 0
    assert aic("decode", file, back, "--region", "40,20,300,100").exit_code == 1  # leaves it
    assert not back.exists()
    assert aic("decode", file, back, "--region", "40,20,100,60").exit_code == 0
    with rasterio.open(back) as dataset:
        assert tuple(dataset.transform)[:6] == (0.25, 0, 500_010, 0, -0.25, 5_399_995)


def test_control_points_come_back(tmp_path):
    from rasterio.control import GroundControlPoint

    points = [GroundControlPoint(*p) for p in ((0, 0, 7, 50, 1), (0, 8, 8, 50), (8, 0, 7, 49))]
    path = tmp_path / "a.tif"
    write(path, np.zeros((9, 9), np.uint8), gcps=points, transform=None)
    ((kind, data),) = geotiff.open_raster(path).chunks()
    assert kind == georeference.CHUNK
    assert "transform" not in json.loads(data)
    back = tmp_path / "b.tif"
    with geotiff.writing(back, 3, 4, 1, data, corner=(2, 1)) as take:
        take(np.zeros((3, 4, 3), np.uint8))
    with rasterio.open(back) as dataset:
        found, system = dataset.gcps
    assert system == rasterio.crs.CRS.from_epsg(32632)
    assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [
        (-1, -2, 7, 50, 1), (-1, 6, 8, 50, 0), (7, -2, 7, 49, 0)
    ]  # fmt: skip


def test_control_points_need_no_reference_system(aic, tmp_path):
    from rasterio.control import GroundControlPoint

    points = [(0, 0, 7, 50, 1), (0, 8, 8, 50, 0), (8, 0, 7, 49, 0)]
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    found = [GroundControlPoint(*point) for point in points]
    write(source, np.zeros((9, 9), np.uint8), gcps=found, transform=None, crs=rasterio.crs.CRS())
    assert aic("encode", source, file).exit_code == 0
    assert aic("decode", file, back).exit_code == 0
    assert points_of(back) == (points, None)


def points_of(path):
    with rasterio.open(path) as dataset:
        points, system = dataset.gcps
        return [(p.row, p.col, p.x, p.y, p.z) for p in points], system


@pytest.mark.parametrize("kind", ["Area", "Point"])
def test_control_points_stay_where_they_are(aic, tmp_path, kind):
    from rasterio.control import GroundControlPoint

    points = [GroundControlPoint(row, 3 * row % 50, 7 + row, 50, 0) for row in (0.5, 9, 30.25)]
    source, file, back = (tmp_path / name for name in ("a.tif", "a.aic", "b.tif"))
    write(source, np.zeros((40, 50, 3), np.uint8), gcps=points, transform=None)
    if kind == "Point":  # as other programs write it: GDAL moves points as it writes
        with rasterio.open(source, "r+", GTIFF_POINT_GEO_IGNORE="TRUE") as dataset:
            dataset.update_tags(AREA_OR_POINT=kind)
    wanted = points_of(source)
    assert len(wanted[0]) == 3
    for _ in range(2):
        assert aic("encode", source, file, "--strict", "--force").exit_code == 0
        assert aic("decode", file, back, "--force").exit_code == 0
        assert points_of(back) == wanted
        with rasterio.open(back) as dataset:
            assert dataset.tags()["AREA_OR_POINT"] == kind
        source = tmp_path / "c.tif"
        source.write_bytes(back.read_bytes())
    assert aic("decode", file, back, "--force", "--region", "8,4,9,9").exit_code == 0
    assert points_of(back)[0] == [(row - 4, column - 8, *rest) for row, column, *rest in wanted[0]]


# ---- what GeoTIFF has no place for

ROTATED = (
    "+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180"
    " +to_meter=0.0174532925199433 +ellps=GRS80 +no_defs"
)


def beside(path):
    return path.with_name(f"{path.name}.aux.xml")


def rotated(path):
    """A file of a rotated pole, and what GDAL writes beside it."""
    write(path, np.zeros((30, 40, 3), np.uint8), crs=rasterio.crs.CRS.from_string(ROTATED))
    assert beside(path).exists()
    return path


def swarm(path):
    """A file of more control points than a tag holds."""
    from rasterio.control import GroundControlPoint

    points = [GroundControlPoint(n % 30, n % 39, n, -n, 0) for n in range(11_000)]
    write(path, np.zeros((30, 40, 3), np.uint8), gcps=points, transform=None)
    assert beside(path).exists()
    geotiff.number_points(beside(path))
    return path


@pytest.mark.parametrize("make", [rotated, swarm])
def test_what_geotiff_has_no_place_for_lies_beside(aic, tmp_path, make):
    source, file, back = make(tmp_path / "a.tif"), tmp_path / "a.aic", tmp_path / "out" / "b.tif"
    back.parent.mkdir()
    assert aic("encode", source, file, "--strict").exit_code == 0
    done = aic("decode", file, back)
    assert (done.exit_code, done.stderr) == (
        0, f"{back}: its georeference goes into b.tif.aux.xml, GeoTIFF has no place for it\n"
    )  # fmt: skip
    assert sorted(back.parent.iterdir()) == [back, beside(back)]
    with rasterio.open(source) as a, rasterio.open(back) as b:
        assert (a.crs, a.transform) == (b.crs, b.transform)
    assert points_of(back) == points_of(source)


def test_control_points_beside_a_file_have_names_of_their_own(aic, tmp_path):
    source, file, back = swarm(tmp_path / "a.tif"), tmp_path / "a.aic", tmp_path / "b.tif"
    assert aic("encode", source, file).exit_code == 0
    assert aic("decode", file, back).exit_code == 0
    text = beside(back).read_bytes()
    assert len(set(re.findall(rb'<GCP Id="([^"]*)"', text))) == 11_000
    text.decode()


def test_relative_names_have_one_file_beside(aic, tmp_path, monkeypatch):
    file, out = tmp_path / "a.aic", tmp_path / "out"
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    assert aic("encode", rotated(tmp_path / "a.tif"), file).exit_code == 0
    monkeypatch.chdir(out)
    for name in ("b.tif", "./c.tif", "../out/d.tif", "../link/e.tif"):
        done = aic("decode", file, name)
        assert (done.exit_code, done.stderr.count(".aux.xml")) == (0, 1), done.output
        assert beside(out / name).exists()


def test_a_pipe_says_what_it_has_no_place_for(aic, tmp_path):
    file = tmp_path / "a.aic"
    assert aic("encode", rotated(tmp_path / "a.tif"), file).exit_code == 0
    done = aic("decode", file, "-", "--format", "tif")
    assert done.exit_code == 0
    assert "stdout.tif: without stdout.tif.aux.xml, stdout takes one file\n" in done.stderr


def test_what_lies_beside_belongs_to_one_file(aic, mosaic, tmp_path):
    """Else GDAL would take the place of another picture for that of the new one."""
    file, back = tmp_path / "a.aic", tmp_path / "b.tif"
    assert aic("encode", mosaic, file).exit_code == 0
    rest = beside(back)
    rest.write_text("precious")
    done = aic("decode", file, back)
    assert (done.exit_code, done.stderr) == (
        1, f"Error: {rest}: exists, and is kept without --force\n"
    )  # fmt: skip
    assert (back.exists(), rest.read_text()) == (False, "precious")
    assert aic("decode", file, back, "--force").exit_code == 0
    assert not rest.exists()
    with rasterio.open(back) as dataset:
        assert dataset.transform == PLACE


def place_is_lost(path):
    """As a full disk leaves it, which GDAL does not tell."""
    if path.exists():
        path.unlink()


def place_is_cut(path):
    if path.exists():
        os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [place_is_lost, place_is_cut])
@pytest.mark.parametrize("make", [rotated, swarm])
def test_a_place_that_gdal_did_not_write_is_refused(aic, tmp_path, monkeypatch, make, harm):
    source, file, back = make(tmp_path / "a.tif"), tmp_path / "a.aic", tmp_path / "out" / "b.tif"
    back.parent.mkdir()
    assert aic("encode", source, file).exit_code == 0
    check = geotiff._check_whole

    def harmed(written, *others):
        harm(beside(written))
        check(written, *others)

    monkeypatch.setattr(geotiff, "_check_whole", harmed)
    done = aic("decode", file, back)
    assert (done.exit_code, done.stderr) == (
        1, f"Error: {back}: its georeference was not written, the disk may be full\n"
    )  # fmt: skip
    assert list(back.parent.iterdir()) == []


@pytest.mark.parametrize("new", [rotated, None])
def test_a_file_and_what_lies_beside_it_are_replaced_together(
    aic, mosaic, tmp_path, monkeypatch, new
):
    source = mosaic if new is None else new(tmp_path / "a.tif")
    file, back = tmp_path / "a.aic", tmp_path / "b.tif"
    assert aic("encode", source, file).exit_code == 0
    back.write_text("old")
    beside(back).write_text("old place")
    replace = os.replace

    def fail(made, path):
        if path == str(back):
            raise OSError("no more")
        replace(made, path)

    monkeypatch.setattr("os.replace", fail)
    before = sorted(tmp_path.iterdir())
    assert aic("decode", file, back, "--force").exit_code == 1
    assert (back.read_text(), beside(back).read_text()) == ("old", "old place")
    assert sorted(tmp_path.iterdir()) == before


def test_what_lies_beside_a_link_and_beside_its_file(aic, mosaic, tmp_path):
    file, real, link = tmp_path / "a.aic", tmp_path / "real" / "r.tif", tmp_path / "o.tif"
    real.parent.mkdir()
    link.symlink_to(real)
    assert aic("encode", rotated(tmp_path / "a.tif"), file).exit_code == 0
    assert aic("decode", file, link).exit_code == 0
    for path in (real, link):
        with rasterio.open(path) as dataset:
            assert dataset.crs == rasterio.crs.CRS.from_string(ROTATED)
    assert aic("encode", mosaic, file, "--force").exit_code == 0
    assert aic("decode", file, link, "--force").exit_code == 0
    assert not beside(real).exists()
    assert not beside(link).exists()


def test_a_long_name_leaves_no_room_for_a_file_beside(aic, mosaic, tmp_path):
    file, back = tmp_path / "a.aic", tmp_path / f"{'x' * 249}.tif"
    assert aic("encode", mosaic, file).exit_code == 0
    assert aic("decode", file, back).exit_code == 0
    with rasterio.open(back) as dataset:
        assert dataset.transform == PLACE


def test_dots_behind_a_link_mean_what_the_system_means(tmp_path):
    for folder, grey in (("", 10), ("far", 90)):
        (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / folder / "x.tif", np.full((9, 9), grey, np.uint8))
    (tmp_path / "far" / "away").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    raster = geotiff.open_raster(tmp_path / "link" / ".." / "x.tif")
    assert (raster[:, :] == 90).all()


def test_no_name_in_utf_8_is_one_line(mosaic, tmp_path, monkeypatch):
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.mkdir()
    path = mosaic.rename(odd / "a.tif")
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    with pytest.raises(AicError, match="its name is not UTF-8, nor is that of"):
        geotiff.open_raster(path)
    assert os.listdir(odd) == ["a.tif"]


def test_a_place_beside_that_cannot_be_written(aic, tmp_path, monkeypatch):
    file, back = tmp_path / "a.aic", tmp_path / "out" / "b.tif"
    assert aic("encode", rotated(tmp_path / "a.tif"), file).exit_code == 0
    back.parent.mkdir()

    def fail(path, *_):
        raise AicError(f"{path}: no space left on device")

    monkeypatch.setattr(geotiff, "read_bytes", fail)
    done = aic("decode", file, back)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert list(back.parent.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_any_height_make_the_picture(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 300, 3), np.uint8)
    path = tmp_path / "a.tif"
    with geotiff.writing(path, 700, 300, channels, None) as take:
        for top in range(0, 700, 130):
            take(pixels[top : top + 130])
    assert np.array_equal(read_image(path), pixels if channels == 3 else pixels[..., 0])
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes[0] == (256, 256)
        assert dataset.transform.is_identity


# ---- damage


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"[]", b"{}", b"7", b'{"crs": 3}', b'{"transform": [1]}',
        b'{"crs": "nowhere", "transform": [1, 0, 0, 0, 1, 0]}', b'{"gcps": [[1, 2]]}',
        b'{"transform": ["a", 0, 0, 0, 1, 0]}', b"[" * 5000, b'{"rpcs": 7}', b'{"rpcs": {}}',
        b'{"rpcs": {"line_off": 1, "samp_off": 1, "line_num_coeff": [1]}}',
        b'{"rpcs": {"line_off": 1, "samp_off": 1, "more": 1}}',
        b'{"transform": [1%s, 0, 0, 0, 1, 0]}' % (b"0" * 400),
        b'{"rpcs": {"a": 1%s}}' % (b"0" * 400),
        b'{"gcps": [[1%s, 2, 3, 4, 5]]}' % (b"0" * 400), b'{"gcps": [[1, 2, 3, 4, null]]}',
        b'{"gcps": [[1, 2, 3, 4, 5]], "transform": [1, 0, 0, 0, 1, 0]}',
    ],
    ids=range(20),
)  # fmt: skip
def test_a_georeference_that_is_none_is_refused(tmp_path, data):
    path = tmp_path / "a.tif"
    path.write_bytes(b"precious")
    with (
        pytest.raises(FormatError, match="^chunk geoR cannot be read"),
        geotiff.writing(path, 2, 2, 3, data, force=True) as take,
    ):
        take(np.zeros((2, 2, 3), np.uint8))
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_rpcs_of_other_than_twenty_coefficients_are_refused():
    """GDAL would write zeros in their place."""
    names = ("line_num", "line_den", "samp_num", "samp_den")
    numbers = {
        f"{name}_{what}": 1.0
        for name in ("line", "samp", "lat", "long", "height")
        for what in ("off", "scale")
    }

    def place(number):
        coefficients = {f"{name}_coeff": [1.0] * number for name in names}
        chunk = json.dumps({"rpcs": numbers | coefficients}).encode()
        return georeference.place_of(chunk, (0, 0))[0]

    assert len(place(20)["rpcs"].line_num_coeff) == 20
    for number in (19, 21):
        with pytest.raises(FormatError, match=f"geoR cannot be read: {number} coefficients"):
            place(number)


def test_nothing_is_left_of_a_picture_that_ends_early(tmp_path):
    path = tmp_path / "a.tif"

    def stop():
        with geotiff.writing(path, 9, 9, 3, None) as take:
            take(np.zeros((2, 9, 3), np.uint8))
            raise AicError("stop")

    with pytest.raises(AicError, match="stop"):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_full_disk_cut_is_refused(tmp_path, monkeypatch):
    """As it closes, GDAL keeps that to itself."""
    opened = geotiff.open_dataset

    def cut(path, mode="r", **words):
        if mode == "r":  # the file is written, and looked at
            os.truncate(path, path.stat().st_size - 5000)
        return opened(path, mode, **words)

    monkeypatch.setattr(geotiff, "open_dataset", cut)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    with pytest.raises(AicError, match=r"a\.tif: .*disk"):
        with geotiff.writing(tmp_path / "a.tif", 300, 300, 3, None) as take:
            take(pixels)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_empty_is_told_by_its_own_name(tmp_path, monkeypatch):
    check = geotiff._check_whole

    def emptied(written, *others):
        os.truncate(written, 0)
        check(written, *others)

    monkeypatch.setattr(geotiff, "_check_whole", emptied)
    whole = r"a\.tif: not all of it was written, the disk may be full$"
    with pytest.raises(AicError, match=whole) as refused:
        with geotiff.writing(tmp_path / "a.tif", 8, 8, 3, None) as take:
            take(np.zeros((8, 8, 3), np.uint8))
    assert ".tmp" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_says_what_it_may_be(tmp_path, monkeypatch):
    from rasterio.io import DatasetWriter

    def fail(*_, **__):
        raise rasterio.errors.RasterioIOError("Write failed.") from OSError("at row 3")

    monkeypatch.setattr(DatasetWriter, "write", fail)
    with pytest.raises(AicError, match=r"a\.tif: at row 3; the disk may be full$"):
        with geotiff.writing(tmp_path / "a.tif", 8, 8, 3, None) as take:
            take(np.zeros((8, 8, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


ODD = "b\udcff"  # as Python spells a name of bytes that are not UTF-8, which GDAL cannot have


@pytest.fixture
def temporaries(tmp_path, monkeypatch):
    folder = tmp_path / "temporaries"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
@pytest.mark.parametrize("name", [f"{ODD}.tif", f"{ODD}/a.tif", f"{ODD}/{ODD}.tif"])
def test_names_that_are_not_utf_8(mosaic, temporaries, name):
    with rasterio.open(mosaic, "r+") as dataset:
        dataset.build_overviews([2])
    wanted = geotiff.open_raster(mosaic)
    path = mosaic.parent / name
    try:
        path.parent.mkdir(exist_ok=True)
        mosaic.rename(path)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    raster = geotiff.open_raster(path)
    assert raster.notes == wanted.notes
    assert raster.chunks() == wanted.chunks()
    kept = raster.keeping(())
    del raster
    assert np.array_equal(kept[:, :], wanted[:, :])
    del kept
    assert list(temporaries.iterdir()) == []
    with geotiff.writing(path, *wanted.shape, wanted.chunks()[0][1], force=True) as take:
        take(wanted[:, :])
    assert geotiff.open_raster(path).chunks() == wanted.chunks()
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == [path.name]
    assert list(temporaries.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_files_that_belong_to_one_whose_name_is_not_utf_8(tmp_path, temporaries):
    pixels = np.zeros((8, 8), np.uint8)
    with rasterio.open(tmp_path / "a.tif", "w", "GTiff", 8, 8, 1, dtype="uint8") as dataset:
        dataset.write(pixels[None])
    try:
        (tmp_path / "a.tif").rename(tmp_path / f"{ODD}.tif")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    assert geotiff.open_raster(tmp_path / f"{ODD}.tif") is None
    (tmp_path / f"{ODD}.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    raster = geotiff.open_raster(tmp_path / f"{ODD}.tif")
    assert json.loads(raster.chunks()[0][1])["transform"] == [2, 0, 100, 0, -2, 200]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_no_place_for_links_is_one_line(mosaic, temporaries):
    try:
        odd = mosaic.rename(mosaic.with_name(f"{ODD}.tif"))
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    temporaries.rmdir()
    with pytest.raises(AicError, match="its name is not UTF-8, and has no link: no such file"):
        geotiff.open_raster(odd)


def test_a_name_that_gdal_takes_for_words(mosaic, monkeypatch):
    monkeypatch.chdir(mosaic.parent)
    mosaic.rename("GTIFF_DIR:1:a.tif")
    assert geotiff.open_raster("GTIFF_DIR:1:a.tif").shape == (136, 192, 3)


def test_a_quality_holds_where_half_is_not_seen(tmp_path, textured):
    """What cannot be seen is filled tile by tile, and measured as it was filled."""
    pixels = textured(300, 392).clip(1)
    pixels[(np.indices((300, 392)).sum(0) // 50) % 2 == 0] = 0
    path = write(tmp_path / "half.tif", pixels, nodata=0)
    words = ["encode", path, tmp_path / "a.aic", "--tile", "128", "--psnr", "36", "--lossy"]
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "nearest" not in result.output

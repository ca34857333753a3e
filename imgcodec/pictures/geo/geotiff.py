"""GeoTIFF, read and written by windows, with its georeference: what the extra `geo` is for."""

import base64
import os
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgcodec.errors import AicError, ImageError
from imgcodec.files import read_bytes, replacing
from imgcodec.pictures.arrays import ByteArray, check_size
from imgcodec.pictures.geo.dataset import name_for_gdal, open_dataset
from imgcodec.pictures.geo.georeference import chunk_of, place_of
from imgcodec.pictures.geo.raster import Raster, has_mask, line_of, telling
from imgcodec.pictures.modes import composed, stays_grey
from imgcodec.pictures.writer import REST, TakeRows, check_target, drop_rests, rests
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    import rasterio

SUFFIXES = (".tif", ".tiff")
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF
_BLOCK = 256  # pixels: edge of a written file's own tiles
_CACHE_BYTES = 2**27  # of blocks that are not complete yet
_SIDES = (REST, ".msk")  # after a file's name: what GDAL reads together with it
_POINT = re.compile(rb'<GCP Id="[^"]*"')
_SIDES_OF_STEM = (".tfw", ".tifw", ".tiffw", ".wld", ".tab", ".rpb", "_rpc.txt")


def open_raster(path: str | os.PathLike[str], until: ExitStack | None = None) -> Raster | None:
    """Open a TIFF file that has a georeference, a nodata value or a mask; None for all others.

    And without rasterio: then `reader.read_picture` says what is lost.

    Args:
        path: of the file.
        until: closes it at its end: Windows removes and replaces no file that is open. None: it
            is closed with what is returned.

    Raises:
        ImageError: it holds what 8-bit RGB or grey cannot.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(4) not in _MAGIC:
                return None
        import rasterio
    except (OSError, ImportError):
        return None
    links = ExitStack()
    named = name_for_gdal(path, links)
    try:
        with rasterio.Env():  # which keeps GDAL from talking to the user
            dataset = links.enter_context(open_dataset(named, driver="GTiff"))
    except rasterio.errors.RasterioError:
        links.close()
        return None  # `reader.read_picture` says what is wrong with it
    raster = None
    try:
        with telling(path):
            raster = _raster(dataset, path, links)
    finally:
        if raster is None:
            links.close()
    close = weakref.finalize(links, links.pop_all().close)  # with the raster, or copies of it
    if until is not None:
        until.callback(close)
    return raster


def has_writer(path: str | os.PathLike[str]) -> bool:
    """Whether `writing` can write this file: by its suffix, and with rasterio at hand."""
    if Path(path).suffix.lower() not in SUFFIXES:
        return False
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def writing(
    path: str | os.PathLike[str],
    height: int,
    width: int,
    channels: int,
    georeference: bytes | None,
    corner: tuple[int, int] = (0, 0),
    force: bool = False,
    alpha: ByteArray | None = None,
    background: tuple[int, int, int] | None = None,
    icc: bytes | None = None,
) -> Iterator[TakeRows]:
    """Write a GeoTIFF from rows that come one after another, like `writer.writing`.

    Georeferences for which GeoTIFF has no place (rotated poles, thousands of control points) go
    into a file beside it, see `writer.rests`.

    Args:
        path: of the file.
        height: rows in all.
        width: pixels of a row.
        channels: 1 or 3.
        georeference: data of the chunk `geoR`, None if there is none.
        corner: column and row of the first pixel in the picture that the georeference is of.
        force: whether an existing file is replaced.
        alpha: uint8 (height, width), None where all is opaque; written as a band more.
        background: the colour that shows through, None to keep the alpha channel.
        icc: a colour profile.

    Raises:
        FormatError: the georeference is not one.
        AicError: the file, or that beside it, cannot be written.
    """
    import rasterio

    if alpha is not None and not stays_grey(background):
        channels = 3
    profile = _profile(height, width, channels, alpha is not None and background is None)
    if icc is not None:
        profile["source_icc_profile"] = base64.b64encode(icc).decode()
    check_target(path, force)
    place, tags, options = ({}, {}, {}) if georeference is None else place_of(georeference, corner)
    top = 0
    with (
        _two_files(path, force) as keep_rest,
        replacing(path, force) as temporary,
        ExitStack() as links,
    ):
        named = name_for_gdal(temporary, links)
        try:
            with (
                rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, **options),
                open_dataset(named, "w", **profile, **place) as dataset,
            ):
                dataset.update_tags(**tags)

                @stage("write")
                def take(rows: ByteArray) -> None:
                    nonlocal top
                    bottom = top + len(rows)
                    if alpha is not None and background is not None:
                        rows = composed(rows, alpha[top:bottom], background)
                    elif alpha is not None:
                        rows = np.dstack([rows[..., :channels], alpha[top:bottom]])
                    bands = np.moveaxis(rows[..., : profile["count"]], -1, 0)
                    dataset.write(bands, window=((top, bottom), (0, width)))
                    top = bottom

                yield take
            rest = Path(f"{named}{REST}")
            number_points(rest)
            _check_whole(named, path, place)
            keep_rest(rest)
        except rasterio.errors.RasterioError as error:
            line = line_of(error.__cause__ or error)
            raise AicError(f"{path}: {line}; the disk may be full") from error
        finally:
            Path(f"{temporary}{REST}").unlink(missing_ok=True)


@contextmanager
def _two_files(path: str | os.PathLike[str], force: bool) -> Iterator[Callable[[Path], None]]:
    """Yield what keeps a file that lies beside a new one; both are in place when the block ends.

    By an exception, none of it is, and what lay beside an older file stays.
    """
    kept = False
    with ExitStack() as later:

        def keep(rest: Path) -> None:
            nonlocal kept
            kept = rest.exists()
            for name in rests(path) if kept else ():
                later.enter_context(replacing(name, force)).write_bytes(read_bytes(rest))

        yield keep
        if force and not kept:
            drop_rests(path)


def sides(name: str) -> list[str]:
    """Return what files may be called that belong to a TIFF file of this name; none to others."""
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in SUFFIXES:
        return []
    of_stem = [stem + case(end) for end in _SIDES_OF_STEM for case in (str.lower, str.upper)]
    return [*(name + end for end in _SIDES), *of_stem]


def _profile(height: int, width: int, channels: int, transparent: bool) -> dict[str, Any]:
    """Return how rasterio is told to make a file."""
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint8", "count": channels + transparent,
        "height": height, "width": width,
        "compress": "deflate", "predictor": 2, "bigtiff": "if_safer",
    }  # fmt: skip
    if min(height, width) >= _BLOCK:
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    if channels == 3:
        profile |= {"photometric": "rgb", "interleave": "pixel"}
    if transparent:
        profile |= {"alpha": "non-premultiplied", "interleave": "pixel"}
    return profile


def number_points(rest: Path) -> None:
    """Number the control points in what lies beside a file, if it is there.

    Rasterio up to 1.5 hands GDAL names of them that it has freed by then; some are no UTF-8, and
    not even rasterio reads the file.
    """
    with suppress(FileNotFoundError):
        numbers = count(1)
        text = _POINT.sub(lambda _: b'<GCP Id="%d"' % next(numbers), rest.read_bytes())
        rest.write_bytes(text)


def _check_whole(written: Path, path: str | os.PathLike[str], place: Mapping[str, Any]) -> None:
    """Refuse a written file that lacks blocks, or its place, as `place_of` has it.

    As it closes, GDAL does not tell of a full disk.
    """
    import rasterio

    cut = AicError(f"{path}: not all of it was written, the disk may be full")
    try:
        found = open_dataset(written)
    except rasterio.errors.RasterioError as error:
        raise cut from error
    with found as dataset:
        num_bytes = written.stat().st_size
        for band in dataset.indexes:
            for (row, column), _ in dataset.block_windows(band):
                start, size = (
                    dataset.get_tag_item(f"BLOCK_{kind}_{column}_{row}", "TIFF", bidx=band)
                    for kind in ("OFFSET", "SIZE")
                )
                if not start or not size or int(start) + int(size) > num_bytes:
                    raise cut
        points, system = dataset.gcps
        if (
            (place.get("crs") and not (dataset.crs or system))
            or len(place.get("gcps", ())) != len(points)
            or ("rpcs" in place and dataset.rpcs is None)
        ):
            raise AicError(f"{path}: its georeference was not written, the disk may be full")


def _raster(dataset: "rasterio.DatasetReader", path: Path, links: ExitStack) -> Raster | None:
    """Return a dataset as a raster, None where Pillow may read it."""
    if chunk_of(dataset) is None and dataset.nodata is None and not has_mask(dataset):
        return None
    check_size(*dataset.shape)
    if dataset.subdatasets:
        raise ImageError(
            "holds several pictures (pages, or pictures inside the first): choose with"
            f" gdal_translate GTIFF_DIR:1:{path.name}"
        )
    return Raster(dataset, path, links)

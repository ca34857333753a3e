"""GeoTIFF, read and written by windows, with its georeference: what the extra `geo` is for."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import AicError, FormatError, ImageError
from imgcodec.files import replacing
from imgcodec.format.container import MAX_PIXELS, MAX_SIDE
from imgcodec.pictures.pillow_guard import PROCESS_LOCK
from imgcodec.pictures.writer import TakeRows
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    import rasterio

CHUNK = b"geoR"  # JSON: what lies where on Earth
SUFFIXES = (".tif", ".tiff")
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF
_BLOCK = 256  # pixels: edge of a written file's own tiles
_CACHE_BYTES = 2**27  # of blocks that are not complete yet
_Window = tuple[slice, slice]


class Raster:
    """A georeferenced picture that is read by windows, in place of an array.

    Attributes:
        shape: (H, W, 3), or (H, W) of a grey picture.
        dtype: uint8.
        chunk: the georeference, as a chunk of a file.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, dataset: "rasterio.DatasetReader") -> None:
        """Take an open dataset of 1 or 3 bands of uint8."""
        self._dataset = dataset
        size = (dataset.height, dataset.width)
        self.shape = (*size, 3) if dataset.count == 3 else size
        self.chunk = (CHUNK, json.dumps(_facts(dataset), separators=(",", ":")).encode())

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @stage("read")
    def __getitem__(self, window: _Window) -> NDArray[np.uint8]:
        """Read rows and columns, two slices without steps: uint8 (h, w, 3) or (h, w)."""
        import rasterio

        rows, columns = (s.indices(n) for s, n in zip(window, self.shape[:2], strict=True))
        try:
            bands = self._dataset.read(window=((rows[0], rows[1]), (columns[0], columns[1])))
        except rasterio.errors.RasterioError as error:
            raise ImageError(f"{self._dataset.name}: {_line(error)}") from error
        pixels: NDArray[np.uint8] = np.moveaxis(bands, 0, -1) if self.ndim == 3 else bands[0]
        return pixels


def open_raster(path: str | os.PathLike[str]) -> Raster | None:
    """Open a TIFF file that has a georeference; None for all others, and without rasterio.

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
    try:
        dataset = _open(path, driver="GTiff")
    except rasterio.errors.RasterioError:
        return None  # `reader.read_image` says what is wrong with it
    if dataset.crs is None and dataset.transform.is_identity and not dataset.gcps[0]:
        dataset.close()
        return None
    reason = _refusal(dataset)
    if reason:
        dataset.close()
        raise ImageError(f"{path}: {reason}")
    return Raster(dataset)


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
) -> Iterator[TakeRows]:
    """Write a GeoTIFF from rows that come one after another, like `writer.writing`.

    Args:
        path: of the file.
        height: rows in all.
        width: pixels of a row.
        channels: 1 or 3.
        georeference: data of the chunk `geoR`, None if there is none.
        corner: column and row of the first pixel in the picture that the georeference is of.
        force: whether an existing file is replaced.

    Raises:
        FormatError: the georeference is not one.
        AicError: the file cannot be written.
    """
    import rasterio

    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint8", "count": channels, "height": height, "width": width,
        "compress": "deflate", "predictor": 2, "bigtiff": "if_safer",
    }  # fmt: skip
    if min(height, width) >= _BLOCK:
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    if channels == 3:
        profile |= {"photometric": "rgb", "interleave": "pixel"}
    place = _place(georeference, corner) if georeference is not None else {}
    top = 0
    with replacing(path, force) as temporary:
        try:
            with (
                rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
                _open(temporary, "w", **profile, **place) as dataset,
            ):

                @stage("write")
                def take(rows: NDArray[np.uint8]) -> None:
                    nonlocal top
                    bands = np.moveaxis(rows[..., :channels], -1, 0)
                    dataset.write(bands, window=((top, top + len(rows)), (0, width)))
                    top += len(rows)

                yield take
            _check_whole(temporary, path)
        except rasterio.errors.RasterioError as error:
            raise AicError(f"{path}: {_line(error)}") from error


def _open(path: Path, mode: str = "r", **words: Any) -> Any:
    """Open a dataset, without the warning that it has no georeference."""
    import rasterio

    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            return rasterio.open(path, mode, **words)
        except UnicodeEncodeError as error:
            raise AicError(f"{path}: the name is not UTF-8, which GDAL needs") from error


def _check_whole(written: Path, path: str | os.PathLike[str]) -> None:
    """Refuse a written file that lacks blocks: as it closes, GDAL does not tell of a full disk."""
    with _open(written) as dataset:
        num_bytes = written.stat().st_size
        for band in dataset.indexes:
            for (row, column), _ in dataset.block_windows(band):
                start, size = (
                    dataset.get_tag_item(f"BLOCK_{kind}_{column}_{row}", "TIFF", bidx=band)
                    for kind in ("OFFSET", "SIZE")
                )
                if not start or not size or int(start) + int(size) > num_bytes:
                    raise AicError(f"{path}: not all of it was written, the disk may be full")


def _refusal(dataset: "rasterio.DatasetReader") -> str | None:
    """Return why a picture cannot be kept, None if it can."""
    from rasterio.enums import ColorInterp, MaskFlags

    if max(dataset.shape) > MAX_SIDE or dataset.height * dataset.width > MAX_PIXELS:
        return (
            f"{dataset.width}x{dataset.height} pixels,"
            f" limits are {MAX_SIDE} a side, {MAX_PIXELS} in all"
        )
    if set(dataset.dtypes) != {"uint8"} or dataset.count not in (1, 3):
        kinds = ", ".join(sorted(set(dataset.dtypes)))
        return f"{dataset.count} bands of {kinds}, only 1 or 3 of uint8 are handled yet"
    if ColorInterp.palette in dataset.colorinterp:
        return "has a palette, which is not handled in a georeferenced picture"
    if any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums):
        return "has transparency or a nodata value, which is not handled yet"
    return None


def _facts(dataset: "rasterio.DatasetReader") -> dict[str, Any]:
    """Return a georeference, ready for JSON."""
    facts: dict[str, Any] = {}
    points, system = dataset.gcps
    system = dataset.crs or system
    if system is not None:
        facts["crs"] = system.to_wkt()
    if points:
        facts["gcps"] = [[p.row, p.col, p.x, p.y, p.z or 0.0] for p in points]
    else:
        facts["transform"] = list(dataset.transform)[:6]
    return facts


def _place(georeference: bytes, corner: tuple[int, int]) -> dict[str, Any]:
    """Return a georeference in rasterio's words."""
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError
    from rasterio.transform import Affine

    left, top = corner
    place: dict[str, Any] = {}
    try:
        facts = json.loads(georeference)
        if "crs" in facts:
            place["crs"] = CRS.from_wkt(facts["crs"])
        if "gcps" in facts:
            place["gcps"] = [
                GroundControlPoint(row - top, column - left, x, y, z)
                for row, column, x, y, z in facts["gcps"]
            ]
        else:
            a, b, c, d, e, f = map(float, facts["transform"])
            place["transform"] = Affine(a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    except (ValueError, TypeError, KeyError, RecursionError, RasterioError) as error:
        raise FormatError(f"chunk geoR cannot be read: {_line(error)}") from error
    return place


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

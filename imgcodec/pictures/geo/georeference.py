"""Where a map lies on Earth: what rasterio says of it <-> the chunk `geoR` of a file."""

import json
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from imgcodec.errors import FormatError, ImageError
from imgcodec.format.container import Chunk

if TYPE_CHECKING:
    import rasterio

CHUNK = b"geoR"  # JSON, see docs/format.md
_RPC_COEFFICIENTS = 20
_TIFF_TAGS = (33550, 33922, 34264, 34735, 50844)  # scale, tie points, matrix, keys, RPCs
_NODATA_TAG = 42113
KEYS, NUMBERS = 34735, 34736  # tags: keys by fours, and the numbers that they name
_EPOCH = 5120  # key


def chunk_of(dataset: "rasterio.DatasetReader") -> Chunk | None:
    """Return the georeference of a dataset as a chunk of a file; None: it has none.

    Raises:
        ImageError: its RPCs are damaged.
    """
    facts: dict[str, Any] = {}
    points, system = dataset.gcps
    system = dataset.crs or system
    if system is not None:
        facts["crs"] = system.to_wkt()
    if points:
        facts["gcps"] = [[p.row, p.col, p.x, p.y, p.z or 0.0] for p in points]
    elif system is not None or not dataset.transform.is_identity:
        facts["transform"] = list(dataset.transform)[:6]
    try:
        if dataset.rpcs is not None:
            facts["rpcs"] = dataset.rpcs.to_dict()
    except (LookupError, ValueError, TypeError) as error:
        raise ImageError(f"RPCs cannot be read: {error}") from error
    if facts and dataset.tags().get("AREA_OR_POINT") == "Point":
        facts["area_or_point"] = "Point"
    return (CHUNK, json.dumps(facts, separators=(",", ":")).encode()) if facts else None


def check(georeference: bytes) -> None:
    """Refuse what is no JSON object; what it says is seen where a map is written.

    Raises:
        ImageError: it is none.
    """
    try:
        found = json.loads(georeference)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ImageError("georeference is no JSON object")


def place_of(
    georeference: bytes, corner: tuple[int, int]
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Return a georeference as rasterio's words for a new file, tags for it, and GDAL's options.

    Args:
        georeference: data of the chunk.
        corner: column and row of the first pixel of the file in the picture that it is of.

    Raises:
        FormatError: it is none.
    """
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError
    from rasterio.rpc import RPC
    from rasterio.transform import Affine

    left, top = corner
    place: dict[str, Any] = {}
    try:
        facts = json.loads(georeference)
        if "crs" in facts:
            place["crs"] = CRS.from_wkt(facts["crs"])
        if "rpcs" in facts:
            place["rpcs"] = RPC(**_shifted(facts["rpcs"], left, top))
        tags = {"AREA_OR_POINT": "Point"} if facts.get("area_or_point") == "Point" else {}
        options: dict[str, str] = {}
        if "gcps" in facts:
            if "transform" in facts:
                raise ValueError("a transform beside control points")
            place.setdefault("crs", CRS())  # rasterio writes no points without one
            half = 0.0
            if tags:  # reading adds half a pixel, and writing should take it away but adds another
                half, options["GTIFF_POINT_GEO_IGNORE"] = 0.5, "TRUE"
            place["gcps"] = [
                GroundControlPoint(row - top - half, column - left - half, x, y, z)
                for row, column, x, y, z in (map(float, point) for point in facts["gcps"])
            ]
        elif "transform" in facts or "rpcs" not in facts:
            a, b, c, d, e, f = map(float, facts["transform"])
            place["transform"] = Affine(a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    except (
        ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError,
        RasterioError,
    ) as bad:  # fmt: skip
        raise FormatError(
            f"chunk geoR cannot be read: {' '.join(str(bad).split())[:200]}"
        ) from bad
    return place, tags, options


def epoch_left_out(tags: Any) -> str | None:
    """Say that the epoch of a TIFF file's coordinates is lost, which rasterio does not know.

    Args:
        tags: of the file, by number.
    """
    with suppress(LookupError, ValueError, TypeError):
        keys = np.asarray(tags[KEYS], np.int64)
        for key, _, _, place in keys[4 : len(keys) // 4 * 4].reshape(-1, 4):
            if key == _EPOCH:
                return f"without the epoch of its coordinates, {np.ravel(tags[NUMBERS])[place]:g}"
    return None


def lost_without_rasterio(tags: Any) -> str | None:
    """Return what of a TIFF file with these tags goes with Pillow, in words; None: nothing."""
    kinds = ["georeference"] * any(tag in tags for tag in _TIFF_TAGS)
    kinds += ["nodata value"] * (_NODATA_TAG in tags)
    if not kinds:
        return None
    lost = f"without its {' and '.join(kinds)}"
    if find_spec("rasterio") is None:
        lost += ", kept with the extra geo (pip install imgcodec[geo]) where it is valid"
    return lost


def _shifted(rpcs: dict[str, Any], left: int, top: int) -> dict[str, Any]:
    """Return RPCs, checked, of the part of a picture that begins at this column and row."""
    found: dict[str, Any] = {}
    for name, value in rpcs.items():
        if name.endswith("_coeff"):
            found[name] = [float(number) for number in value]
            if len(value) != _RPC_COEFFICIENTS:
                raise ValueError(f"{len(value)} coefficients {name}, not {_RPC_COEFFICIENTS}")
        elif value is not None:
            found[name] = float(value)
    return found | {"line_off": found["line_off"] - top, "samp_off": found["samp_off"] - left}

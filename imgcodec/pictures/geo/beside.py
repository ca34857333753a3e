"""Where pictures that are no GeoTIFF lie on Earth: what GDAL finds in them, or beside them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from imgcodec.errors import AicError
from imgcodec.pictures.geo.dataset import name_for_gdal, open_dataset
from imgcodec.pictures.geo.georeference import chunk_of
from imgcodec.pictures.headers.overlooked import tells_place
from imgcodec.pictures.headers.parts import boxes
from imgcodec.pictures.writer import REST

_DRIVERS = {
    "JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "JPEG2000": "JP2OpenJPEG", "WEBP": "WEBP",
    "BMP": "BMP", "GIF": "GIF", "TIFF": "GTiff",
}  # fmt: skip
_PLACES = (b"<SRS", b"<GeoTransform", b"<GCPList")  # in what GDAL keeps beside a file
_MOST_BYTES = 2**20  # of such a file that are looked at


class Place(NamedTuple):
    """Where a picture lies."""

    georeference: bytes | None = None  # data of the chunk `geoR`
    lost: str | None = None  # what of it is not kept, in words


def place_of_picture(path: Path, kind: str, size: tuple[int, int], turned: bool) -> Place:
    """Return where a picture lies, which is not read as a GeoTIFF.

    Args:
        path: of its file.
        kind: of the file, as Pillow names it.
        size: its height and width, before it is turned.
        turned: whether it is: then its place is lost, which is that of the file's own rows.
    """
    told = next(_telling(path, kind), None) if kind in _DRIVERS else None
    if told is None:
        return Place()
    named = "its georeference" if told == path else f"the georeference in {told.name}"
    if find_spec("rasterio") is None:
        return Place(lost=f"without {named}, kept with the extra geo (pip install imgcodec[geo])")
    from rasterio import Env
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    found = None
    with (
        suppress(RasterioError, CPLE_BaseError, UnicodeError, AicError),
        ExitStack() as links,
        Env(),
        open_dataset(name_for_gdal(path, links), driver=_DRIVERS[kind]) as dataset,
    ):
        found = chunk_of(dataset) if dataset.shape == size else None
    if found is None:
        return Place(lost=f"without {named}, which GDAL does not read")
    if turned:
        return Place(lost=f"without {named}: it is that of the picture before it is turned")
    return Place(found[1])


def _telling(path: Path, kind: str) -> Iterator[Path]:
    """Yield the files that say where a picture lies: itself, or what lies beside it."""
    if kind == "JPEG2000":
        with path.open("rb") as file:
            found = list(boxes(file))
            if any(tells_place(file, box, first) for box, first, _ in found):
                yield path
    rest = Path(f"{path}{REST}")
    with suppress(OSError), rest.open("rb") as file:
        text = file.read(_MOST_BYTES)
        if any(word in text for word in _PLACES):
            yield rest
    end = path.suffix[1:]
    ends = {f"{end[:1]}{end[-1:]}w", f"{end}w", "wld", "tab"} if len(end) > 1 else {"wld", "tab"}
    for case in (str.lower, str.upper):
        for name in sorted(ends):
            if os.path.isfile(world := path.with_suffix(f".{case(name)}")):
                yield world

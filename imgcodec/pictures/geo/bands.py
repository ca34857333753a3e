"""What the bands of a GeoTIFF mean: which are colours, which is alpha, how they get 8 bits."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgcodec.errors import ImageError
from imgcodec.pictures.arrays import ByteArray
from imgcodec.pictures.writer import REST

if TYPE_CHECKING:
    import rasterio

_COLOURS = ("red", "green", "blue")
_NAMELESS = {"gray", "undefined"}  # what bands are called where a file does not say
_BITS = {"uint8": 8, "uint16": 16, "int16": 15}
_USED = {  # domains of tags that are kept, or say how samples are stored
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "COLOR_PROFILE", "xml:XMP", "",
}  # fmt: skip
_MOST_NAMES = 5
_BESIDE = {  # in what GDAL keeps beside a file, of which rasterio does not tell
    b"<CategoryNames": "category names", b"<GDALRasterAttributeTable": "attribute table",
}  # fmt: skip
_MOST_BYTES = 2**20  # of such a file that are looked at
TO_BYTES = "gdal_translate -ot Byte -scale MIN MAX 0 255"  # how a user chooses a range


class Bands(NamedTuple):
    """Which bands make the pixels, and what their values mean."""

    colours: tuple[int, ...]  # numbers of the bands, from 1: red, green and blue, or one of grey
    table: ByteArray  # (n,) or (n, 3): sample or colour of each value; values beyond are the last
    alpha: int | None  # number of the band
    alpha_table: ByteArray  # (n,): alpha of each value of that band
    notes: tuple[str, ...]  # what was guessed or lost


def bands_of(dataset: "rasterio.DatasetReader") -> Bands:
    """Return how the bands of a dataset become 8-bit RGB or grey.

    Raises:
        ImageError: they do not; with the way out.
    """
    names = [kind.name for kind in dataset.colorinterp]
    colours, alpha, notes = _chosen(names)
    bits = _bits(dataset, colours[0])
    most = 2**bits - 1
    scale = ((np.arange(most + 1) * 255 + most // 2) // most).astype(np.uint8)
    inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if names[colours[0] - 1] == "palette" and not inverted:  # GDAL makes one of inverted grey
        table, alpha_table = _palette(dataset, colours[0])
        if alpha is None and alpha_table.min() < 255:
            return Bands(colours, table, colours[0], alpha_table, ())
        return Bands(colours, table, alpha, scale, ())
    if bits > 8:
        notes.append(
            f"samples 0..{most} were scaled to 0..255; another range is chosen by {TO_BYTES}"
        )
    return Bands(colours, scale[::-1] if inverted else scale, alpha, scale, tuple(notes))


def left_out(dataset: "rasterio.DatasetReader") -> str | None:
    """Return in words what a dataset has besides pixels, alpha and georeference; None: nothing."""
    bands = dataset.indexes
    kinds = ["overviews"] * any(dataset.overviews(band) for band in bands)
    kinds += ["band descriptions"] * any(dataset.descriptions)
    kinds += ["units"] * any(dataset.units)
    scaled = set(dataset.scales) != {1.0} or set(dataset.offsets) != {0.0}
    kinds += ["scales and offsets"] * scaled
    kinds += _beside(dataset)
    tags = {*dataset.tags(), *(tag for band in bands for tag in dataset.tags(band))}
    tags |= {domain for domain in dataset.tag_namespaces() if domain not in _USED}
    tags = {tag for tag in tags if not tag.startswith("STATISTICS_")}
    named = sorted(tags - {"AREA_OR_POINT", "NODATA_VALUES"})
    if named:
        shown = " ".join(ascii(tag)[1:-1] for tag in named[:_MOST_NAMES])
        kinds.append(f"tags {shown}{' and others' if len(named) > _MOST_NAMES else ''}")
    return f"without its {', '.join(kinds)}" if kinds else None


def _beside(dataset: "rasterio.DatasetReader") -> Iterator[str]:
    for name in dataset.files:
        with suppress(OSError):
            if name.endswith(REST):
                with open(name, "rb") as file:
                    text = file.read(_MOST_BYTES)
                yield from (kind for start, kind in _BESIDE.items() if start in text)


def _chosen(names: Sequence[str]) -> tuple[tuple[int, ...], int | None, list[str]]:
    """Return the numbers of the bands of colours, that of alpha, and notes."""
    alphas = [number for number, name in enumerate(names, 1) if name == "alpha"]
    others = [number for number, name in enumerate(names, 1) if name != "alpha"]
    found = {name: number for number, name in enumerate(names, 1)}
    alpha = alphas[0] if alphas else None
    if len(alphas) < 2:
        if len(others) == 1:
            return (others[0],), alpha, []
        if len(others) == 3 and found.keys() >= set(_COLOURS):
            return tuple(found[name] for name in _COLOURS), alpha, []
        if len(others) == 3 and {names[number - 1] for number in others} <= _NAMELESS:
            note = "bands do not say their colours: taken for red, green and blue"
            return tuple(others), alpha, [note]
    if len(names) == 2 and not alphas:
        raise ImageError("2 bands, neither of which says alpha: choose with gdal_translate -b 1")
    if not found.keys() >= set(_COLOURS):
        raise ImageError(
            f"{len(names)} bands, which do not say red, green and blue: choose with"
            " gdal_translate -b R -b G -b B -colorinterp red,green,blue"
        )
    wanted = [*(found[name] for name in _COLOURS), *alphas[:1]]
    further = [number for number in range(1, len(names) + 1) if number not in wanted]
    words = ", ".join(f"{number} ({names[number - 1]})" for number in further[:_MOST_NAMES])
    words += " and others" * (len(further) > _MOST_NAMES)
    chosen = " ".join(f"-b {number}" for number in wanted)
    raise ImageError(
        f"bands besides red, green and blue: {words}; choose with gdal_translate {chosen}"
    )


def _bits(dataset: "rasterio.DatasetReader", band: int) -> int:
    """Return how many bits the samples of a dataset have that are worth something."""
    kind = dataset.dtypes[0]  # GeoTIFF has one for all bands
    if kind not in _BITS:
        raise ImageError(f"samples of {kind}: choose how they become 8 bits, like {TO_BYTES}")
    told = dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(told) if told in map(str, range(1, _BITS[kind])) else _BITS[kind]


def _palette(dataset: "rasterio.DatasetReader", band: int) -> tuple[ByteArray, ByteArray]:
    """Return the colours of a palette, (n, 3) or (n,) where all are grey, and their alpha."""
    try:
        entries = dataset.colormap(band)
    except ValueError as error:
        raise ImageError("its palette is missing") from error
    found = np.zeros((max(entries) + 1, 4), np.uint8)
    for value, colour in entries.items():
        found[value] = colour
    grey = (found[:, :3] == found[:, :1]).all()
    return found[:, 0] if grey else found[:, :3], found[:, 3]

"""Metadata that Pillow or its plugins pass over: JPEG and its successors, TIFF, BMP, GIF, PSD."""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

from PIL import Image

from imgcodec.pictures.headers.parts import asked, boxes, boxes_of_jpeg_2000
from imgcodec.pictures.headers.tiff_tags import exif_of

UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    b"JpgTiffExif->JP2": "exif",
}
_PLACES = {  # of JPEG 2000: a small GeoTIFF, and a world file
    bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03"),
    bytes.fromhex("96a9f1f1dc98402da7aed68e34451809"),
}
EXIF_OF_TIFF = "exif of tiff"  # the name of what its tags say
BMP_HEADER = 14  # bytes before it
_RESOURCES = {1058: "exif", 1060: "xmp"}  # of Photoshop
_RESOLUTION = 1005  # across and down, dots an inch in 1/65536; how it is shown stands between
_ICC_METHODS = (b"\2", b"\3")  # of a colr box: a profile follows
_ICC_HEAD = 14  # bytes of a segment of JPEG before the profile, the last is of how many
_DENSITY = struct.Struct(">4H2b")  # of JPEG 2000: ratios down and across, and powers of ten


def overlooked(picture: Image.Image) -> dict[str, Any]:
    """Return what is missing in the `info` of a picture, named alike; it is not loaded yet."""
    if picture.format == "PSD":
        found = dict(_of_photoshop(picture))
    elif picture.format in ("JPEG", "MPO"):
        found = dict(_of_jpeg(picture))
    else:
        ways: dict[str, Callable[[IO[bytes]], Iterator[tuple[str, Any]]]] = {
            "TIFF": partial(_of_tiff, picture),
            "JPEG2000": _in_boxes,
            "JXL": _in_boxes,
            "BMP": _of_bmp,
            "GIF": _of_gif,
        }
        found = dict(asked(picture, ways))
    return {name: data for name, data in found.items() if name not in picture.info}


def _of_jpeg(picture: Any) -> Iterator[tuple[str, Any]]:
    """Yield the profile that stands behind the header of the frame, where Pillow leaves it."""
    parts = sorted(getattr(picture, "icclist", ()))
    if parts:
        whole = parts[0][_ICC_HEAD - 1] == len(parts)
        yield "icc_profile", b"".join(part[_ICC_HEAD:] for part in parts) if whole else b"cut off"


def _of_tiff(picture: Image.Image, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield EXIF data, of which Pillow keeps neither types nor what makers' notes point to."""
    yield EXIF_OF_TIFF, exif_of(file, getattr(getattr(picture, "tag_v2", None), "offset", None))


def _of_photoshop(picture: Any) -> Iterator[tuple[str, Any]]:
    for number, _, data in getattr(picture, "resources", ()):
        if number in _RESOURCES:
            yield _RESOURCES[number], data
        elif number == _RESOLUTION and len(data) == 16:
            across, down = struct.unpack(">I4xI4x", data)
            yield "dpi", (across / 65536, down / 65536)


def _of_gif(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield in what proportion dots lie across and down: the header has 64 times the inverse."""
    file.seek(12)
    if (told := file.read(1)) > b"\0":
        yield "aspect", (64, told[0] + 15)


def _of_bmp(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the profile that version 5 of the header speaks of."""
    file.seek(BMP_HEADER)
    head = file.read(124)
    if len(head) == head[0] == 124 and head[56:60] == b"DEBM":
        start, length = struct.unpack_from("<II", head, 112)
        file.seek(BMP_HEADER + start)
        yield "icc_profile", file.read(length) or b"cut off"


def _in_boxes(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for kind, first, last in boxes_of_jpeg_2000(file):
        file.seek(first)
        if kind == b"xml ":
            yield "xmp", file.read(last - first)
        elif kind == b"uuid" and (name := UUIDS.get(file.read(16))):
            yield name, file.read(last - first - 16)
        elif kind == b"colr" and file.read(3)[:1] in _ICC_METHODS:
            yield "icc_profile", file.read(last - first - 3)
        elif kind == b"res ":
            yield from _density(file, first, last)


def _density(file: IO[bytes], start: int, end: int) -> Iterator[tuple[str, Any]]:
    """Yield how many dots an inch has where a picture is shown; Pillow reads those of its scan."""
    for kind, first, last in boxes(file, start, end):
        if kind == b"resd" and last - first == _DENSITY.size:
            file.seek(first)
            down, under, across, below, power, power_across = _DENSITY.unpack(file.read(10))
            if under and below:  # dots a metre
                across = across / below * 10.0**power_across
                yield "dpi", (0.0254 * across, 0.0254 * down / under * 10.0**power)


def tells_place(file: IO[bytes], kind: bytes, first: int) -> bool:
    """Whether a box, whose data start there, says where the picture lies on Earth."""
    file.seek(first)
    return file.read(16) in _PLACES if kind == b"uuid" else kind == b"asoc" and _is_gml(file)


def _is_gml(file: IO[bytes]) -> bool:
    """Whether a box of boxes begins with the name of those in GML."""
    return file.read(12)[4:] == b"lbl gml."

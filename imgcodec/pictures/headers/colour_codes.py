"""Colours that a file names by numbers, in place of a profile: nothing here heeds them.

Those of H.273, in PNG's cICP and in the nclx of HEIF and AVIF, EnumCS of JPEG 2000, and what BMP
files of version 4 and 5 say.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from operator import sub
from typing import IO

from PIL import Image

from imgcodec.pictures.headers.aperture import properties
from imgcodec.pictures.headers.overlooked import BMP_HEADER
from imgcodec.pictures.headers.parts import asked, boxes_of_jpeg_2000, chunks
from imgcodec.pictures.profiles import SRGB_PRIMARIES

_USUAL = {"color primaries": (1, 2), "transfer characteristics": (1, 2, 6, 13)}  # as sRGB
_SRGB, _GREY, _SYCC, _CMYK = 16, 17, 18, 12  # EnumCS that is read as it is meant
_MOST_CHUNKS = 1000
_BMP_VERSIONS = (108, 124)  # bytes of their headers
_CALIBRATED, _LINKED = b"\0\0\0\0", b"KNIL"
_NEAR = 0.01
_GAMMAS = (0.0, 2.2, 1 / 2.2)  # of nothing said, and of sRGB, written in two ways


def colours_told(picture: Image.Image) -> str | None:
    """Return in words colours that are not those of sRGB; None: no others are told.

    Args:
        picture: opened, not loaded yet.
    """
    if picture.format == "HEIF":
        codes = picture.info.get("nclx_profile") or {}
        return _unusual(codes.get("color_primaries", 2), codes.get("transfer_characteristics", 2))
    ways = {"PNG": _png, "AVIF": _avif, "JPEG2000": _jpeg_2000, "BMP": _bmp}
    return next(filter(None, asked(picture, ways)), None)


def _unusual(*codes: int) -> str | None:
    for (name, usual), code in zip(_USUAL.items(), codes, strict=True):
        if code not in usual:
            return f"{name} {code}"
    return None


def _png(file: IO[bytes]) -> Iterator[str | None]:
    for kind, _, _ in islice(chunks(file), _MOST_CHUNKS):
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"cICP" and len(codes := file.read(4)) == 4:
            yield _unusual(codes[0], codes[1]) or (None if codes[3] else "narrow range")
            break


def _bmp(file: IO[bytes]) -> Iterator[str]:
    file.seek(BMP_HEADER)
    head = file.read(124)
    if len(head) < 108 or head[0] not in _BMP_VERSIONS or any(head[1:4]):
        return
    if head[56:60] == _LINKED:
        yield "a profile in another file"
    if head[56:60] != _CALIBRATED:
        return
    numbers = struct.unpack_from("<12I", head, 60)
    points = []
    for x, y, z in (numbers[:3], numbers[3:6], numbers[6:9]):
        points += [x / max(1, x + y + z), y / max(1, x + y + z)]
    other = any(points) and max(map(abs, map(sub, points, SRGB_PRIMARIES))) > _NEAR
    gammas = (number / 65536 for number in numbers[9:])
    other = other or any(min(abs(gamma - one) for one in _GAMMAS) > 0.1 for gamma in gammas)
    if other:
        yield "calibrated by the file's own numbers"


def _avif(file: IO[bytes]) -> Iterator[str | None]:
    for kind, data in properties(file):
        if kind == b"colr" and data[:4] == b"nclx" and len(data) >= 8:
            yield _unusual(*struct.unpack_from(">HH", data, 4))
            break


def _jpeg_2000(file: IO[bytes]) -> Iterator[str]:
    for kind, first, last in boxes_of_jpeg_2000(file):
        if kind == b"colr" and last - first >= 7:
            file.seek(first)
            method, code = struct.unpack(">BxxI", file.read(7))
            if method == 1 and code not in (_SRGB, _GREY, _SYCC, _CMYK):
                yield f"EnumCS {code}"

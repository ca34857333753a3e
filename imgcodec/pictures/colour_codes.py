"""Colours that a file names by numbers, in place of a profile: nothing here heeds them.

Those of H.273, in PNG's cICP and in the nclx of HEIF and AVIF, and EnumCS of JPEG 2000.
"""

import re
import struct
from collections.abc import Iterator
from typing import IO, Any

from PIL import Image

from imgcodec.pictures.boxes import boxes

_USUAL = {"color primaries": (1, 2), "transfer characteristics": (1, 2, 6, 13)}  # as sRGB
_NCLX = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_SRGB, _GREY, _SYCC, _CMYK = 16, 17, 18, 12  # EnumCS that is read as it is meant
_MOST_CHUNKS = 1000


def colours_told(picture: Image.Image) -> str | None:
    """Return in words colours that are not those of sRGB; None: no others are told.

    Args:
        picture: opened, not loaded yet.
    """
    file: Any = getattr(picture, "fp", None)
    if picture.format == "HEIF":
        codes = picture.info.get("nclx_profile") or {}
        return _unusual(codes.get("color_primaries", 2), codes.get("transfer_characteristics", 2))
    ask = {"PNG": _png, "AVIF": _avif, "JPEG2000": _jpeg_2000}.get(picture.format or "")
    if ask is None or file is None:
        return None
    before = file.tell()
    try:
        return ask(file)
    finally:
        file.seek(before)


def _unusual(*codes: int) -> str | None:
    for (name, usual), code in zip(_USUAL.items(), codes, strict=True):
        if code not in usual:
            return f"{name} {code}"
    return None


def _png(file: IO[bytes]) -> str | None:
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            break
        data = file.read(4) if head[4:] == b"cICP" else b""
        if len(data) == 4:
            return _unusual(data[0], data[1]) or (None if data[3] else "narrow range")
        (length,) = struct.unpack_from(">I", head)
        file.seek(length - len(data) + 4, 1)
    return None


def _avif(file: IO[bytes]) -> str | None:
    file.seek(0)
    found = _NCLX.finditer(file.read())
    told = (_unusual(*(int.from_bytes(code, "big") for code in one.groups())) for one in found)
    return next(filter(None, told), None)


def _jpeg_2000(file: IO[bytes]) -> str | None:
    for code in _enumerated(file, 0, file.seek(0, 2)):
        if code not in (_SRGB, _GREY, _SYCC, _CMYK):
            return f"EnumCS {code}"
    return None


def _enumerated(file: IO[bytes], start: int, end: int) -> Iterator[int]:
    for kind, first, last in boxes(file, start, end):
        file.seek(first)
        if kind == b"jp2h" and start == 0:
            yield from _enumerated(file, first, last)
        elif kind == b"colr":
            data = file.read(min(7, last - first))
            if len(data) == 7 and data[0] == 1:
                yield int.from_bytes(data[3:], "big")

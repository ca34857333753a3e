"""What AVIF and HEIF files say of their picture's shape: the part that is meant, square pixels.

Of these and the turn behind them Pillow heeds the turn, and its plugin for HEIF the part, too.
"""

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import IO, NamedTuple

from PIL import Image

from imgcodec.pictures.headers.parts import asked, boxes

_MOST_BYTES = 2**24  # of the box that is looked at
_CLAP = struct.Struct(">IIIIiIiI")  # ratios: width, height, and how far its middle is off
_Part = tuple[int, int, int, int]  # left, top, width, height


class Shape(NamedTuple):
    """What is said; a part and pixels are those before the turn."""

    part: _Part | None = None  # to be cut out, pixels
    aspect: tuple[int, int] = (1, 1)  # width and height of a pixel, in proportion
    turned: bool = False  # or mirrored
    across: bool = False  # turned by 90 or 270 degrees
    notes: tuple[str, ...] = ()  # what is not heeded


def shape_told(picture: Image.Image) -> Shape:
    """Return what the file of an opened picture says.

    Args:
        picture: opened, not loaded yet.
    """
    told = dict(asked(picture, {"AVIF": properties, "HEIF": properties}))
    part = None
    notes: tuple[str, ...] = ()
    if b"tmap" in told:
        notes += ("not kept: the gain map of a brighter picture (HDR)",)
    if len(told.get(b"clap", b"")) == _CLAP.size:
        part = _part(told[b"clap"], *_size(told, picture))
        if part is None:
            notes += ("its clean aperture is none of whole pixels, and is not kept",)
        elif picture.format == "HEIF" or part == (0, 0, *picture.size):
            part = None  # cut out already
    aspect = 1, 1
    if len(told.get(b"pasp", b"")) == 8:
        across, down = struct.unpack(">II", told[b"pasp"])
        if across and down:
            aspect = Fraction(across, down).as_integer_ratio()
    turn = (told.get(b"irot") or b"\0")[0] & 3
    return Shape(part, aspect, bool(turn) or b"imir" in told, bool(turn & 1), notes)


def _size(told: dict[bytes, bytes], picture: Image.Image) -> tuple[int, int]:
    """Return the width and height that an aperture is a part of."""
    size = told.get(b"ispe", b"")
    return struct.unpack(">4xII", size) if len(size) == 12 else picture.size


def _part(data: bytes, width: int, height: int) -> _Part | None:
    """Return a clean aperture; None: it is not of whole pixels, or leaves the picture."""
    numbers = _CLAP.unpack(data)
    if not all(numbers[1::2]):
        return None
    wide, high, right, down = (
        Fraction(over, under) for over, under in zip(numbers[::2], numbers[1::2], strict=True)
    )
    left = (width - wide) / 2 + right
    top = (height - high) / 2 + down
    whole = all(value.denominator == 1 for value in (left, top, wide, high))
    inside = min(left, top) >= 0 and left + wide <= width and top + high <= height
    if not whole or not inside or not min(wide, high):
        return None
    return int(left), int(top), int(wide), int(high)


def properties(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield kinds and data of the properties of the picture that is meant; none if damaged.

    And the kind of an item that makes a brighter one of it.
    """
    try:
        meta = dict(_inside(file))[b"meta"]
        parts = dict(_inside(io.BytesIO(meta), 4))
        said = dict(_inside(io.BytesIO(parts[b"iprp"])))
        known = list(_inside(io.BytesIO(said[b"ipco"])))
        if b"tmap" in parts.get(b"iinf", b""):  # the kind of an item
            yield b"tmap", b""
        main = int.from_bytes(parts[b"pitm"][4:], "big")
        for number in _associated(said[b"ipma"], main):
            if 0 < number <= len(known):
                yield known[number - 1]
    except (LookupError, struct.error):
        return


def _inside(file: IO[bytes], start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield kinds and data of boxes, but not of those with pixels."""
    for kind, first, last in boxes(file, start):
        if kind != b"mdat" and last - first <= _MOST_BYTES:
            file.seek(first)
            yield kind, file.read(last - first)


def _associated(ipma: bytes, wanted: int) -> Iterator[int]:
    """Yield the numbers, from 1, of the properties of an item."""
    version, wide = ipma[0], ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, 4)
    position = 8
    for _ in range(count):
        item, num = struct.unpack_from(">IB" if version else ">HB", ipma, position)
        position += 5 if version else 3
        for _ in range(num):
            (number,) = struct.unpack_from(">H" if wide else ">B", ipma, position)
            position += 1 + wide
            if item == wanted:
                yield number & (0x7FFF if wide else 0x7F)

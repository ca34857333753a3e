"""EXIF data, a TIFF structure: orientation, density, and what changes when the picture does.

Numbers are changed where they stand: makers' own data are pointed at by where they are.
"""

import math
import re
import struct
from fractions import Fraction

_START = re.compile(rb"(?:.{4})??(?:Exif\0\0){0,2}(?=II\*\0|MM\0\*)", re.DOTALL)
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I"}  # by TIFF's types: BYTE, SHORT, LONG, IFD
_ENTRY_BYTES = 12  # tag, type, count, and the value or where it stands
_ORIENTATION = 0x0112
_INNER = (0x8769, 0xA005)  # directories: Exif in the first one, Interoperability in Exif
_PIXELS = ((0x0100, 0x0101), (0xA002, 0xA003), (0x1001, 0x1002))  # tags of width and height
_SIDES = (*_PIXELS, (0x011A, 0x011B), (0xA20E, 0xA20F))  # and of the densities along them
_SUBJECTS = (0x9214, 0xA214)  # where something is: x, y, and a diameter or width and height
_DENSITIES, _UNIT = (0x011A, 0x011B), 0x0128
_RATIONAL, _SHORT = 5, 3  # TIFF's types
_NO_UNIT, _INCH, _CM = 1, 2, 3
_LARGEST, _LARGEST_SHORT = 2**32 - 1, 2**16 - 1
_FINEST = 0.013  # dots an inch: PNG counts whole dots a metre
_THUMBNAIL = (0x0201, 0x0202)  # where it stands, and its length
_JPEG = b"\xff\xd8"


def tiff_part(data: bytes) -> bytes | None:
    """Return EXIF data without the words that JPEG, HEIF and others put before them.

    None where there is no TIFF structure behind.
    """
    start = _START.match(data)
    return data[start.end() :] if start else None


def orientation(exif: bytes) -> int | None:
    """Return the orientation, None where none is said."""
    tiff = _Tiff(exif)
    return tiff.number(tiff.directory(tiff.first), _ORIENTATION)


def upright(exif: bytes, turned: int, size: tuple[int, int] | None = None) -> bytes:
    """Return the EXIF data of a picture that was turned upright.

    After a turn, the thumbnail is removed: it would lie on its side, and is made anew by whoever
    needs one.

    Args:
        exif: a TIFF structure.
        turned: the orientation that the picture had.
        size: its height and width then; None: where its subject is, is not turned.
    """
    tiff = _Tiff(exif)
    directory = tiff.directory(tiff.first)
    tiff.set(directory, _ORIENTATION, 1)
    if turned in range(2, 9):
        tiff.remove_thumbnail()
    for tag in (*_INNER, None):
        if turned in range(5, 9):
            for sides in _SIDES:
                tiff.swap(directory, *sides)
        if size is not None:
            for subject in _SUBJECTS:
                tiff.turn(directory, subject, turned, *size)
        if tag is not None:
            directory = tiff.directory(tiff.number(directory, tag))
    return bytes(tiff.data)


def framed(exif: bytes, part: tuple[int, int, int, int], height: int, width: int) -> bytes:
    """Return the EXIF data of a part of the picture at another size, without a thumbnail.

    Sides are those of the part. Where its subject is, moves with it; of one that is not in the
    part, nothing is said any more.

    Args:
        exif: a TIFF structure.
        part: left, top, width and height of what was cut out.
        height: of the new picture.
        width: of the new picture.
    """
    tiff = _Tiff(exif)
    tiff.remove_thumbnail()
    start = tiff.first
    for tag in (*_INNER, None):
        directory = tiff.directory(start)
        for of_width, of_height in _PIXELS:
            tiff.set(directory, of_width, width)
            tiff.set(directory, of_height, height)
        for subject in _SUBJECTS:
            if not tiff.move(directory, subject, part, height, width):
                tiff.remove(start or 0, subject)
                directory = tiff.directory(start)
        if tag is not None:
            start = tiff.number(directory, tag)
    return bytes(tiff.data)


def density(exif: bytes) -> tuple[float, float] | None:
    """Return dots per inch, across and down; None where no such are said."""
    tiff = _Tiff(exif)
    directory = tiff.directory(tiff.first)
    across, down = (tiff.fraction(directory, tag) for tag in _DENSITIES)
    unit = tiff.number(directory, _UNIT) if _UNIT in directory else _INCH
    if not across or not down or unit not in (_INCH, _CM):
        return None
    factor = 2.54 if unit == _CM else 1
    return float(across) * factor, float(down) * factor


def proportion(exif: bytes) -> float | None:
    """Return dots across for each one down; None where none are said, of whatever unit."""
    tiff = _Tiff(exif)
    directory = tiff.directory(tiff.first)
    across, down = (tiff.fraction(directory, tag) for tag in _DENSITIES)
    return float(across / down) if across and down else None


def tells_density(exif: bytes) -> bool:
    """Whether there is a word on density, of any unit."""
    tiff = _Tiff(exif)
    return not tiff.directory(tiff.first).keys().isdisjoint(_DENSITIES)


def of_density(across: float, down: float, inch: bool) -> bytes:
    """Return EXIF data that say no more than a density.

    Args:
        across: dots in a unit of width, above 0.
        down: the same of height.
        inch: whether the unit is an inch; else only their ratio counts.
    """
    return with_density(b"II*\0" + struct.pack("<IHI", 8, 0, 0), across, down, inch) or b""


def with_density(exif: bytes, across: float, down: float, inch: bool) -> bytes | None:
    """Return EXIF data that say a density, see `of_density`, besides what they say of others.

    The first directory is written anew, behind all but a thumbnail that stands last. Nothing else
    moves. None: the directory is damaged.
    """
    tiff = _Tiff(exif)
    link = tiff.link(tiff.first)
    entries = tiff.directory(tiff.first)
    if link is None or link != (tiff.first or 0) + 2 + _ENTRY_BYTES * len(entries):
        return None
    parts = {tag: exif[start : start + _ENTRY_BYTES] for tag, start in entries.items()}
    numbers = []
    for value in (across, down):
        whole = round(value)
        exact = inch and (not whole or abs(value - whole) > _FINEST)
        ratio = Fraction(value).limit_denominator(100) if exact else Fraction(whole)
        numbers += [max(1, min(ratio.numerator, _LARGEST)), ratio.denominator]
    second = tiff.second()
    end = tiff.last_thumbnail(second) or len(exif)
    start = end + end % 2
    values = start + 2 + _ENTRY_BYTES * len(parts.keys() | {*_DENSITIES, _UNIT}) + 4
    order = tiff.order
    for tag, place in zip(_DENSITIES, (values, values + 8), strict=True):
        parts[tag] = struct.pack(f"{order}HHII", tag, _RATIONAL, 1, place)
    parts[_UNIT] = struct.pack(f"{order}HHIHH", _UNIT, _SHORT, 1, _INCH if inch else _NO_UNIT, 0)
    new = bytes(end % 2) + struct.pack(f"{order}H", len(parts))
    new += b"".join(parts[tag] for tag in sorted(parts)) + exif[link : link + 4]
    new += struct.pack(f"{order}4I", *numbers)
    new += bytes(len(new) % 2)
    tiff.set(second, _THUMBNAIL[0], end + len(new))
    struct.pack_into(f"{order}I", tiff.data, 4, start)
    return bytes(tiff.data[:end] + new + tiff.data[end:])


class _Tiff:
    """A TIFF structure whose numbers can be changed; of a damaged one, what can be read."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.order = _ORDERS.get(data[:4])
        self.first = self._read("I", 4)

    def directory(self, start: int | None) -> dict[int, int]:
        """Return where the entries of a directory stand, by tag."""
        found: dict[int, int] = {}
        for number in range(self._read("H", start) or 0):
            position = (start or 0) + 2 + _ENTRY_BYTES * number
            tag = self._read("H", position)
            if tag is None or position + _ENTRY_BYTES > len(self.data):
                break
            found.setdefault(tag, position)
        return found

    def number(self, directory: dict[int, int], tag: int) -> int | None:
        """Return the value of an entry that is a single number."""
        form = self._form(directory, tag)
        return None if form is None else self._read(form, directory[tag] + 8)

    def fraction(self, directory: dict[int, int], tag: int) -> Fraction | None:
        """Return the value of an entry that is a single ratio, None where it is none."""
        position = directory.get(tag)
        if position is None or self._read("H", position + 2) != _RATIONAL:
            return None
        start = self._read("I", position + 8)
        over = self._read("I", start)
        under = None if start is None else self._read("I", start + 4)
        return Fraction(over, under) if over is not None and under else None

    def set(self, directory: dict[int, int], tag: int, value: int) -> None:
        """Change the value of an entry that is a single number, if its type holds it."""
        form = self._form(directory, tag)
        if form is not None and value < 256 ** struct.calcsize(form):
            struct.pack_into(f"{self.order}{form}", self.data, directory[tag] + 8, value)

    def swap(self, directory: dict[int, int], one: int, two: int) -> None:
        """Exchange the values of two entries, whatever their types."""
        if one in directory and two in directory:
            a, b = (slice(directory[tag] + 2, directory[tag] + _ENTRY_BYTES) for tag in (one, two))
            self.data[a], self.data[b] = self.data[b], self.data[a]

    def turn(
        self, directory: dict[int, int], tag: int, turned: int, height: int, width: int
    ) -> None:
        """Change where something is in a picture of this size, as it is turned upright."""
        start, (x, y, *sides) = self._subject(directory, tag)
        if start is None or x >= width or y >= height:
            return
        if turned in range(5, 9):
            x, y, height, width = y, x, width, height
            sides.reverse()
        x = width - 1 - x if turned in (2, 3, 6, 7) else x
        y = height - 1 - y if turned in (3, 4, 7, 8) else y
        self._set_subject(start, x, y, *sides)

    def move(
        self,
        directory: dict[int, int],
        tag: int,
        part: tuple[int, int, int, int],
        height: int,
        width: int,
    ) -> bool:
        """Change where something is, as a part gets this size; false: it is not in the part."""
        start, (x, y, *sides) = self._subject(directory, tag)
        if start is None:
            return True
        left, top, part_width, part_height = part
        if not (0 <= x - left < part_width and 0 <= y - top < part_height):
            return False
        across, down = width / part_width, height / part_height
        scales = [across, down] if len(sides) == 2 else [math.sqrt(across * down)]
        sides = [
            min(max(round(side * scale), 1), _LARGEST_SHORT)
            for side, scale in zip(sides, scales, strict=False)
        ]
        x, y = (
            min(int(place), _LARGEST_SHORT)
            for place in ((x - left + 0.5) * across, (y - top + 0.5) * down)
        )
        self._set_subject(start, x, y, *sides)
        return True

    def _subject(self, directory: dict[int, int], tag: int) -> tuple[int | None, list[int]]:
        """Return where the numbers that say where something is start, and these."""
        none = None, [0, 0]
        position = directory.get(tag)
        if position is None or self._read("H", position + 2) != _SHORT:
            return none
        count = self._read("I", position + 4) or 0
        start = position + 8 if count == 2 else self._read("I", position + 8)
        if (
            count not in (2, 3, 4)
            or start is None
            or self._read("H", start + 2 * count - 2) is None
        ):
            return none
        return start, list(struct.unpack_from(f"{self.order}{count}H", self.data, start))

    def _set_subject(self, start: int, *numbers: int) -> None:
        struct.pack_into(f"{self.order}{len(numbers)}H", self.data, start, *numbers)

    def remove(self, directory: int, tag: int) -> None:
        """Take an entry out of the directory that starts there; nothing else moves."""
        count = self._read("H", directory) or 0
        position = self.directory(directory)[tag]
        end = directory + 2 + _ENTRY_BYTES * count + 4  # with the link to the next directory
        self.data[position : end - _ENTRY_BYTES] = self.data[position + _ENTRY_BYTES : end]
        struct.pack_into(f"{self.order}H", self.data, directory, count - 1)

    def remove_thumbnail(self) -> None:
        """Take the second directory out, and its picture where that stands at the end."""
        second = self.second()
        start = self.last_thumbnail(second)
        if second:
            struct.pack_into("I", self.data, self.link(self.first) or 0, 0)
        if start is not None:
            del self.data[start:]

    def link(self, directory: int | None) -> int | None:
        """Return where it stands which directory follows one, None where nothing is left."""
        count = self._read("H", directory)
        found = (directory or 0) + 2 + _ENTRY_BYTES * (count or 0)
        return None if count is None or self._read("I", found) is None else found

    def second(self) -> dict[int, int]:
        """Return the second directory, that of the thumbnail; empty where there is none."""
        return self.directory(self._read("I", self.link(self.first)) or None)

    def last_thumbnail(self, second: dict[int, int]) -> int | None:
        """Return where the thumbnail starts, None where it is none, or something follows it."""
        start, length = (self.number(second, tag) for tag in _THUMBNAIL)
        if start and length and self.data[start : start + 2] == _JPEG:
            return None if any(self.data[start + length :]) else start
        return None

    def _form(self, directory: dict[int, int], tag: int) -> str | None:
        """Return how `struct` names the type of an entry, None where it is no single number."""
        position = directory.get(tag)
        if position is None or self._read("I", position + 4) != 1:
            return None
        return _NUMBERS.get(self._read("H", position + 2) or 0)

    def _read(self, form: str, position: int | None) -> int | None:
        """Return a number, None where there is none."""
        if self.order is None or position is None:
            return None
        if position + struct.calcsize(f"<{form}") > len(self.data):
            return None
        return int(struct.unpack_from(f"{self.order}{form}", self.data, position)[0])

"""Which of TIFF's tags describe a picture, as EXIF does; the others say how it is stored."""

import io
import struct
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imgcodec.errors import ImageError
from imgcodec.format.exif import tiff_part
from imgcodec.pictures.headers.tiff_directories import (
    ASCII,
    EXIF,
    FIRST,
    GPS,
    INTEROPERABILITY,
    LONG,
    SHORT,
    Directory,
    Entry,
    Structure,
    read,
    staying,
    written,
)

DESCRIBING = (
    269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432,
    *range(40091, 40096), 50341,
)  # fmt: skip
XMP = 700
_SUB_IFDS = 330
_PADDING = 59932  # of Windows
_SIDES = (0xA002, 0xA003)  # width and height, in the directory of EXIF
_MARKS = {"<": (b"II", 42), ">": (b"MM", 42)}  # how files start, by their order of bytes
# Tags of TIFF itself; what does not describe the picture, or its colours, says how it is stored.
_OWN = {*range(254, 533)} - {301, 318, 319}
_TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
# The types of those that libtiff reads: texts, numbers, and densities, which may be whole.
_TYPES = dict.fromkeys(_TEXTS, (1, 2, 7)) | dict.fromkeys((274, 296), (1, 3, 4))
_TYPES |= dict.fromkeys((282, 283), (3, 4, 5))
_VALUES = {274: range(1, 9), 296: range(1, 4)}  # of others, libtiff speaks to the user


class _Text(str):
    """A text as Pillow reads it, byte by byte, and writes it then; else it writes ASCII."""

    def encode(self, *_: object) -> bytes:
        """Return the bytes that were read."""
        return super().encode("latin-1", "replace")


def directories(file: IO[bytes]) -> Iterator[ImageFileDirectory_v2]:
    """Yield the tags of each picture of a TIFF or BigTIFF file, also of kinds unknown to Pillow.

    Pillow reads only now: it may raise anything.

    Raises:
        ImageError: a directory is damaged.
    """
    file.seek(0)
    head = file.read(16)
    order = head[:2]
    # of which Pillow knows the little-endian one only
    head = b"II+\0" + head[4:] if b"+" in head[2:4] else head[:8]
    seen = {0}
    start = ImageFileDirectory_v2(head, order).next
    while start not in seen:
        seen.add(start)
        tags = ImageFileDirectory_v2(head, order)
        tags.next = -1  # stays so where Pillow cannot read all of it
        file.seek(start)
        tags.load(file)
        if tags.next < 0:
            raise ImageError("the directory of a TIFF file is damaged")
        yield tags
        start = tags.next


def num_inside(tags: Mapping[int, Any]) -> int:
    """Return how many pictures lie inside the one with these tags."""
    return int(np.size(tags[_SUB_IFDS])) if _SUB_IFDS in tags else 0


def others_left_out(number: int) -> list[str]:
    """Say that so many pictures of a file do not come along."""
    return [f"{number} further picture{'s' * (number > 1)} left out"] if number else []


def as_exif(tags: Image.Exif, which: Collection[int] = DESCRIBING) -> bytes | None:
    """Return as EXIF data what describes the picture; None where nothing does.

    Pillow reads only now: it may raise anything.

    Args:
        tags: of which some are taken.
        which: those, besides directories inside.
    """
    kept = Image.Exif()
    kept.endian = tags.endian
    kept.update({tag: _writable(tags[tag]) for tag in which if tag in tags})
    for directory in (EXIF, GPS):
        if entries := _entries(tags, directory):
            kept[directory] = entries
    return tiff_part(kept.tobytes()) if len(kept) else None


def exif_of(file: IO[bytes], start: int | None = None) -> bytes | None:
    """Return as EXIF data what a TIFF file tells of its picture; None where it tells nothing.

    Args:
        file: to read.
        start: where the directory of the picture stands; None: it is the first one.
    """
    found = read(file, start, DESCRIBING)
    if found is None:
        return None
    first = found.directories[FIRST]
    told = {FIRST: {tag: first[tag] for tag in DESCRIBING if tag in first}}
    data = written(found.order, found.directories | told, 8)
    return struct.pack(f"{found.order}2sHI", *_MARKS[found.order], 8) + data if data else None


def add_exif(file: IO[bytes], exif: bytes) -> None:
    """Put what of EXIF data has a place there into a TIFF file of one picture without any.

    All directories are written anew, behind the picture, in the order of bytes of the EXIF data:
    makers' notes, comments and others have one of their own, which nothing tells.

    Args:
        file: whose samples have 8 bits; it is changed.
        exif: see `has_place`.
    """
    own, other = read(file), _read(exif)
    if own is None or other is None:
        return
    inner = other.directories[EXIF]
    sides = {tag: _long(inner[tag], other.order) for tag in _SIDES if tag in inner}
    told = other.directories | {FIRST: _placed(other), EXIF: inner | sides}
    new = {tag: _ended(directory) for tag, directory in told.items()}
    new[FIRST] = staying(own.directories[FIRST], own.order != other.order) | new[FIRST]
    end = file.seek(0, 2)
    start = end + end % 2
    file.write(bytes(end % 2) + written(other.order, new, start))
    file.seek(0)
    file.write(struct.pack(f"{other.order}2sHI", *_MARKS[other.order], start))


def has_place(exif: bytes) -> bool:
    """Whether anything of EXIF data has a place in TIFF files."""
    found = _read(exif)
    return found is not None and any((found.directories | {FIRST: _placed(found)}).values())


def lost_tags(exif: bytes) -> list[int]:
    """Return which tags of EXIF data, besides those on storage, TIFF files have no place for."""
    found = _read(exif)
    if found is None:
        return []
    kept = {*_placed(found), XMP, _PADDING}
    own = _OWN - {*DESCRIBING}
    return sorted(tag for tag in found.directories[FIRST] if tag not in kept and tag not in own)


def _read(exif: bytes) -> Structure | None:
    return read(io.BytesIO(exif))


def _placed(found: Structure) -> dict[int, Entry]:
    """Return what of the first directory describes the picture, of types and values of TIFF's."""
    first = found.directories[FIRST]
    told = {tag: first[tag] for tag in DESCRIBING if tag in first}
    return {tag: entry for tag, entry in told.items() if _is_taken(tag, entry, found.order)}


def _is_taken(tag: int, entry: Entry, order: str) -> bool:
    value = int.from_bytes(entry.data, "little" if order == "<" else "big")
    return entry.kind in _TYPES.get(tag, (entry.kind,)) and value in _VALUES.get(tag, (value,))


def _long(side: Entry, order: str) -> Entry:
    """Return a number of type SHORT as one of type LONG: of the other one, libtiff warns."""
    if side.kind != SHORT or len(side.data) != 2:
        return side
    return Entry(LONG, struct.pack(f"{order}I", *struct.unpack(f"{order}H", side.data)))


def _ended(directory: Directory) -> dict[int, Entry]:
    """Return a directory whose texts end with a NUL; libtiff warns of others, or drops them."""
    return {
        tag: entry._replace(data=entry.data + b"\0")
        if entry.kind == ASCII and not entry.data.endswith(b"\0")
        else entry
        for tag, entry in directory.items()
    }


def _entries(tags: Image.Exif, directory: int) -> dict[int, object]:
    """Return the entries of a directory, and of the one inside it."""
    entries = {tag: _inner(value) for tag, value in tags.get_ifd(directory).items()}
    if entries.pop(INTEROPERABILITY, None) and (inner := tags.get_ifd(INTEROPERABILITY)):
        entries[INTEROPERABILITY] = {tag: _inner(value) for tag, value in inner.items()}
    return entries


def _writable(value: object) -> object:
    return _Text(value) if isinstance(value, str) else value


def _inner(value: object) -> object:
    """Return a value of a directory inside, whose bytes Pillow would call numbers."""
    return [bytearray(value)] if isinstance(value, bytes) else _writable(value)

"""Which of TIFF's tags describe a picture, as EXIF does; the others say how it is stored."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imgcodec.errors import ImageError
from imgcodec.format.exif import tiff_part
from imgcodec.pictures.pillow_guard import refusing, unlimited

DESCRIBING = (
    269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432,
    *range(40091, 40096), 50341,
)  # fmt: skip
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005  # directories; the last one is in the first
XMP = 700
_SUB_IFDS = 330
_PADDING = 59932  # of Windows
_TEXTS = (0x9286, 0x1B, 0x1C)  # a comment, and how and where GPS worked: bytes, but may be
_UNICODE = b"UNICODE\0"  # in the order of the numbers, behind this word
# Tags of TIFF itself; what does not describe the picture, or its colours, says how it is stored.
_OWN = {*range(254, 533)} - {301, 318, 319}


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


def as_tags(exif: bytes | None) -> Image.Exif:
    """Return what of EXIF data can stand among the tags of a TIFF file, nothing if damaged.

    Pillow writes such files with the low bytes first.
    """
    with unlimited(), suppress(ImageError), refusing():
        tags = Image.Exif()
        tags.load(exif or b"")
        tags.load(as_exif(tags) or b"")
        tags.update({tag: _writable(value) for tag, value in tags.items()})
        for directory in (EXIF, GPS):
            if entries := _entries(tags, directory, tags.endian == ">"):
                tags.get_ifd(directory).update(entries)
        return tags
    return Image.Exif()


def lost_tags(exif: bytes) -> list[int]:
    """Return which tags of EXIF data, besides those on storage, `as_tags` has no place for."""
    tags = Image.Exif()
    with unlimited(), suppress(ImageError), refusing():
        tags.load(exif)
        kept = {*DESCRIBING, EXIF, GPS, INTEROPERABILITY, XMP, _PADDING}
        return sorted(tag for tag in tags if tag not in kept and tag not in _OWN)
    return []


def _entries(tags: Image.Exif, directory: int, swapped: bool = False) -> dict[int, object]:
    """Return the entries of a directory, and of the one inside it; texts in the other order."""
    found = dict(tags.get_ifd(directory))
    for tag in _TEXTS if swapped else ():
        if isinstance(text := found.get(tag), bytes) and text.startswith(_UNICODE):
            found[tag] = _UNICODE + _other_order(text[len(_UNICODE) :])
    entries = {tag: _inner(value) for tag, value in found.items()}
    if entries.pop(INTEROPERABILITY, None) and (inner := tags.get_ifd(INTEROPERABILITY)):
        entries[INTEROPERABILITY] = {tag: _inner(value) for tag, value in inner.items()}
    return entries


def _other_order(words: bytes) -> bytes:
    """Return words of 16 bits with their bytes exchanged; an odd byte at the end stays."""
    found = bytearray(words)
    end = len(words) // 2 * 2
    found[:end:2], found[1:end:2] = words[1:end:2], words[:end:2]
    return bytes(found)


def _writable(value: object) -> object:
    return _Text(value) if isinstance(value, str) else value


def _inner(value: object) -> object:
    """Return a value of a directory inside, whose bytes Pillow would call numbers."""
    return [bytearray(value)] if isinstance(value, bytes) else _writable(value)

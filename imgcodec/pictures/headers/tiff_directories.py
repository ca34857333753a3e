"""Directories of TIFF files and EXIF data, taken from one place to another with all their bytes.

Nothing but pointers changes: to directories inside, and those in makers' notes.
"""

import struct
from collections.abc import Container, Mapping
from typing import IO, NamedTuple

import numpy as np

FIRST, EXIF, GPS, INTEROPERABILITY = 0, 0x8769, 0x8825, 0xA005  # by the tag that points to one
_INSIDE = {EXIF: FIRST, GPS: FIRST, INTEROPERABILITY: EXIF}  # which directory has that tag
ASCII, SHORT, LONG = 2, 3, 4  # TIFF's types, as the next ones
_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)  # of a value, by its type
_WIDTHS = (0, 1, 1, 2, 4, 4, 1, 1, 2, 4, 4, 4, 8, 4)  # of a number, of which RATIONALs have two
_POINTERS = {SHORT: 2, LONG: 4, 13: 4, 16: 8, 18: 8}  # types, and bytes; the last two of BigTIFF
_ORDERS = {b"II": "<", b"MM": ">"}
_ENTRY_BYTES = 12  # of others than BigTIFF
_BIG = 43  # the version of BigTIFF
_MOST_ENTRIES = 2**15
_NOTES = 0x927C  # what makers have in EXIF as they like
_HEADS = range(0, 14, 2)  # bytes before the directory in these
_MOST_NOTES = 512


class Entry(NamedTuple):
    """Values under a tag, in the order of bytes of their file."""

    kind: int
    data: bytes
    start: int = 0  # where they stood in the file; 0: in the directory
    stays: bool = False  # there, as its directory is written anew


Directory = Mapping[int, Entry]


class Structure(NamedTuple):
    """A file taken apart."""

    order: str  # of bytes, as `struct` names it
    directories: dict[int, dict[int, Entry]]  # without the pointers to each other


def read(
    file: IO[bytes], start: int | None = None, wanted: Container[int] | None = None
) -> Structure | None:
    """Return the directories of a TIFF or BigTIFF file, or of EXIF data, as far as they are whole.

    None: it is no such file.

    Args:
        file: to read.
        start: where the first directory that counts stands; None: as the file says.
        wanted: tags of that one whose values may be long; None: all of them.
    """
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    order = _ORDERS.get(head[:2])
    if order is None:
        return None
    big = struct.unpack_from(f"{order}H", head, 2)[0] == _BIG
    place = struct.unpack_from(f"{order}Q" if big else f"{order}I", head, 8 if big else 4)[0]
    found = {FIRST: _directory(file, order, big, place if start is None else start, wanted)}
    for tag, outer in _INSIDE.items():
        kind, data, *_ = found[outer].pop(tag, Entry(0, b""))
        found[tag] = {}
        if len(data) == _POINTERS.get(kind, 0) > 0:
            found[tag] = _directory(file, order, big, _number(data, order))
    return Structure(order, found)


def _directory(
    file: IO[bytes], order: str, big: bool, start: int, wanted: Container[int] | None = None
) -> dict[int, Entry]:
    size = left = file.seek(0, 2)
    form = struct.Struct(f"{order}HHQ8s" if big else f"{order}HHI4s")
    head = 8 if big else 2
    if not 0 < start < size:
        return {}
    file.seek(start)
    count = _number(file.read(head), order)
    table = file.read(min(count, _MOST_ENTRIES) * form.size)
    found: dict[int, Entry] = {}
    for tag, kind, number, data in form.iter_unpack(table[: len(table) // form.size * form.size]):
        length = number * (_BYTES[kind] if kind < len(_BYTES) else _POINTERS.get(kind, 0))
        place = 0
        if length > len(data):
            place = _number(data, order)
            if place + length > size or length > left:  # all of them are no more than the file
                continue
            if wanted is not None and tag not in wanted:
                continue
            left -= length
            file.seek(place)
            data = file.read(length)
        if length:
            found.setdefault(tag, Entry(kind, data[:length], place))
    return found


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, "little" if order == "<" else "big")


def staying(directory: Directory, swapped: bool) -> dict[int, Entry]:
    """Return a directory, without those inside, to be written anew in the same file.

    Args:
        directory: whose values stay where they are, if they can.
        swapped: whether the order of bytes becomes the other one.
    """
    found = {}
    for tag, entry in directory.items():
        width = _WIDTHS[entry.kind]
        found[tag] = entry._replace(stays=True)
        if swapped and width > 1:
            found[tag] = Entry(
                entry.kind, np.frombuffer(entry.data, f"u{width}").byteswap().tobytes()
            )
    return found


def written(order: str, directories: Mapping[int, Directory], start: int) -> bytes:
    """Return directories as they are at a place of a file, the first one first.

    Args:
        order: of bytes, that of their values.
        directories: as in a `Structure`; empty ones are left out.
        start: the place, even.
    """
    most = len(_BYTES)  # types from there on are those of BigTIFF
    left = {
        tag: {key: entry for key, entry in directories.get(tag, {}).items() if entry.kind < most}
        for tag in (FIRST, *_INSIDE)
    }
    for tag in reversed(_INSIDE):
        if left[tag]:
            left[_INSIDE[tag]][tag] = Entry(LONG, bytes(4))
    places = {}
    for tag, directory in left.items():
        places[tag] = start
        start += len(_packed(order, directory, start)) if directory else 0
    for tag, outer in _INSIDE.items():
        if left[tag]:
            left[outer][tag] = Entry(LONG, struct.pack(f"{order}I", places[tag]))
    return b"".join(_packed(order, part, places[tag]) for tag, part in left.items() if part)


def _packed(order: str, directory: Directory, start: int) -> bytes:
    place = start + 2 + _ENTRY_BYTES * len(directory) + 4
    table, behind = struct.pack(f"{order}H", len(directory)), b""
    for tag, (kind, data, before, stays) in sorted(directory.items()):
        number = len(data) // _BYTES[kind]
        if len(data) > 4:
            here = before if stays else place + len(behind)
            if not stays:
                behind += moved(data, before, here) if tag == _NOTES else data
                behind += bytes(len(behind) % 2)
            data = struct.pack(f"{order}I", here)
        table += struct.pack(f"{order}HHI4s", tag, kind, number, data)
    return table + bytes(4) + behind


def moved(notes: bytes, before: int, place: int) -> bytes:
    """Return makers' notes that stand elsewhere, which point into themselves as they did.

    Those of some makers, as Canon, count from the start of the file; those of others from their
    own, and stay as they are.

    Args:
        notes: as they were.
        before: where they stood.
        place: where they stand.
    """
    found = bytearray(notes)
    for order, pointer, value in _pointers(notes, before):
        struct.pack_into(f"{order}I", found, pointer, value - before + place)
    return bytes(found)


def _pointers(notes: bytes, start: int) -> list[tuple[str, int, int]]:
    """Return the order, place and value of pointers from the start of what holds the notes."""
    for order in "<>":
        for head in _HEADS:
            count = _number(notes[head : head + 2], order)
            end = head + 2 + _ENTRY_BYTES * count
            if not 0 < count <= _MOST_NOTES or end > len(notes):
                continue
            found, sane = [], True
            for at in range(head + 2, end, _ENTRY_BYTES):
                _, kind, number, value = struct.unpack_from(f"{order}HHII", notes, at)
                size = number * (_BYTES[kind] if kind < len(_BYTES) else 0)
                inside = end <= value - start <= len(notes) - size
                sane &= size > 0 and (size <= 4 or inside)
                found += [(order, at + 8, value)] if size > 4 else []
            if sane:
                return found
    return []

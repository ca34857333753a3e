"""Files of opened pictures, and what they are made of: boxes, and chunks of PNG."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, TypeVar

from PIL import Image

MOST_BOXES, MOST_CHUNKS = 1000, 100_000  # what is behind them is not looked at
_Parts = Iterator[tuple[bytes, int, int]]  # of each its kind, and where its data start and end
_Found = TypeVar("_Found")


def asked(
    picture: Image.Image, ways: Mapping[str, Callable[[IO[bytes]], Iterable[_Found]]]
) -> list[_Found]:
    """Return what is found in the file of a picture, which stays at its position.

    Args:
        picture: opened; of one that is loaded, nothing is found.
        ways: of looking for it, by the picture's format.
    """
    ask = ways.get(picture.format or "")
    file: Any = getattr(picture, "fp", None)
    if ask is None or file is None:
        return []
    before = file.tell()
    try:
        return list(ask(file))
    finally:
        file.seek(before)


def boxes(file: IO[bytes], start: int = 0, end: int | None = None) -> _Parts:
    """Yield the boxes in a file, or in a part of it."""
    end = file.seek(0, 2) if end is None else end
    for _ in range(MOST_BOXES):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        first = start + 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            first += 8
        last = start + length if length else end
        if not first <= last <= end:
            return
        yield kind, first, last
        start = last


def boxes_of_jpeg_2000(file: IO[bytes]) -> _Parts:
    """Yield the boxes of a file, and in place of its header those that are in it."""
    for kind, first, last in boxes(file):
        if kind == b"jp2h":
            yield from boxes(file, first, last)
        else:
            yield kind, first, last


def chunks(file: IO[bytes]) -> _Parts:
    """Yield the chunks of a PNG file, each as its data are next to be read."""
    end = 4
    for _ in range(MOST_CHUNKS):
        file.seek(end + 4)  # behind its checksum
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        start = file.tell()
        end = start + size
        yield kind, start, end

"""The mark of a JPEG file that holds its picture at half the width and height.

It is a segment of application data, with the size that the picture had. What does not know it
shows the file at the size that it has.
"""

from collections.abc import Iterator

MARKER = b"\xff\xea"  # APP10, which is hardly used
_NAME = b"aic half\0"
_SIDE_BYTES = 4
_LENGTH = 2 + len(_NAME) + 2 * _SIDE_BYTES


def half(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of a picture of half the size."""
    return -(-height // 2), -(-width // 2)


def marked(data: bytes, height: int, width: int) -> bytes:
    """Return a JPEG file with the mark.

    Args:
        data: the file, without one.
        height: of the picture at its whole size, pixels.
        width: the same.
    """
    place = 2
    for start, end in _segments(data):
        if not 0xE0 <= data[start + 1] <= 0xEF:
            break
        place = end
    sides = b"".join(side.to_bytes(_SIDE_BYTES, "big") for side in (height, width))
    segment = MARKER + _LENGTH.to_bytes(2, "big") + _NAME + sides
    return data[:place] + segment + data[place:]


def whole(data: bytes, height: int, width: int) -> tuple[int, int] | None:
    """Return the height and width that the picture of a JPEG file had; None: those of the file.

    Args:
        data: the file.
        height: of it. Where a mark names a size of which this is no half, it is not heeded:
            another program has made the file smaller, or a part of it.
        width: the same.
    """
    start = MARKER + _LENGTH.to_bytes(2, "big") + _NAME
    for first, last in _segments(data):
        if data.startswith(start, first):
            sides = data[first + len(start) : last]
            found = (
                int.from_bytes(sides[:_SIDE_BYTES], "big"),
                int.from_bytes(sides[_SIDE_BYTES:], "big"),
            )
            if half(*found) == (height, width):
                return found
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where segments before the first scan start and end."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != 0xDA:
        end = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4], "big"))
        yield start, end
        start = end

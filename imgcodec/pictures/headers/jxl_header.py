"""The start of a JPEG XL file (ISO/IEC 18181-1): what is known of it before it is decoded.

The plugin of Pillow decodes all pixels as it opens a file. So this says first how many there are.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from imgcodec.errors import ImageError
from imgcodec.pictures.headers.parts import boxes

_BARE, _BOXED = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))  # bits that follow, and what is added to them
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width : height
_ENOUGH_BYTES = 2**14  # for all that is read here, with names of channels
_ALPHA, _SPOT, _MOSAIC = 0, 2, 5  # kinds of further channels: a colour, that of a sensor's place

_NAMES = ((0, 0), (0, 1), (4, 2), (6, 18))  # how a number that stands for a name is written
_SRGB = {0: [1, 1], 1: [1]}  # white and primaries, by whether it is grey, which has no primaries
_CURVE = 13  # that of sRGB


class Header(NamedTuple):
    """What the header says."""

    height: int
    width: int
    animated: bool
    bits: int  # of a colour sample
    orientation: int  # as EXIF counts; which EXIF says, does not count
    extra: int = 0  # channels besides the colours, as alpha
    premultiplied: bool = False  # colours, with alpha


def is_jxl(start: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a JPEG XL file."""
    return start.startswith((_BARE, _BOXED))


def read(data: bytes) -> Header:
    """Read the header of a file.

    Raises:
        ImageError: there is none.
    """
    bits = _Bits(_codestream(data))
    height, width = _size(bits)
    animated, depth, orientation, extra, premultiplied = False, 8, 1, 0, False
    if not bits.take(1):  # all_default
        orientation, animated = _extra_fields(bits)
        depth, extra = _samples(bits)
        premultiplied = next(_alphas(bits, extra), False)
    return Header(height, width, animated, depth, orientation, extra, premultiplied)


def is_srgb(data: bytes) -> bool:
    """Whether a file says, without a profile, that its colours are those of sRGB."""
    with suppress(ImageError):
        bits = _Bits(_codestream(data))
        _size(bits)
        if bits.take(1):  # all_default
            return True
        _extra_fields(bits)
        _, extra = _samples(bits)
        for _ in _alphas(bits, extra):
            pass
        bits.take(1)  # how colours are coded
        if bits.take(1):  # all_default
            return True
        if bits.take(1):  # a profile follows
            return False
        space = bits.choose(_NAMES)
        names = [bits.choose(_NAMES) for _ in _SRGB.get(space, ())]
        return names == _SRGB.get(space) and not bits.take(1) and bits.choose(_NAMES) == _CURVE
    return False


def turned(data: bytes) -> int | None:
    """Return the orientation that a decoder of pixels applies; None: of a JPEG file inside.

    That one is decoded as it is, and its EXIF data say how it is to be turned.
    """
    if any(kind == b"jbrd" for kind, _, _ in boxes(io.BytesIO(data))):
        return None
    return read(data).orientation


class _Bits:
    """Bits from the lowest of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data[:_ENOUGH_BYTES], "little")
        self._left = 8 * len(data[:_ENOUGH_BYTES])

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise ImageError("the JPEG XL header is cut off")
        found = self._number & ((1 << count) - 1)
        self._number >>= count
        return found

    def choose(self, ways: Sequence[tuple[int, int]]) -> int:
        """Return a number that is written in one of four ways."""
        count, offset = ways[self.take(2)]
        return self.take(count) + offset


def _size(bits: _Bits) -> tuple[int, int]:
    """Return height and width."""
    small = bits.take(1)

    def side() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.choose(_SIDE)

    height = side()
    ratio = bits.take(3)
    if ratio == 0:
        return height, side()
    across, down = _RATIOS[ratio - 1]
    return height, height * across // down


def _extra_fields(bits: _Bits) -> tuple[int, bool]:
    """Return the orientation, and whether it is an animation."""
    orientation, animated = 1, False
    if bits.take(1):  # extra_fields
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)  # intrinsic size
        if bits.take(1):
            raise ImageError("JPEG XL with a preview is not handled")
        animated = bool(bits.take(1))
        if animated:
            _skip_animation(bits)
    return orientation, animated


def _samples(bits: _Bits) -> tuple[int, int]:
    """Return how many bits a colour sample has, and how many further channels there are."""
    depth = _depth(bits)
    bits.take(1)  # how a decoder may hold samples
    return depth, bits.choose(((0, 0), (0, 1), (4, 2), (12, 1)))


def _depth(bits: _Bits) -> int:
    """Return how many bits a sample has."""
    is_float = bits.take(1)
    usual = (32, 16, 24) if is_float else (8, 10, 12)
    depth = bits.choose((*((0, most) for most in usual), (6, 1)))
    bits.take(4 * is_float)  # of the exponent
    return depth


def _alphas(bits: _Bits, extra: int) -> Iterator[bool]:
    """Yield of each alpha among further channels whether colours are multiplied with it."""
    for _ in range(extra):
        if bits.take(1):  # all as usual: alpha, with which nothing is
            yield False
            continue
        kind = bits.choose(_NAMES)
        _depth(bits)
        bits.choose(((0, 0), (0, 3), (0, 4), (3, 1)))  # how coarse it is
        bits.take(8 * bits.choose(((0, 0), (4, 0), (5, 16), (10, 48))))  # its name
        if kind == _ALPHA:
            yield bool(bits.take(1))
        bits.take(64 * (kind == _SPOT))
        if kind == _MOSAIC:
            bits.choose(((0, 1), (2, 0), (4, 3), (8, 19)))


def _skip_animation(bits: _Bits) -> None:
    bits.choose(((0, 100), (0, 1000), (10, 1), (30, 1)))  # ticks a second, over
    bits.choose(((0, 1), (0, 1001), (8, 1), (10, 1)))
    bits.choose(((0, 0), (3, 0), (16, 0), (32, 0)))  # loops
    bits.take(1)  # timecodes


def _codestream(data: bytes) -> bytes:
    """Return the codestream from its size on, as much of it as is needed."""
    if not data.startswith(_BOXED):
        return data.removeprefix(_BARE)
    found, position = b"", 0
    while position + 16 <= len(data) and len(found) < _ENOUGH_BYTES:
        length, kind, longer = struct.unpack_from(">I4sQ", data, position)
        start = position + (16 if length == 1 else 8)
        end = {0: len(data), 1: position + longer}.get(length, position + length)
        if end < start:
            break
        if kind in (b"jxlc", b"jxlp"):
            start += 4 * (kind == b"jxlp")  # the number of the part
            found += data[start : min(end, start + 2 + _ENOUGH_BYTES)]
        position = end
    return found.removeprefix(_BARE)

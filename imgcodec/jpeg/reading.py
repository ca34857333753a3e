"""JPEG file -> its coefficients, for what makes pictures of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import DamageError, ImageError
from imgcodec.format import container
from imgcodec.jpeg import scan_reader, scans, syntax
from imgcodec.jpeg.syntax import ZIGZAG


class Plane(NamedTuple):
    """One component of a picture."""

    blocks: NDArray[np.int16]  # (rows, columns, 64) quantised, frequencies in zigzag order
    steps: NDArray[np.int64]  # (64,) of the quantiser, in zigzag order
    factors: tuple[int, int]  # luma samples for each of its own (down, across)

    def coefficients(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return quantised coefficients of some blocks, (64, h, w), frequencies row by row."""
        part = self.blocks[rows, columns]
        result = np.empty((64, *part.shape[:2]), np.float32)
        result[ZIGZAG] = part.transpose(2, 0, 1)
        return result

    @property
    def table(self) -> NDArray[np.float32]:
        """Steps, frequencies row by row."""
        result = np.empty(64, np.float32)
        result[ZIGZAG] = self.steps
        return result


class Coefficients(NamedTuple):
    """What a JPEG file says of a picture: Y, or Y, Cb and Cr."""

    height: int  # pixels
    width: int
    planes: tuple[Plane, ...]


def read(data: bytes, max_pixels: int = container.MAX_PIXELS) -> Coefficients:
    """Return the coefficients of a JPEG file of grey, or of Y, Cb and Cr.

    Colours may have a half of the resolution, in either direction or both.

    Raises:
        AicError: more pixels than that.
        DamageError: a part of its coded data is missing, or makes no sense.
        HollowError: it has far too few bytes for its pixels.
        ImageError: no JPEG file, or of a kind that is not read.
    """
    parts = syntax.read(data)
    frame = parts.frame
    blocks = scans.empty(frame, len(data), max_pixels)
    factors = _factors(parts)
    if any((steps == 0).any() for steps in parts.steps):
        raise ImageError("a quantisation table with a step of zero")
    _decode(parts, blocks)
    planes = tuple(
        Plane(
            blocks[c.first : c.first + c.num_blocks].reshape(c.rows, c.columns, 64),
            steps,
            its,
        )
        for c, steps, its in zip(frame.components, parts.steps, factors, strict=True)
    )
    return Coefficients(frame.height, frame.width, planes)


def check(data: bytes, max_pixels: int = container.MAX_PIXELS) -> None:
    """Refuse a JPEG file whose coded data are damaged, also of colours that `read` does not know.

    That takes 2 bytes a coefficient, and some 200 MB.

    Raises:
        AicError: as by `read`.
    """
    parts = syntax.read(data)
    _decode(parts, scans.empty(parts.frame, len(data), max_pixels))


def lacking(data: bytes) -> tuple[str, ...]:
    """Say what a JPEG file lacks of which `read` or `check` found the whole picture."""
    return () if syntax.read(data).ended else ("lacks its end, but no part of its picture",)


def _decode(parts: syntax.Parts, blocks: scans.Blocks) -> None:
    if not (parts.ended or parts.complete):
        raise DamageError("it ends before its last scan")
    for scan in parts.scans:
        scan_reader.decode(scan, parts.frame, blocks)


def _factors(parts: syntax.Parts) -> list[tuple[int, int]]:
    """Return what `Plane.factors` says, or refuse colours that are none of those known."""
    components = parts.frame.components
    if len(components) == 1:
        return [(1, 1)]
    if len(components) != 3:
        kind = " (CMYK)" if len(components) == 4 else ""
        raise ImageError(f"{len(components)} components{kind} are not supported")
    if parts.colours != syntax.YCC:
        raise ImageError("its colours are RGB, not Y, Cb and Cr, which is not supported")
    luma = components[0]
    found = [(luma.down / c.down, luma.across / c.across) for c in components]
    if found[1] != found[2] or not set(found[1]) <= {1, 2}:
        told = ", ".join(f"{c.across}x{c.down}" for c in components)
        raise ImageError(f"sampling factors {told} are not supported")
    return [(int(down), int(across)) for down, across in found]

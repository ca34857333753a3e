"""Regions of interest: where errors weigh more, so that bits go there.

Levels are logarithms of how much an error matters: one level more halves the squared error that a
place may have. So an error that weighs w times as much is worth log2(w) levels.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from imgcodec.errors import AicError, check_number
from imgcodec.format.tiles import Box
from imgcodec.metrics import psnr
from imgcodec.pictures.arrays import as_array, as_colour, check_samples

PLACE = 8  # pixels a side
DEFAULT_WEIGHT = 8.0
MOST_WEIGHT = 1024.0
HELPING = 64.0  # beyond it levels leave what was trained: the rest gets far worse, for nothing
ROWS_AT_ONCE = 128  # places: a mask of a large picture is summed up piece by piece


@dataclass(frozen=True, slots=True)
class Roi:
    """By how many levels each place of a picture is moved, float32 (ceil(H/8), ceil(W/8))."""

    shifts: NDArray[np.float32]
    raised: bool = True  # whether the region is where they are larger, not smaller
    size: tuple[int, int] | None = None  # height and width in pixels; None: any of these places

    def __post_init__(self) -> None:
        """Refuse what moves a level nowhere."""
        if not np.isfinite(self.shifts).all():
            raise AicError("a region of interest that moves levels by nan or inf")

    @classmethod
    def box(cls, height: int, width: int, inner: Box, weight: float = DEFAULT_WEIGHT) -> "Roi":
        """Return the region of a box of pixels in a picture of that size.

        Errors count `weight` times in it, 1/1024 to 1024; beyond 1/64 and 64 as much as there.

        Raises:
            AicError: it does not lie in the picture, or the weight is out of range.
        """
        if not (inner.left < inner.right and inner.top < inner.bottom):
            raise AicError("the region of interest has no pixels")
        if min(inner.left, inner.top) < 0 or inner.right > width or inner.bottom > height:
            raise AicError(f"the region of interest leaves the picture, {width}x{height} pixels")
        shares = []
        for start, end, size in (
            (inner.top, inner.bottom, height),
            (inner.left, inner.right, width),
        ):
            edges = np.arange(0, size, PLACE)
            covered = np.minimum(end, edges + PLACE) - np.maximum(start, edges)
            shares.append(np.clip(covered, 0, None) / np.minimum(PLACE, size - edges))
        return cls._of_shares(np.outer(*shares), (height, width), weight)

    @classmethod
    def mask(
        cls, mask: NDArray[np.uint8] | NDArray[np.bool_], weight: float = DEFAULT_WEIGHT
    ) -> "Roi":
        """Return the region that a mask (H, W) shows: where it is 255 `weight`, where 0 once.

        Args:
            mask: uint8, or bool: true is 255.
            weight: how many times errors count there, see `box`.

        Raises:
            AicError: the mask is no such array, or the weight is out of range.
        """
        kind = getattr(mask, "dtype", None)
        if kind not in (np.uint8, np.bool_) or mask.ndim != 2 or not mask.size:
            shape = "" if kind is None else f" {kind} {mask.shape}"
            raise AicError(f"a mask{shape or ' of ' + type(mask).__name__}, wanted uint8 (H, W)")
        mask = as_array(mask)
        if kind == np.bool_:
            mask = mask * np.uint8(255)
        height, width = mask.shape
        columns = np.arange(0, width, PLACE)
        shares = np.empty((-(-height // PLACE), len(columns)))
        for first in range(0, len(shares), ROWS_AT_ONCE):
            part = mask[PLACE * first : PLACE * (first + ROWS_AT_ONCE)].astype(np.float64)
            rows = np.arange(0, len(part), PLACE)
            sums = np.add.reduceat(np.add.reduceat(part, rows, 0), columns, 1)
            counts = np.outer(
                np.minimum(PLACE, len(part) - rows), np.minimum(PLACE, width - columns)
            )
            shares[first : first + len(rows)] = sums / counts / 255
        return cls._of_shares(shares, (height, width), weight)

    @classmethod
    def _of_shares(
        cls, shares: NDArray[np.float64], size: tuple[int, int], weight: float
    ) -> "Roi":
        wanted = f"1/{MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
        check_number("weight", weight, wanted)
        if not 1 / MOST_WEIGHT <= weight <= MOST_WEIGHT:
            raise AicError(f"weight {weight}, wanted {wanted}")
        octaves = math.log2(min(max(weight, 1 / HELPING), HELPING)) * shares
        # both sides of the usual level alike: what is trained lies around it
        middle = (octaves.min() + octaves.max()) / 2
        shifts = np.round(octaves) - np.round(middle)
        return cls(shifts.astype(np.float32), weight >= 1, size)

    def fits(self, height: int, width: int) -> bool:
        """Whether it is that of a picture of so many pixels."""
        places = -(-height // PLACE), -(-width // PLACE)
        return self.shifts.shape == places and self.size in (None, (height, width))

    def psnrs(
        self, picture: NDArray[np.uint8] | Image, decoded: NDArray[np.uint8] | Image
    ) -> tuple[float, float]:
        """Return the PSNR in dB of a decoded picture inside and outside of the region.

        Of a region that is all of the picture, or weighs as much as the rest, nan is outside.

        Args:
            picture: uint8 (H, W, 3) or (H, W), or a PIL image of mode RGB or L.
            decoded: the same.

        Raises:
            AicError: they are no such arrays, of another size than the region, or differ in size.
        """
        one, other = as_array(picture), as_array(decoded)
        for samples in (one, other):
            check_samples(samples)
        height, width = one.shape[:2]
        if not self.fits(height, width) or other.shape[:2] != (height, width):
            raise AicError(f"a picture of {width}x{height} pixels, the others are of another size")
        pixels = np.repeat(np.repeat(self.shifts, PLACE, 0), PLACE, 1)[:height, :width]
        middle = (self.shifts.min() + self.shifts.max()) / 2
        inside = pixels > middle if self.raised else pixels < middle
        one, other = as_colour(one), as_colour(other)
        if not inside.any():
            return psnr(one, other), math.nan
        return psnr(one[inside], other[inside]), psnr(one[~inside], other[~inside])

    def within(self, places: Box) -> NDArray[np.float32]:
        """Return the shifts of a box of places."""
        return self.shifts[places.top : places.bottom, places.left : places.right]

"""A quality that a file is to have, measured of a picture that may come in parts."""

import math

import numpy as np
import torch

from imgcodec.errors import AicError
from imgcodec.format.tiles import Box
from imgcodec.metrics import PEAK, as_planes, as_samples, ms_ssim_db, psnr, ssimulacra2_db
from imgcodec.perceptual import ms_ssim
from imgcodec.perceptual.ssimulacra2 import MIN_SIDE, SCALES, impairment_of, moments, score_of
from imgcodec.pictures.arrays import ByteArray
from imgcodec.runtime.forks import undivided

Inner = tuple[slice, slice]
BLOCK, HALO = 512, 96  # pixels that are measured at once, and what is looked at around them
SIDES = {
    "psnr": ("PSNR", 1),
    "ms_ssim": ("MS-SSIM", ms_ssim.MIN_SIDE),
    "ssimulacra2": ("SSIMULACRA 2", MIN_SIDE),
}


class Quality:
    """What has been seen of a picture, and how good that is."""

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        """Take psnr, ms_ssim or ssimulacra2, and the shape of the whole picture."""
        self._kind, self._shape = kind, shape
        self._errors, self._weight = 0.0, 0
        self._moments = torch.zeros(1, 3, SCALES, 2, 3, dtype=torch.float64)
        self._weights = torch.zeros(SCALES, dtype=torch.float64)  # of each scale
        self._alike = torch.zeros(len(ms_ssim.WEIGHTS), 1, 3, dtype=torch.float64)
        self._places = torch.zeros(len(ms_ssim.WEIGHTS), 1, 1, dtype=torch.float64)

    @undivided()
    def add(self, original: ByteArray, decoded: ByteArray, inner: Inner | None = None) -> None:
        """Take a part; of a picture too small to be measured, nothing is.

        Args:
            original: uint8 (H, W, 3) or (H, W).
            decoded: like it.
            inner: rows and columns of the part itself, begun at multiples of 32; None: all. What
                lies around helps to see it.
        """
        inner = inner or (slice(0, original.shape[0]), slice(0, original.shape[1]))
        if min(original.shape[:2]) < SIDES[self._kind][1]:
            return
        size = original[inner].size
        self._weight += size
        if self._kind == "psnr":
            self._errors += size * 10 ** (-psnr(original[inner], decoded[inner]) / 10)
            return
        with torch.inference_mode():
            if self._kind == "ms_ssim":
                samples = as_samples(original), as_samples(decoded)
                found = ms_ssim.means(*samples, PEAK, inner)
                places = torch.tensor(found.places)[:, None, None]
                self._alike += places * found.alike
                self._places += places
            else:
                means = moments(as_planes(original), as_planes(decoded), inner)
                scales = means.shape[2]
                self._moments[:, :, :scales] += size * means
                self._weights[:scales] += size

    @property
    def decibels(self) -> float:
        """The quality on its scale, see `Target`.

        Raises:
            AicError: the picture is too small for it.
        """
        if not self._weight:
            name, side = SIDES[self._kind]
            raise AicError(
                f"{name} is defined from {side} pixels a side on,"
                f" this picture has {self._shape[1]}x{self._shape[0]}"
            )
        if self._kind == "ssimulacra2":
            weights = self._weights[self._weights > 0]
            means = self._moments[:, :, : len(weights)] / weights[:, None, None]
            return ssimulacra2_db(float(score_of(impairment_of(means))))
        if self._kind == "ms_ssim":
            return ms_ssim_db(float(ms_ssim.joined(self._alike / self._places)))
        return -10 * math.log10(max(self._errors / self._weight, 1e-20))


class Strips:
    """The quality of a picture that comes from top to bottom, measured block by block."""

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        """Take psnr, ms_ssim or ssimulacra2, and the shape of the whole picture."""
        self._quality = Quality(kind, shape)
        self._height, self._width = shape[:2]
        self._due = [
            Box(top, left, bottom, right)
            for top, bottom in _cuts(self._height)
            for left, right in _cuts(self._width)
        ]
        self._kept: list[ByteArray] = []  # rows of the original and of what is decoded
        self._top = 0  # row of the picture where they begin

    def take(self, original: ByteArray, decoded: ByteArray) -> None:
        """Take the next rows, uint8 (h, W, 3) or (h, W) both."""
        new = [original, decoded]
        if self._kept:
            new = [np.concatenate(rows) for rows in zip(self._kept, new, strict=True)]
        while self._due:
            box = self._due[0]
            outer = box.grown(HALO, self._height, self._width)
            if self._top + len(new[0]) < outer.bottom:
                break
            rows = slice(outer.top - self._top, outer.bottom - self._top)
            seen = (rows, slice(outer.left, outer.right))
            self._quality.add(new[0][seen], new[1][seen], box.within(outer))
            self._due.pop(0)
            new, self._top = [part[rows.start :] for part in new], outer.top
        self._kept = [part.copy() for part in new]

    @property
    def decibels(self) -> float:
        """See `Quality.decibels`; of a picture that has come as a whole."""
        return self._quality.decibels


def _cuts(side: int) -> list[tuple[int, int]]:
    """Return where the blocks along a side begin and end; the last one is no narrow strip."""
    starts = range(0, max(side - BLOCK // 2, 1), BLOCK)
    return list(zip(starts, [*starts[1:], side], strict=True))

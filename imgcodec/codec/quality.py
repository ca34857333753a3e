"""A quality that a file is to have, measured of a picture that may come in parts."""

import math

import torch

from imgcodec.errors import AicError
from imgcodec.metrics import (
    MS_SSIM_MIN_SIDE,
    as_planes,
    ms_ssim,
    ms_ssim_db,
    psnr,
    ssimulacra2_db,
)
from imgcodec.perceptual.ssimulacra2 import MIN_SIDE, SCALES, impairment_of, moments, score_of
from imgcodec.pictures.arrays import ByteArray
from imgcodec.runtime.forks import undivided

Inner = tuple[slice, slice]
SIDES = {
    "psnr": ("PSNR", 1),
    "ms_ssim": ("MS-SSIM", MS_SSIM_MIN_SIDE),
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

    @undivided()
    def add(self, original: ByteArray, decoded: ByteArray, inner: Inner | None = None) -> None:
        """Take a part; one too small to be measured is left out.

        Args:
            original: uint8 (H, W, 3) or (H, W).
            decoded: like it.
            inner: rows and columns of the part itself, begun at multiples of 32; None: all. What
                lies around helps to see it.
        """
        inner = inner or (slice(0, original.shape[0]), slice(0, original.shape[1]))
        if self._kind == "ssimulacra2":
            self._add_moments(original, decoded, inner)
            return
        original, decoded = original[inner], decoded[inner]
        if self._kind == "psnr":
            error = 10 ** (-psnr(original, decoded) / 10)
        else:
            similarity = ms_ssim(original, decoded)
            if similarity is None:
                return
            error = 1 - similarity
        self._errors += original.size * error
        self._weight += original.size

    def _add_moments(self, original: ByteArray, decoded: ByteArray, inner: Inner) -> None:
        if min(original.shape[:2]) < MIN_SIDE:
            return
        size = original[inner].size
        with torch.inference_mode():
            found = moments(as_planes(original), as_planes(decoded), inner)
        scales = found.shape[2]
        self._moments[:, :, :scales] += size * found
        self._weights[:scales] += size
        self._weight += size

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
        error = self._errors / self._weight
        return (
            ms_ssim_db(1 - error)
            if self._kind == "ms_ssim"
            else -10 * math.log10(max(error, 1e-20))
        )

"""How large and how good: bits per pixel, PSNR, MS-SSIM, SSIMULACRA 2, CVVDP, and BD-rates."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import AicError

if TYPE_CHECKING:
    from torch import Tensor

PEAK = 255  # largest sample


def bpp(num_bytes: int, height: int, width: int) -> float:
    """Return the bits per pixel of a whole file over the true size of its picture."""
    return 8 * num_bytes / (height * width)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the PSNR in dB over all samples of two pictures together, inf when equal.

    Args:
        a: uint8 (H, W, 3) or (H, W).
        b: like `a`.
    """
    _check_pair(a, b)
    total = 0
    for row_a, row_b in zip(a, b, strict=True):  # by rows: no second picture in memory
        difference = row_a.astype(np.int64) - row_b
        total += int(np.sum(difference * difference))
    return math.inf if total == 0 else 10 * math.log10(PEAK**2 * a.size / total)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the MS-SSIM (0..1) of two pictures, None where a side is too short for it.

    Args:
        a: uint8 (H, W, 3) or (H, W).
        b: like `a`.
    """
    _check_pair(a, b)
    import torch

    from imgcodec.perceptual.ms_ssim import MIN_SIDE, ms_ssim

    if min(a.shape[:2]) < MIN_SIDE:
        return None
    with torch.inference_mode():
        return float(ms_ssim(as_samples(a), as_samples(b), PEAK))


def ms_ssim_db(value: float) -> float:
    """Return an MS-SSIM on the scale -10 log10(1 - value), inf for 1."""
    return math.inf if value >= 1 else -10 * math.log10(1 - value)


def ssimulacra2(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the SSIMULACRA 2 of two pictures, 100 when equal, None where a side is too short.

    Args:
        a: the original, uint8 (H, W, 3) or (H, W).
        b: like `a`.
    """
    _check_pair(a, b)
    import torch

    from imgcodec.perceptual.ssimulacra2 import MIN_SIDE, ssimulacra2

    if min(a.shape[:2]) < MIN_SIDE:
        return None
    if np.array_equal(a, b):  # of which rounding would take up to 0.2 points
        return 100.0
    with torch.inference_mode():
        return float(ssimulacra2(as_planes(a), as_planes(b)))


def ssimulacra2_db(score: float) -> float:
    """Return an SSIMULACRA 2 on a scale of decibels, 0 for 0 and inf for 100.

    That of the impairment, which can be averaged over parts of a picture. It grows evenly with the
    fineness of steps, as a PSNR does.
    """
    from imgcodec.perceptual.ssimulacra2 import POWER

    return math.inf if score >= 100 else -10 / POWER * math.log10(1 - score / 100)


def cvvdp(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the CVVDP of two pictures in JOD, 10 when equal, None where a side is too short.

    As seen on a 4k screen of 30 inches, see `imgcodec.perceptual.cvvdp`.

    Args:
        a: the original, uint8 (H, W, 3) or (H, W).
        b: like `a`.
    """
    _check_pair(a, b)
    import torch

    from imgcodec.perceptual.cvvdp import MIN_SIDE, cvvdp

    if min(a.shape[:2]) < MIN_SIDE:
        return None
    with torch.inference_mode():
        return float(cvvdp(as_planes(a), as_planes(b)))


def as_samples(image: NDArray[np.uint8]) -> "Tensor":
    """Return a picture as (1, C, H, W) float32, 0..255.

    Args:
        image: uint8 (H, W, 3) or (H, W).
    """
    import torch

    planes = np.atleast_3d(image).transpose(2, 0, 1)[np.newaxis]
    return torch.from_numpy(planes.astype(np.float32))


def as_planes(image: NDArray[np.uint8]) -> "Tensor":
    """Return a picture as (1, 3, H, W) float32, 0..1; grey ones have three equal planes.

    Args:
        image: uint8 (H, W, 3) or (H, W).
    """
    return (as_samples(image) / PEAK).expand(-1, 3, -1, -1)


def pchip() -> Any:
    """Return what interpolates the curves of BD-rates.

    Raises:
        AicError: the package is not installed.
    """
    try:
        from scipy.interpolate import PchipInterpolator
    except ImportError as error:
        raise AicError("BD-rates need pip install 'imgcodec[bench]'") from error
    return PchipInterpolator


def bd_rate(
    rates_a: Sequence[float],
    psnrs_a: Sequence[float],
    rates_b: Sequence[float],
    psnrs_b: Sequence[float],
    within: tuple[float, float] = (-math.inf, math.inf),
) -> float:
    """Return how many percent more bits b takes than the anchor a at equal quality.

    The logarithm of the rate is interpolated over the quality (PCHIP) and averaged over all
    the quality that both curves cover within bounds. Any quality that grows with the rate will do.

    Raises:
        ValueError: the curves have no quality in common, or are no curves.
        AicError: scipy is not installed.
    """
    low = max(min(psnrs_a), min(psnrs_b), within[0])
    high = min(max(psnrs_a), max(psnrs_b), within[1])
    if not low < high:
        raise ValueError(f"no quality in common: it would span {low:g} to {high:g}")
    area = _log_rate_area(rates_b, psnrs_b, low, high) - _log_rate_area(
        rates_a, psnrs_a, low, high
    )
    return 100 * math.expm1(area / (high - low))


def _log_rate_area(
    rates: Sequence[float], psnrs: Sequence[float], low: float, high: float
) -> float:
    """Integrate log rate over quality from `low` to `high`; the points come in any order."""
    order = np.argsort(psnrs)
    quality = np.asarray(psnrs, dtype=np.float64)[order]
    rate = np.asarray(rates, dtype=np.float64)[order]
    if not (np.all(np.isfinite(quality)) and np.all(np.diff(quality) > 0) and np.all(rate > 0)):
        raise ValueError("a curve needs distinct finite qualities and rates above 0")
    return float(pchip()(quality, np.log(rate)).integrate(low, high))


def _check_pair(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Refuse two arrays that are not pictures of one size."""
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim not in (2, 3):
        raise ValueError(f"{a.dtype} {a.shape} against {b.dtype} {b.shape}, wanted equal uint8")

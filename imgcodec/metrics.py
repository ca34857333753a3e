"""How large and how good: bits per pixel, PSNR, MS-SSIM and the BD-rate between two codecs."""

import math
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import AicError

PEAK = 255  # largest sample
MS_SSIM_MIN_SIDE = 161  # pixels; four halvings must leave more than its window of 11


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
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    import torch

    from imgcodec.model.ms_ssim import ms_ssim

    def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
        planes = np.atleast_3d(image).transpose(2, 0, 1)[np.newaxis]  # (1, C, H, W)
        return torch.from_numpy(planes.astype(np.float32))

    with torch.inference_mode():
        return float(ms_ssim(tensor(a), tensor(b), PEAK))


def ms_ssim_db(value: float) -> float:
    """Return an MS-SSIM on the scale -10 log10(1 - value), inf for 1."""
    return math.inf if value >= 1 else -10 * math.log10(1 - value)


def ssimulacra2() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]:
    """Return what measures SSIMULACRA 2 of two pictures uint8 (H, W, 3): 100 is the same.

    Raises:
        AicError: the package is not installed.
    """
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError as error:
        raise AicError("SSIMULACRA 2 needs pip install 'imgcodec[peers]'") from error

    def measure(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        _check_pair(a, b)
        return float(compute_ssimulacra2(_as_file(a), _as_file(b)))

    return measure


def _as_file(image: NDArray[np.uint8]) -> BytesIO:
    """Return a picture (H, W, 3) as a file of the simplest format."""
    head = f"P6 {image.shape[1]} {image.shape[0]} {PEAK}\n".encode()
    return BytesIO(head + image.tobytes())


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
) -> float:
    """Return how many percent more bits b takes than the anchor a at equal quality.

    The logarithm of the rate is interpolated over the quality (PCHIP) and averaged over all
    the quality that both curves cover. Any quality that grows with the rate will do.

    Raises:
        ValueError: the curves have no quality in common, or are no curves.
        AicError: scipy is not installed.
    """
    low = max(min(psnrs_a), min(psnrs_b))
    high = min(max(psnrs_a), max(psnrs_b))
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

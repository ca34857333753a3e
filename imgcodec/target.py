"""What is asked of a file: a rate, a size, a trade-off, or a quality that can be measured."""

import math
from dataclasses import dataclass
from numbers import Integral

from imgcodec.errors import AicError, check_number
from imgcodec.format.container import MAX_U
from imgcodec.metrics import ms_ssim_db, ssimulacra2_db

EFFORTS = range(1, 10)
MOST_BYTES = 2**32 - 1  # of a file, whatever is asked
KINDS = ("rate", "size", "quality", "psnr", "ms_ssim", "ssimulacra2")
# What weights of each tune are fitted to, as far as it can be asked for.
KIND_OF_TUNE = {"psnr": "psnr", "ms-ssim": "ms_ssim", "eye": "ssimulacra2"}
# By how much a measured quality may be off. Scores move by half a point from one file to the next.
CLOSE_DB, CLOSE_SCORE = 0.05, 0.4
_RANGES = {  # above, up to
    "rate": (0.0, math.inf),
    "size": (0.0, math.inf),
    "quality": (-math.ulp(0.0), 100.0),
    "psnr": (0.0, 1e300),  # and not infinite
    "ms_ssim": (0.0, 1 - 2**-30),
    "ssimulacra2": (0.0, 100 - 2**-20),
}
_WANTED = {
    "rate": "more than 0 bits per pixel",
    "size": "more than 0 bytes",
    "quality": "0..100",
    "psnr": "more than 0 dB, and a finite number",
    "ms_ssim": "more than 0 and less than 1",
    "ssimulacra2": "more than 0 and less than 100",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One of `KINDS`, and how much of it."""

    kind: str
    value: float

    @classmethod
    def of(cls, default_quality: float, **asked: float | None) -> "Target":
        """Return the target among keywords of which all but one are None, or the quality.

        Raises:
            AicError: there is more than one, or it is out of range.
        """
        if unknown := [kind for kind in asked if kind not in KINDS]:
            raise TypeError(f"unknown target {unknown[0]}")
        given = {kind: value for kind, value in asked.items() if value is not None}
        if len(given) > 1:
            raise AicError(f"{' and '.join(given)} are asked at once, only one of them is meant")
        kind, value = next(iter(given.items()), ("quality", default_quality))
        above, limit = _RANGES[kind]
        check_number(kind, value, _WANTED[kind])
        try:
            value = float(value)  # small numbers of NumPy would overflow
        except OverflowError as error:
            raise AicError(f"{kind} too large, wanted {_WANTED[kind]}") from error
        if not above < value <= limit:
            raise AicError(f"{kind} {value:g}, wanted {_WANTED[kind]}")
        return cls(kind, value)

    @property
    def measured(self) -> bool:
        """Whether it is known only once the picture is decoded."""
        return self.kind in ("psnr", "ms_ssim", "ssimulacra2")

    @property
    def limits(self) -> bool:
        """Whether it is a most of bytes."""
        return self.kind in ("rate", "size")

    def allows(self, num_bytes: int, num_pixels: int) -> bool:
        """Whether a picture of so many pixels may take so many bytes."""
        return not self.limits or num_bytes <= self.num_bytes(num_pixels)

    @property
    def u(self) -> int:
        """The rate parameter of a quality, 0..65535."""
        return round(self.value / 100 * MAX_U)

    @property
    def decibels(self) -> float:
        """A measured quality on its scale in dB."""
        return _decibels(self.kind, self.value)

    @property
    def close_db(self) -> float:
        """By how many dB a measured quality may be off."""
        if self.kind != "ssimulacra2":
            return CLOSE_DB
        return self.decibels - _decibels(self.kind, self.value - CLOSE_SCORE)

    def num_bytes(self, num_pixels: int) -> int:
        """Return the most bytes that a file of so many pixels may have."""
        if self.kind == "size":
            return int(min(self.value, MOST_BYTES))
        whole = int(min(self.value * num_pixels / 8, MOST_BYTES - 1))
        # a file's own rate is all of it, however it was rounded
        return whole + (8 * (whole + 1) / num_pixels <= self.value)

    def __str__(self) -> str:
        """Say it as on the command line."""
        unit = {"rate": " bpp", "size": " bytes", "psnr": " dB"}.get(self.kind, "")
        names = {"quality": "quality ", "ms_ssim": "MS-SSIM ", "ssimulacra2": "SSIMULACRA 2 "}
        return f"{names.get(self.kind, '')}{self.value:.12g}{unit}"


def check_effort(effort: int) -> None:
    """Refuse an effort that is not 1..9."""
    wanted = f"{EFFORTS[0]}..{EFFORTS[-1]}"
    check_number("effort", effort, wanted, Integral)
    if effort not in EFFORTS:
        raise AicError(f"effort {effort}, wanted {wanted}")


def _decibels(kind: str, value: float) -> float:
    """Return a measured quality on its scale in dB."""
    scales = {"ms_ssim": ms_ssim_db, "ssimulacra2": ssimulacra2_db}
    return scales[kind](value) if kind in scales else value

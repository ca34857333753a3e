"""Released sets of weights: a list that only grows.

A file names the set that it was written with, and decodes with no other. So what is released is
never changed and never taken out: its files decode for ever. May import `errors` alone.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imgcodec.errors import AicError, ModelMismatchError

MODEL_ID_BYTES = 8  # of the SHA-256 of a weights file


class Release(NamedTuple):
    """A released set of weights."""

    name: str
    version: str  # of the package that brought it
    tune: str  # what it is fitted to
    sha256: str  # of its file
    effort: int = 1  # from which on it is taken: it may be slower

    @property
    def model_id(self) -> bytes:
        """What files name it by: the first bytes of its SHA-256."""
        return bytes.fromhex(self.sha256)[:MODEL_ID_BYTES]

    @property
    def file_name(self) -> str:
        """Of its weights file."""
        return f"{self.name}-{self.version}.safetensors"

    @property
    def path(self) -> Path:
        """Where its file is: inside the package, or beside it in a checkout.

        Raises:
            AicError: it is missing from this installation.
        """
        package = Path(__file__).parent
        for folder in (package / "_weights", package.parent / "weights"):
            path = folder / self.file_name
            if path.is_file():
                return path
        raise AicError(f"the weights {self} are missing from this installation")

    def __str__(self) -> str:
        """Say name and version."""
        return f"{self.name} {self.version}"


# By age. A new set goes to the end; nothing else ever changes here.
RELEASES = (
    Release(
        "aic-psnr", "1.0", "psnr",
        "c44bbd5de9d10e5b8e0c69904b161b2168b79e1d119c7e680cc2c16c8fc7f5eb",
    ),
    Release(
        "aic-msssim", "1.0", "ms-ssim",
        "1f69c1d27a60d1206700ad3441531274aa78199091f98e221adfa27b8307f8e3",
    ),
    Release(
        "aic-eye", "1.0", "eye",
        "14c2ed76091cc4f9d7fcc73eabd48ce5c1a728945c92cb50a3361f88a4605320",
    ),
    Release(
        "aic-eye", "1.1", "eye",
        "7d1f677dfc2faf278c5804d8edc737e7f6817bc06dcfb9526960c7aae2e94c69",
    ),
    Release(
        "aic-eye", "1.7", "eye",
        "f88425fdbd532746316c6cdc5ae2e3a8d673a10eec61c4f7dcf9c32a55085001",
    ),
    Release(
        "aic-psnr", "1.10", "psnr",
        "8ece1dab2d4b569a035aa59dc18d023565133b1fdc9a3aabdacde30c4dceb9d2",
    ),
    Release(
        "aic-psnr-large", "1.10", "psnr",
        "cff5b1100916af42427adc544e09690c1e0205421d06722915a8de34a4738e6c",
    ),
    Release(
        "aic-msssim-large", "1.10", "ms-ssim",
        "9583b0166992eb517e9fbbe304145a39657f3019e3b8a6e4a99c59b1111a9b59",
    ),
    Release(
        "aic-psnr-large", "1.12", "psnr",
        "8de65f054c32c5f40d90979cc127825426d46670dfa097db08be187594dc0bcc",
    ),
    Release(
        "aic-msssim-large", "1.12", "ms-ssim",
        "e532f6fd210941d477868aa5f76be4d2ca50902e2096c9782274cdb038e989eb",
    ),
    Release(
        "aic-eye-large", "1.13", "eye",
        "96b24e498b608905f57377f2365b779ff8bb36830beccb594fb47456bf7e1841", effort=2,
    ),
)  # fmt: skip
# The sets that pack JPEG files, by age, as above; the last one packs.
PACKING = (
    Release(
        "aic-pack", "1.1", "jpeg",
        "0bafa6ce8c9342b1b77baadf0439ba003718a0c431343873ceecde793e869446",
    ),
    Release(
        "aic-pack", "1.2", "jpeg",
        "ad62e0e7d0d68c719a2b2cdf257172ce03188e8eea1549a3f7d07008a9526dea",
    ),
)  # fmt: skip
# The sets that restore JPEG files, by age; the last one restores. No file names them.
RESTORING = (
    Release(
        "aic-restore", "1.2", "restored",
        "58af7880b771dd0ef543e2f2b3c5e7301933f92954ac445952b4b0b497301716",
    ),
)  # fmt: skip
# What a tune encodes with if no effort is asked.
NEWEST = {release.tune: release for release in RELEASES if release.effort == 1}
TUNES = tuple(NEWEST)
DEFAULT_TUNE = "eye"
DEFAULT_JPEG_QUALITY = 75.0  # as cjpeg has it
# By tune: the quality if nothing is asked, at which photographs look much like the original at
# normal view (a mean SSIMULACRA 2 of 70 to 71 on Kodak).
DEFAULT_QUALITIES = {"psnr": 72.0, "ms-ssim": 76.0, "eye": 69.0}


def newest(tune: str, effort: int) -> Release:
    """Return the set that a tune encodes with."""
    return next(
        release
        for release in reversed(RELEASES)
        if release.tune == tune and release.effort <= effort
    )


def id_of(weights: bytes) -> bytes:
    """Return what files call the weights of this file's bytes."""
    return hashlib.sha256(weights).digest()[:MODEL_ID_BYTES]


def find(model_id: bytes) -> Release | None:
    """Return the set that a file names, None where it is none of the released."""
    known = (*RELEASES, *PACKING)
    return next((release for release in known if release.model_id == model_id), None)


def needed(
    model_id: bytes, own: bytes | None = None, among: Sequence[Release] = RELEASES
) -> Release:
    """Return the set that a file names, one of those `among` which it may be.

    Args:
        model_id: what the file calls it.
        own: what files call the weights of one's own that are at hand.
        among: the sets that it may be.

    Raises:
        ModelMismatchError: it is none of the released.
    """
    release = next((release for release in among if release.model_id == model_id), None)
    if release is None:
        given = "weights of one's own are given by --weights"
        if own is not None:
            given = f"those given are {own.hex()}"
        raise ModelMismatchError(
            f"the file needs weights {model_id.hex()}, which are none of"
            f" {', '.join(map(str, among))}: a newer aic may know them, and {given}"
        )
    return release

"""What coding took away from a picture, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import click

from imgcodec.errors import AicError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS = ("psnr", "ms-ssim", "ssimulacra2", "cvvdp")
MOST_PIXELS = 2**25  # but for PSNR; of memory, MS-SSIM takes 300 bytes each, CVVDP 380


class _Metrics(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Some of the metrics, separated by commas."""

    name = "metrics"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse a value; each counts once, in the order given."""
        if isinstance(value, tuple):
            return value
        found = tuple(dict.fromkeys(str(value).split(",")))
        if not set(found) <= set(METRICS):
            self.fail(f"{value!r} is not some of {','.join(METRICS)}.", param, ctx)
        return found


MEASURE = click.option(
    "--measure",
    type=_Metrics(),
    default=(),
    metavar="METRICS",
    help=f"Decode each file, and print what was lost: some of {','.join(METRICS)}, separated by "
    "commas. All but psnr take up to 400 bytes of memory a pixel.",
)


def in_words(
    metrics: Collection[str], original: NDArray[np.uint8], decoded: NDArray[np.uint8]
) -> str:
    """Return how alike two pictures are.

    Args:
        metrics: some of `METRICS`.
        original: uint8 (H, W, 3), or (H, W) if it is grey.
        decoded: uint8 (H, W, 3).
    """
    from imgcodec.pictures.arrays import as_colour

    return ", ".join(_measured(metric, as_colour(original), decoded) for metric in metrics)


def _measured(metric: str, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> str:
    from imgcodec import metrics

    measures: dict[str, tuple[str, Callable[..., float | None]]] = {
        "psnr": ("PSNR {:.2f} dB", metrics.psnr),
        "ms-ssim": ("MS-SSIM {:.4f}", metrics.ms_ssim),
        "ssimulacra2": ("SSIMULACRA 2 {:.2f}", metrics.ssimulacra2),
        "cvvdp": ("CVVDP {:.3f} JOD", metrics.cvvdp),
    }
    form, measure = measures[metric]
    name = form[: form.index(" {")]
    if metric != "psnr" and a.shape[0] * a.shape[1] > MOST_PIXELS:
        return f"no {name} of more than {MOST_PIXELS} pixels"
    value = measure(a, b)
    return f"no {name} of so small a picture" if value is None else form.format(value)


def check(picture: Any, source: object) -> None:
    """Refuse what is not held in memory as a whole."""
    if not hasattr(picture, "pixels"):
        raise AicError(f"{source}: is read piece by piece, and cannot be measured")

"""JPEG file -> pixels, by the restorer: a better decoder for any JPEG file.

It brings torch. Metadata and orientation are left to `imgcodec.pictures`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.format.container import MAX_PIXELS
from imgcodec.jpeg import reading
from imgcodec.model.dct import STRIDE
from imgcodec.model.restorer import MIDDLE, Coded
from imgcodec.model.winograd import lay_out
from imgcodec.releases import RESTORING
from imgcodec.runtime.precision import multiplies_bfloat16
from imgcodec.runtime.stopwatch import stage
from imgcodec.weights import load_restorer

# Blocks of what is restored at a time: wide and low, so that few are restored twice. Even numbers,
# as the reach: a block of chroma of half the resolution is in one of them.
ROWS, COLUMNS = 192, 512
TURNED = (2, 1)  # colours of half the height: the network knows those of half the width


class Restorer:
    """Restores JPEG files, one at a time."""

    def __init__(self, weights: Path | None = None, threads: int | None = None) -> None:
        """Load the network.

        Args:
            weights: a weights file of one's own, None for the newest released.
            threads: CPU threads of torch for the whole process; None leaves them alone.

        Raises:
            AicError: no such weights.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = load_restorer(weights or RESTORING[-1].path)
        lay_out(self._network)
        self._bfloat16 = multiplies_bfloat16("cpu")

    def restore(self, data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """Return the picture of a JPEG file, not turned: uint8 (H, W, 3), or (H, W) if grey.

        Each coefficient lies within the interval of its quantiser before pixels are rounded.

        Args:
            data: the file.
            max_pixels: more than so many are refused before any work.

        Raises:
            AicError: more pixels than that.
            ImageError: no JPEG file, damaged, or of a kind that is not read.
        """
        with stage("read"):
            coefficients = reading.read(data, max_pixels)
        height, width = coefficients.height, coefficients.width
        grey = len(coefficients.planes) == 1
        canvas = np.empty((height, width) if grey else (height, width, 3), np.uint8)
        with stage("restore"), torch.inference_mode():
            for top, left, planes in self._pieces(coefficients):
                x = planes[:, :1] + MIDDLE if grey else self._network.rgb(planes)
                pixels = x.round_().clamp_(0, 255)[0].to(torch.uint8).permute(1, 2, 0).numpy()
                place = canvas[top : top + len(pixels), left : left + pixels.shape[1]]
                pixels = pixels[: place.shape[0], : place.shape[1]]
                place[:] = pixels[..., 0] if grey else pixels
        return canvas

    def _pieces(self, coefficients: reading.Coefficients) -> Iterator[tuple[int, int, Tensor]]:
        """Yield top and left of pieces, pixels, and their planes (1, 3, h, w)."""
        rows, columns = coefficients.planes[0].blocks.shape[:2]
        reach = self._network.config.reach
        for top in range(0, rows, ROWS):
            for left in range(0, columns, COLUMNS):
                first, start = max(0, top - reach), max(0, left - reach)
                bottom, right = min(rows, top + ROWS), min(columns, left + COLUMNS)
                coded = self._coded(
                    coefficients,
                    slice(first, min(rows, bottom + reach)),
                    slice(start, min(columns, right + reach)),
                )
                planes = self._network(coded, self._bfloat16)
                if coefficients.planes[-1].factors == TURNED:
                    planes = planes.mT
                own = planes[
                    :, :,
                    STRIDE * (top - first) : STRIDE * (bottom - first),
                    STRIDE * (left - start) : STRIDE * (right - start),
                ]  # fmt: skip
                yield STRIDE * top, STRIDE * left, own

    def _coded(self, coefficients: reading.Coefficients, rows: slice, columns: slice) -> Coded:
        """Return what the file says of some blocks of luma, as the network wants it."""
        found, steps = [], []
        for plane in coefficients.planes:
            down, across = plane.factors
            part = plane.coefficients(
                slice(rows.start // down, rows.stop // down),
                slice(columns.start // across, columns.stop // across),
            )
            table = plane.table
            if coefficients.planes[-1].factors == TURNED:
                part, table = _turned(part), _turned(table)
            found.append(torch.from_numpy(part)[None])
            steps.append(torch.from_numpy(table))
        if len(found) == 1:  # grey: all colours are zero
            found += 2 * [torch.zeros_like(found[0])]
            steps *= 3
        factors = coefficients.planes[-1].factors
        return Coded(
            found[0],
            torch.cat(found[1:], 1),
            torch.cat(steps)[None],
            factors if factors != TURNED else TURNED[::-1],
        )


def _turned(frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return coefficients (64, h, w), or steps (64,), of the transposed picture."""
    grid = frequencies.reshape(STRIDE, STRIDE, *frequencies.shape[1:]).swapaxes(0, 1)
    turned = grid.reshape(frequencies.shape)
    return np.ascontiguousarray(turned.swapaxes(1, 2) if turned.ndim == 3 else turned)

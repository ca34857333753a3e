"""JPEG file -> pixels, by the restorer: a better decoder for any JPEG file.

It brings torch. Metadata and orientation are left to `imgcodec.pictures`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from imgcodec.format.container import MAX_PIXELS, check_pixels
from imgcodec.jpeg import halves, reading
from imgcodec.jpeg.syntax import ZIGZAG
from imgcodec.model.dct import STRIDE
from imgcodec.model.restorer import MIDDLE, Coded
from imgcodec.model.winograd import lay_out
from imgcodec.releases import RESTORING
from imgcodec.runtime import openmp
from imgcodec.runtime.exact import exact, plain
from imgcodec.runtime.precision import multiplies_bfloat16
from imgcodec.runtime.stopwatch import stage
from imgcodec.weights import load_restorer

# Blocks of what is restored at a time: wide and low, so that few are restored twice. Even numbers,
# as the reach: a block of chroma of half the resolution is in one of them.
BLOCKS = 192, 512  # rows, columns
SLOPE_BLOCKS = 64, 128  # of a gradient, for which all that lies in between is kept
TURNED = (2, 1)  # colours of half the height: the network knows those of half the width


class _Piece(NamedTuple):
    """Blocks of luma that are restored at a time: rows and columns."""

    own: tuple[slice, slice]
    near: tuple[slice, slice]  # with those around, which count for them

    def whole(self, unit: int, factors: tuple[int, int] = (1, 1)) -> tuple[slice, slice]:
        """Return where it lies in the picture, see `_scaled`."""
        return _scaled(self.own, unit, factors)

    def inside(self, unit: int, factors: tuple[int, int] = (1, 1)) -> tuple[slice, slice]:
        """Return where it lies in what is restored with it, see `_scaled`."""
        rows, columns = (
            slice(own.start - near.start, own.stop - near.start)
            for own, near in zip(self.own, self.near, strict=True)
        )
        return _scaled((rows, columns), unit, factors)


class Restorer:
    """Restores JPEG files, one at a time."""

    def __init__(self, weights: Path | None = None, threads: int | None = None) -> None:
        """Load the network.

        Args:
            weights: a weights file of one's own, None for the newest released.
            threads: CPU threads of torch for the whole process; None leaves them alone.

        Raises:
            AicError: no such weights, or no such number of threads.
        """
        with openmp.taking_threads(threads), plain():
            self._network = load_restorer(weights or RESTORING[-1].path)
            lay_out(self._network)
        self._bfloat16 = multiplies_bfloat16("cpu")

    def restore(self, data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """Return the picture of a JPEG file, not turned: uint8 (H, W, 3), or (H, W) if grey.

        Each coefficient lies within the interval of its quantiser before pixels are rounded. A
        picture that its file holds at half the size, see `jpeg.halves`, is enlarged then.

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
        whole = halves.whole(data, height, width) or (height, width)
        check_pixels(whole[1], whole[0], max_pixels)
        grey = len(coefficients.planes) == 1
        canvas = np.empty((height, width) if grey else (height, width, 3), np.uint8)
        with stage("restore"), exact():
            for piece in _pieces(coefficients, BLOCKS, self._network.config.reach):
                planes = self._network(self._coded(coefficients, piece.near), self._bfloat16)
                if coefficients.planes[-1].factors == TURNED:
                    planes = planes.mT
                x = self._shown(planes, grey)[piece.inside(STRIDE)]
                pixels = x.round_().clamp_(0, 255).to(torch.uint8).numpy()
                place = canvas[piece.whole(STRIDE)]
                pixels = pixels[: place.shape[0], : place.shape[1]]
                place[:] = pixels[..., 0] if grey else pixels
        if whole != (height, width):
            with stage("enlarge"):
                enlarged = Image.fromarray(canvas).resize(whole[::-1], Image.Resampling.LANCZOS)
                canvas = np.array(enlarged)
        return canvas

    def slopes(
        self, coefficients: reading.Coefficients, pixels: NDArray[np.uint8]
    ) -> list[NDArray[np.float32]]:
        """Return how the error of the restored picture changes with each coefficient.

        That is the gradient of the sum of squared errors, by steps of the quantiser, of each
        plane: float32 (rows, columns, 64), in zigzag order.

        Args:
            coefficients: of a grey picture, or with colours of whole or of a quarter of the
                resolution.
            pixels: the picture as it should be, uint8 (H, W, 3), or (H, W) if grey.
        """
        with exact(), torch.inference_mode(False), torch.enable_grad():
            return self._slopes(coefficients, pixels)

    def _slopes(
        self, coefficients: reading.Coefficients, pixels: NDArray[np.uint8]
    ) -> list[NDArray[np.float32]]:
        """See `slopes`."""
        grey = len(coefficients.planes) == 1
        found = [np.empty(plane.blocks.shape, np.float32) for plane in coefficients.planes]
        for piece in _pieces(coefficients, SLOPE_BLOCKS, self._network.config.reach):
            coded = self._coded(coefficients, piece.near)
            parts = [part.requires_grad_() for part in (coded.luma, coded.colours)]
            wanted = torch.from_numpy(pixels[_scaled(piece.near, STRIDE)].astype(np.float32))
            x = self._shown(self._network(coded), grey)[: wanted.shape[0], : wanted.shape[1]]
            error = x.clamp(0, 255) - wanted.reshape(x.shape)
            luma, colours = torch.autograd.grad(error.square().sum(), parts)
            slopes = (luma, *colours.chunk(2, 1))
            for its, slope, plane in zip(found, slopes, coefficients.planes, strict=False):
                part = slope[0].permute(1, 2, 0).numpy()[..., ZIGZAG]
                its[piece.whole(1, plane.factors)] = part[piece.inside(1, plane.factors)]
        return found

    def _shown(self, planes: Tensor, grey: bool) -> Tensor:
        """Return pixels (H, W, 3), or (H, W, 1) if grey, 0..255 and not clamped."""
        x = planes[:, :1] + MIDDLE if grey else self._network.rgb(planes)
        return x[0].permute(1, 2, 0)

    def _coded(self, coefficients: reading.Coefficients, blocks: tuple[slice, slice]) -> Coded:
        """Return what the file says of some blocks of luma, as the network wants it."""
        found, steps = [], []
        for plane in coefficients.planes:
            part = plane.coefficients(*_scaled(blocks, 1, plane.factors))
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


def _pieces(
    coefficients: reading.Coefficients, most: tuple[int, int], reach: int
) -> Iterator[_Piece]:
    """Yield all blocks of luma, at most so many rows and columns at a time."""
    axes = []
    for size, step in zip(coefficients.planes[0].blocks.shape[:2], most, strict=True):
        edges = [(first, min(size, first + step)) for first in range(0, size, step)]
        axes.append(
            [(slice(a, b), slice(max(0, a - reach), min(size, b + reach))) for a, b in edges]
        )
    for (rows, near_rows), (columns, near_columns) in itertools.product(*axes):
        yield _Piece((rows, columns), (near_rows, near_columns))


def _scaled(
    blocks: tuple[slice, slice], unit: int, factors: tuple[int, int] = (1, 1)
) -> tuple[slice, slice]:
    """Return rows and columns in units of which a block has so many, or that blocks share."""
    rows, columns = (
        slice(unit * its.start // factor, unit * its.stop // factor)
        for its, factor in zip(blocks, factors, strict=True)
    )
    return rows, columns


def _turned(frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return coefficients (64, h, w), or steps (64,), of the transposed picture."""
    grid = frequencies.reshape(STRIDE, STRIDE, *frequencies.shape[1:]).swapaxes(0, 1)
    turned = grid.reshape(frequencies.shape)
    return np.ascontiguousarray(turned.swapaxes(1, 2) if turned.ndim == 3 else turned)

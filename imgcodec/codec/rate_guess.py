"""Where the search for a rate begins: a guess, from what a picture looks like."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from imgcodec.codec.rate_search import Guess
from imgcodec.format.container import MAX_U
from imgcodec.model import COEFFICIENTS, STRIDE, Model
from imgcodec.model.context import slopes
from imgcodec.model.steps import masking, middle_step
from imgcodec.runtime.forks import undivided

# By tune: how many bits a coefficient of luma that exceeds its step counts for, and how many of
# those one of chroma counts for, and a block mean that is off that of its neighbours by one step.
# Fitted on training pictures, they only shorten the rate search.
GUESS = {"psnr": (4.9, 1.0, 0.37), "ms-ssim": (2.5, 1.0, 0.74), "eye": (2.42, 0.17, 0.57)}
SAMPLED_STRIDE = 3  # every 3rd place of every 3rd row
HALVINGS = 14
SPREAD = 0.05  # of u, for the slope
LEAST_COUNT = 1e-3  # coefficients a place: flat pictures take bits, too
LEAST_GROWTH = 2.0  # octaves of the size from u = 0 to 1


@undivided()
def guess(model: Model, tune: str, tiles: Sequence[Tensor], num_bytes: float) -> Guess:
    """Return the rate parameter at which the payloads should have about so many bytes.

    Told from how many coefficients exceed their step, and how rough the block means are.

    Args:
        model: whose coefficients they are.
        tune: what it is fitted to.
        tiles: (B, 192, h, w) normalised coefficients of each, see `Model.coefficients`.
        num_bytes: of all payloads together.
    """
    sampled = [_sample(model, tile) for tile in tiles]
    size, off = (torch.cat(parts).cpu().numpy() for parts in zip(*sampled, strict=True))
    each, chroma, mean = GUESS[tune]
    luma = STRIDE**2 - 1
    planes = [np.sort(part, axis=None) for part in (size[:, :luma], size[:, luma:])]

    def octaves(u: float) -> float:
        """Return log2 of the bits a place."""
        middle = middle_step(torch.tensor([u])).numpy()
        count, coloured = (
            len(part) - int(part.searchsorted(middle, "right")[0]) for part in planes
        )
        means = float(np.log2(1 + off / middle).sum())
        bits = (count + chroma * coloured + mean * means) / len(size)
        return math.log2(each * max(bits, LEAST_COUNT))

    wanted = math.log2(max(8 * num_bytes, 1) / sum(tile[0, 0].numel() for tile in tiles))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        u = (low + high) / 2
        low, high = (low, u) if octaves(u) > wanted else (u, high)
    growth = (octaves(high + SPREAD) - octaves(high - SPREAD)) / (2 * SPREAD)
    slope = max(growth, LEAST_GROWTH) / MAX_U
    return Guess(round(high * MAX_U), slope, lambda u: octaves(u / MAX_U))


def _sample(model: Model, tile: Tensor) -> tuple[Tensor, Tensor]:
    """Return how large coefficients are, and how far block means are off their neighbours'.

    Both at some places, (places, coefficients), those of luma first, relative to the step of each
    place.
    """
    own = torch.ones_like(tile[:1, :1])
    if model.config.levelled:
        half = model.config.levels // 2
        own = torch.exp2(masking(tile[:1], model.deviation).clamp(-half, half - 1) / 2)
    means = torch.arange(COEFFICIENTS) % STRIDE**2 == 0
    curvature = slopes(_in_pixels(model, tile, means) * own).chunk(3, 1)[2] / 4
    some = np.s_[..., ::SAMPLED_STRIDE, ::SAMPLED_STRIDE]
    maps = _in_pixels(model, tile[some], ~means) * own[some], curvature[some]
    size, off = (m.abs()[0].flatten(1).T for m in maps)
    return size, off


def _in_pixels(model: Model, tile: Tensor, which: Tensor) -> Tensor:
    """Return some coefficients of the first of some tiles, no longer normalised."""
    return tile[:1, which] * model.deviation[which, None, None]

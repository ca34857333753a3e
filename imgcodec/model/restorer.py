r"""A better decoder for JPEG: quantised coefficients and their steps -> pixels.

    coefficients * steps -> 8x8 DCT of each plane, colours widened -> + -> planes -> intervals
                         |                                 \-> trunk -/
                         \-> logarithms of the steps -> gain ----/

As RecCNN (Jiang et al. 2017) restores what a standard codec decoded, but on the coefficients: no
8-bit step comes first, and what the file says holds. A luma coefficient moves by at most half a
step. Colours are corrected at the resolution of luma; then what their means over the pixels that
samples cover would have beyond half a step is taken off, exactly. What the means do not show is
free. Where all steps are 1 (quality 100), nothing is corrected.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.config import MOST
from imgcodec.model.dct import COEFFICIENTS, STRIDE, dct_matrix
from imgcodec.model.layers import ResidualBlock, near_zero
from imgcodec.model.winograd import Conv3x3, undisturbed

FREQUENCIES = STRIDE**2
PLANES = (FREQUENCIES, COEFFICIENTS - FREQUENCIES)  # coefficients of luma and of colours
MIDDLE = 128.0  # what JPEG takes from samples before their DCT
FULL = (1, 1)
# Red, green and blue of luma and of both colours less `MIDDLE`, as JFIF has them.
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))
FINEST = 1.0  # step: where all are of it, there is nothing to guess, and the trunk was not taught
STEP_UNIT = 4.0  # octaves of a step that the network sees as 1


@dataclass(frozen=True)
class RestorerConfig:
    """Sizes: 41 thousand multiplications a pixel."""

    width: int = 160  # channels of the trunk
    blocks: int = 5

    def __post_init__(self) -> None:
        """Refuse by `ValueError` what no network is made of, as a forged file may say."""
        if not (1 <= self.width <= MOST and 0 <= self.blocks <= MOST):
            raise ValueError(f"sizes of a network beyond 0..{MOST}")

    @property
    def reach(self) -> int:
        """Blocks of luma beyond which nothing counts for a block or its neighbour; even."""
        convolutions = 2 * self.blocks + 1
        return convolutions + 1  # colours are widened with a sample of the block beside


class Coded(NamedTuple):
    """What JPEG files of one size and sampling say."""

    luma: Tensor  # (B, 64, h, w) float32 integers, in steps, frequencies row by row
    colours: Tensor  # (B, 128, h / down, w / across): Cb, then Cr
    steps: Tensor  # (B, 192) float32, 1 or more: of Y, Cb and Cr
    factors: tuple[int, int]  # (down, across): samples of luma that share one of colour


class Restorer(nn.Module):
    """The network."""

    def __init__(self, config: RestorerConfig | None = None) -> None:
        """Draw weights; `spread` is to be set to the spread of coefficients."""
        super().__init__()
        self.config = config or RestorerConfig()
        width = self.config.width
        self.stem = Conv3x3(COEFFICIENTS, width)
        self.steps = nn.Sequential(
            nn.Linear(COEFFICIENTS + 2, width), nn.ReLU(), nn.Linear(width, 2 * width)
        )
        self.trunk = nn.Sequential(*[ResidualBlock(width) for _ in range(self.config.blocks)])
        self.last = near_zero(nn.Conv2d(width, COEFFICIENTS, 1), 0.05)
        self.spread: Tensor  # of each coefficient, in levels
        self.register_buffer("spread", torch.ones(COEFFICIENTS))
        dct = dct_matrix(STRIDE)
        self.dct: Tensor  # of a block as it is: 64 pixels -> 64 coefficients
        self.register_buffer("dct", torch.kron(dct, dct).float(), persistent=False)
        self.to_rgb: Tensor
        self.register_buffer("to_rgb", torch.tensor(TO_RGB), persistent=False)

    def forward(self, coded: Coded, bfloat16: bool = False) -> Tensor:
        """Return luma and colours less 128, (B, 3, 8 h, 8 w) float32, within the intervals.

        That is: the coefficients of luma, and of the means of colours over `factors`, are within
        half a step of those of the files. The trunk may multiply in `bfloat16`.
        """
        luma_steps, colour_steps = coded.steps[:, :, None, None].split(PLANES, 1)
        luma, said = coded.luma * luma_steps, coded.colours * colour_steps
        wide = widened(self.pixels(said), coded.factors)
        coefficients = torch.cat([luma, self.frequencies(wide)], 1)
        device = coefficients.device.type
        with torch.autocast(device, torch.bfloat16, bfloat16, cache_enabled=False):
            found = self.corrections(coefficients, coded.steps, coded.factors)
        guessed = coded.steps.amax(1) > FINEST
        own, others = (guessed[:, None, None, None] * found).split(PLANES, 1)
        luma = luma + luma_steps * (0.5 * torch.tanh(2 * own))
        wide = wide + self.pixels(self.spread[FREQUENCIES:, None, None] * others)
        found = self.frequencies(F.avg_pool2d(wide, coded.factors))
        held = torch.clamp(found, said - colour_steps / 2, said + colour_steps / 2)
        wide = wide + _repeated(self.pixels(held - found), coded.factors)
        return torch.cat([self.pixels(luma), wide], 1)

    def corrections(self, coefficients: Tensor, steps: Tensor, factors: tuple[int, int]) -> Tensor:
        """Return what the trunk makes of coefficients in levels, (B, 192, h, w) float32.

        Args:
            coefficients: (B, 192, h, w) of all planes at the resolution of luma.
            steps: see `Coded`.
            factors: see `Coded`.
        """
        octaves = torch.log2(steps) / STEP_UNIT
        shared = [torch.full_like(octaves[:, :1], factor - 1.0) for factor in factors]
        gain, offset = self.steps(torch.cat([octaves, *shared], 1))[:, :, None, None].chunk(2, 1)
        z = torch.asinh(coefficients / self.spread[:, None, None])
        with undisturbed(z, self.stem.weight):
            z = F.relu(torch.addcmul(offset, self.stem(z), 1 + gain))
            z = self.trunk(z)
        with torch.autocast(z.device.type, enabled=False):
            return self.last(z.float())  # type: ignore[no-any-return]

    def rgb(self, planes: Tensor) -> Tensor:
        """Return red, green and blue, 0..255 and not clamped, of what `forward` returns."""
        return torch.einsum("kc,bchw->bkhw", self.to_rgb, planes) + MIDDLE

    def pixels(self, blocks: Tensor) -> Tensor:
        """Return planes (B, C, 8 h, 8 w) of coefficients (B, 64 C, h, w)."""
        planes = blocks.unflatten(1, (-1, FREQUENCIES)).flatten(3)
        return F.pixel_shuffle((self.dct.T @ planes).view(blocks.shape), STRIDE)

    def frequencies(self, planes: Tensor) -> Tensor:
        """Return coefficients (B, 64 C, h, w) of planes (B, C, 8 h, 8 w)."""
        blocks = F.pixel_unshuffle(planes, STRIDE)
        found: Tensor = self.dct @ blocks.unflatten(1, (-1, FREQUENCIES)).flatten(3)
        return found.view(blocks.shape)


def widened(planes: Tensor, factors: tuple[int, int]) -> Tensor:
    """Return planes at the resolution of luma, as libjpeg's triangle has them, unrounded."""
    if factors == FULL:
        return planes
    size = [side * factor for side, factor in zip(planes.shape[2:], factors, strict=True)]
    return F.interpolate(planes, size, mode="bilinear")


def _repeated(planes: Tensor, factors: tuple[int, int]) -> Tensor:
    """Return planes whose means over `factors` are the given ones."""
    for axis, factor in zip((2, 3), factors, strict=True):
        if factor > 1:
            planes = planes.repeat_interleave(factor, axis)
    return planes

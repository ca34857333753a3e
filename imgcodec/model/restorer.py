r"""A decoder for JPEG files that knows what pictures look like.

    coefficients, steps -> dequantised -> planes -> 192 coefficients a block -> + -> planes
                    |                                      \-> trunk ---------/
                    \-> logarithms of the steps -> gains -------/

A JPEG file says of each coefficient in which interval of its quantiser it lies; decoders take the
middle. The trunk, at stride 8, predicts where in it the coefficient is. What it predicts is then
moved into the interval: the restored picture is never less faithful than the file says. For
colours of lower resolution that holds for the means of the pixels that samples cover, which is
what encoders store; what the means do not show is free.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.dct import STRIDE, dct_matrix
from imgcodec.model.layers import near_zero
from imgcodec.model.winograd import Conv3x3, undisturbed

FREQUENCIES = STRIDE * STRIDE
PLANES = 3  # Y, Cb, Cr
CHANNELS = PLANES * FREQUENCIES
MIDDLE = 128.0  # what JPEG takes from each sample before its DCT
FULL = (1, 1)
# Y, Cb, Cr (Cb, Cr around 0) -> R, G, B, as JFIF has it
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class RestorerConfig:
    """Sizes; 52 thousand multiplications a pixel."""

    width: int = 192  # channels of the trunk
    blocks: int = 4
    hidden: int = 64  # units between steps and gains

    @property
    def reach(self) -> int:
        """Blocks, an even number, beyond which nothing counts for a block or its neighbour."""
        convolutions = 2 * self.blocks + 2
        return convolutions + 2 - convolutions % 2  # colours are brought up from a block further


class Coded(NamedTuple):
    """What JPEG files of one sampling say.

    `luma` is (B, 1, 64, h, w), `chroma` (B, 2, 64, h / down, w / across): quantised coefficients,
    float32 integers, frequencies row by row. `steps` is (B, 3, 64) float32, 1 or more. `factors`
    is (down, across): luma samples for each of chroma.
    """

    luma: Tensor
    chroma: Tensor
    steps: Tensor
    factors: tuple[int, int]


class Restorer(nn.Module):
    """Quantised coefficients -> pixels."""

    def __init__(self, config: RestorerConfig | None = None) -> None:
        """Start close to what a usual decoder does, but for its rounding."""
        super().__init__()
        self.config = config or RestorerConfig()
        width = self.config.width
        self.stem = Conv3x3(CHANNELS + 2, width)
        self.inner = nn.Linear(CHANNELS + 2, self.config.hidden)
        self.outer = nn.Linear(self.config.hidden, 2 * width * (self.config.blocks + 1))
        with torch.no_grad():
            self.outer.weight.mul_(0.1)
            self.outer.bias.zero_()
        self.first = nn.ModuleList(Conv3x3(width, width) for _ in range(self.config.blocks))
        self.second = nn.ModuleList(
            near_zero(Conv3x3(width, width), 0.3) for _ in range(self.config.blocks)
        )
        self.last = near_zero(Conv3x3(width, CHANNELS), 0.05)
        dct = dct_matrix(STRIDE)
        basis = torch.einsum("ui,vj->uvij", dct, dct).reshape(FREQUENCIES, FREQUENCIES)
        radius = (
            torch.cartesian_prod(torch.arange(STRIDE), torch.arange(STRIDE)).double().norm(dim=1)
        )
        usual = torch.where(radius > 0, 100 / radius.clamp(min=1) ** 1.3, 400)
        usual = torch.stack([usual, usual / 4, usual / 4]).flatten()
        self.basis: Tensor
        self.usual: Tensor
        self.to_rgb: Tensor
        self.register_buffer("basis", basis.float(), persistent=False)
        self.register_buffer("usual", usual.float()[:, None, None], persistent=False)
        self.register_buffer("to_rgb", torch.tensor(TO_RGB), persistent=False)

    def planes(self, coefficients: Tensor) -> Tensor:
        """Return the samples (..., 8 h, 8 w) of dequantised coefficients (..., 64, h, w)."""
        blocks = torch.einsum("kp,...khw->...phw", self.basis, coefficients)
        return F.pixel_shuffle(blocks, STRIDE).squeeze(-3)

    def coefficients(self, planes: Tensor) -> Tensor:
        """Return the coefficients (..., 64, h, w) of samples (..., 8 h, 8 w)."""
        blocks = F.pixel_unshuffle(planes.unsqueeze(-3), STRIDE)
        return torch.einsum("kp,...phw->...khw", self.basis, blocks)

    def usually(self, coded: Coded) -> Tensor:
        """Return what a usual decoder makes of files, without rounding or a limit.

        Colours of lower resolution are brought to the full one as libjpeg does, by a triangle.

        Returns:
            (B, 3, H, W) float32: Y, Cb, Cr around 0.
        """
        with torch.autocast(coded.luma.device.type, enabled=False):
            steps = coded.steps[..., None, None]
            luma = self.planes(coded.luma * steps[:, :1])
            chroma = self.planes(coded.chroma * steps[:, 1:])
            if coded.factors != FULL:
                chroma = F.interpolate(
                    chroma, luma.shape[2:], mode="bilinear", align_corners=False
                )
            return torch.cat([luma, chroma], 1)

    def features(self, coded: Coded, usual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the trunk gets of files, and the units of what it gives.

        Args:
            coded: the files.
            usual: `usually` of them.

        Returns:
            (B, 194, h, w), the conditions (B, 194), and the units (B, 192, 1, 1).
        """
        with torch.autocast(usual.device.type, enabled=False):
            x = self.coefficients(usual).flatten(1, 2) / self.usual
            # where in the block of lower resolution this one lies, each way: -1 or 1, 0 in full
            marks = []
            for axis, factor in zip((2, 3), coded.factors, strict=True):
                size = x.shape[axis]
                at = torch.arange(size, device=x.device, dtype=x.dtype) % factor
                mark = 2 * at / max(factor - 1, 1) - float(factor > 1)
                shape = [1, 1, 1, 1]
                shape[axis] = size
                marks.append(mark.view(shape).expand(len(x), 1, *x.shape[2:]))
            logs = coded.steps.log2()
            subsampled = [torch.full_like(logs[:, 0, :1], float(f - 1)) for f in coded.factors]
            conditions = torch.cat([logs.flatten(1) / 4 - 1, *subsampled], 1)
            steps = coded.steps
            if coded.factors != FULL:  # a frequency of the picture is a higher one of these blocks
                down, across = coded.factors
                at = torch.arange(FREQUENCIES, device=x.device)
                rows = (at // STRIDE * down).clamp(max=STRIDE - 1)
                columns = (at % STRIDE * across).clamp(max=STRIDE - 1)
                chroma = steps[:, 1:].index_select(2, rows * STRIDE + columns)
                steps = torch.cat([steps[:, :1], chroma * math.sqrt(down * across)], 1)
            flat = steps.flatten(1)[:, :, None, None]
            sigma = self.usual / 4
            return torch.cat([x, *marks], 1), conditions, flat * sigma / (flat + sigma)

    def corrections(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return what the trunk adds to coefficients, in units: (B, 192, h, w) float32.

        Args:
            x: (B, 194, h, w), see `features`.
            conditions: (B, 194).
        """
        with torch.autocast(x.device.type, enabled=False):
            gains = self.outer(F.gelu(self.inner(conditions)))[:, :, None, None]
            gains = gains.chunk(2 * (self.config.blocks + 1), 1)
            with undisturbed(x):
                x = F.relu(torch.addcmul(gains[1], self.stem(x), 1 + gains[0]))
        with undisturbed(x):
            for i, (first, second) in enumerate(zip(self.first, self.second, strict=True), 1):
                gain, offset = (part.to(x.dtype) for part in gains[2 * i : 2 * i + 2])
                x = x + second(F.relu(torch.addcmul(offset, first(x), 1 + gain)))
            with torch.autocast(x.device.type, enabled=False):
                return self.last(x.float())  # type: ignore[no-any-return]

    def within(self, planes: Tensor, coded: Coded) -> Tensor:
        """Return planes of which the files' encoder makes the same coefficients.

        Args:
            planes: (B, 3, H, W): Y, Cb, Cr around 0.
            coded: the files.
        """
        with torch.autocast(planes.device.type, enabled=False):
            luma = self._within(planes[:, :1], coded.luma, coded.steps[:, :1], FULL)
            chroma = self._within(planes[:, 1:], coded.chroma, coded.steps[:, 1:], coded.factors)
            return torch.cat([luma, chroma], 1)

    def rgb(self, planes: Tensor) -> Tensor:
        """Return R, G, B, 0..255 but for what lies outside, of Y, Cb, Cr around 0."""
        with torch.autocast(planes.device.type, enabled=False):
            return torch.einsum("rc,bchw->brhw", self.to_rgb, planes) + MIDDLE

    def forward(self, coded: Coded) -> Tensor:
        """Return the planes of files, (B, 3, H, W) float32: Y, Cb, Cr around 0."""
        usual = self.usually(coded)
        x, conditions, units = self.features(coded, usual)
        correction = self.corrections(x, conditions) * units
        return self.within(usual + self.planes(correction.unflatten(1, (PLANES, -1))), coded)

    def _within(
        self, planes: Tensor, quantised: Tensor, steps: Tensor, factors: tuple[int, int]
    ) -> Tensor:
        """Move planes by as little as makes their means lie in the intervals."""
        small = planes if factors == FULL else F.avg_pool2d(planes, factors)
        found = self.coefficients(small) / steps[..., None, None]
        wanted = torch.clamp(found, quantised - 0.5, quantised + 0.5)
        move = self.planes((wanted - found) * steps[..., None, None])
        if factors != FULL:
            move = F.interpolate(move, planes.shape[2:], mode="nearest")
        return planes + move

"""Analysis transform g_a: coefficients -> latents and the features F(x) of the quantizer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.dct import COEFFICIENTS
from imgcodec.model.layers import RateGain, ResidualBlock, near_zero, with_skip
from imgcodec.model.winograd import Conv3x3, undisturbed


class Encoder(nn.Module):
    """E(x) of the paper: a residual trunk at 1/8 resolution, plus a linear skip.

    With the skip the codec is a transform codec from the first step, and training improves it.
    """

    def __init__(self, latents: int, width: int, blocks: int, skip: bool) -> None:
        """Build the trunk; `select` sets the skip."""
        super().__init__()
        self.stem = Conv3x3(COEFFICIENTS, width)
        self.early = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks // 2)])
        self.gain = RateGain(width)
        self.late = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks - blocks // 2)])
        self.last = Conv3x3(width, latents)
        self.skip = nn.Conv2d(COEFFICIENTS, latents, 1, bias=False) if skip else None
        if skip:
            near_zero(self.last, 0.05)

    def select(self, order: Tensor) -> None:
        """Make the skip copy coefficient `order[i]` to latent i; order is (latents,) int64."""
        if self.skip is not None:
            with torch.no_grad():
                self.skip.weight.zero_()
                self.skip.weight[torch.arange(len(order)), order] = 1.0

    def features(self, t: Tensor) -> Tensor:
        """Return the part that does not depend on the rate, (B, width, h, w)."""
        with undisturbed(t, self.stem.weight):
            return self.early(F.relu(self.stem(t), inplace=True))  # type: ignore[no-any-return]

    def forward(self, t: Tensor, features: Tensor, u: Tensor) -> Tensor:
        """Return the latents.

        Args:
            t: (B, 192, h, w) coefficients divided by their standard deviations.
            features: what `features(t)` gave.
            u: (B,) rate parameter, 0..1.

        Returns:
            (B, latents, h, w) float32, each in units of its standard deviation.
        """
        with undisturbed(features, self.last.weight):
            y = self.last(self.late(self.gain(features, u)))
        return y.float() if self.skip is None else with_skip(y, self.skip, t)

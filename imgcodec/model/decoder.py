"""Synthesis transform g_s: dequantised latents and levels -> coefficients."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.config import COARSE
from imgcodec.model.dct import COEFFICIENTS
from imgcodec.model.layers import CoarseBranch, RateGain, ResidualBlock, near_zero, with_skip
from imgcodec.model.winograd import Conv3x3, undisturbed


class Decoder(nn.Module):
    """D(c) of the paper, the mirror of the encoder: a residual trunk plus a linear skip."""

    def __init__(
        self, latents: int, width: int, blocks: int, skip: bool, coarse: tuple[int, int]
    ) -> None:
        """Build the trunk; `select` sets the skip.

        Args:
            latents: channels that come in.
            width: channels of the trunk.
            blocks: residual blocks of the trunk.
            skip: whether there is a linear skip.
            coarse: blocks and channels of a branch in the middle of the trunk, see `CoarseBranch`.
        """
        super().__init__()
        self.stem = Conv3x3(latents + 1, width)
        self.gain = RateGain(width)
        self.trunk = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        more, channels = coarse
        self.coarse = CoarseBranch(width, channels, more, len(COARSE)) if more else None
        self.last = Conv3x3(width, COEFFICIENTS)
        self.skip = nn.Conv2d(latents, COEFFICIENTS, 1, bias=False) if skip else None
        if skip:
            near_zero(self.last, 0.05)

    def select(self, order: Tensor) -> None:
        """Make the skip copy latent i to coefficient `order[i]`; order is (latents,) int64."""
        if self.skip is not None:
            with torch.no_grad():
                self.skip.weight.zero_()
                self.skip.weight[order, torch.arange(len(order))] = 1.0

    def forward(self, y_hat: Tensor, importance: Tensor, u: Tensor) -> Tensor:
        """Return the coefficients.

        Args:
            y_hat: (B, latents, h, w) float32, in units of each latent's standard deviation.
            importance: (B, 1, h, w) float32, the levels mapped to -1..1.
            u: (B,) rate parameter, 0..1.

        Returns:
            (B, 192, h, w) float32, in units of each coefficient's standard deviation.
        """
        maps = (values.permute(0, 2, 3, 1) for values in (_asinh(y_hat), importance))
        z = torch.cat(list(maps), 3).permute(0, 3, 1, 2)  # channels last
        with undisturbed(z, self.stem.weight):
            z = self.gain(F.relu(self.stem(z), inplace=True), u)
            middle = len(self.trunk) // 2
            z = self.trunk[:middle](z)
            if self.coarse is not None:
                z = self.coarse(z)
            t = self.last(self.trunk[middle:](z))
        return t.float() if self.skip is None else with_skip(t, self.skip, y_hat)


def _asinh(x: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine, within 2e-7, above 1 within 2e-7 of it.

    Without a gradient, in a seventh of the time of torch's.
    """
    if x.requires_grad:
        return torch.asinh(x)
    size = x.abs()
    return torch.log1p_(size + size.square().add_(1).sqrt_().sub_(1)).copysign_(x)

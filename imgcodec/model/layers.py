"""Building blocks that encoder, quantizer and decoder share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.winograd import Conv3x3

LEAST_MAPS = 16
GAIN_HIDDEN = 32  # channels of the network that gives gains


def near_zero(layer: nn.Conv2d, factor: float) -> nn.Conv2d:
    """Scale a layer's weights, clear its biases and return it: a branch that starts small."""
    with torch.no_grad():
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def mixed(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return linear maps of places in float32, every line of them as a map of its own.

    For fewer than 16 maps and a single thread, torch takes another library, which needs twice the
    time, and whose sums depend on the number of threads where there are few places.

    Args:
        x: (B, h, k, w, C), so many lines are one of places.
        weight: (C', k C).
        bias: (C',).

    Returns:
        (B, h, w, C').
    """
    lines = x.flatten(0, 1)
    few = len(lines)
    if few < LEAST_MAPS:
        lines = F.pad(lines, (0, 0, 0, 0, 0, 0, 0, LEAST_MAPS - few))
    kernel = weight.unflatten(1, (lines.shape[1], -1)).transpose(1, 2)[..., None]
    found = F.conv2d(lines.permute(0, 3, 1, 2), kernel, bias)
    places: Tensor = found[:few, :, 0].transpose(1, 2).unflatten(0, x.shape[:2])
    return places


def with_skip(y: Tensor, skip: nn.Conv2d, x: Tensor) -> Tensor:
    """Return y + skip(x) in float32, of maps and a convolution 1x1 without bias."""
    with torch.autocast(x.device.type, enabled=False):
        found = mixed(x.permute(0, 2, 3, 1)[:, :, None], skip.weight[:, :, 0, 0])
        found = found.permute(0, 3, 1, 2)
        return found.add_(y)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), without batch normalisation (section 3.1 of the paper)."""

    def __init__(self, channels: int) -> None:
        """Start close to the identity."""
        super().__init__()
        self.first = Conv3x3(channels, channels)
        self.second = near_zero(Conv3x3(channels, channels), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        inner = F.relu(self.first(x), inplace=True)
        return self.second(inner).add_(x)  # type: ignore[no-any-return]


class RateGain(nn.Module):
    """Per-channel gain and offset that depend on the rate parameter u."""

    def __init__(self, channels: int) -> None:
        """Start close to gain 1, offset 0."""
        super().__init__()
        self.inner = nn.Linear(1, GAIN_HIDDEN)
        self.outer = nn.Linear(GAIN_HIDDEN, 2 * channels)
        with torch.no_grad():
            self.outer.weight.mul_(0.1)
            self.outer.bias.zero_()

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Scale (B, C, h, w) by a gain of u, (B,) in 0..1."""
        affine = self.outer(F.gelu(self.inner(u[:, None] * 2 - 1))).to(x.dtype)
        gain, offset = affine[:, :, None, None].chunk(2, 1)
        return torch.addcmul(offset, x, 1 + gain)


class CoarseBranch(nn.Module):
    """What residual blocks at half the resolution, and at half of that, add to maps.

    It sees far for little; it adds nothing before it is trained.
    """

    def __init__(self, channels: int, width: int, blocks: int, octaves: int) -> None:
        """Make `blocks` residual blocks of `width` channels at each of so many octaves."""
        super().__init__()
        self.down = nn.Conv2d(channels, width, 2, stride=2)
        self.blocks = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        self.inner = CoarseBranch(width, width, blocks, octaves - 1) if octaves > 1 else None
        self.up = nn.ConvTranspose2d(width, channels, 2, stride=2)
        with torch.no_grad():
            self.up.weight.zero_()
            self.up.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        height, width = x.shape[2:]
        z = F.pad(x, (0, width % 2, 0, height % 2))
        z = self.blocks(F.relu(self.down(z), inplace=True))
        if self.inner is not None:
            z = self.inner(z)
        return x + self.up(z)[:, :, :height, :width]  # type: ignore[no-any-return]

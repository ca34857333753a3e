"""Layers that compute on integers, exactly, in float32: the parts of the context models."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.binarizer import round_through

ACTIVATION_MAX = 127


class IntegerConv2d(nn.Module):
    """A convolution with int8 weights of `shift` fractional bits, on integers held in float32."""

    def __init__(self, channels_in: int, channels_out: int, size: int, gain: float = 1.0) -> None:
        """Draw weights for inputs and outputs of equal size; gain scales them."""
        super().__init__()
        self.shift = 8 if size > 1 else 7
        self.padding = size // 2
        spread = gain * (2 / (channels_in * size * size)) ** 0.5
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, size, size) * spread)
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def integers(self) -> tuple[Tensor, Tensor]:
        """Return the integer weights (-127..127) and biases, in units of 2^-shift, as float32."""
        weight = round_through(self.weight * 2**self.shift).clamp(-127, 127)
        return weight, round_through(self.bias * 2**self.shift)

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        """Return the sums, scaled but not rounded: (B, C, h, w) -> (B, C', h, w)."""
        if not quantised:
            return self._sums(x, self.weight, self.bias)
        weight, bias = self.integers()
        with torch.backends.nnpack.flags(enabled=False):  # its fast algorithms are inexact
            sums = self._sums(x, weight, bias)
        return sums * 2.0**-self.shift

    def _sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.padding:
            return F.conv2d(x, weight, bias, padding=self.padding)
        flat = weight.flatten(1) @ x.flatten(2) + bias[:, None]  # (B, C', h w)
        return flat.view(len(x), len(weight), *x.shape[2:])


def check_sums(layers: list[IntegerConv2d]) -> None:
    """Raise ValueError where layers added together could leave the exact range of float32."""
    total = torch.zeros(layers[0].bias.shape)
    for layer in layers:
        weight, bias = layer.integers()
        total += weight.abs().sum((1, 2, 3)) * ACTIVATION_MAX + bias.abs() + 2**layer.shift
    if not total.max() < 2**24:  # NaN too
        raise ValueError(f"sums of the context model reach {total.max():.0f}, 2^24 is the limit")


def rounded(x: Tensor) -> Tensor:
    """Return floor(x + 1/2), gradient of the identity."""
    if not x.requires_grad:
        return torch.floor(x + 0.5)
    return x + (torch.floor(x.detach() + 0.5) - x.detach())


def activation(x: Tensor, quantised: bool) -> Tensor:
    """Return ReLU, rounded when quantised, clamped to 0..127."""
    return (rounded(x) if quantised else x).clamp(0, ACTIVATION_MAX)

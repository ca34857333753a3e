"""Layers that compute on integers, exactly, in float32: the parts of the context models."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.binarizer import round_through

ACTIVATION_MAX = 127


class IntegerLayer(nn.Module):
    """A linear map with int8 weights of `shift` fractional bits, on integers held in float32."""

    def __init__(self, *shape: int, shift: int, gain: float) -> None:
        """Draw weights (outputs, inputs, ...) for outputs as large as inputs; gain scales them."""
        super().__init__()
        self.shift = shift
        spread = gain * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        self.weight = nn.Parameter(torch.randn(shape) * spread)
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self._frozen: tuple[Tensor, Tensor] | None = None

    def integers(self) -> tuple[Tensor, Tensor]:
        """Return the integer weights (-127..127) and biases, in units of 2^-shift, as float32."""
        weight = round_through(self.weight * 2**self.shift).clamp(-127, 127)
        return weight, round_through(self.bias * 2**self.shift)

    def freeze(self) -> None:
        """Keep the integers as they are now: for weights that do not change any more.

        They are kept times 2^-shift, which is exact, as are the sums then.
        """
        weight, bias = (tensor.detach() * 2.0**-self.shift for tensor in self.integers())
        if weight.dim() == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self._frozen = weight, bias

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        """Return the sums, scaled but not rounded."""
        if not quantised:
            return self.sums(x, self.weight, self.bias)
        if self._frozen is not None:
            return self.sums(x, *self._frozen)
        return self.sums(x, *self.integers()) * 2.0**-self.shift

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return weight times x, plus bias."""
        raise NotImplementedError


class IntegerConv2d(IntegerLayer):
    """A 3x3 convolution, (B, C, h, w) -> (B, C', h, w)."""

    def __init__(self, channels_in: int, channels_out: int, gain: float = 1.0) -> None:
        """Draw weights."""
        super().__init__(channels_out, channels_in, 3, 3, shift=8, gain=gain)

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the convolution."""
        with torch.backends.nnpack.flags(enabled=False):  # its fast algorithms are inexact
            return F.conv2d(x, weight, bias, padding=1)


class IntegerLinear(IntegerLayer):
    """A map of channels at single places, (B, T, C) -> (B, T, C')."""

    def __init__(self, channels_in: int, channels_out: int, gain: float = 1.0) -> None:
        """Draw weights."""
        super().__init__(channels_out, channels_in, shift=7, gain=gain)

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the product."""
        return F.linear(x, weight, bias)


def check_sums(layers: list[IntegerLayer]) -> None:
    """Raise ValueError where layers added together could leave the exact range of float32."""
    total = torch.zeros(layers[0].bias.shape)
    for layer in layers:
        weight, bias = layer.integers()
        total += weight.abs().flatten(1).sum(1) * ACTIVATION_MAX + bias.abs() + 2**layer.shift
    if not total.max() < 2**24:  # NaN too
        raise ValueError(f"sums of the context model reach {total.max():.0f}, 2^24 is the limit")


def rounded(x: Tensor) -> Tensor:
    """Return floor(x + 1/2), gradient of the identity."""
    if not x.requires_grad:
        return (x + 0.5).floor_()
    return x + (torch.floor(x.detach() + 0.5) - x.detach())


def activation(x: Tensor, quantised: bool) -> Tensor:
    """Return ReLU, rounded when quantised, clamped to 0..127."""
    if quantised and not x.requires_grad:
        return rounded(x).clamp_(0, ACTIVATION_MAX)
    return (rounded(x) if quantised else x).clamp(0, ACTIVATION_MAX)

"""Layers that compute on integers, exactly, in float32 or int8: parts of the context models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from imgcodec.model.fusion import fusable

Seen = list[tuple[Tensor, Tensor]]  # rows that products took, and the gradients of what they made

ACTIVATION_MAX = 127
WEIGHT_MAX = 127
LEAST_PLACES = 256  # whose linear maps are worth to be made int8
BAND_PLACES = 1024  # of a convolution in int8 at a time: nine times their inputs are laid out


class IntegerLayer(nn.Module):
    """A linear map with int8 weights of `shift` fractional bits, on integers -127..127.

    They are held in float32, or in int8 once the layer is frozen for that; sums are float32.
    """

    def __init__(self, *shape: int, shift: int, gain: float) -> None:
        """Draw weights (outputs, inputs, ...) for outputs as large as inputs; gain scales them."""
        super().__init__()
        self.shift = shift
        spread = gain * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        self.weight = nn.Parameter(torch.randn(shape) * spread)
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.kept: tuple[Tensor, Tensor] | None = None  # integers, times 2^-shift
        self.int8: Tensor | None = None  # of the weight, (places * inputs, outputs), as it is
        self.seen: Seen | None = None  # of a linear map, while `integers_kept`

    def integers(self) -> tuple[Tensor, Tensor]:
        """Return the integer weights (-127..127) and biases, in units of 2^-shift, as float32."""
        weight, bias = (tensor * 2**self.shift for tensor in _scaled_integers([self]))
        return weight, bias

    def freeze(self, int8: bool) -> None:
        """Keep the integers as they are now: for weights that do not change any more.

        With `int8`, the machine multiplies int8 faster than float32, and as exactly; only where
        gradients are asked for it is float32.
        """
        self.int8 = None
        weight, bias = (tensor.detach() for tensor in _scaled_integers([self]))
        if weight.dim() == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.kept = weight, bias
        if int8 and weight[0].numel() > 1:  # a single input is mistaken for a transposed matrix
            integers = (weight * 2**self.shift).to(torch.int8)
            self.int8 = integers.movedim(1, -1).flatten(1).T.contiguous()

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        """Return the sums, scaled but not rounded."""
        if not quantised:
            return self.sums(x, self.weight, self.bias)
        weight, bias = self.kept or _scaled_integers([self])
        if self.in_int8 and self.pays(x):
            return self.int8_sums(x, self.int8, bias)  # type: ignore[arg-type]
        x = x.to(weight.dtype)
        if self.seen is not None and weight.requires_grad:
            return _Product.apply(x, weight, bias, self.seen)  # type: ignore[no-untyped-call, no-any-return]
        return self.sums(x, weight, bias)

    @property
    def in_int8(self) -> bool:
        """Whether it multiplies int8 now."""
        return self.int8 is not None and not torch.is_grad_enabled()

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return weight times x, plus bias."""
        raise NotImplementedError

    def pays(self, x: Tensor) -> bool:
        """Whether this is worth to be made int8."""
        raise NotImplementedError

    def int8_sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the same from weights as in `int8`."""
        raise NotImplementedError

    def _products(self, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the sums of rows (N, places * inputs) of int8, (N, outputs)."""
        # of rows that overlap in memory, as views of maps do, it would make something else
        sums = torch._int_mm(rows.contiguous(), weight)
        return torch.add(bias, sums, alpha=2**-self.shift)


class IntegerConv2d(IntegerLayer):
    """A 3x3 convolution, (B, C, h, w) -> (B, C', h, w)."""

    def __init__(self, channels_in: int, channels_out: int, gain: float = 1.0) -> None:
        """Draw weights."""
        super().__init__(channels_out, channels_in, 3, 3, shift=8, gain=gain)

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the convolution."""
        with torch.backends.nnpack.flags(enabled=False):  # its fast algorithms are inexact
            return F.conv2d(x, weight, bias, padding=1)

    def pays(self, x: Tensor) -> bool:
        """See `IntegerLayer`: always."""
        return True

    def int8_sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the convolution, a product of the nine places around each, band by band."""
        b, channels, h, w = x.shape
        padded = x.new_zeros(b, h + 2, w + 2, channels, dtype=torch.int8)
        padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
        of_tile, of_row, of_place, _ = padded.stride()
        strides = of_tile, of_row, of_place, of_row, 1
        found = bias.new_empty(b, h, w, len(bias))
        step = max(1, BAND_PLACES // w)
        for top in range(0, h, step):
            size = b, min(step, h - top), w, 3, 3 * channels
            rows = padded.as_strided(size, strides, top * of_row).reshape(-1, 9 * channels)
            band = found[:, top : top + step]
            band[:] = self._products(rows, weight, bias).view(band.shape)
        return found.permute(0, 3, 1, 2)


class IntegerLinear(IntegerLayer):
    """A map of channels at single places, (B, T, C) -> (B, T, C')."""

    def __init__(self, channels_in: int, channels_out: int, gain: float = 1.0) -> None:
        """Draw weights."""
        super().__init__(channels_out, channels_in, shift=7, gain=gain)

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the product."""
        return F.linear(x, weight, bias)

    def pays(self, x: Tensor) -> bool:
        """See `IntegerLayer`."""
        return x.shape[1] >= LEAST_PLACES

    def int8_sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the product."""
        rows = x.flatten(0, 1).to(torch.int8)
        return self._products(rows, weight, bias).view(*x.shape[:2], -1)


class NarrowConv2d(nn.Module):
    """A 3x3 convolution of low rank, by way of few channels: (B, C, h, w) -> (B, C', h, w)."""

    def __init__(self, channels_in: int, rank: int, channels_out: int, gain: float) -> None:
        """Draw weights; `rank` is the number of channels between."""
        super().__init__()
        self.narrow = IntegerLinear(channels_in, rank)
        self.wide = IntegerConv2d(rank, channels_out, gain)

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        """Return the sums, scaled but not rounded; those between are, and clamped to -127..127."""
        z = self.narrow(x.permute(0, 2, 3, 1).flatten(1, 2), quantised)
        z = activation(z, quantised, -ACTIVATION_MAX)
        return self.wide(z.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2), quantised)  # type: ignore[no-any-return]


@contextmanager
def integers_kept(module: nn.Module) -> Iterator[None]:
    """Make the integers of all layers inside once, with gradients, rather than at every call."""
    layers = [
        part for part in module.modules() if isinstance(part, IntegerLayer) and part.kept is None
    ]
    for layer in layers:
        layer.seen = [] if isinstance(layer, IntegerLinear) else None
    made = iter(_scaled_integers(layers))
    for layer in layers:
        layer.kept = next(made), next(made)
    try:
        yield
    finally:
        for layer in layers:
            layer.kept = layer.seen = None


def check_sums(layers: list[IntegerLayer]) -> None:
    """Raise ValueError where layers added together could leave the exact range of float32.

    That is 2^24 of the finest unit among them, in which their total is a whole number.
    """
    finest = max(layer.shift for layer in layers)
    total = torch.zeros(layers[0].bias.shape)
    for layer in layers:
        weight, bias = layer.integers()
        most = weight.abs().flatten(1).sum(1) * ACTIVATION_MAX + bias.abs() + 2**layer.shift
        total += most * 2 ** (finest - layer.shift)
    if not total.max() < 2**24:  # NaN too
        raise ValueError(f"sums of the context model reach {total.max():.0f}, 2^24 is the limit")


def rounded(x: Tensor) -> Tensor:
    """Return floor(x + 1/2), gradient of the identity."""
    if not x.requires_grad:
        return _whole(x)
    return _Rounded.apply(x)  # type: ignore[no-untyped-call, no-any-return]


def activation(x: Tensor, quantised: bool, least: int = 0) -> Tensor:
    """Return x clamped to least..127, ReLU if nothing else is asked, rounded when quantised."""
    if not quantised:
        return x.clamp(least, ACTIVATION_MAX)
    if not x.requires_grad:
        return rounded(x).clamp_(least, ACTIVATION_MAX)
    return _Activation.apply(x, least)  # type: ignore[no-untyped-call, no-any-return]


class _Rounded(torch.autograd.Function):
    """floor(x + 1/2), gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _whole(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _Activation(torch.autograd.Function):
    """The same, clamped; no gradient where the clamp holds it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: int) -> Tensor:
        clamped, free = _clamped(x, least)
        ctx.save_for_backward(free)
        return clamped

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        free: Tensor = ctx.saved_tensors[0]
        return free * grads[0], None


@fusable
def _whole(x: Tensor) -> Tensor:
    return (x + 0.5).floor_()


@fusable
def _clamped(x: Tensor, least: int) -> tuple[Tensor, Tensor]:
    whole = _whole(x)
    clamped = whole.clamp(least, ACTIVATION_MAX)
    return clamped, whole == clamped


class _Product(torch.autograd.Function):
    """A product whose weights get their gradient later, from all products of a step together."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, seen: Seen) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.seen = seen
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.seen.append((x.flatten(0, -2), grads[0].flatten(0, -2)))
        of_x = grads[0] @ weight if ctx.needs_input_grad[0] else None
        return of_x, None, None, None


class _Integers(torch.autograd.Function):
    """Round weights and biases to multiples of 2^-shift, and clamp weights.

    The gradient passes but where weights are clamped.
    """

    @staticmethod
    def forward(
        ctx: Any, shifts: list[int], seen: list[Seen | None], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        whole = list(torch._foreach_mul(tensors, [2.0**shift for shift in shifts]))
        torch._foreach_round_(whole)
        weights = whole[::2]
        clamped = torch._foreach_clamp_max(weights, WEIGHT_MAX)
        torch._foreach_clamp_min_(clamped, -WEIGHT_MAX)
        free = torch._foreach_sub(clamped, weights)  # 0 where it is, at least 1 where not
        torch._foreach_abs_(free)
        torch._foreach_clamp_max_(free, 1.0)
        torch._foreach_neg_(free)
        torch._foreach_add_(free, 1.0)
        ctx.save_for_backward(*free)
        ctx.seen = seen
        whole[::2] = clamped
        torch._foreach_mul_(whole, [2.0**-shift for shift in shifts])
        return tuple(whole)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        passed = list(grads)
        for n, seen in enumerate(ctx.seen):
            if seen:
                x, above = seen[0]
                if len(seen) > 1:
                    x, above = (torch.cat(parts) for parts in zip(*seen, strict=True))
                seen.clear()
                passed[2 * n : 2 * n + 2] = above.T @ x, above.sum(0)
        weights = [(n, grad) for n, grad in enumerate(passed[::2]) if grad is not None]
        free = [ctx.saved_tensors[n] for n, _ in weights]
        products = torch._foreach_mul([grad for _, grad in weights], free)
        for (n, _), product in zip(weights, products, strict=True):
            passed[2 * n] = product
        return None, None, *passed


def _scaled_integers(layers: list[IntegerLayer]) -> tuple[Tensor, ...]:
    """Return integer weight and bias of each layer times 2^-shift, exactly, with gradients."""
    tensors = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    shifts = [layer.shift for layer in layers for _ in range(2)]
    seen = [layer.seen for layer in layers]
    return _Integers.apply(shifts, seen, *tensors)  # type: ignore[no-untyped-call, no-any-return]

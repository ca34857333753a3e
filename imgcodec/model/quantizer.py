"""Quantizer P: self-attention over the encoder's features -> importance map -> levels and mask."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.layers import RateGain


class _Attention(nn.Module):
    """One block Att of figure 3: position embedding, attention, add & norm, position-wise FFN.

    Attention runs inside windows of fixed size, so that the cost grows with the pixels and a tile
    behaves like the whole picture.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.position = nn.Parameter(torch.randn(window * window, width) * 0.02)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        self.norm_ffn = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (windows, window * window, width) to the same shape."""
        n, length, width = x.shape
        qkv = self.qkv(x + self.position.to(x.dtype))
        q, k, v = qkv.view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # written out: on short windows several times faster in training than the fused kernel
        a = (q @ k.mT * (width // self.heads) ** -0.5).softmax(-1) @ v
        a = a.transpose(1, 2).reshape(n, length, width)
        x = self.norm_attention(x + self.merge(a))
        return self.norm_ffn(x + self.contract(F.relu(self.expand(x))))  # type: ignore[no-any-return]


class Quantizer(nn.Module):
    """P(F(x)): the importance map p in (0, 1)."""

    def __init__(self, features: int, width: int, heads: int, blocks: int, window: int) -> None:
        """Start with p = 0.53 everywhere: the middle of the middle level."""
        super().__init__()
        self.window = window
        self.stem = nn.Conv2d(features, width, 1)
        self.gain = RateGain(width)
        self.blocks = nn.Sequential(*[_Attention(width, heads, window) for _ in range(blocks)])
        self.last = nn.Linear(width, 1)
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.last.bias.fill_(0.125)

    def forward(self, features: Tensor, u: Tensor) -> Tensor:
        """Return the importance map.

        Args:
            features: F(x), (B, features, h, w).
            u: (B,) rate parameter, 0..1.

        Returns:
            (B, 1, h, w) float32 in (0, 1).
        """
        x = self.gain(self.stem(features), u)
        b, c, h, w = x.shape
        s = self.window
        x = F.pad(x, (0, -w % s, 0, -h % s))
        rows, columns = x.shape[2] // s, x.shape[3] // s
        x = x.view(b, c, rows, s, columns, s).permute(0, 2, 4, 3, 5, 1)
        x = self.last(self.blocks(x.reshape(-1, s * s, c))).float()
        x = x.view(b, rows, columns, s, s).permute(0, 1, 3, 2, 4)
        return torch.sigmoid(x.reshape(b, 1, rows * s, columns * s)[:, :, :h, :w])


class _Mask(torch.autograd.Function):
    """Equation (7) forward, equation (8) backward."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, channels: int, num_levels: int) -> Tensor:
        k = torch.arange(1, channels + 1, device=p.device)
        # ceil(k L / n) in integers
        threshold = ((k * num_levels + channels - 1) // channels).to(p.dtype)[:, None, None]
        scaled = num_levels * p  # (B, 1, h, w)
        ctx.save_for_backward(scaled, threshold)
        ctx.num_levels = num_levels
        return (threshold < scaled).to(p.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        scaled, threshold = ctx.saved_tensors
        near = (scaled - 1 <= threshold) & (threshold <= scaled + 1)
        return (grads[0] * near * ctx.num_levels).sum(1, keepdim=True), None, None


def quantize(p: Tensor, num_levels: int) -> Tensor:
    """Return the levels Q(p), equation (4): floor(L p) in 0..L-1; the gradient is that of L p.

    Args:
        p: (B, 1, h, w) in (0, 1).
        num_levels: L.
    """
    scaled = p * num_levels
    levels = scaled.detach().floor()
    return scaled + (levels.clamp(0, num_levels - 1) - scaled).detach()


def prefix_mask(p: Tensor, channels: int, num_levels: int) -> Tensor:
    """Return the mask m of equation (7), (B, channels, h, w) in {0, 1}; gradient of equation (8).

    m[k] is 1 where ceil(k L / n) < L p, for k = 1..n.

    Args:
        p: (B, 1, h, w) in (0, 1).
        channels: n.
        num_levels: L, a divisor of n.
    """
    return _Mask.apply(p, channels, num_levels)  # type: ignore[no-untyped-call, no-any-return]

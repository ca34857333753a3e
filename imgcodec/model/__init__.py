r"""The model: every network of the codec, assembled.

    x -> LappedDCT -> Encoder -> y ------------------------> / step, round -> codes -> context
                         \-> F(x) -> Quantizer -> p -> levels -^       (bits)   |
    x_hat <- LappedDCT <- Decoder <- y_hat = codes * step <----------------------/

The parts hold no state between calls, choose no device and read no files.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from imgcodec.model.binarizer import binarize, round_cheaply, round_through
from imgcodec.model.context import CodeContext, LatticeContext, Places
from imgcodec.model.dct import COEFFICIENTS, STRIDE, LappedDCT
from imgcodec.model.decoder import Decoder
from imgcodec.model.encoder import Encoder
from imgcodec.model.quantizer import Quantizer, prefix_mask, quantize
from imgcodec.model.tables import (
    MEAN_UNIT,
    NUM_SCALES,
    RATE_INDICES,
    RATE_SHOWN,
    SCALE_ZERO,
    SCALES_PER_OCTAVE,
)

__all__ = ["COEFFICIENTS", "STRIDE", "Codes", "Model", "ModelConfig", "lmbda"]

LMBDA_LOW, LMBDA_OCTAVES = 4.0, 14.0  # lambda(u) = 4 * 2^(14 u)
HYSTERESIS = 0.5  # levels
HIGH_RATE_STEP = 26.0  # step^2 * lambda at which a fine uniform quantiser is optimal


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of a model; stored with its weights."""

    latents: int = 96  # of 192 coefficients; the rest hold 1e-4.5 of the energy
    digits: int = 8  # most binary digits of a latent's magnitude; 0: one bit, the paper's form
    levels: int = 16  # L of equation (4)
    skip: bool = True  # linear skips around the trunks
    width: int = 128  # channels of the trunks
    encoder_blocks: int = 2
    decoder_blocks: int = 4
    attention_width: int = 64
    attention_heads: int = 4
    attention_blocks: int = 2
    attention_window: int = 8  # places
    lattice: int = 3  # latents coded coarse to fine: the block means of the three planes
    groups: tuple[int, ...] = (9, 12, 24, 48)  # the other latents, in coding order
    signed_groups: int = 1
    context_width: int = 96
    context_hidden: int = 64

    @classmethod
    def paper(cls) -> "ModelConfig":
        """Return the paper's form: n = 128 single bits, L = 16, uniform prefix, no skip."""
        return cls(
            latents=128, digits=0, skip=False, lattice=0, groups=(32, 32, 64), signed_groups=2
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what `ModelConfig(**...)` takes, for JSON."""
        return asdict(self)

    @property
    def expansion(self) -> bool:
        """Whether latents are binary expansions rather than single bits."""
        return self.digits > 0


class Codes(NamedTuple):
    """What the encoder decides; the decoder gets it back from the file."""

    levels: Tensor  # (B, 1, h, w) float32 integers 0..L-1
    y_hat: Tensor  # (B, latents, h, w) float32, dequantised, in standard deviations


class Rates(NamedTuple):
    """Estimated bits per picture, float32 (B,)."""

    codes: Tensor
    levels: Tensor


def lmbda(u: Tensor) -> Tensor:
    """Return the weight of the distortion (MSE of pixels in 0..1) at rate parameter u."""
    return LMBDA_LOW * 2 ** (LMBDA_OCTAVES * u)


class Model(nn.Module):
    """All networks of one set of weights, for all rates."""

    def __init__(self, config: ModelConfig) -> None:
        """Build with random weights; `start_from` makes it a transform codec."""
        super().__init__()
        c = self.config = config
        self.transform = LappedDCT()
        self.g_a = Encoder(c.latents, c.width, c.encoder_blocks, c.skip)
        self.g_s = Decoder(c.latents, c.width, c.decoder_blocks, c.skip)
        self.quantizer = Quantizer(
            c.width, c.attention_width, c.attention_heads, c.attention_blocks, c.attention_window
        )
        self.level_context = LatticeContext(1, 1, MEAN_UNIT * (c.levels // 2), 32)
        self.code_context = CodeContext(
            c.lattice,
            c.groups,
            c.signed_groups,
            c.context_width,
            c.context_hidden,
            2 if c.expansion else 1,
        )
        self.deviation: Tensor  # standard deviations of the coefficients
        self.unit: Tensor  # pixels per unit of each latent
        self.register_buffer("deviation", torch.ones(COEFFICIENTS))
        self.register_buffer("unit", torch.ones(c.latents))

    def start_from(self, deviation: Tensor) -> None:
        """Set the coefficients' standard deviations (192,) and what follows from them."""
        order = torch.argsort(deviation, descending=True)[: self.config.latents]
        if self.config.lattice:  # the lattice holds the block means: frequency 0 of each plane
            low = torch.arange(self.config.lattice) * STRIDE**2
            order = torch.cat([low, order[~torch.isin(order, low)]])[: self.config.latents]
        self.deviation.copy_(deviation)
        self.g_a.select(order)
        self.g_s.select(order)
        if not self.config.expansion:
            return
        self.unit.copy_(deviation[order])
        # a latent's spread at step 1 and level L/2, halved: its neighbours tell much
        index = SCALE_ZERO + SCALES_PER_OCTAVE * torch.log2(
            deviation[order] / self.step(torch.zeros(1)) * 0.25
        )
        with torch.no_grad():
            start = self.config.lattice
            if self.code_context.means is not None:
                self.code_context.means.last.bias[start:] = index[:start]
            for head, size in zip(self.code_context.outer, self.config.groups, strict=True):
                head.get_parameter("bias")[size:] = index[start : start + size]
                start += size
            self.level_context.last.bias[1:] = SCALE_ZERO - SCALES_PER_OCTAVE

    @staticmethod
    def step(u: Tensor) -> Tensor:
        """Return the step of the middle level at rate parameter u, in pixels 0..1."""
        return torch.sqrt(HIGH_RATE_STEP / lmbda(u))

    def steps(self, levels: Tensor, u: Tensor) -> Tensor:
        """Return the step of every latent in its own units.

        Half an octave a level; the lattice channels do not follow the levels.

        Args:
            levels: (B, 1, h, w); gradients pass through.
            u: (B,) rate parameter, 0..1.

        Returns:
            (B, latents, h, w) float32.
        """
        unit = self.unit[None, :, None, None]
        return self._relative_steps(levels) * (self.step(u)[:, None, None, None] / unit)

    def _relative_steps(self, levels: Tensor) -> Tensor:
        """Return the step of every latent as a multiple of that of the middle level."""
        b, _, h, w = levels.shape
        fine = torch.exp2((self.config.levels // 2 - levels) / 2)
        lattice = fine.new_ones(b, self.config.lattice, h, w)
        rest = fine.expand(b, self.config.latents - self.config.lattice, h, w)
        return torch.cat([lattice, rest], 1)

    def levels(self, p: Tensor) -> Tensor:
        """Return the levels of an importance map, (B, 1, h, w), with gradient."""
        # single bits are masked by p itself, and their levels must say the same
        hysteresis = HYSTERESIS if self.config.expansion else 0.0
        return quantize(p, self.config.levels, hysteresis)

    def coefficients(self, x: Tensor) -> Tensor:
        """Return normalised coefficients of pixels (B, 3, H, W) in 0..1: (B, 192, h, w)."""
        return self.transform.analyse(x) / self.deviation[:, None, None]

    def importance(self, levels: Tensor) -> Tensor:
        """Return levels mapped to about -1..1."""
        return levels / (self.config.levels / 2) - 1

    def reconstruct(self, codes: Codes, u: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) float32, not clamped."""
        t = self.g_s(codes.y_hat, self.importance(codes.levels), u)
        return self.transform.synthesise(t * self.deviation[:, None, None])

    def rate_index(self, u: Tensor) -> Tensor:
        """Return u in eighths of an octave of the step, integers 0..56 as float32."""
        return torch.round(u * RATE_INDICES)

    def forward(self, x: Tensor, u: Tensor, real: bool) -> tuple[Tensor, Rates, Tensor]:
        """Encode, estimate the bits and decode, with gradients.

        Args:
            x: (B, 3, H, W) float32, 0..1; H and W multiples of 8.
            u: (B,) float32, 0..1.
            real: whether latents are rounded as the encoder of files rounds them, and rates are
                those of the cells that are coded; else they are rounded to the nearest, and rates
                are those of latents with uniform noise. Latents have the latter's gradient in
                both cases.

        Returns:
            (x_hat (B, 3, H, W), Rates, importance map (B, 1, h, w)).
        """
        t = self.coefficients(x)
        features = self.g_a.features(t)
        e = self.g_a(t, features, u)
        p = self.quantizer(features, u)
        levels = self.levels(p)
        with torch.autocast(x.device.type, enabled=False):
            known = levels if self.config.expansion else levels.detach()
            level_bits = self._level_bits(known, u)
            if self.config.expansion:
                y_hat, code_bits = self._expansion(e, levels, u, real)
            else:
                y_hat, code_bits = self._single_bits(e, p, levels, u)
        x_hat = self.reconstruct(Codes(levels, y_hat), u)
        return x_hat, Rates(code_bits, level_bits), p

    def _level_bits(self, levels: Tensor, u: Tensor) -> Tensor:
        """Return the bits of the levels (B,); gradients reach the levels and the context."""
        tape = _Tape(MEAN_UNIT * levels.detach(), None, None)
        rate = (RATE_SHOWN * self.rate_index(u)).view(-1, 1, 1, 1).expand_as(levels)
        self.level_context.walk(rate, levels.new_zeros(len(u), 1, 1), tape)
        mean, scale = tape.result()
        residual = levels - round_through(mean / MEAN_UNIT)
        return logistic_bits(residual, scale).sum((1, 2, 3))

    def _expansion(
        self, e: Tensor, levels: Tensor, u: Tensor, real: bool
    ) -> tuple[Tensor, Tensor]:
        steps = self.steps(levels, u)
        y = e / steps
        weight = self.rounding_weight(levels.detach()) if real else None
        tape = _Tape(MEAN_UNIT * y.detach(), self.code_context.costs, weight)
        self.code_context.walk(levels.detach(), self.rate_index(u), self.config.levels, tape)
        mean, scale = tape.result()
        residual = y - mean / MEAN_UNIT
        noisy = residual + torch.rand_like(residual) - 0.5
        if not real:
            y_hat = (round_through(residual) + mean / MEAN_UNIT) * steps
            return y_hat, logistic_bits(noisy, scale).sum((1, 2, 3))
        value = tape.values_coded() + MEAN_UNIT * (y - y.detach())
        cells = ((value - mean) / MEAN_UNIT).detach()
        # the scale learns from the coded cells, mean and latents from the noisy ones
        proxy = logistic_bits(noisy, scale.detach()) if self.training else scale.new_zeros(())
        bits = logistic_bits(torch.round(cells), scale) + proxy - proxy.detach()
        return value / MEAN_UNIT * steps, bits.sum((1, 2, 3))

    def rounding_weight(self, levels: Tensor) -> Tensor:
        """Return the weight of a squared error of one step against bits, (B, latents, h, w).

        It is that of the training loss: lambda * step^2 / 3; latents are rounded towards zero
        where that costs less in all.
        """
        return self._relative_steps(levels).square() * (HIGH_RATE_STEP / 3)

    def _single_bits(
        self, e: Tensor, p: Tensor, levels: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        mask = prefix_mask(p, self.config.latents, self.config.levels)
        signs = 2 * binarize(torch.sigmoid(e)) - 1
        sent = signs * mask  # (6), with the bits as -1 and 1
        tape = _Tape(4 * MEAN_UNIT * sent.detach(), None, None)
        self.code_context.walk(levels.detach(), self.rate_index(u), self.config.levels, tape)
        logit, _ = tape.result()
        cost = torch.nn.functional.softplus(-signs.detach() * logit / MEAN_UNIT) / 0.6931472
        # no gradient to the networks: the paper's loss has its own measure of the rate
        return sent, (cost * mask.detach()).sum((1, 2, 3))


class _Tape:
    """A visitor that knows the values and records what is predicted.

    With costs, latents are rounded around their mean: to the nearest without a weight, else to
    what costs least. Without costs the values are coded as they are.
    """

    def __init__(self, values: Tensor, costs: Tensor | None, weight: Tensor | None) -> None:
        self.values, self.costs, self.weight = values, costs, weight
        self.parts: dict[int, list[Tensor]] = {}

    def __call__(self, channels: slice, mean: Tensor, scale: Tensor, places: Places) -> Tensor:
        values = self.values[:, channels]
        if self.costs is not None:
            middle = mean.detach()
            residual = (values - middle) / MEAN_UNIT
            if self.weight is None:
                cells = torch.round(residual)
            else:
                rows = scale.detach().round().clamp(0, NUM_SCALES - 1).long()
                cells, _ = round_cheaply(
                    residual, rows, None, self.weight[:, channels], self.costs
                )
            values = MEAN_UNIT * cells + middle
        mask = places.mask
        parts = [mean * mask, scale * mask, values * mask]
        coded = parts[2]
        before = self.parts.get(channels.start)
        if before is not None:
            parts = [a + b for a, b in zip(before, parts, strict=True)]
        self.parts[channels.start] = parts
        return coded

    def result(self) -> tuple[Tensor, Tensor]:
        """Return means and scales of all channels, (B, C, h, w) each."""
        return self._gather(0), self._gather(1)

    def values_coded(self) -> Tensor:
        """Return the values as they were given back, (B, C, h, w)."""
        return self._gather(2)

    def _gather(self, index: int) -> Tensor:
        return torch.cat([self.parts[start][index] for start in sorted(self.parts)], 1)


def logistic_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """Return the bits of a cell of width 1 around `residual` under a logistic distribution.

    Args:
        residual: distance from the mean in steps, any shape.
        scale: scale index, same shape.
    """
    inverse = torch.exp2((SCALE_ZERO - scale.clamp(0, 111)) / SCALES_PER_OCTAVE)
    near = (residual.abs() - 0.5) * inverse
    mass = torch.sigmoid(-near) - torch.sigmoid(-near - inverse)
    return -torch.log2(mass.clamp_min(1e-7))

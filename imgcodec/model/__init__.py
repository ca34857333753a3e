r"""The model: every network of the codec, assembled; what is learned, and how it is laid out.

    x -> LappedDCT -> Encoder -> y ------------------------> / step, round -> codes -> context
                         \-> F(x) -> Quantizer -> p -> levels -^       (bits)   |
    x_hat <- LappedDCT <- Decoder <- y_hat = codes * step <----------------------/

The parts hold no state between calls, choose no device and read no files. May import torch and
nothing of the package besides itself.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from imgcodec.model import pyramid
from imgcodec.model.binarizer import binarize
from imgcodec.model.config import ModelConfig
from imgcodec.model.context import LEVEL_STRIDE, CodeContext, LatticeContext, Reach, Visitor
from imgcodec.model.dct import COEFFICIENTS, STRIDE, LappedDCT
from imgcodec.model.decoder import Decoder
from imgcodec.model.encoder import Encoder
from imgcodec.model.integer import integers_kept
from imgcodec.model.quantizer import Quantizer, prefix_mask, quantize
from imgcodec.model.steps import (
    eighths,
    masking,
    middle_step,
    rate_index,
    relative_step,
    rounding_weights,
)
from imgcodec.model.tables import (
    MEAN_UNIT,
    RATE_SHOWN,
    SCALE_ZERO,
    SCALES_PER_OCTAVE,
    Costs,
    cost_slopes,
    cost_table,
    mass_table,
)
from imgcodec.model.visitors import LatentBits, LevelBits, SingleBits

__all__ = ["COEFFICIENTS", "STRIDE", "Dequantised", "Model", "ModelConfig"]

EVEN_LEVEL = 7  # of all places where all errors count the same


class Dequantised(NamedTuple):
    """Levels and latents as a file gives them back: what the decoder's network takes."""

    levels: Tensor  # (B, 1, h, w) float32 integers 0..L-1
    y_hat: Tensor  # (B, latents, h, w) float32, dequantised, in standard deviations


class Rates(NamedTuple):
    """Estimated bits per picture, float32 (B,)."""

    codes: Tensor
    levels: Tensor


class Model(nn.Module):
    """All networks of one set of weights, for all rates."""

    def __init__(self, config: ModelConfig) -> None:
        """Build with random weights; `start_from` makes it a transform codec."""
        super().__init__()
        c = self.config = config
        self.transform = LappedDCT()
        self.g_a = Encoder(c.latents, c.width, c.encoder_blocks, c.skip)
        self.g_s = Decoder(
            c.latents, c.width, c.decoder_blocks, c.skip, (c.coarse_blocks, c.coarse_width)
        )
        self.quantizer = Quantizer(
            c.width, c.attention_width, c.attention_heads, c.attention_blocks, c.attention_window
        )
        self.level_context = LatticeContext(1, MEAN_UNIT * (c.levels // 2), LEVEL_STRIDE)
        self.code_context = CodeContext(
            c.lattice,
            c.groups,
            c.context_width,
            c.context_hidden,
            2 if c.expansion else 1,
            Reach(
                c.context_phases,
                c.context_radius,
                c.context_deep,
                c.context_layers,
                c.context_ranks,
            ),
        )
        self.costs: Tensor  # what latents cost in estimates, see `Costs`
        self.cost_slopes: Tensor
        bits = cost_table(mass_table())
        self.register_buffer("costs", bits, persistent=False)
        self.register_buffer("cost_slopes", cost_slopes(bits), persistent=False)
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
            deviation[order] / middle_step(torch.zeros(1)) * 0.25
        )
        with torch.no_grad():
            start = self.config.lattice
            means = self.code_context.pyramid
            if means is not None:  # every octave doubles what is smooth
                lows = index[:start] + SCALES_PER_OCTAVE * pyramid.OCTAVES
                means.lows.last.bias[start:] = lows
                first, others = means.details.outer
                first.get_parameter("bias")[3:] = index[0]
                others.get_parameter("bias")[3 * start - 3 :] = index[1:start].repeat_interleave(3)
            heads = self.code_context.latents.outer
            for head, size in zip(heads, self.config.groups, strict=True):
                head.get_parameter("bias")[size:] = index[start : start + size]
                start += size
            self.level_context.last.bias[1:] = SCALE_ZERO - SCALES_PER_OCTAVE

    def estimate_by(self, masses: Tensor) -> None:
        """Let estimates count what a fitted mass table says, see `mass_table`."""
        bits = cost_table(masses.cpu().long())
        self.costs.copy_(bits)
        self.cost_slopes.copy_(cost_slopes(bits))

    def steps(self, levels: Tensor, u: Tensor) -> Tensor:
        """Return the step of every latent in its own units.

        Half an octave a level; the lattice channels do not follow the levels.

        Args:
            levels: (B, 1, h, w); gradients pass through.
            u: (B,) rate parameter, 0..1.

        Returns:
            (B, latents, h, w) float32.
        """
        fine = relative_step(levels, self.config).permute(0, 2, 3, 1)  # channels last
        lattice = fine.new_ones(*fine.shape[:3], self.config.lattice)
        rest = fine.expand(-1, -1, -1, self.config.latents - self.config.lattice)
        middle = middle_step(u)[:, None, None, None] / self.unit
        return (torch.cat([lattice, rest], 3) * middle).permute(0, 3, 1, 2)

    def split(self, y: Tensor, levels: Tensor) -> list[Tensor]:
        """Return the parts in which latents (B, latents, h, w) are coded, in their own steps.

        Args:
            y: latents in `steps`.
            levels: (B, 1, h, w).
        """
        lattice, *groups = y.split((self.config.lattice, *self.config.groups), 1)
        parts = pyramid.analyse(lattice) if self.config.lattice else []
        finer = eighths(levels.detach(), self.config)
        parts = [part * torch.exp2(f / 8) for part, f in zip(parts, finer, strict=True)]
        return [*parts, *groups]

    def join(self, parts: list[Tensor], levels: Tensor) -> Tensor:
        """Invert `split`."""
        if not self.config.lattice:
            return _side_by_side(parts)
        count = self.config.pyramid_parts
        finer = eighths(levels.detach(), self.config)
        means = [part * torch.exp2(-f / 8) for part, f in zip(parts[:count], finer, strict=True)]
        lattice = pyramid.synthesise(means, *levels.shape[2:])
        return _side_by_side([lattice, *parts[count:]])

    def importance_map(self, t: Tensor, features: Tensor, u: Tensor) -> Tensor:
        """Return p of normalised coefficients (B, 192, h, w) and features, (B, 1, h, w).

        A squared error counts the same everywhere: p is constant where nothing else is asked for.
        Where structure counts, what the quantizer says is added to what texture hides: an error
        weighs as much as 1 / (variance around it + C2), and levels are logarithms of steps. Single
        bits are masked by p itself, which is the quantizer's alone.
        """
        if not self.config.levelled and self.config.expansion:
            everywhere = (EVEN_LEVEL + 0.5) / self.config.levels
            return t.new_full((len(t), 1, *t.shape[2:]), everywhere, dtype=torch.float32)
        p: Tensor = self.quantizer(features, u)
        if not self.config.levelled:
            return p
        return p + masking(t, self.deviation) / self.config.levels

    def coefficients(self, x: Tensor) -> Tensor:
        """Return normalised coefficients of pixels (B, 3, H, W) in 0..1: (B, 192, h, w)."""
        return self.transform.analyse(x, self.deviation)

    def importance(self, levels: Tensor) -> Tensor:
        """Return levels mapped to about -1..1."""
        return levels / (self.config.levels / 2) - 1

    def reconstruct(self, dequantised: Dequantised, u: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) float32, not clamped."""
        t = self.g_s(dequantised.y_hat, self.importance(dequantised.levels), u)
        return self.transform.synthesise(t, self.deviation)

    def forward(self, x: Tensor, u: Tensor, real: bool) -> tuple[Tensor, Rates, Tensor]:
        """Encode, estimate the bits and decode, with gradients.

        Args:
            x: (B, 3, H, W) float32, 0..1; H and W multiples of 8.
            u: (B,) float32, 0..1.
            real: see `encode`.

        Returns:
            (x_hat (B, 3, H, W), Rates, importance map (B, 1, h, w)).
        """
        dequantised, rates, p = self.encode(x, u, real)
        return self.reconstruct(dequantised, u), rates, p

    def encode(self, x: Tensor, u: Tensor, real: bool) -> tuple[Dequantised, Rates, Tensor]:
        """Encode and estimate the bits, with gradients.

        Args:
            x: see `forward`.
            u: see `forward`.
            real: whether latents are rounded as the encoder of files rounds them, and rates are
                those of the cells that are coded; else they are rounded to the nearest, and rates
                are those of latents with uniform noise. For the gradients see `LatentBits`.

        Returns:
            (levels and latents, Rates, importance map (B, 1, h, w)).
        """
        t = self.coefficients(x)
        features = self.g_a.features(t)
        y = self.g_a(t, features, u)
        p = self.importance_map(t, features, u)
        levels = quantize(p, self.config.levels)
        with torch.autocast(x.device.type, enabled=False), integers_kept(self):
            known = levels if self.config.expansion else levels.detach()
            level_bits = self._level_bits(known, u)
            if self.config.expansion:
                y_hat, code_bits = self._expansion(y, levels, u, real)
            else:
                y_hat, code_bits = self._single_bits(y, p, levels, u)
        return Dequantised(levels, y_hat), Rates(code_bits, level_bits), p

    def _level_bits(self, levels: Tensor, u: Tensor) -> Tensor:
        """Return the bits of the levels (B,); gradients reach the levels and the context."""
        visit = LevelBits(levels)
        self.walk_levels(u, levels.shape[2:], visit)
        return visit.bits

    def _expansion(
        self, y: Tensor, levels: Tensor, u: Tensor, real: bool
    ) -> tuple[Tensor, Tensor]:
        steps = self.steps(levels, u)
        parts = self.split(y / steps, levels)
        weights = rounding_weights(levels.detach(), self.config) if real else None
        costs = Costs(self.costs, self.cost_slopes)
        visit = LatentBits(parts, weights, costs, self.training)
        self.walk_codes(levels.detach(), u, visit)
        return self.join(visit.result(), levels) * steps, visit.bits

    def walk_levels(self, u: Tensor, shape: torch.Size, visit: Visitor) -> Tensor:
        """Visit all levels in coding order, and return them in 1/16, (B, 1, h, w).

        Args:
            u: (B,) rate parameter.
            shape: h and w.
            visit: what the visitor does.
        """
        shown = (RATE_SHOWN * rate_index(u)).view(-1, 1, 1, 1).expand(-1, 1, *shape)
        return self.level_context.walk(shown, u.new_zeros(len(u), 1, 1), visit)

    def walk_codes(self, levels: Tensor, u: Tensor, visit: Visitor) -> None:
        """Visit all codes in coding order, see `imgcodec.model.context`.

        Args:
            levels: (B, 1, h, w) integers as float32.
            u: (B,) rate parameter.
            visit: what the visitor does.
        """
        finer = eighths(levels, self.config)
        index = rate_index(u)
        self.code_context.walk(levels, index, self.config.levels, finer, visit)

    def _single_bits(
        self, y: Tensor, p: Tensor, levels: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        mask = prefix_mask(p, self.config.latents, self.config.levels)
        signs = 2 * binarize(torch.sigmoid(y)) - 1
        sent = signs * mask  # (6), with the bits as -1 and 1
        visit = SingleBits(self.split(sent.detach(), levels))
        self.walk_codes(levels.detach(), u, visit)
        # no gradient to the networks: the paper's loss has its own measure of the rate
        return sent, visit.bits


def _side_by_side(maps: list[Tensor]) -> Tensor:
    """Return the channels of maps (B, C, h, w) as those of one, channels last in memory."""
    return torch.cat([part.permute(0, 2, 3, 1) for part in maps], 3).permute(0, 3, 1, 2)

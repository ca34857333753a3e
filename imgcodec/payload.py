"""What a tile's bytes hold: levels first, then the codes, in the order of the context models."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.bitstream import Coder
from imgcodec.container import MAX_U
from imgcodec.importance import LEVEL_DIGITS, LEVEL_EIGHTHS, prefix_length
from imgcodec.model import STRIDE, Codes, Model, ModelConfig
from imgcodec.model.binarizer import binarize
from imgcodec.model.context import Places
from imgcodec.model.tables import MEAN_UNIT, NUM_SCALES, RATE_SHOWN
from imgcodec.plan import CoderTables, Plan, Script
from imgcodec.weights import Tables

# log2 of the bits a place = offset + power * log2 of how many coefficients of it exceed so many
# steps; fitted on training pictures (error 0.4 octaves), it only shortens the rate search
GUESS_STEPS, GUESS_OFFSET, GUESS_POWER = 1.2, 4.1, 0.685
GUESS_STRIDE = 3  # every 3rd place of every 3rd row
GUESS_HALVINGS = 8
SINGLE_BIT = 4 * MEAN_UNIT  # how the context model sees a bit: plus or minus this


class Prepared(NamedTuple):
    """What does not depend on the rate."""

    t: Tensor  # (1, 192, h, w)
    features: Tensor  # (1, width, h, w)


class Latents(NamedTuple):
    """What the encoder's networks put out for one rate parameter."""

    e: Tensor  # (1, latents, h, w)
    levels: Tensor  # (1, 1, h, w) integers 0..L-1


class Payload:
    """Pixels <-> codes <-> a coder's bits, for one model.

    The trunks run in bfloat16 where `fast` says that the machine multiplies it natively; the
    context models always compute on integers in float32.
    """

    def __init__(self, model: Model, tables: Tables, fast: bool) -> None:
        """Keep a model and its tables."""
        self.model, self.fast = model, fast
        self.device = model.unit.device
        self.tables = CoderTables(tables, self.device)

    def analyse(self, pixels: NDArray[np.uint8]) -> Prepared:
        """Return what every rate needs of a picture (H, W, 3), H and W multiples of 8."""
        x = torch.tensor(pixels, device=self.device).permute(2, 0, 1)[None].float() / 255
        t = self.model.coefficients(x).contiguous(memory_format=torch.channels_last)
        with self._trunks():
            return Prepared(t, self.model.g_a.features(t))

    def guess(self, prepared: Prepared, num_bytes: float) -> int:
        """Return a rate parameter 0..65535 at which a payload has about so many bytes.

        From the number of coefficients, without the block means, that exceed the step.
        """
        t = prepared.t[0, :, ::GUESS_STRIDE, ::GUESS_STRIDE].flatten(1)
        size = (t * self.model.deviation[:, None]).abs()
        size[:: STRIDE**2] = 0
        wanted = math.log2(max(8 * num_bytes, 1) / prepared.t[0, 0].numel())
        low, high = 0.0, 1.0
        for _ in range(GUESS_HALVINGS):
            u = (low + high) / 2
            exceeding = (size > GUESS_STEPS * float(self.model.step(torch.tensor([u])))).sum()
            count = float(exceeding) / size.shape[1]
            bits = GUESS_OFFSET + GUESS_POWER * math.log2(count + 0.01)
            low, high = (low, u) if bits > wanted else (u, high)
        return round(high * MAX_U)

    def latents(self, prepared: Prepared, u: int) -> Latents:
        """Return latents and levels for a rate parameter 0..65535."""
        rate = self._rate(u)
        with self._trunks():
            e = self.model.g_a(prepared.t, prepared.features, rate)
            p = self.model.quantizer(prepared.features, rate)
        return Latents(e, self.model.levels(p).round())

    def plan(self, latents: Latents, u: int, raw: bool) -> Plan:
        """Choose the codes of latents at a rate parameter, their own or one close to it."""
        rate = self._rate(u)
        e, levels = latents
        plan = Plan(self.tables, raw)
        self._walk_levels(_Levels(plan, levels), rate, levels.shape[2:])
        expansion = self.model.config.expansion
        wanted = e / self.model.steps(levels, rate) if expansion else binarize(e.sigmoid())
        self._walk_codes(plan, levels, rate, wanted)
        return plan

    def read(self, coder: Coder, u: int, rows: int, columns: int) -> Codes:
        """Decode the codes of a tile of rows x columns places."""
        rate = self._rate(u)
        script = Script(self.tables, coder)
        values = self._walk_levels(_Levels(script, None), rate, torch.Size((rows, columns)))
        levels = (values / MEAN_UNIT).clamp(0, self.model.config.levels - 1)
        y_hat = self._walk_codes(script, levels, rate, None)
        if self.model.config.expansion:
            y_hat = y_hat / MEAN_UNIT * self.model.steps(levels, rate)
        else:
            y_hat = y_hat / SINGLE_BIT
        return Codes(levels, y_hat)

    def synthesise(self, codes: Codes, u: int) -> NDArray[np.uint8]:
        """Return the pixels of decoded codes, uint8 (8 rows, 8 columns, 3)."""
        y_hat = codes.y_hat.contiguous(memory_format=torch.channels_last)
        with self._trunks():
            x = self.model.reconstruct(Codes(codes.levels, y_hat), self._rate(u))[0]
        x = (x.nan_to_num(0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return np.ascontiguousarray(x.permute(1, 2, 0).cpu().numpy())

    def _trunks(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.fast)

    def _rate(self, u: int) -> Tensor:
        return torch.tensor([u / MAX_U], dtype=torch.float32, device=self.device)

    def _walk_levels(self, visitor: "_Levels", rate: Tensor, shape: torch.Size) -> Tensor:
        shown = (RATE_SHOWN * self.model.rate_index(rate)).view(1, 1, 1, 1).expand(1, 1, *shape)
        return self.model.level_context.walk(shown, rate.new_zeros(1, 1, 1), visitor)

    def _walk_codes(
        self, script: Plan | Script, levels: Tensor, rate: Tensor, wanted: Tensor | None
    ) -> Tensor:
        """Pass all codes and return their values, (1, latents, h, w)."""
        model = self.model
        index = model.rate_index(rate)
        visitor: _Integers | _SingleBits
        if model.config.expansion:
            digits = _digits(self.tables.digits, levels, int(index), model.config)
            visitor = _Integers(script, wanted, digits, model.rounding_weight(levels))
        else:
            visitor = _SingleBits(script, wanted, levels, model.config)
        model.code_context.walk(levels, index, model.config.levels, visitor)
        return torch.cat([visitor.found[start] for start in sorted(visitor.found)], 1)


class _Levels:
    """Visitor of the levels: integers around a prediction that is rounded to whole levels."""

    def __init__(self, script: Plan | Script, levels: Tensor | None) -> None:
        self.script = script
        self.levels = None if levels is None else levels.flatten(2)

    def __call__(self, channels: slice, mean: Tensor, scale: Tensor, places: Places) -> Tensor:
        index = places.where
        predicted = torch.floor(mean.flatten(2)[:, :, index] / MEAN_UNIT + 0.5)
        wanted = None if self.levels is None else (self.levels[:, :, index] - predicted).flatten()
        rows = _scale_rows(scale.flatten(2)[:, :, index].flatten())
        digits = torch.full_like(rows, LEVEL_DIGITS)
        found = self.script.integers(wanted, rows, digits, None).view_as(predicted)
        values = torch.zeros(mean.shape, dtype=mean.dtype, device=mean.device)
        values.flatten(2)[:, :, index] = MEAN_UNIT * (predicted + found)
        return values


class _Codes:
    """What the visitors of the codes share."""

    def __init__(self, script: Plan | Script, wanted: Tensor | None) -> None:
        self.script = script
        self.wanted = None if wanted is None else wanted[0].flatten(1)  # (latents, h w)
        self.found: dict[int, Tensor] = {}

    def __call__(self, channels: slice, mean: Tensor, scale: Tensor, places: Places) -> Tensor:
        index = places.where
        wanted = None if self.wanted is None else self.wanted[channels].index_select(1, index)
        at = (
            mean[0].flatten(1).index_select(1, index),
            scale[0].flatten(1).index_select(1, index),
        )
        values = torch.zeros(mean.shape, dtype=mean.dtype, device=mean.device)
        values[0].flatten(1)[:, index] = self.code(channels, index, *at, wanted)
        before = self.found.get(channels.start)
        self.found[channels.start] = values if before is None else before + values
        return values

    def code(
        self, channels: slice, index: Tensor, mean: Tensor, scale: Tensor, wanted: Tensor | None
    ) -> Tensor:
        """Pass the values of one step, (C, T)."""
        raise NotImplementedError


class _Integers(_Codes):
    """Visitor of latents that are binary expansions."""

    def __init__(
        self, script: Plan | Script, wanted: Tensor | None, digits: Tensor, weight: Tensor
    ) -> None:
        super().__init__(script, wanted)
        self.digits = digits  # (latents, h w)
        self.weight = weight[0].flatten(1)

    def code(
        self, channels: slice, index: Tensor, mean: Tensor, scale: Tensor, wanted: Tensor | None
    ) -> Tensor:
        residual = None if wanted is None else (wanted - mean / MEAN_UNIT).flatten()
        digits = self.digits[channels].index_select(1, index).flatten()
        weight = self.weight[channels].index_select(1, index).flatten()
        found = self.script.integers(residual, _scale_rows(scale).flatten(), digits, weight)
        return MEAN_UNIT * found.view_as(mean) + mean


class _SingleBits(_Codes):
    """Visitor of single bits, of which each place keeps a prefix, equation (5)."""

    def __init__(
        self, script: Plan | Script, wanted: Tensor | None, levels: Tensor, config: ModelConfig
    ) -> None:
        super().__init__(script, wanted)
        self.keep = prefix_length(levels.flatten().long(), config.latents, config.levels)

    def code(
        self, channels: slice, index: Tensor, mean: Tensor, scale: Tensor, wanted: Tensor | None
    ) -> Tensor:
        numbers = torch.arange(channels.start, channels.stop, device=mean.device)
        mask = numbers[:, None] < self.keep[index]
        bits = self.script.bits(None if wanted is None else wanted[mask], mean[mask])
        result = torch.zeros_like(mean)
        result[mask] = SINGLE_BIT * (2 * bits - 1)
        return result


def _digits(table: Tensor, levels: Tensor, rate_index: int, config: ModelConfig) -> Tensor:
    """Return how many digits every latent has, int64 (latents, h w)."""
    rows = rate_index + LEVEL_EIGHTHS * levels.flatten().long()
    digits = table[rows].T.contiguous()
    middle = table[rate_index + LEVEL_EIGHTHS * (config.levels // 2)]
    digits[: config.lattice] = middle[: config.lattice, None]  # these do not follow the levels
    return digits


def _scale_rows(scale: Tensor) -> Tensor:
    return scale.clamp(0, NUM_SCALES - 1).long()

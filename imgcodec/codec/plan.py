"""The two ways through the codes of tiles: a Chooser makes a Plan of each, a Script reads them.

Both have the same methods, so that the visitors of the context models need not know which it is.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.codec.pace import CODER_BYTES, Pace, Profile
from imgcodec.entropy import sign_hiding
from imgcodec.entropy.range_coder import (
    FLAGS,
    MASS_BITS,
    PROBABILITY_BITS,
    Bits,
    Coder,
    Decoder,
    Integers,
    IntegerTables,
    RangeEncoder,
    RawEncoder,
    code_bits,
    code_integers,
    raw_bits,
)
from imgcodec.errors import EndError
from imgcodec.model.binarizer import round_cheaply
from imgcodec.model.tables import cost_table
from imgcodec.runtime.stopwatch import stage
from imgcodec.weights import Tables

Floats: TypeAlias = NDArray[np.float32]

CERTAIN_SCALE = 6  # below this scale index a value is zero and not sent


class CoderTables:
    """The integer tables as arrays, and what a value costs by them."""

    def __init__(self, tables: Tables, device: torch.device) -> None:
        """Convert the tensors of a weights file."""
        self.integers = IntegerTables(tables.masses.numpy().astype(np.int64))
        self.probabilities = tables.probabilities.numpy().astype(np.int64)
        self.digits = tables.digits.long().to(device)
        costs = cost_table(tables.masses.long())
        self.costs, self.host_costs = costs.to(device), costs.numpy()
        flagged = 1 - tables.masses[:, FLAGS].double() / 2**MASS_BITS
        self._flag_costs = -torch.log2(flagged).float().numpy()
        ones = tables.probabilities.double() / 2**PROBABILITY_BITS
        self.bit_costs = -torch.log2(torch.stack([1 - ones, ones])).float().to(device)

    def beyond(self, sizes: Integers, rows: Integers) -> Floats:
        """Return how many bits magnitudes cost more than the last one that the table tells apart.

        The first digit that says so is as unlikely as can be, and those after it take a bit each.

        Args:
            sizes: (N,) magnitudes.
            rows: (N,) scale indices.
        """
        found = np.zeros(len(sizes), np.float32)
        last = self.integers.last
        some = np.flatnonzero(sizes > last)
        if len(some):
            digits = np.floor(np.log2(sizes[some] - 1)) + PROBABILITY_BITS + 1
            row = rows[some]
            found[some] = self._flag_costs[row] + digits - self.host_costs[row, last]
        return found


class IntegerStep(NamedTuple):
    """The integers of one step of the coding order that are coded, (M,) int64 arrays."""

    integers: Integers
    rows: Integers  # scale indices
    digits: Integers  # 1 or more
    hides: bool  # some signs in the magnitudes
    lanes: sign_hiding.Lanes | None = None  # where they are known

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.integers)

    def write(self, coder: Coder, tables: CoderTables) -> None:
        """Code them."""
        code_integers(coder, *self[:3], tables.integers, self.hides, self.lanes)


class BitStep(NamedTuple):
    """Single bits of one step of the coding order."""

    bits: Bits
    logits: Integers

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.bits)

    def write(self, coder: Coder, tables: CoderTables) -> None:
        """Code them."""
        code_bits(coder, self.bits, self.logits, tables.probabilities)


class Plan:
    """Codes chosen for one rate parameter, in coding order, with an estimate of their size."""

    def __init__(self, tables: CoderTables, raw: bool, pace: Pace | None = None) -> None:
        """Start with nothing; `raw` estimates bits that are stored as they are."""
        self.tables, self.raw = tables, raw
        self._pace = pace
        self._spent = 0.0
        self._bits: list[float] = []  # of each step
        self._factors: list[float] = []  # how many times errors counted in it
        self.steps: list[IntegerStep | BitStep] = []
        self.parts: list[Tensor] = []  # the values that a decoder will read

    @property
    def estimated_bytes(self) -> float:
        """Bytes that the coder will need, within a tenth of a percent."""
        return self._spent / 8 + (0.5 if self.raw else CODER_BYTES)

    @property
    def factor(self) -> float:
        """How many times errors count in the next step, so that all fits."""
        return 1.0 if self._pace is None else self._pace.factor(len(self.steps), self._spent)

    def profile(self) -> Profile:
        """Return about what each step takes where errors count as usual."""
        numbers = np.array([step.number for step in self.steps])
        found = Profile(np.array(self._bits), numbers)
        return found._replace(bits=found.bits / np.array(self._factors) ** found.elasticity)

    def add(self, step: IntegerStep | BitStep, bits: float) -> None:
        """Append what takes about so many bits."""
        self._factors.append(self.factor)
        self.steps.append(step)
        self._bits.append(bits)
        self._spent += bits

    def write(self, coder: Coder) -> None:
        """Code everything."""
        for step in self.steps:
            step.write(coder, self.tables)

    @stage("codes")
    def payload(self) -> bytes:
        """Return the tile's bytes."""
        coder = RawEncoder() if self.raw else RangeEncoder()
        self.write(coder)
        return coder.finish()


class Chooser:
    """Chooses the codes of pictures of one size, each for its own plan."""

    def __init__(self, plans: Sequence[Plan], hide: bool = True) -> None:
        """Take empty plans, all raw or none, and whether signs are hidden, as in files."""
        self.plans, self.hide = plans, hide
        self.tables, self.raw = plans[0].tables, plans[0].raw

    def integers(
        self, wanted: Tensor | None, rows: Tensor, digits: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Choose the integers of one step; those with weights hide some of their signs.

        Args:
            wanted: (B, N) float32.
            rows: (B, N) int64 scale indices.
            digits: (B, N) int64 binary digits that each may have.
            weight: (B, N) of squared errors against bits; None rounds to the nearest.

        Returns:
            (B, N) float32 integers.
        """
        if wanted is None:
            raise ValueError("a plan needs values")
        found = np.zeros(wanted.shape, np.float32)
        wants, weights = _host(wanted), None if weight is None else _host(weight)
        for i, (plan, its_rows, its_digits) in enumerate(
            zip(self.plans, _host(rows), _host(digits), strict=True)
        ):
            index = np.flatnonzero(is_sent(its_rows, its_digits, weights is not None))
            step, bits = self._step(
                wants[i].take(index),
                its_rows.take(index),
                its_digits.take(index),
                None if weights is None else np.float32(plan.factor) * weights[i].take(index),
            )
            found[i, index] = step.integers
            plan.add(step, bits)
        return torch.from_numpy(found).to(wanted.device)

    def _step(
        self, wanted: Floats, rows: Integers, digits: Integers, weight: Floats | None
    ) -> tuple[IntegerStep, float]:
        """Choose the integers of one step of a picture, arrays (M,) of those that are coded.

        Returns:
            (the step, about how many bits it takes).
        """
        # most are zero whatever the weights: only the others are worth a closer look
        some = np.flatnonzero(np.abs(wanted) >= 0.5)
        near, near_rows, near_digits = wanted.take(some), rows.take(some), digits.take(some)
        factor = np.full(len(some), 1e9, np.float32) if weight is None else weight.take(some)
        chosen, cost = round_cheaply(
            torch.from_numpy(near),
            torch.from_numpy(near_rows),
            torch.from_numpy(1 << (near_digits - 1)),
            torch.from_numpy(factor),
            torch.from_numpy(self.tables.host_costs),
        )
        integers = np.zeros(len(wanted), np.int64)
        integers[some] = chosen.numpy()
        zero_costs = self.tables.host_costs[:, 0]
        more = self.tables.beyond(np.abs(integers.take(some)), near_rows)
        more += cost.numpy() - zero_costs.take(near_rows)
        bits = float(zero_costs.take(rows).sum() + more.sum())
        lanes, hidden = None, 0
        if self.hide and weight is not None:
            lanes = sign_hiding.lanes(rows)
            if lanes is not None:
                hidden, added = self._hide(lanes, integers, rows, digits, wanted, weight)
                bits += added
        if self.raw:
            bits = float(raw_bits(integers, digits))
        step = IntegerStep(integers, rows, digits, weight is not None, lanes)
        return step, bits - hidden

    def _hide(
        self,
        lanes: sign_hiding.Lanes,
        integers: Integers,
        rows: Integers,
        digits: Integers,
        wanted: Floats,
        weight: Floats,
    ) -> tuple[int, float]:
        """Choose some integers anew, so that they hide signs; see `_step`.

        Returns:
            (how many signs are hidden, by how many bits all magnitudes cost more).
        """
        magnitude = np.abs(integers.take(lanes.order))
        rows, digits = rows.take(lanes.order), digits.take(lanes.order)
        wanted, weight = wanted.take(lanes.order), weight.take(lanes.order)
        size = np.abs(wanted)
        table, last = self.tables.host_costs, self.tables.integers.last
        row = (last + 1) * rows  # where that of each begins in the table

        def cost(magnitude: Integers) -> Floats:
            return table.take(row + np.minimum(np.maximum(magnitude, 0), last))

        def total(magnitude: Integers, bits: Floats) -> Floats:
            off = size - magnitude.astype(np.float32)
            found: Floats = bits + weight * np.square(off)
            return found

        bits, larger, smaller = (cost(magnitude + by) for by in (0, 1, -1))
        up, down = total(magnitude + 1, larger), total(magnitude - 1, smaller)
        up[magnitude >= 1 << (digits - 1)] = np.inf
        down[magnitude == 0] = np.inf
        other = magnitude + np.where(up < down, 1, -1)
        dearer = np.minimum(up, down) - total(magnitude, bits)
        sign = np.where(wanted < 0, -1, 1)
        chosen = sign_hiding.choose(lanes, sign * magnitude, sign * other, dearer)
        integers[lanes.order] = chosen
        sizes = np.abs(chosen)
        return sign_hiding.number_hidden(lanes, sizes), float((cost(sizes) - bits).sum())

    def bits(self, wanted: Tensor | None, logits: Tensor) -> Tensor:
        """Take the single bits of one step of one picture, (N,) float32 of 0 and 1."""
        if wanted is None:
            raise ValueError("a plan needs values")
        (plan,) = self.plans
        costs = self.tables.bit_costs
        limit = costs.shape[1] // 2
        index = logits.clamp(-limit, limit).long() + limit
        cost = len(wanted) if self.raw else float(costs[wanted.long(), index].sum())
        bits = _host(wanted).astype(np.int32)
        plan.add(BitStep(bits, _host(logits.long())), cost)
        return wanted


class Script:
    """Reads what plans wrote.

    Attributes:
        ended: whether the limit of a stream is reached: all that follows is as it is predicted.
    """

    def __init__(
        self, tables: CoderTables, coders: Sequence[Decoder], most: float = math.inf
    ) -> None:
        """Read from the coders of pictures of one size, at most so many bits of a single one."""
        self.tables, self.coders = tables, coders
        self._limited, self.ended = False, False
        if most < math.inf:
            self.stop_after(most)

    def stop_after(self, bits: float) -> None:
        """Leave out what goes beyond so many bits."""
        self._limited = True
        for coder in self.coders:
            coder.limit = min(coder.limit, bits)

    def integers(
        self, wanted: Tensor | None, rows: Tensor, digits: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Return the integers of one step, (B, N) float32; see `Chooser.integers`."""
        found = np.zeros(rows.shape, np.float32)
        if self.ended:
            return torch.from_numpy(found).to(rows.device)
        hides, tables = weight is not None, self.tables.integers
        for i, (coder, its_rows, its_digits) in enumerate(
            zip(self.coders, _host(rows), _host(digits), strict=True)
        ):
            index = np.flatnonzero(is_sent(its_rows, its_digits, hides))
            its_rows, its_digits = its_rows.take(index), its_digits.take(index)
            try:
                found[i, index] = code_integers(coder, None, its_rows, its_digits, tables, hides)
            except EndError:
                if not self._limited:
                    raise
                self.ended = True
        return torch.from_numpy(found).to(rows.device)

    def bits(self, wanted: Tensor | None, logits: Tensor) -> Tensor:
        """Return the single bits of one step of one picture, (N,) float32."""
        (coder,) = self.coders
        found = code_bits(coder, None, _host(logits.long()), self.tables.probabilities)
        return torch.from_numpy(found).to(logits.device).float()


def is_sent(rows: Any, digits: Any, codes: bool) -> Any:
    """Return which integers are coded at all; codes, unlike levels, may be certain without.

    Of tensors, or of arrays.
    """
    return (digits > 0) & (rows >= CERTAIN_SCALE) if codes else digits > 0


def hidden_signs(magnitudes: Tensor, rows: Tensor) -> Tensor:
    """Return whose signs are hidden, bool (N,), of the integers of one step that are sent."""
    hidden = torch.zeros_like(magnitudes, dtype=torch.bool)
    lanes = sign_hiding.lanes(_host(rows))
    if lanes is not None:
        index, _ = sign_hiding.signs(lanes, _host(magnitudes))
        hidden[torch.from_numpy(index).to(hidden.device)] = True
    return hidden


def _host(values: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; on a CPU they share memory."""
    found: NDArray[Any] = values.cpu().numpy()
    return found

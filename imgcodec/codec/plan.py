"""The two ways through the codes of tiles: a Chooser makes a Plan of each, a Script reads them.

Both have the same methods, so that the visitors of the context models need not know which it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
    Integers,
    IntegerTables,
    RangeEncoder,
    RawDecoder,
    RawEncoder,
    code_bits,
    code_integers,
    raw_bits,
)
from imgcodec.model.binarizer import round_cheaply
from imgcodec.model.tables import cost_table
from imgcodec.runtime.stopwatch import stage
from imgcodec.weights import Tables

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
        self._flag_costs = -torch.log2(flagged).float().to(device)
        ones = tables.probabilities.double() / 65536
        self.bit_costs = -torch.log2(torch.stack([1 - ones, ones])).float().to(device)

    def beyond(self, sizes: Tensor, rows: Tensor) -> Tensor:
        """Return how many bits magnitudes cost more than the last one that the table tells apart.

        The first digit that says so is as unlikely as can be, and those after it take a bit each.

        Args:
            sizes: (N,) magnitudes, float32.
            rows: (N,) scale indices.
        """
        found = torch.zeros_like(sizes)
        last = self.integers.last
        some = torch.nonzero(sizes > last)[:, 0]
        if len(some):
            digits = torch.log2(sizes[some] - 1).floor() + PROBABILITY_BITS + 1
            found[some] = self._flag_costs[rows[some]] + digits - self.costs[rows[some], last]
        return found


class IntegerStep(NamedTuple):
    """Integers of one step of the coding order: (N,) tensors, and which of them are coded."""

    integers: Tensor  # float32
    rows: Tensor  # int64 scale indices
    digits: Tensor  # int64
    sent: Tensor  # (M,) int64, their places; the others are 0
    hides: bool  # some signs in the magnitudes
    lanes: sign_hiding.Lanes | None = None  # of what is sent, where they are known

    @property
    def number(self) -> int:
        """How many are sent."""
        return len(self.sent)

    def arrays(self) -> tuple[Integers, Integers, Integers]:
        """Return integers, rows and digits of what is sent."""
        values, rows, digits = (
            _array(of, self.sent) for of in (self.integers, self.rows, self.digits)
        )
        return values, rows, digits

    def write(self, coder: Coder, tables: CoderTables) -> None:
        """Code them."""
        code_integers(coder, *self.arrays(), tables.integers, self.hides, self.lanes)


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
        sent = is_sent(rows, digits, weight is not None)
        factors = [plan.factor for plan in self.plans]
        if weight is not None and factors != [1.0] * len(factors):
            weight = weight * weight.new_tensor(factors)[:, None]
        found = torch.zeros_like(wanted)
        # most are zero whatever the weights: only the others are worth a closer look
        some = torch.nonzero(((wanted.abs() >= 0.5) & sent).flatten())[:, 0]
        near, near_rows, near_digits = (
            x.flatten().index_select(0, some) for x in (wanted, rows, digits)
        )
        factor = torch.full_like(near, 1e9)
        if weight is not None:
            factor = weight.flatten().index_select(0, some)
        chosen, cost = round_cheaply(
            near, near_rows, 1 << (near_digits - 1), factor, self.tables.costs
        )
        found.view(-1)[some] = chosen
        zero_costs = self.tables.costs[:, 0]
        zeros = zero_costs.take(rows).mul_(sent).sum(1)
        cost = cost - zero_costs.take(near_rows) + self.tables.beyond(chosen.abs(), near_rows)
        bits = zeros.index_add(0, some // max(rows.shape[1], 1), cost).tolist()
        for i, plan in enumerate(self.plans):
            index = torch.nonzero(sent[i])[:, 0]
            step = IntegerStep(found[i], rows[i], digits[i], index, weight is not None)
            hidden = 0
            if self.hide and weight is not None:
                step = step._replace(lanes=sign_hiding.lanes(_array(step.rows, index)))
                hidden, added = self._hide(step, wanted[i], weight[i])
                bits[i] += added
            if self.raw:
                values, _, sent_digits = step.arrays()
                bits[i] = float(raw_bits(values, sent_digits))
            plan.add(step, bits[i] - hidden)
        return found

    def _hide(self, step: IntegerStep, wanted: Tensor, weight: Tensor) -> tuple[int, float]:
        """Choose some integers anew, so that they hide signs.

        Args:
            step: of which the integers change.
            wanted: (N,) float32.
            weight: (N,) of squared errors.

        Returns:
            (how many signs are hidden, by how many bits all magnitudes cost more).
        """
        if (lanes := step.lanes) is None:
            return 0, 0.0
        some = step.sent.cpu().numpy().take(lanes.order)
        rows = step.rows.cpu().numpy()
        wants, weights, digits, before = (
            values.cpu().numpy().take(some)
            for values in (wanted, weight, step.digits, step.integers)
        )
        magnitude, size = np.abs(before).astype(np.int64), np.abs(wants)
        table, last = self.tables.host_costs, self.tables.integers.last
        row = (last + 1) * rows.take(some)  # where that of each begins in the table

        def cost(magnitude: Integers) -> NDArray[np.float32]:
            return table.take(row + np.minimum(np.maximum(magnitude, 0), last))

        def total(magnitude: Integers, bits: NDArray[np.float32]) -> NDArray[np.float32]:
            off = size - magnitude.astype(np.float32)
            found: NDArray[np.float32] = bits + weights * np.square(off)
            return found

        bits, larger, smaller = (cost(magnitude + by) for by in (0, 1, -1))
        up, down = total(magnitude + 1, larger), total(magnitude - 1, smaller)
        up[magnitude >= 1 << (digits - 1)] = np.inf
        down[magnitude == 0] = np.inf
        other = magnitude + np.where(up < down, 1, -1)
        dearer = np.minimum(up, down) - total(magnitude, bits)
        sign = np.where(wants < 0, -1, 1)
        chosen = sign_hiding.choose(lanes, sign * magnitude, sign * other, dearer)
        found = torch.from_numpy(chosen.astype(np.float32))
        step.integers[torch.from_numpy(some)] = found.to(step.integers.device)
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
        bits = wanted.cpu().numpy().astype(np.int32)
        plan.add(BitStep(bits, logits.long().cpu().numpy()), cost)
        return wanted


class Script:
    """Reads what plans wrote."""

    def __init__(self, tables: CoderTables, coders: Sequence[Coder]) -> None:
        """Read from the coders of pictures of one size."""
        self.tables, self.coders = tables, coders

    def integers(
        self, wanted: Tensor | None, rows: Tensor, digits: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Return the integers of one step, (B, N) float32; see `Chooser.integers`."""
        sent = is_sent(rows, digits, weight is not None)
        found = torch.zeros(rows.shape, dtype=torch.float32, device=rows.device)
        for i, coder in enumerate(self.coders):
            index = torch.nonzero(sent[i])[:, 0]
            values = code_integers(
                coder,
                None,
                _array(rows[i], index),
                _array(digits[i], index),
                self.tables.integers,
                weight is not None,
            )
            found[i, index] = torch.from_numpy(values).to(rows.device).float()
        return found

    def spent(self, found: Tensor, rows: Tensor, digits: Tensor) -> float:
        """Return about how many bits integers took that may hide signs, (1, N) each."""
        costs = self.tables.costs
        sent, size = is_sent(rows, digits, codes=True), found.abs().long()
        hidden = int(hidden_signs(size[sent], rows[sent]).sum())
        if isinstance(self.coders[0], RawDecoder):
            return _raw_bits(found, digits) - hidden
        return float(costs[rows, size.clamp_max(costs.shape[1] - 1)].sum()) - hidden

    def bits(self, wanted: Tensor | None, logits: Tensor) -> Tensor:
        """Return the single bits of one step of one picture, (N,) float32."""
        (coder,) = self.coders
        found = code_bits(coder, None, logits.long().cpu().numpy(), self.tables.probabilities)
        return torch.from_numpy(found).to(logits.device).float()


def is_sent(rows: Tensor, digits: Tensor, codes: bool) -> Tensor:
    """Return which integers are coded at all; codes, unlike levels, may be certain without."""
    return (digits > 0) & (rows >= CERTAIN_SCALE) if codes else digits > 0


def hidden_signs(magnitudes: Tensor, rows: Tensor) -> Tensor:
    """Return whose signs are hidden, bool (N,), of the integers of one step that are sent."""
    hidden = torch.zeros_like(magnitudes, dtype=torch.bool)
    lanes = sign_hiding.lanes(rows.cpu().numpy())
    if lanes is not None:
        index, _ = sign_hiding.signs(lanes, magnitudes.cpu().numpy())
        hidden[torch.from_numpy(index).to(hidden.device)] = True
    return hidden


def _array(values: Tensor, index: Tensor) -> Integers:
    """Return some elements of a tensor (N,) as an int64 array."""
    found: Integers = values.index_select(0, index).long().cpu().numpy()
    return found


def _raw_bits(found: Tensor, digits: Tensor) -> float:
    return float(raw_bits(found.long().cpu().numpy(), digits.long().cpu().numpy()))

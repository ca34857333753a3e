"""Coefficients -> bits and back: the order of coding, and the bits of each integer."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imgcodec.entropy.range_coder import Coder
from imgcodec.jpeg.packing import context
from imgcodec.jpeg.packing.component import GROUPS, Component, Floats, Integers, lattice, phases
from imgcodec.jpeg.packing.network import FIRST_LARGE, KINDS, LARGE, LOGITS, SIGN, TOP, Networks

Bits = NDArray[np.int64] | NDArray[np.bool_]
Planes = NDArray[np.int32]  # (64, h, w), frequencies in zigzag order
# Contexts of corrections, by kind of component: decisions of coefficients and of means, as many as
# there are logits and one for further digits; six of ends.
LOW = LOGITS
MEANS_AT = LOGITS + 1
ENDS_AT = 2 * (LOGITS + 1)
KIND_CONTEXTS = ENDS_AT + 6
RANGE = 15  # logits that are corrected alike
DECAY = 0.875  # of what was counted, each time that more is
DOUBT = 16.0  # decisions of each range that are as expected, before any were seen
MOST_SIZE = 17  # binary digits behind the first of a magnitude less 2


class Shape(NamedTuple):
    """What is known of a component before its coefficients."""

    height: int  # blocks
    width: int  # blocks
    steps: Integers  # (64,) in zigzag order
    kind: int  # 0, 1, 2: which networks


class Visitor(Protocol):
    """Who codes, or learns; `truth` is None when decoding."""

    def slopes(self, kind: int) -> Integers:
        """Return the weights of `context.slopes`."""

    def ends(self, kind: int, x: Floats, truth: Integers | None) -> Integers:
        """Return the numbers of the last coefficients of blocks, 0..63."""

    def predict(self, kind: int, k: int, phase: int, terms: Floats, step: int) -> Integers:
        """Return what values are likely to be, in 1/16."""

    def values(
        self, kind: int, what: context.Active, x: Floats, sign: Integers, truth: Integers | None
    ) -> Integers:
        """Return coefficients; sign: (n,) -1 or 1, what is likely."""

    def means(self, kind: int, x: Floats, sign: Integers, truth: Integers | None) -> Integers:
        """Return differences between means and their predictions."""


def walk(
    shapes: Sequence[Shape], truth: Sequence[Planes] | None, visitor: Visitor
) -> list[Planes]:
    """Visit all coefficients in the order of coding, and return them.

    Args:
        shapes: of the components.
        truth: their coefficients; None: the visitor gives them.
        visitor: who codes.
    """
    done: list[Component] = []
    for number, shape in enumerate(shapes):
        component = Component.empty(*shape)
        known = None if truth is None else np.pad(truth[number], ((0, 0), (1, 1), (1, 1)))
        others = context.beside(component, done[:2] if shape.kind else [])
        _ends(component, others, known, visitor)
        context.begin(component)
        places = phases(component)
        for group in GROUPS:
            for phase, where in enumerate(places):
                what = context.active(component, group, phase, where)
                if len(what.at):
                    _group(component, others, what, known, visitor)
            context.advance(component, group)
        _means(component, others, known, visitor)
        done.append(component)
    return [component.values[:64, 1:-1, 1:-1] for component in done]


def _ends(
    component: Component, others: context.Beside, known: Planes | None, visitor: Visitor
) -> None:
    """Visit where blocks end."""
    truth = None
    if known is not None:
        some = known[1:] != 0
        truth = np.where(some.any(0), 63 - np.argmax(some[::-1], 0), 0)
    for step in lattice(component.height, component.width):
        if len(step.rows):
            at = step.rows + 1, step.columns + 1
            x = context.end_features(component, others, step)
            found = None if truth is None else truth[at]
            component.ends[at] = visitor.ends(component.kind, x, found)


def _group(
    component: Component, others: context.Beside, what: context.Active,
    known: Planes | None, visitor: Visitor,
) -> None:  # fmt: skip
    """Visit the coefficients of a diagonal in one phase."""
    predicted = np.empty(len(what.at), np.int64)
    for k, span in what.spans:
        x = context.terms(component, others, k, what.phase, what.at[span])
        step = int(component.steps[k])
        predicted[span] = visitor.predict(component.kind, k, what.phase, x, step)
    x = context.features(component, others, what, predicted)
    sign = np.where(predicted < 0, -1, 1)
    flat = what.k * component.ends.size + what.at
    truth = None if known is None else known.reshape(-1)[flat].astype(np.int64)
    component.put(what.k, what.at, visitor.values(component.kind, what, x, sign, truth))


@np.errstate(divide="ignore")  # a step of zero: numpy's quotients are zero
def _means(
    component: Component, others: context.Beside, known: Planes | None, visitor: Visitor
) -> None:
    """Visit the block means."""
    along, down = context.slopes(component, visitor.slopes(component.kind))
    unit = 256 * int(component.steps[0])
    for step in lattice(component.height, component.width):
        if not len(step.rows):
            continue
        at = step.rows + 1, step.columns + 1
        means = context.mean_contexts(component, others, step, along, down)
        truth = None if known is None else known[0][at].astype(np.int64)
        if step.number:
            guess = (means.predicted + unit // 2) // unit
            left = means.predicted - guess * unit
            sign = np.where(left < 0, -1, 1)
            x = means.features
            x[:, context.ROUNDED] = 64 * np.abs(left) // unit
            diff = None if truth is None else truth - guess
            found = guess + visitor.means(component.kind, x, sign, diff)
        else:  # from the block before, eight to the left; of the first in a row, above
            columns = -(-component.width // 8)
            ahead = (along[step.rows, step.columns] + unit // 2) // unit
            ahead = ahead.reshape(-1, columns)
            ahead[:, 0] = (down[::8, 0] + unit // 2) // unit
            expected = _changes(ahead)
            diff = None if truth is None else _changes(truth.reshape(-1, columns)) - expected
            sign = np.ones(len(step.rows), np.int64)
            x = means.features
            coded = visitor.means(component.kind, x, sign, None if diff is None else diff.ravel())
            change = coded.reshape(-1, columns) + expected
            change[:, 0] = np.cumsum(change[:, 0])
            found = np.cumsum(change, 1).ravel()
        component.put(
            np.zeros(len(step.rows), np.int64), at[0] * (component.width + 2) + at[1], found
        )


def _changes(x: Integers) -> Integers:
    """Return differences along rows, and of the first column down."""
    first = np.diff(x[:, :1], axis=0, prepend=0)
    return np.concatenate([first, np.diff(x, axis=1)], 1)


class Experience:
    """How wrong the networks were in this slice: corrects probabilities by what was seen so far.

    For each kind of decision, and each range of logits, ones and zeros are counted, and so many
    as were expected; what was seen long ago counts less. So each kind of decision has a table of
    the probabilities of logits, which changes whenever it was used.

    Args:
        probabilities: see `network.Networks`.
    """

    def __init__(self, probabilities: Integers) -> None:
        """Know nothing."""
        # Tables are filled up to whole ranges: (contexts, zeros and ones, ranges, RANGE)
        num = -(-len(probabilities) // RANGE)
        ones = np.ones(num * RANGE, np.int64)
        ones[: len(probabilities)] = probabilities
        self._expected = np.stack([65536 - ones, ones]).reshape(2, num, RANGE) / 65536
        self._counts = np.zeros((KINDS * KIND_CONTEXTS, 2, 2, num))  # seen, expected; 0, 1
        self._tables = np.tile(ones, (KINDS * KIND_CONTEXTS, 1))
        self._pending: dict[int, tuple[Integers, NDArray[np.int32]]] = {}

    def probabilities(self, context: int) -> Integers:
        """Return those of ones of all logits, 1..65535 of 65536."""
        if context in self._pending:
            self._count()
        table: Integers = self._tables[context]
        return table

    def learn(self, context: int, logits: Integers, bits: NDArray[np.int32]) -> None:
        """Count what was coded: logits from the least on, and their bits."""
        self._pending[context] = logits, bits

    def _count(self) -> None:
        """Count what is pending, of all its contexts at once."""
        which = np.array(list(self._pending))
        shape = self._expected.shape
        size = self._expected[0].size
        logits, bits = (
            np.concatenate(column) for column in zip(*self._pending.values(), strict=True)
        )
        lengths = [len(column) for column, _ in self._pending.values()]
        self._pending.clear()
        cell = np.repeat(np.arange(0, 2 * size * len(which), 2 * size), lengths)
        cell += bits * size
        cell += logits
        seen = np.bincount(cell, minlength=2 * size * len(which)).astype(np.float64)
        seen = seen.reshape(-1, *shape)
        each = np.ones(RANGE)  # all sums are exact, in any order
        counts = self._counts[which]
        counts *= DECAY
        counts[:, 0] += (seen.reshape(-1, RANGE) @ each).reshape(-1, *shape[:2])
        expected = (seen[:, :1] + seen[:, 1:]) * self._expected
        counts[:, 1] += (expected.reshape(-1, RANGE) @ each).reshape(-1, *shape[:2])
        self._counts[which] = counts
        odds = (counts[:, 0] + DOUBT) / (counts[:, 1] + DOUBT)
        both = self._expected * odds[..., None]
        one = both[:, 1]
        one /= both[:, 0] + one
        one *= 65536
        least = np.ones_like(one)  # bounds that are arrays take a third of the time
        np.minimum(np.maximum(one, least, out=one), 65535 * least, out=one)
        self._tables[which] = one.reshape(len(which), -1)


class Coding:
    """Codes what is visited, by the probabilities that networks give.

    A coefficient is written as bits: is it not 0 (unless it is the last of its block); is its
    magnitude a beyond 1, beyond 2; the size e of a - 2 in binary, less 1, as so many ones and a
    zero; the e bits of a - 2 behind its first; whether it is positive, where a positive prediction
    is 1. All first bits of a step come first, then all second ones, and so on.
    """

    def __init__(self, coder: Coder, networks: Networks) -> None:
        """Code with a coder, which is either an encoder or a decoder."""
        self._coder, self._nets = coder, networks
        self._experience = Experience(networks.probabilities)

    def slopes(self, kind: int) -> Integers:
        """Return the weights of `context.slopes`."""
        slopes: Integers = self._nets.slopes[kind]
        return slopes

    def predict(self, kind: int, k: int, phase: int, terms: Floats, step: int) -> Integers:
        """Return what values are likely to be, in 1/16."""
        total = (terms @ self._nets.terms[kind, k, phase]).astype(np.float64)
        step = max(step, 1)  # a damaged table has steps of zero
        predicted: Integers = np.floor(total / 16 / step + 0.5).astype(np.int64)
        return predicted

    def ends(self, kind: int, x: Floats, truth: Integers | None) -> Integers:
        """Code the numbers of the last coefficients: six bits, from the highest."""
        logits = self._nets.ends[kind](x, [(0, slice(0, len(x)))])
        base = kind * KIND_CONTEXTS + ENDS_AT
        rows, node = np.arange(len(x)), np.ones(len(x), np.int64)
        for place in range(5, -1, -1):
            bits: Bits | None = None if truth is None else truth >> place & 1
            node = 2 * node + self._bits(bits, logits[node - 1, rows], base + place)
        return node - 64

    def values(
        self, kind: int, what: context.Active, x: Floats, sign: Integers, truth: Integers | None
    ) -> Integers:
        """Code coefficients."""
        logits = self._nets.values[kind](x, what.spans, what.phase)
        base = kind * KIND_CONTEXTS
        return self._integers(base, logits, x[:, context.IS_LAST] > 0, sign, truth)

    def means(self, kind: int, x: Floats, sign: Integers, truth: Integers | None) -> Integers:
        """Code differences of means."""
        logits = self._nets.means[kind](x, [(0, slice(0, len(x)))])
        return self._integers(
            kind * KIND_CONTEXTS + MEANS_AT, logits, np.zeros(len(x), bool), sign, truth
        )

    def _bits(self, bits: Bits | None, logits: Integers, context: int) -> Integers:
        """Code bits; logits from the least on; context: what is decided."""
        if not len(logits):
            return logits
        p = self._experience.probabilities(context).take(logits)
        found = self._coder.code(None if bits is None else bits.astype(np.int32), p)
        self._experience.learn(context, logits, found)
        return found.astype(np.int64)

    def _integers(
        self, base: int, logits: Integers, nonzero: NDArray[np.bool_], sign: Integers,
        truth: Integers | None,
    ) -> Integers:  # fmt: skip
        """Code signed integers; `nonzero`: which are known not to be 0."""
        size = None if truth is None else np.abs(truth)
        found = np.ones(logits.shape[1], np.int64)  # magnitudes
        asked = np.flatnonzero(~nonzero)
        bits: Bits | None = None if size is None else size[asked] > 0
        found[asked] = self._bits(bits, logits[0].take(asked), base)
        some = np.flatnonzero(found)
        rest = some
        for known in (1, 2):
            bits = None if size is None else size[rest] > known
            rest = rest[self._bits(bits, logits[known].take(rest), base + known) != 0]
            found[rest] = known + 1
        found[rest] = 2 + self._large(
            base, logits[:, rest], None if size is None else size[rest] - 2
        )
        bits = None if truth is None else truth[some] * sign[some] > 0
        agrees = self._bits(bits, logits[SIGN].take(some), base + SIGN)
        found[some] *= sign[some] * (2 * agrees - 1)
        return found

    def _large(self, base: int, logits: Integers, rest: Integers | None) -> Integers:
        """Code integers of 1 and more."""
        num = logits.shape[1]
        size = np.zeros(num, np.int64)
        more = np.arange(num)
        for known in range(MOST_SIZE):
            if not len(more):
                break
            bits: Bits | None = None if rest is None else rest[more] >> (known + 1) > 0
            column = FIRST_LARGE + min(known, LARGE - 1)
            more = more[self._bits(bits, logits[column].take(more), base + column) != 0]
            size[more] = known + 1
        value = np.ones(num, np.int64)
        some = np.flatnonzero(size)
        bits = None if rest is None else rest[some] >> (size[some] - 1) & 1
        value[some] = 2 + self._bits(bits, logits[TOP].take(some), base + TOP)
        left = np.maximum(size - 1, 0)  # further digits, which no network predicts
        owner = np.repeat(np.arange(num), left)
        place = np.cumsum(np.ones_like(owner)) - 1 - np.repeat(np.cumsum(left) - left, left)
        place = left[owner] - 1 - place
        bits = None if rest is None else rest[owner] >> place & 1
        even = np.full(len(owner), self._nets.limit)
        found = self._bits(bits, even, base + LOW)
        return (value << left) + np.bincount(owner, found << place, len(value)).astype(np.int64)

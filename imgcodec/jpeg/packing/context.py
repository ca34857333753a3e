"""What a quantised coefficient looks like to the networks that predict it.

Everything here is exact: integers, held in float32 below 2^24 or in float64 below 2^53, and
correctly rounded single operations.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imgcodec.jpeg.packing.component import (
    LIMIT,
    Bytes,
    Component,
    Floats,
    Integers,
    Pass,
    squashed,
)
from imgcodec.jpeg.syntax import ORDER

NUMBER = {place: k for k, place in enumerate(ORDER)}  # (row, column) -> number in zigzag order
NOTHING = 64  # the number of a plane of zeros
_OWN = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, -1), (-1, 2), (2, 2))
FEATURES = 40
IS_LAST = 28  # the feature that tells the last coefficient of a block
TERMS = 24  # of the prediction of a value
END_FEATURES = 16
MEAN_FEATURES = 12
ROUNDED = 9  # the one of these that tells what rounding took from the prediction


def _number(u: int, v: int) -> int:
    return NUMBER.get((u, v), NOTHING)


class _Terms(NamedTuple):
    """Where the terms of the prediction of a frequency come from."""

    along: list[int]  # numbers of F(u, v'), v' = v, v + 1, ..; their blocks lie left and right
    across: list[int]  # numbers of F(u', v); above and below


def _terms(k: int) -> _Terms:
    u, v = ORDER[k]
    return _Terms([_number(u, v + i) for i in range(8)], [_number(u + i, v) for i in range(8)])


_TERMS = [_terms(k) for k in range(64)]


@dataclass
class Beside:
    """What the component sees of those coded before it: `None` where there are none.

    Args:
        first: of the first component, at each block of this one: int64 maps (h + 2, w + 2), the
            mean number of the last coefficient and of nonzeros; uint8 (65, h + 2, w + 2) the
            mean squashed magnitudes at the frequencies of this one.
        second: the component before it, if that has the same size.
    """

    ends: Integers | None = None
    sizes: Bytes | None = None
    count: Floats | None = None
    second: Component | None = None


def beside(component: Component, before: list[Component]) -> Beside:
    """Return what a component sees of the others."""
    if not before:
        return Beside()
    first = before[0]
    height, width = component.height, component.width
    down, across = -(-first.height // height), -(-first.width // width)
    rows = np.minimum(np.arange(height)[:, None] * down + np.arange(down), first.height - 1)
    columns = np.minimum(np.arange(width)[:, None] * across + np.arange(across), first.width - 1)

    def mean(plane: Bytes | Floats | Integers) -> Floats:
        inner = plane[1:-1, 1:-1]
        total = inner[rows[:, :, None, None], columns].sum((1, 3))
        return np.pad(np.floor(total / np.float32(down * across)).astype(np.float32), 1)

    sizes = np.zeros((65, height + 2, width + 2), np.uint8)
    source: dict[int, Floats] = {}
    for k, (u, v) in enumerate(ORDER):
        number = NUMBER[u // min(down, 2), v // min(across, 2)] or k
        if number not in source:
            source[number] = mean(first.sizes[number])
        sizes[k] = source[number]
    second = before[1] if len(before) > 1 else None
    if second is not None and (second.height, second.width) != (height, width):
        second = None
    return Beside(
        mean(first.ends.astype(np.float32)).astype(np.int64), sizes, mean(first.count), second
    )


def end_features(component: Component, others: Beside, step: Pass) -> Floats:
    """Return what tells where blocks end, float32 (n, END_FEATURES + 1) of 0..127.

    The last one is 1, as in all that networks see.
    """
    at = (step.rows + 1) * (component.width + 2) + step.columns + 1
    x = np.zeros((len(at), END_FEATURES + 1), np.float32)
    x[:, 0] = 16 * step.number
    x[:, 1] = squashed(component.steps[1:2])
    x[:, 2] = squashed(component.steps[12:13])
    x[:, 3] = squashed(component.steps[40:41])
    if step.around.shape[2]:
        around = component.ends[step.around[:, 0] + 1, step.around[:, 1] + 1]  # (4, n)
        x[:, 4] = around.sum(0) >> 1
        x[:, 5] = 2 * around.min(0)
        x[:, 6] = 2 * around.max(0)
        x[:, 7] = np.abs(around[0] + around[1] - around[2] - around[3])
        x[:, 8] = squashed(around.sum(0))
    if others.ends is not None and others.count is not None:
        x[:, 9] = 2 * others.ends.take(at)
        x[:, 10] = squashed(others.ends.take(at))
        x[:, 11] = 2 * others.count.take(at)
    if others.second is not None:
        x[:, 12] = 2 * others.second.ends.take(at)
        x[:, 13] = squashed(others.second.ends.take(at))
        x[:, 14] = others.second.count.take(at)
        x[:, 15] = 127
    x[:, END_FEATURES] = 1
    return np.minimum(x, LIMIT)


class Active(NamedTuple):
    """Coefficients that are coded together, sorted by frequency."""

    phase: int
    k: Integers  # (n,) numbers in zigzag order
    at: Integers  # (n,) places in the padded map
    spans: list[tuple[int, slice]]  # which are of which frequency


def active(component: Component, group: list[int], phase: int, places: Integers) -> Active:
    """Return the coefficients of a diagonal that do not lie behind their block's end."""
    ends = component.ends.take(places)
    found = [places[ends >= k] for k in group]
    edges = np.cumsum([0, *map(len, found)]).tolist()
    spans = [(k, slice(*edges[i : i + 2])) for i, k in enumerate(group)]
    numbers = np.repeat(np.array(group), np.diff(edges))
    return Active(phase, numbers, np.concatenate(found), spans)


def terms(component: Component, others: Beside, k: int, phase: int, at: Integers) -> Floats:
    """Return what predicts a value in pixels, float32 (n, TERMS) of integers.

    Neighbours of both sides are added as a mirror would turn one into the other.
    """
    pixels, maps = component.pixels, (component.pixel_sums, component.pixel_changes)
    x = np.zeros((TERMS, len(at)), np.int16)
    column = 0
    for axis, numbers in enumerate(_TERMS[k]):
        for i, number in enumerate(numbers):
            if number != NOTHING and i > 0:
                maps[i % 2][axis, number].take(at, out=x[column + i], mode="clip")
            if number != NOTHING and i in (2, 4, 6):
                pixels[number].take(at, out=x[column + 7 + i // 2], mode="clip")
        if phase == 2:  # of its own frequency, only then are they known
            step = (1, component.width + 2)[axis]
            x[column] = pixels[k].take(at - step) + pixels[k].take(at + step)
        column += 11
    if others.second is not None:
        others.second.pixels[k].take(at, out=x[22], mode="clip")
    return x.astype(np.float32).T


def features(component: Component, others: Beside, what: Active, predicted: Integers) -> Floats:
    """Return what tells how large coefficients are, float32 (n, FEATURES + 1) of 0..127.

    Args:
        component: with all that is known.
        others: those before it.
        what: the coefficients.
        predicted: (n,) what their values are likely to be, in 1/16.
    """
    plane, stride = component.ends.size, component.width + 2
    k, at = what.k, what.at
    sizes = component.sizes.reshape(-1)
    x = np.zeros((FEATURES + 1, len(at)), np.uint8)  # gathers are fast where maps are small
    numbers = [number for number, _ in what.spans]
    lengths = [span.stop - span.start for _, span in what.spans]
    near = np.repeat(_NEAR[numbers].T * plane, lengths, 1)
    near += at
    own = np.repeat(np.array(numbers) * plane, lengths)
    own += at
    sizes.take(near, out=x[:8], mode="clip")
    for i in (0, 1):
        for axis in (0, 1):
            sides = component.size_sides[axis].reshape(-1)
            sides.take(near[i], out=x[8 + 2 * i + axis], mode="clip")
    if what.phase == 1:
        total = np.zeros(len(at), np.uint16)
        for step in (-stride - 1, -stride + 1, stride - 1, stride + 1):
            total += sizes.take(own + step)
        x[12] = total >> 1
    elif what.phase == 2:
        x[13] = sizes.take(own - 1) + sizes.take(own + 1)
        x[14] = sizes.take(own - stride) + sizes.take(own + stride)
    component.around[:6].take(at, 1, out=x[15:21], mode="clip")
    component.around[6:].take(at, 1, out=x[22:25], mode="clip")
    end = component.ends.take(at)
    x[21] = squashed(end - k)
    x[25] = squashed(np.abs(predicted))
    x[26] = np.repeat(squashed(component.steps[numbers]), lengths)
    x[27] = squashed(component.steps[12:13])
    x[IS_LAST] = 127 * (end == k)
    if others.sizes is not None and others.ends is not None and others.count is not None:
        x[29] = 2 * others.ends.take(at)
        others.sizes.reshape(-1).take(own, out=x[30], mode="clip")
        x[31] = 2 * others.count.take(at)
    if others.second is not None:
        second, sides = others.second.sizes.reshape(-1), others.second.size_sides
        second.take(own, out=x[32], mode="clip")
        for axis in (0, 1):
            sides[axis].reshape(-1).take(own, out=x[33 + axis], mode="clip")
        second.take(near[:2], out=x[35:37], mode="clip")
        x[37] = 2 * others.second.ends.take(at)
        x[38] = 4 * others.second.count.take(at)
        x[39] = 127
    x[FEATURES] = 1
    for rows in (x[8:15], x[29:]):  # `around` is cut already
        np.minimum(rows, LIMIT, out=rows)
    return x.astype(np.float32).T


_NEAR = np.array([[_number(u + du, v + dv) for du, dv in _OWN] for u, v in ORDER])


def begin(component: Component) -> None:
    """Take the ends into the maps of what is around places."""
    component.around[6:] = _surroundings(component.ends.astype(np.float32), 2, 0.5, 0.5)


def advance(component: Component, group: list[int]) -> None:
    """Take a diagonal that is known now into the maps."""
    new = component.sizes[group]
    if new.any():
        component.count += (new > 0).sum(0)
        component.around[3:6] = _surroundings(component.count, 4, 2, 2)
        for k in group:
            sizes, pixels = component.sizes[k].reshape(-1), component.pixels[k].reshape(-1)
            for axis, step in enumerate((1, component.width + 2)):
                before, inner, after = slice(-2 * step), slice(step, -step), slice(2 * step, None)
                sides, sums, changes = (
                    maps[axis, k].reshape(-1)[inner]
                    for maps in (
                        component.size_sides, component.pixel_sums, component.pixel_changes,
                    )
                )  # fmt: skip
                np.add(sizes[before], sizes[after], out=sides)
                np.add(pixels[before], pixels[after], out=sums)
                np.subtract(pixels[before], pixels[after], out=changes)
    component.energy = np.floor(component.energy * np.float32(0.75)) + new.sum(0, np.float32)
    component.around[:3] = _surroundings(component.energy, 0.5, 0.125, 0.125)


def _surroundings(values: Floats, own: float, sides: float, corners: float) -> Floats:
    """Return a map, the sums of the four sides and of the four corners, each times a factor.

    All are cut to 0..127, as networks see them.
    """
    stride = values.shape[1]
    flat = values.reshape(-1)
    x = np.zeros((3, len(flat)), np.float32)
    inner, edge = slice(stride + 1, -stride - 1), 2 * (stride + 1)

    def moved(step: int) -> Floats:
        start = stride + 1 + step
        return flat[start : len(flat) - edge + start]

    np.multiply(flat, np.float32(own), out=x[0])
    x[1, inner] = moved(-1) + moved(1) + moved(-stride) + moved(stride)
    x[2, inner] = moved(-stride - 1) + moved(-stride + 1) + moved(stride - 1) + moved(stride + 1)
    x[1] *= np.float32(sides)
    x[2] *= np.float32(corners)
    return np.floor(np.minimum(x, LIMIT, out=x), out=x)


def slopes(component: Component, weights: Integers) -> tuple[Integers, Integers]:
    """Return how much blocks are brighter than the first of their row, and of their column.

    As far as the coefficients besides the means tell: int64 maps (h, w), in 1/256 of a pixel's
    unit. So the difference between any two blocks of a row is known but for an error.

    Args:
        component: with all coefficients but the means.
        weights: (7,) of F(0, 1), F(0, 2), ..
    """
    result = []
    for axis in (1, 0):
        total = np.zeros((component.height, component.width), np.int64)
        for i in range(7):
            k = NUMBER[(0, i + 1) if axis == 1 else (i + 1, 0)]
            plane = component.pixels[k, 1:-1, 1:-1].astype(np.int64)
            before = np.roll(plane, 1, axis) * (1 if i % 2 else -1)
            total += weights[i] * (plane - before)
        (total[:, :1] if axis == 1 else total[:1])[:] = 0
        result.append(np.cumsum(total, axis))
    return result[0], result[1]


class Means(NamedTuple):
    """What is expected of block means."""

    predicted: Integers  # (n,) in 1/256 of a pixel's unit
    features: Floats  # (n, MEAN_FEATURES + 1)


def mean_contexts(
    component: Component, others: Beside, step: Pass, along: Integers, down: Integers
) -> Means:
    """Return predictions of the means of one pass; the first pass predicts from the ACs alone.

    Args:
        component: with all that is known.
        others: those before it.
        step: the pass.
        along: slopes of the rows.
        down: slopes of the columns.
    """
    rows, columns = step.rows, step.columns
    at = (rows + 1) * (component.width + 2) + columns + 1
    x = np.zeros((len(at), MEAN_FEATURES + 1), np.float32)
    if step.number:
        r, c = step.around[:, 0], step.around[:, 1]
        known = 256 * component.steps[0] * component.values[0, r + 1, c + 1].astype(np.int64)
        one = along[r, columns] - along[r, c] + down[rows, columns] - down[r, columns]
        two = down[rows, c] - down[r, c] + along[rows, columns] - along[rows, c]
        guesses = known + ((one + two) >> 1)
        predicted = guesses.sum(0) >> 2
        unit = 64 * component.steps[0]
        x[:, 0] = squashed((guesses.max(0) - guesses.min(0)) // unit)
        x[:, 1] = squashed(np.abs(guesses[0] + guesses[1] - guesses[2] - guesses[3]) // unit)
        x[:, 2] = squashed((known.max(0) - known.min(0)) // unit)
    else:
        predicted = np.zeros(len(at), np.int64)
    x[:, 3] = component.energy.take(at) / 2
    x[:, 4] = 2 * component.ends.take(at)
    x[:, 5] = component.sizes[1].take(at)
    x[:, 6] = component.sizes[2].take(at)
    x[:, 7] = squashed(component.steps[:1])
    x[:, 8] = 16 * step.number
    if others.sizes is not None:
        x[:, 10] = others.sizes[2].take(at)
    if others.second is not None:
        x[:, 11] = others.second.energy.take(at) / 2
    x[:, MEAN_FEATURES] = 1
    return Means(predicted, np.floor(np.minimum(x, LIMIT)))

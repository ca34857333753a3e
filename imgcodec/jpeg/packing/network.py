"""The networks that predict coefficients: int8 weights, exact in float32, and their file.

All sums are of integers below 2^24, so that no machine's order of adding matters.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from imgcodec.errors import AicError
from imgcodec.jpeg.packing.component import LIMIT, Floats, Integers
from imgcodec.jpeg.packing.context import END_FEATURES, FEATURES, MEAN_FEATURES, TERMS

SHIFT = 7  # fractional bits of weights
KINDS = 3  # of components
LOGITS = 10  # of a coefficient
FIRST_LARGE, LARGE, TOP, SIGN = 3, 5, 8, 9  # which of them are what, see `coding.Coding`
AT_A_TIME = 1024  # numbers that go through all layers, as caches hold them
ENDS = 63  # inner nodes of the tree of 64 ends


# (P, 1 or 3 phases, outputs, inputs + 1) integers times 2^-7, one set for each frequency; the last
# input is 1: its weight is the bias, with the half that rounding adds.
Layer = Floats


@dataclass(frozen=True)
class Net:
    """Three layers, with sets of weights for several frequencies.

    Args:
        layers: of it. The last one adds the limit of the logits.
        limit: of these.
    """

    layers: tuple[Layer, Layer, Layer]
    limit: int

    def __call__(self, x: Floats, spans: list[tuple[int, slice]], phase: int = 0) -> Integers:
        """Return logits in 1/16, plus the limit that they are cut to: (outputs, n).

        Args:
            x: (n, inputs + 1) of 0..127, the last of which is 1.
            spans: which rows go through which set.
            phase: of the places.
        """
        one, two, three = self.layers
        phase = min(phase, one.shape[1] - 1)
        outputs = three.shape[2]
        result = np.empty((outputs, len(x)), np.int64)
        # NumPy is four times as fast where bounds are arrays, too.
        zeros = np.zeros(max(layer.shape[2] for layer in self.layers) * AT_A_TIME, np.float32)
        most, limits = np.full_like(zeros, LIMIT), np.full_like(zeros, 2 * self.limit)
        for k, span in spans:
            for a in range(span.start, span.stop, AT_A_TIME):
                rows = slice(a, min(a + AT_A_TIME, span.stop))
                seen = x[rows].T
                for weight in (one[k, phase], two[k, 0]):
                    y = np.empty((len(weight) + 1, seen.shape[1]), np.float32)
                    np.matmul(weight, seen, out=y[:-1])
                    found = y[:-1].reshape(-1)
                    np.floor(found, out=found)
                    _cut(found, zeros, most)
                    y[-1] = 1
                    seen = y
                y = three[k, 0] @ seen
                _cut(y.reshape(-1), zeros, limits)
                result[:, rows] = y  # rounded down
        return result


def _cut(y: Floats, low: Floats, high: Floats) -> None:
    """Cut to a range, in place."""
    np.maximum(y, low[: len(y)], out=y)
    np.minimum(y, high[: len(y)], out=y)


@dataclass(frozen=True)
class Networks:
    """A set of weights."""

    values: tuple[Net, ...]  # of each kind of component; 64 sets
    ends: tuple[Net, ...]
    means: tuple[Net, ...]
    terms: Floats  # (3, 64, 3, TERMS) weights of the prediction, 1/256
    slopes: Integers  # (3, 7)
    probabilities: Integers  # (2 M + 1,): P(1) * 65536 of the logits -M..M

    @property
    def limit(self) -> int:
        """M, what logits are cut to."""
        return len(self.probabilities) // 2


_SHAPES = {
    "values": (64, FEATURES, LOGITS),
    "ends": (1, END_FEATURES, ENDS),
    "means": (1, MEAN_FEATURES, LOGITS),
}


def _net(tensors: dict[str, NDArray[np.generic]], name: str, kind: int, limit: int) -> Net:
    sets, width, outputs = _SHAPES[name]
    layers: list[Layer] = []
    scale = np.float32(2.0**-SHIFT)
    for number in (1, 2, 3):
        weight = tensors[f"{name}.{kind}.weight{number}"].astype(np.float32)
        bias = tensors[f"{name}.{kind}.bias{number}"].astype(np.float32)
        if weight.shape[:2] != (sets, width) or bias.shape != (sets, 1, weight.shape[2]):
            raise ValueError("layers that do not fit each other")
        width = weight.shape[2]
        if number == 1 and name == "values":
            phases = tensors[f"{name}.{kind}.phases"].astype(np.float32)
            if phases.shape != (sets, 3, width):
                raise ValueError("biases of phases that do not fit")
            bias = bias + phases
        if not LIMIT * np.abs(weight).sum(1).max() + np.abs(bias).max() < 2**22:
            raise ValueError("sums beyond the exact range")
        bias = bias * scale + np.float32(0.5 if number < 3 else 0.5 + limit)
        weights = np.repeat(weight.transpose(0, 2, 1)[:, None] * scale, bias.shape[1], 1)
        layers.append(np.concatenate([weights, bias[..., None]], 3))
    if width != outputs:
        raise ValueError(f"{width} logits, wanted {outputs}")
    one, two, three = layers
    return Net((one, two, three), limit)


@cache
def load(path: Path) -> Networks:
    """Read a weights file.

    Raises:
        AicError: it is none of these.
    """
    try:
        tensors = safetensors.numpy.load_file(path)
        terms = tensors["terms"].astype(np.float32)
        slopes, probabilities = tensors["slopes"], tensors["probabilities"]
        if terms.shape != (KINDS, 64, 3, TERMS) or slopes.shape != (KINDS, 7):
            raise ValueError("predictions of the wrong shape")
        if not (0 < probabilities.min() and probabilities.max() < 2**16):
            raise ValueError("probabilities that are none")
        limit = len(probabilities) // 2
        nets = {
            name: tuple(_net(tensors, name, kind, limit) for kind in range(KINDS))
            for name in _SHAPES
        }
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise AicError(f"{path} is not a weights file for packing") from error
    return Networks(
        nets["values"], nets["ends"], nets["means"], terms,
        slopes.astype(np.int64), probabilities.astype(np.int64),
    )  # fmt: skip

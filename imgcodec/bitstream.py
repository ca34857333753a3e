"""Integers and bits -> bytes and back, given their probabilities.

The coders have one method, `code(bits, p)`: an encoder stores the bits and gives them back, a
decoder ignores its argument and gives what was stored; so one function serves both directions.
Probabilities are integers k of k/65536, the probability of a 1, never 0 or 65536.
"""

from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import FormatError

PROBABILITY_BITS = 16
MASS_BITS = 24
_ONE = 1 << PROBABILITY_BITS

Bits = NDArray[np.int32]
Integers = NDArray[np.int64]


class Coder(Protocol):
    """One direction of a stream of bits."""

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Pass bits, int32 (N,) of 0 and 1, with p[i] / 65536 the probability that bit i is 1."""


class RangeEncoder:
    """Arithmetic coding to 32-bit words."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._encoder = constriction.stream.queue.RangeEncoder()
        self._model = constriction.stream.model.Bernoulli(perfect=False)

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Store `bits`."""
        if bits is None:
            raise ValueError("an encoder needs bits")
        if bits.size:
            self._encoder.encode(bits, self._model, p.astype(np.float64) / _ONE)
        return bits

    def finish(self) -> bytes:
        """Return the stream: little-endian 32-bit words."""
        return bytes(self._encoder.get_compressed().astype("<u4").tobytes())


class RangeDecoder:
    """The inverse of RangeEncoder."""

    def __init__(self, data: bytes) -> None:
        """Start at the beginning of a stream.

        Raises:
            FormatError: the length is not that of whole words.
        """
        if len(data) % 4:
            raise FormatError(f"a stream of {len(data)} bytes is not made of 32-bit words")
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)
        self._model = constriction.stream.model.Bernoulli(perfect=False)

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Return the stored bits.

        Raises:
            FormatError: the stream cannot have been written with these probabilities.
        """
        if not p.size:
            return np.zeros(0, np.int32)
        try:
            found = self._decoder.decode(self._model, p.astype(np.float64) / _ONE)
        except AssertionError as error:
            raise FormatError("the entropy-coded data is damaged") from error
        return np.asarray(found, np.int32)

    def finish(self) -> None:
        """Raise FormatError unless the stream ends here."""
        if not self._decoder.maybe_exhausted():
            raise FormatError("the entropy-coded data goes on after its end")


class RawEncoder:
    """The bits as they are, eight a byte, as the paper stores them."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._parts: list[Bits] = []

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Store `bits`."""
        if bits is None:
            raise ValueError("an encoder needs bits")
        self._parts.append(bits)
        return bits

    def finish(self) -> bytes:
        """Return the stream, padded with zero bits to whole bytes."""
        bits = np.concatenate([np.zeros(0, np.int32), *self._parts])
        return np.packbits(bits.astype(np.uint8)).tobytes()


class RawDecoder:
    """The inverse of RawEncoder."""

    def __init__(self, data: bytes) -> None:
        """Start at the beginning of a stream."""
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int32)
        self._position = 0

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Return the stored bits; FormatError where there are too few."""
        start, self._position = self._position, self._position + p.size
        if self._position > self._bits.size:
            raise FormatError("the stream of bits ends too early")
        return self._bits[start : self._position]

    def finish(self) -> None:
        """Raise FormatError unless only padding is left."""
        rest = self._bits[self._position :]
        if rest.size >= 8 or rest.any():
            raise FormatError("the stream of bits goes on after its end")


def code_integers(
    coder: Coder,
    values: Integers | None,
    scale: Integers,
    digits: Integers,
    masses: Integers,
) -> Integers:
    """Code signed integers as binary expansions: zero flag, sign, magnitude digits.

    The probability of each digit is (F(mid) - F(low)) / (F(high) - F(low)) in integers; beyond
    the end of the table F stays as it is.

    Args:
        coder: where to or from.
        values: (N,) of -2^(D-1)..2^(D-1), 0 where D is 0; None when decoding.
        scale: (N,) row of `masses` for each.
        digits: (N,) D of each, 0..13.
        masses: (rows, columns) table, masses[i, m] = P(magnitude <= m) * 2^24, see `mass_table`.

    Returns:
        The values, int64 (N,).
    """
    result = np.zeros(len(digits), np.int64)
    sent = np.flatnonzero(digits)
    found = None if values is None else values[sent]
    zero_mass = masses[scale[sent], 0]
    p = _clip(((1 << MASS_BITS) - zero_mass) >> (MASS_BITS - PROBABILITY_BITS))
    nonzero = coder.code(None if found is None else (found != 0).astype(np.int32), p)
    sent = sent[nonzero != 0]
    found = None if values is None else values[sent]
    half = np.full(len(sent), _ONE // 2)
    negative = coder.code(None if found is None else (found < 0).astype(np.int32), half)
    magnitude = np.zeros(len(sent), np.int64)  # less one
    rest = None if found is None else np.abs(found) - 1
    left = digits[sent] - 1
    last = masses.shape[1] - 1
    rows = scale[sent]
    for place in range(int(left.max(initial=0)) - 1, -1, -1):
        active = np.flatnonzero(left > place)
        low = magnitude[active]
        row = rows[active]
        high_mass = masses[row, np.minimum(low + (2 << place), last)]
        mid_mass = masses[row, np.minimum(low + (1 << place), last)]
        whole = high_mass - masses[row, np.minimum(low, last)]
        p = np.where(whole > 0, (high_mass - mid_mass) * _ONE // np.maximum(whole, 1), _ONE // 2)
        bits = None if rest is None else ((rest[active] >> place) & 1).astype(np.int32)
        magnitude[active] = low + (coder.code(bits, _clip(p)).astype(np.int64) << place)
    result[sent] = np.where(negative != 0, -1, 1) * (magnitude + 1)
    return result


def code_bits(coder: Coder, bits: Bits | None, logits: Integers, probabilities: Integers) -> Bits:
    """Code single bits.

    Args:
        coder: where to or from.
        bits: (N,) of 0 and 1; None when decoding.
        logits: (N,) in sixteenths.
        probabilities: (2 M + 1,) table: P(1) * 65536 for logits -M..M.
    """
    limit = len(probabilities) // 2
    return coder.code(bits, _clip(probabilities[np.clip(logits, -limit, limit) + limit]))


def _clip(p: Integers) -> Integers:
    return np.clip(p, 1, _ONE - 1)

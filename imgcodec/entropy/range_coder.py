"""Integers and bits -> bytes and back, given their probabilities.

The coders have one method, `code(bits, p)`: an encoder stores the bits and gives them back, a
decoder ignores its argument and gives what was stored; so one function serves both directions.
Probabilities are integers k of k/65536, the probability of a 1, never 0 or 65536.
"""

import math
from typing import Protocol, TypeAlias

import constriction
import numpy as np
from numpy.typing import NDArray

from imgcodec.entropy import sign_hiding
from imgcodec.entropy.digits import MAX_DIGITS
from imgcodec.errors import EndError, FormatError

PROBABILITY_BITS = 16
MASS_BITS = 24
WORD_BYTES = 4  # of what the range coder writes
_ONE = 1 << PROBABILITY_BITS
_TOO_EARLY = "the entropy-coded data ends too early"
FLAGS = 2  # magnitudes with a flag of their own
# A decoder looks at 64 bits beyond those that it has used up. What it rounds adds 1.3e-4 bits to
# each decision, as a mean over its range of 2^32 to 2^64.
AHEAD_BITS, ROUNDED = 64, 2e-4
PIECE = 1024  # bits that are decoded before their worth is counted

Bits = NDArray[np.int32]
Integers = NDArray[np.int64]


class Coder(Protocol):
    """One direction of a stream of bits."""

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Pass bits, int32 (N,) of 0 and 1, with p[i] / 65536 the probability that bit i is 1."""


# Two categories are the same as `Bernoulli`, bit for bit, and take two thirds of the time.
_MODEL = constriction.stream.model.Categorical(perfect=False, lazy=True)
_PAIRS = np.stack([_ONE - np.arange(_ONE), np.arange(_ONE)], 1) / _ONE  # of zeros and of ones


class RangeEncoder:
    """Arithmetic coding to 32-bit words."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._encoder = constriction.stream.queue.RangeEncoder()

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Store `bits`."""
        if bits is None:
            raise ValueError("an encoder needs bits")
        if bits.size:
            self._encoder.encode(bits, _MODEL, _PAIRS.take(p, 0))
        return bits

    def finish(self) -> bytes:
        """Return the stream: little-endian 32-bit words."""
        return bytes(self._encoder.get_compressed().astype("<u4").tobytes())


class RangeDecoder:
    """The inverse of RangeEncoder."""

    def __init__(self, data: bytes, counts: bool = False) -> None:
        """Start at the beginning of a stream.

        Args:
            data: the stream.
            counts: whether what is decoded is counted, so that there can be a `limit`.

        Raises:
            FormatError: the length is not that of whole words.
        """
        if len(data) % WORD_BYTES:
            raise FormatError(f"a stream of {len(data)} bytes is not made of 32-bit words")
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)
        self.limit = math.inf
        self.sure = 32.0 * len(words) - AHEAD_BITS
        self.taken = 0.0
        self._counts = counts

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Return the stored bits.

        Raises:
            EndError: they go beyond the limit.
            FormatError: the stream cannot have been written with these probabilities.
        """
        if not p.size:
            return np.zeros(0, np.int32)
        if not self._counts:
            return self._decoded(p)
        return np.concatenate(
            [self._counted(some) for some in np.split(p, range(PIECE, p.size, PIECE))]
        )

    def _counted(self, p: Integers) -> Bits:
        found = self._decoded(p)
        taken = PROBABILITY_BITS - np.log2(np.where(found != 0, p, _ONE - p))
        self.taken += float(taken.sum()) + ROUNDED * taken.size
        if self.taken > self.limit:
            raise EndError(_TOO_EARLY)
        return found

    def _decoded(self, p: Integers) -> Bits:
        try:
            return np.asarray(self._decoder.decode(_MODEL, _PAIRS.take(p, 0)), np.int32)
        except AssertionError as error:
            if self.limit < math.inf:
                raise EndError(_TOO_EARLY) from error
            raise FormatError("the entropy-coded data is damaged") from error

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
        self._bytes = np.frombuffer(data, np.uint8)
        self._position = 0  # in bits
        self.limit = self.sure = 8.0 * len(data)

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Return the stored bits; EndError where there are too few."""
        start, self._position = self._position, self._position + p.size
        if self._position > self.limit:
            raise EndError("the stream of bits ends too early")
        first, skipped = divmod(start, 8)
        found = np.unpackbits(self._bytes[first : -(-self._position // 8)])
        return found[skipped : skipped + p.size].astype(np.int32)

    def finish(self) -> None:
        """Raise FormatError unless only padding is left."""
        num_left = 8 * self._bytes.size - self._position
        if num_left >= 8 or np.unpackbits(self._bytes[-1:])[8 - num_left :].any():
            raise FormatError("the stream of bits goes on after its end")


Decoder: TypeAlias = RangeDecoder | RawDecoder


class IntegerTables:
    """The probabilities of integers: a table of masses, and what follows from it, made once.

    Args:
        masses: int64 (rows, columns), masses[i, m] = P(magnitude <= m) * 2^24, see `mass_table`.
            Beyond its end they stay as they are.
    """

    def __init__(self, masses: Integers) -> None:
        """Compute the probabilities of the flags and of the digits."""
        self.masses = masses
        self.nonzero = _clip(((1 << MASS_BITS) - masses[:, 0]) >> (MASS_BITS - PROBABILITY_BITS))
        # [known - 1, row, D]: of a magnitude beyond known - 1, that it is beyond known, too
        most = masses[:, np.minimum(1 << np.maximum(np.arange(MAX_DIGITS + 1) - 1, 0), self.last)]
        self.larger = np.stack(
            [
                _share(most - masses[:, known, None], most - masses[:, known - 1, None])
                for known in range(1, FLAGS + 1)
            ]
        )
        self.digits = [self._digits(place) for place in range(MAX_DIGITS)]

    def _digits(self, place: int) -> Integers:
        """Return the probabilities that a digit is 1: [row, the digits before it].

        Of magnitudes less one that are FLAGS or more; as many as the table tells apart, and one.
        """
        start = np.arange(0, self.last + (2 << place), 2 << place)
        edges = np.minimum(start + (np.arange(3)[:, None] << place), self.last)
        low, middle, high = np.maximum(
            self.masses[:, edges], self.masses[:, FLAGS, None, None]
        ).swapaxes(0, 1)
        return _share(high - middle, high - low)

    @property
    def last(self) -> int:
        """The largest magnitude that the table tells apart."""
        return int(self.masses.shape[1]) - 1


def code_integers(
    coder: Coder,
    values: Integers | None,
    scale: Integers,
    digits: Integers,
    tables: IntegerTables,
    hide: bool,
    dealt: sign_hiding.Lanes | None = None,
) -> Integers:
    """Code signed integers: zero flag, flags of the smallest magnitudes, binary digits, sign.

    Most magnitudes are 1 or 2, and end with the flags "more than 1", "more than 2". The
    probability of each bit is a share of what is left of the distribution, in integers.

    Args:
        coder: where to or from.
        values: (N,) of -2^(D-1)..2^(D-1), 0 where D is 0; None when decoding.
        scale: (N,) row of the tables for each.
        digits: (N,) D of each, 0..13.
        tables: probabilities.
        hide: whether some signs are hidden in the magnitudes, see `imgcodec.entropy.sign_hiding`.
        dealt: the lanes of those with digits, where they are known already; only with `hide`.

    Returns:
        The values, int64 (N,).

    Raises:
        ValueError: the magnitudes of `values` say something else than the signs hidden in them.
    """
    sent = np.flatnonzero(digits)
    sizes = np.zeros(len(sent), np.int64)
    found = None if values is None else values[sent]
    p = tables.nonzero[scale[sent]]
    nonzero = coder.code(None if found is None else (found != 0).astype(np.int32), p)
    some = np.flatnonzero(nonzero)
    size = None if found is None else np.abs(found[some])
    sizes[some] = _code_magnitudes(coder, size, scale[sent[some]], digits[sent[some]], tables)

    told = nonzero != 0  # whose sign is sent
    negative = np.zeros(len(sent), bool)
    lanes = dealt
    if hide and lanes is None:
        lanes = sign_hiding.lanes(scale[sent])
    if lanes is not None:
        hidden, hidden_negative = sign_hiding.signs(lanes, sizes)
        if found is not None and ((found[hidden] < 0) != hidden_negative).any():
            raise ValueError("the magnitudes do not spell the signs that they are to hide")
        told[hidden], negative[hidden] = False, hidden_negative
    half = np.full(np.count_nonzero(told), _ONE // 2)
    bits = None if found is None else (found[told] < 0).astype(np.int32)
    negative[told] = coder.code(bits, half) != 0
    result = np.zeros(len(digits), np.int64)
    result[sent] = np.where(negative, -sizes, sizes)
    return result


def _code_magnitudes(
    coder: Coder, size: Integers | None, rows: Integers, digits: Integers, tables: IntegerTables
) -> Integers:
    """Code magnitudes of 1..2^(D-1); see `code_integers`."""
    magnitude = np.ones(len(rows), np.int64)
    larger = np.arange(len(rows))  # those that are not known yet
    for known in range(1, FLAGS + 1):
        larger = larger[digits[larger] > known]  # 2^(D-1) > known, for 1 and 2
        p = tables.larger[known - 1, rows[larger], digits[larger]]
        bits = None if size is None else (size[larger] > known).astype(np.int32)
        larger = larger[coder.code(bits, p) != 0]
        magnitude[larger] = known + 1
    rest = None if size is None else size[larger] - 1
    magnitude[larger] = 1 + _code_digits(coder, rest, rows[larger], digits[larger] - 1, tables)
    return magnitude


def _code_digits(
    coder: Coder, rest: Integers | None, rows: Integers, left: Integers, tables: IntegerTables
) -> Integers:
    """Code integers of FLAGS..2^left - 1, magnitudes less one, digit by digit."""
    digits = np.zeros(len(rows), np.int64)  # those that are known
    for place in range(int(left.max(initial=0)) - 1, -1, -1):
        active = np.flatnonzero(left > place)
        table = tables.digits[place]
        known = digits.take(active)
        column = np.minimum(known, table.shape[1] - 1)
        p = table.take(rows.take(active) * table.shape[1] + column)
        bits = None if rest is None else ((rest.take(active) >> place) & 1).astype(np.int32)
        found = coder.code(bits, p)
        digits[active] = 2 * known + found
    return digits


def raw_bits(values: Integers, digits: Integers) -> int:
    """Return how many bits `code_integers` asks for where no signs are hidden."""
    size, some = np.abs(values), (values != 0) & (digits > 0)
    flags = sum(
        int(np.count_nonzero(some & (size >= known) & (digits > known)))
        for known in range(1, FLAGS + 1)
    )
    rest = int((digits - 1)[some & (size > FLAGS)].sum())
    return int(np.count_nonzero(digits)) + int(np.count_nonzero(some)) + flags + rest


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


def _share(part: Integers, whole: Integers) -> Integers:
    """Return part / whole as a probability, a half where the table says nothing."""
    return _clip(np.where(whole > 0, part * _ONE // np.maximum(whole, 1), _ONE // 2))


def _clip(p: Integers) -> Integers:
    clipped: Integers = np.minimum(np.maximum(p, 1), _ONE - 1)  # a third of the time of np.clip
    return clipped

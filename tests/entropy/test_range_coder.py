"""Bits and integers through the coders: exact words, ideal cost, damage."""

import tracemalloc
from contextlib import suppress

import constriction
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgcodec.entropy.range_coder import (
    IntegerTables,
    RangeDecoder,
    RangeEncoder,
    RawDecoder,
    RawEncoder,
    code_bits,
    code_integers,
    raw_bits,
)
from imgcodec.errors import EndError, FormatError

ONE = 1 << 24
CODERS = {"range": (RangeEncoder, RangeDecoder), "none": (RawEncoder, RawDecoder)}


def geometric(ratio):
    """P(magnitude <= m) * 2^24 where P(magnitude > m) = (ratio / 256)^(m + 1), in integers."""
    row, rest = [], ONE
    for _ in range(257):
        rest = rest * ratio >> 8
        row.append(ONE - rest)
    return row


# from "always zero" (the table cannot tell larger magnitudes apart) to nearly flat
MASSES = np.array([geometric(ratio) for ratio in (0, 8, 128, 200, 254)])
TABLES = IntegerTables(MASSES)
HALF, WIDE = 2, 4  # rows with P(zero) = 1/2 and 1/128
PROBABILITIES = np.array([1, 100, 16384, 32768, 49152, 65436, 65535])  # of logits -3..3


@pytest.mark.parametrize("seed", range(3))
def test_the_words_are_those_of_bernoulli(seed):
    """Which the format names: at every probability there is."""
    rng = np.random.default_rng(seed)
    p = rng.permutation(np.arange(1, 65536))
    bits = (rng.random(len(p)) < (p / 65536 if seed else 0.5)).astype(np.int32)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(bits, constriction.stream.model.Bernoulli(perfect=False), p / 65536)
    ours = RangeEncoder()
    ours.code(bits, p)
    data = ours.finish()
    assert data == encoder.get_compressed().astype("<u4").tobytes()
    assert np.array_equal(RangeDecoder(data).code(None, p), bits)


def plainly(words, p):
    """The bits of a stream as docs/format.md says it, and whether it may end there."""
    ahead = [*words, 0, 0]
    low, span, point = 0, 2**64 - 1, ahead[0] << 32 | ahead[1]
    used, bits = 2, []
    for each in p:
        scale = span >> 24
        edge = ((65536 - each) * (2**24 - 2) >> 16) + 1
        bit = int((point - low) % 2**64 // scale >= edge)
        low, span = low + bit * scale * edge, scale * (2**24 - edge if bit else edge)
        if span < 2**32:
            following = ahead[used] if used < len(words) else 0
            low, span, point, used = low << 32, span << 32, point << 32 | following, used + 1
        low, point = low % 2**64, point % 2**64
        bits.append(bit)
    return bits, used >= len(words) and (point - low) % 2**64 < 2**33 - 1


@pytest.mark.parametrize("more", [[], [0], [2**32 - 1], [0, 0], [1, 0], [0, 0, 0]])
@pytest.mark.parametrize("size", [1, 2, 100, 5000])
def test_words_are_read_as_the_text_says(size, more):
    rng = np.random.default_rng(size)
    p = rng.integers(1, 65536, size)
    bits = (rng.random(size) < p / 65536).astype(np.int32)
    encoder = RangeEncoder()
    encoder.code(bits, p)
    data = encoder.finish() + np.array(more, "<u4").tobytes()
    found, ended = plainly(np.frombuffer(data, "<u4").tolist(), p.tolist())
    decoder = RangeDecoder(data)
    assert decoder.code(None, p).tolist() == bits.tolist() == found
    if ended:
        decoder.finish()
    else:
        with pytest.raises(FormatError, match="after its end"):
            decoder.finish()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CODERS)
def test_what_is_sure_of_a_stream_that_is_cut(name, seed):
    """All of it is right, and hardly anything is left out that would be."""
    rng = np.random.default_rng(seed)
    steps, taken = [], [0.0]
    encoder, decoder = CODERS[name]
    encoder = encoder()
    for size in rng.integers(0, 60, 40):
        p = rng.integers(1, 65536, size) ** 2 // 65536 + 1
        bits = (rng.random(size) < p / 65536).astype(np.int32)
        share = np.where(bits, p, 65536 - p) / 65536
        taken.append(taken[-1] + (size if name == "none" else -np.log2(share).sum()))
        steps.append((encoder.code(bits, p), p))
    data = encoder.finish()
    for num_bytes in range(0, len(data), 4):
        words = (True,) if name == "range" else ()
        reader = decoder(data[:num_bytes], *words)
        reader.limit = reader.sure
        known = 0
        with suppress(EndError):
            for bits, p in steps:
                assert np.array_equal(reader.code(None, p), bits)
                known += 1
        assert known < len(steps)
        assert taken[known + 1] > 8 * num_bytes - 65


def test_of_cheap_bits_too_only_what_is_sure_is_read():
    """They take more than they are worth: the coder rounds at each of them."""
    rng = np.random.default_rng(0)
    p = np.full(2000, 100)
    steps = [(rng.random(2000) < p / 65536).astype(np.int32) for _ in range(700)]
    encoder = RangeEncoder()
    for bits in steps:
        encoder.code(bits, p)
    data = encoder.finish()
    for num_bytes in range(len(data) - 480, len(data), 12):
        reader = RangeDecoder(data[: num_bytes // 4 * 4], True)
        reader.limit = reader.sure
        with suppress(EndError):
            for bits in steps:
                assert np.array_equal(reader.code(None, p), bits)


def test_a_stream_ends_at_its_limit():
    encoder = RangeEncoder()
    half = np.full(40, 32768)
    for _ in range(5):
        encoder.code(np.ones(40, np.int32), half)
    data = encoder.finish()
    for limit, wanted in ((39, 0), (41, 1), (159, 3), (201, 5)):
        reader, known = RangeDecoder(data, True), 0
        reader.limit = limit
        for _ in range(5):
            try:
                reader.code(None, half)
            except EndError:
                break
            known += 1
        assert known == wanted


class Ideal:
    """An encoder that stores nothing and sums up what each bit is worth."""

    def __init__(self):
        self.bits, self.asked = 0.0, []

    def code(self, bits, p):
        share = np.where(bits == 1, p, 65536 - p) / 65536
        self.bits -= np.log2(share).sum()
        self.asked += np.asarray(p).tolist()
        return bits


def arrays(symbols):
    """(values, scale, digits) of (row, digits, wish) each, wishes cut to what digits can hold."""
    scale, digits, wish = np.array(symbols, np.int64).reshape(-1, 3).T
    limit = np.where(digits > 0, 1 << np.maximum(digits - 1, 0), 0)
    return np.clip(wish, -limit, limit), scale, digits


def encoded(kind, values, scale, digits, hide=False):
    coder = CODERS[kind][0]()
    code_integers(coder, values, scale, digits, TABLES, hide)
    return coder.finish()


def decoded(kind, data, scale, digits, hide=False):
    coder = CODERS[kind][1](data)
    values = code_integers(coder, None, scale, digits, TABLES, hide)
    coder.finish()
    return values


SYMBOLS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(-256, 256)), max_size=300
)
KINDS = st.sampled_from(sorted(CODERS))
FIXED = arrays([(i % 5, i % 10, (i * i * 7) % 61 - 30) for i in range(64)])


def typical(number, seed=0):
    """Values as the tables expect them, so that they compress as well as they can."""
    rng = np.random.default_rng(seed)
    scale = rng.integers(0, 5, number)
    values = rng.geometric(1 - np.array([1, 8, 128, 200, 254])[scale] / 256) - 1
    values = np.where(scale == 0, 0, values) * rng.choice([-1, 1], number)
    return np.clip(values, -256, 256), scale, np.full(number, 9)


# ---------------------------------------------------------------- the format


def test_words_of_the_range_coder():
    """A change of these words is a change of the format."""
    assert encoded("range", *FIXED).hex() == (
        "ffffffff73ec09ddf4f358132082dbfa801e84fce1c5e154658ba8fb3b53d0d0"
        "cc7c9df561b459e5b7c60abdd9d99308c89739b4640c9e0dccb07186b2f8e5a2"
        "f133cbe276c50ab1a21a6f0203607f1a13e7ceb4"
    )


def test_words_of_single_bits():
    bits = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1], np.int32)
    logits = np.arange(12) - 6
    coder = RangeEncoder()
    code_bits(coder, bits, logits, PROBABILITIES)
    assert coder.finish().hex() == "fffefeff356fa6fb"


def test_raw_bits_by_hand():
    """Zero flags 0111; more than 1: 011; than 2: 11; |v| - 1 = 2, 3: 11, 01; signs 010."""
    values, three = np.array([0, 1, -3, 4]), np.full(4, 3)
    data = encoded("none", values, np.zeros(4, np.int64), three)
    assert data == bytes([0b0111_0111, 0b1110_1010])


def test_raw_bits_of_unequal_digits():
    """D = 1 holds -1..1 without a magnitude, D = 2 has one flag of it, D = 0 nothing at all."""
    values, digits = np.array([-1, 0, 2, -4]), np.array([1, 0, 2, 3])
    data = encoded("none", values, np.zeros(4, np.int64), digits)
    # zero flags 111, more than 1: 1 1, than 2: 1, two places of the last: 1 1, signs 101
    assert data == bytes([0b1111_1111, 0b1010_0000])


def test_nothing_is_no_bytes():
    empty = np.zeros(0, np.int64)
    for kind in CODERS:
        assert encoded(kind, empty, empty, empty) == b""
        assert decoded(kind, b"", empty, empty).tolist() == []


# ---------------------------------------------------------------- probabilities


def asked(values, digits, row=HALF):
    coder = Ideal()
    number = len(values)
    code_integers(coder, np.array(values), np.full(number, row), np.array(digits), TABLES, False)
    return coder.asked


def test_probabilities_by_hand():
    """P(|v| > m) = 2^-(m+1): not zero 1/2; 2 rather than 1: (1/8) / (3/8); sign 1/2."""
    assert asked([2], [2]) == [32768, 65536 // 3, 32768]
    # of 1..4 with weights 8, 4, 2, 1: more than 1: 7/15, than 2: 3/7, upper half, 4, not 3: 1/3
    assert asked([4], [3]) == [32768, 65536 * 7 // 15, 65536 * 3 // 7, 65535, 65536 // 3, 32768]
    assert asked([1], [3]) == [32768, 65536 * 7 // 15, 32768]
    assert asked([2], [9])[2:] == [32768, 32768]
    assert asked([0], [3]) == [32768]
    assert asked([-1], [1]) == [32768, 32768]


def test_probabilities_stay_off_the_ends():
    assert asked([1], [1], row=0) == [1, 32768]
    # all magnitudes have mass 0: the table knows nothing, and says so
    assert asked([200], [9], row=0) == [1, 32768] + [32768] * 10


def test_probabilities_of_single_bits_are_those_of_the_table():
    coder = Ideal()
    code_bits(coder, np.zeros(6, np.int32), np.array([-99, -3, -1, 0, 3, 99]), PROBABILITIES)
    assert coder.asked == [1, 1, 16384, 32768, 65535, 65535]


def test_cost_is_that_of_the_distribution():
    """The digits' probabilities multiply to the share of the value, up to the rounding."""
    values, scale, digits = typical(5000)
    inside = np.abs(values) < 256
    values, scale, digits = values[inside], scale[inside], digits[inside]
    coder = Ideal()
    code_integers(coder, values, scale, digits, TABLES, False)
    size = np.abs(values)
    share = np.diff(MASSES, axis=1, prepend=0)[scale, size] / ONE
    expected = np.sum(-np.log2(share) + (size > 0))
    cut = np.log2(MASSES[WIDE, 256] / ONE) * np.sum(scale == WIDE)  # what lies above 256
    assert coder.bits == pytest.approx(expected + cut, rel=2e-3)


# ---------------------------------------------------------------- properties


@given(KINDS, SYMBOLS)
@example("range", [(0, 9, 256), (0, 9, -256), (4, 9, 256), (4, 1, -1), (0, 0, 5)])
@example("none", [(0, 9, 256), (0, 9, -256), (4, 9, 256), (4, 1, -1), (0, 0, 5)])
def test_round_trip(kind, symbols):
    values, scale, digits = arrays(symbols)
    data = encoded(kind, values, scale, digits)
    found = decoded(kind, data, scale, digits)
    assert found.dtype == np.int64
    assert found.tolist() == values.tolist()


@pytest.mark.parametrize("kind", CODERS)
@pytest.mark.parametrize("digits", range(1, 10))
def test_round_trip_of_every_value(kind, digits):
    limit = 1 << (digits - 1)
    values = np.arange(-limit, limit + 1)
    for row in range(5):
        same = np.full(len(values), row), np.full(len(values), digits)
        assert decoded(kind, encoded(kind, values, *same), *same).tolist() == values.tolist()


@given(KINDS, st.lists(st.tuples(st.booleans(), st.integers(-9, 9)), max_size=200))
def test_round_trip_of_single_bits(kind, symbols):
    pairs = np.array(symbols, np.int32).reshape(-1, 2)
    bits, logits = pairs[:, 0].copy(), pairs[:, 1].astype(np.int64)
    encoder = CODERS[kind][0]()
    code_bits(encoder, bits, logits, PROBABILITIES)
    decoder = CODERS[kind][1](encoder.finish())
    assert code_bits(decoder, None, logits, PROBABILITIES).tolist() == bits.tolist()
    decoder.finish()


def check_cost(values, scale, digits):
    ideal = Ideal()
    code_integers(ideal, values, scale, digits, TABLES, False)
    real = 8 * len(encoded("range", values, scale, digits))
    assert ideal.bits - 64 <= real <= 1.005 * ideal.bits + 64


@given(SYMBOLS)
def test_real_bits_are_the_ideal_ones(symbols):
    check_cost(*arrays(symbols))


@pytest.mark.parametrize("number", [1, 100, 10_000, 100_000])
def test_real_bits_are_the_ideal_ones_of_typical_values(number):
    check_cost(*typical(number, seed=number))


def test_raw_bits_are_counted_exactly():
    values, scale, digits = FIXED
    expected = raw_bits(values, digits)
    assert len(encoded("none", *FIXED)) == -(-expected // 8)
    by_hand = {0: 1, 1: 3, 2: 4, 3: 4 + 3, 8: 4 + 3}  # of 4 digits
    for value, bits in by_hand.items():
        assert raw_bits(np.array([value, -value, 1]), np.array([4, 4, 0])) == 2 * bits


@given(KINDS, SYMBOLS, st.integers(0, 2**32 - 1))
def test_what_is_masked_costs_nothing(kind, symbols, seed):
    """The bytes are the same with and without values of no digits between the others."""
    values, scale, digits = arrays([s for s in symbols if s[1]])
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(values) + 1, 20)
    more = (np.insert(values, at, 0), np.insert(scale, at, 4), np.insert(digits, at, 0))
    data = encoded(kind, values, scale, digits)
    assert encoded(kind, *more) == data
    assert decoded(kind, data, *more[1:]).tolist() == more[0].tolist()


# ---------------------------------------------------------------- misuse and damage


@pytest.mark.parametrize("kind", CODERS)
def test_encoder_needs_bits(kind):
    with pytest.raises(ValueError, match="an encoder needs bits"):
        CODERS[kind][0]().code(None, np.array([5]))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7])
def test_half_words_are_refused(length):
    with pytest.raises(FormatError, match=f"a stream of {length} bytes"):
        RangeDecoder(bytes(length))


@pytest.mark.parametrize("more", [bytes(8), b"\xff" * 8, b"\x01" + bytes(11), bytes(400)])
def test_trailing_words_are_refused(more):
    for values, scale, digits in (FIXED, typical(1), typical(50), typical(2000)):
        data = encoded("range", values, scale, digits)
        assert decoded("range", data, scale, digits).tolist() == values.tolist()
        with pytest.raises(FormatError, match="goes on after its end"):
            decoded("range", data + more, scale, digits)


@pytest.mark.parametrize("more", [bytes(4), b"\xff" * 4, b"\x01\0\0\0"])
def test_one_trailing_word_does_no_harm(more):
    """The coder cannot always tell it from its own last word; the container's CRC can."""
    data = encoded("range", *FIXED)
    try:
        assert decoded("range", data + more, *FIXED[1:]).tolist() == FIXED[0].tolist()
    except FormatError as error:
        assert "goes on after its end" in str(error)  # noqa: PT017


@pytest.mark.parametrize("more", [b"\x00", b"\x01", bytes(4)])
def test_trailing_raw_bytes_are_refused(more):
    data = encoded("none", *FIXED)
    with pytest.raises(FormatError, match="goes on after its end"):
        decoded("none", data + more, *FIXED[1:])


def test_raw_padding_must_be_zero():
    values, scale, digits = np.array([0, 0]), np.array([0, 0]), np.array([3, 3])
    assert decoded("none", b"\x00", scale, digits).tolist() == values.tolist()
    with pytest.raises(FormatError, match="goes on after its end"):
        decoded("none", b"\x01", scale, digits)


def test_empty_streams():
    """Without words the range decoder still makes up values; without bits the raw one cannot."""
    with pytest.raises(FormatError, match="ends too early"):
        decoded("none", b"", *FIXED[1:])
    assert_values_or_refusal("range", b"", *FIXED[1:])


@pytest.mark.parametrize("length", range(0, 20, 3))
def test_raw_streams_that_end_too_early_are_refused(length):
    with pytest.raises(FormatError, match="ends too early"):
        decoded("none", encoded("none", *FIXED)[:length], *FIXED[1:])


def assert_values_or_refusal(kind, data, scale, digits):
    try:
        found = decoded(kind, data, scale, digits)
    except FormatError:
        return
    limit = np.where(digits > 0, 1 << np.maximum(digits - 1, 0), 0)
    assert (np.abs(found) <= limit).all()


@given(KINDS, st.binary(max_size=120), SYMBOLS)
@settings(max_examples=200)
def test_any_bytes_give_values_within_their_limits_or_a_refusal(kind, data, symbols):
    assert_values_or_refusal(kind, data, *arrays(symbols)[1:])


@pytest.mark.parametrize("kind", CODERS)
def test_every_flipped_bit_gives_other_values_or_a_refusal(kind):
    data = encoded(kind, *FIXED)
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        try:
            found = decoded(kind, bytes(damaged), *FIXED[1:])
        except FormatError:
            continue
        if kind == "none" or position < 8 * (len(data) - 4):  # the last word may be rounded
            assert found.tolist() != FIXED[0].tolist()


def test_bits_as_they_are_take_no_more_memory_than_their_bytes():
    """A file may claim a tile of any number of them."""
    data = bytes(2**20)
    tracemalloc.start()
    coder = RawDecoder(data)
    for size in (3, 8, 1, 0, 60):
        assert coder.code(None, np.empty(size, np.int64)).tolist() == size * [0]
    with pytest.raises(FormatError, match="goes on after its end"):
        coder.finish()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(data)

"""The rate search against pictures that are formulas, and a photograph."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from imgcodec import metrics
from imgcodec.codec import Codec
from imgcodec.codec.compress import compress_within
from imgcodec.codec.pace import CODER_BYTES, Forecast, Profile
from imgcodec.codec.rate_search import (
    AIM,
    MAX_PLANS,
    MAX_U,
    WORD_BYTES,
    Guess,
    better_guess,
    reach,
    search,
)
from imgcodec.codec.tile_codec import TileCodec

START = 42000
PHOTO = 8.8  # octaves of the size from u = 0 to 1


class Picture:
    """A payload's size as a function of u, with estimates that are a little wrong."""

    def __init__(self, size, error=0.0, seed=0, bias=1.0, slack=0):
        self.size, self.error, self.bias, self.slack = size, error, bias, slack
        self.rng = np.random.default_rng(seed)
        self.planned, self.written = [], []

    def plan(self, u):
        assert 0 <= u <= MAX_U
        assert u not in self.planned, "the same setting twice"
        self.planned.append(u)
        wrong = self.bias + self.error * self.rng.uniform(-1, 1)
        estimate = max(wrong * self.size(u) - self.slack, 0.0)
        return SimpleNamespace(
            estimated_bytes=estimate,
            profiles=forecast(u, lambda u: estimate).tiles,
            write=lambda: self.write(u),
        )

    def write(self, u):
        self.written.append(u)
        size = int(self.size(u))
        return [bytes(size // 3), bytes(size - size // 3)]

    def search(self, room, start=START):
        found = search(self.plan, room, Guess(start, PHOTO / MAX_U))
        assert len(self.planned) <= MAX_PLANS
        if found is not None:
            assert total(found) == int(self.size(found.u))
            assert found.u in self.written
            assert total(found) <= room
        return found


def forecast(u, size):
    """What an estimate says of a picture of one step, with two bits for each integer."""
    bits = 8 * (size(u) - CODER_BYTES)
    return Forecast(u, [Profile(np.array([bits]), np.array([bits / 2]))])


def total(found):
    return sum(map(len, found.payloads))


def exponential(octaves, middle=20_000.0):
    """Bytes that double `octaves` times over the whole range."""
    return lambda u: middle * 2 ** (octaves * (u - START) / MAX_U)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("octaves", [7, PHOTO, 11])
def test_estimates_come_close(octaves, target):
    size = exponential(octaves)
    asked = []

    def estimate(u):
        asked.append(u)
        return forecast(u, size)

    room = int(size(target * MAX_U))
    start = Guess(START, PHOTO / MAX_U)
    (u, *rest), told, last = better_guess(estimate, room, start)
    assert last.u == asked[-1]
    assert rest == [start.slope, start.counted]
    assert len(told) == len(asked) <= 2
    assert [a for a, _ in told] == asked
    assert [octaves for _, octaves in told] == pytest.approx([np.log2(size(a)) for a in asked])
    assert size(u) == pytest.approx(size(target * MAX_U), rel=0.12)


@pytest.mark.parametrize(
    ("bits", "octaves", "estimates"), [(0.6, 0.28, 1), (0.2, 0.28, 2), (2, 0.38, 1), (2, 0.45, 2)]
)
def test_how_far_one_estimate_reaches(bits, octaves, estimates):
    """The further, the more bits integers have: a pace changes those less."""
    size, asked = exponential(PHOTO), []

    def estimate(u):
        asked.append(u)
        found = 8 * (size(u) - CODER_BYTES)
        return Forecast(u, [Profile(np.array([found]), np.array([found / bits]))])

    room = int(size(START) * 2**octaves / AIM)
    better_guess(estimate, room, Guess(START, PHOTO / MAX_U))
    assert len(asked) == estimates


TARGETS = [0.02, 0.2, 0.5, 0.64, 0.8, 0.97]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("octaves", [5, 7, PHOTO, 11, 14])
def test_photographs_take_few_plans(octaves, target):
    size = exponential(octaves)
    picture = Picture(size)
    room = int(size(target * MAX_U))
    found = picture.search(room)
    assert total(found) >= 0.99 * room
    assert not found.limited
    assert len(picture.planned) <= (3 if octaves == PHOTO else 8)
    assert len(picture.written) <= len(picture.planned)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", TARGETS)
def test_sizes_that_are_not_quite_smooth_take_few_plans(target, seed):
    """Two points beside each other tell no slope, nor does an estimate that is 2 percent off."""
    size = exponential(PHOTO)

    def jagged(u):
        return size(u) * (1 + 0.003 * np.sin(seed + 1e4 * np.sin(u)))

    picture = Picture(jagged)
    room = int(size(target * MAX_U))
    start = int(target * MAX_U) - 160
    told = [(start + 8, np.log2(1.02 * size(start + 8)))]
    found = search(picture.plan, room, Guess(start, PHOTO / MAX_U), told)
    assert 0.99 * room <= total(found) <= room
    assert len(picture.planned) <= 5


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("octaves", [0.5, 1, 2, 3, 30])
def test_unusual_pictures_are_found_too(octaves, target):
    """Their size hardly follows u, or much more than expected."""
    size = exponential(octaves, 2e6 if octaves > 20 else 20_000)
    picture = Picture(size)
    room = int(size(target * MAX_U))
    found = picture.search(room)
    assert found is not None
    assert total(found) >= min(0.99 * room, room - WORD_BYTES)
    assert len(picture.planned) <= 16


@pytest.mark.parametrize("seed", range(20))
def test_noisy_estimates(seed):
    """Errors of 0.4 percent, more than the margin for them: the real size is checked."""
    size = exponential(PHOTO)
    room = int(size((0.1 + 0.04 * seed) * MAX_U))
    picture = Picture(size, error=0.004, seed=seed)
    found = picture.search(room)
    assert total(found) >= 0.99 * room
    assert len(picture.planned) <= 6


@pytest.mark.parametrize("bias", [0.97, 1.003])
def test_biased_estimates(bias):
    """All too low: it learns from the real bytes. Slightly too high: nothing is lost."""
    size = exponential(PHOTO)
    picture = Picture(size, bias=bias)
    room = 9000
    found = picture.search(room)
    assert total(found) >= 0.99 * room
    assert len(picture.planned) <= 8


@pytest.mark.parametrize("start", [0, 1, 30_000, MAX_U - 1, MAX_U])
def test_any_start_will_do(start):
    found = Picture(exponential(PHOTO)).search(12_345, start)
    assert 0.99 * 12_345 <= total(found)


@pytest.mark.parametrize("start", [0, START, MAX_U])
def test_bent_curves(start):
    """Steep below, flat above, as where all digits are used up."""

    def size(u):
        return 30_000 / (1 + 2 ** (14 * (0.5 - u / MAX_U)))

    for room in (300, 3000, 15_000, 27_000, 29_500):
        found = Picture(size).search(room, start)
        assert total(found) >= 0.99 * room


def test_staircase():
    """Sizes that jump: the largest that fits is found, though it is not near the room."""

    def size(u):
        return 1000.0 * (1 + u // 8192)

    found = Picture(size).search(4900)
    assert total(found) == 4000
    assert not found.limited  # a finer setting exists, it only does not fit


@pytest.mark.parametrize("slack", [0, 3, 7])
@pytest.mark.parametrize("octaves", [0, 1, PHOTO])
def test_small_payloads_never_exceed_the_room(octaves, slack):
    """Whole words: the estimate is a few bytes wrong, which is much of a payload of twenty."""

    def words(u):
        return 4 * (1 + exponential(octaves, 20.0)(u) // 4)

    for room in range(1, 120):
        picture = Picture(words, slack=slack)
        found = picture.search(room)
        assert found is not None or words(0) > room - slack


@pytest.mark.parametrize("room", [-41, -1, 0, 5, 99])
def test_too_little_room(room):
    picture = Picture(lambda u: 100.0 + u / 10)
    assert picture.search(room) is None
    assert 0 in picture.planned  # the coarsest setting was tried before giving up


def test_the_coarsest_setting_may_just_fit():
    found = Picture(lambda u: 100.0 + u / 10).search(100)
    assert (found.u, total(found)) == (0, 100)


@pytest.mark.parametrize("octaves", [0, 1, PHOTO])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_pictures_that_need_less_are_limited(octaves, share):
    """The finest setting takes that share of the room."""
    size = exponential(octaves)
    room = round(size(MAX_U) / share)
    found = Picture(size).search(room)
    assert found.u == MAX_U
    assert found.limited


def test_limited_means_that_the_window_is_missed():
    size = exponential(PHOTO)
    for room, limited in ((int(size(MAX_U) / 0.99), False), (int(size(MAX_U) / 0.96), True)):
        found = Picture(size).search(room)
        assert found.u == MAX_U
        assert found.limited is limited


def test_a_flat_curve_above_the_room_is_refused():
    picture = Picture(lambda u: 500.0)
    assert picture.search(499) is None


@pytest.mark.parametrize(("room", "apart"), [(20_000, 25), (33_000, 50)])
def test_sizes_that_jump(room, apart):
    """As of noise beside flat areas: a finer setting may take a fifth less."""
    even = exponential(PHOTO)
    picture = Picture(lambda u: even(u) * (1.1 if u // apart % 2 else 0.9))
    assert total(picture.search(room, START)) >= 0.98 * room


def test_of_places_around_a_jump_the_largest_is_kept():
    """Those on the near side take less and less."""
    picture = Picture(lambda u: 4850 * 2 ** ((u - 30_000) / 20_000) if u < 30_000 else 6000.0)
    assert total(picture.search(5000)) >= 4849


def test_real_coding_is_rare():
    """The estimate decides what is worth coding: nothing far above the room is written."""
    size = exponential(PHOTO)
    room = int(size(0.2 * MAX_U))
    picture = Picture(size)
    picture.search(room, MAX_U)
    assert all(size(u) <= 1.01 * room for u in picture.written)


@pytest.mark.parametrize(
    ("tune", "most"), [("psnr", (5, 3)), ("ms-ssim", (5, 3)), ("eye", (5, 3))]
)
def test_shipped_weights_take_few_passes(monkeypatch, tune, most):
    """What the guess and the estimate are fitted to is still true: three rates of a photograph."""
    codec = Codec("cpu", tune=tune)
    pixels = np.asarray(Image.open(Path(__file__).parents[2] / "docs" / "kodim23.png"))
    counts = dict.fromkeys(("roughly", "plan"), 0)

    def counted(name, method):
        def call(*arguments, **words):
            counts[name] += 1
            return method(*arguments, **words)

        return call

    for name in counts:
        monkeypatch.setattr(TileCodec, name, counted(name, getattr(TileCodec, name)))
    for rate in (0.25, 0.5, 1.0):
        data = codec.encode(pixels, rate)
        assert 0.99 <= 8 * len(data) / (pixels[..., 0].size * rate) <= 1
    assert counts["roughly"] <= 5
    assert counts["plan"] == 3


@pytest.mark.parametrize(
    ("kind", "below", "close"), [("psnr", 0.3, 0.05), ("ssimulacra2", 1, 0.5)]
)
def test_qualities_at_the_top_of_the_scale_are_reached(kind, below, close):
    """Levels of the rate where the search begins would bound them."""
    codec, measure = Codec("cpu"), getattr(metrics, kind)
    pixels = np.asarray(Image.open(Path(__file__).parents[2] / "docs" / "kodim23.png"))
    pixels = pixels[150:280, 200:360]
    best = measure(pixels, codec.decode(codec.encode(pixels, quality=100, lossless=False)))
    data = codec.encode(pixels, lossless=False, **{kind: best - below})
    assert measure(pixels, codec.decode(data)) == pytest.approx(best - below, abs=close)


class Refined(Picture):
    """A compressor: each refinement changes the quality by what is told."""

    refined_kind = "psnr"

    def __init__(self, changes):
        super().__init__(exponential(PHOTO))
        self.changes, self.refinements = changes, 0

    def guess(self, room):
        return Guess(START, PHOTO / MAX_U)

    def renew(self, u):
        """Latents are the same at every rate."""

    def correct(self, u):
        """That takes too much."""

    def estimate(self, u):
        return forecast(u, self.size)

    def plan(self, u, aim=None):
        self.planned.clear()  # the same setting again, with other latents
        return super().plan(u)

    def write(self, u):
        return [bytes([self.refinements]) * int(self.size(u))]

    def refine(self, u):
        self.refinements += 1

    def quality(self, u, kind):
        assert kind == "psnr"
        return 30 + sum(self.changes[: self.refinements])


@pytest.mark.parametrize(
    ("changes", "kept", "tried"),
    [([1, 1, 1], 3, 3), ([1, -1, 5], 1, 2), ([-1, 5, 5], 0, 1), ([0, 5, 5], 0, 1)],
)
def test_effort_goes_on_while_files_become_better(changes, kept, tried):
    picture = Refined(changes)
    found = compress_within(picture, 9000, effort=4)
    assert set(found.payloads[0]) == {kept}
    assert picture.refinements == tried


def test_where_a_quality_jumps_what_is_wanted_is_looked_for_around():
    tried = []

    def measure(u):
        tried.append(u)
        if u < 20_000:
            return 29.3
        return 30.2 if 20_030 <= u < 20_045 else 30.8

    found = reach(measure, 30.0, 18_000, 1e-3, 0.5)
    assert measure(found.u) == 30.2
    assert not found.missed
    assert {19_999, 20_000} <= set(tried)  # nothing in between


def test_the_best_setting_need_not_be_the_finest():
    tried = []

    def measure(u):
        tried.append(u)
        return 30.0 if u > MAX_U - 50 else 30.6

    assert not reach(measure, 30.8, 60_000, 1e-3, 0.3).missed
    tried.clear()
    assert reach(measure, 40.0, 60_000, 1e-3, 0.3).missed  # far away, so nothing is looked for
    assert len(tried) == 2

"""Plans that keep a pace: they take what is aimed at, and are as good as any of that size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.codec.pace import (
    CODER_BYTES,
    COUNTED_SHARE,
    MOST_FACTOR,
    Aim,
    Forecast,
    Pace,
    Profile,
)
from imgcodec.codec.tiled import Tiled
from imgcodec.codec.whole import Whole
from imgcodec.format.container import MAX_U, Header
from imgcodec.runtime.exact import exact

KODIM23 = Path(__file__).parents[2] / "docs" / "kodim23.png"


def profile(seed=0, steps=30):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 5000, steps).astype(float)
    return Profile(numbers * rng.uniform(0, 6, steps), numbers)


def test_a_forecast_grows_with_the_rate_and_is_turned_round():
    forecast = Forecast(30_000, [profile(1), profile(2)])
    own = sum(tile.bits.sum() / 8 + CODER_BYTES for tile in forecast.tiles)
    assert forecast.num_bytes(30_000) == pytest.approx(own, rel=1e-6)
    sizes = [forecast.num_bytes(u) for u in range(0, MAX_U + 1, 4369)]
    assert all(a < b for a, b in zip(sizes, sizes[1:], strict=False))
    for size in (own / 3, own, 2 * own):
        u = forecast.reaching(size)
        assert forecast.num_bytes(u) <= size < forecast.num_bytes(u + 1)
    assert forecast.reaching(0) == 0
    assert forecast.reaching(1e12) == MAX_U


def test_what_coefficients_tell_counts_for_a_share():
    plain = Forecast(30_000, [profile(1), profile(2)])
    own, moved = (sum(tile.bits.sum() for tile in of) for of in (plain.tiles, plain.moved(33_000)))
    told = plain._replace(counted=lambda u: 7 + (u - 30_000) / 3000)  # an octave
    found = sum(tile.bits.sum() for tile in told.moved(33_000))
    shares = np.log2(moved / own), 1.0
    weights = 1 - COUNTED_SHARE, COUNTED_SHARE
    assert np.log2(found / own) == pytest.approx(np.dot(shares, weights))
    assert told.num_bytes(30_000) == pytest.approx(plain.num_bytes(30_000))
    nothing = Profile(np.zeros(3), np.zeros(3))
    assert told._replace(tiles=[nothing]).num_bytes(33_000) < 4


def test_bits_of_an_integer_are_those_of_all_tiles():
    tiles = [
        Profile(np.array([10.0, 20.0]), np.array([5, 5])),
        Profile(np.ones(1), np.array([52])),
    ]
    assert Forecast(9, tiles).bits_each == 0.5
    assert Forecast(9, [Profile(np.zeros(1), np.zeros(1))]).bits_each == 0


def test_what_has_few_bits_grows_faster():
    poor, rich = Profile(np.array([100.0, 1e4]), np.array([1e3, 1e3])).moved(30_000, 33_000).bits
    assert poor / 100 > 1.5 * rich / 1e4 > 1.5


def test_nothing_to_code_is_no_trouble():
    nothing = Profile(np.zeros(3), np.zeros(3))
    assert 0 <= nothing.moved(0, MAX_U).bits.sum() < 1
    assert Forecast(9, [nothing]).num_bytes(9) == pytest.approx(CODER_BYTES, abs=0.01)
    assert Pace(nothing, 0.0).factor(0, 0.0) == 1


def test_who_spent_too_much_saves_and_the_other_way_round():
    pace = Pace(Profile(np.full(10, 100.0), np.full(10, 100.0)), 1000.0)
    assert pace.factor(0, 0.0) == pytest.approx(1)
    assert pace.factor(5, 500.0) == pytest.approx(1)
    assert 1 / MOST_FACTOR <= pace.factor(5, 520.0) < pace.factor(5, 505.0) < 1
    assert 1 < pace.factor(5, 495.0) < pace.factor(5, 480.0) <= MOST_FACTOR
    assert pace.factor(9, 2000.0) == 1 / MOST_FACTOR
    assert pace.factor(10, 900.0) == 1  # more steps than were told of


@pytest.fixture(scope="module")
def codec():
    return Codec("cpu")


@pytest.fixture(scope="module")
def pixels():
    return np.asarray(Image.open(KODIM23))[:256, :384]


@pytest.mark.parametrize("u", [30_000, 50_000])
@pytest.mark.parametrize("share", [0.96, 1.04])
def test_plans_take_what_is_aimed_at(codec, pixels, u, share):
    with exact():
        whole = Whole(codec._tile_codec, pixels, False, None, 1)
        whole.renew(u)
        free = sum(map(len, whole.plan(u).write()))
        aim = Aim(whole.estimate(u), share * free)
        whole.renew(u)
        paced = sum(map(len, whole.plan(u, aim).write()))
    assert abs(free / aim.num_bytes - 1) > 0.03
    assert paced == pytest.approx(aim.num_bytes, rel=0.008)


def test_tiles_take_together_what_is_aimed_at(codec, pixels):
    with exact():
        height, width = pixels.shape[:2]
        header = Header(width, height, 3, 1, 0, 2, bytes(8))
        tiled = Tiled(codec._tile_codec, pixels, header, None, 1)
        aim = Aim(tiled.estimate(40_000), 0.97 * sum(map(len, tiled.plan(40_000).write())))
        paced = sum(map(len, tiled.plan(40_000, aim).write()))
    assert paced == pytest.approx(aim.num_bytes, rel=0.006)


def test_a_plan_at_its_pace_is_as_good_as_one_that_happens_to_fit(codec, pixels):
    """Three percent less by the pace cost little more quality than by the rate parameter.

    Of the 0.15 dB that they are worth there.
    """

    def coded(u, aim=None):
        with exact():
            whole = Whole(codec._tile_codec, pixels, False, None, 1)
            whole.renew(u)
            size = sum(map(len, whole.plan(u, aim).write()))
            return size, whole.estimate(u), whole.quality(u, "psnr")

    u = 45_000
    size, forecast, _ = coded(u)
    few, _, by_pace = coded(u, Aim(forecast, 0.97 * size))
    (low, _, worse), (high, _, better) = coded(u - 600), coded(u)
    assert low < few < high
    by_parameter = np.interp(np.log(few), np.log([low, high]), [worse, better])
    assert by_pace > by_parameter - 0.09


def test_a_plan_tells_what_it_would_take_without_its_pace(codec, pixels):
    """So the next one is not misled as it was."""
    u = 35_000
    with exact():
        whole = Whole(codec._tile_codec, pixels, False, None, 1)
        whole.renew(u)
        plan = whole.plan(u)
        size, usual = plan.estimated_bytes, plan.profiles[0].bits
        share = np.linspace(1.3, 0.7, len(usual))  # too much of what comes first
        misled = Aim(Forecast(u, [plan.profiles[0]._replace(bits=share * usual)]), 0.97 * size)
        whole.renew(u)
        paced = whole.plan(u, misled)
        assert paced.profiles[0].bits.sum() == pytest.approx(usual.sum(), rel=0.01)
        whole.renew(u)
        again = whole.plan(u, Aim(Forecast(u, paced.profiles), 0.97 * size))
    assert again.estimated_bytes == pytest.approx(0.97 * size, rel=0.005)

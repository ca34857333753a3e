"""The context models: the same integers in every setting, and the ones that the text says.

A file decodes on another machine only if that machine computes the very same predictions. So all
of them are compared bit by bit with a plain implementation on int64, under everything that may
change the order or the method of float32 sums.
"""

import copy
import itertools
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcodec.model import Model, ModelConfig
from imgcodec.model.context import (
    CodeContext,
    IntegerConv2d,
    LatticeContext,
    Places,
    check_sums,
    checkerboard,
    cost_table,
    lattice_passes,
    mass_table,
    slopes,
    squash_table,
)

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")

LEVELS = 16
BATCH = 3
LATTICE_SIZES = [(1, 1), (1, 9), (9, 1), (5, 7), (16, 24), (17, 33)]


# ---------------------------------------------------------------- the plain implementation


def shifted(total, shift):
    """Return floor(total / 2^shift + 1/2)."""
    return (total + (1 << (shift - 1))) >> shift


def activated(total, shift):
    return np.clip(shifted(total, shift), 0, 127)


def convolve(x, layer):
    """Return the sums of a layer in units of 2^-shift, int64 (C', h, w)."""
    weights = layer.weight.detach().double().cpu().numpy()
    scale = 256 if weights.shape[-1] == 3 else 128
    weights = np.clip(np.rint(weights * scale), -127, 127).astype(np.int64)
    bias = np.rint(layer.bias.detach().double().cpu().numpy() * scale).astype(np.int64)
    size, (height, width) = weights.shape[-1], x.shape[1:]
    padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    total = np.zeros((len(weights), height, width), np.int64) + bias[:, None, None]
    for i, j in itertools.product(range(size), repeat=2):
        window = padded[:, i : i + height, j : j + width]
        total += np.tensordot(weights[:, :, i, j], window, 1)
    return total


def squash(context, values):
    table = context.squashing.cpu().numpy().astype(np.int64)
    return table[np.clip(values, -4096, 4096) + 4096]


def plain_passes(height, width):
    """Yield the places of each pass, [(row, column)], and their neighbours, four lists of such."""
    everywhere = list(itertools.product(range(height), range(width)))
    first = [(r, c) for r, c in everywhere if r % 8 == c % 8 == 0]
    yield first, [first] * 4
    for d in (4, 2, 1):
        grid = [(r, c) for r, c in everywhere if r % d == c % d == 0]
        corners = [(r, c) for r, c in grid if r // d % 2 and c // d % 2]
        sides = [(r, c) for r, c in grid if r // d % 2 != c // d % 2]
        for places, offsets in (
            (corners, [(-d, -d), (d, d), (-d, d), (d, -d)]),
            (sides, [(0, -d), (0, d), (-d, 0), (d, 0)]),
        ):
            yield places, [[neighbour(*p, *o, height, width) for p in places] for o in offsets]


def neighbour(r, c, dr, dc, height, width):
    """Return the place at an offset, mirrored at the edge, or seen along the only line."""
    row = r + dr if 0 <= r + dr < height else r - dr
    column = c + dc if 0 <= c + dc < width else c - dc
    if 0 <= row < height and 0 <= column < width:
        return row, column
    return r - abs(dc), c - abs(dr)


def plain_lattice(context, extras, scale_offset, visit):
    """LatticeContext.walk of one picture: extras int64 (E, h, w) -> values (C, h, w)."""
    height, width = extras.shape[1:]
    values = np.zeros((context.channels, height, width), np.int64)
    for number, (places, neighbours) in enumerate(plain_passes(height, width)):
        if not places:
            continue
        rows, columns = np.array(places).T
        near = values[(slice(None), *np.array(neighbours).transpose(2, 0, 1))]  # (C, 4, T)
        if number == 0:
            near = np.full_like(near, context.default)
        a, a2, c, c2 = near[:, 0], near[:, 1], near[:, 2], near[:, 3]
        steep = np.abs(np.concatenate([a - a2, c - c2, (a + a2 - c - c2) >> 1]))
        which = np.zeros((7, len(rows)), np.int64)
        which[number] = 64
        z = np.concatenate([squash(context, steep), extras[:, rows, columns], which])[:, None]
        z = activated(convolve(z, context.first), 7)
        z = activated(convolve(z, context.second), 7)
        correction, spread = np.split(shifted(convolve(z, context.last), 7)[:, 0], 2)
        mean, scale = np.zeros_like(values), np.zeros_like(values)
        mean[:, rows, columns] = ((a + a2 + c + c2 + 2) >> 2) + correction
        scale[:, rows, columns] = spread + scale_offset
        mask = np.zeros((height, width), bool)
        mask[rows, columns] = True
        values = values + visit(slice(0, context.channels), mean, scale, mask)
    return values


def plain_slopes(means):
    p = np.pad(means, ((0, 0), (1, 1), (1, 1)), mode="edge")
    north, south = p[:, :-2, 1:-1], p[:, 2:, 1:-1]
    west, east = p[:, 1:-1, :-2], p[:, 1:-1, 2:]
    return np.concatenate([east - west, south - north, 4 * means - north - south - west - east])


def plain_codes(context, levels, rate, visit):
    """CodeContext.walk of one picture: levels int64 (1, h, w), rate an int."""
    centred = levels - LEVELS // 2
    known = np.concatenate([8 * centred, np.full_like(centred, 2 * rate)])
    if context.lattice:
        means = plain_lattice(context.means, known, rate, visit)
        known = np.concatenate([known, squash(context, plain_slopes(means))])
    collected = convolve(known, context.collect)
    rows, columns = np.indices(levels.shape[1:])
    start = context.lattice
    for i, size in enumerate(context.groups):
        values = np.zeros((size, *levels.shape[1:]), np.int64)
        sums = collected
        for half in (0, 1):
            z = activated(convolve(activated(sums, 8), context.inner[i]), 7)
            z = shifted(convolve(z, context.outer[i]), 7)
            scale = z[size:] + rate + 4 * centred if context.outputs == 2 else 0 * z
            mask = (rows + columns) % 2 == half
            values = values + visit(slice(start, start + size), z[:size], scale, mask)
            shown = squash(context, values)
            signed = [shown] if i < context.signed_groups else []
            shown = np.concatenate([*signed, np.abs(shown)])
            sums = collected + convolve(shown, context.own[i])
        if i + 1 < len(context.groups):
            collected = collected + convolve(shown, context.cross[i])
        start += size


# ---------------------------------------------------------------- settings, visitors, cases


class Setting(NamedTuple):
    """What must not change a bit."""

    threads: int = 2
    onednn: bool = True
    layout: torch.memory_format = torch.contiguous_format
    dtype: torch.dtype = torch.float32
    precision: str = "highest"  # of products of matrices
    convolutions: str = ""  # their precision, where torch lets it be chosen
    gradients: bool = False
    device: str = "cpu"


SETTINGS = {
    f"{threads}-threads-{'onednn' if onednn else 'native'}-{name}-{str(dtype)[6:]}": Setting(
        threads, onednn, layout, dtype
    )
    for threads in (1, 2)
    for onednn in (True, False)
    for name, layout in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last))
    for dtype in (torch.float32, torch.float64)
}
SETTINGS |= {
    "high": Setting(precision="high"),
    "medium": Setting(precision="medium"),
    "medium-nhwc": Setting(precision="medium", layout=torch.channels_last),
    "gradients": Setting(gradients=True),
}
if hasattr(torch.backends.mkldnn, "conv"):
    SETTINGS["bf16-convolutions"] = Setting(convolutions="bf16")
if torch.cuda.is_available():
    SETTINGS["cuda"] = Setting(device="cuda")
    SETTINGS["cuda-nhwc"] = Setting(device="cuda", layout=torch.channels_last)


@pytest.fixture(params=list(SETTINGS))
def setting(request):
    with applied(SETTINGS[request.param]):
        yield SETTINGS[request.param]


@contextmanager
def applied(chosen):
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    chosen_precision = {"fp32_precision": chosen.convolutions} if chosen.convolutions else {}
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision(chosen.precision)
    try:
        with (
            torch.backends.mkldnn.flags(enabled=chosen.onednn, **chosen_precision),
            torch.backends.cudnn.flags(deterministic=True, allow_tf32=False),
            torch.set_grad_enabled(chosen.gradients),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


class Step(NamedTuple):
    """One call of a visitor: what was predicted at its places."""

    channels: tuple[int, int]
    mask: np.ndarray  # bool (h, w)
    mean: np.ndarray  # (..., C, T)
    scale: np.ndarray


class Recorder:
    """A visitor that adds known residuals to the means, and notes what it was told."""

    def __init__(self, residuals):
        self.residuals, self.steps = residuals, []

    def __call__(self, channels, mean, scale, places):
        mask = places.mask if isinstance(places, Places) else places
        values = (16 * self.residuals[..., channels, :, :] + mean) * mask
        step = (mask, mean[..., mask], scale[..., mask])
        if isinstance(mean, torch.Tensor):
            flat = torch.zeros_like(mask.flatten())
            flat[places.where] = True
            assert torch.equal(flat.view_as(mask), mask)
            step = [tensor.detach().cpu().numpy() for tensor in step]
        self.steps.append(Step((channels.start, channels.stop), *step))
        return values


class Case(NamedTuple):
    """A context model, its inputs as int64, and the residuals that are coded."""

    context: LatticeContext | CodeContext
    maps: np.ndarray  # (B, E, h, w): extras or levels
    rate: np.ndarray  # (B,) 0..56
    residuals: np.ndarray  # (B, C, h, w)

    def plain(self):
        """Return the steps of each picture by the plain implementation."""
        found = []
        for maps, rate, residuals in zip(self.maps, self.rate, self.residuals, strict=True):
            visit = Recorder(residuals)
            walk = plain_lattice if isinstance(self.context, LatticeContext) else plain_codes
            walk(self.context, maps, int(rate), visit)
            found.append(visit.steps)
        return found

    def real(self, chosen, pictures):
        """Return the steps of a batch of these pictures in a setting."""
        context = copy.deepcopy(self.context).to(chosen.device, chosen.dtype)
        context = context.to(memory_format=chosen.layout)
        maps, rate, residuals = (
            torch.tensor(array[pictures]).to(chosen.device, chosen.dtype)
            for array in (self.maps, self.rate, self.residuals)
        )
        maps = maps.contiguous(memory_format=chosen.layout)
        visit = Recorder(residuals.contiguous(memory_format=chosen.layout))
        if isinstance(context, LatticeContext):
            context.walk(maps, rate[:, None, None], visit)
        else:
            context.walk(maps, rate, LEVELS, visit)
        return visit.steps


def assert_equal(steps, plain):
    """Compare a batch's steps with those of each of its pictures."""
    for number, picture in enumerate(plain):
        assert [step.channels for step in steps] == [step.channels for step in picture]
        for real, wanted in zip(steps, picture, strict=True):
            assert np.array_equal(real.mask, wanted.mask)
            assert np.array_equal(real.mean[number], wanted.mean)
            assert np.array_equal(real.scale[number], wanted.scale)


@lru_cache
def case(name):
    """Return a case and its plain steps, computed once."""
    generator = np.random.default_rng(7)
    torch.manual_seed(7)
    config = ModelConfig.paper() if name == "bits" else ModelConfig()
    model = Model(config)
    context = model.level_context if name == "levels" else model.code_context
    height, width = {"bits": (12, 28), "saturated": (9, 20)}.get(name, (17, 33))
    for key, layer in context.named_modules():
        if not isinstance(layer, IntegerConv2d):
            continue
        shape, last = layer.weight.shape, key.startswith(("outer", "last", "means.last"))
        with torch.no_grad():
            if name == "saturated":
                signs = 2 * torch.randint(0, 2, shape) - 1
                signs[::3], signs[1::3] = 1, -1
                layer.weight.copy_(127 * signs * 2.0**-layer.shift)
            else:
                layer.weight.mul_(20 if last else 1)
                layer.bias.copy_(torch.randn(shape[0]) * 3)
    context.check()
    channels = 1 if name == "levels" else config.latents
    shape = BATCH, channels, height, width
    residuals = generator.integers(-3, 4, shape) * (generator.random(shape) < 0.5)
    residuals = np.where(generator.random(shape) < 0.02, 100 * residuals, residuals)
    rate = np.array([0, 56, 23])
    if name == "levels":
        maps = np.broadcast_to(2 * rate[:, None, None, None], (BATCH, 1, height, width)).copy()
    else:
        maps = generator.integers(0, LEVELS, (BATCH, 1, height, width))
    found = Case(context, maps, rate, residuals)
    return found, found.plain()


CASES = ("levels", "codes", "bits", "saturated")


# ---------------------------------------------------------------- bit-equality


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_those_of_the_plain_implementation(name, setting):
    found, plain = case(name)
    assert_equal(found.real(setting, slice(0, 3)), plain)
    assert_equal(found.real(setting, slice(2, 3)), plain[2:])


@pytest.mark.parametrize("name", ["levels", "codes", "bits"])
def test_large_batches_without_onednn_use_no_inexact_algorithm(name):
    # from 16 pictures on, torch may choose NNPACK, whose 3x3 algorithm is Winograd's
    found, plain = case(name)
    with applied(Setting(onednn=False)):
        assert_equal(found.real(Setting(), [0] * 16), plain[:1] * 16)


@pytest.mark.parametrize("name", CASES)
def test_cases_say_something(name):
    _, plain = case(name)
    means = np.concatenate([step.mean.flatten() for step in plain[0]])
    scales = np.concatenate([step.scale.flatten() for step in plain[0]])
    assert means.std() > 10
    assert len(np.unique(means)) > 50
    assert name == "bits" or len(np.unique(scales)) > 20


def test_largest_sums_are_exact(setting):
    layer = worst_layer()
    x = np.full((4, 115, 16, 24), 127)
    x[1] = -127
    x[2, ::2] = -127
    x[3] = 127 * np.random.default_rng(1).choice([-1, 1], x[3].shape)
    real = copy.deepcopy(layer).to(setting.device, setting.dtype)
    real = real.to(memory_format=setting.layout)
    given_x = torch.tensor(x).to(setting.device, setting.dtype)
    y = real(given_x.contiguous(memory_format=setting.layout), True) * 256
    wanted = np.stack([convolve(picture, layer) for picture in x])
    assert np.array_equal(y.detach().cpu().numpy(), wanted)
    assert wanted.max() == 115 * 9 * 127 * 127 + 83444  # 256 below 2^24


# ---------------------------------------------------------------- the bound of the sums


def worst_layer(channels=115, bias=83444):
    """Return a layer of weights 127 and -127 whose sums reach the bound exactly."""
    layer = IntegerConv2d(channels, 4, 3)
    with torch.no_grad():
        layer.weight.fill_(127 / 256)
        layer.weight[1] *= -1
        layer.weight[2, ::2] *= -1
        layer.weight[3] *= 2 * torch.randint(0, 2, layer.weight[3].shape) - 1
        layer.bias.fill_(bias / 256)
    return layer


def test_check_sums_accepts_the_bound_and_refuses_one_more():
    check_sums([worst_layer()])
    for layer in (worst_layer(bias=83445), worst_layer(bias=-83445), worst_layer(116, 0)):
        with pytest.raises(ValueError, match="2\\^24 is the limit"):
            check_sums([layer])


def test_check_sums_adds_layers_that_are_summed():
    check_sums([worst_layer(57, 0)])
    check_sums([worst_layer(57, 0), worst_layer(57, 0)])
    with pytest.raises(ValueError, match="sums of the context model"):
        check_sums([worst_layer(57, 0), worst_layer(59, 0)])


def small_codes():
    torch.manual_seed(3)
    return CodeContext(3, (4, 5), 1, 8, 8, 2)


SMALL_LAYERS = [n for n, m in small_codes().named_modules() if isinstance(m, IntegerConv2d)]


@pytest.mark.parametrize("name", SMALL_LAYERS)
def test_check_looks_at_every_layer(name):
    context = small_codes()
    context.check()
    layer = context.get_submodule(name)
    with torch.no_grad():
        layer.bias[-1] = 2.0 ** (24 - layer.shift)
    with pytest.raises(ValueError, match="sums of the context model"):
        context.check()


def test_check_adds_up_what_a_group_collects():
    context = Model(ModelConfig.paper()).code_context  # 194 input channels, more than 115
    context.check()
    with torch.no_grad():
        for layer in (context.collect, *context.own, *context.cross):
            layer.weight.fill_(127 / 256)
    for layer in (context.collect, *context.own, *context.cross):
        check_sums([layer])
    with pytest.raises(ValueError, match="sums of the context model"):
        context.check()


def test_weights_are_int8_and_rounded():
    layer = IntegerConv2d(1, 6, 1)
    with torch.no_grad():
        layer.weight[:, 0, 0, 0] = torch.tensor([9.0, -9.0, 1.0, 0.6 / 128, 0.4 / 128, -0.6 / 128])
        layer.bias.fill_(2.7 / 128)
    weight, bias = layer.integers()
    assert weight.flatten().tolist() == [127, -127, 127, 1, 0, -1]
    assert bias.tolist() == [3] * 6


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("size", LATTICE_SIZES, ids=str)
def test_lattice_visits_every_place_once_after_its_neighbours(size):
    height, width = size
    known = []
    for number, (places, neighbours) in enumerate(lattice_passes(height, width)):
        assert neighbours.shape == (4, len(places))
        if number:
            assert set(neighbours.flatten().tolist()) <= set(known)
        known += places.tolist()
    assert sorted(known) == list(range(height * width))


def test_inner_places_lie_between_the_neighbours_that_face_each_other():
    height, width = 17, 33
    for number, (places, neighbours) in enumerate(lattice_passes(height, width)):
        if number == 0:
            continue
        spacing = (4, 4, 2, 2, 1, 1)[number - 1]
        distance = spacing * (2**0.5 if number % 2 else 1)  # corners and sides in turn
        rows, columns = places // width, places % width
        inner = (rows >= spacing) & (rows < height - spacing)
        inner &= (columns >= spacing) & (columns < width - spacing)
        near = torch.stack([neighbours // width, neighbours % width])[:, :, inner].double()
        here = torch.stack([rows, columns])[:, inner].double()
        assert inner.any()
        assert torch.equal(near[:, 0] + near[:, 1], 2 * here)
        assert torch.equal(near[:, 2] + near[:, 3], 2 * here)
        lengths = (near - here[:, None]).norm(dim=0)
        assert torch.allclose(lengths, torch.full_like(lengths, distance))


def test_checkerboard_halves_begin_with_the_first_place():
    first, second = checkerboard(2, 3, torch.device("cpu"))
    assert first.mask.tolist() == [[True, False, True], [False, True, False]]
    assert first.where.tolist() == [0, 2, 4]
    assert second.where.tolist() == [1, 3, 5]
    assert torch.equal(second.mask, ~first.mask)


# ---------------------------------------------------------------- round trip


class Chooser:
    """An encoder's visitor: knows real values, keeps the integers it would write."""

    def __init__(self, wanted):
        self.wanted, self.written = wanted, []
        self.values = torch.zeros_like(wanted)

    def __call__(self, channels, mean, scale, places):
        integers = torch.round((self.wanted[:, channels] - mean) / 16)
        self.written.append(integers[:, :, places.mask].clone())
        values = (16 * integers + mean) * places.mask
        self.values[:, channels] += values
        return values


class Follower:
    """A decoder's visitor: has nothing but the integers, in the order written."""

    def __init__(self, written, shape):
        self.written, self.values = list(written), torch.zeros(shape, dtype=torch.float64)

    def __call__(self, channels, mean, scale, places):
        values = torch.zeros_like(mean)
        values[:, :, places.mask] = 16 * self.written.pop(0).double() + mean[:, :, places.mask]
        self.values[:, channels] += values
        return values


@given(st.integers(1, 19), st.integers(1, 19), st.integers(0, 56), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_integers_alone_bring_the_values_back(height, width, rate, seed):
    context = lively_codes()
    generator = torch.Generator().manual_seed(seed)
    wanted = 200 * torch.randn(1, 12, height, width, generator=generator)
    levels = torch.randint(0, LEVELS, (1, 1, height, width), generator=generator).float()
    index = torch.tensor([float(rate)])
    writer = Chooser(wanted)
    with applied(Setting()):
        context.walk(levels, index, LEVELS, writer)
    reader = Follower(writer.written, wanted.shape)
    with applied(Setting(threads=1, onednn=False)):
        copy.deepcopy(context).double().walk(levels.double(), index.double(), LEVELS, reader)
    assert not reader.written
    assert torch.equal(reader.values, writer.values.double())
    assert (writer.values - wanted).abs().max() <= 8.01


@given(st.integers(1, 19), st.integers(1, 19), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_integers_alone_bring_the_levels_back(height, width, seed):
    context = case("levels")[0].context
    generator = torch.Generator().manual_seed(seed)
    wanted = 16.0 * torch.randint(0, LEVELS, (1, 1, height, width), generator=generator)
    extras, offset = torch.full((1, 1, height, width), 40.0), torch.zeros(1, 1, 1)
    writer = Chooser(wanted)
    with applied(Setting()):
        returned = context.walk(extras, offset, writer)
    assert torch.equal(returned, writer.values)
    reader = Follower(writer.written, wanted.shape)
    with applied(Setting(threads=1, onednn=False)):
        again = copy.deepcopy(context).double().walk(extras.double(), offset.double(), reader)
    assert torch.equal(again, writer.values.double())


@lru_cache
def lively_codes():
    """Return a small model whose predictions are far from zero."""
    context = small_codes()
    with torch.no_grad():
        for layer in (*context.outer, context.means.last):
            layer.weight.mul_(20)
            layer.bias.normal_(0, 3)
    return context


# ---------------------------------------------------------------- training and tables


def test_walk_with_gradients_works_after_one_without():
    context = small_codes()
    levels, rate = torch.full((1, 1, 6, 11), 8.0), torch.tensor([20.0])
    lattice_passes.cache_clear()
    with torch.inference_mode():
        context.walk(levels, rate, LEVELS, Recorder(torch.zeros(1, 12, 6, 11)))
    total = torch.zeros(())

    def visit(channels, mean, scale, places):
        nonlocal total
        total = total + (mean * places.mask).sum() + (scale * places.mask).sum()
        return (mean * places.mask).detach()

    context.walk(levels, rate, LEVELS, visit)
    total.backward()
    assert context.means.first.weight.grad.abs().sum() > 0
    assert context.collect.weight.grad.abs().sum() > 0


def test_float_form_of_training_is_close_to_the_integers():
    levels, rate = torch.full((1, 1, 8, 8), 9.0), torch.tensor([30.0])
    found = {}
    for quantised in (True, False):
        context = copy.deepcopy(lively_codes())
        context.quantised = context.means.quantised = quantised
        visit = Recorder(torch.zeros(1, 12, 8, 8))
        with torch.no_grad():
            context.walk(levels, rate, LEVELS, visit)
        found[quantised] = visit.steps[0].mean
    assert np.array_equal(found[True], np.round(found[True]))
    assert not np.array_equal(found[False], np.round(found[False]))
    assert np.abs(found[True] - found[False]).max() < 4


def test_squash_table_is_the_compressed_value():
    v = np.arange(-4096, 4097)
    wanted = np.clip(np.round(20 * np.log(np.abs(v) / 16 + np.hypot(v / 16, 1))), 0, 127)
    assert np.array_equal(squash_table().numpy(), np.sign(v) * wanted)


def test_mass_table_is_that_of_the_logistic_distribution():
    masses = mass_table().numpy()
    assert masses.shape == (112, 257)
    for row, m in itertools.product((0, 17, 40, 72, 111), (0, 1, 2, 50, 256)):
        s = 2 ** ((row - 40) / 8)
        upper = 1 / (1 + np.exp(-(m + 0.5) / s)) if (m + 0.5) / s < 700 else 1.0
        assert masses[row, m] == pytest.approx((2 * upper - 1) * 2**24, abs=0.51)
    assert (np.diff(masses, axis=1) >= 0).all()


def test_cost_table_has_the_bits_of_both_signs():
    masses = mass_table()
    costs = cost_table(masses).double()
    assert costs[40, 0] == pytest.approx(-np.log2(np.tanh(0.25)), abs=1e-4)
    assert costs[40, 1] == pytest.approx(-np.log2((np.tanh(0.75) - np.tanh(0.25)) / 2), abs=1e-4)
    total = 2.0 ** -costs[100, 0] + 2 * (2.0 ** -costs[100, 1:]).sum()
    assert total == pytest.approx(int(masses[100, -1]) / 2**24, abs=1e-4)


def test_slopes_are_differences_of_neighbours():
    means = torch.tensor([[[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]]]])
    found = slopes(means)[0, :, 1, 1]
    assert found.tolist() == [32 - 8, 128 - 2, 4 * 16 - 2 - 8 - 32 - 128]
    assert slopes(means)[0, :, 0, 0].tolist() == [2 - 1, 8 - 1, 4 - 1 - 1 - 2 - 8]

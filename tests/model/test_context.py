"""The context models: the same integers in every setting, and the ones that the text says.

A file decodes on another machine only if that machine computes the very same predictions. So all
of them are compared bit by bit with a plain implementation on int64, under everything that may
change the order or the method of float32 sums.
"""

import copy
import itertools
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcodec.model import Model, ModelConfig, integer
from imgcodec.model.coding_order import lattice_passes, phases
from imgcodec.model.context import (
    CodeContext,
    ContextModel,
    LatticeContext,
    Reach,
    check,
    freeze,
    slopes,
    to_rows,
)
from imgcodec.model.integer import (
    IntegerConv2d,
    IntegerLayer,
    IntegerLinear,
    NarrowConv2d,
    check_sums,
)
from imgcodec.model.steps import eighths
from imgcodec.model.tables import cost_table, mass_table, squash_table
from imgcodec.runtime.precision import multiplies_int8

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")

CPU = torch.device("cpu")
LEVELS = 16
BATCH = 3
NEAR, FAR = Reach(3, 1, False, 0), Reach(6, 2, True, 2)


# ---------------------------------------------------------------- the plain implementation


def shifted(total, shift):
    """Return floor(total / 2^shift + 1/2)."""
    return (total + (1 << (shift - 1))) >> shift


def activated(total, shift):
    return np.clip(shifted(total, shift), 0, 127)


def integers(layer):
    """Return weights and biases of a layer in units of 2^-shift, int64."""
    scale = 256 if layer.weight.dim() == 4 else 128
    weights = np.rint(layer.weight.detach().double().cpu().numpy() * scale)
    bias = np.rint(layer.bias.detach().double().cpu().numpy() * scale)
    return np.clip(weights, -127, 127).astype(np.int64), bias.astype(np.int64)


def convolve(x, layer):
    """Return the sums of a 3x3 layer, int64 (C', h, w)."""
    weights, bias = integers(layer)
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(weights), height, width), np.int64) + bias[:, None, None]
    for i, j in itertools.product(range(3), repeat=2):
        window = padded[:, i : i + height, j : j + width]
        total += np.tensordot(weights[:, :, i, j], window, 1)
    return total


def multiply(x, layer):
    """Return the sums of a layer of single places, (C, T) -> int64 (C', T)."""
    weights, bias = integers(layer)
    return weights @ x + bias[:, None]


def squash(context, values):
    table = context.squashing.cpu().numpy().astype(np.int64)
    return table[np.clip(values, -4096, 4096) + 4096]


def plain_passes(height, width, stride):
    """Yield the places of each pass, [(row, column)], and their neighbours, four lists of such."""
    everywhere = list(itertools.product(range(height), range(width)))
    first = [(r, c) for r, c in everywhere if r % stride == c % stride == 0]
    yield first, [first] * 4
    d = stride // 2
    while d:
        grid = [(r, c) for r, c in everywhere if r % d == c % d == 0]
        corners = [(r, c) for r, c in grid if r // d % 2 and c // d % 2]
        sides = [(r, c) for r, c in grid if r // d % 2 != c // d % 2]
        for places, offsets in (
            (corners, [(-d, -d), (d, d), (-d, d), (d, -d)]),
            (sides, [(0, -d), (0, d), (-d, 0), (d, 0)]),
        ):
            yield places, [[neighbour(*p, *o, height, width) for p in places] for o in offsets]
        d //= 2


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
    passes = list(plain_passes(height, width, context.stride))
    for number, (places, neighbours) in enumerate(passes):
        if not places:
            continue
        rows, columns = np.array(places).T
        near = values[(slice(None), *np.array(neighbours).transpose(2, 0, 1))]  # (C, 4, T)
        if number == 0:
            near = np.full_like(near, context.default)
        a, a2, c, c2 = near[:, 0], near[:, 1], near[:, 2], near[:, 3]
        steep = np.abs(np.concatenate([a - a2, c - c2, (a + a2 - c - c2) >> 1]))
        which = np.zeros((len(passes), len(rows)), np.int64)
        which[number] = 64
        z = np.concatenate([squash(context, steep), extras[:, rows, columns], which])
        z = activated(multiply(z, context.first), 7)
        z = activated(multiply(z, context.second), 7)
        correction, spread = np.split(shifted(multiply(z, context.last), 7), 2)
        mean = ((a + a2 + c + c2 + 2) >> 2) + correction
        found = visit(0, mean, spread + scale_offset, rows * width + columns)
        values[:, rows, columns] = found
    return values


def plain_slopes(means):
    p = np.pad(means, ((0, 0), (1, 1), (1, 1)), mode="edge")
    north, south = p[:, :-2, 1:-1], p[:, 2:, 1:-1]
    west, east = p[:, 1:-1, :-2], p[:, 1:-1, 2:]
    return np.concatenate([east - west, south - north, 4 * means - north - south - west - east])


def through(maps, layer):
    """Return the sums of a layer from whole map to whole map, in units of 2^-8."""
    if isinstance(layer, NarrowConv2d):
        sums = multiply(maps.reshape(len(maps), -1), layer.narrow)
        maps = np.clip(shifted(sums, 7), -127, 127).reshape(-1, *maps.shape[1:])
        layer = layer.wide
    return convolve(maps, layer)


def plain_groups(context, known, offset, visit, first_part):
    """GroupContext.walk of one picture: known (E, h, w), offset (h, w) -> all values."""
    near = activated(convolve(known, context.near), 8)
    collected = convolve(known, context.collect) + through(near, context.far)
    height, width = known.shape[1:]
    found_groups = []
    for i, size in enumerate(context.groups):
        values = np.zeros((size, height, width), np.int64)
        if i < len(context.deep):
            collected = collected + through(activated(collected, 8), context.deep[i])
        for number, (belongs, own, offsets) in enumerate(plain_phases(context, i)):
            places = [place for place in np.ndindex(height, width) if belongs(*place)]
            if not places:
                continue
            rows, columns = np.array(places).T
            sums = collected[:, rows, columns]
            more = dict(context.others[i]).get(str(number))
            seen = [(own, offsets)] * (own is not None)
            if more is not None:
                seen.append((more, plain_others(belongs, offsets, context.reach, number)))
            shown = np.pad(plain_shown(context, values), ((0, 0), (2, 2), (2, 2)))
            for layer, around in seen:
                near = [shown[:, rows + 2 + dr, columns + 2 + dc] for dr, dc in around]
                # units of 2^-8 and of 2^-7
                sums = sums + 2 * multiply(np.concatenate(near), layer)
            z = multiply(activated(sums, 8), context.inner[i])
            for between in context.between[i]:
                z = z + multiply(activated(z, 7), between)
            z = shifted(multiply(activated(z, 7), context.outer[i]), 7)
            scale = z[size:] + offset[rows, columns] if context.outputs == 2 else 0 * z
            found = visit(first_part + i, z[:size], scale, rows * width + columns)
            values[:, rows, columns] = found
        if i + 1 < len(context.groups):
            collected = collected + convolve(plain_shown(context, values), context.cross[i])
        found_groups.append(values)
    return np.concatenate(found_groups)


def plain_phases(context, i):
    """Return per phase whether a place belongs to it, the layer of its nearest, and those."""
    corners = context.corners[i], ((-1, -1), (-1, 1), (1, -1), (1, 1))
    sides = context.sides[i], ((-1, 0), (1, 0), (0, -1), (0, 1))
    if context.reach.phases == 3:
        return (
            (lambda r, c: not r % 2 and not c % 2, None, ()),
            (lambda r, c: r % 2 and c % 2, *corners),
            (lambda r, c: r % 2 != c % 2, *sides),
        )
    return (
        (lambda r, c: not r % 4 and not c % 4, None, ()),
        (lambda r, c: r % 4 == 2 and c % 4 == 2, None, ()),
        (lambda r, c: not r % 2 and not c % 2 and r % 4 != c % 4, None, ()),
        (lambda r, c: r % 2 and c % 2, *corners),
        (lambda r, c: not r % 2 and c % 2, *sides),
        (lambda r, c: r % 2 and not c % 2, *sides),
    )


def plain_others(belongs, nearest, reach, number):
    """Return what else around a place of a phase is always known, for six phases of radius 2."""
    assert (reach.phases, reach.radius) == (FAR.phases, FAR.radius)
    corners = {(dr, dc) for dr in (-1, 1) for dc in (-1, 1)}
    knights = {(dr, dc) for dr in range(-2, 3) for dc in range(-2, 3) if dr * dr + dc * dc == 5}
    known = {
        1: {(2 * dr, 2 * dc) for dr, dc in corners},
        2: {(0, -2), (0, 2), (-2, 0), (2, 0)},
        4: knights,
        5: corners | knights,
    }
    return sorted(known[number])


def plain_shown(context, values):
    shown = squash(context, values)
    return np.concatenate([shown, np.abs(shown)])


def times(factor, x):
    return (x * round(factor * 4096) + 2048) >> 12


def plain_merge(low, high, axis):
    """The inverse 9/7 wavelet along an axis, by its lifting steps on integers."""
    low, high = np.moveaxis(low, axis, 0), np.moveaxis(high, axis, 0)
    even, odd = times(1 / 1.149604398, low), times(1.149604398, high)
    for number, factor in enumerate((0.4435068522, 0.8829110762, -0.05298011854, -1.586134342)):
        if number % 2 == 0:
            even = even - times(factor, odd + np.concatenate([odd[:1], odd[:-1]]))
        else:
            odd = odd - times(factor, even + np.concatenate([even[1:], even[-1:]]))
    result = np.empty((2 * len(even), *even.shape[1:]), np.int64)
    result[::2], result[1::2] = even, odd
    return np.moveaxis(result, 0, axis)


def plain_eighths(levels, octave):
    """Return by how many eighths of an octave steps are finer where they follow the levels."""
    height, width = levels.shape
    levels = np.pad(levels, ((0, -height % 8), (0, -width % 8)), mode="edge")
    side = 8 >> octave
    rows, columns = levels.shape[0] // side, levels.shape[1] // side
    sums = (levels - LEVELS // 2).reshape(rows, side, columns, side).sum((1, 3))
    return np.array(
        [[min(round(Fraction(4 * int(n), side**2)) + 2, 28) for n in row] for row in sums]
    )


def plain_pyramid(context, rate, levels, follow, visit):
    """PyramidContext.walk of one picture of levels (h, w) -> block means (C, h, w)."""
    height, width = levels.shape
    size = -(-height // 8), -(-width // 8)
    lows = plain_lattice(context.lows, np.full((1, *size), 2 * rate), rate, visit)
    for octave in range(3):
        octaves = np.zeros((3, *lows.shape[1:]), np.int64)
        octaves[2 - octave] = 64
        shown = np.full((1, *lows.shape[1:]), 2 * rate)
        finer = plain_eighths(levels, octave) if follow else np.zeros(lows.shape[1:], np.int64)
        steep = squash(context, plain_slopes(lows))
        known = np.concatenate([steep, shown, octaves, np.maximum(4 * finer, -127)[None]])
        details = plain_groups(context.details, known, rate + finer, visit, 1 + 2 * octave)
        factors = np.rint(4096 * 2.0 ** (-finer / 8)).astype(np.int64)
        details = (details * factors + 2048) >> 12
        along_rows, along_columns, along_both = details[::3], details[1::3], details[2::3]
        left = plain_merge(lows, along_columns, 1)
        lows = plain_merge(left, plain_merge(along_rows, along_both, 1), 2)
    return lows[:, :height, :width]


def plain_codes(context, levels, rate, follow, visit):
    """CodeContext.walk of one picture: levels int64 (1, h, w), rate an int.

    The steps of the pyramid's details follow the levels or do not.
    """
    centred = levels - LEVELS // 2
    known = np.concatenate([8 * centred, np.full_like(centred, 2 * rate)])
    first_part = 0
    if context.pyramid is not None:
        means = plain_pyramid(context.pyramid, rate, levels[0], follow, visit)
        known = np.concatenate([known, squash(context, plain_slopes(means))])
        first_part = 7
    plain_groups(context.latents, known, rate + 4 * centred[0], visit, first_part)


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
    frozen: bool = False  # integers kept, as in use
    int8: bool = False  # and multiplied as int8


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
    "frozen": Setting(frozen=True),
}
if multiplies_int8("cpu"):
    SETTINGS["int8"] = Setting(frozen=True, int8=True)
    SETTINGS["int8-nhwc"] = Setting(frozen=True, int8=True, layout=torch.channels_last)
    SETTINGS["int8-gradients"] = Setting(frozen=True, int8=True, gradients=True)
if hasattr(torch.backends.mkldnn, "conv"):
    SETTINGS["bf16-convolutions"] = Setting(convolutions="bf16")
if torch.cuda.is_available():
    SETTINGS["cuda"] = Setting(device="cuda")
    SETTINGS["cuda-nhwc"] = Setting(device="cuda", layout=torch.channels_last)


@pytest.fixture(params=list(SETTINGS))
def setting(request, monkeypatch):
    monkeypatch.setattr(integer, "LEAST_PLACES", 1)
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

    part: int
    places: np.ndarray  # (T,)
    mean: np.ndarray  # (..., C, T)
    scale: np.ndarray


class Recorder:
    """A visitor that adds known residuals to the means, and notes what it was told."""

    def __init__(self, residuals):
        self.residuals = [residual.reshape(*residual.shape[:-2], -1) for residual in residuals]
        self.steps = []

    def __call__(self, part, mean, scale, places):
        residuals = self.residuals[part][..., places]
        if isinstance(mean, torch.Tensor):
            step = [x.detach().cpu().numpy().copy() for x in (places, mean.mT, scale.mT)]
            residuals = residuals.mT
        else:
            step = [places, mean, scale]
        self.steps.append(Step(part, *step))
        return 16 * residuals + mean


class Case(NamedTuple):
    """A context model, its inputs as int64, and the residuals that are coded."""

    context: LatticeContext | CodeContext
    maps: np.ndarray  # (B, E, h, w): extras or levels
    rate: np.ndarray  # (B,) 0..56
    residuals: list[np.ndarray]  # (B, C, h, w) of each part
    model: Model  # that the context model belongs to

    def plain(self):
        """Return the steps of each picture by the plain implementation."""
        found = []
        for number, (maps, rate) in enumerate(zip(self.maps, self.rate, strict=True)):
            visit = Recorder([residual[number] for residual in self.residuals])
            if isinstance(self.context, LatticeContext):
                plain_lattice(self.context, maps, int(rate), visit)
            else:
                follow = self.model.config.metric == "ms-ssim"
                plain_codes(self.context, maps, int(rate), follow, visit)
            found.append(visit.steps)
        return found

    def real(self, chosen, *batches):
        """Yield the steps of batches of these pictures in a setting."""
        context = copy.deepcopy(self.context).to(chosen.device, chosen.dtype)
        context = context.to(memory_format=chosen.layout)
        if chosen.frozen:
            freeze(context, chosen.int8)
        for pictures in batches:
            maps, rate, *residuals = (
                torch.tensor(array[pictures]).to(chosen.device, chosen.dtype)
                for array in (self.maps, self.rate, *self.residuals)
            )
            maps = maps.contiguous(memory_format=chosen.layout)
            visit = Recorder(residuals)
            if isinstance(context, LatticeContext):
                context.walk(maps, rate[:, None, None], visit)
            else:
                context.walk(maps, rate, LEVELS, eighths(maps, self.model.config), visit)
            yield visit.steps


def assert_equal(steps, plain):
    """Compare a batch's steps with those of each of its pictures."""
    for number, picture in enumerate(plain):
        assert [step.part for step in steps] == [step.part for step in picture]
        for real, wanted in zip(steps, picture, strict=True):
            assert np.array_equal(real.places, wanted.places)
            assert np.array_equal(real.mean[number], wanted.mean)
            assert np.array_equal(real.scale[number], wanted.scale)


@lru_cache
def case(name):
    """Return a case and its plain steps, computed once."""
    generator = np.random.default_rng(7)
    torch.manual_seed(7)
    far = ModelConfig(context_phases=6, context_radius=2, context_deep=True, context_layers=2)
    configs = {
        "bits": ModelConfig.paper(), "followed": ModelConfig(metric="ms-ssim"), "far": far,
        "narrow": replace(far, context_deep=False, context_ranks=(7, 24, 5)),
    }  # fmt: skip
    config = configs.get(name, ModelConfig())
    model = Model(config)
    context = model.level_context if name == "levels" else model.code_context
    sizes = {"levels": (17, 33), "codes": (17, 33), "bits": (12, 28), "saturated": (9, 20)}
    height, width = sizes.get(name, (17, 20))
    for key, layer in context.named_modules():
        if not isinstance(layer, IntegerLayer):
            continue
        shape, last = layer.weight.shape, "outer" in key or key.endswith("last")
        with torch.no_grad():
            if name == "saturated":
                signs = 2 * torch.randint(0, 2, shape) - 1
                signs[::3], signs[1::3] = 1, -1
                layer.weight.copy_(51 * signs * 2.0**-layer.shift)  # close to the bound
            else:
                if not layer.weight.any():  # begins as nothing
                    layer.weight.copy_(torch.randn(shape) / layer.weight[0].numel() ** 0.5)
                layer.weight.mul_(20 if last else 1)
                layer.bias.copy_(torch.randn(shape[0]) * 3)
    check(context)
    residuals = []
    for part, channels in enumerate((1,) if name == "levels" else config.parts):
        size = (height, width) if name == "levels" else config.part_size(part, height, width)
        shape = BATCH, channels, *size
        small = generator.integers(-3, 4, shape) * (generator.random(shape) < 0.5)
        residuals.append(np.where(generator.random(shape) < 0.02, 100 * small, small))
    rate = np.array([0, 56, 23])
    if name == "levels":
        maps = np.broadcast_to(2 * rate[:, None, None, None], (BATCH, 1, height, width)).copy()
    else:
        maps = generator.integers(0, LEVELS, (BATCH, 1, height, width))
    found = Case(context, maps, rate, residuals, model)
    return found, found.plain()


CASES = ("levels", "codes", "followed", "far", "narrow", "bits", "saturated")


# ---------------------------------------------------------------- bit-equality


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_those_of_the_plain_implementation(name, setting):
    found, plain = case(name)
    together, alone = found.real(setting, slice(0, 3), slice(2, 3))
    assert_equal(together, plain)
    assert_equal(alone, plain[2:])


@pytest.mark.parametrize("name", ["levels", "codes", "bits"])
def test_large_batches_without_onednn_use_no_inexact_algorithm(name):
    # from 16 pictures on, torch may choose NNPACK, whose 3x3 algorithm is Winograd's
    found, plain = case(name)
    with applied(Setting(onednn=False)):
        (steps,) = found.real(Setting(), [0] * 16)
        assert_equal(steps, plain[:1] * 16)


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
    layer = IntegerConv2d(channels, 4)
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


def test_check_sums_counts_in_the_finest_unit_of_those_that_are_summed():
    coarse = IntegerLinear(1000, 1)  # in units of 1/128; a convolution's are 1/256
    with torch.no_grad():
        coarse.weight.fill_(127 / 128)
    fine = worst_layer(2, 0)
    check_sums([coarse])  # 16,129,128 of 16,777,216
    check_sums([fine])
    with pytest.raises(ValueError, match="sums of the context model reach 32548"):
        check_sums([fine, coarse])


def small_codes(reach=NEAR):
    torch.manual_seed(3)
    return CodeContext(3, (4, 5), 8, 8, 2, reach)


def steps_of_parts(levels, follow=False):
    """Return the steps of the small model's pyramid, in eighths of an octave."""
    metric = "ms-ssim" if follow else "mse"
    return eighths(levels, ModelConfig(latents=12, groups=(4, 5), width=8, metric=metric))


SMALL_LAYERS = [n for n, m in small_codes(FAR).named_modules() if isinstance(m, IntegerLayer)]


@pytest.mark.parametrize("name", SMALL_LAYERS)
def test_check_looks_at_every_layer(name):
    context = small_codes(FAR)
    check(context)
    layer = context.get_submodule(name)
    with torch.no_grad():
        layer.bias[-1] = 2.0 ** (24 - layer.shift)
    with pytest.raises(ValueError, match="sums of the context model"):
        check(context)


def test_check_adds_up_what_a_group_collects():
    context = Model(ModelConfig.paper()).code_context.latents  # 130 input channels, more than 115
    check(context)
    layers = context.collect, *context.cross
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(127 / 256)
    for layer in layers:
        check_sums([layer])
    with pytest.raises(ValueError, match="sums of the context model"):
        check(context)


def test_weights_are_int8_and_rounded():
    layer = IntegerLinear(1, 6)
    with torch.no_grad():
        layer.weight[:, 0] = torch.tensor([9.0, -9.0, 1.0, 0.6 / 128, 0.4 / 128, -0.6 / 128])
        layer.bias.fill_(2.7 / 128)
    weight, bias = layer.integers()
    assert weight.flatten().tolist() == [127, -127, 127, 1, 0, -1]
    assert bias.tolist() == [3] * 6


# ---------------------------------------------------------------- round trip


class Chooser:
    """An encoder's visitor: knows real values, keeps the integers it would write."""

    def __init__(self, wanted):
        self.wanted, self.written = [to_rows(part) for part in wanted], []
        self.values = [torch.zeros_like(part) for part in self.wanted]

    def __call__(self, part, mean, scale, places):
        integers = torch.round((self.wanted[part][:, places] - mean) / 16)
        self.written.append(integers.clone())
        self.values[part][:, places] = 16 * integers + mean
        return 16 * integers + mean


class Follower:
    """A decoder's visitor: has nothing but the integers, in the order written."""

    def __init__(self, written, shapes):
        self.written = list(written)
        self.values = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]

    def __call__(self, part, mean, scale, places):
        found = 16 * self.written.pop(0).double() + mean
        self.values[part][:, places] = found
        return found


@given(
    st.integers(1, 19),
    st.integers(1, 19),
    st.integers(0, 56),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_integers_alone_bring_the_values_back(height, width, rate, follow, seed):
    context = lively_codes()
    generator = torch.Generator().manual_seed(seed)
    config = ModelConfig(latents=12, groups=(4, 5))
    shapes = [(c, *config.part_size(i, height, width)) for i, c in enumerate(config.parts)]
    wanted = [200 * torch.randn(1, *shape, generator=generator) for shape in shapes]
    levels = torch.randint(0, LEVELS, (1, 1, height, width), generator=generator).float()
    index = torch.tensor([float(rate)])
    steps = steps_of_parts(levels, follow)
    writer = Chooser(wanted)
    with applied(Setting()):
        context.walk(levels, index, LEVELS, steps, writer)
    reader = Follower(writer.written, [values.shape for values in writer.values])
    with applied(Setting(threads=1, onednn=False)):
        steps = [step.double() for step in steps]
        again = copy.deepcopy(context).double()
        again.walk(levels.double(), index.double(), LEVELS, steps, reader)
    assert not reader.written
    for there, here, meant in zip(reader.values, writer.values, wanted, strict=True):
        assert torch.equal(there, here.double())
        assert (here - to_rows(meant)).abs().max() <= 8.01


@given(st.integers(1, 19), st.integers(1, 19), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_integers_alone_bring_the_levels_back(height, width, seed):
    context = case("levels")[0].context
    generator = torch.Generator().manual_seed(seed)
    wanted = 16.0 * torch.randint(0, LEVELS, (1, 1, height, width), generator=generator)
    extras, offset = torch.full((1, 1, height, width), 40.0), torch.zeros(1, 1, 1)
    writer = Chooser([wanted])
    with applied(Setting()):
        returned = context.walk(extras, offset, writer)
    assert torch.equal(to_rows(returned), writer.values[0])
    reader = Follower(writer.written, [writer.values[0].shape])
    with applied(Setting(threads=1, onednn=False)):
        again = copy.deepcopy(context).double().walk(extras.double(), offset.double(), reader)
    assert torch.equal(again, returned.double())


@lru_cache
def lively_codes():
    """Return a small model whose predictions are far from zero."""
    context = small_codes()
    with torch.no_grad():
        heads = *context.latents.outer, *context.pyramid.details.outer, context.pyramid.lows.last
        for layer in heads:
            layer.weight.mul_(20)
            layer.bias.normal_(0, 3)
    return context


# ---------------------------------------------------------------- training and tables


def nothing(height, width):
    """Return residuals of 0 for the small model."""
    config = ModelConfig(latents=12, groups=(4, 5))
    return [
        torch.zeros(1, channels, *config.part_size(part, height, width))
        for part, channels in enumerate(config.parts)
    ]


def test_what_a_far_context_adds_begins_as_nothing():
    known, more = small_codes(), small_codes(Reach(3, 2, True, 1))
    missing, unexpected = more.load_state_dict(known.state_dict(), strict=False)
    assert any("deep" in name for name in missing)
    assert any("others" in name for name in missing)
    assert any("between" in name for name in missing)
    assert not unexpected
    levels, rate, found = torch.full((1, 1, 17, 20), 8.0), torch.tensor([20.0]), []
    residuals = [torch.randint_like(part, -2, 3) for part in nothing(17, 20)]
    for context in (known, more):
        visit = Recorder(residuals)
        with torch.inference_mode():
            context.walk(levels, rate, LEVELS, steps_of_parts(levels), visit)
        found.append(visit.steps)
    for step, other in zip(*found, strict=True):
        assert np.array_equal(step.mean, other.mean)
        assert np.array_equal(step.scale, other.scale)


def test_walk_with_gradients_works_after_one_without():
    context = small_codes()
    levels, rate = torch.full((1, 1, 6, 11), 8.0), torch.tensor([20.0])
    lattice_passes.cache_clear()
    phases.cache_clear()
    with torch.inference_mode():
        context.walk(levels, rate, LEVELS, steps_of_parts(levels), Recorder(nothing(6, 11)))
    total = torch.zeros(())

    def visit(part, mean, scale, places):
        nonlocal total
        total = total + mean.sum() + scale.sum()
        return mean.detach()

    context.walk(levels, rate, LEVELS, steps_of_parts(levels), visit)
    total.backward()
    assert context.pyramid.lows.first.weight.grad.abs().sum() > 0
    assert context.pyramid.details.sides[0].weight.grad.abs().sum() > 0
    assert context.latents.collect.weight.grad.abs().sum() > 0


def test_values_have_the_slopes_of_what_is_predicted_from_them():
    """Against differences, where nothing is rounded."""
    context = copy.deepcopy(lively_codes())
    for module in context.modules():
        if isinstance(module, ContextModel):
            module.quantised = False
            module.squashing = 20 * torch.asinh(torch.arange(-4096, 4097) / 16)
    levels, rate = torch.full((1, 1, 3, 4), 9.0), torch.tensor([30.0])
    config = ModelConfig(latents=12, groups=(4, 5))
    sizes = [(c, *config.part_size(part, 3, 4)) for part, c in enumerate(config.parts)]
    generator = torch.Generator().manual_seed(1)
    signs = [torch.randn(1, h * w, c, generator=generator).sign() for c, h, w in sizes]
    values = [s * torch.randint(2, 90, s.shape, generator=generator) for s in signs]
    counts = [torch.randn(part.shape, generator=generator) for part in values]

    def told(values):
        total = torch.zeros(())

        def visit(part, mean, scale, places):
            nonlocal total
            total = total + (counts[part][:, places] * (mean + scale)).sum()
            return values[part].index_select(1, places)

        context.walk(levels, rate, LEVELS, steps_of_parts(levels), visit)
        return total

    first = config.pyramid_parts
    groups = [part.requires_grad_() for part in values[first:]]
    slopes = torch.autograd.grad(told(values), groups)
    assert slopes[0].abs().min() > 0
    assert (slopes[1] != 0).float().mean() > 0.3  # its last phase tells nothing
    with torch.no_grad():
        for group, slope in zip(groups, slopes, strict=True):
            differences = torch.zeros_like(group)
            for place, channel in np.ndindex(*group.shape[1:]):
                either = []
                for by in (1, -1):
                    group[0, place, channel] += by
                    either.append(told(values))
                    group[0, place, channel] -= by
                differences[0, place, channel] = (either[0] - either[1]) / 2
            found = torch.stack([slope.flatten(), differences.flatten()])
            assert torch.corrcoef(found)[0, 1] > 0.99


def test_float_form_of_training_is_close_to_the_integers():
    levels, rate = torch.full((1, 1, 8, 8), 9.0), torch.tensor([30.0])
    found = {}
    for quantised in (True, False):
        context = copy.deepcopy(lively_codes())
        for module in context.modules():
            if isinstance(module, ContextModel):
                module.quantised = quantised
        visit = Recorder(nothing(8, 8))
        with torch.no_grad():
            context.walk(levels, rate, LEVELS, steps_of_parts(levels), visit)
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

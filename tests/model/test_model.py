"""The float networks: exact where the text promises it, gradients as in the paper's equations."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended_gpu import pretended_gpu

from imgcodec.model import COEFFICIENTS, Dequantised, Model, ModelConfig
from imgcodec.model.binarizer import binarize, round_cheaply
from imgcodec.model.cells import WARMTH, known_bits, logistic_bits
from imgcodec.model.dct import LappedDCT, dct_matrix, lapping_matrix
from imgcodec.model.decoder import _asinh
from imgcodec.model.integer import IntegerConv2d, IntegerLinear, activation, integers_kept, rounded
from imgcodec.model.quantizer import Quantizer, prefix_mask, quantize
from imgcodec.model.steps import (
    eighths,
    error_weight,
    lmbda,
    middle_step,
    rate_index,
    rounding_weights,
)
from imgcodec.model.tables import Costs, cost_slopes, cost_table, mass_table
from imgcodec.model.visitors import LatentBits
from imgcodec.perceptual.cvvdp import visible
from imgcodec.perceptual.distortion import SIMILARITY_WEIGHT, distortion
from imgcodec.perceptual.ms_ssim import ms_ssim
from imgcodec.perceptual.ssimulacra2 import impairment

SIZES = [(8, 8), (8, 40), (40, 8), (16, 24), (64, 32)]


# ---------------------------------------------------------------- stem and head


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_head_brings_the_pixels_back(size):
    torch.manual_seed(0)
    transform = LappedDCT()
    x = torch.rand(2, 3, *size)
    t = transform.analyse(x)
    assert t.shape == (2, COEFFICIENTS, size[0] // 8, size[1] // 8)
    assert (transform.synthesise(t) - x).abs().max() < 2e-6
    noise = torch.randn_like(t)
    assert (transform.analyse(transform.synthesise(noise)) - noise).abs().max() < 2e-5


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_slopes_along_coefficients_are_those_of_the_pixels(size):
    torch.manual_seed(0)
    transform, unit = LappedDCT(), torch.rand(COEFFICIENTS) + 0.5
    t = torch.randn(2, COEFFICIENTS, size[0] // 8, size[1] // 8, requires_grad=True)
    slopes = torch.randn(2, 3, *size)
    (wanted,) = torch.autograd.grad((transform.synthesise(t, unit) * slopes).sum(), [t])
    torch.testing.assert_close(transform.slopes(slopes, unit), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 48), (16, 24), (24, 24), (40, 8), (40, 16), (136, 120)])
def test_sums_of_the_transform_do_not_depend_on_threads(size):
    transform, x = LappedDCT(), torch.rand(1, 3, *size)
    before, found = torch.get_num_threads(), []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        t = transform.analyse(x)
        found.append((t, transform.synthesise(t)))
    torch.set_num_threads(before)
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_constant_picture_has_one_coefficient_a_plane(size):
    # a block mean is 8 times the plane's value; its synthesis function, longer by the lapping
    # with s = 1.4, has the squared norm (1 + 1 / s^2) / 2 in each direction
    norm = (1 + 1 / 1.4**2) / 2
    red, green, blue = 0.9, 0.6, 0.3
    x = torch.tensor([red, green, blue])[None, :, None, None].expand(1, 3, *size)
    t = LappedDCT().analyse(x)
    wanted = torch.zeros_like(t)
    wanted[:, 0] = 8 * norm * (red + green + blue - 1.5) / math.sqrt(3)
    wanted[:, 64] = 8 * norm * (red - blue) / math.sqrt(2)
    wanted[:, 128] = 8 * norm * (red - 2 * green + blue) / math.sqrt(6)
    assert (t - wanted).abs().max() < 1e-5


def test_coefficients_do_not_depend_on_the_number_of_threads():
    x = torch.rand(1, 3, 512, 768, generator=torch.Generator().manual_seed(1))
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(LappedDCT().analyse(x))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_coefficients_are_ordered_by_plane_row_and_column_of_frequencies():
    columns = torch.cos(math.pi * (2 * torch.arange(8) + 1) * 3 / 16)  # frequency 3 along a row
    rows = torch.cos(math.pi * (2 * torch.arange(8) + 1) * 2 / 16)  # frequency 2 down a column
    x = 0.5 + 0.1 * (rows[:, None] * columns).expand(1, 3, 8, 8)
    t = LappedDCT().analyse(x).flatten()
    assert t.abs().argmax() == 2 * 8 + 3
    assert t.abs().sort().values[-2] < 1e-6


def test_error_of_one_in_a_coefficient_is_one_in_pixels():
    transform = LappedDCT()
    t = torch.zeros(COEFFICIENTS, COEFFICIENTS, 5, 5)
    t[torch.arange(COEFFICIENTS), torch.arange(COEFFICIENTS), 2, 2] = 1
    functions = transform.synthesise(t) - 0.5
    norms = functions.square().sum((1, 2, 3))
    assert (norms - 1).abs().max() < 1e-4
    # nothing crosses more than 4 px beyond the block at 16..23, and the lapping does that much
    inner = torch.zeros(40, 40, dtype=torch.bool)
    inner[12:28, 12:28] = True
    assert functions[:, :, ~inner].abs().max() < 2e-7  # a bit or two of 0.5
    assert functions[0, 0, 12, 16:24].abs().min() > 1e-4


def test_white_noise_keeps_its_power():
    torch.manual_seed(1)
    noise = torch.randn(1, COEFFICIENTS, 16, 16)
    error = LappedDCT().synthesise(noise) - 0.5
    assert error.square().mean() == pytest.approx(1, rel=0.03)


def test_coefficients_see_no_more_than_4_px_around_their_block():
    torch.manual_seed(2)
    transform = LappedDCT()
    x = torch.rand(1, 3, 40, 40)
    other = torch.rand(1, 3, 40, 40)
    other[:, :, 12:28, 12:28] = x[:, :, 12:28, 12:28]
    before, after = transform.analyse(x), transform.analyse(other)
    assert (before - after)[:, :, 2, 2].abs().max() < 1e-6
    other[:, :, 12, 12:28] += 0.1
    assert (transform.analyse(other) - before)[:, :, 2, 2].abs().max() > 1e-3


def test_lapping_keeps_constants_and_is_orthogonal_at_scale_one():
    ones = torch.ones(8, dtype=torch.float64)
    assert torch.allclose(lapping_matrix() @ ones, ones)
    plain = lapping_matrix(1.0)
    assert torch.allclose(plain @ plain.T, torch.eye(8, dtype=torch.float64))
    assert torch.linalg.det(lapping_matrix()).abs() == pytest.approx(1.4)
    for quarter in (False, True):
        matrix = dct_matrix(8, quarter)
        assert torch.allclose(matrix @ matrix.T, torch.eye(8, dtype=torch.float64))


# ---------------------------------------------------------------- a transform codec at the start


def silenced(model):
    """Make the trunks say nothing."""
    with torch.no_grad():
        for trunk in (model.g_a, model.g_s):
            trunk.last.weight.zero_()
            trunk.last.bias.zero_()
    return model


@torch.no_grad()
def test_without_trunks_the_networks_select_coefficients(tiny_model):
    model = silenced(tiny_model)
    torch.manual_seed(0)
    x, u = torch.rand(2, 3, 32, 48), torch.tensor([0.2, 0.9])
    deviation = torch.linspace(2, 0.01, COEFFICIENTS)
    kept = [0, 64, 128, *range(1, 10)]  # block means, then by deviation
    t = model.transform.analyse(x) / deviation[:, None, None]
    assert torch.allclose(model.coefficients(x), t, atol=1e-5)
    e = model.g_a(t, model.g_a.features(t), u)
    assert torch.equal(e, t[:, kept])
    back = torch.zeros_like(t)
    back[:, kept] = e * deviation[kept, None, None]
    x_hat = model.reconstruct(Dequantised(torch.full((2, 1, 4, 6), 8.0), e), u)
    assert torch.allclose(x_hat, model.transform.synthesise(back), atol=1e-6)


@torch.no_grad()
def test_without_trunks_and_with_all_coefficients_nothing_is_lost():
    torch.manual_seed(0)
    config = ModelConfig(latents=192, width=8, groups=(189,), context_width=8, context_hidden=8)
    model = Model(config)
    model.start_from(torch.rand(COEFFICIENTS) + 0.01)
    silenced(model)
    x, u = torch.rand(1, 3, 24, 16), torch.tensor([0.5])
    t = model.coefficients(x)
    e = model.g_a(t, model.g_a.features(t), u)
    x_hat = model.reconstruct(Dequantised(torch.zeros(1, 1, 3, 2), e), u)
    assert (x_hat - x).abs().max() < 1e-5
    assert torch.equal(model.unit.sort().values, model.deviation.sort().values)


@torch.no_grad()
def test_error_of_the_start_is_that_of_uniform_quantisation():
    torch.manual_seed(0)
    config = ModelConfig(latents=192, width=8, groups=(189,), context_width=8, context_hidden=8)
    model = Model(config)
    model.start_from(torch.linspace(2, 0.01, COEFFICIENTS))
    silenced(model).eval()
    x, u = torch.rand(1, 3, 64, 64), torch.tensor([0.9])
    x_hat, rates, p = model(x, u, real=False)
    assert torch.equal(p.mul(16).floor(), torch.full_like(p, 7))  # half an octave coarser
    mse = (x_hat - x).square().mean()
    assert mse == pytest.approx(2 * middle_step(u).item() ** 2 / 12, rel=0.05)
    assert rates.codes.isfinite().all()
    assert (rates.codes > 0).all()


# ---------------------------------------------------------------- rates


def test_lmbda_rises_14_octaves():
    u = torch.tensor([0.0, 0.5, 1.0])
    assert torch.allclose(lmbda(u), torch.tensor([4.0, 512.0, 65536.0]))


def test_step_follows_lmbda():
    u = torch.tensor([0.0, 0.5, 1.0])
    assert torch.allclose(middle_step(u).square() * lmbda(u), torch.full((3,), 26.0))
    ratio = middle_step(u[:1]) / middle_step(u[2:])
    assert 8 * torch.log2(ratio).item() == pytest.approx(56)  # the eighths of `rate_index`


def test_rate_index_counts_eighths_of_an_octave(tiny_model):
    u = torch.tensor([0.0, 1 / 112 - 1e-4, 1 / 112 + 1e-4, 0.5, 1.0])
    assert rate_index(u).tolist() == [0, 0, 1, 28, 56]


@torch.no_grad()
def test_steps_are_half_an_octave_a_level(tiny_model):
    levels = torch.arange(16.0).view(1, 1, 1, 16)
    u = torch.tensor([0.3])
    steps = tiny_model.steps(levels, u)
    assert steps.shape == (1, 12, 1, 16)
    pixels = steps * tiny_model.unit[None, :, None, None]  # back to pixels
    step = middle_step(u).item()
    fine = step * 2 ** ((8 - np.arange(16)) / 2)
    assert np.allclose(pixels[0, :3, 0], step, rtol=1e-5)  # the lattice does not follow
    assert np.allclose(pixels[0, 3:, 0], fine, rtol=1e-5)


def test_steps_pass_gradients_to_the_levels(tiny_model):
    levels = torch.full((1, 1, 1, 1), 6.0, requires_grad=True)
    steps = tiny_model.steps(levels, torch.tensor([0.3]))
    steps.sum().backward()
    wanted = -math.log(2) / 2 * steps[:, 3:].sum()
    assert levels.grad.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_rounding_weight_is_that_of_the_loss(tiny_model):
    # lambda * (step in pixels)^2, of the loss's MSE over 3 colours, in bits
    u, levels = torch.tensor([0.7]), torch.tensor([5.0, 8.0, 10.0]).view(1, 1, 1, 3)
    pixels = tiny_model.steps(levels, u) * tiny_model.unit[None, :, None, None]
    wanted = lmbda(u) * pixels.square() / 3
    *means, low, high = rounding_weights(levels, tiny_model.config)
    assert low.shape == high.shape == (1, 1, 1, 3)
    assert torch.allclose(low, 1.2 * wanted[:, 3:4], rtol=1e-4)
    assert torch.allclose(high, 0.9 * wanted[:, -1:], rtol=1e-4)
    sides = [1, 1, 1, 2, 2, 4, 4]  # the coarsest, then luma's and the others' details
    assert [weight.shape[2:] for weight in means] == [(side, side) for side in sides]
    for weight in means:
        assert torch.allclose(weight, 1.4 * wanted[0, 0, 0, 0], rtol=1e-4)


@pytest.mark.parametrize("index", [0, 8, 20, 40, 57, 80])
def test_rates_of_a_logistic_make_a_probability_of_one(index):
    values = torch.arange(-2000, 2001) + 0.37  # any offset
    bits = logistic_bits(values, torch.full_like(values, float(index)))
    total = torch.exp2(-bits.double())
    tail = 1e-7 * (total < 1.1e-7).sum()  # the floor of the estimate
    assert total.sum().item() == pytest.approx(1, abs=2e-5 + tail.item())


def test_rate_of_a_cell_is_the_integral_over_it():
    for residual, index in ((0.0, 40), (1.3, 40), (-2.0, 48), (0.25, 20), (7.0, 64)):
        s = 2 ** ((index - 40) / 8)
        low, high = ((residual + d) / s for d in (-0.5, 0.5))
        mass = 1 / (1 + math.exp(-high)) - 1 / (1 + math.exp(-low))
        bits = logistic_bits(torch.tensor(residual), torch.tensor(float(index)))
        assert bits.item() == pytest.approx(-math.log2(mass), rel=1e-4)


def test_bits_of_what_is_known_have_the_slopes_of_means_and_scales():
    bits = cost_table(mass_table())
    costs = Costs(bits, cost_slopes(bits))
    mean = torch.tensor([[[3.0, -7.0, 20.0, 0.0]], [[1.0, 2.0, 3.0, 9e4]]], requires_grad=True)
    scale = torch.tensor([[[30.0, 41.0, 55.0, -9.0]], [[200.0, 8.0, 41.0, 60.0]]]).requires_grad_()
    steps = torch.tensor([[[0.0, 2.0, -5.0, 0.0]], [[300.0, -1.0, 0.0, -9e3]]])
    found = known_bits(mean.detach() + 16 * steps, mean, scale, costs)
    rows, sizes = scale.clamp(0, 111).long(), steps.abs().clamp(max=256).long()
    torch.testing.assert_close(found, bits[rows, sizes])
    each = torch.tensor([1.0, 3.0])[:, None, None]
    slopes = torch.autograd.grad((found * each).sum(), [mean, scale])
    torch.testing.assert_close(slopes[1], each * costs.slopes[rows, sizes])
    # a mean that comes closer saves what a step closer would, by 16ths
    assert slopes[0][0, 0, 0] == 0
    assert slopes[0][1, 0, 2] == 0
    at = bits[41]
    assert slopes[0][0, 0, 1] == pytest.approx((at[1] - at[3]).item() / 32)
    at = bits[55]
    assert slopes[0][0, 0, 2] == pytest.approx((at[6] - at[4]).item() / 32)


# ---------------------------------------------------------------- equations (1) to (8)


def test_binarize_is_equation_1_with_the_gradient_of_equation_3():
    e = torch.tensor([-0.1, 0.0, 0.5, 0.500001, 1.0, 1.1], requires_grad=True)
    bits = binarize(e)
    assert bits.tolist() == [0, 0, 0, 1, 1, 1]
    bits.backward(torch.tensor([3.0, 4.0, 5.0, 6.0, 7.0, 8.0]))
    assert e.grad.tolist() == [0, 4, 5, 6, 7, 0]


def test_integer_weights_are_rounded_and_clamped_and_pass_the_gradient_where_they_are_not():
    layer = IntegerLinear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.3, 1.5]]))
        layer.bias.copy_(torch.tensor([2.001]))
    x = torch.tensor([[[3.0, 5.0]]])
    found = layer(x, True)
    assert found.item() == (38 * 3 + 127 * 5 + 256) / 128
    with integers_kept(layer):
        kept = layer.kept
        assert torch.equal(layer(x, True), found)
        assert layer.kept is kept
        layer(x, True).sum().backward()
    assert layer.kept is None
    assert layer.weight.grad.tolist() == [[3, 0]]
    assert layer.bias.grad.tolist() == [1]


def test_weights_that_are_kept_learn_from_all_their_products_together():
    torch.manual_seed(1)
    layers = torch.nn.ModuleList([IntegerLinear(3, 2), IntegerConv2d(2, 2), IntegerLinear(2, 4)])
    linear, convolution, unused = layers
    x = torch.randn(2, 35, 3, requires_grad=True)

    def run(quantised):
        z = linear(x, quantised) + 2 * linear(x[:, :1] * 3, quantised)
        z = convolution(z.unflatten(1, (5, 7)).permute(0, 3, 1, 2), quantised)
        learning = [x, *linear.parameters(), *convolution.parameters()]
        return torch.autograd.grad(z.square().sum(), learning, retain_graph=True)

    for quantised in (True, False):
        wanted = run(quantised)
        with integers_kept(layers):
            for _ in range(2):
                for one, other in zip(run(quantised), wanted, strict=True):
                    torch.testing.assert_close(one, other)
    with integers_kept(layers):
        assert unused(torch.zeros(1, 1, 2), True).requires_grad


def test_activation_and_rounding_have_the_gradient_of_what_they_round():
    x = torch.tensor([-3.0, -0.4, 2.5, 126.9, 127.4, 200.0], requires_grad=True)
    found = activation(x, True)
    assert found.tolist() == [0, 0, 3, 127, 127, 127]
    found.backward(torch.arange(1.0, 7))
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]
    x.grad = None
    found = rounded(x)
    assert found.tolist() == [-3, 0, 3, 127, 127, 200]
    found.backward(torch.arange(1.0, 7))
    assert x.grad.tolist() == [1, 2, 3, 4, 5, 6]


def test_slopes_of_the_bits_are_those_of_the_formula():
    residual = torch.linspace(-9, 9, 37).double().repeat(8).requires_grad_()
    scale = torch.linspace(-5, 115, 8).double().repeat_interleave(37).requires_grad_()
    size = residual.abs()
    s = torch.exp2((scale.clamp(0, 111) - 40) / 8)
    mass = torch.sigmoid((0.5 - size) / s) - torch.sigmoid((-0.5 - size) / s)
    wanted = -torch.log2(mass.clamp_min(1e-7))
    found = logistic_bits(residual, scale)
    torch.testing.assert_close(found, wanted)
    for other, own in zip(
        *(torch.autograd.grad(v.sum(), [residual, scale]) for v in (wanted, found)), strict=True
    ):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-9)


def test_quantize_is_equation_4_and_passes_the_gradient_of_its_product():
    p = torch.tensor([1e-6, 0.0624, 0.0625, 0.4999, 0.5, 0.53, 0.9374, 0.9376, 0.9999, 1.0])
    p.requires_grad_(True)
    levels = quantize(p, 16)
    assert levels.tolist() == [0, 0, 1, 7, 8, 8, 14, 15, 15, 15]
    levels.backward(torch.arange(10.0))
    assert p.grad.tolist() == [16 * i for i in range(10)]


def test_levels_are_exact_integers_everywhere():
    p = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    levels = quantize(p, 16)
    assert torch.equal(levels, levels.round())
    assert torch.equal(levels.long(), (p.double() * 16).floor().long())


@pytest.mark.parametrize("within", [1e-3, 0.5, 0.999])
def test_mask_of_equation_7_is_that_of_equation_5(within):
    n, num_levels = 128, 16
    levels = torch.arange(num_levels).view(1, 1, 1, -1)
    mask = prefix_mask((levels + within) / num_levels, n, num_levels)
    k = torch.arange(1, n + 1).view(1, n, 1, 1)
    assert torch.equal(mask, (n * levels >= num_levels * k).float())  # n l / L >= k


def test_mask_counts_the_codes_of_a_level():
    p = torch.tensor([0.5, 3.5, 8.5, 15.5]).view(1, 1, 1, 4) / 16
    assert prefix_mask(p, 128, 16).sum(1).flatten().tolist() == [0, 24, 64, 120]
    assert prefix_mask(p, 16, 16).sum(1).flatten().tolist() == [0, 3, 8, 15]


@pytest.mark.parametrize("n", [16, 128])
def test_mask_has_the_gradient_of_equation_8(n):
    num_levels = 16
    generator = torch.Generator().manual_seed(n)
    p = torch.rand(2, 1, 3, 5, generator=generator)
    p[0, 0, 0] = torch.tensor([0.0, 1 / 16, 0.5, 15 / 16, 1.0])  # both limits are inside
    p.requires_grad_(True)
    grads = torch.randn(2, n, 3, 5, generator=generator)
    prefix_mask(p, n, num_levels).backward(grads)
    wanted = np.zeros((2, 1, 3, 5))
    for b, k, i, j in np.ndindex(2, n, 3, 5):
        scaled = num_levels * p[b, 0, i, j].item()
        if scaled - 1 <= math.ceil((k + 1) * num_levels / n) <= scaled + 1:
            wanted[b, 0, i, j] += num_levels * grads[b, k, i, j].item()
    assert np.allclose(p.grad.numpy(), wanted, rtol=1e-4, atol=1e-3)
    assert (wanted != 0).any()


# ---------------------------------------------------------------- cheap rounding


def test_round_cheaply_is_the_best_of_two():
    rng = np.random.default_rng(0)
    count = 3000
    costs = cost_table(mass_table())
    wanted = rng.normal(0, 3, count)
    rows = rng.integers(10, 80, count)
    largest = rng.integers(0, 6, count)
    weight = rng.choice([0.0, 0.5, 2.0, 8.7, 1e9], count)
    arguments = (
        torch.tensor(wanted, dtype=torch.float32),
        torch.tensor(rows),
        torch.tensor(largest),
        torch.tensor(weight, dtype=torch.float32),
    )
    found, bits = round_cheaply(*arguments, costs)
    moved = 0
    for i in range(count):
        size = abs(wanted[i])
        nearest = min(round(size), int(largest[i]))
        smaller = max(nearest - 1, 0)
        totals = [
            costs[rows[i], m].item() + weight[i] * (size - m) ** 2 for m in (nearest, smaller)
        ]
        magnitude = abs(int(found[i]))
        assert magnitude in (nearest, smaller)
        if abs(totals[0] - totals[1]) > 1e-3:
            assert magnitude == (nearest if totals[0] < totals[1] else smaller)
        assert found[i] == 0 or np.sign(found[i].item()) == np.sign(wanted[i])
        assert bits[i] == costs[rows[i], magnitude]
        moved += magnitude != nearest
    assert 300 < moved < 2700


def test_round_cheaply_knows_values_beyond_the_costs():
    costs = cost_table(mass_table())
    wanted = torch.tensor([300.4, -300.4, 255.7, -2.2])
    found, _ = round_cheaply(wanted, torch.full((4,), 100), None, torch.full((4,), 1e9), costs)
    assert found.tolist() == [300, -300, 256, -2]


# ---------------------------------------------------------------- quantizer


def make_quantizer():
    torch.manual_seed(4)
    return Quantizer(8, 16, 2, 2, 8).eval()


@torch.no_grad()
def test_importance_starts_in_the_middle_of_the_middle_level():
    quantizer = make_quantizer()
    p = quantizer(torch.randn(2, 8, 24, 17), torch.tensor([0.1, 0.8]))
    assert p.shape == (2, 1, 24, 17)
    assert p.mean().item() == pytest.approx(0.531, abs=0.03)
    quantizer.last.weight.zero_()
    p = quantizer(torch.randn(1, 8, 8, 8), torch.tensor([0.5]))
    assert torch.allclose(p, torch.sigmoid(torch.tensor(0.125)))
    assert torch.equal(quantize(p, 16), torch.full_like(p, 8))


@torch.no_grad()
def test_importance_stays_inside_0_and_1():
    quantizer = make_quantizer()
    for size in (1, 1000):
        p = quantizer(size * torch.randn(1, 8, 9, 15), torch.tensor([1.0]))
        assert p.min() > 0
        assert p.max() < 1
        assert p.std() > 1e-4


@torch.no_grad()
def test_windows_do_not_see_each_other():
    quantizer = make_quantizer()
    u = torch.tensor([0.4])
    features = torch.randn(1, 8, 24, 32)
    before = quantizer(features, u)
    features[:, :, 8:16, 16:24] += torch.randn(8, 8, 8)
    change = (quantizer(features, u) - before).abs()
    inside = change[:, :, 8:16, 16:24].clone()
    change[:, :, 8:16, 16:24] = 0
    assert change.max() < 1e-6
    assert (inside > 1e-5).float().mean() > 0.9
    alone = quantizer(features[:, :, 8:16, 16:24], u)
    assert torch.allclose(alone, quantizer(features, u)[:, :, 8:16, 16:24], atol=1e-6)


@torch.no_grad()
def test_places_of_a_window_see_each_other():
    quantizer = make_quantizer()
    u = torch.tensor([0.4])
    features = torch.randn(1, 8, 8, 8)
    before = quantizer(features, u)
    features[:, :, 0, 0] += 3
    assert (quantizer(features, u) - before).abs()[0, 0, 7, 7] > 1e-6


# ---------------------------------------------------------------- forward


def picture():
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    waves = torch.stack([torch.sin(columns / 5), torch.cos(rows / 3), torch.sin(rows * columns)])
    return (0.5 + 0.3 * waves)[None].expand(2, 3, 32, 48).contiguous()


LATENTS_ONLY = ("last.", "late.", "gain.", "skip.")  # not the features, which the levels need


def latent_gradients(model, value):
    """Return the sum of the gradients of what only makes latents."""
    model.zero_grad()
    value.backward(retain_graph=True)
    own = [p for n, p in model.g_a.named_parameters() if n.startswith(LATENTS_ONLY)]
    assert own
    return sum(p.grad.abs().sum().item() for p in own if p.grad is not None)


@pytest.mark.parametrize("real", [False, True])
def test_latents_learn_from_the_rate_and_from_the_picture(tiny_model, real):
    tiny_model.train()
    torch.manual_seed(0)
    x = picture()
    x_hat, rates, _ = tiny_model(x, torch.tensor([0.3, 0.9]), real=real)
    assert latent_gradients(tiny_model, (x_hat - x).square().sum()) > 0
    assert latent_gradients(tiny_model, rates.codes.sum()) > 0
    assert tiny_model.code_context.latents.outer[0].weight.grad.abs().sum() > 0


def test_real_rates_are_those_of_the_coded_cells(tiny_model):
    """The randomness of training is in few cells; what noise teaches adds nothing to the rate."""
    torch.manual_seed(0)
    x, u = picture(), torch.tensor([0.3, 0.9])
    with torch.no_grad():
        known = tiny_model.eval()(x, u, real=True)[1].codes
    assert torch.allclose(tiny_model(x, u, real=True)[1].codes, known, rtol=1e-3)
    tiny_model.train()
    assert torch.allclose(tiny_model(x, u, real=True)[1].codes, known, rtol=0.03)


@pytest.mark.parametrize("real", [False, True])
def test_levels_learn_from_both_rates_and_from_the_picture(tiny_model, real):
    torch.manual_seed(0)
    model = Model(replace(tiny_model.config, metric="ms-ssim")).train()
    model.load_state_dict(tiny_model.state_dict())
    with torch.no_grad():  # equal levels are predicted without error, at a minimum of their rate
        model.quantizer.last.weight.mul_(30)
    x = picture()
    x_hat, rates, p = model(x, torch.tensor([0.3, 0.9]), real=real)
    assert (16 * p).floor().std() > 0.5
    weight = model.quantizer.last.weight
    values = {"picture": (x_hat - x).square().sum(), "levels": rates.levels.sum()}
    values["codes"] = rates.codes.sum()
    for name, value in values.items():
        model.zero_grad()
        value.backward(retain_graph=True)
        assert weight.grad.abs().sum() > 0, name


@torch.no_grad()
def test_more_rate_means_more_bits_and_less_error(tiny_model):
    torch.manual_seed(0)
    model = silenced(tiny_model)
    x = picture()
    found, rates, _ = model(x, torch.tensor([0.2, 0.8]), real=True)
    errors = (found - x).square().mean((1, 2, 3))
    assert rates.codes[1] > 2 * rates.codes[0]
    assert errors[1] < errors[0]


@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix(tiny_model):
    x = torch.cat([picture()[:1], 1 - picture()[:1]])
    u = torch.tensor([0.3, 0.9])
    together, rates, p = tiny_model(x, u, real=True)
    for i in (0, 1):
        alone, rate, own_p = tiny_model(x[i : i + 1], u[i : i + 1], real=True)
        assert torch.allclose(alone[0], together[i], atol=1e-4)
        assert rate.codes[0] == pytest.approx(rates.codes[i].item(), rel=1e-3)
        assert rate.levels[0] == pytest.approx(rates.levels[i].item(), rel=1e-3)
        assert torch.allclose(own_p[0], p[i], atol=1e-6)


def test_single_bits_train_through_mask_and_binarizer():
    torch.manual_seed(0)
    config = ModelConfig(
        latents=16, digits=0, skip=False, width=8, attention_width=8, attention_heads=2,
        lattice=0, groups=(8, 8), context_width=8, context_hidden=8,
    )  # fmt: skip
    model = Model(config)
    x = picture()
    x_hat, rates, p = model(x, torch.tensor([0.3, 0.9]), real=False)
    kept = (16 * p).floor().sum((1, 2, 3))  # n = L: as many bits as the level says
    (x_hat - x).square().sum().backward()
    assert model.g_a.last.weight.grad.abs().sum() > 0
    assert model.quantizer.last.weight.grad.abs().sum() > 0
    assert torch.allclose(rates.codes, kept, rtol=0.5)  # about a bit each before training


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("config", [ModelConfig(), ModelConfig.paper()], ids=["aic", "paper"])
def test_configuration_survives_json(config):
    stored = json.loads(json.dumps(config.as_dict()))
    assert ModelConfig.from_json(stored) == config
    assert config.lattice + sum(config.groups) == config.latents


def test_paper_has_its_sizes():
    config = ModelConfig.paper()
    assert (config.latents, config.levels, config.digits) == (128, 16, 0)  # n, L, K = 1
    assert not config.skip
    assert not config.expansion
    assert ModelConfig().expansion
    model = Model(config)
    assert model.g_a.skip is None
    assert model.g_s.skip is None
    assert model.g_a.last.weight.shape[0] == 128


def test_levels_are_the_floor():
    p = (torch.tensor([[8.2, 8.5, 7.6], [3.4, 12.1, 4.1]]).view(2, 1, 1, 3) / 16).requires_grad_()
    levels = quantize(p, 16)
    assert levels.flatten().tolist() == pytest.approx([8, 8, 7, 3, 12, 4])
    levels.sum().backward()
    assert p.grad.flatten().tolist() == [16.0] * 6


def test_only_under_ms_ssim_levels_differ_and_means_follow_them(tiny_model):
    similar = Model(replace(tiny_model.config, metric="ms-ssim"))
    t, u = torch.randn(2, 192, 24, 16), torch.tensor([0.1, 0.7])
    t *= torch.linspace(0.1, 4, 16)  # more and more texture
    even, differing = (
        quantize(model.importance_map(t, model.g_a.features(t), u), 16)
        for model in (tiny_model, similar)
    )
    assert even.shape == differing.shape
    assert even.unique().tolist() == [7]
    assert differing.unique().numel() > 1
    levels = torch.linspace(4, 14, 24 * 16).round().view(1, 1, 24, 16)
    assert not torch.cat([part.flatten() for part in eighths(levels, tiny_model.config)]).any()
    parts = eighths(levels, similar.config)
    assert [tuple(part.shape[2:]) for part in parts] == [(3, 2)] * 3 + [(6, 4)] * 2 + [(12, 8)] * 2
    assert not parts[0].any()
    assert torch.equal(parts[1], parts[2])
    finest = torch.nn.functional.avg_pool2d(levels - 8, 2)
    assert torch.equal(parts[5], torch.round(4 * finest) + 2)  # and a quarter of an octave finer


def test_join_inverts_split_whatever_the_levels(tiny_model):
    similar = Model(replace(tiny_model.config, metric="ms-ssim"))
    levels = torch.randint(0, 16, (2, 1, 11, 13)).float()
    y = torch.randn(2, similar.config.latents, 11, 13)
    parts = similar.split(y, levels)
    torch.testing.assert_close(similar.join(parts, levels), y, atol=1e-4, rtol=1e-4)
    plain = tiny_model.split(y, levels)
    finer = eighths(levels, similar.config)
    torch.testing.assert_close(parts[4], plain[4] * 2 ** (finer[4] / 8))
    assert torch.equal(parts[0], plain[0])


# ---------------------------------------------------------------- distortion


def test_distortion_is_the_squared_error_or_a_multiple_of_the_dissimilarity():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 168, 176)
    x_hat = (x + 0.1 * torch.rand(2, 1, 1, 1)).requires_grad_()
    mse = distortion(x, x_hat, "mse")
    assert torch.allclose(mse, (x_hat - x).square().mean((1, 2, 3)))
    noisy = (x + 0.05 * torch.randn_like(x)).requires_grad_()
    found = distortion(x, noisy, "ms-ssim")
    assert found.shape == (2,)
    assert 0 < distortion(x, x_hat, "ms-ssim").max() < found.min() < SIMILARITY_WEIGHT
    found.sum().backward()
    assert noisy.grad.abs().sum() > 0


def test_distortion_of_the_eye_is_a_sum_of_what_is_seen():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 168, 176)
    x_hat = x + 0.05 * torch.randn_like(x)
    inside = x_hat.clamp(0, 1)

    def seen(x, x_hat):
        square = (x_hat - x).square().mean((1, 2, 3))
        return 2.8e-5 * impairment(x, x_hat) + 3e-6 * visible(x, x_hat) + 0.03 * square

    found = distortion(x, x_hat, "eye")
    expected = seen(x, inside) + 2e-3 * (1 - ms_ssim(x, inside, peak=1))
    assert torch.allclose(found, expected, rtol=1e-4)
    assert torch.equal(found, distortion(x, inside, "eye"))  # files of pictures hold no more
    small = [p[..., :48, :160] for p in (x, inside)]
    assert torch.allclose(distortion(*small, "eye"), seen(*small), rtol=1e-4)


def test_an_error_of_one_step_weighs_the_same_at_every_level_under_ms_ssim(tiny_model):
    levels = torch.tensor([5.0, 8.0, 10.0]).view(1, 1, 1, 3)
    plain = rounding_weights(levels, tiny_model.config)
    assert len(plain) == 9  # seven parts of the block means, two groups
    assert plain[-1].unique().numel() == 3
    alike = plain[-1][0, 0, 0, 1].item() / 0.9  # of the middle level
    similar = Model(replace(tiny_model.config, metric="ms-ssim"))
    *means, low, high = rounding_weights(levels, similar.config)
    for weight, factor in (*((mean, 1.5) for mean in means), (low, 1.7), (high, 1.0)):
        assert weight.unique().item() == pytest.approx(factor * alike, rel=1e-6)


def test_error_weight_is_that_of_the_loss(tiny_model):
    """Lambda times the squared error of one step in one of three colours."""
    levels = torch.tensor([6.0, 8.0, 10.0]).view(1, 1, 1, 3)
    found = error_weight(levels, tiny_model.config)
    assert found.shape == (1, tiny_model.config.latents, 1, 3)
    means, others = found[0, :3, 0], found[0, 3:, 0]
    torch.testing.assert_close(means, torch.full_like(means, 52 / 3))
    wanted = torch.tensor([104 / 3, 26 / 3, 13 / 6]).expand_as(others)
    torch.testing.assert_close(others, wanted)


def test_texture_gets_a_coarser_step_under_ms_ssim(tiny_model):
    """So that squared steps go with variance + C2, on top of what the quantizer says."""
    torch.manual_seed(0)
    x = torch.full((1, 3, 64, 128), 0.5)
    x[..., 64:] += 0.1 * torch.randn(1, 1, 64, 64)  # the same in all colours
    u = torch.tensor([0.5])
    similar = Model(replace(tiny_model.config, metric="ms-ssim"))
    t = similar.coefficients(x)
    features = torch.zeros(1, 8, 8, 16)  # for which the quantizer says the same everywhere
    said = similar.quantizer(features, u)
    more = (16 * (similar.importance_map(t, features, u) - said))[0, 0]
    flat, busy = more[2:6, 2:6], more[2:6, 10:14]
    assert torch.allclose(flat, torch.tensor(-6.4 - math.log2(0.03**2)), atol=1e-3)
    assert (flat.mean() - busy.mean()).item() == pytest.approx(
        math.log2((0.1**2 + 0.03**2) / 0.03**2), abs=0.3
    )
    levels = quantize(similar.importance_map(t, features, u), 16)
    assert levels[0, 0, 4, 12] < levels[0, 0, 4, 4]


# ---------------------------------------------------------------- the gradient of latents


@pytest.mark.parametrize("training", [False, True])
def test_latents_have_the_gradient_of_the_expected_cost(training):
    """For a decoder whose squared error is around t, not around y, as one that has learned."""
    torch.manual_seed(0)
    costs = cost_table(mass_table())
    both = Costs(costs, cost_slopes(costs))
    row, count, weight = 44, 200, 8.0
    y = torch.linspace(-2.9, 2.9, count).view(1, 1, 1, count).requires_grad_()
    t = y.detach() + 0.3
    mean = torch.zeros(1, count, 1)
    visit = LatentBits([y], [torch.full_like(t, weight)], both, training)
    visit(0, mean, torch.full_like(mean, float(row)), torch.arange(count))
    (value,) = visit.result()
    assert torch.equal(value, value.round())
    (slope,) = torch.autograd.grad(visit.bits.sum() + (weight * (value - t).square()).sum(), [y])
    low = y.detach().abs().floor()
    sign = y.detach().sign()
    dearer = costs[row, low.long() + 1] - costs[row, low.long()]

    def errors(middle):
        return [weight * (sign * (low + k) - middle).square() for k in (0, 1)]

    near, far = errors(y.detach())
    p = torch.sigmoid(-(dearer + far - near) / WARMTH)
    near, far = errors(t)
    wanted = sign * p * (1 - p) * 2 * weight / WARMTH * (dearer + far - near)
    torch.testing.assert_close(slope, wanted, rtol=1e-4, atol=1e-4)
    chosen = (value.abs() - low)[0, 0, 0]
    if training:  # random near the border, and only there
        assert 0.02 < (chosen - (p[0, 0, 0] > 0.5).float()).abs().mean() < 0.3
    else:
        assert torch.equal(chosen, (p[0, 0, 0] > 0.5).float())


@pytest.mark.parametrize("row", [26, 36, 50, 70])
def test_means_and_scales_have_the_mean_gradient_of_what_files_cost(row):
    """Means that of the logistic distribution over a step, scales that of the table."""
    torch.manual_seed(0)
    costs = cost_table(mass_table())
    both = Costs(costs, cost_slopes(costs))
    y = torch.linspace(-1.9, 1.9, 129).view(1, 1, 1, -1)
    places = torch.arange(129)
    mean = torch.full((1, 129, 1), 3.0, requires_grad=True)
    scale = torch.full((1, 129, 1), float(row), requires_grad=True)
    visit = LatentBits([y], [torch.zeros_like(y)], both, True)
    visit(0, mean, scale, places)
    of_mean, of_scale = torch.autograd.grad(visit.bits.sum(), [mean, scale])
    residual = (y[0, 0, 0] - 3 / 16)[None, :, None]
    index = torch.full_like(residual, float(row))
    ends = (logistic_bits(residual + half, index) for half in (0.5, -0.5))
    torch.testing.assert_close(of_mean, (next(ends) - next(ends)) / -16, rtol=1e-4, atol=1e-4)
    # nothing weighs, so the nearer to zero is mostly chosen, and always cheaper
    low, high = (
        (logistic_bits(size, index + 0.5) - logistic_bits(size, index - 0.5))
        for size in (residual.abs().floor(), residual.abs().floor() + 1)
    )
    assert ((of_scale - torch.minimum(low, high)) > -0.02).all()
    assert ((of_scale - torch.maximum(low, high)) < 0.02).all()
    assert visit.bits.item() == pytest.approx(
        costs[row, visit.rounded[0][0][1].sub(3 / 16).abs().round().long()].sum().item()
    )


def test_estimates_count_by_a_table_that_was_fitted(tiny_model):
    model = copy.deepcopy(tiny_model)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    u = torch.tensor([0.5])
    masses = mass_table()
    with torch.inference_mode():
        before = model.encode(x, u, True)[1].codes
        model.estimate_by(masses // 2 + 2**23)  # half as probable, whatever is not zero
        after = model.encode(x, u, True)[1].codes
    assert not torch.equal(before, after)
    assert torch.equal(model.costs, cost_table(masses // 2 + 2**23))
    assert torch.equal(model.cost_slopes, cost_slopes(model.costs))


def test_slopes_of_costs_are_smooth_where_a_table_is_not():
    costs = cost_table(mass_table())
    index = torch.arange(112.0).view(-1, 1).expand(112, 8).clone().requires_grad_()
    sizes = torch.arange(8.0).expand(112, 8)
    (wanted,) = torch.autograd.grad(logistic_bits(sizes, index).sum(), [index])
    worn = costs + 0.05 * torch.randn(costs.shape, generator=torch.Generator().manual_seed(0))
    found, rough = cost_slopes(worn), torch.gradient(worn, dim=0)[0]
    inner = slice(32, 80)  # no magnitude here is as rare as the floor of either
    error, of_rough = (
        (x[inner, :8] - wanted[inner]).square().mean().sqrt() for x in (found, rough)
    )
    assert error < of_rough / 3
    assert error < 0.02


def test_slopes_of_costs_are_computed_where_the_costs_are():
    """Else no GPU encodes."""
    with pretended_gpu():
        costs = torch.ones(112, 257, device="cuda")
        assert cost_slopes(costs).device == costs.device


def test_the_decoders_inverse_sine_is_that_of_torch():
    sizes = torch.logspace(-8, 5, 500)
    x = torch.cat([-sizes, torch.zeros(1), sizes])
    exact = torch.asinh(x.double())
    for found in (_asinh(x), _asinh(x.clone().requires_grad_())):
        assert ((found - exact).abs() <= 2e-7 * exact.abs().clamp_min(1)).all()
    assert torch.equal(_asinh(x[500:501]), torch.zeros(1))

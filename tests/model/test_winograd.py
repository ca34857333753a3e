"""Winograd's convolutions against direct ones, and when they are taken."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from imgcodec.codec import Codec
from imgcodec.model import winograd
from imgcodec.model.winograd import Conv3x3, learns_by_products, pays, undisturbed

LARGE = 32, 40
FIXED = torch.zeros(7, 5, 3, 3)  # weights that do not learn


def maps(*size, batch=1, channels=5):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, channels, *size, generator=generator)


@pytest.fixture
def layer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Conv3x3(5, 7)


@pytest.fixture
def available():
    """Skip where NNPACK does not work."""
    with torch.no_grad():
        if not pays(maps(*LARGE), FIXED):
            pytest.skip("no NNPACK here, or more threads than it is good for")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), LARGE, (1025, 1), (41, 37)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_is_the_convolution(layer, size, batch, layout):
    x = maps(*size, batch=batch).contiguous(memory_format=layout)
    wanted = F.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1)
    with torch.inference_mode():
        found = layer(x)
    assert (found - wanted).abs().max() < 1e-4 * wanted.std()


def test_gradients_pass(layer):
    x = maps(*LARGE).requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad.any()
    assert layer.weight.grad.any()


def test_taken_for_large_maps_in_float32_of_weights_that_do_not_learn(available, monkeypatch):
    x = maps(*LARGE)
    learning = FIXED.clone().requires_grad_()
    assert pays(x.clone().requires_grad_(), FIXED)
    assert not pays(x.clone().requires_grad_(), learning)
    assert not pays(x, FIXED)
    with torch.no_grad():
        assert pays(x, learning)
        assert not pays(maps(31, 33), FIXED)
        assert not pays(x.bfloat16(), FIXED)
        assert not pays(x.to("meta"), FIXED)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not pays(x, FIXED)
        monkeypatch.setattr(torch, "get_num_threads", lambda: winograd.MOST_THREADS + 1)
        assert not pays(x, FIXED)


def direct(layer, x, above):
    """Return a convolution and the gradients of maps, weights and biases, in float64."""
    x = x.detach().double().requires_grad_()
    own = [p.detach().double().requires_grad_() for p in (layer.weight, layer.bias)]
    y = F.conv2d(x, *own, padding=1)
    return y, *torch.autograd.grad(y, [x, *own], above.double())


def close(found, wanted, least):
    assert (found - wanted).abs().max() < least * wanted.std()


def test_maps_have_a_gradient_where_weights_do_not_learn(available, layer):
    layer.requires_grad_(False)
    x = maps(*LARGE, batch=2).requires_grad_()
    y = layer(x)
    assert y.grad_fn.name() == "_OfMapsBackward"
    above = maps(*LARGE, batch=2, channels=7)
    wanted, gradient, *_ = direct(layer, x, above)
    close(y, wanted, 1e-4)
    close(torch.autograd.grad(y, x, above)[0], gradient, 1e-4)


@pytest.mark.parametrize("size", [(32, 40), (33, 42), (5, 67)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weights_learn_by_products(size, layout):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        layer = Conv3x3(64, 65)
    x = maps(*size, batch=5, channels=64).contiguous(memory_format=layout).requires_grad_()
    y = layer(x)
    assert y.grad_fn.name() == "_ConvolutionBackward"
    above = maps(*size, batch=5, channels=65)
    learning = [x, layer.weight, layer.bias]
    wanted = direct(layer, x, above)
    for found, exact in zip((y, *torch.autograd.grad(y, learning, above)), wanted, strict=True):
        close(found, exact, 1e-4)
    y = F.relu(layer(x.detach()), inplace=True)  # as blocks do; the first layer's maps learn not
    y.sum().backward()
    assert layer.weight.grad.any()


def test_products_are_float32_whatever_a_caller_has_for_new_tensors():
    layer, x = Conv3x3(64, 64), maps(*LARGE, channels=64)
    torch.set_default_dtype(torch.float64)
    try:
        assert layer(x).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_not_by_products_where_that_does_not_pay():
    x, weight = maps(*LARGE, channels=64), torch.zeros(64, 64, 3, 3, requires_grad=True)
    assert learns_by_products(x, weight)
    assert not learns_by_products(x, weight.detach())
    assert not learns_by_products(x, weight[:63])
    assert not learns_by_products(x[:, :, :31, :33], weight)
    assert not learns_by_products(x.bfloat16(), weight)
    assert not learns_by_products(x.to("meta"), weight)
    with torch.no_grad():
        assert not learns_by_products(x, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not learns_by_products(x, weight)


def test_bfloat16_stays_where_it_is_asked_for(layer):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(maps(*LARGE)).dtype == torch.bfloat16


def test_decoded_pixels_are_those_of_direct_convolutions(available, monkeypatch):
    codec = Codec("cpu")
    for tile_codec in codec._tile_codecs.values():
        monkeypatch.setattr(tile_codec, "fast", False)
    with Image.open(Path(__file__).parents[2] / "docs" / "kodim23.png") as picture:
        data = codec.encode(np.asarray(picture)[:256, :320], 0.5)
    calls = []
    convolve = torch._nnpack_spatial_convolution

    def counted(*arguments):
        calls.append(arguments)
        return convolve(*arguments)

    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", counted)
    found = codec.decode(data).astype(int)
    assert len(calls) == 22  # the stem, two a block, and the last
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    assert np.abs(codec.decode(data) - found).max() <= 1
    assert len(calls) == 22


def test_other_threads_rest_meanwhile(available):
    before = torch.get_num_threads()
    with torch.no_grad():
        with undisturbed(maps(1, 1), FIXED):
            assert torch.get_num_threads() == before
        with undisturbed(maps(*LARGE), FIXED):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == before
        with suppress(KeyError), undisturbed(maps(*LARGE), FIXED):
            raise KeyError
    assert torch.get_num_threads() == before


def test_processors_without_it_are_not_asked(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    winograd._home.cache_clear()
    try:
        with torch.no_grad():
            assert not pays(maps(*LARGE), FIXED)
    finally:
        winograd._home.cache_clear()


def test_children_do_not_wait_for_its_threads(available, monkeypatch):
    with torch.no_grad():
        assert pays(maps(*LARGE), FIXED)
        parent = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        assert not pays(maps(*LARGE), FIXED)

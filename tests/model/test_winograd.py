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
from imgcodec.model.winograd import Conv3x3, pays, undisturbed

LARGE = 32, 40


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
        if not pays(maps(*LARGE)):
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


def test_taken_for_large_maps_in_float32_without_gradients(available, monkeypatch):
    x = maps(*LARGE)
    assert not pays(x)
    with torch.no_grad():
        assert pays(x)
        assert not pays(maps(31, 33))
        assert not pays(x.bfloat16())
        assert not pays(x.to("meta"))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not pays(x)
        monkeypatch.setattr(torch, "get_num_threads", lambda: winograd.MOST_THREADS + 1)
        assert not pays(x)


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
    monkeypatch.setattr(winograd, "pays", lambda x: False)
    assert np.abs(codec.decode(data) - found).max() <= 1
    assert len(calls) == 22


def test_other_threads_rest_meanwhile(available):
    before = torch.get_num_threads()
    with torch.no_grad():
        with undisturbed(maps(1, 1)):
            assert torch.get_num_threads() == before
        with undisturbed(maps(*LARGE)):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == before
        with suppress(KeyError), undisturbed(maps(*LARGE)):
            raise KeyError
    assert torch.get_num_threads() == before


def test_processors_without_it_are_not_asked(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    winograd._home.cache_clear()
    try:
        with torch.no_grad():
            assert not pays(maps(*LARGE))
    finally:
        winograd._home.cache_clear()


def test_children_do_not_wait_for_its_threads(available, monkeypatch):
    with torch.no_grad():
        assert pays(maps(*LARGE))
        parent = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        assert not pays(maps(*LARGE))

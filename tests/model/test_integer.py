"""Integer layers: int8 gives the same numbers as float32, whatever the shape."""

import pytest
import torch

from imgcodec.model import integer
from imgcodec.model.integer import (
    ACTIVATION_MAX,
    IntegerConv2d,
    IntegerLinear,
    NarrowConv2d,
    activation,
)
from imgcodec.runtime.precision import multiplies_int8

needs_int8 = pytest.mark.skipif(not multiplies_int8("cpu"), reason="no VNNI here")


def both(layer, x):
    """Return what a layer makes of integers in float32, and in int8 if it is frozen so."""
    with torch.no_grad():
        layer.weight.copy_(layer.weight.sign())  # the largest sums that there are
        layer.bias.uniform_(-9, 9)
        layer.freeze(int8=False)
        plain = layer(x, True)
        layer.freeze(int8=True)
        return plain, layer(x, True)


def integers(*shape):
    return torch.randint(-ACTIVATION_MAX, ACTIVATION_MAX + 1, shape).float()


@needs_int8
@pytest.mark.parametrize("channels", [1, 2, 11, 96])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 1), (1, 7), (70, 30), (2, 1100)])
def test_convolutions_of_int8_are_the_same(channels, height, width):
    plain, found = both(IntegerConv2d(channels, 8), integers(2, channels, height, width))
    assert (plain == found).all()


@needs_int8
@pytest.mark.parametrize("channels", [1, 2, 11, 384])
@pytest.mark.parametrize("places", [1, 2, 300])
def test_products_of_int8_are_the_same(channels, places, monkeypatch):
    monkeypatch.setattr(integer, "LEAST_PLACES", 1)
    plain, found = both(IntegerLinear(channels, 5), integers(2, places, channels))
    assert (plain == found).all()


@needs_int8
def test_frozen_layers_compute_with_other_weights_where_those_are_asked_for():
    layer, x = IntegerLinear(9, 5), integers(1, 300, 9) + 0.25
    with torch.no_grad():
        plain = layer(x, False)
        layer.freeze(int8=True)
        assert (layer(x, False) == plain).all()
        layer.weight.zero_()
        layer.freeze(int8=False)
        assert (layer(x, True) == layer.bias).all()


@needs_int8
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 1), (70, 30)])
def test_narrow_convolutions_of_int8_are_the_same(height, width):
    layer, x, found = NarrowConv2d(20, 3, 8, 1.0), integers(2, 20, height, width), []
    with torch.no_grad():
        for part in (layer.narrow, layer.wide):
            part.bias.uniform_(-9, 9)
        for int8 in (False, True):
            for part in (layer.narrow, layer.wide):
                part.freeze(int8)
            found.append(layer(x, True))
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("least", [0, -127])
@pytest.mark.parametrize("quantised", [False, True])
def test_activations_are_clamped_and_so_are_their_gradients(least, quantised):
    # at a bound, what torch says of the gradient of a clamp depends on its version
    x = torch.tensor([-200.0, -2, 0 if quantised else 1, 2, 200], requires_grad=True)
    found = activation(x, quantised, least)
    assert found.tolist() == activation(x.detach().clone(), quantised, least).tolist()
    assert found.tolist() == x.detach().clamp(least, 127).tolist()
    found.sum().backward()
    inside = (x.detach() >= least) & (x.detach() <= 127)
    assert x.grad.tolist() == inside.float().tolist()

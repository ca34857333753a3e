"""Designs that no released weights have: their files come back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY, write_weights

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.train.finish import encoded
from imgcodec.weights import load

DESIGNS = {
    "coarse": {"coarse_blocks": 2, "coarse_width": 12},
    "six phases": {"context_phases": 6},
    "far": {"context_phases": 6, "context_radius": 2, "context_deep": True},
    "layers": {"context_layers": 2},
    "narrow": {"context_phases": 6, "context_ranks": (3,)},
}


@pytest.fixture(scope="module", params=list(DESIGNS))
def design(request, tmp_path_factory):
    """A codec with weights of a design in which nothing is left of the start, and the weights."""
    config = replace(TINY, **DESIGNS[request.param])
    path = write_weights(tmp_path_factory.mktemp("design"), config)
    codec = Codec("cpu", weights=path)
    codec._tile_codec.fast = False  # as what is compared
    return codec, load(path)


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 40), (72, 96)])
def test_what_the_encoder_chose_comes_back(design, textured, size, entropy):
    (codec, (model, tables, _)), image = design, textured(*size)
    data = codec.encode(image, quality=70, entropy=entropy)
    header, (tile,), _ = container.unpack(bytes(data))
    assert codec.decode(data).shape == image.shape
    if entropy == "range":
        padded = np.pad(image, (*((0, -side % 8) for side in size), (0, 0)), mode="edge")
        pixels = torch.from_numpy(padded).permute(2, 0, 1)[None]
        chosen = encoded(model, tables, pixels, torch.tensor([header.u / container.MAX_U]))
        values = codec._tile_codec.read(
            [tile], header.u, (pixels.shape[2] // 8, pixels.shape[3] // 8)
        )
        read = codec._tile_codec.dequantise(values, header.u).y_hat
        assert torch.equal(read.half(), chosen.y_hat)

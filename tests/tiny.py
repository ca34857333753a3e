"""Models of a few kilobytes that nobody trained, and what tests do with codecs."""

import random

import numpy as np
import torch

from imgcodec.model import Model, ModelConfig
from imgcodec.pictures.drawn import is_drawn
from imgcodec.train.export import make_tables
from imgcodec.train.pages import page
from imgcodec.weights import save

SMALL = {
    "width": 8, "encoder_blocks": 2, "decoder_blocks": 2, "attention_width": 8,
    "attention_heads": 2, "attention_blocks": 1, "context_width": 8, "context_hidden": 8,
}  # fmt: skip
TINY = ModelConfig(latents=12, lattice=3, groups=(4, 5), **SMALL)
PAPER = ModelConfig(latents=16, digits=0, skip=False, lattice=0, groups=(8, 8), **SMALL)


def decode_reporting(codec, data, **words):
    """The pixels of a file and the report of decoding it."""
    strips = []
    report = codec.decode_rows(data, strips.append, **words)
    return np.concatenate(strips), report


def drawn_page(side, seed, fits=lambda page: True):
    """A rendered page of text that looks drawn and fits, uint8 (side, side, 3)."""
    chance = random.Random(seed)  # noqa: S311
    pages = (page("text", chance, side) for _ in range(50))
    return np.ascontiguousarray(next(p for p in pages if is_drawn(p) and fits(p)))


def build(config, seed=0):
    """A model that nobody trained, the same for every test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(config)
    model.start_from(torch.linspace(2, 0.01, 192))
    return model.eval()


def liven(model):
    """Let what begins as nothing say something."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() > 1 and not tensor.any():
                spread = tensor[0].numel() ** -0.5
                tensor.copy_(spread * torch.randn(tensor.shape, generator=generator))
    return model


def write_weights(folder, config, seed=0):
    """The path of that model's weights file."""
    path = folder / "weights.safetensors"
    model = liven(build(config, seed))
    save(path, model, make_tables(model))
    return path

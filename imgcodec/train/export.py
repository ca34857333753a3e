"""Freeze a checkpoint: averaged weights, integer context models and tables -> safetensors."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.codec.plan import CoderTables, IntegerStep
from imgcodec.codec.tile_codec import TileCodec
from imgcodec.entropy.digits import LEVEL_EIGHTHS, digit_table
from imgcodec.format.container import MAX_U
from imgcodec.model import Model, ModelConfig, pyramid
from imgcodec.model.steps import middle_step
from imgcodec.model.tables import LOGIT_LIMIT, MASS_BITS, MAX_MAGNITUDE, RATE_INDICES, mass_table
from imgcodec.train import data
from imgcodec.train.checkpoint import WEIGHTS, load_checkpoint
from imgcodec.weights import Tables, save, transforms_of

FIT_PICTURES, FIT_SIDE = 80, 256  # pictures, px
FIT_ROUNDS = 2
FIT_RATES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # rate parameters
PRIOR_COUNT = 100  # values of each scale index that count as logistic
# A coefficient of the lapped DCT of pixels in -0.5..0.5 stays below this, and a latent near it.
LARGEST_COEFFICIENT = 8.0
# A latent may be this many times its standard deviation before it is clipped.
LARGEST_DEVIATIONS = 64.0


def export(checkpoint: Path, target: Path, pictures: Path | None = None) -> str:
    """Write the weights file of a checkpoint and return its SHA-256 in hex.

    A run of context models alone that began with released weights leaves out their transforms.

    Args:
        checkpoint: of a finished run, or what there is of one.
        target: where to.
        pictures: folder with tar files of pictures that the mass table is fitted to, for a
            checkpoint without one; None for the one there that its run counted by.
    """
    state = load_checkpoint(checkpoint, WEIGHTS)
    model = Model(ModelConfig(**state["config"]))
    model.load_state_dict(state["average"])
    model.eval()
    masses = state.get("masses")
    if masses is None and pictures is not None and model.config.expansion:
        masses = fit_masses(model, chosen(data.split(data.read_crops(pictures))[0]))
    elif masses is None:
        masses = state.get("estimates")
    transforms = transforms_of(model) if state.get("only") == "contexts" else None
    return save(target, model, make_tables(model, masses), transforms)


def chosen(crops: Tensor) -> Tensor:
    """Return the middles of the pictures that a mass table is fitted to, uint8 (N, 3, h, w)."""
    return data.middle(crops[:: max(1, len(crops) // FIT_PICTURES)], FIT_SIDE)


def make_tables(model: Model, masses: Tensor | None = None) -> Tables:
    """Return the integer tables that the coder needs, made for a model.

    Args:
        model: whose digits they hold.
        masses: what `fit_masses` found, None for the logistic distribution.
    """
    return Tables(
        masses=(mass_table() if masses is None else masses).int(),
        probabilities=probability_table(),
        digits=torch.from_numpy(_digits(model)),
    )


@torch.inference_mode()
def fit_masses(model: Model, pictures: Tensor) -> Tensor:
    """Return the mass table that real values have, int64 (112, 257); see `mass_table`.

    The values of pictures are counted for every scale index, as the encoder of files chooses
    them; where there are few, the logistic distribution fills in, and a hundredth of what is not
    zero is kept for large values, so that no picture becomes dear.

    Args:
        model: in evaluation mode.
        pictures: uint8 (N, 3, H, W), sides multiples of 8.
    """
    logistic = mass_table()
    prior = np.diff(logistic.numpy(), axis=1, prepend=0) / 2**MASS_BITS
    large = 1.0 / np.arange(1, MAX_MAGNITUDE + 1) ** 2
    masses = logistic
    for _ in range(FIT_ROUNDS):  # what is chosen depends a little on the table
        tables = CoderTables(make_tables(model, masses), model.unit.device)
        tile_codec = TileCodec(model, tables, fast=False)
        counts = PRIOR_COUNT * prior
        for number, picture in enumerate(pictures.permute(0, 2, 3, 1).cpu().numpy()):
            prepared = tile_codec.analyse(picture[None])
            for rate in FIT_RATES:
                u = round((rate + number % 10 / 100) * MAX_U)
                (plan,) = tile_codec.plan(tile_codec.latents(prepared, u), u, raw=False)
                for step in plan.steps:
                    if isinstance(step, IntegerStep):
                        magnitudes = np.minimum(np.abs(step.integers), MAX_MAGNITUDE)
                        np.add.at(counts, (step.rows, magnitudes), 1)
        zero = counts[:, :1] / counts.sum(1, keepdims=True)
        rest = counts[:, 1:] / counts[:, 1:].sum(1, keepdims=True)
        rest = 0.99 * rest + 0.01 * large / large.sum()
        share = np.concatenate([zero, (1 - zero) * rest], 1)
        masses = torch.from_numpy(np.round(share.cumsum(1) * 2**MASS_BITS)).long()
    return masses


def probability_table() -> Tensor:
    """Return P(1) * 65536 for logits -256..256 sixteenths, int32 (513,)."""
    logits = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1) / 16
    p = np.round(65536 / (1 + np.exp(-logits)))
    return torch.from_numpy(np.clip(p, 1, 65535).astype(np.int32))


def _digits(model: Model) -> NDArray[np.uint8]:
    """Return the digit table: what everything coded can reach, at every step."""
    deviation = model.unit.cpu().double().numpy()
    limits = np.minimum(LARGEST_COEFFICIENT, LARGEST_DEVIATIONS * deviation)
    if model.config.lattice:
        means, limits = np.split(limits, [model.config.lattice])
        # an octave of the pyramid doubles what is smooth
        octaves = [np.repeat(means, 3) * 2**octave for octave in range(pyramid.OCTAVES, 0, -1)]
        limits = np.concatenate([means * pyramid.SIDE, *octaves, limits])
    coarsest = float(middle_step(torch.zeros(1))) * 2 ** (model.config.levels / 4)
    rows = RATE_INDICES + LEVEL_EIGHTHS * (model.config.levels - 1) + 1
    return np.minimum(digit_table(limits, coarsest, rows), model.config.digits + 1)

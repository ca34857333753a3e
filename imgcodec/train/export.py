"""Freeze a checkpoint: averaged weights, integer context models and tables -> safetensors."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.importance import LEVEL_EIGHTHS, digit_table
from imgcodec.model import Model, ModelConfig
from imgcodec.model.context import RATE_INDICES, mass_table
from imgcodec.train.loop import load_checkpoint
from imgcodec.weights import Tables, save

LOGIT_LIMIT = 256  # sixteenths
# A coefficient of the lapped DCT of pixels in -0.5..0.5 stays below this, and a latent near it.
LARGEST_COEFFICIENT = 8.0
# A latent may be this many times its standard deviation before it is clipped.
LARGEST_DEVIATIONS = 64.0


def export(checkpoint: Path, target: Path) -> str:
    """Write the weights file of a checkpoint and return its SHA-256 in hex."""
    state = load_checkpoint(checkpoint)
    model = Model(ModelConfig(**state["config"]))
    model.load_state_dict(state["average"])
    return save(target, model.eval(), make_tables(model))


def make_tables(model: Model) -> Tables:
    """Return the integer tables that the coder needs, made for a model."""
    return Tables(
        masses=mass_table().int(),
        probabilities=probability_table(),
        digits=torch.from_numpy(_digits(model)),
    )


def probability_table() -> Tensor:
    """Return P(1) * 65536 for logits -256..256 sixteenths, int32 (513,)."""
    logits = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1) / 16
    p = np.round(65536 / (1 + np.exp(-logits)))
    return torch.from_numpy(np.clip(p, 1, 65535).astype(np.int32))


def _digits(model: Model) -> NDArray[np.uint8]:
    """Return the digit table: what a latent can reach, at every step."""
    deviation = model.unit.double().numpy()
    limits = np.minimum(LARGEST_COEFFICIENT, LARGEST_DEVIATIONS * deviation)
    coarsest = float(model.step(torch.zeros(1))) * 2 ** (model.config.levels / 4)
    rows = RATE_INDICES + LEVEL_EIGHTHS * (model.config.levels - 1) + 1
    return digit_table(limits, coarsest, rows)

"""Checkpoints: what a run needs to go on or to begin, and what an export needs."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from imgcodec import weights
from imgcodec.errors import AicError
from imgcodec.model import Model

PARTS = {"config", "model", "average", "optimiser", "step", "elapsed_s", "fresh"}


def save_checkpoint(
    path: Path,
    model: Model,
    average: Model,
    optimiser: torch.optim.Optimizer,
    step: int,
    elapsed_s: float,
    fresh: bool,
    masses: Tensor | None,
) -> None:
    """Write a checkpoint in one go: the old one stays until the new one is whole.

    Args:
        path: where to.
        model: as trained.
        average: moving average of its weights.
        optimiser: its state goes along.
        step: steps done.
        elapsed_s: training time, seconds.
        fresh: whether the run began with random weights.
        masses: fitted mass table, None while training goes on.
    """
    state = {
        "config": model.config.as_dict(),
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "elapsed_s": elapsed_s,
        "fresh": fresh,
        "masses": masses,
    }
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote; AicError where the file is something else."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state.keys() >= PARTS:
            return dict(state)
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, UnpicklingError):
        pass
    raise AicError(f"{path} is not a checkpoint of this program")


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights that a new run starts from: a checkpoint's average, or a weights file's.

    Raises:
        AicError: the file is neither.
    """
    if path.suffix == ".safetensors":
        return weights.load(path).model.state_dict()
    average: dict[str, Tensor] = load_checkpoint(path)["average"]
    return average

"""Checkpoints: what a run needs to go on or to begin, and what an export needs."""

import io
from collections.abc import Mapping, Set
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imgcodec import files, weights
from imgcodec.errors import AicError
from imgcodec.model import ModelConfig
from imgcodec.train.trainee import Trainee

WEIGHTS = {"config", "average"}  # what a new run or an export needs
PARTS = WEIGHTS | {"model", "optimiser", "step", "elapsed_s", "fresh"}


def save_checkpoint(
    path: Path,
    trainee: Trainee,
    elapsed_s: float,
    began: Mapping[str, bool | str | None],
    estimates: Tensor | None,
    masses: Tensor | None,
    half: bool,
) -> None:
    """Write a checkpoint in one go: the old one stays until the new one is whole.

    Args:
        path: where to.
        trainee: the model as trained, the moving average of its weights, and the optimiser.
        elapsed_s: training time, seconds.
        began: "fresh", "settles" and "only", how the run began, see `imgcodec.train.run`.
        estimates: mass table that the run counts bits by, None for the logistic distribution.
        masses: mass table that is fitted to these weights, None while training goes on.
        half: whether to write the average alone, and the transforms' weights as float16.

    Raises:
        AicError: it cannot be written.
    """
    average = trainee.average.state_dict()
    state = {
        "config": trainee.model.config.as_dict(),
        "average": {name: _halved(name, tensor) for name, tensor in average.items()}
        if half
        else average,
        "step": trainee.step,
        "elapsed_s": elapsed_s,
        **began,
        "estimates": estimates,
        "masses": masses,
    }
    if not half:
        state["model"] = trainee.model.state_dict()
        state["optimiser"] = trainee.optimiser.state_dict()
    data = io.BytesIO()
    torch.save(state, data)
    files.write_bytes(path, data.getbuffer(), force=True)


def load_checkpoint(path: Path, parts: Set[str] = PARTS) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote, the average as float32.

    Raises:
        AicError: the file is something else, or lacks some of the `parts`.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state.keys() >= WEIGHTS:
            if not state.keys() >= parts:
                raise AicError(f"{path} holds averaged weights alone: start from it, or export it")
            ModelConfig(**state["config"])  # or it raises
            whole = {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in state["average"].items()
            }
            return dict(state) | {"average": whole}
    except (
        OSError, RuntimeError, ValueError, EOFError, AttributeError, LookupError, TypeError,
        UnpicklingError,
    ):  # fmt: skip
        pass
    raise AicError(f"{path} is not a checkpoint of this program")


class Start(NamedTuple):
    """What a new run may begin with."""

    config: ModelConfig
    weights: dict[str, Tensor]
    masses: Tensor | None  # mass table that is fitted to them, if there is one


def load_start(path: Path) -> Start:
    """Return what a checkpoint, its average, or a weights file holds.

    Raises:
        AicError: the file is neither.
    """
    if path.suffix == ".safetensors":
        model, tables, _ = weights.load(path)
        return Start(model.config, model.state_dict(), tables.masses)
    state = load_checkpoint(path, WEIGHTS)
    return Start(ModelConfig(**state["config"]), state["average"], state.get("masses"))


def _halved(name: str, tensor: Tensor) -> Tensor:
    """Return float16 of the weights of transforms; context models and tables stay as they are."""
    return tensor if "context" in name or tensor.dim() < 2 else tensor.half()

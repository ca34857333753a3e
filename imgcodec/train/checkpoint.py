"""Checkpoints: what a run needs to go on or to begin, and what an export needs."""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Set
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imgcodec import files, weights
from imgcodec.errors import AicError, lacks_memory
from imgcodec.model import Model, ModelConfig
from imgcodec.model.tables import MASS_BITS, MAX_MAGNITUDE, NUM_SCALES
from imgcodec.train.trainee import PARTS as LEARNING
from imgcodec.train.trainee import Trainee, groups

WEIGHTS = {"config", "average"}  # what a new run or an export needs
PARTS = WEIGHTS | {"model", "optimiser", "step", "elapsed_s", "fresh"}
OBJECTIVES = ("rd", "paper")
MOST_STEPS = 2**32


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
        began: "fresh", "settles", "only" and "objective", how the run began, see
            `imgcodec.train.run`.
        estimates: mass table that the run counts bits by, None for the logistic distribution.
        masses: mass table that is fitted to these weights, None while training goes on.
        half: whether to write the average alone, deflated, the transforms' weights as float16.

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
    # released at once: of one that an error held, Python 3.12.1 ends when it collects garbage
    with (_deflated(data) if half else data).getbuffer() as written:
        files.write_bytes(path, written, force=True)


def load_checkpoint(path: Path, parts: Set[str] = PARTS) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote, the average as float32.

    Raises:
        AicError: the file is something else, is damaged, or lacks some of the `parts`.
    """
    try:
        with zipfile.ZipFile(path) as records:  # of deflated ones, torch 2.6 looks at no checksum
            if records.testzip() is not None:
                raise ValueError("a checksum is wrong")
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state.keys() >= WEIGHTS:
            if not state.keys() >= parts:
                raise AicError(f"{path} holds averaged weights alone: start from it, or export it")
            config = ModelConfig.from_json(state["config"])
            _check(state, config)
            whole = {name: tensor.float() for name, tensor in state["average"].items()}
            return dict(state) | {"config": config.as_dict(), "average": whole}
    except (
        OSError, RuntimeError, ValueError, EOFError, AttributeError, LookupError, TypeError,
        UnpicklingError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        if lacks_memory(error):
            raise
    raise AicError(f"{path} is not a checkpoint of this program")


def _check(state: dict[str, Any], config: ModelConfig) -> None:
    """Refuse parts that do not fit each other, by `ValueError` or what else they lead to."""
    with torch.device("meta"):  # shapes alone
        model = Model(config)
    _check_weights(state["average"], model)
    if "model" in state:
        _check_weights(state["model"], model)
    if "optimiser" in state:
        _check_moments(state["optimiser"]["state"], [p for group in groups(model) for p in group])
    for table in (state.get("masses"), state.get("estimates")):
        if table is not None:
            _check_table(table)
    step, elapsed_s = state.get("step", 0), state.get("elapsed_s", 0.0)
    if type(step) is not int or not 0 <= step <= MOST_STEPS:
        raise ValueError(f"step {step}")
    if type(elapsed_s) not in (int, float) or not 0 <= elapsed_s < math.inf:
        raise ValueError(f"elapsed time {elapsed_s}")
    if any(type(state.get(name, False)) is not bool for name in ("fresh", "settles")):
        raise ValueError("how the run began is not said")
    if state.get("only") not in (None, *LEARNING):
        raise ValueError(f"only {state['only']}")
    if state.get("objective", "rd") not in OBJECTIVES:
        raise ValueError(f"objective {state['objective']}")


def _check_weights(tensors: dict[str, Tensor], model: Model) -> None:
    """Refuse weights of another model, and what are no numbers."""
    wanted = model.state_dict()
    if tensors.keys() != wanted.keys():
        raise ValueError("weights of another model")
    for name, tensor in tensors.items():
        _check_floats(tensor, wanted[name])


def _check_moments(moments: dict[int, dict[str, Tensor]], parameters: list[Tensor]) -> None:
    """Refuse what an optimiser of other parameters remembers."""
    known = range(len(parameters))
    for number, found in moments.items():
        if number not in known or found.keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError("an optimiser of another kind")
        _check_floats(found["step"], torch.zeros(()))
        for name in ("exp_avg", "exp_avg_sq"):
            _check_floats(found[name], parameters[number])


def _check_floats(tensor: Tensor, wanted: Tensor) -> None:
    """Refuse what is not of a shape, and what are no numbers."""
    if tensor.shape != wanted.shape or tensor.layout != torch.strided:
        raise ValueError(f"{tuple(tensor.shape)} numbers in place of {tuple(wanted.shape)}")
    if not tensor.is_floating_point() or not tensor.isfinite().all():
        raise ValueError("numbers that are none")


def _check_table(table: Tensor) -> None:
    """Refuse what is no mass table, see `mass_table`."""
    kinds = torch.int32, torch.int64
    if table.shape != (NUM_SCALES, MAX_MAGNITUDE + 1) or table.dtype not in kinds:
        raise ValueError("a mass table of another size or kind")
    if table.min() < 0 or table.max() > 2**MASS_BITS or table.diff(dim=1).min() < 0:
        raise ValueError("masses that are none")


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


def _deflated(archive: io.BytesIO) -> io.BytesIO:
    """Return what `torch.save` wrote, its records deflated; `torch.load` reads such files, too."""
    smaller = io.BytesIO()
    with (
        zipfile.ZipFile(archive) as records,
        zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in records.namelist():
            undated = zipfile.ZipInfo(name)  # equal states are equal files, as torch's are
            deflated.writestr(undated, records.read(name), zipfile.ZIP_DEFLATED)
    return smaller

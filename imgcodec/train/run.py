"""One model in training: how it begins, its folder, its log and its checkpoints."""

import copy
import io
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imgcodec import files
from imgcodec.model import COEFFICIENTS, STRIDE, Model, ModelConfig
from imgcodec.train import validate
from imgcodec.train.checkpoint import Start, save_checkpoint
from imgcodec.train.export import chosen, fit_masses
from imgcodec.train.trainee import PARTS, Trainee

SUMMED = ("loss", "train_rate", "train_psnr")  # in a row of the log, what a step adds up
DRAWN = ("elapsed_s", "loss", "bd_rate_jpeg")  # of a row of the log
NEW_BLOCK, NEW_BLOCK_FACTOR = ".second.weight", 0.2  # last layer of a residual block


class Run:
    """A model that is trained, what it is validated on, and the files that it leaves.

    Attributes:
        trainee: the model, its average and its optimiser.
        fresh: whether the model began with random weights.
        only: what of it learns, see `Trainee`.
        objective: what it learns for, see `Trainee`.
        settles: whether it has context models that the weights that it began with lack.
        target: its checkpoint.
        log: rows of JSON, one a validation.
    """

    def __init__(
        self, out: Path, config: ModelConfig, crops: Tensor, held: Tensor,
        objective: str, half: bool, start: Start | None, state: dict[str, Any] | None,
        only: str | None,
    ) -> None:  # fmt: skip
        """Begin, or go on.

        Args:
            out: folder, made by `begin`.
            config: sizes of the model.
            crops: uint8 (N, 3, H, W) pictures that are trained on, on the device of the model.
            held: the same, that validate.
            objective: see `Trainee`.
            half: whether checkpoints are small, see `save_checkpoint`.
            start: what the model begins with, see `adopt`.
            state: a checkpoint to go on from.
            only: what learns of a new run.
        """
        self.target, self.log, self._curves = (
            out / name for name in ("last.pt", "log.jsonl", "curves.png")
        )
        self.fresh = state["fresh"] if state else start is None
        self._crops, self._held, self._half = crops, held, half
        model = Model(config)
        if state:
            model.load_state_dict(state["model"])
        else:
            model.start_from(coefficient_deviation(model, crops))
        self._estimates: Tensor | None = state.get("estimates") if state else None
        new = set()
        if start:
            new = adopt(model, start.weights)
            self._estimates = start.masses
        model.to(crops.device)
        if not self.fresh and config.expansion:
            if self._estimates is None:
                self._estimates = fit_masses(model.eval(), chosen(crops))
            model.estimate_by(self._estimates)
        settles = any(name.startswith(PARTS["contexts"]) for name in new)
        self.settles = state.get("settles", not self.fresh) if state else settles
        self.only = state.get("only") if state else only
        self.objective = objective
        self.trainee = Trainee(model, objective, self.fresh, self.only)
        if state:
            self.trainee.resume(state["average"], state["optimiser"], state["step"])
        self._anchor = validate.jpeg_curve(held, config.metric)
        self._counted = self.trainee.step  # steps that the log has

    def begin(self, resume: Path | None) -> None:
        """Make the folder where it is missing; a run that goes on in its own keeps its log.

        Args:
            resume: checkpoint that is gone on from.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if resume is None or not (self.target.exists() and self.target.samefile(resume)):
            files.remove(self.log)  # of another run

    def validated(self) -> validate.Curve:
        """Return the curve of the averaged weights."""
        return validate.curve(self.trainee.average, self._held)

    def record(self, elapsed_s: float, rate: float) -> None:
        """Validate, and write a row of the log, a checkpoint and the curves.

        Args:
            elapsed_s: training time, seconds.
            rate: the learning rate.
        """
        trainee = self.trainee
        sums, count = trainee.take_sums(), trainee.step - self._counted
        self._counted = trainee.step
        curve = self.validated()
        row = {
            "step": trainee.step,
            "elapsed_s": round(elapsed_s, 1),
            **{name: _finite(total / count) for name, total in zip(SUMMED, sums, strict=True)},
            "learning_rate": rate,
            "rates": curve.rates,
            "level_rates": curve.level_rates,
            "psnrs": curve.psnrs,
            "scores": curve.scores,
            "bd_rate_jpeg": validate.bd_rate_of(self._anchor, curve),  # None: nothing in common
        }
        files.append_line(self.log, json.dumps(row))
        self._save(elapsed_s, None)
        draw(self.log, self._curves)

    def fit(self, elapsed_s: float) -> None:
        """Write the checkpoint with the table of magnitudes fitted to its weights: for minutes."""
        if self.trainee.model.config.expansion:
            self._save(elapsed_s, fit_masses(self.trainee.average, chosen(self._crops)))

    def _save(self, elapsed_s: float, masses: Tensor | None) -> None:
        began = {
            "fresh": self.fresh,
            "settles": self.settles,
            "only": self.only,
            "objective": self.objective,
        }
        save_checkpoint(
            self.target, self.trainee, elapsed_s, began, self._estimates, masses, self._half
        )


def _finite(number: float) -> float | None:
    """Return a number as JSON has it, None for what is none."""
    return number if math.isfinite(number) else None


def coefficient_deviation(model: Model, crops: Tensor) -> Tensor:
    """Return the root mean square of each coefficient over every 8th crop, (192,)."""
    squares = torch.zeros(COEFFICIENTS, dtype=torch.float64)
    transform = copy.deepcopy(model.transform).to(crops.device)
    height, width = (side // STRIDE * STRIDE for side in crops.shape[2:])
    chosen = crops[::8, :, :height, :width]
    for crop in chosen:
        t = transform.analyse(crop[None].float() / 255)
        squares += t.double().square().mean((0, 2, 3)).cpu()
    return (squares / len(chosen)).sqrt().float()


@torch.no_grad()
def adopt(model: Model, weights: dict[str, Tensor]) -> set[str]:
    """Take over the weights of another model, which may be smaller.

    Tensors of the same name and shape are copied; inputs that a layer of the other lacks, the
    last ones, count for nothing at first; residual blocks that it lacks start close to the
    identity.

    Returns:
        The names of the tensors that the other model lacks, or has in another shape.
    """
    new = set()
    for name, tensor in model.state_dict().items():
        known, other = tensor, weights.get(name)
        if other is not None and other.dim() == tensor.dim() > 1:
            known = tensor[:, : other.shape[1]]
        if other is not None and other.shape == known.shape:
            tensor.zero_()
            known.copy_(other)
        elif name.endswith(NEW_BLOCK):
            tensor.mul_(NEW_BLOCK_FACTOR)
        if other is None or other.shape != tensor.shape:
            new.add(name)
    return new


def draw(log: Path, target: Path) -> None:
    """Draw loss and BD-rate over time, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    rows = list(_whole_rows(log))
    minutes = [row["elapsed_s"] / 60 for row in rows]
    figure = Figure(figsize=(9, 3.5), layout="tight")
    for index, (key, label) in enumerate(
        (("loss", "training loss"), ("bd_rate_jpeg", "estimated BD-rate against JPEG, %"))
    ):
        axes = figure.add_subplot(1, 2, index + 1)
        axes.plot(minutes, [row[key] for row in rows], marker=".")
        axes.set_xlabel("minutes")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90, format="png")
    files.write_bytes(target, drawn.getvalue(), force=True)


def _whole_rows(log: Path) -> Iterator[dict[str, float]]:
    """Yield what is drawn of a log, but for rows that were cut off or are none of a run."""
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError, TypeError, LookupError, OverflowError):
            row = json.loads(line)
            yield {key: math.nan if row[key] is None else float(row[key]) for key in DRAWN}

"""The training loop: one command, resumable, seeded."""

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from imgcodec.errors import AicError
from imgcodec.metrics import pchip
from imgcodec.model import STRIDE, ModelConfig
from imgcodec.perceptual import ms_ssim
from imgcodec.perceptual.distortion import TUNE_OF_METRIC
from imgcodec.runtime.openmp import take_threads
from imgcodec.train import data, loss, schedule
from imgcodec.train.budget import Budget
from imgcodec.train.checkpoint import load_checkpoint, load_start
from imgcodec.train.run import Run
from imgcodec.train.schedule import LEARNING_RATE

CHECKPOINT_EVERY_S = 240.0
VALIDATION_SIDE = 256  # pixels
PAGES = 0.1  # share of rendered pages
WORN = 0.4  # share of patches with noise, and of those with coarse colours


def train(
    data_dir: Path,
    out: Path,
    minutes: float = 150.0,
    seconds: float | None = None,
    resume: Path | None = None,
    start: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    objective: str = "rd",
    configs: Mapping[str, ModelConfig] | None = None,
    seed: int = 0,
    batch: int = 8,
    crop: int = 128,
    final_crop: int | None = None,
    learning_rate: float = LEARNING_RATE,
    patches: int | None = None,
    pages: float = PAGES,
    half: bool = False,
    only: str | None = None,
    told: Callable[[float, int], None] | None = None,
    begun: float | None = None,
) -> list[Path]:
    """Train models side by side, on the same patches, and return their last checkpoints.

    On CUDA each has a stream of its own: the small operations of one fill the gaps of another.

    Args:
        data_dir: folder with tar files of equally large pictures.
        out: folder for checkpoints, `log.jsonl` and `curves.png`.
        minutes: training time in all, that of a resumed run included.
        seconds: how long the call may take, in place of the minutes: start, validation and
            checkpoints included.
        resume: checkpoint to go on from.
        start: checkpoint or weights file that new runs start from, see `adopt`; they then work
            with integers and real cells from their first step.
        device: "cpu" or "cuda".
        threads: CPU threads, None for torch's choice.
        objective: "rd" (rate + lambda * distortion) or "paper", equations (9) to (11). A resumed
            run keeps its own, if its checkpoint says it.
        configs: sizes of new models, by the folder below `out` of each; None for one of the
            shipped sizes, in `out` itself. A resumed run keeps its own.
        seed: of everything random.
        batch: patches a step.
        crop: side of a patch, px, a multiple of 8.
        final_crop: the same for the last part of the time, whose steps have about as many pixels
            and whose learning rate begins anew, see `schedule`; None for no such part.
        learning_rate: peak of the schedule of "rd".
        patches: how many to train on, in place of the minutes: the same work on every machine.
            Those of the last part count by their pixels.
        pages: share of rendered pages among the pictures that are trained on, 0 to below 1.
        half: whether checkpoints hold the averaged weights alone, transforms as float16: enough
            to start from and to export, not to resume.
        only: what learns: "contexts" for the context models alone. The transforms stay as they
            are, and with them what a decoder makes of latents. None for everything. A resumed
            run keeps its own.
        told: is called with the share of the run that is done and the number of steps, at its
            start and after each step.
        begun: when what may take the seconds began, by `time.perf_counter`; None: now.

    Raises:
        AicError: sizes that do not fit each other, a checkpoint that cannot be gone on from, or
            too few seconds.
    """
    budget = Budget(minutes, seconds, patches, begun)
    state = load_checkpoint(resume) if resume else None
    if state:
        configs = {".": ModelConfig(**state["config"])}
        objective = state.get("objective", objective)
    configs = configs or {".": ModelConfig()}
    sides = (crop, final_crop or crop)
    _check(sides, configs)
    begun_with = load_start(start) if start else None
    if only and begun_with:
        metric = begun_with.config.metric
        if {config.metric for config in configs.values()} != {metric}:
            tune = TUNE_OF_METRIC[metric]
            raise AicError(f"{start}: what stays of it is for another --tune, {tune}")
    pchip()  # a run without it would end at its first BD-rate
    take_threads(threads)
    crops, held = (part.to(device) for part in _pictures(data_dir, max(sides), pages, seed))

    runs, before = [], math.inf
    for name, config in configs.items():
        torch.manual_seed(seed)
        runs.append(Run(out / name, config, crops, held, objective, half, begun_with, state, only))
        before = budget.left()
    if budget.by_clock:
        left = before
        for run in runs:
            run.validated()
            left = budget.left()
        # the last validation, and as long again for the checkpoint
        budget.take(left - 2 * (before - left))
    step = 0
    if state:
        step, budget.elapsed = state["step"], state["elapsed_s"]
    if budget.share(step * batch) >= 1:
        raise AicError(f"{resume} has been trained for {budget.elapsed / 60:.3g} minutes already")
    for run in runs:
        run.begin(resume)
    torch.manual_seed(seed + step)
    generator = torch.Generator(device).manual_seed(seed + step)
    fresh, saved = runs[0].fresh, budget.elapsed
    ends = schedule.ends(fresh, final_crop is not None)
    if told is not None:
        told(budget.share(step * batch), step)
    while (progress := budget.share(step * batch)) < 1:
        step += 1
        with budget.step():
            final = final_crop is not None and progress >= schedule.FINAL_FROM
            side = sides[final]
            stage = schedule.stage(progress, fresh)
            if objective == "paper":
                rate = loss.paper_learning_rate(step, side**2, side**2 // 64)
                stage = stage._replace(real=False)
            else:
                rate = schedule.learning_rate(learning_rate, progress, step, ends)
            count = max(1, batch * crop**2 // side**2)
            x = data.wear(data.sample(crops, count, side, generator), WORN, generator)
            u = data.rate_parameters(count, generator)
            for run in runs:
                contexts, trunks = schedule.shares(progress, run.settles)
                run.trainee.advance(x, u, stage, (contexts * rate, trunks * rate))
            for run in runs:
                run.trainee.join()
        done = budget.share(step * batch) >= 1
        if done or budget.elapsed - saved >= CHECKPOINT_EVERY_S:
            with budget.rest():
                for run in runs:
                    run.record(budget.elapsed, rate)
            if done and not budget.by_clock:
                for run in runs:  # for minutes: what all have learned is kept by now
                    run.fit(budget.elapsed)
            saved = budget.elapsed
        if told is not None:
            told(budget.share(step * batch), step)
    return [run.target for run in runs]


def _check(sides: Collection[int], configs: Mapping[str, ModelConfig]) -> None:
    """Refuse sides of patches that do not fit the models."""
    for side in sides:
        if side % 8:
            raise AicError(f"crop {side} is not a multiple of 8")
    for config in configs.values():
        if config.levelled and min(sides) < ms_ssim.MIN_SIDE:
            least = -(-ms_ssim.MIN_SIDE // STRIDE) * STRIDE
            tune = TUNE_OF_METRIC[config.metric]
            raise AicError(f"{tune} needs crops and pictures of {least} pixels or more")


def _pictures(folder: Path, side: int, pages: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the uint8 (N, 3, H, W) pictures that are trained on, and those that validate.

    Args:
        folder: with their tar files.
        side: of the largest patch, px.
        pages: share of rendered pages among those that are trained on.
        seed: of everything random.
    """
    crops, held = data.split(data.read_crops(folder))
    height, width = crops.shape[2:]
    if side > min(height, width):
        raise AicError(f"crop {side} is larger than the pictures, {width}x{height}")
    return data.with_pages(crops, pages, seed), data.middle(held, VALIDATION_SIDE)

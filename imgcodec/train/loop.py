"""The training loop: one command, resumable, seeded."""

import copy
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from imgcodec.errors import AicError
from imgcodec.metrics import MS_SSIM_MIN_SIDE, pchip
from imgcodec.model import COEFFICIENTS, Model, ModelConfig
from imgcodec.model.distortion import TUNES
from imgcodec.train import data, loss, schedule, validate
from imgcodec.train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from imgcodec.train.export import chosen, fit_masses
from imgcodec.train.schedule import LEARNING_RATE
from imgcodec.train.trainee import Trainee

STEP_LIMIT_S = 5.0  # a longer step means that the process was suspended; it counts as this much
CHECKPOINT_EVERY_S = 240.0
VALIDATION_SIDE = 256  # pixels
PAGES = 0.1  # share of rendered pages
WORN = 0.4  # share of patches with noise, and of those with coarse colours
NEW_BLOCK, NEW_BLOCK_FACTOR = ".second.weight", 0.2  # last layer of a residual block


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
    config: ModelConfig | None = None,
    seed: int = 0,
    batch: int = 8,
    crop: int = 128,
    learning_rate: float = LEARNING_RATE,
    patches: int | None = None,
    pages: float = PAGES,
    half: bool = False,
) -> Path:
    """Train a model and return the path of its last checkpoint.

    Args:
        data_dir: folder with tar files of equally large pictures.
        out: folder for checkpoints, `log.jsonl` and `curves.png`.
        minutes: training time in all, that of a resumed run included.
        seconds: how long the call may take, in place of the minutes: start, validation and
            checkpoints included.
        resume: checkpoint to go on from.
        start: checkpoint or weights file that a new run starts from, see `adopt`; the run then
            works with integers and real cells from its first step, and its learning rate decays
            only once.
        device: "cpu" or "cuda".
        threads: CPU threads, None for torch's choice.
        objective: "rd" (rate + lambda * distortion) or "paper", equations (9) to (11).
        config: sizes of a new model, None for the shipped ones.
        seed: of everything random.
        batch: patches a step.
        crop: side of a patch, px, a multiple of 8.
        learning_rate: peak of the cosine schedule of "rd".
        patches: how many to train on, in place of the minutes: the same work on every machine.
        pages: share of rendered pages among the pictures that are trained on, 0 to below 1.
        half: whether checkpoints hold the averaged weights alone, transforms as float16: enough
            to start from and to export, not to resume.

    Raises:
        AicError: sizes that do not fit each other, a checkpoint that cannot be gone on from, or
            too few seconds.
    """
    begun = time.perf_counter() if seconds else 0.0
    if crop % 8:
        raise AicError(f"crop {crop} is not a multiple of 8")
    pchip()  # a run without it would end at its first BD-rate
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    crops, held = data.split(data.read_crops(data_dir))
    if crop > min(crops.shape[2:]):
        raise AicError(
            f"crop {crop} is larger than the pictures, {crops.shape[3]}x{crops.shape[2]}"
        )
    crops = data.with_pages(crops, pages, seed)
    crops, held = crops.to(device), data.middle(held, VALIDATION_SIDE).to(device)

    state = load_checkpoint(resume) if resume else None
    model = Model(ModelConfig(**state["config"]) if state else config or ModelConfig())
    if model.config.levelled and min(crop, *held.shape[2:]) < MS_SSIM_MIN_SIDE:
        least = f"crops and pictures of {MS_SSIM_MIN_SIDE} pixels or more"
        raise AicError(f"{TUNES[model.config.metric]} needs {least}")
    fresh = state["fresh"] if state else start is None
    if state:
        model.load_state_dict(state["model"])
    else:
        model.start_from(coefficient_deviation(model, crops))
    if start:
        adopt(model, load_weights(start))
    trainee = Trainee(model.to(device), objective, batch, crop)
    elapsed = 0.0
    if state:
        trainee.resume(state["average"], state["optimiser"], state["step"])
        elapsed = state["elapsed_s"]
    anchor = validate.jpeg_curve(held, model.config.metric)
    torch.manual_seed(seed + trainee.step)
    generator = torch.Generator(device).manual_seed(seed + trainee.step)
    saved, counted = elapsed, trainee.step
    target = out / "last.pt"
    left = 0.0
    if seconds:
        started = time.perf_counter()
        validate.curve(trainee.average, held)
        ready = time.perf_counter()
        # the last validation, and as long again for the checkpoint
        left = seconds - (ready - begun) - 2 * (ready - started)
        if left <= 0:
            raise AicError(f"start and validation alone take longer than {seconds:g} s")

    def share_done() -> float:
        if patches:
            return trainee.step * batch / patches
        return elapsed / (left or 60 * minutes)

    if share_done() >= 1:
        raise AicError(f"{resume} has been trained for {elapsed / 60:.0f} minutes already")
    while (progress := share_done()) < 1:
        started = time.perf_counter()
        if objective == "paper":
            rate = loss.paper_learning_rate(trainee.step + 1, crop * crop, crop * crop // 64)
        else:
            rate = schedule.learning_rate(learning_rate, progress, trainee.step + 1, fresh)
        contexts, trunks = (rate * share for share in schedule.shares(progress, fresh))
        with trainee.streaming():
            x = data.wear(data.sample(crops, batch, crop, generator), WORN, generator)
            u = data.rate_parameters(batch, generator)
            stage = schedule.stage(progress, fresh)
            if objective == "paper":
                stage = stage._replace(real=False)
            trainee.advance(x, u, stage, (contexts, trunks))
        taken = time.perf_counter() - started
        elapsed += taken if seconds else min(taken, STEP_LIMIT_S)
        done = share_done() >= 1
        if elapsed - saved >= CHECKPOINT_EVERY_S or done:
            sums, count = trainee.take_sums(), trainee.step - counted
            counted = trainee.step
            resting = time.perf_counter() if seconds else 0.0
            curve = validate.curve(trainee.average, held)
            row = {
                "step": trainee.step,
                "elapsed_s": round(elapsed, 1),
                "loss": sums[0] / count,
                "train_rate": sums[1] / count,
                "train_psnr": sums[2] / count,
                "learning_rate": rate,
                "rates": curve.rates,
                "level_rates": curve.level_rates,
                "psnrs": curve.psnrs,
                "scores": curve.scores,
                "bd_rate_jpeg": validate.bd_rate_of(anchor, curve),  # None: nothing in common
            }
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            masses = None
            if done and model.config.expansion and not seconds:
                masses = fit_masses(trainee.average, chosen(crops))
            save_checkpoint(target, trainee, elapsed, fresh, masses, half)
            draw(out / "log.jsonl", out / "curves.png")
            if seconds:  # all of it counts
                elapsed += time.perf_counter() - resting
            saved = elapsed
    return target


def coefficient_deviation(model: Model, crops: Tensor) -> Tensor:
    """Return the root mean square of each coefficient over every 8th crop, (192,)."""
    squares = torch.zeros(COEFFICIENTS, dtype=torch.float64)
    transform = copy.deepcopy(model.transform).to(crops.device)
    chosen = crops[::8]
    for crop in chosen:
        t = transform.analyse(crop[None].float() / 255)
        squares += t.double().square().mean((0, 2, 3)).cpu()
    return (squares / len(chosen)).sqrt().float()


@torch.no_grad()
def adopt(model: Model, weights: dict[str, Tensor]) -> None:
    """Take over the weights of another model, which may be smaller.

    Tensors of the same name and shape are copied; inputs that a layer of the other lacks, the
    last ones, count for nothing at first; residual blocks that it lacks start close to the
    identity.
    """
    for name, tensor in model.state_dict().items():
        known, other = tensor, weights.get(name)
        if other is not None and other.dim() == tensor.dim() > 1:
            known = tensor[:, : other.shape[1]]
        if other is not None and other.shape == known.shape:
            tensor.zero_()
            known.copy_(other)
        elif name.endswith(NEW_BLOCK):
            tensor.mul_(NEW_BLOCK_FACTOR)


def draw(log: Path, target: Path) -> None:
    """Draw loss and BD-rate over time, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    rows = [json.loads(line) for line in log.read_text().splitlines()]
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
    figure.savefig(target, dpi=90)

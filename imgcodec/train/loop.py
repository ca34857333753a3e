"""The training loop: one command, resumable, seeded."""

import copy
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from imgcodec.errors import AicError
from imgcodec.metrics import MS_SSIM_MIN_SIDE, pchip
from imgcodec.model import COEFFICIENTS, Model, ModelConfig
from imgcodec.model.context import ContextModel
from imgcodec.runtime.precision import multiplies_bfloat16
from imgcodec.train import data, loss, validate
from imgcodec.train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from imgcodec.train.export import fit_masses

LEARNING_RATE = 6e-4
FINAL_LEARNING_RATE = 0.02  # of the peak
WARM_UP_STEPS = 200
AVERAGING = 0.998  # decay of the moving average of the weights
QUANTISED_FROM = 0.15  # share of the time after which the context models work on integers
# Share of the time after which latents are rounded as in files, and the scales are learned from
# the cells that are coded; that stage has its own decay, from half the peak.
REAL_FROM = 0.43
STEP_LIMIT_S = 5.0  # a longer step means that the process was suspended; it counts as this much
CHECKPOINT_EVERY_S = 240.0
VALIDATION_SIDE = 256  # pixels
FIT_PICTURES = 80
PAGES = 0.1  # share of rendered pages
WORN = 0.4  # share of patches with noise, and of those with coarse colours
# Share of the time in which a run that starts from other weights trains the context models alone,
# with a learning rate so many times that of the rest: some of their layers may be new.
SETTLING, SETTLING_RATE = 0.04, 4.0
NEW_BLOCK, NEW_BLOCK_FACTOR = ".second.weight", 0.2  # last layer of a residual block


def train(
    data_dir: Path,
    out: Path,
    minutes: float,
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
) -> Path:
    """Train a model and return the path of its last checkpoint.

    Args:
        data_dir: folder with tar files of equally large pictures.
        out: folder for checkpoints, `log.jsonl` and `curves.png`.
        minutes: training time in all, that of a resumed run included.
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
    """
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
    if model.config.metric == "ms-ssim" and min(crop, *held.shape[2:]) < MS_SSIM_MIN_SIDE:
        raise AicError(f"MS-SSIM needs crops and pictures of {MS_SSIM_MIN_SIDE} pixels or more")
    fresh = state["fresh"] if state else start is None
    if state:
        model.load_state_dict(state["model"])
    else:
        model.start_from(coefficient_deviation(model, crops))
    if start:
        adopt(model, load_weights(start))
    model.to(device)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    contexts = [*model.code_context.parameters(), *model.level_context.parameters()]
    own = {id(parameter) for parameter in contexts}
    trunks = [parameter for parameter in model.parameters() if id(parameter) not in own]
    optimiser = torch.optim.Adam(
        [{"params": contexts}, {"params": trunks}],
        learning_rate,
        betas=(0.9, 0.98),
        eps=1e-9,
        fused=True,
    )
    step, elapsed = 0, 0.0
    if state:
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, elapsed = state["step"], state["elapsed_s"]
    anchor = validate.jpeg_curve(held, model.config.metric)
    torch.manual_seed(seed + step)
    generator = torch.Generator().manual_seed(seed + step)
    saved = elapsed
    sums = torch.zeros(3)
    count = 0
    target = out / "last.pt"

    def share_done() -> float:
        return step * batch / patches if patches else elapsed / (60 * minutes)

    if share_done() >= 1:
        raise AicError(f"{resume} has been trained for {elapsed / 60:.0f} minutes already")
    while (progress := share_done()) < 1:
        started = time.perf_counter()
        step += 1
        if objective == "paper":
            rate = loss.paper_learning_rate(step, crop * crop, crop * crop // 64)
        else:
            rate = learning_rate * _decay(progress, fresh) * min(1.0, step / WARM_UP_STEPS)
        settling = not fresh and progress < SETTLING
        for group, factor in zip(
            optimiser.param_groups, (SETTLING_RATE, 0.0) if settling else (1.0, 1.0), strict=True
        ):
            group["lr"] = factor * rate
        set_quantised(model, not fresh or progress > QUANTISED_FROM)
        x = data.wear(data.sample(crops, batch, crop, generator), WORN, generator)
        x = x.contiguous(memory_format=torch.channels_last)
        u = data.rate_parameters(batch, generator).to(device)
        real = objective == "rd" and (not fresh or progress > REAL_FROM)
        value, figures = _step(model.train(), x, u, objective, real)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _average(average, model, min(AVERAGING, step / (step + 10)))
        sums += torch.cat([value.detach().cpu()[None], figures.cpu()])
        count += 1
        elapsed += min(time.perf_counter() - started, STEP_LIMIT_S)
        done = share_done() >= 1
        if elapsed - saved >= CHECKPOINT_EVERY_S or done:
            saved = elapsed
            curve = validate.curve(average, held)
            row = {
                "step": step,
                "elapsed_s": round(elapsed, 1),
                "loss": sums[0].item() / count,
                "train_rate": sums[1].item() / count,
                "train_psnr": sums[2].item() / count,
                "learning_rate": rate,
                "rates": curve.rates,
                "level_rates": curve.level_rates,
                "psnrs": curve.psnrs,
                "ms_ssims": curve.ms_ssims,
                "bd_rate_jpeg": validate.bd_rate_of(anchor, curve),  # None: nothing in common
            }
            sums.zero_()
            count = 0
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            masses = None
            if done and model.config.expansion:
                chosen = crops[:: max(1, len(crops) // FIT_PICTURES)]
                masses = fit_masses(average, data.middle(chosen, VALIDATION_SIDE))
            save_checkpoint(target, model, average, optimiser, step, elapsed, fresh, masses)
            draw(out / "log.jsonl", out / "curves.png")
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


def set_quantised(model: Model, on: bool) -> None:
    """Switch every context model to integers, or to plain floats."""
    for part in model.modules():
        if isinstance(part, ContextModel):
            part.quantised = on


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


def _decay(progress: float, fresh: bool) -> float:
    """Return the learning rate at a share of the time, as a share of its peak."""
    if not fresh:
        peak, done = 1.0, progress
    elif progress < REAL_FROM:
        peak, done = 1.0, progress / REAL_FROM
    else:
        peak, done = 0.5, (progress - REAL_FROM) / (1 - REAL_FROM)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return peak * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)


def _step(model: Model, x: Tensor, u: Tensor, objective: str, real: bool) -> tuple[Tensor, Tensor]:
    """Return the loss and (rate, PSNR) of a batch."""
    native = multiplies_bfloat16(x.device.type)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=native):
        x_hat, rates, importance = model(x, u, real)
    if objective == "paper":
        value = loss.paper(x, x_hat, rates, importance, u)
    else:
        value = loss.rate_distortion(x, x_hat, rates, u, model.config.metric)
    bits = (rates.codes + rates.levels).mean() / x.shape[2] / x.shape[3]
    figures = torch.stack([bits, loss.psnr(x, x_hat).mean()])
    return value, figures.detach()


@torch.no_grad()
def _average(average: Model, model: Model, decay: float) -> None:
    """Move the average towards the model."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)

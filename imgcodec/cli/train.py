"""`aic train` and its options."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imgcodec import files
from imgcodec.cli.checks import check_apart, check_other
from imgcodec.cli.options import (
    FORCE,
    MACHINE,
    READ,
    READ_DIR,
    WRITE,
    WRITE_DIR,
    Number,
    combine,
    given,
)  # fmt: skip
from imgcodec.errors import AicError
from imgcodec.releases import TUNES
from imgcodec.train.schedule import LEARNING_RATE

EXPORTING = ("target", "resume", "data", "force")  # parameters that --export goes with
TRAINING = combine(
    click.option(
        "--data", type=READ_DIR, metavar="DIR", help="Folder of the training pictures' tar files."
    ),
    click.option(
        "--out", type=WRITE_DIR, metavar="DIR", help="Folder for checkpoints, log and curves."
    ),
    click.option(
        "--minutes",
        type=Number(525600),
        default=150.0,
        show_default=True,
        metavar="M",
        help="Training time in minutes, that of a resumed run included.",
    ),
    click.option(
        "--seconds",
        type=Number(31536000),
        metavar="S",
        help="How long the command may take, in place of --minutes: start, validation and "
        "checkpoints included, as on a rented GPU.",
    ),
    click.option(
        "--half",
        is_flag=True,
        help="Write small checkpoints, to export or to start from but not to resume.",
    ),
    click.option("--resume", type=READ, metavar="FILE", help="Checkpoint to go on from."),
    click.option(
        "--start",
        type=READ,
        metavar="FILE",
        help="Checkpoint or weights file that a new run starts from.",
    ),
    click.option(
        "--only",
        type=click.Choice(["contexts"]),
        help="What learns of --start: the context models alone. What a decoder makes of latents "
        "stays as it is. A resumed run keeps its own.",
    ),
    click.option(
        "--loss",
        "objective",
        type=click.Choice(["rd", "paper"]),
        default="rd",
        show_default=True,
        help="Rate and distortion, or the loss and schedule of the paper.",
    ),
    click.option(
        "--config",
        type=click.Choice(["aic", "paper"]),
        help="Sizes of the networks: as in the shipped weights, or as in the paper. Without it, "
        "a run has those of --start or --resume, and a new one those of the shipped weights.",
    ),
    click.option(
        "tunes",
        "--tune",
        type=click.Choice(TUNES),
        multiple=True,
        default=["psnr"],
        show_default=True,
        help="Which quality a new run of --loss rd aims at: pixel values, structure, or what "
        "people see; ms-ssim and eye need --crop 168 or more. Several are trained side by side, "
        "each in a folder of --out.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Start of the random numbers.",
    ),
    click.option(
        "--batch",
        type=click.IntRange(1, 4096),
        default=8,
        show_default=True,
        metavar="N",
        help="Crops a step.",
    ),
    click.option(
        "--crop",
        type=click.IntRange(64, 512),
        default=128,
        show_default=True,
        metavar="PX",
        help="Side of a crop in pixels, a multiple of 8.",
    ),
    click.option(
        "--final-crop",
        type=click.IntRange(64, 512),
        metavar="PX",
        help="The same for the last quarter of the time, in which a step has as many pixels, "
        "and with --loss rd the learning rate begins anew.",
    ),
    click.option(
        "--pages",
        type=Number(0.9, above=False),
        default=0.1,
        show_default=True,
        metavar="SHARE",
        help="Share of rendered pages (text, tables, charts, screens) among the pictures.",
    ),
    click.option(
        "--learning-rate",
        type=Number(1),
        default=LEARNING_RATE,
        show_default=True,
        metavar="RATE",
        help="Peak learning rate of --loss rd.",
    ),
    click.option(
        "--export",
        "target",
        type=WRITE,
        metavar="FILE.safetensors",
        help="Do not train: freeze the weights of the --resume checkpoint into this file; with "
        "--data, fit the table of a checkpoint that --seconds left unfinished.",
    ),
)


@click.command()
@TRAINING
@MACHINE
@FORCE
def train(
    data: Path | None, out: Path | None, resume: Path | None, start: Path | None,
    target: Path | None, config: str | None, tunes: tuple[str, ...], device: str, force: bool,
    **settings: Any,
) -> None:  # fmt: skip
    """Train weights, or export those of a checkpoint."""
    begun = time.perf_counter()  # torch, which is loaded below, takes seconds
    if target is not None:
        _export(resume, target, data, force)
        return
    tunes = tuple(dict.fromkeys(tunes))
    if data is None or out is None:
        raise click.UsageError("--data and --out are needed to train")
    _check_usage(resume, start, config, tunes, **settings)
    # before torch, which swallows a Ctrl-C while it loads it, and leaves half of it
    import numpy as np  # noqa: F401

    for folder in [out] if len(tunes) == 1 else [out / tune for tune in tunes]:
        _check_run(folder, resume, start, force)
    if resume is not None:
        _check_resumed(resume, settings["objective"], config, tunes)
    from imgcodec.model import ModelConfig
    from imgcodec.perceptual.distortion import METRIC_OF_TUNE
    from imgcodec.runtime.device import chosen
    from imgcodec.train.checkpoint import load_start
    from imgcodec.train.loop import train as run

    device = chosen(device)
    own = load_start(start).config if start is not None and config is None else ModelConfig()
    sizes = {tune: replace(own, metric=METRIC_OF_TUNE[tune]) for tune in tunes}
    if len(sizes) == 1:
        sizes = {".": ModelConfig.paper() if config == "paper" else sizes[tunes[0]]}
    with _bar() as told:
        written = run(
            data, out, resume=resume, start=start, device=device, configs=sizes, told=told,
            begun=begun, **settings,
        )  # fmt: skip
    for path in written:
        click.echo(path)


def _export(resume: Path | None, target: Path, data: Path | None, force: bool) -> None:
    """Freeze the weights of a checkpoint into a file."""
    if resume is None:
        raise click.UsageError("--export goes with --resume")
    for name, option in given().items():
        if name not in EXPORTING:
            raise click.UsageError(f"{option} does not go with --export")
    check_apart(resume, target)
    check_other(target, force)
    from imgcodec.train.export import export

    export(resume, target, data)


def _check_usage(
    resume: Path | None, start: Path | None, config: str | None, tunes: tuple[str, ...],
    only: str | None, objective: str, seconds: float | None, crop: int, final_crop: int | None,
    **_: Any,
) -> None:  # fmt: skip
    """Refuse options that contradict each other."""
    asked = given()
    as_paper = objective == "paper"
    for wrong, why in (
        (resume and start, "--resume and --start exclude each other"),
        (only and not start, "--only goes with --start"),
        (only and as_paper, "--only and --loss paper exclude each other"),
        (seconds and resume, "--seconds and --resume exclude each other"),
        (seconds and "minutes" in asked, "--seconds and --minutes exclude each other"),
        (
            as_paper and "learning_rate" in asked,
            "--learning-rate and --loss paper exclude each other",
        ),
        (as_paper and "tunes" in asked, "--tune and --loss paper exclude each other"),
        (tunes[1:] and resume, "several --tune and --resume exclude each other"),
        (tunes[1:] and config == "paper", "several --tune and --config paper exclude each other"),
        (config == "paper" and "tunes" in asked, "--tune and --config paper exclude each other"),
        (crop % 8, f"--crop {crop} is not a multiple of 8"),
        (final_crop and final_crop % 8, f"--final-crop {final_crop} is not a multiple of 8"),
    ):
        if wrong:
            raise click.UsageError(why)


@contextmanager
def _bar() -> Iterator[Callable[[float, int], None]]:
    """Yield what shows on a terminal how much of a run is done, and after how many steps.

    What the run warns of stands above, a line each.
    """
    from tqdm import tqdm

    with (
        tqdm(
            total=1.0,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            disable=not sys.stderr.isatty(),
        ) as bar,
        warnings.catch_warnings(),
    ):

        def shown(message: Warning | str, *_: Any) -> None:
            with tqdm.external_write_mode(sys.stderr):
                click.echo(" ".join(str(message).split()), err=True)

        warnings.showwarning = shown  # type: ignore[assignment]

        def told(share: float, step: int) -> None:
            bar.set_postfix_str(f"{step} steps", refresh=False)
            bar.update(min(share, 1.0) - bar.n)

        yield told


def _check_run(folder: Path, resume: Path | None, start: Path | None, force: bool) -> None:
    """Refuse to write over what another run left, and over what this one starts from."""
    last = folder / "last.pt"
    own = resume is not None and last.exists() and last.samefile(resume)
    for path in (last, folder / "log.jsonl", folder / "curves.png"):
        if start is not None:
            check_apart(start, path)
        if os.path.lexists(path) and not own and not force:
            raise AicError(f"{path}: exists, is of another run, and is kept without --force")
        if folder.exists():
            files.check_free(path, force=True)
        else:
            files.check_makeable(path)


def _check_resumed(
    resume: Path, objective: str, config: str | None, tunes: tuple[str, ...]
) -> None:
    """Refuse what is asked for and is not what a run that goes on was begun with."""
    asked = given().keys() & {"objective", "config", "tunes", "learning_rate"}
    if not asked:
        return
    from imgcodec.model import ModelConfig
    from imgcodec.perceptual.distortion import TUNE_OF_METRIC
    from imgcodec.train.checkpoint import load_checkpoint

    state = load_checkpoint(resume)
    own = ModelConfig(**state["config"])
    sizes = ModelConfig.paper() if config == "paper" else ModelConfig()
    if "objective" in asked and state.get("objective", objective) != objective:
        raise AicError(f"{resume}: was begun with another --loss, {state['objective']}")
    if "learning_rate" in asked and state.get("objective") == "paper":
        raise AicError(f"{resume}: was begun with --loss paper, which takes no --learning-rate")
    if "config" in asked and replace(own, metric=sizes.metric) != sizes:
        raise AicError(f"{resume}: was begun with other sizes than those of --config {config}")
    if "tunes" in asked and tunes != (TUNE_OF_METRIC[own.metric],):
        raise AicError(f"{resume}: was begun with another --tune, {TUNE_OF_METRIC[own.metric]}")

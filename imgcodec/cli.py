"""The command `aic`: options in, words out. What is slow to import, the commands import."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgcodec import __version__, files, options
from imgcodec.errors import AicError
from imgcodec.work import Decoding, Encoding, check_apart

if TYPE_CHECKING:
    from imgcodec.batch import Task

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it: 128 + SIGINT


class _Group(click.Group):
    """Shows an expected error as one line with exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except AicError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aic")
def main() -> None:
    """A learned image codec: small files of photographs, at the rate asked.

    Exit codes: 0 done, 1 refused (stderr says why), 2 wrong usage, 130 interrupted.
    """


@main.command(epilog=options.ENCODE_EXAMPLES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT.aic")
@options.TARGET
@options.ROI
@options.TUNE
@options.EFFORT
@options.TILE
@options.ALPHA
@options.METADATA
@options.STRICT
@options.ENTROPY
@options.JOBS
@options.MACHINE
@options.FORCE
@options.VERBOSE
@options.QUIET
def encode(source: str, target: str, jobs: int, quiet: bool, **settings: Any) -> None:
    """Compress the picture IN to OUT.aic.

    IN is of any format that Pillow opens; 8-bit RGB and grey are coded, what lies beyond is
    reduced to them with a warning. With the extra "geo", a GeoTIFF is read piece by piece, and its
    georeference kept. At most one of --rate, --size, --quality, --psnr and --ms-ssim is given.

    IN may be a folder or a quoted pattern like "**/*.png", and OUT.aic the folder to write into:
    what is up to date is left alone. Either may be -, stdin or stdout.
    """
    from imgcodec.target import KINDS

    goal = {kind: settings.pop(kind) for kind in KINDS}
    if sum(value is not None for value in goal.values()) > 1:
        raise click.UsageError(
            "only one of --rate, --size, --quality, --psnr and --ms-ssim can be reached"
        )
    settings["threads"] = _threads(settings["threads"], jobs)
    work = Encoding(goal=goal, warn=partial(_warn, quiet), **settings)
    _do(work, source, target, options.PICTURES, ".aic", jobs, quiet)


@main.command(epilog=options.DECODE_EXAMPLES)
@click.argument("source", metavar="IN.aic")
@click.argument("target", metavar="OUT")
@options.REGION
@options.KEEP_GOING
@options.MAX_RATE
@options.MAX_PIXELS
@options.ALPHA
@options.METADATA
@options.FORMAT
@options.JOBS
@options.MACHINE
@options.FORCE
@options.VERBOSE
@options.QUIET
def decode(source: str, target: str, suffix: str, jobs: int, quiet: bool, **settings: Any) -> None:
    """Decompress IN.aic to the picture OUT.

    The suffix of OUT names its format: .png, .tif, .ppm, .bmp, .webp, .jpg. As .ppm, and with the
    extra "geo" as .tif, too, a large picture is written piece by piece.

    IN.aic may be a folder or a quoted pattern, and OUT the folder to write into: what is up to
    date is left alone. Either may be -, stdin or stdout.
    """
    settings["threads"] = _threads(settings["threads"], jobs)
    work = Decoding(warn=partial(_warn, quiet), **settings)
    _do(work, source, target, (".aic",), f".{suffix}", jobs, quiet)


@main.command()
@click.argument("source", metavar="IN.aic", type=options.READ)
@click.argument("target", metavar="OUT.aic", type=options.WRITE)
@click.option(
    "--rate", type=options.RATE, required=True, metavar="BPP",
    help="Most bits per pixel that the new file may take.",
)  # fmt: skip
@options.MACHINE
@options.FORCE
@options.QUIET
def trim(
    source: Path, target: Path, rate: float,
    device: str, threads: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Make a smaller file OUT.aic of IN.aic, without the original picture."""
    check_apart(source, target)
    from imgcodec import container

    files.check_free(target, force)
    data = files.read_bytes(source)
    header, _, _ = container.unpack(data)  # a damaged file is refused before torch is loaded
    from imgcodec.codec import Codec
    from imgcodec.weights import find_id

    codec = Codec(device=device, threads=threads, weights=find_id(header.model_id))
    data, report = codec.trim_report(data, rate)
    files.write_bytes(target, data, force)
    if not quiet:
        click.echo(f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s")


@main.command(epilog=options.BENCH_EXAMPLES)
@click.argument("folder", metavar="DIR", type=options.READ_DIR)
@options.MEASURING
@options.EFFORT
@options.MACHINE
@options.FORCE
def bench(folder: Path, force: bool, quiet: bool, **settings: Any) -> None:
    """Measure size, quality and time of codecs on the pictures in DIR."""
    from imgcodec.bench.benchmark import Benchmark

    benchmark = Benchmark(folder=folder, force=force, quiet=quiet, **settings)
    interrupted = benchmark.measure()
    click.echo(benchmark.text())
    benchmark.write()
    if interrupted:
        raise KeyboardInterrupt
    if benchmark.failed:
        raise AicError(f"{benchmark.failed} of {len(benchmark.rows)} measurements failed")


@main.command()
@click.argument("source", metavar="FILE.aic", type=options.READ)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: Path, as_json: bool) -> None:
    """Check FILE.aic and show what it says about itself."""
    from imgcodec import container

    facts = container.info(files.read_bytes(source))
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name + ':':<10} {value if isinstance(value, str) else json.dumps(value)}")


@main.command()
@click.argument("source", metavar="FILE.aic", type=options.READ)
@click.argument("target", metavar="OUT", type=options.WRITE)
@options.MACHINE
@options.FORCE
def inspect(source: Path, target: Path, device: str, threads: int | None, force: bool) -> None:
    """Draw where the bits of FILE.aic went, over its picture, to the picture OUT.

    Above the importance map, below the bits of each place of 8x8 pixels, each with its scale.
    """
    check_apart(source, target)
    from imgcodec import container, image

    image.check_target(target, force)
    data = files.read_bytes(source)
    header, _, _ = container.unpack(data)
    from imgcodec.codec import Codec
    from imgcodec.heatmap import heatmap
    from imgcodec.weights import find_id

    codec = Codec(device=device, threads=threads, weights=find_id(header.model_id))
    levels, bits = codec.inspect(data)
    image.write_image(target, heatmap(codec.decode(data), levels, bits), force)
    used = max(0.0, 8 * len(data) - bits.sum()) / (header.width * header.height)
    click.echo(
        f"{target}: levels {levels.min():g}..{levels.max():g},"
        f" {bits.min() / 64:.3f}..{bits.max() / 64:.3f} bpp a place, {used:.4f} bpp besides"
    )


@main.command()
@options.TRAINING
@options.MACHINE
@options.FORCE
def train(
    data: Path | None, out: Path | None, resume: Path | None, start: Path | None,
    target: Path | None, config: str, tune: str, device: str, force: bool, **settings: Any,
) -> None:  # fmt: skip
    """Train weights, or export those of a checkpoint."""
    if target is not None:
        if resume is None or data is not None or out is not None:
            raise click.UsageError("--export goes with --resume, without --data and --out")
        check_apart(resume, target)
        files.check_free(target, force)
        from imgcodec.train.export import export

        export(resume, target)
        return
    if data is None or out is None:
        raise click.UsageError("--data and --out are needed to train")
    if resume is not None and start is not None:
        raise click.UsageError("--resume and --start exclude each other")
    import torch

    from imgcodec.model import ModelConfig
    from imgcodec.model.distortion import METRICS
    from imgcodec.train.loop import train as run

    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise AicError("no CUDA device found")
    device = "cuda" if device == "auto" and cuda else device.replace("auto", "cpu")
    sizes = ModelConfig.paper() if config == "paper" else ModelConfig(metric=METRICS[tune])
    click.echo(run(data, out, resume=resume, start=start, device=device, config=sizes, **settings))


def _do(
    work: Encoding | Decoding, source: str, target: str, suffixes: Sequence[str], suffix: str,
    jobs: int, quiet: bool,
) -> None:  # fmt: skip
    """Make one file of another, or many of many."""
    from imgcodec import batch

    if batch.is_many(source, target):
        _do_all(work, batch.tasks(source, target, suffixes, suffix), jobs, quiet)
        return
    if source != batch.PIPE:
        options.READ.convert(source, None, None)
    with batch.piped(source, target, suffix) as (task, told):
        warn = work.warn
        work.warn = lambda path, note: warn(Path(told(str(path))), note)
        line = told(work(*task))
    if not quiet:
        click.echo(line, err=target == batch.PIPE)


def _do_all(work: Encoding | Decoding, todo: Sequence[Task], jobs: int, quiet: bool) -> None:
    """Make many files, go on after one that fails, and end with a list of those."""
    from tqdm import tqdm

    from imgcodec import batch

    due = [task for task in todo if work.force or not batch.is_up_to_date(task)]
    failed = []
    with tqdm(total=len(due), unit="file", disable=quiet or not sys.stderr.isatty()) as bar:
        read = written = 0
        for outcome in batch.run(due, work, jobs):
            if outcome.line is None:
                failed.append(outcome)
            else:
                read += outcome.read
                written += outcome.written
                sizes = (tqdm.format_sizeof(size, "B") for size in (read, written))
                bar.set_postfix_str(" -> ".join(sizes), refresh=False)
                if not quiet:
                    bar.write(outcome.line)
            bar.update()
    if len(due) < len(todo) and not quiet:
        click.echo(f"{len(todo) - len(due)} files are up to date")
    for outcome in failed:
        source, error = str(outcome.task.source), outcome.error or ""
        click.echo(error if source in error else f"{source}: {error}", err=True)
    if failed:
        raise AicError(f"{len(failed)} of {len(todo)} files failed")


def _threads(threads: int | None, jobs: int) -> int | None:
    """Return how many CPU threads each of several jobs has."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def _warn(quiet: bool, path: Path, note: str) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(f"{path}: {note}", err=True)

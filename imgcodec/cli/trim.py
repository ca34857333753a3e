"""`aic trim`."""

from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli import streams
from imgcodec.cli.checks import check_apart, check_coded, naming
from imgcodec.cli.loading import load_codec
from imgcodec.cli.options import (
    FORCE,
    MACHINE,
    QUIET,
    RATE,
    READ_OR_STDIN,
    SIZE,
    WEIGHTS,
    WRITE_OR_STDOUT,
    max_pixels,
)  # fmt: skip
from imgcodec.errors import one_line
from imgcodec.format import container


@click.command()
@click.argument("source", metavar="IN.aic", type=READ_OR_STDIN)
@click.argument("target", metavar="OUT.aic", type=WRITE_OR_STDOUT)
@click.option(
    "--rate", type=RATE, metavar="BPP",
    help="Most bits per pixel that the new file may take. This or --size is needed.",
)  # fmt: skip
@click.option(
    "--size", type=SIZE, metavar="BYTES",
    help="Most bytes that it may take, like 150000 or 150k.",
)  # fmt: skip
@max_pixels()
@WEIGHTS
@MACHINE
@FORCE
@QUIET
def trim(
    source: str, target: str, rate: float | None, size: int | None, max_pixels: int,
    weights: Path | None, device: str, threads: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Make a smaller file OUT.aic of IN.aic, without the original picture.

    Either may be -, stdin or stdout.
    """
    if rate is None and size is None:
        raise click.UsageError("one of --rate and --size is needed")
    if rate is not None and size is not None:
        raise click.UsageError("--rate and --size exclude each other")
    with streams.as_files(source, target, ".aic", force) as (task, told):
        check_apart(task.source, task.target)
        check_coded(task.target, force)
        data = files.read_bytes(task.source)
        with naming(task.source, task.target):
            header, _, _ = container.unpack(data)  # damage is refused before torch is loaded
            container.check_pixels(header.width, header.height, max_pixels)
            codec = load_codec(header.needs, weights, device=device, threads=threads)
            made = codec.trim(data, rate, size)
        files.write_bytes(task.target, made, force)
        bpp, seconds = made.report.bpp, made.report.total_s
        line = told(f"{task.target}: {len(made)} bytes, {bpp:.4f} bpp, {seconds:.2f} s")
    if not quiet:
        click.echo(one_line(line), err=target == streams.PIPE)

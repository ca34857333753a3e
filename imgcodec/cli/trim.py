"""`aic trim`."""

from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli.checks import check_apart, check_coded, naming
from imgcodec.cli.loading import load_codec
from imgcodec.cli.options import (
    FORCE,
    MACHINE,
    QUIET,
    RATE,
    READ,
    SIZE,
    WEIGHTS,
    WRITE,
    max_pixels,
)  # fmt: skip


@click.command()
@click.argument("source", metavar="IN.aic", type=READ)
@click.argument("target", metavar="OUT.aic", type=WRITE)
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
    source: Path, target: Path, rate: float | None, size: int | None, max_pixels: int,
    weights: Path | None, device: str, threads: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Make a smaller file OUT.aic of IN.aic, without the original picture."""
    if (rate is None) == (size is None):
        raise click.UsageError("one of --rate and --size is needed")
    check_apart(source, target)
    from imgcodec.format import container

    check_coded(target, force)
    data = files.read_bytes(source)
    with naming(source, target):
        header, _, _ = container.unpack(data)  # a damaged file is refused before torch is loaded
        container.check_pixels(header.width, header.height, max_pixels)
        codec = load_codec(header.needs, weights, device=device, threads=threads)
        made = codec.trim(data, rate, size)
    files.write_bytes(target, made, force)
    if not quiet:
        click.echo(
            f"{target}: {len(made)} bytes, {made.report.bpp:.4f} bpp, {made.report.total_s:.2f} s"
        )

"""`aic inspect`."""

from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli import streams
from imgcodec.cli.checks import check_apart, naming
from imgcodec.cli.loading import load_codec
from imgcodec.cli.options import (
    FORCE,
    HELD_PIXELS,
    MACHINE,
    READ_OR_STDIN,
    WEIGHTS,
    WRITE_OR_STDOUT,
    max_pixels,
)  # fmt: skip
from imgcodec.errors import one_line
from imgcodec.format import container


@click.command()
@click.argument("source", metavar="FILE.aic", type=READ_OR_STDIN)
@click.argument("target", metavar="OUT", type=WRITE_OR_STDOUT)
@max_pixels(HELD_PIXELS)
@WEIGHTS
@MACHINE
@FORCE
def inspect(
    source: str, target: str, max_pixels: int, weights: Path | None,
    device: str, threads: int | None, force: bool,
) -> None:  # fmt: skip
    """Draw where the bits of FILE.aic went, over its picture, to the picture OUT.

    Above the importance map, below the bits of each place of 8x8 pixels, each with its scale.
    Either may be -, stdin or stdout, which gets a PNG file.
    """
    with streams.as_files(source, target, ".png", force) as (task, told):
        check_apart(task.source, task.target)
        from imgcodec.pictures import writer
        from imgcodec.pictures.heatmap import heatmap

        writer.check_target(task.target, force)
        data = files.read_bytes(task.source)
        with naming(task.source, task.target):
            header, _, _ = container.unpack(data)
            container.check_pixels(header.width, header.height, max_pixels)
            codec = load_codec(header.needs, weights, device=device, threads=threads)
            levels, bits = codec.inspect(data)
            writer.write_image(task.target, heatmap(codec.decode(data), levels, bits), force)
        used = max(0.0, 8 * len(data) - bits.sum()) / header.num_pixels
        line = told(
            f"{task.target}: levels {levels.min():g}..{levels.max():g},"
            f" {bits.min() / 64:.3f}..{bits.max() / 64:.3f} bpp a place, {used:.4f} bpp besides"
        )
    click.echo(one_line(line), err=target == streams.PIPE)

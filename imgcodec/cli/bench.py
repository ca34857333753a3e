"""`aic bench` and its options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from imgcodec.bench import COMCNN, COMPRESSAI, PEERS, RESTORED, SLOW_METRICS
from imgcodec.cli.checks import check_apart, check_other
from imgcodec.cli.options import (
    EFFORT,
    FORCE,
    HELD_PIXELS,
    MACHINE,
    RATE,
    READ_AGAIN,
    READ_DIR,
    WRITE,
    WRITE_DIR,
    Number,
    combine,
    given,
    max_pixels,
)  # fmt: skip
from imgcodec.cli.process import warn
from imgcodec.errors import AicError, one_line
from imgcodec.releases import DEFAULT_TUNE, TUNES

BENCH_EXAMPLES = """
\b
Examples:
  aic bench photos/ --csv results.csv
  aic bench photos/ --codec aic --codec jpeg --codec avif --report report/
  aic bench photos/ --tune psnr --tune ms-ssim --rate 0.25 --rate 0.5
  aic bench photos/ --codec aic --codec avif-iq --tune eye --metric ssimulacra2 --metric cvvdp
"""
CODECS = ("aic", RESTORED, COMCNN, *PEERS)
# options that mean nothing to other codecs
OF_AIC = ("qualities", "tunes", "weights", "effort", "device")


class _CodecName(click.ParamType):  # type: ignore[type-arg]
    """A codec that `aic bench` knows."""

    name = "codec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse other names."""
        name = str(value)
        if name not in CODECS and not name.startswith(COMPRESSAI):
            self.fail(f"{name!r} is not one of {', '.join(CODECS)}", param, ctx)
        return name


MEASURING = combine(
    click.option(
        "--codec",
        "codecs",
        type=_CodecName(),
        default=("aic",),
        multiple=True,
        show_default=True,
        metavar="NAME",
        help=f"What is measured; repeat the option for several: "
        f"{', '.join(CODECS)} (the last two need the extra peers), or "
        "compressai:MODEL where that is installed.",
    ),
    click.option(
        "--rate",
        "rates",
        type=RATE,
        default=(0.1, 0.25, 0.5, 1.0),
        multiple=True,
        show_default=True,
        metavar="BPP",
        help="Bits per pixel for aic; repeat the option for several rates. The others sweep "
        "their own qualities.",
    ),
    click.option(
        "--quality",
        "qualities",
        type=Number(100, above=False),
        multiple=True,
        metavar="0..100",
        help="Qualities for aic besides, as aic-eye-quality; repeat the option for several. One "
        "for all pictures is how most of the others are measured.",
    ),
    click.option(
        "--tune",
        "tunes",
        type=click.Choice(TUNES),
        multiple=True,
        show_default=f"{DEFAULT_TUNE} where no --weights are given",
        help="Released weights of aic; repeat the option for several.",
    ),
    click.option(
        "--weights",
        "weights",
        type=READ_AGAIN,
        multiple=True,
        metavar="FILE.safetensors",
        help="Weights of one's own for aic; repeat the option for several.",
    ),
    click.option(
        "--repeat",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        metavar="N",
        help="Times that each file is written and read; the median time counts.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        metavar="N",
        help="Pictures at once; times are then those of a busy machine.",
    ),
    click.option(
        "--metric",
        "metrics",
        type=click.Choice(SLOW_METRICS),
        multiple=True,
        help="Measure this besides PSNR and MS-SSIM; repeat the option for several.",
    ),
    click.option("--ssimulacra2", is_flag=True, help="The same as --metric ssimulacra2."),
    click.option(
        "--commands",
        is_flag=True,
        help="Time whole commands on the first picture, too, those of the peers where they are "
        "installed.",
    ),
    click.option("--csv", "csv_file", type=WRITE, metavar="FILE", help="Write the rows."),
    click.option(
        "--json",
        "json_file",
        type=WRITE,
        metavar="FILE",
        help="Write all that was found, and the machine; docs/bench.md explains it.",
    ),
    click.option(
        "--plot",
        "plot_file",
        type=WRITE,
        metavar="FILE",
        help="Draw the rate-distortion curves, .png or .svg; needs the extra plot.",
    ),
    click.option(
        "--report",
        "report_dir",
        type=WRITE_DIR,
        metavar="DIR",
        help="Write a web page with tables, curves and a viewer, for a browser without network.",
    ),
    click.option(
        "--cache",
        "cache_dir",
        type=WRITE_DIR,
        default=None,
        show_default="~/.cache/aic/bench",
        metavar="DIR",
        help="Where rows are kept, and not measured again on the same machine.",
    ),
    click.option("--no-cache", is_flag=True, help="Measure everything, and keep nothing."),
    click.option("--quiet", is_flag=True, help="Show no progress on stderr."),
)


@click.command(epilog=BENCH_EXAMPLES)
@click.argument("folder", metavar="DIR", type=READ_DIR)
@MEASURING
@max_pixels(HELD_PIXELS)
@EFFORT
@MACHINE
@FORCE
def bench(
    folder: Path,
    force: bool,
    quiet: bool,
    metrics: tuple[str, ...],
    ssimulacra2: bool,
    **settings: Any,
) -> None:
    """Measure size, quality and time of codecs on the pictures in DIR."""
    _check_options(settings["codecs"])
    from imgcodec.bench.benchmark import Benchmark
    from imgcodec.bench.measure import find_pictures

    for target in (settings["csv_file"], settings["json_file"]):
        if target is not None:
            check_other(target, force)
    targets = [settings[name] for name in ("csv_file", "json_file", "plot_file")]
    for source in (*find_pictures(folder), *settings["weights"]):
        for target in filter(None, targets):
            check_apart(source, target)
    asked = (*metrics, *["ssimulacra2"] * ssimulacra2)
    settings["metrics"] = tuple(metric for metric in SLOW_METRICS if metric in asked)
    command = shlex.join(["aic", *sys.argv[1:]])
    benchmark = Benchmark(folder=folder, command=command, force=force, quiet=quiet, **settings)
    try:
        ended = benchmark.measure()
        try:
            click.echo(benchmark.text(one_line))
        finally:  # files have what stdout has no room for
            benchmark.write()
    finally:
        benchmark.tidy()
    if benchmark.note:
        warn(quiet, folder, benchmark.note)
    failed = "; ".join(benchmark.failed)
    if ended is not None:
        if failed:
            click.echo(one_line(failed), err=True)
        raise ended
    if failed:
        raise AicError(failed)


def _check_options(codecs: tuple[str, ...]) -> None:
    """Refuse options that mean nothing beside the others."""
    asked = given()
    if "aic" not in codecs and (names := [asked[name] for name in OF_AIC if name in asked]):
        raise click.UsageError(f"{names[0]} means nothing without --codec aic")
    if "cache_dir" in asked and "no_cache" in asked:
        raise click.UsageError("--cache says where rows are kept, --no-cache that none are")

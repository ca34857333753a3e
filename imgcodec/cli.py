"""The command `aic`: options in, words out. What is slow to import, the commands import."""

from __future__ import annotations

import json
import math
import mmap
from functools import partial
from pathlib import Path
from typing import Any

import click

from imgcodec import __version__, options
from imgcodec.errors import AicError

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


@main.command()
@click.argument("source", metavar="IN", type=options.READ)
@click.argument("target", metavar="OUT.aic", type=options.WRITE)
@options.TARGET
@options.ROI
@options.TUNE
@options.EFFORT
@options.TILE
@options.ALPHA
@options.METADATA
@options.STRICT
@options.ENTROPY
@options.MACHINE
@options.FORCE
@options.QUIET
def encode(
    source: Path, target: Path, rate: float | None, size: int | None, quality: float | None,
    psnr: float | None, ms_ssim: float | None, roi: options.RoiWords | None, tune: str,
    effort: int, tile: int | None,
    alpha: str, metadata: tuple[str, ...], strict: bool, entropy: str, device: str,
    threads: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Compress the picture IN to OUT.aic.

    IN is of any format that Pillow opens; 8-bit RGB and grey are coded, what lies beyond is
    reduced to them with a warning. With the extra "geo", a GeoTIFF is read piece by piece, and its
    georeference kept. At most one of --rate, --size, --quality, --psnr and --ms-ssim is given.
    """
    goal: dict[str, Any] = {
        "rate": rate,
        "size": size,
        "quality": quality,
        "psnr": psnr,
        "ms_ssim": ms_ssim,
    }
    if sum(value is not None for value in goal.values()) > 1:
        raise click.UsageError(
            "only one of --rate, --size, --quality, --psnr and --ms-ssim can be reached"
        )
    _check_apart(source, target)
    from imgcodec import geo, image

    image.check_free(target, force)
    background = None if alpha in ("keep", "drop") else image.colour(alpha)
    picture: Any = geo.open_raster(source)
    if picture is None:
        picture = image.read_picture(source, strict)
        for note in picture.notes:
            _warn(source, note, quiet)
        picture = picture.keeping(metadata)
        if alpha != "keep":
            picture = picture.flattened(background)
    if roi is not None:
        goal["roi"] = image.read_roi(roi.mask, roi.box, roi.weight, picture.shape)
    from imgcodec.codec import Codec  # brings torch: only once the picture is known to be good

    codec = Codec(device=device, threads=threads, tune=tune)
    data, report = codec.encode_report(picture, entropy=entropy, effort=effort, tile=tile, **goal)
    image.write_bytes(target, data, force)
    if not quiet:
        line = f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s"
        limited = ""
        if report.limited:
            nearest = "is nearest to" if report.target.measured else "needs no more,"
            limited = f"; this picture {nearest} {report.target} asked"
        click.echo(line + limited)
        if roi is not None and isinstance(picture, image.Picture):
            inside, outside = goal["roi"].psnrs(picture.pixels, codec.decode(data))
            click.echo(f"{target}: PSNR {inside:.2f} dB inside the region, {outside:.2f} outside")


@main.command()
@click.argument("source", metavar="IN.aic", type=options.READ)
@click.argument("target", metavar="OUT", type=options.WRITE)
@options.REGION
@options.KEEP_GOING
@options.MAX_RATE
@options.MAX_PIXELS
@options.ALPHA
@options.METADATA
@options.MACHINE
@options.FORCE
@options.QUIET
def decode(
    source: Path, target: Path, region: tuple[int, ...] | None, keep_going: bool,
    max_rate: float | None, max_pixels: int, alpha: str, metadata: tuple[str, ...], device: str,
    threads: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Decompress IN.aic to the picture OUT.

    The suffix of OUT names its format: .png, .tif, .ppm, .bmp, .webp, .jpg. As .ppm, and with the
    extra "geo" as .tif, too, a large picture is written piece by piece.
    """
    _check_apart(source, target)
    from imgcodec import container

    data = _map(source)
    file = container.File(data)  # a damaged file is refused before anything large is loaded
    if not keep_going:
        file.check_length()
    from imgcodec import geo, image

    image.check_target(target, force)
    background = None if alpha in ("keep", "drop") else image.colour(alpha)
    if not keep_going and region is None:
        for number in range(file.num_tiles):
            file.tile(number)
    header = file.header
    from imgcodec.codec import Codec
    from imgcodec.metadata import Metadata
    from imgcodec.weights import find_id

    codec = Codec(device=device, threads=threads, weights=find_id(header.model_id))
    left, top, width, height = region or (0, 0, header.width, header.height)
    shape = height, width, header.channels
    georeference = dict(file.chunks).get(geo.CHUNK)
    kept = Metadata.of(file.chunks).only(metadata)
    plane = None if alpha == "drop" else image.alpha_of(file.chunks, header.height, header.width)
    if plane is not None:
        plane = plane[top : top + height, left : left + width]
        if background is None and not image.holds_alpha(target):
            raise AicError(
                f"{target}: cannot be transparent, as {source} is: --alpha drop or --alpha white"
            )
    lost = []
    if geo.has_writer(target) and (georeference is not None or plane is None and not kept):
        writing = geo.writing(target, *shape, georeference, (left, top), force)
        lost = ["transparency"] * (plane is not None) + kept.kinds
    else:
        writing = image.writing(target, *shape, force, plane, kept, background)
        lost = [] if image.holds_metadata(target) else kept.kinds
        lost += ["georeference (.tif and the extra geo have it)"] * (georeference is not None)
    if lost:
        _warn(target, f"without {', '.join(lost)}", quiet)
    with writing as take:
        report = codec.decode_rows(
            data, take, region, keep_going, max_rate or math.inf, max_pixels
        )
    if not quiet:
        click.echo(f"{target}: {width}x{height} pixels, {report.total_s:.2f} s")
    if report.damaged:
        reasons = "; ".join(report.damaged[number] for number in sorted(report.damaged))
        raise AicError(f"{source}: {len(report.damaged)} damaged tiles are filled in: {reasons}")


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
    _check_apart(source, target)
    from imgcodec import container, image

    image.check_free(target, force)
    data = _read(source)
    header, _, _ = container.unpack(data)  # a damaged file is refused before torch is loaded
    from imgcodec.codec import Codec
    from imgcodec.weights import find_id

    codec = Codec(device=device, threads=threads, weights=find_id(header.model_id))
    data, report = codec.trim_report(data, rate)
    image.write_bytes(target, data, force)
    if not quiet:
        click.echo(f"{target}: {len(data)} bytes, {report.bpp:.4f} bpp, {report.total_s:.2f} s")


@main.command()
@click.argument("folder", metavar="DIR", type=options.READ_DIR)
@options.MEASURING
@options.TUNE
@options.EFFORT
@options.MACHINE
@options.FORCE
def bench(
    folder: Path, rates: tuple[float, ...], repeat: int, csv_file: Path | None,
    json_file: Path | None, quiet: bool, tune: str, effort: int, device: str,
    threads: int | None, force: bool,
) -> None:  # fmt: skip
    """Measure size, quality and time on the pictures in DIR."""
    from imgcodec import bench, image

    for target in filter(None, (csv_file, json_file)):
        image.check_free(target, force)
    bench.find_pictures(folder)
    from tqdm import tqdm

    from imgcodec.codec import Codec

    codec = Codec(device=device, threads=threads, tune=tune)
    progress = partial(tqdm, unit="picture", disable=quiet)
    rows = bench.run(codec, folder, tuple(dict.fromkeys(rates)), repeat, progress, effort)
    means = bench.means(rows)
    click.echo(bench.table(rows, means))
    machine = bench.environment(codec)
    click.echo(f"{machine['gpu'] or machine['processor']}, {machine['threads']} CPU threads")
    if csv_file is not None:
        bench.to_csv(rows, csv_file)
    if json_file is not None:
        bench.to_json(rows, means, codec, json_file)
    failed = sum(bool(row.error) for row in rows)
    if failed:
        raise AicError(f"{failed} of {len(rows)} measurements failed")


@main.command()
@click.argument("source", metavar="FILE.aic", type=options.READ)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: Path, as_json: bool) -> None:
    """Check FILE.aic and show what it says about itself."""
    from imgcodec import container

    facts = container.info(_read(source))
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
    _check_apart(source, target)
    from imgcodec import container, image

    image.check_target(target, force)
    data = _read(source)
    header, _, _ = container.unpack(data)
    from imgcodec.codec import Codec
    from imgcodec.heatmap import heatmap
    from imgcodec.weights import find_id

    codec = Codec(device=device, threads=threads, weights=find_id(header.model_id))
    levels, bits = codec.inspect(data)
    image.write_image(target, heatmap(codec.decode(data), levels, bits), force)
    used = 8 * (len(data) - bits.sum() / 8) / (header.width * header.height)
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
        _check_apart(resume, target)
        from imgcodec.image import check_free

        check_free(target, force)
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


def _warn(path: Path, note: str, quiet: bool) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(f"{path}: {note}", err=True)


def _check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the input, whatever --force says."""
    if target.exists() and target.samefile(source):
        raise AicError(f"{target}: is input and output at once")


def _map(source: Path) -> bytes | mmap.mmap:
    """The bytes of a file, read only where they are looked at."""
    try:
        with source.open("rb") as file:
            empty = source.stat().st_size == 0  # which cannot be mapped
            return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise AicError(f"{source}: {error.strerror}") from error


def _read(source: Path) -> bytes:
    """The bytes of a file."""
    try:
        return source.read_bytes()
    except OSError as error:
        raise AicError(f"{source}: {error.strerror}") from error

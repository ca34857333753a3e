"""What commands on one file or many have in common: the codec, threads, warnings, results."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgcodec import files
from imgcodec.cli.options import READ
from imgcodec.cli.process import one_line
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.releases import needed
from imgcodec.runtime.forks import Lock
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    from imgcodec.cli.decode import Decoding
    from imgcodec.cli.encode import Encoding
    from imgcodec.cli.pack import Packing, Unpacking
    from imgcodec.cli.targets import Listing
    from imgcodec.codec import Codec

Warn = Callable[[Path, str], None]

LOCK = Lock()


@stage("load")
def load_codec(
    model_id: bytes | None = None, weights: Path | None = None, **settings: Any
) -> Codec:
    """Return a new codec, for the weights that a file names or some of one's own; it brings torch.

    The garbage collector would walk all that torch is made of while it loads and once more at
    the end: a third of the time of a short command.
    """
    gc.disable()
    try:
        if model_id is not None and weights is None:
            weights = needed(model_id).path
        from imgcodec.codec import Codec

        return Codec(weights=weights, **settings)
    finally:
        gc.freeze()
        gc.enable()


def details(data: bytes | mmap.mmap, codec: Codec, stages: dict[str, float]) -> str:
    """Return lines on what a file holds and what took how long."""
    file = container.File(data)
    rows, columns = file.header.grid
    edge = f", {file.header.edge} pixels a side" if file.header.edge else ""
    overhead = container.overhead_bytes(file.num_tiles)
    chunks = container.overhead_bytes(file.num_tiles, file.chunks) - overhead
    names = " ".join(kind.decode("ascii") for kind, _ in file.chunks)
    return (
        f"\n  tiles: {rows} x {columns}{edge}; header and index {overhead} bytes,"
        f" chunks {chunks} {names}".rstrip()
        + f"\n  weights {file.header.model_id.hex()} on {codec.where}"
        + f"\n  {', '.join(f'{name} {seconds:.2f} s' for name, seconds in stages.items())}"
    )


def check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the input, whatever --force says."""
    with suppress(OSError):  # told where they are opened
        if target.samefile(source):
            raise AicError(f"{target}: is input and output at once")


def check_coded(target: Path, force: bool) -> None:
    """Refuse an .aic file that could not be written, or would stand where pictures do."""
    for name in (target, Path(os.path.realpath(target))):  # which may be a link
        if name.suffix.lower() != ".aic":
            raise AicError(f"{name}: suffix {name.suffix!r} is not .aic")
    files.check_free(target, force)


def run(
    work: Encoding | Decoding | Packing | Unpacking, sources: Sequence[str], target: str,
    suffixes: Sequence[str], suffix: str, force: bool, jobs: int, quiet: bool,
) -> None:  # fmt: skip
    """Make one file of another, or many of many."""
    from imgcodec.cli import streams, targets

    if not sources:
        raise click.UsageError("Missing argument: a file that is read, and one that is written.")
    if streams.PIPE not in (*sources, target) and targets.is_many(sources, target):
        _run_all(work, targets.find(sources, target, suffixes, suffix, force), jobs, quiet)
        return
    if len(sources) > 1:
        raise click.UsageError(f"{streams.PIPE} is a single file, and others cannot go with it.")
    source = sources[0]
    if source != streams.PIPE:
        READ.convert(source, None, None)
    with streams.as_files(source, target, suffix, force) as (task, told):
        warn = work.warn
        work.warn = lambda path, note: warn(Path(told(str(path))), note)
        line = told(work(task))
    if not quiet:
        click.echo(line, err=target == streams.PIPE)


def _run_all(
    work: Encoding | Decoding | Packing | Unpacking, listing: Listing, jobs: int, quiet: bool
) -> None:
    """Make many files, go on after one that fails, and end with a list of those."""
    from tqdm import tqdm

    from imgcodec.cli import batch

    for path, note in listing.notes:
        work.warn(path, note)
    failed = list(listing.failed)
    due = []
    num_current = 0
    for asked in listing.tasks:
        try:
            task = batch.as_due(asked, work)
        except AicError as error:
            failed.append((asked.source, str(error)))
            continue
        num_current += task is None
        due += [] if task is None else [task]
    with tqdm(total=len(due), unit="file", disable=quiet or not sys.stderr.isatty()) as bar:
        read = written = 0
        for outcome in batch.run(due, work, jobs):
            if outcome.line is None:
                failed.append((outcome.task.source, outcome.error or ""))
            else:
                read += outcome.read
                written += outcome.written
                sizes = (tqdm.format_sizeof(size, "B") for size in (read, written))
                bar.set_postfix_str(" -> ".join(sizes), refresh=False)
                if not quiet:
                    bar.write(outcome.line)
            bar.update()
    if num_current and not quiet:
        click.echo(f"{num_current} files are up to date")
    for path, why in failed:
        click.echo(one_line(why if str(path) in why else f"{path}: {why}"), err=True)
    if failed:
        num_files = len(listing.tasks) + len(listing.failed)
        raise AicError(f"{len(failed)} of {num_files} files failed")


def threads_of(threads: int | None, jobs: int) -> int | None:
    """Return how many CPU threads each of several jobs has."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def warn(quiet: bool, path: Path, note: str) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(one_line(f"{path}: {note}"), err=True)

"""What commands on one file or many have in common: the codec, threads, warnings, results."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgcodec.cli.options import READ
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.runtime.forks import Lock
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    from imgcodec.cli.batch import Task
    from imgcodec.cli.decode import Decoding
    from imgcodec.cli.encode import Encoding
    from imgcodec.codec import Codec

Warn = Callable[[Path, str], None]

LOCK = Lock()


@stage("load")
def load_codec(model_id: bytes | None = None, **settings: Any) -> Codec:
    """Return a new codec; it brings torch.

    The garbage collector would walk all that torch is made of while it loads and once more at
    the end: a third of the time of a short command.
    """
    gc.disable()
    try:
        from imgcodec.codec import Codec
        from imgcodec.weights import find_id

        weights = None if model_id is None else find_id(model_id)
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
    if target.exists() and target.samefile(source):
        raise AicError(f"{target}: is input and output at once")


def run(
    work: Encoding | Decoding, source: str, target: str, suffixes: Sequence[str], suffix: str,
    jobs: int, quiet: bool,
) -> None:  # fmt: skip
    """Make one file of another, or many of many."""
    from imgcodec.cli import batch

    if batch.is_many(source, target):
        _run_all(work, batch.tasks(source, target, suffixes, suffix), jobs, quiet)
        return
    if source != batch.PIPE:
        READ.convert(source, None, None)
    with batch.piped(source, target, suffix) as (task, told):
        warn = work.warn
        work.warn = lambda path, note: warn(Path(told(str(path))), note)
        line = told(work(*task))
    if not quiet:
        click.echo(line, err=target == batch.PIPE)


def _run_all(work: Encoding | Decoding, todo: Sequence[Task], jobs: int, quiet: bool) -> None:
    """Make many files, go on after one that fails, and end with a list of those."""
    from tqdm import tqdm

    from imgcodec.cli import batch

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


def threads_of(threads: int | None, jobs: int) -> int | None:
    """Return how many CPU threads each of several jobs has."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def warn(quiet: bool, path: Path, note: str) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(f"{path}: {note}", err=True)

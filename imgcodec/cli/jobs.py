"""What commands on one file or many have in common: the codec, threads, warnings, results."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from imgcodec import files
from imgcodec.cli.options import PICTURES, READ
from imgcodec.cli.process import enough_memory, escaped, one_line
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.releases import needed
from imgcodec.runtime.forks import Lock
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    from imgcodec.cli.batch import Outcome
    from imgcodec.cli.cluster import Row
    from imgcodec.cli.decode import Decoding
    from imgcodec.cli.encoding import Encoding
    from imgcodec.cli.into import IntoJpeg
    from imgcodec.cli.pack import Packing, Unpacking
    from imgcodec.cli.restore import Restoring
    from imgcodec.cli.targets import Listing, Place, Task
    from imgcodec.codec import Codec

    AnyWork: TypeAlias = Encoding | Decoding | IntoJpeg | Packing | Unpacking | Restoring

Warn = Callable[[Any, str], None]  # of a path or a URL

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
        import_torch()
        from imgcodec.codec import Codec

        return Codec(weights=weights, **settings)
    finally:
        gc.freeze()
        gc.enable()


def details(data: bytes | mmap.mmap, codec: Codec, stages: dict[str, float]) -> str:
    """Return lines on what a file holds and what took how long."""
    file = container.File(data)
    lossless = file.header.lossless
    rows, columns = file.header.grid
    edge = f", {file.header.edge} pixels a side" if file.header.edge else ""
    overhead = container.overhead_bytes(file.num_tiles)
    chunks = container.overhead_bytes(file.num_tiles, file.chunks) - overhead
    names = " ".join(kind.decode("ascii") for kind, _ in file.chunks)
    return (
        f"\n  tiles: {rows} x {columns}{edge}; header and index {overhead} bytes,"
        f" chunks {chunks} {names}".rstrip()
        + ("" if lossless else f"\n  weights {file.header.model_id.hex()} on {codec.where}")
        + f"\n  {', '.join(f'{name} {seconds:.2f} s' for name, seconds in stages.items())}"
    )


def keep_older(work: object, task: Task, outdated: bool) -> bool:
    """See `batch.Work.is_due`: an older target may be what its source was made of."""
    if outdated:
        raise AicError(f"{task.target}: exists, is older, and is kept without --force")
    return False


def check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the input, whatever --force says."""
    with suppress(OSError):  # told where they are opened
        if target.samefile(source):
            raise AicError(f"{target}: is input and output at once")


def check_coded(target: Path, force: bool) -> None:
    """Refuse an .aic file that could not be written, or would stand where pictures do."""
    for name in (target, Path(os.path.realpath(target))):  # which may be a link
        if name.suffix.lower() != ".aic":
            jpeg = name.suffix.lower() in (".jpg", ".jpeg")
            way_out = "; aic encode --into jpeg makes JPEG files" * jpeg
            raise AicError(f"{name}: suffix {name.suffix!r} is not .aic{way_out}")
    files.check_free(target, force)


def check_other(target: Path, force: bool, own: Collection[str] = ()) -> None:
    """Refuse a file that could not be written, or whose name is that of a picture or .aic file.

    Args:
        target: to be written.
        force: whether an existing one is replaced.
        own: suffixes that it may have all the same.
    """
    for name in (target, Path(os.path.realpath(target))):
        suffix = name.suffix.lower()
        if suffix in (".aic", *PICTURES) and suffix not in own:
            raise AicError(f"{name}: suffix {name.suffix!r} is that of another kind of file")
    files.check_free(target, force)


@contextmanager
def naming(source: Path, target: Path) -> Iterator[None]:
    """Put the name of the input before refusals that name no file."""
    try:
        yield
    except AicError as error:
        if any(str(path) in str(error) for path in (source, target)):
            raise
        raise AicError(f"{source}: {error}") from error


def run(
    work: AnyWork, sources: Sequence[str], target: str,
    suffixes: Sequence[str], suffix: str, force: bool, jobs: int, quiet: bool,
    dry: bool = False, cluster: str | None = None, report: Path | None = None,
) -> None:  # fmt: skip
    """Make one file of another, or many of many.

    Args:
        work: what is done with each.
        sources: words that say of which.
        target: the file to write, or the folder.
        suffixes: see `targets.find`.
        suffix: see `targets.find`.
        force: whether existing files are replaced.
        jobs: how many files are worked on at a time.
        quiet: whether only errors are told.
        dry: say only what would be made.
        cluster: the address of what does it in our place, see `cluster.connected`.
        report: a CSV file to be written of that.
    """
    from imgcodec.cli import places, streams, targets

    if not sources:
        raise click.UsageError("Missing argument: a file that is read, and one that is written.")
    if report is not None and cluster is None:
        raise click.UsageError("--report is for --cluster.")
    if cluster is not None:
        if dry or streams.PIPE in (*sources, target):
            raise click.UsageError("--cluster makes files of files: no pipes, no --dry-run.")
        words = [places.plain(word) for word in (*sources, target)]
        listing = targets.find(words[:-1], words[-1], suffixes, suffix, force)
        _run_on_cluster(work, listing, cluster, jobs, quiet, report)
        return
    for word in (*sources, target):
        if places.is_url(word):
            raise AicError(f"{word}: URLs need --cluster, --cluster local on one machine")
    if streams.PIPE not in (*sources, target) and targets.is_many(sources, target):
        _run_all(work, targets.find(sources, target, suffixes, suffix, force), jobs, quiet, dry)
        return
    if len(sources) > 1:
        raise click.UsageError(f"{streams.PIPE} is a single file, and others cannot go with it.")
    if dry and target == streams.PIPE:
        raise click.UsageError("--dry-run writes nothing, to stdout neither.")
    source = sources[0]
    if source != streams.PIPE:
        READ.convert(source, None, None)
    with streams.as_files(source, target, suffix, force) as (task, told):
        warn = work.warn
        work.warn = lambda path, note: warn(Path(told(str(path))), note)
        if dry:
            check_apart(task.source, task.target)
            check_coded(task.target, force)
            with naming(task.source, task.target):
                for _, why in _rehearse(work, [task], jobs, quiet):
                    raise AicError(why)
            return
        with naming(task.source, task.target), enough_memory():
            line = told(escaped(work(task), task.target))
    if not quiet:
        click.echo(line, err=target == streams.PIPE)


def _run_all(
    work: AnyWork,
    listing: Listing,
    jobs: int,
    quiet: bool,
    dry: bool,
) -> None:
    """Make many files, go on after one that fails, and end with a list of those."""
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
        if task is not None and task.force and not asked.force:
            work.warn(task.target, f"is older than {task.source}, and is made again")
        due += [] if task is None else [task]
    if dry:
        failed += _rehearse(work, due, jobs, quiet)
    else:
        _show(batch.run(due, work, jobs), len(due), quiet, failed)
    _sum_up(listing, num_current, failed, quiet)


def _run_on_cluster(
    work: AnyWork, listing: Listing, address: str, jobs: int, quiet: bool,
    report: Path | None,
) -> None:  # fmt: skip
    """Have many files made, go on after one that fails, and end with a list of those."""
    from imgcodec.cli import cluster
    from imgcodec.cli.decode import Decoding
    from imgcodec.cli.encoding import Encoding

    if not isinstance(work, Encoding | Decoding):
        raise TypeError(f"{type(work)} goes to no cluster")
    if report is not None:
        check_other(report, listing.force)
    for path, note in listing.notes:
        work.warn(path, note)
    failed = list(listing.failed)
    pairs = [(cluster.absolute(source), cluster.absolute(made)) for source, made in listing.pairs]
    num_current = 0

    def due(rows: Iterable[cluster.Row]) -> Iterator[cluster.Row]:
        nonlocal num_current
        for row in rows:
            for note in row.notes:
                work.warn(row.source, note)
            num_current += row.line is None and row.error is None
            yield row

    refused = None
    try:
        with cluster.connected(address, jobs) as client:
            rows = due(cluster.run(client, work, pairs, listing.force))
            if report is not None:
                rows = cluster.reporting(rows, report, listing.force)
            _show(rows, len(pairs), quiet, failed)
    except AicError as error:
        refused = error
    _sum_up(listing, num_current, failed, quiet, refused)


def _sum_up(
    listing: Listing, num_current: int, failed: Sequence[tuple[Place, str]], quiet: bool,
    refused: AicError | None = None,
) -> None:  # fmt: skip
    """Say what became of many files, and refuse if anything failed."""
    if num_current and not quiet:
        click.echo(f"{num_current} files are up to date")
    for path, why in failed:
        click.echo(one_line(why if str(path) in why else f"{path}: {why}"), err=True)
    if refused is not None:
        raise refused
    if failed:
        num_files = len(listing.pairs) + len(listing.failed)
        raise AicError(f"{len(failed)} of {num_files} files failed")


def _show(
    outcomes: Iterable[Outcome | Row], total: int, quiet: bool, failed: list[tuple[Place, str]]
) -> None:
    """Tell what becomes of many files, with a bar; add those that fail, and why."""
    from tqdm import tqdm

    with tqdm(total=total, unit="file", disable=quiet or not sys.stderr.isatty()) as bar:
        read = written = 0
        for outcome in outcomes:
            if outcome.error is not None:
                failed.append((outcome.source, outcome.error))
            elif outcome.line is not None:
                read += outcome.read
                written += outcome.written
                sizes = (tqdm.format_sizeof(size, "B") for size in (read, written))
                told = " -> ".join(sizes)
                num_failed = len(failed)
                bar.set_postfix_str(told + f", {num_failed} failed" * (num_failed > 0), False)
                if not quiet:
                    bar.write(outcome.line)
            bar.update()


def _rehearse(
    work: AnyWork, due: Sequence[Task], jobs: int, quiet: bool
) -> list[tuple[Path, str]]:
    """Say what would be made; return what would fail, and why."""
    from imgcodec.cli import rehearsal
    from imgcodec.cli.encoding import Encoding

    if not isinstance(work, Encoding):
        raise TypeError(f"{type(work)} has no rehearsal")
    return rehearsal.rehearse(work, due, jobs, quiet)


def threads_of(threads: int | None, jobs: int) -> int | None:
    """Return how many CPU threads each of several jobs has."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def warn(quiet: bool, path: Place, note: str) -> None:
    """Say on stderr what is not as it was."""
    if not quiet:
        click.echo(one_line(f"{path}: {note}"), err=True)

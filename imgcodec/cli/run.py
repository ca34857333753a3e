"""One file or many, here or on a cluster: what commands have done, and how it is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgcodec.cli import streams
from imgcodec.cli.checks import check_apart, check_coded, check_other, named, naming
from imgcodec.cli.many import batch, targets, urls
from imgcodec.cli.many.targets import Listing
from imgcodec.cli.options import READ, given
from imgcodec.cli.process import enough_memory, escaped
from imgcodec.cli.work import Location, Measurable, Outcome, Task, Work
from imgcodec.errors import AicError, one_line

if TYPE_CHECKING:
    from imgcodec.cli.many.shards import Row

_LONG = {".tiff": ".tif", ".jpeg": ".jpg"}  # suffixes of formats that have two


def run(
    work: Work, sources: Sequence[str], target: str,
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
    if not sources:
        raise click.UsageError("Missing argument: a file that is read, and one that is written.")
    if "" in (*sources, target):  # a shell's variable that is not set
        raise click.UsageError("The name of a file is empty.")
    if report is not None and cluster is None:
        raise click.UsageError("--report is for --cluster.")
    if cluster is not None:
        if dry or streams.PIPE in (*sources, target):
            raise click.UsageError("--cluster makes files of files: no pipes, no --dry-run.")
        words = [urls.plain(word) for word in (*sources, target)]
        listing = targets.find(words[:-1], words[-1], suffixes, suffix, force)
        _run_on_cluster(work, listing, cluster, jobs, quiet, report)
        return
    for word in (*sources, target):
        if urls.is_url(word):
            raise AicError(f"{word}: URLs need --cluster, --cluster local on one machine")
    if streams.PIPE not in (*sources, target) and targets.is_many(sources, target):
        _run_all(work, targets.find(sources, target, suffixes, suffix, force), jobs, quiet, dry)
        return
    if len(sources) > 1:
        raise click.UsageError(f"{streams.PIPE} is a single file, and others cannot go with it.")
    if sources[0] == streams.PIPE and (os.path.isdir(target) or target.endswith(("/", os.sep))):
        raise click.UsageError(
            f"{target} is a folder, and {streams.PIPE} has no name to use there."
        )
    if dry and target == streams.PIPE:
        raise click.UsageError("--dry-run writes nothing, to stdout neither.")
    if target != streams.PIPE and "suffix" in given():
        _check_format(target, suffix)
    source, warn = sources[0], work.warn
    if source != streams.PIPE:
        READ.convert(source, None, None)
    with streams.as_files(source, target, suffix, force) as (task, told):
        work = replace(work, warn=lambda path, note: warn(Path(told(str(path))), note))
        if dry:
            check_apart(task.source, task.target)
            check_coded(task.target, force)
            with naming(task.source, task.target):
                for _, why in _rehearse(work, [task], jobs, quiet):
                    raise AicError(why)
            return
        with naming(task.source, task.target), enough_memory():
            line = told(escaped(work(task), task.target))
        for path in streams.left_behind(task) if target == streams.PIPE else ():
            work.warn(task.target, f"without {path.name}, stdout takes one file")
    if not quiet:
        click.echo(line, err=target == streams.PIPE)


def _check_format(target: str, suffix: str) -> None:
    """Refuse a file whose own suffix names another format than the one that is asked."""
    own = Path(target).suffix.lower()
    if _LONG.get(own, own) != suffix:
        raise click.UsageError(
            f"--format {suffix[1:]} is for folders and stdout: the suffix of {target} names its"
            " format."
        )


def _run_all(
    work: Work,
    listing: Listing,
    jobs: int,
    quiet: bool,
    dry: bool,
) -> None:
    """Make many files, go on after one that fails, and end with a list of those."""
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
    if dry:
        failed += _rehearse(work, due, jobs, quiet)
    else:
        _show(batch.run(due, work, jobs), len(due), quiet, failed)
    _sum_up(listing, num_current, failed, quiet)


def _run_on_cluster(
    work: Work, listing: Listing, address: str, jobs: int, quiet: bool,
    report: Path | None,
) -> None:  # fmt: skip
    """Have many files made, go on after one that fails, and end with a list of those."""
    from imgcodec.cli.many import cluster

    if report is not None:
        check_other(report, listing.force)
    for path, note in listing.notes:
        work.warn(path, note)
    failed = list(listing.failed)
    pairs = [(cluster.absolute(source), cluster.absolute(made)) for source, made in listing.pairs]
    num_current = 0

    def due(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal num_current
        for row in rows:
            for name, note in row.notes:
                work.warn(name, note)
            num_current += row.line is None and row.error is None
            yield row

    refused = None
    try:
        with cluster.connected(address, jobs) as client:
            rows = due(cluster.run(client, work, pairs, listing.force, listing.sides))
            if report is not None:
                rows = cluster.reporting(rows, report, listing.force)
            _show(rows, len(pairs), quiet, failed)
    except AicError as error:
        refused = error
    _sum_up(listing, num_current, failed, quiet, refused)


def _sum_up(
    listing: Listing, num_current: int, failed: Sequence[tuple[Location, str]], quiet: bool,
    refused: AicError | None = None,
) -> None:  # fmt: skip
    """Say what became of many files, and refuse if anything failed."""
    if num_current and not quiet:
        click.echo(f"{num_current} {'file is' if num_current == 1 else 'files are'} up to date")
    for path, why in failed:
        click.echo(one_line(named(why, path)), err=True)
    if refused is not None:
        raise refused
    if failed:
        num_files = len(listing.pairs) + len(listing.failed)
        raise AicError(f"{len(failed)} of {num_files} files failed")


def _show(
    outcomes: Iterable[Outcome | Row], total: int, quiet: bool, failed: list[tuple[Location, str]]
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


def _rehearse(work: Work, due: Sequence[Task], jobs: int, quiet: bool) -> list[tuple[Path, str]]:
    """Say what would be made; return what would fail, and why."""
    from imgcodec.cli.many import rehearsal

    if not isinstance(work, Measurable):
        raise TypeError(f"{type(work)} has no rehearsal")
    return rehearsal.rehearse(work, due, jobs, quiet)

"""`--dry-run`: what would be done, and about how large it gets; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli.many import batch
from imgcodec.cli.work import Measurable, Task
from imgcodec.errors import AicError, one_line
from imgcodec.files import reason
from imgcodec.format import container

SAMPLES = 8  # pictures that are coded, to see how large they get


def rehearse(
    work: Measurable, due: Sequence[Task], jobs: int, quiet: bool
) -> list[tuple[Path, str]]:
    """Say what would be made; return what would fail, as far as that is known, and why.

    Some pictures, spread over all of them, are coded into a folder that is removed again.
    """
    failed: list[tuple[Path, str]] = []
    lines = []
    allowed = []
    for task in due:
        try:
            task.source.stat()  # a link may lead nowhere
            if task.target.parent.is_dir():
                files.check_free(task.target, force=True)  # whether it is due is settled
            else:
                files.check_makeable(task.target)
        except AicError as error:
            failed.append((task.source, str(error)))
        except OSError as error:
            failed.append((task.source, reason(error)))
        else:
            allowed.append(task)
    due = allowed
    sampled = set(range(0, len(due), max(1, -(-len(due) // SAMPLES))))
    with files.temporary_folder() as folder:
        trials = [Task(due[n].source, Path(folder) / f"{n}.aic") for n in sorted(sampled)]
        made = {outcome.task.target.name: outcome for outcome in batch.run(trials, work, jobs)}
        num_bytes = num_pixels = num_coded = 0
        known: list[int | None] = []
        for number, task in enumerate(due):
            outcome = made.get(f"{number}.aic")
            if outcome is None:
                known.append(work.pixels(task.source))
                verb = "would" if known[-1] else "could perhaps not"
                names = one_line(str(task.target)), one_line(str(task.source))
                lines.append(f"{names[0]}: {verb} be made of {names[1]}")
            elif outcome.line is None:
                trial, why = str(outcome.task.target), outcome.error or ""
                if trial in why:  # what is refused there is not refused where it would be made
                    why = f"{why.replace(trial, str(task.target))}, on its way through {folder}"
                failed.append((task.source, why))
            else:
                path = outcome.task.target
                header = container.File(files.read_bytes(path)).header
                known.append(header.num_pixels)
                num_bytes += outcome.written
                num_pixels += header.num_pixels
                num_coded += 1
                line = outcome.line.replace(str(path), one_line(str(task.target)))
                named = f"{one_line(str(task.target))}: "
                lines.append(f"{named}would be made, {line.removeprefix(named)}")
    if num_coded and len(known) > 1:
        lines.append(_sum(known, 8 * num_bytes / num_pixels, num_coded))
    if lines and not quiet:
        click.echo("\n".join(lines))
    return failed


def _sum(known: Sequence[int | None], bpp: float, num_coded: int) -> str:
    """Say how large files of so many pixels get together, at the bits per pixel of a sample."""
    total = round(sum(pixels or 0 for pixels in known) * bpp / 8)
    line = f"{len(known)} files would take about {total} bytes"
    if num_coded < len(known):
        line += f", at the {bpp:.4f} bpp of the {num_coded} that were tried"
    if unknown := known.count(None):
        line += f", without {unknown} of unknown size"
    return line

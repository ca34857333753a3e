"""`aic pack` and `aic unpack`."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli.checks import check_apart, check_coded, check_other
from imgcodec.cli.loading import threads_of
from imgcodec.cli.options import FORCE, HELD_PIXELS, JOBS, QUIET, THREADS, max_pixels
from imgcodec.cli.process import warn
from imgcodec.cli.run import run
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError, FormatError
from imgcodec.format import packed
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.openmp import one_thread_a_call

JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif")
PACK_EXAMPLES = """
\b
Examples:
  aic pack photo.jpg photo.aic
  aic pack photos/ archive/ --jobs 2
  aic unpack photo.aic photo.jpg
"""


@dataclass
class _Lossless:
    """What both commands have in common."""

    max_pixels: int
    threads: int | None
    warn: Warn
    dates = True  # nothing else can be asked
    device = "cpu"

    def size(self, source: Path) -> None:
        """See `Work`: each file goes alone."""


class Packing(_Lossless):
    """Settings of `aic pack`."""

    def is_due(self, task: Task, outdated: bool) -> bool | None:
        """See `Work`; what is not the packed file of its source is kept."""
        target = task.target
        try:
            header = packed.unpack(files.read_bytes(target)).header
        except AicError as error:
            raise AicError(f"{target}: exists ({error}), and is kept without --force") from error
        data = files.read_bytes(task.source)
        if (header.size, header.file_crc) == (len(data), zlib.crc32(data)):
            return None
        if not outdated:
            raise AicError(f"{target}: holds another file, and is kept without --force")
        return True

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Pack a file, and return what to tell about it."""
        source, target, force = task
        check_apart(source, target)
        check_coded(target, force)
        from imgcodec.jpeg import packing

        start = time.perf_counter()
        data = files.read_bytes(source)
        try:
            made = packing.pack(data, self.max_pixels, self.threads)
        except AicError as error:
            raise AicError(f"{source}: {error}") from error
        files.write_bytes(target, made, force)
        growth = len(made) / len(data) - 1
        return (
            f"{target}: {len(made)} of {len(data)} bytes,"
            f" {100 * abs(growth):.1f} % {'more' if growth > 0 else 'less'},"
            f" {time.perf_counter() - start:.2f} s"
        )


@dataclass
class Unpacking(_Lossless):
    """Settings of `aic unpack`."""

    keep_going: bool = False

    def is_due(self, task: Task, outdated: bool) -> bool | None:
        """See `Work`; what is not the file that its source holds is kept."""
        header = packed.unpack(files.read_bytes(task.source)).header
        data = files.read_bytes(task.target)
        if (header.size, header.file_crc) != (len(data), zlib.crc32(data)):
            held = f"not the file that {task.source} holds"
            raise AicError(f"{task.target}: exists, is {held}, and is kept without --force")
        return None

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Unpack a file, and return what to tell about it."""
        source, target, force = task
        check_apart(source, target)
        check_other(target, force, JPEGS)
        from imgcodec.jpeg import packing

        start = time.perf_counter()
        data = files.read_bytes(source)
        try:
            parts, wrong = self._parts(data)
            made = packing.unpack(parts, self.max_pixels, self.threads)
        except AicError as error:
            raise AicError(f"{source}: {error}") from error
        files.write_bytes(target, made, force)
        if wrong:
            raise AicError(f"{source}: what it holds is whole, but {'; '.join(wrong)}")
        return f"{target}: {len(made)} bytes, {time.perf_counter() - start:.2f} s"

    def _parts(self, data: bytes) -> tuple[packed.Packed, list[str]]:
        """Return the parts of a file, and what was wrong and is set right."""
        if self.keep_going:
            return packed.unpack_mended(data)
        try:
            return packed.unpack(data), []
        except FormatError as error:
            packed.unpack_mended(data)  # which has to be possible
            raise FormatError(f"{error}; --keep-going sets it right") from error


@click.command(epilog=PACK_EXAMPLES)
@click.argument("sources", metavar="IN.jpg...", nargs=-1)
@click.argument("target", metavar="OUT.aic")
@max_pixels(HELD_PIXELS)
@THREADS
@JOBS
@FORCE
@QUIET
def pack(
    sources: tuple[str, ...], target: str, max_pixels: int, threads: int | None, jobs: int,
    force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Pack the JPEG file IN.jpg into the smaller OUT.aic, without loss.

    `aic unpack` gives the same file back, bit for bit, metadata and all; what OUT.aic holds is
    decoded and compared before it is written. For much smaller files that look the same, take
    `aic encode`: encoding is lossy, packing is lossless.

    IN.jpg may be several files, folders or quoted patterns, and OUT.aic the folder to write into:
    what is up to date is left alone. Either may be -, stdin or stdout.
    """
    one_thread_a_call()
    work = Packing(max_pixels, threads_of(threads, jobs), partial(warn, quiet))
    run(work, sources, target, JPEGS, ".aic", force, jobs, quiet)


@click.command()
@click.argument("sources", metavar="IN.aic...", nargs=-1)
@click.argument("target", metavar="OUT.jpg")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Set single wrong bits of a damaged file right, which its checksums tell, and end with "
    "exit code 1.",
)
@max_pixels(HELD_PIXELS)
@THREADS
@JOBS
@FORCE
@QUIET
def unpack(
    sources: tuple[str, ...], target: str, keep_going: bool, max_pixels: int,
    threads: int | None, jobs: int, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Give back the JPEG file OUT.jpg that `aic pack` packed into IN.aic, bit for bit.

    IN.aic may be several files, folders or quoted patterns, and OUT.jpg the folder to write into:
    what is up to date is left alone. Either may be -, stdin or stdout.
    """
    one_thread_a_call()
    work = Unpacking(max_pixels, threads_of(threads, jobs), partial(warn, quiet), keep_going)
    run(work, sources, target, (".aic",), ".jpg", force, jobs, quiet)

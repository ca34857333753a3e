"""Many files on many machines: dask.distributed spreads what `batch` does over its workers.

The client lists files and hands out shards of them. A worker goes through a shard as one machine
goes through a folder, and says of each file what became of it. Where it dies, another one takes
the shard, and what is made by then is up to date.
"""

from __future__ import annotations

import atexit
import csv
import logging
import os
import pickle
import secrets
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from imgcodec import __version__, files
from imgcodec.cli import batch, elsewhere
from imgcodec.cli.copies import Copies
from imgcodec.cli.places import is_url
from imgcodec.cli.targets import Task
from imgcodec.errors import AicError
from imgcodec.files import reason
from imgcodec.format import container

if TYPE_CHECKING:
    from imgcodec.cli.decode import Decoding
    from imgcodec.cli.encoding import Encoding
    from imgcodec.runtime.lockstep import Member

LOCAL = "local"  # in place of the address of a scheduler
SHARD = 200  # files at most
SHARDS_EACH = 4  # of a few files, for each thread: all are busy to the end
AHEAD = 3  # shards for each thread of a worker, so that none waits for the client
LOOPBACK = "127.0.0.1:0"  # dask's page on a cluster of one's own, at any port
CONNECT_S, WORKERS_S = 30, 120
RETRIES = 2  # of a shard in which something unexpected was raised
COLUMNS = ("source", "target", "bytes", "bpp", "seconds", "worker", "error")
Pair = tuple[str, str]  # source and target, paths or URLs


class Row(NamedTuple):
    """What became of a file."""

    source: str
    target: str
    worker: str
    line: str | None = None  # what to tell, None where it failed or was up to date
    error: str | None = None
    notes: tuple[str, ...] = ()  # what is not as it was, to be told
    read: int = 0  # bytes
    written: int = 0
    bpp: float | None = None  # of the .aic file
    seconds: float | None = None


# ---- on the client


@contextmanager
def connected(address: str, workers: int) -> Iterator[Any]:
    """Yield dask's client of a scheduler, or of a new cluster of this machine's cores.

    Args:
        address: like tcp://host:8786, or `LOCAL`.
        workers: of a local cluster; 1: one a core.

    Raises:
        AicError: it is not to be reached, has no workers, or theirs is another aic.
    """
    try:
        import distributed
    except ImportError as error:
        raise AicError("--cluster needs pip install 'imgcodec[cluster]'") from error
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # we tell what matters, in one line
    own = client = None
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if address == LOCAL:
                    own = _local(workers)
                client = distributed.Client(  # type: ignore[no-untyped-call]
                    own or address, timeout=CONNECT_S
                )
            with suppress(distributed.TimeoutError):
                client.wait_for_workers(1, timeout=WORKERS_S)
            found = client.run(_version)
            if not found:
                raise AicError(f"cluster {address}: no worker came within {WORKERS_S} s")
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise AicError(f"cluster {address}: {reason(error)}") from error
        for worker, version in found.items():
            if version != __version__:
                raise AicError(f"cluster {address}: {worker} has aic {version}, not {__version__}")
        yield client
    finally:
        gone = client is None or client.status != "running"
        if client is not None:
            with suppress(TimeoutError):  # it still looks for a scheduler that is gone
                client.close(  # type: ignore[no-untyped-call]
                    timeout=1 if gone else CONNECT_S
                )
        if own is not None:
            own.close(timeout=CONNECT_S)
        if not gone:  # else it goes on talking about it
            logging.disable(before)


def _local(workers: int) -> Any:
    """Return a new cluster of this machine's cores.

    One that is left as it starts, by Ctrl-C, cannot be closed: its processes end with this one.
    """
    from distributed import LocalCluster
    from distributed.deploy.spec import close_clusters

    try:
        return LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers if workers > 1 else os.cpu_count() or 1,
            threads_per_worker=1,
            dashboard_address=LOOPBACK,
        )
    except BaseException:
        atexit.unregister(close_clusters)
        raise


def run(
    client: Any, work: Encoding | Decoding, pairs: Sequence[Pair], force: bool
) -> Iterator[Row]:
    """Do all, and yield what became of each as it is known.

    Raises:
        AicError: the scheduler is gone.
    """
    settings = elsewhere.packed(work)
    name = f"aic-{secrets.token_hex(8)}"
    inbox: Queue[Any] = Queue()  # rows of files, and shards that ended
    unknown = {target for _, target in pairs}  # what nobody has told about yet
    size = min(SHARD, -(-len(pairs) // (SHARDS_EACH * _num_threads(client)))) or 1
    waiting = iter(range(0, len(pairs), size))
    shards: dict[Any, Sequence[Pair]] = {}  # what works at which
    suspects: list[Pair] = []  # files on workers that died, or next in line there
    alone = None  # what works at a suspect, and nothing else works

    def submit(shard: Sequence[Pair]) -> Any:
        future = client.submit(
            _shard, settings, shard, force, name, key=f"{name}-{secrets.token_hex(4)}",
            retries=RETRIES, pure=False,
        )  # fmt: skip
        shards[future] = shard
        future.add_done_callback(inbox.put)
        return future

    def fill() -> None:
        most = AHEAD * _num_threads(client)
        for start in islice(waiting, max(0, most - len(shards))):
            submit(pairs[start : start + size])

    def told(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if row.target in unknown:  # else a shard began anew
                unknown.remove(row.target)
                yield row

    client.subscribe_topic(name, lambda event: inbox.put(event[1]))
    try:
        fill()
        while shards:
            item = _next(inbox, client)
            if isinstance(item, bytes):
                yield from told([pickle.loads(item)])  # noqa: S301 - as dask itself does
                continue
            shard = shards.pop(item)
            if item.status == "cancelled":
                raise _gone(client)
            try:
                yield from told(item.result())
            except _killed() as error:
                left = [pair for pair in shard if pair[1] in unknown]
                if item is alone:
                    why = f"workers die of it: {reason(error)}"
                    yield from told([Row(*pair, "", error=why) for pair in left])
                elif len(shard) == 1:
                    suspects.extend(left)
                else:
                    for pair in left:  # so that one file costs no other
                        submit([pair])
            fill()
            if not shards and suspects:
                alone = submit([suspects.pop(0)])
    finally:
        if client.status == "running":
            client.cancel(list(shards))
            client.unsubscribe_topic(name)


def absolute(word: str) -> str:
    """Return a path as it is on every machine, a URL as it is."""
    return word if is_url(word) else os.path.abspath(word)


def _num_threads(client: Any) -> int:
    """Return how many files are worked on at a time."""
    found: dict[str, int] = client.nthreads()  # by worker
    return max(1, sum(found.values()))


def _next(inbox: Queue[Any], client: Any) -> Any:
    """Return what comes next."""
    while True:
        try:
            return inbox.get(timeout=1)
        except Empty:
            if client.status != "running":
                raise _gone(client) from None


def _gone(client: Any) -> AicError:
    return AicError(
        f"cluster: the scheduler is gone ({client.status}); what is made stays, and the same"
        " command goes on with the rest"
    )


def _killed() -> type[BaseException]:
    from distributed.scheduler import KilledWorker

    found: type[BaseException] = KilledWorker
    return found


def reporting(rows: Iterable[Row], path: Path, force: bool) -> Iterator[Row]:
    """Yield rows, and write them to a CSV file; also those before a refusal."""
    refused = None
    with (
        files.replacing(path, force) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        try:
            for row in rows:
                bpp = "" if row.bpp is None else f"{row.bpp:.6f}"
                seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
                made = row.written if row.line is not None else ""
                writer.writerow(
                    (row.source, row.target, made, bpp, seconds, row.worker, row.error or "")
                )
                yield row
        except AicError as error:
            refused = error
    if refused is not None:
        raise refused


# ---- on the workers


def _version() -> str:
    return __version__


def _shard(settings: bytes, pairs: Sequence[Pair], force: bool, topic: str) -> list[Row]:
    """Do a shard, tell of each file, and return all that was told."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    told = []
    work = cast("Encoding | Decoding", elsewhere.unpacked(settings))
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        for row in rows(work, pairs, force, Path(folder), worker.address):
            worker.log_event(topic, pickle.dumps(row))  # names may be no text that dask sends
            told.append(row)
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":  # nobody waits for the rest
                break
    return told


def rows(
    work: Encoding | Decoding, pairs: Iterable[Pair], force: bool, folder: Path, worker: str
) -> Iterator[Row]:
    """Do what is due, by the rules of a folder on one machine, and yield what became of each.

    What lies at URLs is copied to `folder` and from there, while another file is worked on.
    """
    copies = Copies(folder)
    timed = _Timed(work)
    known: list[Row] = []  # without work
    doing: dict[Path, tuple[Pair, Task]] = {}  # by the target's path here

    def due() -> Iterator[Task]:
        for pair in pairs:
            here = copies.task(*pair, force)
            error = None
            try:
                copies.fetch(here, *pair)
                task = batch.as_due(here, work)
            except FileNotFoundError:
                error = f"{pair[0]}: is not there"
            except AicError as refusal:
                error = _named(str(refusal), pair, here)
            else:
                if task is not None:
                    doing[here.target] = pair, here
                    yield task
                    continue
            copies.drop(here)
            known.append(Row(*pair, worker, error=error))

    for outcome in batch.run(due(), cast(batch.Work, timed), 1):
        yield from known
        known.clear()
        pair, here = doing.pop(outcome.task.target)
        row = _row(outcome, pair, here, copies)
        yield row._replace(worker=worker, seconds=timed.seconds.pop(here.target, None))
        copies.drop(here)
    yield from known


def _row(outcome: batch.Outcome, pair: Pair, here: Task, copies: Copies) -> Row:
    """Bring what was made to its place, and return what is to be told."""
    notes = (note for _, note in elsewhere.notes_of(here))
    row = Row(*pair, "", notes=tuple(_named(note, pair, here) for note in notes))
    if outcome.line is None:
        return row._replace(error=_named(outcome.error or "", pair, here))
    try:
        copies.store(here.target, pair[1])
        coded = here.target if here.target.suffix.lower() == ".aic" else here.source
        file = container.File(files.read_bytes(coded))
    except AicError as error:
        return row._replace(error=_named(str(error), pair, here))
    bpp = 8 * file.num_bytes / (file.header.width * file.header.height)
    line = _named(outcome.line, pair, here)
    return row._replace(line=line, read=outcome.read, written=outcome.written, bpp=bpp)


def _named(text: str, pair: Pair, here: Task) -> str:
    """Return a text with URLs in place of their copies, which nobody asked for."""
    for path, word in zip(here[:2], pair, strict=True):
        text = text.replace(str(path), word)
    return text


class _Timed:
    """Some work, and how long each call of it took; all else is its own."""

    def __init__(self, work: batch.Work) -> None:
        self._work = work
        self.seconds: dict[Path, float] = {}  # by target

    def __call__(self, task: Task, member: Member | None = None) -> str:
        started = time.perf_counter()
        try:
            return self._work(task, member)
        finally:
            self.seconds[task.target] = time.perf_counter() - started

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

"""Many files on many machines: dask.distributed spreads what `batch` does over its workers.

The client lists files and hands out shards of them, see `shards.py`. Where a worker dies, another
one takes its shard, and what is made by then is up to date.
"""

from __future__ import annotations

import atexit
import csv
import logging
import os
import pickle
import secrets
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Literal

from imgcodec import __version__, files
from imgcodec.cli.many import elsewhere, shards
from imgcodec.cli.many.shards import Pair, Row, Sides
from imgcodec.cli.many.urls import is_url
from imgcodec.cli.work import Work
from imgcodec.errors import AicError
from imgcodec.files import reason

LOCAL = "local"  # in place of the address of a scheduler
SHARD = 200  # files at most
SHARDS_EACH = 4  # of a few files, for each thread: all are busy to the end
AHEAD = 3  # shards for each thread of a worker, so that none waits for the client
LOOPBACK = "127.0.0.1:0"  # dask's page on a cluster of one's own, at any port
CONNECT_S, WORKERS_S = 30, 120
LEAVE_S = 60  # for a worker of one's own to end the file that it is at; dask has 5
RETRIES = 2  # of a shard in which something unexpected was raised
COLUMNS = ("source", "target", "bytes", "bpp", "seconds", "worker", "error")


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
    gone = False
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
            found = client.run(shards.version)
            if own is not None:
                client.run(shards.leave_signals)
            if not found:
                raise AicError(f"cluster {address}: no worker came within {WORKERS_S} s")
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise AicError(f"cluster {address}: {reason(error)}") from error
        for worker, version in found.items():
            if version != __version__:
                raise AicError(f"cluster {address}: {worker} has aic {version}, not {__version__}")
        try:
            yield client
        except AicError:  # of `run`: the client may not know of it yet
            gone = True
            raise
    finally:
        gone = gone or client is None or client.status != "running"
        if client is not None:
            with suppress(TimeoutError):  # it still looks for a scheduler that is gone
                client.close(  # type: ignore[no-untyped-call]
                    timeout=1 if gone else CONNECT_S
                )
        if own is not None:
            own.close(timeout=2 * LEAVE_S)
        if not gone:  # else it goes on talking about it
            logging.disable(before)


def _local(workers: int) -> Any:
    """Return a new cluster of this machine's cores.

    One that is left as it starts, by Ctrl-C, cannot be closed: its processes end with this one.
    """
    from distributed import LocalCluster, Nanny
    from distributed.deploy.spec import close_clusters

    class Patient(Nanny):
        async def close(  # type: ignore[override]
            self, timeout: float | None = LEAVE_S, reason: str = "nanny-close"
        ) -> Literal["OK"]:
            return await super().close(timeout or LEAVE_S, reason)

    try:
        return LocalCluster(  # type: ignore[no-untyped-call]
            worker_class=Patient,
            n_workers=workers if workers > 1 else os.cpu_count() or 1,
            threads_per_worker=1,
            dashboard_address=LOOPBACK,
        )
    except BaseException:
        atexit.unregister(close_clusters)
        raise


def run(
    client: Any, work: Work, pairs: Sequence[Pair], force: bool, sides: Sides
) -> Iterator[Row]:
    """Do all, and yield what became of each as it is known.

    Args:
        client: of dask.
        work: what is done with each.
        pairs: source and target of each.
        force: whether existing targets are replaced.
        sides: of sources at URLs, other files that belong to them.

    Raises:
        AicError: the scheduler is gone.
    """
    settings = elsewhere.packed(work)
    name = f"aic-{secrets.token_hex(8)}"
    inbox: Queue[Any] = Queue()  # rows of files, and shards that ended
    unknown = {target for _, target in pairs}  # what nobody has told about yet
    size = min(SHARD, -(-len(pairs) // (SHARDS_EACH * _num_threads(client)))) or 1
    waiting = iter(range(0, len(pairs), size))
    working: dict[Any, Sequence[Pair]] = {}  # what works at which
    suspects: list[Pair] = []  # files on workers that died, or next in line there
    alone = None  # what works at a suspect, and nothing else works

    def submit(shard: Sequence[Pair]) -> Any:
        theirs = {source: sides[source] for source, _ in shard if sides.get(source)}
        future = client.submit(
            shards.shard, settings, shard, force, name, theirs,
            key=f"{name}-{secrets.token_hex(4)}", retries=RETRIES, pure=False,
        )  # fmt: skip
        working[future] = shard
        future.add_done_callback(inbox.put)
        return future

    def fill() -> None:
        most = AHEAD * _num_threads(client)
        for start in islice(waiting, max(0, most - len(working))):
            submit(pairs[start : start + size])

    def told(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if row.target in unknown:  # else a shard began anew
                unknown.remove(row.target)
                yield row

    client.subscribe_topic(name, lambda event: inbox.put(event[1]))
    try:
        fill()
        while working:
            item = _next(inbox, client)
            if isinstance(item, bytes):
                yield from told([pickle.loads(item)])  # noqa: S301 - as dask itself does
                continue
            shard = working.pop(item)
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
            except AicError as error:  # a worker has no temporary folder
                yield from told([Row(*pair, "", error=str(error)) for pair in shard])
            except (OSError, CancelledError) as error:
                if item.status == "error":  # its own
                    raise
                raise _gone(client) from error
            fill()
            if not working and suspects:
                alone = submit([suspects.pop(0)])
    finally:
        if client.status == "running":
            client.cancel(list(working))
            client.unsubscribe_topic(name)


def absolute(word: str) -> str:
    """Return a path as it is on every machine, a URL as it is."""
    return word if is_url(word) else str(Path(word).absolute())  # `link/..` stays what it is


def _num_threads(client: Any) -> int:
    """Return how many files are worked on at a time."""
    try:
        found: dict[str, int] = client.nthreads()  # by worker
    except OSError as error:
        raise _gone(client) from error
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
    """Yield rows, and write them to a CSV file; also those before a refusal or an interrupt."""
    ended: BaseException | None = None
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
            kept = "" if force else f"; the next --report needs another name, {path} is kept"
            ended = AicError(f"{error}{kept}")
        except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:
            ended = error
    if ended is not None:
        raise ended

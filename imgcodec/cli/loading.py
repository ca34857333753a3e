"""The codec as commands have it: loaded for a file, in so many threads, and what it tells."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcodec.files import Stored
from imgcodec.format import container
from imgcodec.releases import needed
from imgcodec.runtime.forks import Lock
from imgcodec.runtime.light import import_torch
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    from imgcodec.codec import Codec

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
        from imgcodec.runtime.heap import keep_freed

        keep_freed()
        return Codec(weights=weights, **settings)
    finally:
        gc.freeze()
        gc.enable()


def threads_of(threads: int | None, jobs: int) -> int | None:
    """Return how many CPU threads each of several jobs has."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def details(data: bytes | Stored, codec: Codec, stages: dict[str, float]) -> str:
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

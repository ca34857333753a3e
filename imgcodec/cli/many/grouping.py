"""Which files of many go through the model together, and how many such batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from imgcodec.cli.work import Task
from imgcodec.runtime.light import import_torch

LOOKAHEAD = 2  # batches from which one of equal sizes is picked


class Way(NamedTuple):
    """How pictures of one size go through the model."""

    most: int  # at once
    pixels: int  # of each, at most; larger ones go alone
    at_a_time: int  # batches: one is read, chosen or written while the other is computed


WAYS = {"cpu": Way(8, 160 * 160, 1), "cuda": Way(16, 2**19, 2)}


def way(device: str) -> Way:
    """Return how pictures go on a device: "cpu", "cuda", or "auto", which torch is asked about."""
    if device == "auto":
        import_torch()
        from imgcodec.runtime.device import chosen

        device = chosen(device)
    return WAYS[device]


def grouped(
    tasks: Iterable[Task], size: Callable[[Task], tuple[int, int] | None], way: Way
) -> Iterator[list[Task]]:
    """Yield tasks that are done together; they are taken as they are needed.

    Args:
        tasks: in any order.
        size: height and width of a task's picture; None: it goes alone.
        way: how many, and of what size.
    """
    waiting: dict[tuple[int, int], list[Task]] = {}  # by size; first what waits longest
    for task in tasks:
        found = size(task)
        if found is None or found[0] * found[1] > way.pixels:
            yield [task]
            continue
        alike = waiting.setdefault(found, [])
        alike.append(task)
        if len(alike) == way.most:
            yield waiting.pop(found)
        elif sum(map(len, waiting.values())) >= LOOKAHEAD * way.most:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()

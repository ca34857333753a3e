"""Some work as other processes do it: sent once, with what it says about files brought back."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from imgcodec.cli.work import Task, Work

_NOTES: defaultdict[str, list[str]] = defaultdict(list)  # by file


def packed(work: Work) -> bytes:
    """Return some work for other processes: each in one thread, whatever their folder."""
    changes: dict[str, Any] = {"warn": note, "threads": work.threads or 1}
    weights, roi = getattr(work, "weights", None), getattr(work, "roi", None)
    if weights is not None:
        changes["weights"] = weights.absolute()
    if roi is not None and roi.mask is not None:
        changes["roi"] = roi._replace(mask=roi.mask.absolute())
    return pickle.dumps(replace(work, **changes))


@lru_cache(1)
def unpacked(settings: bytes) -> Work:
    """Return what was packed, the same each time: a model is loaded once for all files."""
    work: Work = pickle.loads(settings)  # noqa: S301 - what this program packed
    return work


def notes_of(task: Task) -> list[tuple[Path, str]]:
    """Return what was said about the files of a task, which is over, and forget it."""
    return [(path, text) for path in task[:2] for text in _NOTES.pop(str(path), ())]


def note(path: Path, text: str) -> None:
    """Keep what is said about a file until its task is over."""
    _NOTES[str(path)].append(text)

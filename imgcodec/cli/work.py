"""What is done with each of many files, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from imgcodec.runtime.lockstep import Member

Location = Path | str  # a str is a URL
Warn = Callable[[Any, str], None]  # of a path or a URL


class Task(NamedTuple):
    """A file to be made from another."""

    source: Path
    target: Path
    force: bool = False  # whether an existing target is replaced


class Outcome(NamedTuple):
    """What became of a task."""

    task: Task
    line: str | None  # what to tell, None where it failed
    error: str | None
    read: int = 0  # bytes
    written: int = 0

    @property
    def source(self) -> Path:
        """What it was made of."""
        return self.task.source


class Work(Protocol):
    """What is done with each of many files: a dataclass, so that other processes get it, too."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    threads: int | None  # CPU threads, None: one a core

    @property
    def warn(self) -> Warn:
        """What says of a file that something is not as it was."""

    @property
    def device(self) -> str:
        """Where it computes: auto, cpu or cuda."""

    @property
    def dates(self) -> bool:
        """Whether what is made is all that can be asked for again, and gets the source's time."""

    def __call__(self, task: Task, member: Member | None = None) -> str:
        """Make the target, alone or as a member of a group; return what to tell about it."""

    def is_due(self, task: Task, outdated: bool) -> bool | None:
        """Whether an existing target is made again; `AicError`: it is kept, and not as asked.

        None: it is known to be what the source makes, whatever its time says.
        """

    def size(self, source: Path) -> tuple[int, int] | None:
        """Return height and width of the picture; None: unknown, or it has to go alone."""


@runtime_checkable
class Measurable(Work, Protocol):
    """Some work of which it is known before how large its pictures are."""

    def pixels(self, source: Path) -> int | None:
        """Return how many pixels are coded of a picture; None: that is unknown."""

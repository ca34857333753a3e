"""What a run of training may take, and how much of that is gone."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imgcodec.errors import AicError

# A step of more seconds than this, and of more than so many times the quickest one, means that the
# process was suspended; it counts as the larger of the two.
STEP_LIMIT_S, STEP_LIMIT = 5.0, 5


class Budget:
    """Minutes of training, seconds of the clock, or a number of patches.

    Minutes are those of steps. In seconds of the clock all is counted: start, validation and
    checkpoints, too.

    Attributes:
        elapsed: training time so far, seconds.
    """

    def __init__(
        self, minutes: float, seconds: float | None, patches: int | None, begun: float | None
    ) -> None:
        """Begin.

        Args:
            minutes: of training, in all.
            seconds: of the clock, in place of the minutes; None: minutes count.
            patches: how many there may be, in place of time; None: time counts.
            begun: when the seconds began, by `time.perf_counter`; None: now.
        """
        self.elapsed = 0.0
        self._patches, self._seconds = patches, seconds
        self._most = 60 * minutes  # of `elapsed`
        self._quickest = math.inf
        self._end = math.inf
        if seconds:
            self._end = seconds + (time.perf_counter() if begun is None else begun)

    @property
    def by_clock(self) -> bool:
        """Whether seconds of the clock count."""
        return bool(self._seconds)

    def share(self, patches: int) -> float:
        """Return the share that is gone once so many patches were seen; 1 or more at the end."""
        return patches / self._patches if self._patches else self.elapsed / self._most

    def left(self) -> float:
        """Return the seconds of the clock that are left; without such, there is no end of them.

        Raises:
            AicError: none are left.
        """
        return self._some(self._end - time.perf_counter()) if self.by_clock else math.inf

    def take(self, seconds: float) -> None:
        """Let steps take so many of the seconds that are left.

        Raises:
            AicError: none are left.
        """
        self._most = self._some(seconds)

    def _some(self, left: float) -> float:
        if left <= 0:
            raise AicError(f"start and validation alone take longer than {self._seconds:g} s")
        return left

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count the time of a step."""
        started = time.perf_counter()
        yield
        taken = time.perf_counter() - started
        self._quickest = min(self._quickest, taken)
        most = math.inf if self.by_clock else max(STEP_LIMIT_S, STEP_LIMIT * self._quickest)
        self.elapsed += min(taken, most)

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Count the time of what is no step, where all is counted."""
        started = time.perf_counter() if self.by_clock else 0.0
        yield
        if self.by_clock:
            self.elapsed += time.perf_counter() - started

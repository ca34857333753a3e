"""Threads that do the same work on different things, and some of their calls as one."""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from threading import Condition
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Answer = Callable[[list[Any]], Sequence[Any]]


class _Call(NamedTuple):
    """What a thread asks for."""

    member: int
    key: Hashable  # calls of one key are answered together
    answer: Answer
    argument: Any
    found: "Future[Any]"


class Lockstep:
    """Runs threads whose calls wait for each other.

    Once every thread has called or ended, calls alike are answered together, in the thread that
    runs the group. So what goes together does not depend on how fast a thread is.
    """

    def __init__(self) -> None:
        """Start without threads."""
        self._changed = Condition()
        self._calls: list[_Call] = []
        self._running = 0
        self._answering: list[_Call] = []
        self._end: BaseException | None = None  # what every call raises from then on

    def run(self, works: Sequence[Callable[["Member"], T]]) -> list[T]:
        """Do all works, each in a thread of its own, and return what they return.

        Ctrl-C, or what else ends this thread, ends the others where they call.
        """
        self._running = len(works)
        with ThreadPoolExecutor(len(works)) as pool:
            try:
                futures = [
                    pool.submit(self._take_part, work, Member(self, number))
                    for number, work in enumerate(works)
                ]
                while calls := self._next():
                    for _, alike in groupby(calls, itemgetter(1)):
                        _answer(list(alike))
            except BaseException as error:
                self._leave(error)
                raise
        return [future.result() for future in futures]

    def ask(self, call: _Call) -> None:
        """Take a call."""
        with self._changed:
            if self._end is not None:
                raise self._end
            self._calls.append(call)
            self._changed.notify_all()

    def _leave(self, error: BaseException) -> None:
        """Answer all calls, those to come, too, by an exception."""
        with self._changed:
            self._end = error
            for call in (*self._answering, *self._calls):
                if not call.found.done():
                    call.found.set_exception(error)

    def _take_part(self, work: Callable[["Member"], T], member: "Member") -> T:
        try:
            return work(member)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _next(self) -> list[_Call]:
        """Return the calls of all threads, those alike together; none if all have ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._calls) == self._running)
            self._answering, self._calls = self._calls, []
        return sorted(self._answering, key=lambda call: (repr(call.key), call.member))


class Member:
    """A thread's place in a lockstep group."""

    def __init__(self, group: Lockstep, number: int) -> None:
        """Take the number by which calls are ordered."""
        self._group, self._number = group, number

    def call(self, key: Hashable, answer: Answer, argument: Any) -> Any:
        """Return this argument's element of `answer(arguments of all calls of that key)`.

        An exception concerns only the call that raises it on its own, too.
        """
        found: Future[Any] = Future()
        self._group.ask(_Call(self._number, key, answer, argument, found))
        return found.result()


def _answer(calls: list[_Call]) -> None:
    try:
        found = calls[0].answer([call.argument for call in calls])
    except (KeyboardInterrupt, SystemExit):  # is meant for all
        raise
    except BaseException as error:  # of a panic, too, somebody has to hear, or all wait for ever
        if len(calls) == 1:
            calls[0].found.set_exception(error)
        else:
            for call in calls:
                _answer([call])
        return
    for call, result in zip(calls, found, strict=True):
        call.found.set_result(result)

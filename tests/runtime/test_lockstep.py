"""Threads whose calls wait for each other."""

import _thread
import signal
import threading
import time
from functools import partial

import pytest

from imgcodec.errors import AicError
from imgcodec.runtime.lockstep import Lockstep


def test_calls_alike_are_answered_together_in_order():
    seen = []

    def double(numbers):
        seen.append((numbers, threading.current_thread()))
        return [2 * number for number in numbers]

    def work(number, member):
        found = member.call("double", double, number)
        return member.call("double", double, found) if number > 1 else found

    assert Lockstep().run([partial(work, i) for i in range(4)]) == [0, 2, 8, 12]
    assert [numbers for numbers, _ in seen] == [[0, 1, 2, 3], [4, 6]]
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_other_calls_are_answered_apart():
    seen = []

    def name(kind, arguments):
        seen.append((kind, arguments))
        return [kind] * len(arguments)

    def work(number, member):
        kind = "even" if number % 2 == 0 else "odd"
        return member.call(kind, partial(name, kind), number)

    assert Lockstep().run([partial(work, i) for i in range(5)]) == ["even", "odd"] * 2 + ["even"]
    assert seen == [("even", [0, 2, 4]), ("odd", [1, 3])]


@pytest.mark.parametrize("when", ["answering", "waiting"])
@pytest.mark.timeout(20)
def test_what_ends_this_thread_ends_the_others(when):
    """Ctrl-C, whether it comes during an answer or between two."""
    ended = []

    def answer(numbers):
        if when == "answering":
            signal.raise_signal(signal.SIGINT)
        return numbers

    def work(number, member):
        try:
            if when == "waiting" and number == 2:
                time.sleep(0.2)
                _thread.interrupt_main()
                time.sleep(0.2)
            member.call("answer", answer, number)
        finally:
            ended.append(number)

    with pytest.raises(KeyboardInterrupt):
        Lockstep().run([partial(work, i) for i in range(3)])
    assert sorted(ended) == [0, 1, 2]


def test_an_exception_is_that_of_one_thread():
    def invert(numbers):
        return [1 / number for number in numbers]

    def work(number, member):
        try:
            return member.call("invert", invert, number)
        except ZeroDivisionError:
            return "none"

    assert Lockstep().run([partial(work, i) for i in (1, 0, 2)]) == [1, "none", 0.5]


def test_a_panic_of_the_coder_does_not_leave_threads_waiting():
    """It is no `Exception`, as KeyboardInterrupt is none."""

    class Panic(BaseException):
        pass

    def fail(numbers):
        raise Panic

    def work(number, member):
        return member.call("fail", fail, number)

    with pytest.raises(Panic):
        Lockstep().run([partial(work, i) for i in range(2)])


def test_a_thread_that_fails_does_not_stop_the_others():
    ended = []

    def work(number, member):
        if number == 1:
            raise AicError("no")
        ended.append(member.call("same", list, number))

    with pytest.raises(AicError, match="no"):
        Lockstep().run([partial(work, i) for i in range(3)])
    assert sorted(ended) == [0, 2]

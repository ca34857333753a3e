"""What tests let other processes do. They import this module: it has to be light."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from imgcodec import files


def twice(number):
    return 2 * number


def deadly(number):
    """The process dies of one number, slowly enough that others are under way."""
    if number == 3:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def failing(number):
    raise ZeroDivisionError(number)


def ended_in_vain(number):
    with suppress(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)
    return number


class Ending:
    """A result over whose way to the pool the process is ended."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return Ending, (self.number,)


def slow(path):
    with files.replacing(path):
        time.sleep(60)


@dataclass
class Dying:
    """Copies files; its process dies over some, once they are written or before."""

    dates: bool
    together: bool
    warn: object = None
    threads: int | None = None

    def size(self, source):
        return (1, 1) if self.together else None

    def __call__(self, task, member=None):
        source, target, force = task
        if source.name == "dies before":
            while not (target.parent / "dies after").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        files.write_bytes(target, source.read_bytes(), force)
        if source.name == "dies after":
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        return "told"

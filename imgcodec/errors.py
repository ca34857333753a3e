"""Everything that the package refuses, one class per kind of reason; and what it warns of."""

import sys
import warnings
from collections.abc import Iterable
from numbers import Integral, Real

MOST_THREADS = 1024  # that can be asked for; of very many, libraries end the process
_NO_MEMORY = (  # torch, on Windows, too; oneDNN, the loader
    "allocate memory", "not enough memory", "out of memory", "could not create a primitive",
    "failed to map segment",
)  # fmt: skip
_BETWEEN = (__name__.split(".")[0], "PIL")  # packages


class AicError(Exception):
    """An expected refusal, told in one line; any other exception is a bug."""

    def __str__(self) -> str:
        """Return what is told, whatever names and words are in it."""
        return one_line(super().__str__())


class FormatError(AicError):
    """The bytes are not a valid `.aic` file, or would not become one."""


class EndError(FormatError):
    """A stream of bits ends before what it is to say does."""


class TileError(FormatError):
    """The bytes of a tile are not those that were written, or not all of them."""

    def __init__(self, reason: str, data: bytes = b"", length: int = 0) -> None:
        """Take what is to be told, the bytes that there are, and how many there were."""
        super().__init__(reason)
        self.data, self.length = data, length


class ModelMismatchError(AicError):
    """The file was written with other weights than those at hand."""


class ImageError(AicError):
    """A picture that cannot be read, written or represented."""


class DamageError(ImageError):
    """A picture file that is not whole; other programs may read a part of it."""


class HollowError(DamageError):
    """A picture file of far too few bytes for its pixels: no program makes a picture of it."""


class AicWarning(UserWarning):
    """A picture is not kept, or not decoded, as it was; told in one line."""


def one_line(text: str) -> str:
    """Return a text with backslashes for what would end the line or move the cursor."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def check_number(name: str, value: object, wanted: str, kind: type = Real) -> None:
    """Refuse what is no number of a kind of `numbers`; True would count as 1.

    Raises:
        AicError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, kind):
        raise AicError(f"{name} of {type(value).__name__}, wanted {wanted}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false: a word like "no" would count as true.

    Raises:
        AicError: it is none of them.
    """
    if value not in (True, False):
        raise AicError(f"{name} {value!r}, wanted True or False")


def check_threads(threads: int | None, most: int = MOST_THREADS) -> None:
    """Refuse a number of threads that cannot be, for which libraries would end the process.

    None asks for no number.

    Raises:
        AicError: it is not from 1 to `most`.
    """
    if threads is None:
        return
    check_number("threads", threads, f"1..{most}", Integral)
    if not 1 <= threads <= most:
        raise AicError(f"threads {threads}, wanted 1..{most}")


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that the memory is full; libraries say it in many ways."""
    if isinstance(error, RuntimeError | ImportError):
        return any(words in str(error).lower() for words in _NO_MEMORY)
    return isinstance(error, MemoryError)


def warn_of(notes: Iterable[str]) -> None:
    """Warn Python's users, at the line of theirs from which the package was called.

    Pillow may stand between: it calls the plugin.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    for note in notes:
        warnings.warn(one_line(note), AicWarning, stacklevel=level)

"""A picture on its way into a file: what searches for a rate or a quality ask of it."""

from typing import Protocol

from imgcodec.codec.pace import Aim, Forecast
from imgcodec.codec.rate_search import Guess, Planned


class Compressor(Protocol):
    """A picture on its way into a file."""

    def guess(self, room: int) -> Guess:
        """Return where the payloads should have about so many bytes."""

    def renew(self, u: int, *, new_levels: bool = False) -> None:
        """Compute latents that are kept for this rate parameter, and the rates near it.

        Levels stay as they were first chosen where not they, too, are to be new.
        """

    def correct(self, u: int) -> None:
        """Fit latents that were renewed to the picture once, if that takes little."""

    @property
    def refined_kind(self) -> str | None:
        """The quality that `refine` raises, see `target.KINDS`; None where it does nothing."""

    def refine(self, u: int) -> None:
        """Fit latents that are kept to the picture, as `plan(u)` shows it."""

    def recognise(self, u: int) -> bool:
        """Take the codes of the file that the picture was decoded from, if it was and at u."""

    def estimate(self, u: int) -> Forecast:
        """Return about how many bytes `plan(u)` takes, sooner than it does."""

    def plan(self, u: int, aim: Aim | None = None) -> Planned:
        """Choose the codes for a rate parameter; they come close to what is aimed at."""

    def quality(self, u: int, kind: str) -> float:
        """Return a measured quality in dB, see `Target`, of what is decoded from `plan(u)`."""

    @property
    def unheld(self) -> float | None:
        """The error by detail that the last plan could not hold, see `codec.detail`."""

"""Picture -> JPEG file that is as good as it can be at its size once it is restored.

ComCNN (Jiang et al. 2017) puts a network before a standard encoder, and trains it together with
one that restores. Here that network is the one that restores, backwards: the gradient of the
restored picture's error, at the coefficients of a first file, says where each should rather be.
Nothing has to be trained, and what it finds fits each picture (docs/experiments.md, trial 70).

It brings torch. `JpegMaker` leaves transparency, and what JPEG files cannot have, to its caller.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from imgcodec.errors import AicError, ImageError, check_flag, check_number, warn_of
from imgcodec.jpeg import choosing, forward, halves, writing
from imgcodec.jpeg.pixels import Samples
from imgcodec.jpeg.reading import Coefficients, Plane
from imgcodec.jpeg.syntax import ZIGZAG
from imgcodec.pictures.arrays import as_array, is_pil
from imgcodec.pictures.frame import Frame
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import from_pil
from imgcodec.pictures.writer import empty_jpeg, left_out
from imgcodec.releases import DEFAULT_JPEG_QUALITY
from imgcodec.restoring import Restorer
from imgcodec.runtime.stopwatch import stage
from imgcodec.target import Target, check_effort

QUALITIES = 1.0, 100.0
SHARED = (2, 2)  # samples of luma that share one of colour
# What an error of one level in a coefficient costs, of Y, Cb and Cr: squared errors of red, green
# and blue. Colours of a quarter of the resolution count for more, but widening damps fine ones.
WEIGHTS = (3.0, 3.2 * 3.258, 3.2 * 2.475)
GREY_WEIGHTS = (1.0,)
PRICE = 0.06  # of a bit, in squared errors of one coarse step
COARSE = 15  # frequencies of luma whose mean step is that
TRUST = 0.6  # share of the way to where a coefficient should rather be
FARTHEST = 0.3  # steps
PARTS = 4  # of a step of quality, that a search tells apart


class _Work(NamedTuple):
    """A picture to be made a JPEG file of."""

    picture: Picture
    whole: tuple[int, int] | None  # height and width that it had, if it was halved


class JpegMaker:
    """Makes JPEG files, one at a time."""

    def __init__(self, restorer: Restorer) -> None:
        """Take the network that will restore them."""
        self._restorer = restorer

    def encode(
        self, picture: Picture, quality: float, rounds: int = 1, half: bool = False
    ) -> bytes:
        """Return a progressive file whose colours have a quarter of the resolution.

        Args:
            picture: opaque; its metadata are kept.
            quality: 1..100, on libjpeg's scale.
            rounds: how often coefficients are moved to where they should rather be.
            half: make it of half the width and height, which the restorer brings back.

        Raises:
            ImageError: a side is longer than JPEG files have it.
        """
        work = _work(picture, half)
        return self._made(_levels(work.picture), work, quality, rounds)

    def fit(
        self, picture: Picture, most_bytes: int, rounds: int = 1, half: bool = False
    ) -> tuple[bytes, float]:
        """Return the largest file found of at most so many bytes, and its quality.

        Raises:
            AicError: the least quality takes more.
            ImageError: see `encode`.
        """
        work = _work(picture, half)
        levels = _levels(work.picture)

        @cache
        def rough_bytes(place: int) -> int:
            return len(self._made(levels, work, place / PARTS, 0))

        low, high = (round(PARTS * quality) for quality in QUALITIES)
        growth = 1.0  # by rounds, which only the files that may be taken get
        while True:
            fitting = bisect_right(
                range(low, high + 1),
                most_bytes,
                key=lambda place: int(growth * rough_bytes(place)),
            )
            high = max(low, low + fitting - 1)
            data = self._made(levels, work, high / PARTS, rounds)
            if len(data) <= most_bytes:
                return data, high / PARTS
            if high == low:
                raise AicError(
                    f"takes {len(data)} bytes at quality {low / PARTS:g}, of {most_bytes} at most"
                )
            growth *= len(data) / most_bytes
            high -= 1

    def _made(self, levels: Sequence[Samples], work: _Work, quality: float, rounds: int) -> bytes:
        """Return the file of a picture with these coefficients."""
        picture = work.picture
        height, width = picture.shape[:2]
        table = forward.table(quality)
        file = empty_jpeg(picture, table)
        steps = table[ZIGZAG]
        weights = WEIGHTS if len(levels) == 3 else GREY_WEIGHTS
        coarse = float(np.exp(np.log(steps[:COARSE]).mean()))
        price = PRICE * weights[0] * coarse**2

        def quantised(wanted: Iterable[Samples]) -> Coefficients:
            planes = []
            for number, (its, weight) in enumerate(zip(wanted, weights, strict=True)):
                squares = weight * coarse * steps  # mozjpeg has them all alike
                blocks = choosing.chosen(its.reshape(-1, 64), steps, squares, price)
                factors = SHARED if number else (1, 1)
                planes.append(Plane(blocks.reshape(its.shape), steps, factors))
            return Coefficients(height, width, tuple(planes))

        with stage("quantise"):
            found = quantised(levels)
        for _ in range(rounds):
            with stage("prepare"):
                slopes = self._restorer.slopes(found, picture.pixels)
            with stage("quantise"):
                parts = zip(levels, found.planes, slopes, weights, strict=True)
                found = quantised(_moved(*part) for part in parts)
        with stage("write"):
            blocks = [plane.blocks.reshape(-1, 64) for plane in found.planes]
            data = writing.refilled(file, np.concatenate(blocks))
            return data if work.whole is None else halves.marked(data, *work.whole)


def _work(picture: Picture, half: bool) -> _Work:
    if not half:
        return _Work(picture, None)
    whole = picture.shape[0], picture.shape[1]
    height, width = halves.half(*whole)
    return _Work(Frame(resize=(width, height)).applied(picture), whole)


@stage("transform")
def _levels(picture: Picture) -> list[Samples]:
    return forward.levels(picture.pixels, SHARED)


def _moved(levels: Samples, plane: Plane, slopes: Samples, weight: float) -> Samples:
    """Return coefficients nearer to where the restored picture's error would be least.

    Error is taken for a parabola over each, as wide as that of the plain picture.
    """
    steps = plane.steps.astype(np.float32)
    best = plane.blocks * steps - slopes / (np.float32(2 * weight) * steps)
    most = np.float32(FARTHEST) * steps
    moved: Samples = levels + np.clip(np.float32(TRUST) * (best - levels), -most, most)
    return moved


def encoded(
    image: Any, goal: Mapping[str, float | None], effort: int, half: bool, threads: int | None
) -> bytes:
    """Return the JPEG file of one picture, see `imgcodec.encode_jpeg`.

    Args:
        image: uint8 (H, W, 3) or (H, W), a PIL image or a `Picture`.
        goal: rate, size and quality, of which one may be asked.
        effort: 1..9, rounds.
        half: see `JpegMaker.encode`.
        threads: of torch; None leaves them alone.

    Raises:
        AicError: a goal that is none, or that cannot be reached.
        ImageError: the picture is none, is transparent, or too large for a JPEG file.
    """
    if (quality := goal.get("quality")) is not None:
        check_quality(quality)
    target = Target.of(DEFAULT_JPEG_QUALITY, **goal)
    check_effort(effort)
    check_flag("half", half)
    picture = _picture(image)
    maker = JpegMaker(Restorer(threads=threads))
    if target.limits:
        most = target.num_bytes(picture.shape[0] * picture.shape[1])
        return maker.fit(picture, most, effort, half)[0]
    return maker.encode(picture, target.value, effort, half)


def check_quality(quality: float) -> None:
    """Refuse a quality that libjpeg's scale has not."""
    check_number("quality", quality, "1..100")
    if not QUALITIES[0] <= quality <= QUALITIES[1]:
        raise AicError(f"quality {quality}, wanted 1..100")


def _picture(image: Any) -> Picture:
    """Return an opaque picture, and warn of what is not kept."""
    if is_pil(image):
        image = from_pil(image)
        warn_of(image.notes)
    picture = image if isinstance(image, Picture) else Picture(as_array(image))
    picture.check()
    if picture.alpha is not None and picture.alpha.min() < 255:
        raise ImageError("a JPEG file cannot be transparent")
    if lost := left_out("a.jpg", picture.metadata, picture.georeference):
        warn_of([f"without {', '.join(lost)}"])
    return replace(picture, alpha=None)

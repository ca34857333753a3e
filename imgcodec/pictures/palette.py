"""Pictures of few colours: those of which a drawn picture needs least to look as it does."""

import numpy as np
from numpy.typing import NDArray

from imgcodec.pictures.arrays import ByteArray, as_colour

Floats = NDArray[np.float64]
# A pixel whose four neighbours are like it counts in full, others together as their number to
# this power: a letter has many shades, an area has one, and is seen. Of 0.5, 0.7 and 1, this
# reaches equal SSIMULACRA 2 with the fewest bytes on most of eight pages. Pillow's median cut with
# k-means has a score of 36 on a page with bars and lists in 16 colours, where this has 80.
EDGES = 0.7
MOST = 1024  # colours to begin with; the rarest of more are taken for their neighbours
STEP_BITS = 3  # of the steps in which more colours than that are counted
BUCKETS = 2**12  # more than so many, counted so, are those of a photograph


class Palette:
    """The colours of a picture, and which of them to join first.

    Two colours a and b of weights v and w become their mean, always those two whose squared
    distance times v w / (v + w) is least (pairwise nearest neighbours, Equitz 1989). In the end,
    a colour that has more than half of the weight of what was joined stands for all of it.
    """

    def __init__(self, pixels: ByteArray) -> None:
        """Count the colours of uint8 (H, W, 3) or (H, W)."""
        self._grey = pixels.ndim == 2
        channels = as_colour(pixels).astype(np.uint32)
        keys = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
        found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        self._places = places.reshape(keys.shape)  # of each pixel, its colour
        self._colours = np.stack([found >> 16, found >> 8 & 255, found & 255], 1).astype(float)
        self._weights = counts**EDGES + self._flat()
        self._groups = self._start()
        self._steps: list[tuple[int, int]] | None = None  # what is joined to what

    def __len__(self) -> int:
        """Return the number of colours."""
        return len(self._colours)

    @property
    def joinable(self) -> bool:
        """Whether there are few enough to begin with."""
        return self._groups is not None

    def reduced(self, count: int) -> ByteArray:
        """Return the picture in so many colours, like the pixels given.

        Raises:
            ValueError: it has far too many for that.
        """
        if self._groups is None:
            raise ValueError(f"{len(self)} colours are those of a photograph")
        labels, size = self._groups
        if self._steps is None:
            self._steps = _joined(*self._means(labels, size))
        into = np.arange(size)
        for kept, gone in self._steps[: max(0, size - count)]:
            into[into == gone] = kept
        labels = into[labels]
        means, weights = self._means(labels, size)
        rising = np.argsort(self._weights, kind="stable")
        heaviest = np.zeros(size, np.intp)
        heaviest[labels[rising]] = rising  # the last of each group stays
        means = np.where(
            (self._weights[heaviest] > weights / 2)[:, None], self._colours[heaviest], means
        )
        colours = np.rint(np.nan_to_num(means)).astype(np.uint8)[labels]
        pixels: ByteArray = colours[self._places]
        return pixels[..., 0] if self._grey else pixels

    def _flat(self) -> NDArray[np.int64]:
        """Return how many pixels of each colour have none but that around them."""
        flat = np.ones(self._places.shape, bool)
        for axis in range(2):
            there, here = (
                tuple(part if i == axis else slice(None) for i in range(2))
                for part in (slice(1, None), slice(None, -1))
            )
            same = self._places[there] == self._places[here]
            flat[there] &= same
            flat[here] &= same
        return np.bincount(self._places[flat], minlength=len(self._colours))

    def _start(self) -> tuple[NDArray[np.intp], int] | None:
        """Return the number of each colour's group, and how many groups there are, or None."""
        if len(self) <= MOST:
            return np.arange(len(self)), len(self)
        steps = self._colours.astype(np.uint32) >> STEP_BITS
        keys = (steps[:, 0] << 16) | (steps[:, 1] << 8) | steps[:, 2]
        groups, labels = np.unique(keys, return_inverse=True)
        labels = labels.reshape(-1)
        if len(groups) > BUCKETS:
            return None
        if len(groups) > MOST:
            means, weights = self._means(labels, len(groups))
            kept = np.sort(np.argsort(weights)[-MOST:])
            labels = _distances(means, means[kept]).argmin(1)[labels]
        return labels, min(len(groups), MOST)

    def _means(self, labels: NDArray[np.intp], size: int) -> tuple[Floats, Floats]:
        """Return the mean colour of each group, (size, 3), nan of an empty one, and its weight."""
        weights: Floats = np.bincount(labels, self._weights, size).astype(float)
        sums = [np.bincount(labels, self._weights * part, size) for part in self._colours.T]
        with np.errstate(invalid="ignore"):
            return np.stack(sums, 1) / weights[:, None], weights


def _distances(colours: Floats, others: Floats) -> Floats:
    """Return the squared distance of each (N, 3) and each (M, 3), (N, M)."""
    squares = [(part**2).sum(1) for part in (colours, others)]
    found: Floats = squares[0][:, None] - 2 * colours @ others.T + squares[1]
    return found


def _joined(colours: Floats, weights: Floats) -> list[tuple[int, int]]:
    """Return which group is joined to which, one after the other, until one is left.

    Args:
        colours: (N, 3).
        weights: (N,).
    """
    size = len(colours)
    colours, weights = colours.copy(), weights.copy()
    there = np.ones(size, bool)

    def costs(number: int) -> Floats:
        """Return what it costs to join each to this one."""
        distances = ((colours - colours[number]) ** 2).sum(1)
        found: Floats = distances * weights * weights[number] / (weights + weights[number])
        found[~there] = np.inf
        found[number] = np.inf
        return found

    table = np.stack([costs(number) for number in range(size)])
    nearest = table.argmin(1)
    steps = []
    for _ in range(size - 1):
        best = table[np.arange(size), nearest]
        kept = int(best.argmin())
        gone = int(nearest[kept])
        total = weights[kept] + weights[gone]
        both = weights[kept] * colours[kept] + weights[gone] * colours[gone]
        colours[kept], weights[kept] = both / total, total
        there[gone] = False
        steps.append((kept, gone))
        table[gone] = table[:, gone] = np.inf
        table[kept] = table[:, kept] = costs(kept)
        stale = np.flatnonzero(there & ((nearest == kept) | (nearest == gone)))
        nearest[stale] = table[stale].argmin(1)
        nearest[kept] = table[kept].argmin()
        closer = table[:, kept] < table[np.arange(size), nearest]
        nearest[closer] = kept
    return steps

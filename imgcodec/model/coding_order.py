"""In which order places are coded, and which of their neighbours are known by then.

Levels and the lows of the pyramid go coarse to fine, on lattices; the other latents in phases,
each place of a phase at once.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=8)
def lattice_passes(
    height: int, width: int, stride: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return per pass the flat indices of its places (T,) and of their neighbours (4, T).

    Neighbours 0 and 1 face each other, as do 2 and 3. At the edge of the picture the missing one
    is replaced by the one that faces it, or by one of the other pair.
    """
    with torch.inference_mode(False):  # the result may be used in training later
        order = _lattice_passes(height, width, stride)
        return tuple((places.to(device), near.to(device)) for places, near in order)


def _lattice_passes(height: int, width: int, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    first = (rows % stride == 0) & (columns % stride == 0)
    index = (rows * width + columns)[first]
    yield index, index.expand(4, -1)
    d = stride // 2
    while d:
        odd_row, odd_column = rows % (2 * d) == d, columns % (2 * d) == d
        even_row, even_column = rows % (2 * d) == 0, columns % (2 * d) == 0
        corners = [(-d, -d), (d, d), (-d, d), (d, -d)]
        sides = [(0, -d), (0, d), (-d, 0), (d, 0)]
        for mask, offsets in (
            (odd_row & odd_column, corners),
            ((odd_row & even_column) | (even_row & odd_column), sides),
        ):
            r, c = rows[mask], columns[mask]
            found = []
            for dr, dc in offsets:
                nr = torch.where((r + dr < 0) | (r + dr >= height), r - dr, r + dr)
                nc = torch.where((c + dc < 0) | (c + dc >= width), c - dc, c + dc)
                out = (nr < 0) | (nr >= height) | (nc < 0) | (nc >= width)
                # one row or column only: look along it instead
                nr, nc = torch.where(out, r - abs(dc), nr), torch.where(out, c - abs(dr), nc)
                found.append(nr * width + nc)
            yield r * width + c, torch.stack(found)
        d //= 2


class Phase(NamedTuple):
    """Places that are coded together, and what they see of their own group.

    Places are flat indices, int64; height * width stands for one outside.
    """

    places: Tensor  # (T,)
    nearest: Tensor  # (T, 4) `CORNERS` or `SIDES`, or (T, 0)
    others: Tensor  # (T, N) of `others_known`


Offsets = tuple[tuple[int, int], ...]  # rows and columns
CORNERS: Offsets = ((-1, -1), (-1, 1), (1, -1), (1, 1))
SIDES: Offsets = ((-1, 0), (1, 0), (0, -1), (0, 1))
# By the number of phases, that of each place, repeated over the map, and the nearest neighbours.
PATTERNS = {
    3: ((0, 2), (2, 1)),
    6: ((0, 4, 2, 4), (5, 3, 5, 3), (2, 4, 1, 4), (5, 3, 5, 3)),
}
NEAREST: dict[int, tuple[Offsets, ...]] = {
    3: ((), CORNERS, SIDES),
    6: ((), (), (), CORNERS, SIDES, SIDES),
}


def others_known(count: int, radius: int) -> tuple[Offsets, ...]:
    """Return per phase which places around one are known before it, besides the nearest.

    Args:
        count: of the phases, 3 or 6.
        radius: rows and columns each way.
    """
    pattern, side = PATTERNS[count], len(PATTERNS[count])
    around = range(-radius, radius + 1)

    def known(phase: int, dr: int, dc: int) -> bool:
        return all(
            pattern[(r + dr) % side][(c + dc) % side] < phase
            for r in range(side)
            for c in range(side)
            if pattern[r][c] == phase
        )

    return tuple(
        tuple(
            (dr, dc)
            for dr in around
            for dc in around
            if (dr, dc) not in nearest and known(phase, dr, dc)
        )
        for phase, nearest in enumerate(NEAREST[count])
    )


@lru_cache(maxsize=16)
def phases(
    height: int, width: int, device: torch.device, count: int = 3, radius: int = 1
) -> tuple[Phase, ...]:
    """Return the phases in which the places of a map are coded.

    Of three: first every second place of every second row, without neighbours; then the centres
    of the squares between them, from their corners; then the other half, from the four direct
    neighbours, all of them known by then. Of six: the first third of these comes in three such
    phases of its own, and the last in two.

    Args:
        height: of the map.
        width: of the map.
        device: of the indices.
        count: of the phases, 3 or 6.
        radius: how far other places are seen, see `others_known`.
    """
    with torch.inference_mode(False):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        index = rows * width + columns
        far = max(radius, 1)
        p = F.pad(index, (far, far, far, far), value=height * width)
        pattern = torch.tensor(PATTERNS[count])
        number = pattern[rows % len(pattern), columns % len(pattern)]
        found = []
        for phase, both in enumerate(
            zip(NEAREST[count], others_known(count, radius), strict=True)
        ):
            mask = number == phase
            r, c = rows[mask], columns[mask]
            near, others = (
                torch.stack([p[r + far + dr, c + far + dc] for dr, dc in seen], 1)
                if seen
                else r.new_zeros(len(r), 0)
                for seen in both
            )
            found.append(Phase(*(t.to(device) for t in (index[mask], near, others))))
        return tuple(found)


@lru_cache(maxsize=16)
def places_in_order(
    height: int, width: int, device: torch.device, count: int = 3, radius: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the places of all `phases` one after another, and where in that each place is.

    Takes what they take.
    """
    order = phases(height, width, device, count, radius)
    with torch.inference_mode(False):
        places = torch.cat([phase.places for phase in order])
        return places, torch.argsort(places)

"""Integer context models: which probability every level and every code has.

Encoder and decoder must compute the very same probabilities on every machine, so these networks
work on integers alone: int8 weights, activations 0..127, every sum below 2^24, scaling by powers
of two, rounding after every layer. The integers are held in float32, where all of this is exact;
no thread count, memory format or library changes a bit of it. In training the same layers also
run without the rounding (`quantised = False`), and with it gradients pass straight through.

Everything coded is an integer around a predicted mean with a predicted scale:

    mean   in units of 1/16 of the step (MEAN_UNIT)
    scale  s = 2^((index - 40) / 8) steps, index 0..111 (SCALE_ZERO, SCALES_PER_OCTAVE, NUM_SCALES)
    value  in units of 1/16 of the step, 16 * integer + mean for latents

A *visitor* is called for every step of the coding order. It gets what is predicted and gives the
values, so that training, rate estimates, encoding and decoding all share one loop:

    visit(channels, mean, scale, places) -> values

with channels a slice, mean, scale and values (B, C, h, w); values elsewhere than at the places
are zero.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.integer import ACTIVATION_MAX, IntegerConv2d, activation, check_sums, rounded
from imgcodec.model.tables import (
    RATE_SHOWN,
    VALUE_LIMIT,
    cost_table,
    mass_table,
    squash_table,
)

LATTICE_STRIDE = 8  # places between those of the first pass


class Places(NamedTuple):
    """The places of one step, in both forms."""

    mask: Tensor  # bool (h, w)
    where: Tensor  # the same as int64 (T,) into h * w, rising


Visitor = Callable[[slice, Tensor, Tensor, Places], Tensor]


class ContextModel(nn.Module):
    """What both context models share: the squashing table and the switch to integers."""

    def __init__(self) -> None:
        """Make the table a part of the weights: no machine recomputes it."""
        super().__init__()
        self.quantised = True
        self.squashing: Tensor
        self.register_buffer("squashing", squash_table())

    def squash(self, values: Tensor) -> Tensor:
        """Return the compressed form of values in 1/16 steps, integers -127..127."""
        index = (values + (VALUE_LIMIT + 0.5)).clamp(0, 2 * VALUE_LIMIT)
        return self.squashing[index.long()]


class LatticeContext(ContextModel):
    """Context model of smooth maps (levels, block means), coded coarse to fine.

    The first pass codes every 8th place of every 8th row; each further pair of passes halves the
    spacing: first the centres of the squares, then the middles of their sides. A place is
    predicted from the mean of its four nearest known neighbours, the network adds a correction
    and gives the scale, from how much those neighbours differ.
    """

    NUM_PASSES = 7

    def __init__(self, channels: int, extras: int, default: int, hidden: int) -> None:
        """Make a model of `channels` maps; `default` is the mean where nothing is known."""
        super().__init__()
        self.channels, self.default = channels, default
        self.first = IntegerConv2d(3 * channels + extras + self.NUM_PASSES, hidden, 1)
        self.second = IntegerConv2d(hidden, hidden, 1)
        self.last = IntegerConv2d(hidden, 2 * channels, 1, gain=0.05)

    def check(self) -> None:
        """Raise ValueError where a sum could be inexact."""
        for layer in (self.first, self.second, self.last):
            check_sums([layer])

    def walk(self, extras: Tensor, scale_offset: Tensor, visit: Visitor) -> Tensor:
        """Visit all places in coding order and return the values.

        Args:
            extras: (B, E, h, w) integers -127..127, known to the decoder beforehand.
            scale_offset: (B, 1, 1) integers added to the scale index.
            visit: see the module's docstring.

        Returns:
            (B, channels, h, w) values without gradient.
        """
        b, _, h, w = extras.shape
        flat_extras = extras.flatten(2)
        values = extras.new_zeros(b, self.channels, h * w)
        for number, (places, neighbours) in enumerate(lattice_passes(h, w)):
            places, neighbours = places.to(extras.device), neighbours.to(extras.device)
            if len(places) == 0:
                continue
            near = values[:, :, neighbours]  # (B, C, 4, T)
            if number == 0:
                near = torch.full_like(near, self.default)
            a, a2, c, c2 = near.unbind(2)
            base = torch.floor((a + a2 + c + c2 + 2) * 0.25)
            slopes = torch.cat([a - a2, c - c2, torch.floor((a + a2 - c - c2) * 0.5)], 1).abs()
            passes = slopes.new_zeros(b, self.NUM_PASSES, len(places))
            passes[:, number] = 64
            z = torch.cat([self.squash(slopes), flat_extras[:, :, places], passes], 1)[:, :, None]
            z = activation(self.first(z, self.quantised), self.quantised)
            z = activation(self.second(z, self.quantised), self.quantised)
            mean, scale = self.last(z, self.quantised)[:, :, 0].chunk(2, 1)
            if self.quantised:
                mean, scale = rounded(mean), rounded(scale)
            canvas = mean.new_zeros(b, self.channels, h * w)
            mean = canvas.index_copy(2, places, base + mean).unflatten(2, (h, w))
            scale = canvas.index_copy(2, places, scale + scale_offset).unflatten(2, (h, w))
            mask = torch.zeros(h * w, dtype=torch.bool, device=extras.device)
            mask[places] = True
            found = visit(slice(0, self.channels), mean, scale, Places(mask.view(h, w), places))
            values = values + found.detach().flatten(2)
        return values.view(b, self.channels, h, w)


@lru_cache(maxsize=8)
def lattice_passes(height: int, width: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return per pass the flat indices of its places (T,) and of their neighbours (4, T).

    Neighbours 0 and 1 face each other, as do 2 and 3. At the edge of the picture the missing one
    is replaced by the one that faces it, or by one of the other pair.
    """
    with torch.inference_mode(False):  # the result may be used in training later
        return tuple(_lattice_passes(height, width))


def _lattice_passes(height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    first = (rows % LATTICE_STRIDE == 0) & (columns % LATTICE_STRIDE == 0)
    index = (rows * width + columns)[first]
    yield index, index.expand(4, -1)
    d = LATTICE_STRIDE // 2
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


def checkerboard(height: int, width: int, device: torch.device) -> tuple[Places, Places]:
    """Return the two halves of the places, that of the first place first."""
    mask = torch.zeros(height, width, dtype=torch.bool, device=device)
    mask[::2, ::2] = True
    mask[1::2, 1::2] = True
    flat = mask.flatten()
    return Places(mask, flat.nonzero()[:, 0]), Places(~mask, (~flat).nonzero()[:, 0])


class CodeContext(ContextModel):
    """Context model of the codes, group by group of channels, each in two checkerboard halves.

    The first `lattice` channels (block means) are coded by a LatticeContext. For the others one
    hidden map collects, by 3x3 convolutions, the levels, the rate, the slopes of the block means
    and all groups so far; a small network of each group turns it into mean and scale.
    """

    def __init__(
        self,
        lattice: int,
        groups: tuple[int, ...],
        signed_groups: int,
        width: int,
        hidden: int,
        outputs: int,
    ) -> None:
        """Make the model.

        Args:
            lattice: number of channels coded coarse to fine, may be 0.
            groups: sizes of the groups that follow.
            signed_groups: how many of them show later ones their signs, not only magnitudes.
            width: channels of the collecting map.
            hidden: channels of a group's network.
            outputs: numbers per latent, 2 (mean and scale) or 1 (mean of a single bit).
        """
        super().__init__()
        self.lattice, self.groups, self.outputs = lattice, groups, outputs
        self.costs: Tensor
        self.register_buffer("costs", cost_table(mass_table()), persistent=False)
        self.signed_groups = signed_groups
        self.means = LatticeContext(lattice, 2, 0, 32) if lattice else None
        shown = [2 * b if i < signed_groups else b for i, b in enumerate(groups)]
        inputs = 2 + 3 * lattice
        spread = (inputs / (inputs + sum(shown))) ** 0.5
        self.collect = IntegerConv2d(inputs, width, 3, spread)
        self.own, self.cross, self.inner, self.outer = (nn.ModuleList() for _ in range(4))
        for size, b in zip(shown, groups, strict=True):
            spread = (size / (inputs + sum(shown))) ** 0.5
            self.own.append(IntegerConv2d(size, width, 3, spread))
            self.cross.append(IntegerConv2d(size, width, 3, spread))
            self.inner.append(IntegerConv2d(width, hidden, 1))
            self.outer.append(IntegerConv2d(hidden, outputs * b, 1, gain=0.05))
        del self.cross[-1]

    def check(self) -> None:
        """Raise ValueError where a sum could be inexact."""
        if self.means is not None:
            self.means.check()
        collected: list[nn.Module] = [self.collect]
        for i in range(len(self.groups)):
            check_sums([*collected, self.own[i]])  # type: ignore[list-item]
            check_sums([self.inner[i]])  # type: ignore[list-item]
            check_sums([self.outer[i]])  # type: ignore[list-item]
            collected += self.cross[i : i + 1]

    def walk(self, levels: Tensor, rate: Tensor, num_levels: int, visit: Visitor) -> None:
        """Visit all channels and places in coding order.

        Args:
            levels: (B, 1, h, w) integers 0..num_levels - 1, float32.
            rate: (B,) integers 0..56, float32: the rate parameter u in eighths of an octave.
            num_levels: L.
            visit: see the module's docstring.
        """
        q = self.quantised
        b, _, h, w = levels.shape
        centred = levels - num_levels // 2
        known = torch.cat(
            [
                (8 * centred).clamp_min(-ACTIVATION_MAX),
                (RATE_SHOWN * rate).view(b, 1, 1, 1).expand(b, 1, h, w),
            ],
            1,
        )
        if self.means is not None:
            means = self.means.walk(known, rate[:, None, None], visit)
            known = torch.cat([known, self.squash(slopes(means))], 1)
        collected = self.collect(known, q)
        offset = rate[:, None, None, None] + 4 * centred
        anchors, others = checkerboard(h, w, levels.device)
        start = self.lattice
        for i, size in enumerate(self.groups):
            channels = slice(start, start + size)
            predict = _Head(self.inner[i], self.outer[i], self.outputs, offset, q)
            values = visit(channels, *predict(collected, anchors), anchors).detach()
            half = collected + self.own[i](self._shown(values, i), q)
            values = values + visit(channels, *predict(half, others), others).detach()
            if i + 1 < len(self.groups):
                collected = collected + self.cross[i](self._shown(values, i), q)
            start += size

    def _shown(self, values: Tensor, group: int) -> Tensor:
        """Return what later groups see of a group's values."""
        squashed = self.squash(values)
        if group >= self.signed_groups:
            return squashed.abs()
        return torch.cat([squashed, squashed.abs()], 1)


class _Head:
    """A group's network: collected map -> mean and scale of each of its latents."""

    def __init__(
        self, inner: nn.Module, outer: nn.Module, outputs: int, offset: Tensor, quantised: bool
    ) -> None:
        self.inner, self.outer, self.outputs = inner, outer, outputs
        self.offset, self.quantised = offset, quantised

    def __call__(self, collected: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        b, _, h, w = collected.shape
        z = collected.flatten(2).index_select(2, places.where)[:, :, None]  # (B, C, 1, T)
        z = activation(z, self.quantised)
        z = activation(self.inner(z, self.quantised), self.quantised)
        z = self.outer(z, self.quantised)
        if self.quantised:
            z = rounded(z)
        canvas = z.new_zeros(b, z.shape[1], h * w)
        z = canvas.index_copy(2, places.where, z[:, :, 0]).unflatten(2, (h, w))
        if self.outputs == 1:
            return z, torch.zeros_like(z)
        mean, scale = z.chunk(2, 1)
        return mean, scale + self.offset


def slopes(means: Tensor) -> Tensor:
    """Return both slopes and the curvature of maps, (B, C, h, w) -> (B, 3C, h, w)."""
    p = F.pad(means, (1, 1, 1, 1), mode="replicate")
    north, south = p[:, :, :-2, 1:-1], p[:, :, 2:, 1:-1]
    west, east = p[:, :, 1:-1, :-2], p[:, :, 1:-1, 2:]
    return torch.cat([east - west, south - north, 4 * means - north - south - west - east], 1)

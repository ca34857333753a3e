"""Integer context models: which probability every level and every code has.

Encoder and decoder must compute the very same probabilities on every machine, so these networks
work on integers alone: int8 weights, activations 0..127, every sum below 2^24, scaling by powers
of two, rounding after every layer. The integers are held in float32, where all of this is exact,
or multiplied as int8 where a machine does so natively; no thread count, memory format or library
changes a bit of it. In training the same layers also run without the rounding (`quantised =
False`), and with it gradients pass straight through.

Everything coded is an integer around a predicted mean with a predicted scale:

    mean   in units of 1/16 of the step (MEAN_UNIT)
    scale  s = 2^((index - 40) / 8) steps, index 0..111 (SCALE_ZERO, SCALES_PER_OCTAVE, NUM_SCALES)
    value  in units of 1/16 of the step, 16 * integer + mean for latents

What is coded comes in parts, maps (B, C, h, w) that each have a number and a size: the parts of
the pyramid of block means, then the groups of latents. A *visitor* is called for every step of
the coding order. It gets what is predicted and gives the values, so that training, rate
estimates, encoding and decoding all share one loop:

    visit(part, mean, scale, places) -> values

with mean, scale and values (B, T, C) and places (T,) int64 the flat indices into the part's map.
Inside, maps are *rows*, (B, h w, C), so that what belongs to a place lies together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model import pyramid
from imgcodec.model.coding_order import (
    CORNERS,
    NEAREST,
    SIDES,
    lattice_passes,
    others_known,
    phases,
    places_in_order,
)
from imgcodec.model.fusion import fusable
from imgcodec.model.integer import (
    ACTIVATION_MAX,
    IntegerConv2d,
    IntegerLayer,
    IntegerLinear,
    NarrowConv2d,
    activation,
    check_sums,
    rounded,
)
from imgcodec.model.tables import (
    MEAN_UNIT,
    RATE_SHOWN,
    SQUASHED_GAIN,
    VALUE_LIMIT,
    squash_table,
)

Visitor = Callable[[int, Tensor, Tensor, Tensor], Tensor]

LATTICE_HIDDEN = 32  # channels of the network of maps on lattices
LEVEL_STRIDE = 8  # places between those of the levels' first pass
LOWS_STRIDE = 2  # the same for the coarsest part of the pyramid
OCTAVE_SHOWN = 64
EIGHTHS_SHOWN = 4  # the networks see the eighths of an octave of steps this many times


class ContextModel(nn.Module):
    """What the context models share: the squashing table and the switch to integers."""

    def __init__(self) -> None:
        """Make the table a part of the weights: no machine recomputes it."""
        super().__init__()
        self.quantised = True
        self.squashing: Tensor
        self.register_buffer("squashing", squash_table())

    def squash(self, values: Tensor) -> Tensor:
        """Return the compressed form of values in 1/16 steps, integers -127..127."""
        if values.requires_grad:
            return _Squashed.apply(values, self.squashing)  # type: ignore[no-untyped-call, no-any-return]
        return _squashed(values, self.squashing)

    def sums_added(self) -> Iterator[list[IntegerLayer]]:
        """Yield the layers whose sums are added together, for `check_sums`."""
        raise NotImplementedError


class _Squashed(torch.autograd.Function):
    """The same with a gradient, that of 20 asinh(v / 16)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return _squashed(values, table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        values: Tensor = ctx.saved_tensors[0]
        return grads[0] * SQUASHED_GAIN / torch.sqrt(values.square() + MEAN_UNIT**2), None


@fusable
def _squashed(values: Tensor, table: Tensor) -> Tensor:
    index = (values + (VALUE_LIMIT + 0.5)).clamp(0, 2 * VALUE_LIMIT)
    # half the time of table[index]
    return table.index_select(0, index.long().flatten()).view(values.shape)


@fusable
def _with_magnitudes(values: Tensor) -> Tensor:
    return torch.cat([values, values.abs()], 2)


def check(module: nn.Module) -> None:
    """Raise ValueError where a sum in one of the context models inside could be inexact."""
    for part in module.modules():
        if isinstance(part, ContextModel):
            for layers in part.sums_added():
                check_sums(layers)


def freeze(module: nn.Module, int8: bool) -> None:
    """Make the context models inside faster: their weights do not change from now on.

    Args:
        module: with context models inside.
        int8: whether the machine multiplies int8 faster than float32, and as exactly.
    """
    for part in module.modules():
        if isinstance(part, IntegerLayer):
            part.freeze(int8)


def to_rows(maps: Tensor) -> Tensor:
    """Return (B, C, h, w) as (B, h w, C)."""
    rows: Tensor = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return rows


def to_map(rows: Tensor, height: int, width: int) -> Tensor:
    """Return (B, height * width, C) as (B, C, height, width), channels last in memory."""
    maps: Tensor = rows.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return maps


class LatticeContext(ContextModel):
    """Context model of smooth maps, coded coarse to fine: levels, the lows of the pyramid.

    The first pass codes every `stride`-th place of every `stride`-th row; each further pair of
    passes halves the spacing: first the centres of the squares, then the middles of their sides.
    A place is predicted from the mean of its four nearest known neighbours, the network adds a
    correction and gives the scale, from how much those neighbours differ.
    """

    def __init__(self, channels: int, default: int, stride: int) -> None:
        """Make a model of `channels` maps; `default` is the mean where nothing is known."""
        super().__init__()
        self.channels, self.default, self.stride = channels, default, stride
        self.passes = 2 * stride.bit_length() - 1
        self.first = IntegerLinear(3 * channels + 1 + self.passes, LATTICE_HIDDEN)
        self.second = IntegerLinear(LATTICE_HIDDEN, LATTICE_HIDDEN)
        self.last = IntegerLinear(LATTICE_HIDDEN, 2 * channels, gain=0.05)

    def sums_added(self) -> Iterator[list[IntegerLayer]]:
        """Yield each layer: none are added."""
        for layer in (self.first, self.second, self.last):
            yield [layer]

    def walk(self, extras: Tensor, scale_offset: Tensor, visit: Visitor) -> Tensor:
        """Visit all places of part 0 in coding order and return the values.

        Args:
            extras: (B, 1, h, w) integers -127..127, known to the decoder beforehand.
            scale_offset: (B, 1, 1) integers added to the scale index.
            visit: see the module's docstring.

        Returns:
            (B, channels, h, w) values without gradient.
        """
        b, _, h, w = extras.shape
        extras = to_rows(extras)
        values = extras.new_zeros(b, h * w, self.channels)
        order = lattice_passes(h, w, self.stride, extras.device)
        for number, (places, neighbours) in enumerate(order):
            if len(places) == 0:
                continue
            near = values[:, neighbours]  # (B, 4, T, C)
            if number == 0:
                near = torch.full_like(near, self.default)
            a, a2, c, c2 = near.unbind(1)
            base = torch.floor((a + a2 + c + c2 + 2) * 0.25)
            slopes = torch.cat([a - a2, c - c2, torch.floor((a + a2 - c - c2) * 0.5)], 2).abs()
            passes = slopes.new_zeros(b, len(places), self.passes)
            passes[:, :, number] = 64
            z = torch.cat([self.squash(slopes), extras[:, places], passes], 2)
            z = activation(self.first(z, self.quantised), self.quantised)
            z = activation(self.second(z, self.quantised), self.quantised)
            z = self.last(z, self.quantised)
            mean, scale = (rounded(z) if self.quantised else z).chunk(2, 2)
            found = visit(0, base + mean, scale + scale_offset, places)
            values[:, places] = found.detach()
        return to_map(values, h, w)


class Reach(NamedTuple):
    """How far the context model of groups sees."""

    phases: int  # 3 or 6, see `phases`
    radius: int  # of the places that later phases see, see `others_known`
    deep: bool  # whether a layer before each group looks at what is collected so far
    layers: int  # of a group's network, besides the first and the last
    # of the layers before so many groups, and of `far`; (): all are whole
    ranks: tuple[int, ...] = ()


class GroupContext(ContextModel):
    """Context model of groups of channels, each coded in several phases, see `phases`.

    One hidden map collects, by 3x3 convolutions, what is known beforehand and all groups so far,
    and what two such layers in a row, `near` and `far`, make of the former; more such layers may
    look at it before each group (`deep`), whole or narrow. A small network of each group turns it
    into mean and scale. Later phases of a group also see the neighbours that are known by then.
    Values are shown to others with their sign, and their magnitudes beside them.
    """

    def __init__(
        self,
        inputs: int,
        groups: tuple[int, ...],
        width: int,
        hidden: int,
        outputs: int,
        reach: Reach,
    ) -> None:
        """Make the model.

        Args:
            inputs: channels that are known beforehand.
            groups: sizes of the groups.
            width: channels of the collecting map.
            hidden: channels of a group's network.
            outputs: numbers per latent, 2 (mean and scale) or 1 (mean of a single bit).
            reach: how far it sees.
        """
        super().__init__()
        self.groups, self.outputs, self.reach = groups, outputs, reach
        whole = inputs + 2 * sum(groups)
        self.collect = IntegerConv2d(inputs, width, (inputs / whole) ** 0.5)
        self.near = IntegerConv2d(inputs, width)

        def layer(rank: int, gain: float) -> nn.Module:
            if rank:
                return NarrowConv2d(width, rank, width, gain)
            return IntegerConv2d(width, width, gain)

        self.far = layer(next(iter(reach.ranks), 0), 0.1)
        self.corners, self.sides = nn.ModuleList(), nn.ModuleList()
        self.cross, self.inner, self.outer = (nn.ModuleList() for _ in range(3))
        for size in groups:
            spread = (2 * size / whole) ** 0.5
            self.corners.append(IntegerLinear(8 * size, width, spread))
            self.sides.append(IntegerLinear(8 * size, width, spread))
            self.cross.append(IntegerConv2d(2 * size, width, spread))
            self.inner.append(IntegerLinear(width, hidden))
            self.outer.append(IntegerLinear(hidden, outputs * size, gain=0.05))
        del self.cross[-1]
        seen = others_known(reach.phases, reach.radius)
        self.others = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(phase): IntegerLinear(2 * size * len(offsets), width, 0.0)
                    for phase, offsets in enumerate(seen)
                    if offsets
                }
            )
            for size in groups
        )
        ranks = reach.ranks[: len(groups)] or (0,) * len(groups) * reach.deep
        self.deep = nn.ModuleList(layer(rank, 0.0) for rank in ranks)
        self.between = nn.ModuleList(
            nn.ModuleList(IntegerLinear(hidden, hidden, 0.0) for _ in range(reach.layers))
            for _ in groups
        )

    def sums_added(self) -> Iterator[list[IntegerLayer]]:
        """Yield for each group what its hidden map collects, and its network."""
        yield [self.near]
        for layer in (self.far, *self.deep):
            if isinstance(layer, NarrowConv2d):
                yield [layer.narrow]
        far, *deep = (getattr(layer, "wide", layer) for layer in (self.far, *self.deep))
        collected: list[IntegerLayer] = [self.collect, far]
        for i in range(len(self.groups)):
            collected += deep[i : i + 1]
            for phase, nearest in enumerate(self._nearest(i)):
                others = self._others(i, phase)
                yield [*collected, *(layer for layer in (nearest, others) if layer is not None)]
            yield [self.inner[i], *self.between[i]]  # type: ignore[list-item, misc]
            yield [self.outer[i]]  # type: ignore[list-item]
            collected += self.cross[i : i + 1]  # type: ignore[arg-type]

    def _nearest(self, group: int) -> list[IntegerLayer | None]:
        """Return per phase the layer that sees the nearest neighbours."""
        layers = {(): None, CORNERS: self.corners[group], SIDES: self.sides[group]}
        return [layers[offsets] for offsets in NEAREST[self.reach.phases]]  # type: ignore[misc]

    def _others(self, group: int, phase: int) -> IntegerLayer | None:
        """Return the layer that sees the other neighbours, if there are any."""
        layers: nn.ModuleDict = self.others[group]  # type: ignore[assignment]
        return layers[str(phase)] if str(phase) in layers else None  # type: ignore[return-value]

    def walk(self, known: Tensor, offset: Tensor, visit: Visitor, first_part: int) -> Tensor:
        """Visit all groups and places in coding order.

        Args:
            known: (B, inputs, h, w) integers -127..127.
            offset: (B, 1, h, w) integers added to the scale index.
            visit: see the module's docstring.
            first_part: number of the first group's part.

        Returns:
            (B, C, h, w) values of all groups, without gradient. What the visitor's values have of
            one is that of what is predicted from them.
        """
        q = self.quantised
        b, _, h, w = known.shape
        coded = h, w, known.device, self.reach.phases, self.reach.radius
        order, (in_order, back) = phases(*coded), places_in_order(*coded)
        sizes = [len(phase.places) for phase in order]
        offsets = to_rows(offset).index_select(1, in_order).split(sizes, 1)
        known = known.contiguous(memory_format=torch.channels_last)
        collected = self.collect(known, q) + self.far(activation(self.near(known, q), q), q)
        found_groups = []
        for i, size in enumerate(self.groups):
            if i < len(self.deep):
                collected = collected + self.deep[i](activation(collected, q), q)
            rows = to_rows(collected)
            starts = rows.index_select(1, in_order).split(sizes, 1)
            values = []
            dtype = torch.int8 if q and self.inner[i].in_int8 else rows.dtype
            shown = rows.new_zeros(b, h * w + 1, 2 * size, dtype=dtype)  # and one outside
            for phase, own in enumerate(self._nearest(i)):
                places, nearest, others = order[phase]
                if len(places) == 0:
                    continue
                z = starts[phase]
                for layer, neighbours in ((own, nearest), (self._others(i, phase), others)):
                    if layer is not None:
                        near = shown.index_select(1, neighbours.flatten())
                        z = z + layer(near.view(b, len(places), -1), q)
                z = self.inner[i](activation(z, q), q)
                for between in self.between[i]:  # type: ignore[attr-defined]
                    z = z + between(activation(z, q), q)
                z = self.outer[i](activation(z, q), q)
                if q:
                    z = rounded(z)
                if self.outputs == 1:
                    mean, scale = z, torch.zeros_like(z)
                else:
                    mean, scale = z.chunk(2, 2)
                    scale = scale + offsets[phase]
                found = visit(first_part + i, mean, scale, places)
                values.append(found.detach())
                shown[:, places] = _with_magnitudes(self.squash(found)).to(dtype)
            if i + 1 < len(self.groups):
                collected = collected + self.cross[i](to_map(shown[:, :-1], h, w), q)
            found_groups.append(torch.cat(values, 1))
        return to_map(torch.cat(found_groups, 2).index_select(1, back), h, w)


class PyramidContext(ContextModel):
    """Context model of the pyramid of block means, octave by octave."""

    def __init__(self, channels: int, width: int, hidden: int, reach: Reach) -> None:
        """Make a model of the pyramid of `channels` planes; one network serves all octaves."""
        super().__init__()
        self.lows = LatticeContext(channels, 0, LOWS_STRIDE)
        inputs = 3 * channels + 1 + pyramid.OCTAVES + 1
        groups = pyramid.parts(channels)[1:3]
        self.details = GroupContext(inputs, groups, width, hidden, 2, reach)

    def sums_added(self) -> Iterator[list[IntegerLayer]]:
        """Yield nothing: its parts do."""
        yield from ()

    def walk(self, index: Tensor, eighths: Sequence[Tensor], visit: Visitor) -> Tensor:
        """Visit all parts in coding order.

        Args:
            index: (B,) integers 0..56, see `CodeContext.walk`.
            eighths: the steps of each part, (B, 1, h, w) of its size, see `pyramid`.
            visit: see the module's docstring.

        Returns:
            (B, C, h, w) block means in 1/16 of the middle level's step, integers; h and w are
            multiples of 8.
        """
        shown = (RATE_SHOWN * index)[:, None, None, None]
        size = eighths[0].shape[2:]
        lows = self.lows.walk(shown.expand(-1, -1, *size), index[:, None, None], visit)
        for octave in range(pyramid.OCTAVES):
            finer = eighths[1 + 2 * octave]
            which = finer.new_zeros(pyramid.OCTAVES, 1, 1)
            which[-1 - octave] = OCTAVE_SHOWN
            own = (EIGHTHS_SHOWN * finer).clamp_min(-ACTIVATION_MAX)
            beside = [shown, which[None], own]
            beside = [maps.expand(len(lows), -1, *lows.shape[2:]) for maps in beside]
            known = torch.cat([self.squash(slopes(lows)), *beside], 1)
            offset = index[:, None, None, None] + finer
            details = self.details.walk(known, offset, visit, 1 + 2 * octave)
            if not self.quantised:
                lows, details = torch.round(lows), torch.round(details)
            lows = pyramid.merge_exactly(lows, pyramid.to_middle_steps(details, finer))
        return lows


class CodeContext(ContextModel):
    """Context model of the codes: the pyramid of block means, then group by group of latents.

    The latents see the levels, the rate and the slopes of the block means.
    """

    def __init__(
        self,
        lattice: int,
        groups: tuple[int, ...],
        width: int,
        hidden: int,
        outputs: int,
        reach: Reach,
    ) -> None:
        """Make the model; `lattice` is the number of block means, may be 0, see GroupContext."""
        super().__init__()
        self.pyramid = PyramidContext(lattice, width, hidden, reach) if lattice else None
        inputs = 2 + 3 * lattice
        self.latents = GroupContext(inputs, groups, width, hidden, outputs, reach)
        self.first_group = len(pyramid.parts(lattice))

    def sums_added(self) -> Iterator[list[IntegerLayer]]:
        """Yield nothing: its parts do."""
        yield from ()

    def walk(
        self,
        levels: Tensor,
        index: Tensor,
        num_levels: int,
        eighths: Sequence[Tensor],
        visit: Visitor,
    ) -> None:
        """Visit all parts in coding order.

        Args:
            levels: (B, 1, h, w) integers 0..num_levels - 1, float32.
            index: (B,) integers 0..56, float32: the rate parameter u in eighths of an octave.
            num_levels: L.
            eighths: the steps of the pyramid's parts, see `PyramidContext.walk`.
            visit: see the module's docstring.
        """
        centred = levels - num_levels // 2
        index_map = index.view(-1, 1, 1, 1).expand_as(levels)
        known = [(8 * centred).clamp(-ACTIVATION_MAX, ACTIVATION_MAX), RATE_SHOWN * index_map]
        if self.pyramid is not None:
            means = self.pyramid.walk(index, eighths, visit)
            known.append(self.squash(slopes(means[:, :, : levels.shape[2], : levels.shape[3]])))
        offset = index_map + 4 * centred
        self.latents.walk(torch.cat(known, 1), offset, visit, self.first_group)


def slopes(means: Tensor) -> Tensor:
    """Return both slopes and the curvature of maps, (B, C, h, w) -> (B, 3C, h, w)."""
    p = F.pad(means, (1, 1, 1, 1), mode="replicate")
    north, south = p[:, :, :-2, 1:-1], p[:, :, 2:, 1:-1]
    west, east = p[:, :, 1:-1, :-2], p[:, :, 1:-1, 2:]
    return torch.cat([east - west, south - north, 4 * means - north - south - west - east], 1)

"""The tile codec as the threads of a lockstep group use it: pictures of one size go together."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.codec.pace import Pace
from imgcodec.codec.plan import Plan
from imgcodec.codec.tile_codec import Codes, Latents, Prepared, TileCodec, Us
from imgcodec.model import Dequantised
from imgcodec.runtime.exact import exact
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.stopwatch import stage


class LockstepTileCodec(TileCodec):
    """A tile codec whose calls, each for a single tile, wait for those of the other threads.

    What has no counterpart there is not shared: regions of interest, previews, single bits, and
    tiles that go together already.
    """

    def __init__(self, tile_codec: TileCodec, member: Member) -> None:
        """Share a tile codec."""
        super().__init__(tile_codec.model, tile_codec.tables, tile_codec.fast, tile_codec.tune)
        self._member = member

    @stage("encoder")
    def analyse(self, pixels: NDArray[np.uint8] | NDArray[np.float16]) -> Prepared:
        """See `TileCodec`."""
        found: Prepared = self._share("analyse", pixels.shape, pixels)
        return found

    @stage("encoder")
    def latents(
        self,
        prepared: Prepared,
        u: Us,
        levels: Tensor | None = None,
        shifts: NDArray[np.float32] | None = None,
    ) -> Latents:
        """See `TileCodec`."""
        if shifts is not None:
            return super().latents(prepared, u, levels, shifts)
        alike = prepared.x.shape, levels is None
        found: Latents = self._share("latents", alike, prepared, u, levels)
        return found

    @stage("codes")
    def plan(
        self,
        latents: Latents,
        u: Us,
        raw: bool,
        paces: Sequence[Pace | None] | None = None,
        nearest: bool = False,
    ) -> list[Plan]:
        """See `TileCodec`."""
        if nearest or len(latents.levels) > 1 or not self.model.config.expansion:
            return super().plan(latents, u, raw, paces, nearest)
        paces = paces or [None]
        found: list[Plan] = self._share("plan", (latents.y.shape, raw), latents, u, raw, paces)
        return found

    @stage("codes")
    def roughly(self, latents: Latents, u: Us, raw: bool) -> list[Plan]:
        """See `TileCodec`."""
        if len(latents.levels) > 1 or not self.model.config.expansion:
            return super().roughly(latents, u, raw)
        found: list[Plan] = self._share("roughly", (latents.y.shape, raw), latents, u, raw)
        return found

    @stage("codes")
    def read(
        self,
        data: Sequence[bytes],
        u: Us,
        size: tuple[int, int],
        raw: bool = False,
        share: float = 1.0,
        cut: int = 0,
    ) -> Codes:
        """See `TileCodec`."""
        if share < 1 or cut or len(data) > 1 or not self.model.config.expansion:
            return super().read(data, u, size, raw, share, cut)
        found: Codes = self._share("read", (size, raw), data, u, size, raw)
        return found

    def dequantise(self, codes: Codes, u: Us) -> Dequantised:
        """See `TileCodec`."""
        found: Dequantised = self._share("dequantise", codes.levels.shape, codes, u)
        return found

    @stage("decoder")
    def synthesise(self, dequantised: Dequantised, u: Us) -> NDArray[np.uint8]:
        """See `TileCodec`."""
        found: NDArray[np.uint8] = self._share(
            "synthesise", dequantised.levels.shape, dequantised, u
        )
        return found

    def _share(self, name: str, alike: Hashable, *arguments: Any) -> Any:
        """Call a method of `TileCodec` once for all threads that do so with something alike."""
        method = getattr(super(), name)

        def answer(calls: list[tuple[Any, ...]]) -> list[Any]:
            with exact():
                return _split(method(*map(_join, zip(*calls, strict=True))))

        return self._member.call((id(self.model), name, alike), answer, arguments)


def _join(values: Sequence[Any]) -> Any:
    """Return what several threads give for one argument as one value for all their tiles."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(tuple(values))
    if isinstance(first, np.ndarray):
        return np.concatenate(values)
    if isinstance(first, (Prepared, Latents, Codes, Dequantised)):
        fields: list[Any] = []
        for field in zip(*values, strict=True):
            if isinstance(field[0], list):
                fields.append([_join(parts) for parts in zip(*field, strict=True)])
            else:
                fields.append(_join(field))
        return type(first)(*fields)
    if isinstance(first, list):  # of one element for each tile
        return [element for value in values for element in value]
    if isinstance(first, int) and not isinstance(first, bool):  # a rate parameter
        return list(values)
    return first  # the same for all


def _split(whole: Any) -> list[Any]:
    """Return what each thread gets of a result for all tiles."""
    if isinstance(whole, (Tensor, np.ndarray)):
        return [whole[i : i + 1] for i in range(len(whole))]
    if isinstance(whole, (Prepared, Latents, Codes, Dequantised)):
        fields = []
        for field in whole:
            if isinstance(field, list):
                fields.append([list(parts) for parts in zip(*map(_split, field), strict=True)])
            else:
                fields.append(_split(field))
        return [type(whole)(*one) for one in zip(*fields, strict=True)]
    return [[element] for element in whole]

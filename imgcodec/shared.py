"""The payload as the threads of a convoy use it: pictures of one size go through it together."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.convoy import Member
from imgcodec.exact import exact
from imgcodec.model import Codes
from imgcodec.payload import Latents, Payload, Prepared, Us, Values
from imgcodec.plan import Plan


class SharedPayload(Payload):
    """A payload whose calls wait for those of the other threads, each of a single picture.

    What has no counterpart in the other threads is not shared: regions of interest, previews,
    single bits.
    """

    def __init__(self, payload: Payload, member: Member) -> None:
        """Share a payload."""
        super().__init__(payload.model, payload.tables, payload.fast)
        self._member = member

    def analyse(self, pixels: NDArray[np.uint8]) -> Prepared:
        """See `Payload`."""

        def together(all_pixels: list[NDArray[np.uint8]]) -> Sequence[Prepared]:
            return _split(super(SharedPayload, self).analyse(np.concatenate(all_pixels)))

        found: Prepared = self._call(("analyse", pixels.shape), together, pixels)
        return found

    def latents(
        self,
        prepared: Prepared,
        u: Us,
        levels: Tensor | None = None,
        shifts: NDArray[np.float32] | None = None,
    ) -> Latents:
        """See `Payload`."""
        if shifts is not None:
            return super().latents(prepared, u, levels, shifts)

        def together(calls: list[tuple[Prepared, int, Tensor | None]]) -> Sequence[Latents]:
            all_prepared, us, all_levels = zip(*calls, strict=True)
            kept = None if levels is None else torch.cat(all_levels)
            return _split(super(SharedPayload, self).latents(_join(all_prepared), us, kept))

        key = "latents", prepared.x.shape, levels is None
        found: Latents = self._call(key, together, (prepared, u, levels))
        return found

    def plan(self, latents: Latents, u: Us, raw: bool) -> list[Plan]:
        """See `Payload`."""
        if not self.model.config.expansion:
            return super().plan(latents, u, raw)

        def together(calls: list[tuple[Latents, int]]) -> Sequence[list[Plan]]:
            all_latents, us = zip(*calls, strict=True)
            plans = super(SharedPayload, self).plan(_join(all_latents), us, raw)
            return [[plan] for plan in plans]

        found: list[Plan] = self._call(("plan", latents.e.shape, raw), together, (latents, u))
        return found

    def read(
        self,
        data: Sequence[bytes],
        u: Us,
        size: tuple[int, int],
        raw: bool = False,
        share: float = 1.0,
    ) -> Values:
        """See `Payload`."""
        if share < 1 or not self.model.config.expansion:
            return super().read(data, u, size, raw, share)

        def together(calls: list[tuple[bytes, int]]) -> Sequence[Values]:
            all_data, us = zip(*calls, strict=True)
            return _split(super(SharedPayload, self).read(all_data, us, size, raw))

        found: Values = self._call(("read", size, raw), together, (data[0], u))
        return found

    def dequantise(self, values: Values, u: Us) -> Codes:
        """See `Payload`."""

        def together(calls: list[tuple[Values, int]]) -> Sequence[Codes]:
            all_values, us = zip(*calls, strict=True)
            return _split(super(SharedPayload, self).dequantise(_join(all_values), us))

        found: Codes = self._call(("dequantise", values.levels.shape), together, (values, u))
        return found

    def synthesise(self, codes: Codes, u: Us) -> NDArray[np.uint8]:
        """See `Payload`."""

        def together(calls: list[tuple[Codes, int]]) -> Sequence[NDArray[np.uint8]]:
            all_codes, us = zip(*calls, strict=True)
            pixels = super(SharedPayload, self).synthesise(_join(all_codes), us)
            return np.split(pixels, len(pixels))

        key = "synthesise", codes.levels.shape
        found: NDArray[np.uint8] = self._call(key, together, (codes, u))
        return found

    def _call(
        self, key: tuple[Hashable, ...], together: Callable[[list[Any]], Any], argument: Any
    ) -> Any:
        def answer(arguments: list[Any]) -> Any:
            with exact():
                return together(arguments)

        return self._member.call((id(self.model), *key), answer, argument)


def _join(parts: Sequence[Any]) -> Any:
    """Return what named tuples of tensors, or of lists of tensors, hold in one."""
    fields: list[Any] = []
    for field in zip(*parts, strict=True):
        if isinstance(field[0], Tensor):
            fields.append(torch.cat(field))
        else:
            fields.append([torch.cat(tensors) for tensors in zip(*field, strict=True)])
    return type(parts[0])(*fields)


def _split(whole: Any) -> list[Any]:
    """Invert `_join`: a named tuple of one picture each."""
    return [
        type(whole)(
            *(
                field[i : i + 1]
                if isinstance(field, Tensor)
                else [tensor[i : i + 1] for tensor in field]
                for field in whole
            )
        )
        for i in range(len(whole[0]))
    ]

"""Pictures that aic decoded before: their codes are found again, so that nothing more is lost.

Choosing cheap codes and hiding signs would cost quality in every generation anew. But at the rate
parameter of its file, a decoded picture has latents close to the codes (0.16 steps off in the
mean, where others are off by 0.29). What the decoder makes of them shows the rest of the way, and
the file comes out as it was.

This is for pictures of one tile whose sides are multiples of 64 pixels, as nothing tells what was
beyond the edges; and for weights of one level, as levels are not found again.
"""

import numpy as np
from numpy.typing import NDArray

from imgcodec.codec.plan import Plan
from imgcodec.codec.tile_codec import Latents, Prepared, TileCodec, codes_of
from imgcodec.model import STRIDE, pyramid

CLOSE = 0.22  # steps: how far latents of a decoded picture are from its codes, at most
ROUNDS = 3  # one or two are enough
TOLERANCE = 2  # grey levels by which machines may differ


def recognise(
    tile_codec: TileCodec,
    prepared: Prepared,
    pixels: NDArray[np.uint8],
    latents: Latents,
    u: int,
    raw: bool,
) -> tuple[Latents, Plan] | None:
    """Return latents and codes that decode to the very picture, None where none are found.

    Args:
        tile_codec: of one tile.
        prepared: what `analyse` made of the picture.
        pixels: uint8 (H, W, 3).
        latents: what the encoder makes of it at u.
        u: rate parameter.
        raw: whether bits are stored as they are.
    """
    config = tile_codec.model.config
    whole = all(side % (STRIDE * pyramid.SIDE) == 0 for side in pixels.shape[:2])
    if not whole or config.levelled or not config.expansion or not config.skip:
        return None
    if tile_codec.off_grid(latents, u) > CLOSE:
        return None
    for _ in range(ROUNDS):  # further ones may lead away again
        latents = tile_codec.closer(prepared, latents, u)
        (plan,) = tile_codec.plan(latents, u, raw, nearest=True)
        coded = tile_codec.dequantise(codes_of(latents, [plan]), u)
        (found,) = tile_codec.synthesise(coded, u)
        if np.abs(found.astype(np.int16) - pixels).max() <= TOLERANCE:
            return latents, plan
    return None

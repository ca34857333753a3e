"""Damaged tiles: what their bytes say as far as they are right."""

import math
from contextlib import suppress

from imgcodec.codec.plan import Script
from imgcodec.codec.tile_codec import Codes, TileCodec
from imgcodec.entropy.range_coder import WORD_BYTES, Decoder, RangeDecoder, RawDecoder
from imgcodec.errors import EndError, TileError
from imgcodec.runtime.forks import undivided
from imgcodec.runtime.stopwatch import stage

# After so many bits the range coder has mostly, or often, noticed that they are wrong: of what it
# makes of them, one bit in 10,000 is none that it would write. A few wrong codes are hardly seen,
# if they are none of the levels or of the coarsest block means.
MOSTLY_NOTICED, OFTEN_NOTICED = 16_000, 4_000


@stage("codes")
@undivided()
def beginning(
    tile_codec: TileCodec,
    damaged: TileError,
    u: int,
    size: tuple[int, int],
    raw: bool,
    share: float,
) -> Codes:
    """Return the first codes of a tile; others are as they are predicted, or 0.

    Args:
        tile_codec: what decodes.
        damaged: the tile.
        u: as in `TileCodec.read`.
        size: as in `TileCodec.read`.
        raw: as in `TileCodec.read`.
        share: as in `TileCodec.read`.

    Raises:
        FormatError: nothing tells where the damage is, or it lies where nothing is seen yet.
    """
    data, cut = damaged.data, len(damaged.data) < damaged.length
    if raw and not cut:
        raise damaged
    if not raw:
        data = data[: len(data) // WORD_BYTES * WORD_BYTES]
    limit = 8 * damaged.length * share if share < 1 else math.inf

    def read(coder: Decoder, right: float, limit: float = math.inf) -> Codes:
        script = Script(tile_codec.tables, [coder], right)
        return tile_codec.read_script(script, u, size, limit)

    if raw:
        coder = RawDecoder(data)
        return read(coder, coder.sure, limit)
    noticing = RangeDecoder(data, counts=True)
    with suppress(EndError):
        read(noticing, noticing.sure)
    right = noticing.sure
    if not cut or noticing.taken < right - MOSTLY_NOTICED:
        read(RangeDecoder(data, counts=True), noticing.taken - MOSTLY_NOTICED)
        right = noticing.taken - OFTEN_NOTICED
    return read(RangeDecoder(data, counts=True), right, limit)

"""Drawn pictures in fewer colours, where that looks as good as the networks for fewer bytes.

A file without loss keeps every shade of every letter's edge, more than is seen. With colours
joined until the picture is as far from the original as photographs are at the quality asked for,
it still has sharp edges and even areas, and takes half the bytes or less.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from imgcodec.codec.lossless import encode_lossless
from imgcodec.codec.quality import SIDES, Quality
from imgcodec.codec.results import Encoded
from imgcodec.format.container import MAX_U, Chunk
from imgcodec.format.joined import Joined
from imgcodec.format.tiles import Box, Grid
from imgcodec.pictures.arrays import ByteArray
from imgcodec.pictures.palette import Palette
from imgcodec.pictures.picture import alpha_of, as_seen
from imgcodec.runtime.exact import exact
from imgcodec.target import KIND_OF_TUNE, Target

# A picture that has no more is kept as it is, so that what aic decoded loses nothing once more.
COUNTS = 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64
MOST_PIXELS = 2**24
# Of a large picture, so many windows are compared; of one whose quality is measured, all.
EDGE, WINDOWS = 256, 8
# What photographs have at a quality with the weights of each tune (means of Kodak), dB or points;
# no drawing is kept worse than at the first, where colours that tell things apart become one.
QUALITIES = 60, 80, 90
PHOTOGRAPHS = {
    "psnr": (33.6, 39.3, 42.0),
    "ms_ssim": (0.984, 0.995, 0.9973),
    "ssimulacra2": (60.0, 80.0, 86.0),
}


def in_fewer_colours(
    pixels: ByteArray,
    chunks: Sequence[Chunk],
    tile: int | None,
    tune: str,
    lossy: Encoded,
    best: Encoded,
    decode: Callable[[bytes], ByteArray],
) -> Encoded | None:
    """Return a file that is smaller than the best and as good as asked, None: there is none.

    Within a rate or a size, one that is better than the lossy file, where it is seen.

    Args:
        pixels: uint8 (H, W, 3) or (H, W), of a drawn picture.
        chunks: of the file.
        tile: edge of the tiles, see `plan_grid`.
        tune: of the weights; says how pictures are compared where nothing else does.
        lossy: what the networks made.
        best: that, or a file without loss.
        decode: gives back the picture of a file, uint8 (H, W, 3).
    """
    target = lossy.report.target
    kind = target.kind if target.measured else KIND_OF_TUNE[tune]
    if target.kind == "quality" and target.u == MAX_U:  # the finest there is
        return None
    height, width = pixels.shape[:2]
    if height * width > MOST_PIXELS or min(height, width) < SIDES[kind][1]:
        return None
    palette = Palette(pixels)
    if len(palette) <= COUNTS[-1] or not palette.joinable:
        return None
    windows = _windows(height, width, target.measured)
    alpha = alpha_of(chunks, height, width) if target.limits else None

    def decibels(other: ByteArray) -> float:
        seen = as_seen(other, pixels, alpha)  # the networks were given others where it is not
        with exact():
            quality = Quality(kind, pixels.shape)
            for window in windows:
                quality.add(pixels[window], seen[window])
            return quality.decibels

    @cache
    def file(count: int) -> Encoded:
        joined = Joined(count, lossy.report.u).chunk()
        return encode_lossless(palette.reduced(count), [*chunks, joined], tile, target)

    def is_too_large(count: int) -> bool:
        if target.limits:
            return not target.allows(len(file(count)), height * width)
        return len(file(count)) >= len(best)

    affordable = COUNTS[: bisect_left(COUNTS, True, key=is_too_large)]
    if not affordable:
        return None
    if target.measured:
        needed = target.decibels - target.close_db
    elif target.limits:
        needed = decibels(decode(lossy))
    else:
        usual = np.interp(target.value, QUALITIES, PHOTOGRAPHS[kind])
        needed = Target(kind, float(usual)).decibels

    def is_good(count: int) -> bool:
        return decibels(palette.reduced(count)) >= needed

    good = affordable[-1:] if target.limits else affordable
    good = good[bisect_left(good, True, key=is_good) :]
    if not good:
        return None
    count = good[0]
    found = file(count)
    report = replace(found.report, u=lossy.report.u, lossless=False, colours=count)
    return Encoded(found, report)


def _windows(height: int, width: int, all_of_it: bool) -> list[tuple[slice, slice]]:
    """Return the parts of a picture that are looked at."""
    if all_of_it or height * width <= WINDOWS * EDGE**2:
        return [Box(0, 0, height, width).slices]
    boxes = [box.slices for box in Grid(height, width, EDGE).boxes()]
    return boxes[:: -(-len(boxes) // WINDOWS)]

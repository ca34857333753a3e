"""Rendered pages to train on beside photographs: text, tables, charts, screens, maps, edges.

May import numpy, torch, Pillow, and `errors` of the package.
"""

import math
import random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from imgcodec.train.pages.canvas import Canvas, smooth, theme
from imgcodec.train.pages.kinds import KINDS

LEAST_SIDE = 256  # px; smaller pages are parts of such
# Shares of the pages that are drawn larger and reduced, as screens are shared; that are moved by
# a part of a pixel; that are drawn for screens whose red, green and blue lie side by side.
REDUCED, MOVED, STRIPED = 0.15, 0.15, 0.05
FACTORS = 1.25, 1.5, 2  # of reduced pages
FILTERS = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
OVER_PHOTOGRAPHS = 0.7  # share of the overlays, where photographs are given


def pages(count: int, seed: int, size: int = 512, photographs: Tensor | None = None) -> Tensor:
    """Return rendered pages of all kinds; the first ones do not depend on `count`.

    Args:
        count: of pages.
        seed: of everything random.
        size: side of a page, px.
        photographs: uint8 (N, 3, H, W); some pages are drawn over them.

    Returns:
        uint8 (count, 3, size, size).

    Raises:
        AicError: matplotlib, whose fonts are used, is not installed.
    """
    names, often = list(KINDS), [kind.often for kind in KINDS.values()]
    found = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        chance = random.Random(f"{seed} {index}")  # noqa: S311
        (name,) = chance.choices(names, often)
        found[index] = page(name, chance, size, photographs)
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def page(
    name: str, chance: random.Random, size: int, photographs: Tensor | None = None
) -> NDArray[np.uint8]:
    """Return a page, uint8 (size, size, 3).

    Args:
        name: one of `KINDS`.
        chance: what everything random is drawn from.
        size: side, px.
        photographs: see `pages`.
    """
    colours, scale, style = theme(chance), chance.choice(KINDS[name].scales), chance.random()
    reduced = style < REDUCED and scale < 3
    moved = REDUCED <= style < REDUCED + MOVED
    striped = style > 1 - STRIPED and scale == 1
    factor = chance.choice(FACTORS) if reduced else 1
    side = max(LEAST_SIDE, math.ceil(size * factor) + 1)
    canvas = Canvas(chance, side, 3 if striped else scale, colours.paper)
    if name == "overlay":
        canvas.replace(_backdrop(canvas, photographs))
    KINDS[name].draw(canvas, colours)
    if striped and canvas.scale == 3:
        canvas.replace(_striped(canvas.array()))
    canvas.settle()
    left, top = (chance.uniform(0, side - size * factor) for _ in range(2))
    if not (reduced or moved):
        left, top = int(left), int(top)
    box = (left, top, left + size * factor, top + size * factor)
    return np.asarray(canvas.image.resize((size, size), chance.choice(FILTERS), box))


def _backdrop(canvas: Canvas, photographs: Tensor | None) -> NDArray[np.uint8]:
    """Return what an overlay is drawn on, as large as its canvas."""
    chance, side = canvas.chance, canvas.size * canvas.scale
    if photographs is None or chance.random() >= OVER_PHOTOGRAPHS:
        return smooth(canvas, chance.choice((2, 3, 4, 8)))
    picture = photographs[chance.randrange(len(photographs))].permute(1, 2, 0).cpu().numpy()
    if min(picture.shape[:2]) >= side:
        return picture[:side, :side]
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _striped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move red and blue by a third of a pixel each way, in pixels drawn three times as large."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    return np.stack([np.roll(red, 1, 1), green, np.roll(blue, -1, 1)], 2)

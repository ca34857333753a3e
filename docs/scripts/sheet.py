"""Draws a sheet of parts of pictures as the codec gives them back, beside the originals.

    python docs/scripts/sheet.py kodak/ weights/aic-psnr-1.0-sheet.png --tune psnr

One row for each part: the original, then the decoded file at each rate. Each tells its hatch, the
pattern of 8x8 pixels that the codec leaves in flat places of the whole picture.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imgcodec import Codec
from imgcodec.releases import DEFAULT_TUNE

RATES = 0.1, 0.25, 0.5  # bits per pixel
SIDE = 224  # pixels
GAP = 4
LUMA = 0.299, 0.587, 0.114
BLOCK = 8  # pixels, the grid of the codec's transform
FLAT = 3.0  # grey levels: standard deviation of luma in blocks that count as flat
# faces and hair, straight edges against the sky, water and foliage, fine print
PARTS = (
    ("kodim15", 250, 60),
    ("kodim19", 120, 180),
    ("kodim13", 300, 260),
    ("kodim08", 280, 200),
    ("kodim20", 240, 150),
)  # name, left, top


def hatch(picture: NDArray[np.uint8], original: NDArray[np.uint8]) -> float:
    """Return how strong a pattern repeats in all flat blocks of a picture, grey levels.

    It is the standard deviation of the mean of those blocks: luma less its mean over 3x3 pixels,
    where blocks of the original are flat. What differs from block to block, as noise and texture
    do, leaves little of itself in the mean; what the grid of the transform leaves stays.

    Args:
        picture: uint8 (H, W, 3), sides of at least 8.
        original: like it.
    """
    means = _blocks(_high_passed(picture))[_blocks(original @ LUMA).std((1, 2)) < FLAT].mean(0)
    return float(means.std())


def _high_passed(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return luma less its mean over 3x3 pixels, (H, W)."""
    luma = picture @ LUMA
    wide = np.pad(luma, 1, "edge")
    height, width = luma.shape
    nine = [wide[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return luma - sum(nine) / 9


def _blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the whole blocks of a plane, (N, 8, 8)."""
    height, width = (size // BLOCK * BLOCK for size in plane.shape)
    grid = plane[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return grid.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="folder of the Kodak pictures, PNG")
    parser.add_argument("target", type=Path, help="picture to write")
    parser.add_argument("--tune", default=DEFAULT_TUNE, help="of the weights")
    arguments = parser.parse_args()
    codec = Codec(tune=arguments.tune)
    step = SIDE + GAP
    sheet = Image.new("RGB", (step * (1 + len(RATES)), step * len(PARTS)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, left, top) in enumerate(PARTS):
        original = np.array(Image.open(arguments.pictures / f"{name}.png"))
        shown = [(original, f"{name}, hatch {hatch(original, original):.2f}")]
        for rate in RATES:
            data = codec.encode(original, rate)
            bpp = 8 * len(data) / original[..., 0].size
            decoded = codec.decode(data)
            shown.append((decoded, f"{bpp:.3f} bpp, hatch {hatch(decoded, original):.2f}"))
        for column, (picture, label) in enumerate(shown):
            part = Image.fromarray(picture[top : top + SIDE, left : left + SIDE])
            sheet.paste(part, (step * column, step * row))
            draw.text(
                (step * column + 4, step * row + 4), label, fill="white",
                stroke_width=1, stroke_fill="black",
            )  # fmt: skip
    sheet.save(arguments.target)


if __name__ == "__main__":
    main()

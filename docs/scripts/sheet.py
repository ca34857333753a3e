"""Draws a sheet of parts of pictures as the codec gives them back, beside the originals.

    python docs/scripts/sheet.py kodak/ weights/aic-psnr-1.0-sheet.png

One row for each part: the original, then the decoded file at each rate.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from imgcodec import Codec

RATES = 0.1, 0.25, 0.5  # bits per pixel
SIDE = 224  # pixels
GAP = 4
# faces and hair, straight edges against the sky, water and foliage, fine print
PARTS = (
    ("kodim15", 250, 60),
    ("kodim19", 120, 180),
    ("kodim13", 300, 260),
    ("kodim08", 280, 200),
    ("kodim20", 240, 150),
)  # name, left, top


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="folder of the Kodak pictures, PNG")
    parser.add_argument("target", type=Path, help="picture to write")
    parser.add_argument("--tune", default="psnr", help="of the weights")
    arguments = parser.parse_args()
    codec = Codec(tune=arguments.tune)
    step = SIDE + GAP
    sheet = Image.new("RGB", (step * (1 + len(RATES)), step * len(PARTS)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, left, top) in enumerate(PARTS):
        original = np.array(Image.open(arguments.pictures / f"{name}.png"))
        shown = [(original, name)]
        for rate in RATES:
            data = codec.encode(original, rate)
            bpp = 8 * len(data) / original[..., 0].size
            shown.append((codec.decode(data), f"{bpp:.3f} bpp"))
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

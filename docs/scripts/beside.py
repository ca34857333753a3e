"""Draws parts of a picture as several codecs give them back at equal bytes, one row a codec.

    python docs/scripts/beside.py kodak/ weights/aic-eye-1.7-beside.png [--rate 0.15 ...]

aic makes each part's whole picture at each rate; the files of the others come as close to its
bytes as their settings allow, at most 2 % above. Labels tell bytes and SSIMULACRA 2.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from imgcodec import Codec, metrics
from imgcodec.bench.coders import Aic, Coder, Peer, Pixels, nearest

RATES = 0.15, 0.3, 0.6, 1.0  # bits per pixel
PEERS = "avif-iq", "jpegxl"
SIDE = 192  # pixels
GAP = 4
# faces, a sky with fine edges, foliage and water, a building, letters, dark parts
PARTS = (
    ("kodim15", 260, 70),
    ("kodim19", 120, 20),
    ("kodim13", 300, 260),
    ("kodim08", 280, 200),
    ("kodim20", 290, 190),
    ("kodim03", 300, 180),
)  # name, left, top


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="folder of the Kodak pictures, PNG")
    parser.add_argument("target", type=Path, help="picture to write, .png or .webp")
    parser.add_argument("--rate", type=float, nargs="+", default=RATES, help="bits per pixel")
    parser.add_argument("--tune", default="eye", help="of aic's weights")
    arguments = parser.parse_args()
    coders: list[Coder] = [
        Aic(Codec(tune=arguments.tune), (), weights=arguments.tune),
        *map(Peer, PEERS),
    ]
    step = SIDE + GAP
    size = step * (1 + len(arguments.rate)), step * len(coders) * len(PARTS)
    sheet = Image.new("RGB", size, "white")
    for number, (name, left, top) in enumerate(PARTS):
        original = np.array(Image.open(arguments.pictures / f"{name}.png").convert("RGB"))
        box = (slice(top, top + SIDE), slice(left, left + SIDE))
        first = step * len(coders) * number
        put(sheet, original[box], name, 0, first)
        for column, rate in enumerate(arguments.rate, 1):
            room = 0
            for row, coder in enumerate(coders):
                if row:
                    _, data = nearest(coder, original, room)
                else:
                    data = coder.encode(original, rate).data
                    room = len(data)
                decoded, _ = coder.decode(data)
                score = metrics.ssimulacra2(original, decoded)
                label = f"{coder.name} {len(data)} bytes, {score:.1f}"
                put(sheet, decoded[box], label, step * column, first + step * row)
    sheet.save(arguments.target)


def put(sheet: Image.Image, part: Pixels, label: str, left: int, top: int) -> None:
    """Paste a part with its label."""
    sheet.paste(Image.fromarray(part), (left, top))
    ImageDraw.Draw(sheet).text(
        (left + 4, top + 4), label, fill="white", stroke_width=1, stroke_fill="black"
    )


if __name__ == "__main__":
    main()

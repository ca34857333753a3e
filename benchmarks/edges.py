"""Crops with long straight edges beside plain ones: what aic makes of facades, fences, letters.

    python benchmarks/edges.py PICTURES/ crops/ [--tune eye] [--weights FILE] [--only-cut]

Pictures are cut into crops of 256x256 pixels. How much of a crop's gradients have one direction
orders them, see `directed`: the first quarter are *edges*, the last one is *plain*, and they go
into folders of these names. `aic bench` measures aic and AVIF (4:4:4, speed 4, tune=iq) on both.
Printed are, for each crop and in the mean, how many times AVIF's bytes aic needs at equal
SSIMULACRA 2: at 70, and in the mean over what both reach of 30 to 85, as BD-rates are.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pages import measure, report
from PIL import Image

SIDE = 256  # pixels of a crop
WINDOW = 16  # pixels, in which edges have a direction
SHARE = 4  # one of so many crops has edges, and one is plain


def main() -> None:
    """Cut the crops, measure them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="folder")
    parser.add_argument("crops", type=Path, help="folder, where they go, PNG")
    parser.add_argument("--tune", action="append", help="set of weights; repeat it for several")
    parser.add_argument("--weights", action="append", default=[], type=Path)
    parser.add_argument("--only-cut", action="store_true")
    arguments = parser.parse_args()
    ordered = sorted(cut(arguments.pictures), key=lambda crop: directed(crop[1]), reverse=True)
    some = len(ordered) // SHARE
    if not some:
        wanted = f"{SHARE} crops of {SIDE}x{SIDE} pixels"
        raise SystemExit(f"{arguments.pictures}: {len(ordered)}, not at least {wanted}")
    for kind, crops in (("edges", ordered[:some]), ("plain", ordered[-some:])):
        folder = arguments.crops / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels in crops:
            Image.fromarray(pixels).save(folder / f"{name}.png")
        if not arguments.only_cut:
            tunes = arguments.tune or ([] if arguments.weights else ["eye"])
            print(f"{kind}: {some} crops")
            report(folder, measure(folder, tunes, arguments.weights))


def cut(folder: Path) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return name and pixels (SIDE, SIDE, 3) of each whole crop of the pictures."""
    found = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        for top in range(0, pixels.shape[0] - SIDE + 1, SIDE):
            for left in range(0, pixels.shape[1] - SIDE + 1, SIDE):
                crop = pixels[top : top + SIDE, left : left + SIDE]
                found.append((f"{path.stem}-{left}-{top}", crop))
    return found


def directed(pixels: NDArray[np.uint8]) -> float:
    """Return how much steeper luma is across the edges of a crop than along them.

    Grey levels a pixel: the mean over windows of the difference of the roots of the two
    eigenvalues of the structure tensor.

    Args:
        pixels: uint8 (SIDE, SIDE, 3).
    """
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    down, right = np.gradient(luma)
    windows = (SIDE // WINDOW, WINDOW, SIDE // WINDOW, WINDOW)
    dd, rr, dr = (
        product.reshape(windows).mean((1, 3)) for product in (down**2, right**2, down * right)
    )
    middle, spread = (dd + rr) / 2, np.hypot((dd - rr) / 2, dr)
    across, along = np.sqrt(middle + spread), np.sqrt(np.maximum(middle - spread, 0))
    return float((across - along).mean())


if __name__ == "__main__":
    main()

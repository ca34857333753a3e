"""Time and memory of large pictures: whole commands on mosaics of photographs.

    python benchmarks/large.py kodak/ --megapixels 1 10 100

Prints seconds and peak resident memory of `aic encode`, of `aic decode`, and of `aic decode
--region` on 512x512 pixels in the middle, or on all of a smaller picture. The start of the program
and the picture's own pixels are included.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measure import measure
from PIL import Image

REGION = 512  # pixels


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="folder of PNG files of one size")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--rate", default="0.5")
    parser.add_argument("--keep", type=Path, help="folder for the files, else they are deleted")
    arguments = parser.parse_args()
    columns = "size", "encode, s", "s/MP", "peak, MB", "decode, s", "s/MP", "peak, MB", "region, s"
    print(" ".join(f"{name:>12}" for name in (*columns, "bpp")))
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        for megapixels in arguments.megapixels:
            picture = mosaic(arguments.photographs, round((1e6 * megapixels) ** 0.5))
            height, width = picture.shape[:2]
            size = height * width / 1e6
            source, coded, back = (folder / f"{width}.{s}" for s in ("ppm", "aic", "back.ppm"))
            Image.fromarray(picture).save(source)
            del picture
            written = run("encode", source, coded, "--rate", arguments.rate, "--force")
            read = run("decode", coded, back, "--force")
            edge = min(REGION, height)
            region = f"{(width - edge) // 2},{(height - edge) // 2},{edge},{edge}"
            part = run("decode", coded, back, "--force", "--region", region)
            bpp = 8 * coded.stat().st_size / (height * width)
            figures = (
                f"{width}x{height}", f"{written[0]:.1f}", f"{written[0] / size:.2f}",
                f"{written[1]:.0f}", f"{read[0]:.1f}", f"{read[0] / size:.2f}", f"{read[1]:.0f}",
                f"{part[0]:.2f}", f"{bpp:.4f}",
            )  # fmt: skip
            print(" ".join(f"{figure:>12}" for figure in figures), flush=True)


def mosaic(folder: Path, side: int) -> np.ndarray:
    """Return a square of photographs, in turn and turned, uint8 (side, side, 3)."""
    photographs = [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    photographs = [np.rot90(p) if p.shape[0] > p.shape[1] else p for p in photographs]
    height, width = photographs[0].shape[:2]
    picture = np.empty((side, side, 3), np.uint8)
    for number, (top, left) in enumerate(
        (top, left) for top in range(0, side, height) for left in range(0, side, width)
    ):
        target = picture[top : top + height, left : left + width]
        photograph = photographs[number % len(photographs)]
        turned = photograph[::-1] if number // len(photographs) % 2 else photograph
        target[:] = turned[: target.shape[0], : target.shape[1]]
    return picture


def run(*words: object) -> tuple[float, float]:
    """Run `aic` and return its seconds and its peak resident memory in MB."""
    done = measure(*words, "--quiet")
    if done.status:
        raise SystemExit(f"{words} ended with {done.status}: {done.errors.decode()}")
    return done.seconds, done.peak / 1e6


if __name__ == "__main__":
    main()

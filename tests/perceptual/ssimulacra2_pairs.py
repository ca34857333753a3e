"""Pairs of pictures whose SSIMULACRA 2 is known: the scores of libjxl's own program, in a CSV.

The pairs are made of a picture in docs/ and of drawn ones by numpy alone, so they are the same
everywhere. `python tests/perceptual/ssimulacra2_pairs.py PROGRAM` wrote the scores, with
`ssimulacra2` of libjxl 0.11.2 (metric version 2.1), as Debian 13 has it in libjxl-devtools
0.11.2-0.1~deb13u3.
"""

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCORES = Path(__file__).with_suffix(".csv")
RANGE = (10, 95)  # scores that are kept
STRENGTHS = (0.35, 0.6, 1.0, 1.7, 2.8)  # of each distortion
CROPS = {  # of docs/kodim23.png: left, top, width, height
    "parrots": (250, 100, 256, 256),
    "odd": (60, 180, 201, 173),
    "small": (380, 60, 65, 47),
    "tiny": (150, 200, 24, 17),  # two scales
}

Values = NDArray[np.float64]  # (H, W, 3), 0..255
Pixels = NDArray[np.uint8]  # (H, W, 3)


def originals() -> dict[str, Pixels]:
    """Return the pictures by name: crops of a photograph, and two that are drawn."""
    with Image.open(ROOT / "docs" / "kodim23.png") as photograph:
        pixels = np.asarray(photograph.convert("RGB"))
    found = {name: pixels[y : y + h, x : x + w] for name, (x, y, w, h) in CROPS.items()}
    y, x = np.mgrid[:150, :190]
    page = np.full((150, 190, 3), 250)
    page[20:60, 15:90] = 180, 30, 40
    page[70:130, 15:90] = np.where((x + y) % 6 < 3, 30, 220)[70:130, 15:90, None]
    page[10:140:9, 100:180:2] = 10
    found["page"] = page.astype(np.uint8)
    rings = 128 + 90 * np.cos(((x - 95) ** 2 + (y - 75) ** 2) / 120)
    waves = np.stack([rings, (rings + x) / 2, 255 - y], -1)
    found["rings"] = waves.clip(0, 255).round().astype(np.uint8)
    return found


def _convolved(values: Values, kernel: Values, axis: int) -> Values:
    """Return values convolved along an axis, edges mirrored."""
    reach = len(kernel) // 2
    width = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
    padded = np.pad(values, width, "symmetric")
    size = values.shape[axis]
    return sum(
        weight * np.take(padded, range(shift, shift + size), axis)
        for shift, weight in enumerate(kernel)
    )


def _blurred(values: Values, sigma: float) -> Values:
    reach = 3 * int(np.ceil(sigma))
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return _convolved(_convolved(values, kernel / kernel.sum(), 0), kernel / kernel.sum(), 1)


_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])


def _in_blocks(values: Values, change: Callable[[Values], Values]) -> Values:
    """Return values whose DCT coefficients (rows, 8, columns, 8, 3) were changed, in YCbCr."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, -height % 8), (0, -width % 8), (0, 0)), "edge")
    blocks = (padded @ _TO_YCC.T).reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, 3)
    k = np.arange(8)
    dct = np.cos(np.pi * np.outer(k, k + 0.5) / 8) / 2
    dct[0] /= np.sqrt(2)
    coefficients = change(np.einsum("ui,vj,aibjc->aubvc", dct, dct, blocks))
    blocks = np.einsum("ui,vj,aubvc->aibjc", dct, dct, coefficients)
    return (blocks.reshape(padded.shape) @ np.linalg.inv(_TO_YCC).T)[:height, :width]


def _jpeg(values: Values, s: float) -> Values:
    """Return what a block codec leaves: coarser steps at high frequencies and in colour."""
    k = np.arange(8)
    steps = 14 * s * (1 + 0.5 * (k[:, None, None, None] + k[None, None, :, None]))
    steps = steps * np.array([1, 2, 2])
    return _in_blocks(values, lambda c: np.round(c / steps) * steps)


def _dropped(values: Values, s: float) -> Values:
    """Return a picture whose blocks have few frequencies."""
    k = np.arange(8)
    kept = k[:, None, None, None] + k[None, None, :, None] < 6 / s**0.7
    return _in_blocks(values, lambda c: c * kept)


def _wavelet(values: Values, s: float) -> Values:
    """Return what a coarse Haar transform leaves, as means of blocks of 2, 4, 8 and 16."""
    result, last = 0.0, values
    for size in (2, 4, 8, 16):
        shape = values.shape
        padded = np.pad(values, ((0, -shape[0] % size), (0, -shape[1] % size), (0, 0)), "edge")
        means = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size, 3)
        coarse = means.mean((1, 3)).repeat(size, 0).repeat(size, 1)[: shape[0], : shape[1]]
        step = 40 * s / size**0.5
        result += np.round((last - coarse) / step) * step
        last = coarse
    return result + last


def _halved(values: Values, s: float) -> Values:
    """Return a picture mixed with itself at half the size."""
    half = values[::2, ::2].repeat(2, 0).repeat(2, 1)[: values.shape[0], : values.shape[1]]
    return values + min(0.45 * s, 1) * (half - values)


def _noisy(values: Values, s: float, colours: int) -> Values:
    noise = np.random.RandomState(7).standard_normal((*values.shape[:2], colours))
    return values + 9 * s * noise  # RandomState: its stream is promised never to change


def _damaged(values: Values, s: float) -> Values:
    result = values.copy()
    result[: values.shape[0] // 3, : values.shape[1] // 3] += 16 * s
    return result


DISTORTIONS: dict[str, Callable[[Values, float], Values]] = {
    "jpeg": _jpeg,
    "dropped": _dropped,
    "wavelet": _wavelet,
    "halved": _halved,
    "blur": lambda v, s: _blurred(v, 0.6 + 0.5 * s),
    "sharp": lambda v, s: v + 0.7 * s * (v - _blurred(v, 1.2)),
    "noise": lambda v, s: _noisy(v, s, 1),
    "colour noise": lambda v, s: _noisy(v, s, 3),
    "shift": lambda v, s: v + s * np.array([14, -4, -14]),
    "bands": lambda v, s: np.round(v / (14 * s)) * 14 * s,
    "contrast": lambda v, s: 128 + (v - 128) / (1 + 0.25 * s),
    "damage": _damaged,
}


def pairs() -> Iterator[tuple[str, Pixels, Pixels]]:
    """Yield name, original and distorted picture; the CSV has the scores of some of them."""
    for name, original in originals().items():
        for kind, distorted in DISTORTIONS.items():
            for strength in STRENGTHS:
                values = distorted(original.astype(np.float64), strength)
                pixels = values.round(3).round().clip(0, 255).astype(np.uint8)
                yield f"{name} {kind} {strength:g}", original, pixels


def scores() -> dict[str, float]:
    """Return the reference's scores by the names of pairs."""
    with open(SCORES, newline="") as file:
        return {line["pair"]: float(line["score"]) for line in csv.DictReader(file)}


def main(program: str) -> None:
    """Write the scores that a program gives, those in RANGE."""
    with tempfile.TemporaryDirectory() as scratch, open(SCORES, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["pair", "score"])
        files = [f"{scratch}/{name}.png" for name in ("original", "distorted")]
        for name, *pictures in pairs():
            for path, pixels in zip(files, pictures, strict=True):
                Image.fromarray(pixels).save(path)
            done = subprocess.run([program, *files], capture_output=True, text=True, check=True)
            score = float(done.stdout.split()[0])
            if RANGE[0] <= score <= RANGE[1]:
                writer.writerow([name, f"{score:.4f}"])


if __name__ == "__main__":
    main(sys.argv[1])

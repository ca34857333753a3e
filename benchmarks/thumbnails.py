"""Small pictures of one size in a folder: one by one, and through the model together.

    python benchmarks/thumbnails.py PICTURES [SIDE ...]

Cuts two squares out of every picture, and prints milliseconds a file for reading, coding and
writing, the median of three rounds, and whether the files are the same to the bit. Times compare
within one run.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from imgcodec.bench.measure import find_pictures
from imgcodec.cli.decode import Decoding
from imgcodec.cli.encoding import Encoding
from imgcodec.cli.many import batch, grouping
from imgcodec.cli.work import Task, Work

SIDES = (64, 128, 256)
GOALS = {"quality 50": {"quality": 50.0}, "1 bpp": {"rate": 1.0}}
ROUNDS = 3
MOST = grouping.WAYS["cpu"].most


def main() -> None:
    """Print the table."""
    pictures, sides = find_pictures(sys.argv[1]), [int(word) for word in sys.argv[2:]] or SIDES
    print(f"{'side':>5} {'':<20} {'one by one':>10} {'together':>10} {'ratio':>6}  same")
    for side in sides:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cut(pictures, side, folder / "in")
            for label, goal in GOALS.items():
                compare(side, f"encode, {label}", encoding(goal), folder, ("in", label, ".aic"))
            compare(side, "decode", decoding(), folder, (label, "out", ".ppm"))


def cut(pictures: list[Path], side: int, folder: Path) -> None:
    """Write two squares of each picture."""
    folder.mkdir()
    for path in pictures:
        with Image.open(path) as picture:
            for n in range(2):
                corner = 20 + 100 * n, 10 + 40 * n
                square = picture.convert("RGB").crop((*corner, corner[0] + side, corner[1] + side))
                square.save(folder / f"{path.stem}-{n}.png")


def compare(side: int, label: str, work: Work, folder: Path, names: tuple[str, str, str]) -> None:
    """Print a line."""
    source, target, suffix = names
    pictures = sorted((folder / source).iterdir())
    targets = {1: folder / target, MOST: folder / f"{target} together"}
    todo = {
        most: [Task(path, to / f"{path.stem}{suffix}", force=True) for path in pictures]
        for most, to in targets.items()
    }
    times: dict[int, list[float]] = {most: [] for most in todo}
    for _ in range(ROUNDS + 1):  # the first warms up
        for most, tasks in todo.items():
            grouping.WAYS["cpu"] = grouping.Way(most, side * side, at_a_time=1)
            started = time.perf_counter()
            for outcome in batch.run(tasks, work, 1):
                if outcome.error:
                    sys.exit(outcome.error)
            times[most].append(1000 * (time.perf_counter() - started) / len(tasks))
    alone, together = (statistics.median(found[1:]) for found in times.values())
    same = all(
        a.target.read_bytes() == b.target.read_bytes() for a, b in zip(*todo.values(), strict=True)
    )
    print(
        f"{side:>5} {label:<20} {alone:>10.1f} {together:>10.1f} {alone / together:>6.2f}"
        f"  {'yes' if same else 'no'}",
        flush=True,
    )


def encoding(goal: dict[str, float]) -> Encoding:
    """Return what `aic encode` does with each file."""
    return Encoding(
        goal={**goal}, roi=None, tune="psnr",
        weights=None, effort=1, lossless=None, tile=None, alpha="keep", metadata=(),
        strict=False, entropy="range", device="cpu", threads=None, verbose=False,
        warn=lambda path, note: None,
    )  # fmt: skip


def decoding() -> Decoding:
    """Return what `aic decode` does with each file."""
    return Decoding(
        region=None, keep_going=False, max_rate=None, max_pixels=10**9, alpha="keep", metadata=(),
        weights=None,
        device="cpu", threads=None, verbose=False, warn=lambda path, note: None,
    )  # fmt: skip


if __name__ == "__main__":
    main()

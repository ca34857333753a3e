"""Tries to lose something: damaged files, odd sizes, processes killed while they write.

    python benchmarks/robustness.py docs/kodim23.png --kills 20

Prints a table of what was tried and how often something was lost; exit code 1 if anything was.

- bits flipped, bytes cut: every single one of a file of two tiles; lost = the file is accepted;
- damage with right checksums: random bytes in place of a tile's; lost = anything but a picture or
  a refusal;
- sizes: encoded and decoded; lost = another size, or a picture far from the original;
- refusals: of a broken header by the whole command; lost = another exit code than 1, more than one
  line, or more than 64 MB; the seconds and the memory of the slowest are printed;
- kills: SIGKILL at a random moment of `aic encode` and `aic decode` over an existing file; lost =
  a file that is neither the old nor the new one.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from measure import measure

from imgcodec import Codec
from imgcodec.errors import AicError, FormatError
from imgcodec.format import container
from imgcodec.pictures.reader import read_image

SIZES = [(1, 1), (1, 9), (7, 5), (8, 8), (9, 17), (64, 64), (1, 500), (513, 257)]
RANDOM_TILES = 200
REFUSALS = 10
MOST_MEGABYTES = 64
FAR = 15.0  # grey levels, mean


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)  # noqa: S311 - not for secrets
    picture = read_image(arguments.photograph)
    codec = Codec(device="cpu")
    two_tiles = codec.encode(picture[:64, :128], 0.5, tile=64)
    print(f"{'tried':<40} {'times':>7} {'lost':>5}")
    lost = show("bits flipped", (lambda d=d: accepted(d) for d in flips(two_tiles)))
    lost += show("bytes cut", (lambda n=n: accepted(two_tiles[:n]) for n in range(len(two_tiles))))
    lost += show(
        "random tiles, checksums right",
        (lambda d=d: broken(codec, d) for d in random_tiles(two_tiles, chance)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        refuse = Refuser(Path(scratch), two_tiles)
        lost += show("refusals of a broken header", [refuse] * REFUSALS)
        print(f"{'':<40} {refuse.seconds:.2f} s, {refuse.megabytes:.0f} MB")
    lost += show("sizes", (lambda size=size: wrong(codec, picture, *size) for size in SIZES))
    with tempfile.TemporaryDirectory() as scratch:
        for command in ("encode", "decode"):
            kill = Killer(command, arguments.photograph, Path(scratch), codec, chance)
            lost += show(f"kills of aic {command}", [kill] * arguments.kills)
    sys.exit(1 if lost else 0)


def show(name: str, trials: Iterable[Callable[[], bool]]) -> int:
    """Run trials, print their line and return how many lost something."""
    outcomes = [bool(trial()) for trial in trials]
    print(f"{name:<40} {len(outcomes):>7} {sum(outcomes):>5}", flush=True)
    return sum(outcomes)


def flips(data: bytes) -> list[bytes]:
    """Return the file with each of its bits flipped in turn."""
    found = []
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        found.append(bytes(damaged))
    return found


def accepted(data: bytes) -> bool:
    """Whether a damaged file passes as whole."""
    try:
        container.unpack(data)
    except FormatError:
        return False
    return True


def random_tiles(data: bytes, chance: random.Random) -> list[bytes]:
    """Return files whose tiles hold nonsense."""
    header, tiles, _ = container.unpack(data)
    return [
        container.pack(header, [chance.randbytes(chance.randrange(len(t) + 9)) for t in tiles])
        for _ in range(RANDOM_TILES)
    ]


def broken(codec: Codec, data: bytes) -> bool:
    """Whether nonsense leads to anything but a picture or a refusal."""
    try:
        codec.decode(data)
    except AicError:
        return False
    except Exception as error:
        print(repr(error), file=sys.stderr)
        return True
    return False


def wrong(codec: Codec, picture: np.ndarray, height: int, width: int) -> bool:
    """Whether a picture of that size does not come back."""
    part = picture[:height, :width]
    found = codec.decode(codec.encode(part, 2 + 8 * 60 / (height * width)))
    return found.shape != part.shape or np.abs(found.astype(float) - part).mean() > FAR


class Refuser:
    """Runs `aic decode` on a file with a broken header, and looks at what it costs."""

    def __init__(self, folder: Path, data: bytes) -> None:
        """Write the file."""
        self.source, self.target = folder / "broken.aic", folder / "out.png"
        self.source.write_bytes(data[:12] + b"\xff" * 4 + data[16:])
        self.seconds = self.megabytes = 0.0

    def __call__(self) -> bool:
        """Return whether the refusal is none, or a dear one."""
        done = measure("decode", self.source, self.target)
        self.seconds = max(self.seconds, done.seconds)
        self.megabytes = max(self.megabytes, done.peak / 1e6)
        whole = done.status == 1 and done.errors.count(b"\n") == 1 and not self.target.exists()
        return not whole or self.megabytes > MOST_MEGABYTES


class Killer:
    """Runs a command over an existing file, kills it, and looks at what is left."""

    def __init__(
        self, command: str, photograph: Path, folder: Path, codec: Codec, chance: random.Random
    ) -> None:
        """Make the input, and the new output that an undisturbed run writes."""
        self.chance = chance
        self.folder = folder / command
        self.folder.mkdir()
        coded = folder / "photograph.aic"
        coded.write_bytes(codec.encode(read_image(photograph), 0.5))
        source = photograph if command == "encode" else coded
        self.target = self.folder / ("out.aic" if command == "encode" else "out.png")
        self.words = [sys.executable, "-m", "imgcodec", command, str(source), str(self.target)]
        self.words += ["--force", "--quiet", "--device", "cpu"]
        started = time.perf_counter()
        subprocess.run(self.words, check=True)
        self.seconds = time.perf_counter() - started
        self.new = self.target.read_bytes()

    def __call__(self) -> bool:
        """Return whether something was lost."""
        old = b"what was there before"
        self.target.write_bytes(old)
        with subprocess.Popen(self.words) as process:
            # most of the time goes into the start; the end is where files are written
            moment = self.seconds * self.chance.uniform(0, 1.1)
            time.sleep(moment)
            process.kill()
        return self.target.read_bytes() not in (old, self.new)


if __name__ == "__main__":
    main()

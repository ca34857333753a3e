"""Encoding and decoding on a busy machine, with aic's short spins of OpenMP's threads and without.

    python benchmarks/busy.py [PICTURE] [--rounds 5] [--spins KEY=VALUE ...]

Prints seconds at 0.5 bpp on an idle machine and, beside two and eight programs that want a core
each, how many times longer than torch's on the idle one: medians and ranges of rounds. In each
round all take turns, every time in a new process that has coded once before. `--spins` tries other
settings, too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgcodec.runtime.openmp import SPINS

BESIDE = (2, 8)
TIMES = 3
LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
WORK = f"""
import json, statistics, sys, time
import numpy as np
from PIL import Image
from imgcodec.codec import Codec

def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started

codec, image = Codec("cpu"), np.asarray(Image.open(sys.argv[1]).convert("RGB"))
data = codec.encode(image, 0.5)
works = [lambda: codec.encode(image, 0.5), lambda: codec.decode(data)]
works[1]()
print(json.dumps([statistics.median(seconds(work) for _ in range({TIMES})) for work in works]))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[1] / "docs" / "kodim23.png"
    parser.add_argument("picture", type=Path, nargs="?", default=default)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, nargs="+", default=BESIDE, help="busy programs")
    parser.add_argument("--spins", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = {"as torch has it": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}}
    settings |= {"as aic sets it": {}}
    settings |= {word: dict([word.split("=", 1)]) for word in arguments.spins}
    found: dict[tuple[str, int], list[list[float]]] = {}
    numbers = [0, *arguments.beside]
    for _ in range(arguments.rounds):
        for beside in numbers:
            for name, spins in settings.items():
                with busy(beside):
                    found.setdefault((name, beside), []).append(code(arguments.picture, spins))
    heads = [f"beside {beside}" if beside else "idle, s" for beside in numbers]
    print(f"{'':<24}", *(f"{head:>20}" for head in heads))
    for kind, label in enumerate(("encode", "decode")):
        idle = statistics.median(one[kind] for one in found["as torch has it", 0])
        for name in settings:
            rounds = {beside: [one[kind] for one in found[name, beside]] for beside in numbers}
            print(
                f"{name + ', ' + label:<24}",
                *(cell(times, idle if beside else 1) for beside, times in rounds.items()),
            )


def cell(times: list[float], unit: float) -> str:
    """Return the median and the range of some times."""
    low, middle, high = (t / unit for t in (min(times), statistics.median(times), max(times)))
    return f"{middle:7.3f} {f'({low:.2f}..{high:.2f})':>12}"


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep some processes busy meanwhile."""
    command = [sys.executable, "-I", "-S", "-c", LOOP]
    others = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def code(picture: Path, spins: dict[str, str]) -> list[float]:
    """Return the seconds of encoding and decoding in a new process, with these spins if any."""
    command = [sys.executable, "-c", WORK, str(picture)]
    others = {name: value for name, value in os.environ.items() if name not in SPINS}
    done = subprocess.run(command, env=others | spins, stdout=subprocess.PIPE, check=True)
    return list(json.loads(done.stdout))


if __name__ == "__main__":
    main()

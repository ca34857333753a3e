"""Whole commands on one picture, start of the program included, against those of the peers.

    python benchmarks/start.py kodak/kodim23.png

Peers that are not installed are left out. The commands take turns; prints the median seconds of
each, with their ratio to `aic encode` or `aic decode`, and the bytes written.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIC = [sys.executable, "-m", "imgcodec"]
COMMANDS = {  # name: (encoder, decoder, extension); {} stand for input and output
    "aic": (
        [*AIC, "encode", "{}", "{}", "--quiet"],
        [*AIC, "decode", "{}", "{}", "--quiet"],
        "aic",
    ),
    "avifenc -s 6": (["avifenc", "-s", "6", "{}", "{}"], ["avifdec", "{}", "{}"], "avif"),
    "cjxl -e 7": (["cjxl", "-e", "7", "{}", "{}"], ["djxl", "{}", "{}"], "jxl"),
    "cwebp -m 6": (["cwebp", "-m", "6", "{}", "-o", "{}"], ["dwebp", "{}", "-o", "{}"], "webp"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, help="a PNG file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        steps = {}
        for name, (encoder, decoder, extension) in COMMANDS.items():
            if shutil.which(encoder[0]):
                coded, back = Path(scratch, f"x.{extension}"), Path(scratch, f"{extension}.png")
                steps[name, "encode"] = filled(encoder, arguments.picture, coded), coded
                steps[name, "decode"] = filled(decoder, coded, back), back
        seconds: dict[tuple[str, str], list[float]] = {step: [] for step in steps}
        for turn in range(arguments.repeats + 1):
            for step, (words, target) in steps.items():
                target.unlink(missing_ok=True)
                started = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True)
                if turn:  # the first one warms the disk's cache
                    seconds[step].append(time.perf_counter() - started)
        print(f"{'':<16} {'seconds':>8} {'ratio':>6} {'bytes':>9}")
        for (name, task), found in seconds.items():
            median = statistics.median(found)
            ratio = median / statistics.median(seconds["aic", task])
            size = steps[name, task][1].stat().st_size
            print(f"{name:<14} {task[0]:<1} {median:>8.2f} {ratio:>6.2f} {size:>9}")


def filled(words: list[str], source: Path, target: Path) -> list[str]:
    """Return the words with the files in place of the braces."""
    files = iter((str(source), str(target)))
    return [next(files) if word == "{}" else word for word in words]


if __name__ == "__main__":
    main()

"""Pictures a second for a folder of photographs: aic and its peers, where aic's time goes, memory.

    python benchmarks/throughput.py PHOTOGRAPHS [--copies 10] [--jobs 1 2] [--device cpu]
    python benchmarks/throughput.py PHOTOGRAPHS --memory 20000
    python benchmarks/throughput.py PHOTOGRAPHS --crops

The folder holds copies of the photographs, turned and shifted by a few pixels so that none is
equal. Whole commands are timed, start included, in turns: wall seconds, and CPU seconds of all
processes, which a busy machine changes less. Peers get the same files one by one, with all cores.
`--memory` encodes and decodes so many tiny files instead, and prints how the memory grows.
`--crops` encodes and decodes the top left 752x496 of each photograph instead, with the model
loaded, at three rates.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from imgcodec.codec import Codec

PEERS = {
    "cwebp -m 6": (("cwebp", "-quiet", "-mt", "-m", "6"), ("-o",), "webp"),
    "avifenc -s 6": (("avifenc", "-s", "6", "-j", "2"), (), "avif"),
    "cjxl -e 7": (("cjxl", "-e", "7", "--quiet"), (), "jxl"),
}
TINY = 24  # pixels a side
CROP = 752, 496  # pixels, the longer side first
RATES = 0.25, 0.5, 1.0  # bits a pixel, of crops
SAMPLE_S = 0.5


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="folder of PNG files")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quality", type=float, default=50)
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--aic", nargs="+", default=[sys.executable, "-m", "imgcodec"])
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--memory", type=int, metavar="FILES")
    parser.add_argument("--crops", action="store_true")
    arguments = parser.parse_args()
    if arguments.crops:
        crops(arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.memory:
            memory(arguments, folder)
            return
        number = photographs(arguments.photographs, arguments.copies, folder)
        print(f"{number} pictures, quality {arguments.quality:g}, {arguments.device}")
        print(f"{'':<28}{'pictures/s':>12}{'CPU s/picture':>15}{'bytes':>12}")
        for _ in range(arguments.rounds):
            for kind in ("png", "jpeg"):
                for jobs in arguments.jobs:
                    aic(arguments, folder, kind, jobs, number)
            for name in () if arguments.no_peers else PEERS:
                peer(name, folder, number)
        stages(folder / "png", arguments)


def photographs(source: Path, copies: int, folder: Path) -> int:
    """Write the pictures as PNG and JPEG files; return how many there are."""
    for kind in ("png", "jpeg"):
        (folder / kind).mkdir()
    number = 0
    for path in sorted(source.glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for copy in range(copies):
            moved = np.roll(np.rot90(pixels, copy), (3 * copy, 5 * copy), (0, 1))
            image = Image.fromarray(np.ascontiguousarray(moved))
            image.save(folder / "png" / f"{path.stem}-{copy}.png", compress_level=1)
            image.save(folder / "jpeg" / f"{path.stem}-{copy}.jpg", quality=95)
            number += 1
    return number


def aic(arguments: argparse.Namespace, folder: Path, kind: str, jobs: int, number: int) -> None:
    """Print a line for encoding and one for decoding."""
    coded, back = folder / f"{kind}-coded", folder / f"{kind}-back"
    for made in (coded, back):
        shutil.rmtree(made, ignore_errors=True)
    common = "--jobs", jobs, "--device", arguments.device, "--quiet"
    quality = "--quality", arguments.quality
    wall, cpu = timed(*arguments.aic, "encode", folder / kind, coded, *quality, *common)
    line(f"aic encode, {kind}, jobs {jobs}", wall, cpu, number, coded)
    wall, cpu = timed(*arguments.aic, "decode", coded, back, *common)
    line(f"aic decode, {kind}, jobs {jobs}", wall, cpu, number, back)
    shutil.rmtree(back)


def peer(name: str, folder: Path, number: int) -> None:
    """Print a line for a peer's encoder, called for each file."""
    words, before, suffix = PEERS[name]
    if not shutil.which(words[0]):
        print(f"{name:<28} is not installed")
        return
    coded = folder / suffix
    coded.mkdir(exist_ok=True)
    wall = cpu = 0.0
    for path in sorted((folder / "png").iterdir()):
        one = timed(*words, path, *before, coded / f"{path.stem}.{suffix}")
        wall, cpu = wall + one[0], cpu + one[1]
    line(name, wall, cpu, number, coded)


def timed(*words: object) -> tuple[float, float]:
    """Run a command; return its wall and CPU seconds, those of its processes included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run([str(word) for word in words], check=True, stdout=quiet, stderr=quiet)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(name: str, wall: float, cpu: float, number: int, made: Path) -> None:
    """Print one."""
    size = sum(path.stat().st_size for path in made.iterdir())
    print(f"{name:<28}{number / wall:>12.2f}{cpu / number:>15.3f}{size:>12}", flush=True)


def crops(arguments: argparse.Namespace) -> None:
    """Print seconds of both ways for a crop of each photograph, the least of three."""
    codec = Codec(arguments.device)
    print(f"{'bpp':<8}{'encode':>10}{'decode':>10}{'both':>10}{'most':>10}  s, medians")
    for rate in RATES:
        found: list[tuple[float, float]] = []
        for path in sorted(arguments.photographs.glob("*.png")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            width, height = CROP if pixels.shape[1] > pixels.shape[0] else CROP[::-1]
            pixels = np.ascontiguousarray(pixels[:height, :width])
            ways: list[tuple[float, float]] = []
            for _ in range(3):
                started = time.perf_counter()
                data = codec.encode(pixels, rate=rate)
                encoded = time.perf_counter()
                codec.decode(data)
                ways.append((encoded - started, time.perf_counter() - encoded))
            found.append((min(way[0] for way in ways), min(way[1] for way in ways)))
        both = [sum(way) for way in found]
        columns = (*zip(*found, strict=True), both)
        medians = "".join(f"{statistics.median(column):>10.3f}" for column in columns)
        print(f"{rate:<8}{medians}{max(both):>10.3f}", flush=True)


def stages(folder: Path, arguments: argparse.Namespace) -> None:
    """Print where the time of a picture goes, in one thread of a loaded codec."""
    codec = Codec(arguments.device, threads=1)
    total: dict[str, float] = {}
    paths = sorted(folder.iterdir())[:: max(1, len(list(folder.iterdir())) // 24)]
    for path in paths:
        started = time.perf_counter()
        pixels = np.asarray(Image.open(path))
        add(total, "read PNG", time.perf_counter() - started)
        data = codec.encode(pixels, quality=arguments.quality)
        for name, seconds in data.report.stages.items():
            add(total, f"encode: {name}", seconds)
        report = codec.decode_rows(bytes(data), lambda rows: None)
        for name, seconds in report.stages.items():
            add(total, f"decode: {name}", seconds)
    for name, seconds in total.items():
        print(f"{name:<28}{1000 * seconds / len(paths):>12.1f} ms a picture")


def add(total: dict[str, float], name: str, seconds: float) -> None:
    """Count seconds."""
    total[name] = total.get(name, 0.0) + seconds


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the resident memory of all processes after each tenth of many tiny files."""
    source = folder / "tiny"
    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(arguments.memory):
        pixels = rng.integers(0, 256, (TINY, TINY, 3), np.uint8)
        Image.fromarray(pixels).save(source / f"{number:06d}.png")
    coded, back = folder / "coded", folder / "back"
    for jobs in arguments.jobs:
        for words, made in (
            (("encode", source, coded, "--quality", arguments.quality), coded),
            (("decode", coded, back), back),
        ):
            shutil.rmtree(made, ignore_errors=True)
            command = [*arguments.aic, *words, "--jobs", jobs, "--quiet"]
            started = time.perf_counter()
            process = subprocess.Popen([str(word) for word in command])
            found: list[tuple[float, float]] = []  # share done, MB
            watch = threading.Thread(target=sample, args=(process, made, arguments.memory, found))
            watch.start()
            status = process.wait()
            watch.join()
            rate = arguments.memory / (time.perf_counter() - started)
            tenths = (max((mb for s, mb in found if s <= t / 10), default=0) for t in range(1, 11))
            print(
                f"aic {words[0]}, jobs {jobs}: status {status}, {rate:.1f} files/s, peak MB after",
                f"each tenth: {' '.join(f'{mb:.0f}' for mb in tenths)}",
                flush=True,
            )


def sample(
    process: "subprocess.Popen[bytes]", made: Path, number: int, found: list[tuple[float, float]]
) -> None:
    """Note again and again which share is done, and the resident memory."""
    while process.poll() is None:
        share = len(os.listdir(made)) / number if made.exists() else 0.0
        found.append((share, sum(map(resident, family(process.pid))) / 1e6))
        time.sleep(SAMPLE_S)


def family(pid: int) -> list[int]:
    """Return a process and those below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(int(child)))]


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds, 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()

"""How much smaller `aic pack` makes JPEG files, against JPEG XL's lossless recompression.

    python benchmarks/pack.py KODAK [--sample 150] [--real FOLDER] [--jobs 2] [--out results.json]

JPEG files are made of each picture with Pillow's libjpeg-turbo: qualities 50 to 95, 4:2:0 and
4:4:4, with the standard's Huffman tables, with optimised ones, and progressive. `cjxl` packs the
same files where it is installed. Every file is unpacked and compared. Shares are means over files
of what they get smaller by; bytes a second are counted over all files of a row. With --jobs,
so many files are measured at a time, each in a process of its own; of the seconds that go by, the
last lines tell, of the files of one picture in so many processes. With --sample, only so many of
the 720 files are taken, by chance, always the same.
"""

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from PIL import Image

from imgcodec.errors import AicError
from imgcodec.jpeg import packing

QUALITIES = 50, 75, 85, 92, 95
KINDS = {
    "4:2:0": {"subsampling": 2},
    "4:2:0 optimised": {"subsampling": 2, "optimize": True},
    "4:2:0 progressive": {"subsampling": 2, "progressive": True},
    "4:4:4": {"subsampling": 0},
    "4:4:4 optimised": {"subsampling": 0, "optimize": True},
    "4:4:4 progressive": {"subsampling": 0, "progressive": True},
}
JPEGS = {".jpg", ".jpeg"}


def made(folder):
    """Yield name of the row, name of the file, and a JPEG file."""
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            image = image.convert("RGB")
        for kind, options in KINDS.items():
            for quality in QUALITIES:
                out = io.BytesIO()
                image.save(out, "jpeg", quality=quality, **options)
                yield f"{kind}, {quality}", path.stem, out.getvalue()


def real(folder):
    """Yield the JPEG files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in JPEGS:
            yield "as found", path.name, path.read_bytes()


def jxl_bytes(data):
    """Return the size of JPEG XL's lossless recompression; None: no cjxl, or it failed."""
    if shutil.which("cjxl") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jpg", Path(folder) / "out.jxl"
        source.write_bytes(data)
        command = ["cjxl", "--lossless_jpeg=1", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, check=False)
        return target.stat().st_size if done.returncode == 0 else None


def measure(data):
    """Return sizes and times of one file."""
    start = time.perf_counter(), time.process_time()
    try:
        coded = packing.pack(data, threads=1)
    except AicError as error:
        return {"refused": str(error)}
    middle = time.perf_counter(), time.process_time()
    same = packing.unpack(coded, threads=1) == data
    end = time.perf_counter(), time.process_time()
    return {
        "bytes": len(data), "packed": len(coded), "jxl": jxl_bytes(data), "same": same,
        "pack_s": middle[0] - start[0], "pack_cpu_s": middle[1] - start[1],
        "unpack_s": end[0] - middle[0], "unpack_cpu_s": end[1] - middle[1],
    }  # fmt: skip


def mean(values):
    """Return the mean, nan of nothing."""
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def show(name, rows):
    """Print a line of the table."""
    if not rows:
        return
    total = sum(row["bytes"] for row in rows)
    saved = mean(100 * (1 - row["packed"] / row["bytes"]) for row in rows)
    jxl = mean(100 * (1 - row["jxl"] / row["bytes"]) for row in rows if row["jxl"])
    cpu = (
        f"{total / 1e6 / sum(row[key] for row in rows):.2f}"
        for key in ("pack_cpu_s", "unpack_cpu_s")
    )
    same = sum(row["same"] for row in rows)
    smaller = sum(row["packed"] < row["jxl"] for row in rows if row["jxl"])
    cells = [name, str(len(rows)), f"{saved:.1f}", f"{jxl:.1f}", str(smaller), *cpu, str(same)]
    print("| " + " | ".join(cells) + " |", flush=True)


def show_together(files, pool, jobs):
    """Print how fast files go in several processes."""
    packed = list(pool.map(packing.pack, files))  # each process has loaded all now
    total = sum(map(len, files)) / 1e6
    for name, work, sources in (("pack", packing.pack, files), ("unpack", packing.unpack, packed)):
        start = time.perf_counter()
        for _ in pool.map(work, sources):
            pass
        speed = total / (time.perf_counter() - start)
        print(f"{name}, {len(files)} files, {jobs} at a time: {speed:.2f} MB/s")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, help="only so many of the files, by chance")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = defaultdict(list)
    sources = list(made(args.folder))
    if args.sample:
        sources = random.Random(1).sample(sources, args.sample)  # noqa: S311
    sources += real(args.real) if args.real else ()
    with ProcessPoolExecutor(args.jobs) as pool:
        measured = pool.map(measure, [data for _, _, data in sources])
        for (name, file, _), row in zip(sources, measured, strict=True):
            if "refused" in row:
                print(f"{file}: refused: {row['refused']}", file=sys.stderr)
            else:
                rows[name].append({"file": file, **row})
        if args.out:
            args.out.write_text(json.dumps(rows, indent=1))
        print("| files | number | % less | cjxl, % less | smaller than cjxl's |", end="")
        print(" MB a CPU second, pack | unpack | identical |")
        print("|" + 8 * "---|")
        for name, found in sorted(rows.items()):
            show(name, found)
        for part in (*KINDS, *(f"{quality}" for quality in QUALITIES)):
            show(
                f"all {part}",
                [r for n, found in rows.items() if part in n.split(", ") for r in found],
            )
        show("all made", [r for n, found in rows.items() if ", " in n for r in found])
        show_together(
            [data for _, file, data in sources if file == sources[0][1]], pool, args.jobs
        )


if __name__ == "__main__":
    main()

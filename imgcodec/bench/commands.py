"""Whole commands on one picture, start of the program included."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgcodec import files
from imgcodec.bench.table import aligned
from imgcodec.errors import AicError
from imgcodec.format.container import MAX_PIXELS
from imgcodec.pictures import reader, writer
from imgcodec.pictures.arrays import as_colour

_AIC = (sys.executable, "-m", "imgcodec")
COMMANDS = {  # codec: (encoder, decoder, suffix); {} stand for input and output
    "aic": ((*_AIC, "encode", "{}", "{}"), (*_AIC, "decode", "{}", "{}"), "aic"),
    "jpeg": (("cjpeg", "-outfile", "{out}", "{}"), ("djpeg", "-outfile", "{out}", "{}"), "jpg"),
    "jpeg2000": (
        ("opj_compress", "-r", "30", "-i", "{}", "-o", "{}"),
        ("opj_decompress", "-i", "{}", "-o", "{}"),
        "jp2",
    ),
    "webp": (("cwebp", "-m", "6", "{}", "-o", "{}"), ("dwebp", "{}", "-ppm", "-o", "{}"), "webp"),
    "avif": (("avifenc", "-s", "6", "{}", "{}"), ("avifdec", "{}", "{}"), "avif"),
    "jpegxl": (("cjxl", "-e", "7", "{}", "{}"), ("djxl", "{}", "{}"), "jxl"),
    "heic": (("heif-enc", "{}", "-o", "{}"), ("heif-dec", "{}", "{}"), "heic"),
}


@dataclass(frozen=True, slots=True)
class CommandRow:
    """How long two commands of a codec take on one picture."""

    codec: str
    picture: str
    command: str  # that encodes
    bytes: int
    encode_s: float
    decode_s: float
    encode_ratio: float  # to the first codec's
    decode_ratio: float


def measure(
    codecs: Sequence[str], picture: Path, repeat: int, max_pixels: int = MAX_PIXELS
) -> list[CommandRow]:
    """Return the median times of the commands of codecs, as far as they are installed.

    The commands take turns, after a first one that does not count, with their default quality.
    Pictures are read as PNG (JPEG tools: PPM) and written as PNG (WebP, JPEG: PPM).

    Raises:
        AicError: the picture cannot be read, or a command fails.
    """
    pixels = as_colour(reader.read_image(picture, max_pixels))
    with files.temporary_folder() as scratch:
        folder = Path(scratch)
        sources = {suffix: folder / f"picture.{suffix}" for suffix in ("png", "ppm")}
        for path in sources.values():
            writer.write_image(path, pixels)
        steps: dict[tuple[str, int], tuple[list[str], Path]] = {}
        for codec in codecs:
            encoder, decoder, suffix = COMMANDS[codec]
            if shutil.which(encoder[0]) and shutil.which(decoder[0]):
                source = sources["ppm" if codec == "jpeg" else "png"]
                coded = folder / f"coded.{suffix}"
                back = folder / f"{codec}.{'ppm' if codec in ('jpeg', 'webp') else 'png'}"
                steps[codec, 0] = _filled(encoder, source, coded), coded
                steps[codec, 1] = _filled(decoder, coded, back), back
        seconds: dict[tuple[str, int], list[float]] = {step: [] for step in steps}
        for turn in range(repeat + 1):
            for step, (words, target) in steps.items():
                target.unlink(missing_ok=True)
                started = time.perf_counter()
                done = subprocess.run(words, capture_output=True)  # noqa: S603
                if turn:
                    seconds[step].append(time.perf_counter() - started)
                if done.returncode or not target.exists():
                    raise AicError(f"{' '.join(words)}: ended with {done.returncode}")
        return _rows(picture.name, steps, {s: statistics.median(t) for s, t in seconds.items()})


def _rows(
    picture: str,
    steps: dict[tuple[str, int], tuple[list[str], Path]],
    medians: dict[tuple[str, int], float],
) -> list[CommandRow]:
    names = list(dict.fromkeys(codec for codec, _ in steps))
    rows = []
    for codec in names:
        words, coded = steps[codec, 0]
        command = " ".join(map(os.path.basename, words))
        times = medians[codec, 0], medians[codec, 1]
        first = medians[names[0], 0], medians[names[0], 1]
        rows.append(
            CommandRow(
                codec, picture, command, coded.stat().st_size, *times,
                times[0] / first[0], times[1] / first[1],
            )
        )  # fmt: skip
    return rows


def _filled(words: Sequence[str], source: Path, target: Path) -> list[str]:
    """Return the words with the files in place of the braces."""
    places = iter((str(source), str(target)))
    if "{out}" in words:
        return [str(target) if w == "{out}" else str(source) if w == "{}" else w for w in words]
    return [next(places) if word == "{}" else word for word in words]


def table(rows: Sequence[CommandRow]) -> str:
    """Return the rows as text for a terminal."""
    lines = [["whole command", "bytes", "encode s", "ratio", "decode s", "ratio"]]
    for row in rows:
        lines.append(
            [
                row.command, str(row.bytes), f"{row.encode_s:.2f}", f"{row.encode_ratio:.2f}",
                f"{row.decode_s:.2f}", f"{row.decode_ratio:.2f}",
            ]
        )  # fmt: skip
    return "\n".join(aligned(lines))

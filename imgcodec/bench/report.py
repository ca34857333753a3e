"""What a benchmark found: its rows, their means, and how both are written down."""

import csv
import importlib.metadata
import io
import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcodec import __version__, image, metrics

if TYPE_CHECKING:
    from imgcodec.bench.coders import Coder
    from imgcodec.bench.commands import CommandRow
    from imgcodec.bench.compare import Comparison

NAN = math.nan
SCHEMA = 1  # of the JSON; a change that breaks a reader counts it up
_PACKAGES = ("torch", "numpy", "pillow", "constriction", "pytorch-msssim")
_COLUMNS = (  # of the table: head, field, format, scale
    ("setting", "setting", "g", 1.0),
    ("bpp", "bpp", ".4f", 1.0),
    ("PSNR", "psnr", ".3f", 1.0),
    ("MS-SSIM", "ms_ssim", ".5f", 1.0),
    ("dB", "ms_ssim_db", ".3f", 1.0),
    ("SSIMULACRA 2", "ssimulacra2", ".2f", 1.0),
    ("enc model s", "encode_model_s", ".3f", 1.0),
    ("enc s", "encode_s", ".3f", 1.0),
    ("dec model s", "decode_model_s", ".3f", 1.0),
    ("dec s", "decode_s", ".3f", 1.0),
    ("peak MB", "peak_memory_bytes", ".0f", 1e-6),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture, one codec, one setting; nan stands for what could not be measured."""

    picture: str  # file name
    codec: str
    setting: float  # of the codec: bits per pixel that were asked, or its quality
    width: int = 0  # pixels, 0 for a picture that could not be read
    height: int = 0  # pixels
    bytes: int = 0  # of the file on disk
    bpp: float = NAN
    psnr: float = NAN  # dB, RGB together
    ms_ssim: float = NAN  # 0..1, nan for a picture too small for it
    ms_ssim_db: float = NAN
    ssimulacra2: float = NAN  # 100 is the same; nan where it was not asked for
    encode_model_s: float = NAN  # the networks alone, as the codec reports
    encode_s: float = NAN  # pixels to bytes, as timed here
    decode_model_s: float = NAN
    decode_s: float = NAN
    # of this process, largest while it encoded and decoded; 0 where the system does not say, or
    # several pictures were worked on at once
    peak_memory_bytes: int = 0
    limited: bool = False  # the picture needs fewer bits than asked
    error: str = ""  # why there is no measurement


@dataclass(frozen=True, slots=True)
class MeanRow:
    """Means over the pictures measured at one setting; nan where there is none."""

    codec: str
    setting: float
    pictures: int
    failed: int
    limited: int
    bpp: float
    psnr: float
    ms_ssim: float  # over the pictures large enough
    ms_ssim_db: float  # of the mean MS-SSIM
    ssimulacra2: float
    encode_model_s: float
    encode_s: float
    decode_model_s: float
    decode_s: float
    peak_memory_bytes: int  # largest


def means(rows: Sequence[Row]) -> list[MeanRow]:
    """Return the mean row of each codec and setting, in the order in which they come."""
    return [
        _mean(codec, setting, [r for r in rows if (r.codec, r.setting) == (codec, setting)])
        for codec, setting in dict.fromkeys((row.codec, row.setting) for row in rows)
    ]


def to_csv(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a line per row; what could not be measured is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in rows:
        writer.writerow("" if value != value else value for value in astuple(row))
    image.write_bytes(path, text.getvalue().encode(), force=True)


def to_json(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a result; docs/bench.md explains it."""
    text = json.dumps(result, indent=1, allow_nan=False)
    image.write_bytes(path, f"{text}\n".encode(), force=True)


def as_result(
    rows: Sequence[Row],
    coders: Sequence["Coder"],
    comparisons: Sequence["Comparison"],
    commands: Sequence["CommandRow"],
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Return all that was found, for JSON; what is no finite number is None."""
    lists: dict[str, Sequence[Any]] = {
        "rows": rows,
        "means": means(rows),
        "comparisons": comparisons,
        "commands": commands,
    }
    found: dict[str, Any] = {
        name: [{k: _finite(v) for k, v in asdict(row).items()} for row in some]
        for name, some in lists.items()
    }
    codecs = {coder.name: coder.about for coder in coders}
    return {"schema": SCHEMA, "environment": environment, "codecs": codecs, **found}


def table(rows: Sequence[Row], means: Sequence[MeanRow]) -> str:
    """Return the rows, the means and then the failures as text for a terminal."""
    shown = [c for c in _COLUMNS if any(not math.isnan(getattr(mean, c[1])) for mean in means)]
    shown = shown or list(_COLUMNS)
    lines = [["picture", "codec", "size", "bytes", *(head for head, _, _, _ in shown)]]
    good = [row for row in rows if not row.error]
    for row in good:
        size = f"{row.width}x{row.height}"
        name = row.picture + "*" * row.limited
        lines.append([name, row.codec, size, str(row.bytes), *_cells(row, shown)])
    for mean in means:
        lines.append([f"mean of {mean.pictures}", mean.codec, "", "", *_cells(mean, shown)])
    text = aligned(lines)
    if any(row.limited for row in good):
        text.append("* needs fewer bits than asked")
    failures: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.error:
            key = row.picture, row.codec, row.error
            failures.setdefault(key, []).append(f"{row.setting:g}")
    text += [
        f"failed: {name} with {codec} at {' '.join(settings)}: {error}"
        for (name, codec, error), settings in failures.items()
    ]
    return "\n".join(text)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with columns of one width, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]


def environment(threads: int, gpu: str | None, repeat: int, jobs: int) -> dict[str, Any]:
    """Return what times depend on: versions, machine, threads, and how they were taken."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "versions": {"imgcodec": __version__, "python": platform.python_version(), **versions},
        "gpu": gpu,
        "threads": threads,
        "repeat": repeat,
        "jobs": jobs,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


def _mean(codec: str, setting: float, rows: Sequence[Row]) -> MeanRow:
    """Return the means over the rows of one codec and setting."""
    good = [row for row in rows if not row.error]

    def over(name: str) -> float:
        values = [value for row in good if not math.isnan(value := getattr(row, name))]
        return statistics.fmean(values) if values else NAN

    return MeanRow(
        codec, setting, len(good), len(rows) - len(good), sum(row.limited for row in good),
        over("bpp"), over("psnr"), over("ms_ssim"), metrics.ms_ssim_db(over("ms_ssim")),
        over("ssimulacra2"), over("encode_model_s"), over("encode_s"), over("decode_model_s"),
        over("decode_s"), max((row.peak_memory_bytes for row in good), default=0),
    )  # fmt: skip


def _cells(row: Row | MeanRow, columns: Sequence[tuple[str, str, str, float]]) -> list[str]:
    """Return the columns that rows and means share."""
    values = [(getattr(row, name) * scale, form) for _, name, form, scale in columns]
    return ["-" if math.isnan(value) else format(value, form) for value, form in values]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor() -> str:
    """Return the name of the processor; Linux keeps it in a file."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()

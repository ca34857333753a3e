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
    from imgcodec.codec import Codec

NAN = math.nan
_PACKAGES = ("torch", "numpy", "pillow", "constriction", "pytorch-msssim")
_COLUMNS = (  # of the table: head, field, format, scale
    ("asked", "rate_asked", "g", 1.0),
    ("bpp", "bpp", ".4f", 1.0),
    ("PSNR", "psnr", ".3f", 1.0),
    ("MS-SSIM", "ms_ssim", ".5f", 1.0),
    ("dB", "ms_ssim_db", ".3f", 1.0),
    ("enc model s", "encode_model_s", ".3f", 1.0),
    ("enc s", "encode_s", ".3f", 1.0),
    ("dec model s", "decode_model_s", ".3f", 1.0),
    ("dec s", "decode_s", ".3f", 1.0),
    ("peak MB", "peak_memory_bytes", ".0f", 1e-6),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture at one rate; nan stands for what could not be measured."""

    picture: str  # file name
    width: int  # pixels, 0 for a picture that could not be read
    height: int  # pixels
    rate_asked: float  # bits per pixel
    bytes: int = 0  # of the file on disk
    bpp: float = NAN
    psnr: float = NAN  # dB, RGB together
    ms_ssim: float = NAN  # 0..1, nan for a picture too small for it
    ms_ssim_db: float = NAN
    encode_model_s: float = NAN  # the networks alone, as the codec reports
    encode_s: float = NAN  # pixels to bytes, as timed here
    decode_model_s: float = NAN
    decode_s: float = NAN
    peak_memory_bytes: int = 0  # of this process since its start; 0 where the system does not say
    limited: bool = False  # the picture needs fewer bits than asked
    error: str = ""  # why there is no measurement
    effort: int = 1  # of the encoder


@dataclass(frozen=True, slots=True)
class MeanRow:
    """Means over the pictures measured at one rate; nan where there is none."""

    rate_asked: float  # bits per pixel
    pictures: int
    failed: int
    limited: int
    bpp: float
    psnr: float
    ms_ssim: float  # over the pictures large enough
    ms_ssim_db: float  # of the mean MS-SSIM
    encode_model_s: float
    encode_s: float
    decode_model_s: float
    decode_s: float
    peak_memory_bytes: int  # largest


def means(rows: Sequence[Row]) -> list[MeanRow]:
    """Return the mean row of each rate, in the order in which the rates come."""
    return [
        _mean(rate, [row for row in rows if row.rate_asked == rate])
        for rate in dict.fromkeys(row.rate_asked for row in rows)
    ]


def to_csv(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a line per row; what could not be measured is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in rows:
        writer.writerow("" if value != value else value for value in astuple(row))
    image.write_bytes(path, text.getvalue().encode(), force=True)


def to_json(
    rows: Sequence[Row], means: Sequence[MeanRow], codec: "Codec", path: str | os.PathLike[str]
) -> None:
    """Write rows, means and what the times depend on; what is no finite number is null."""
    lists = [
        [{k: _finite(v) for k, v in asdict(row).items()} for row in some] for some in (rows, means)
    ]
    result = {"environment": environment(codec), "rows": lists[0], "means": lists[1]}
    text = json.dumps(result, indent=1, allow_nan=False)
    image.write_bytes(path, f"{text}\n".encode(), force=True)


def table(rows: Sequence[Row], means: Sequence[MeanRow]) -> str:
    """Return the rows, the means and then the failures as text for a terminal."""
    lines = [["picture", "size", "bytes", *(head for head, _, _, _ in _COLUMNS)]]
    good = [row for row in rows if not row.error]
    for row in good:
        size = f"{row.width}x{row.height}"
        lines.append([row.picture + "*" * row.limited, size, str(row.bytes), *_cells(row)])
    lines += [[f"mean of {mean.pictures}", "", "", *_cells(mean)] for mean in means]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    if any(row.limited for row in good):
        text.append("* needs fewer bits than asked")
    failures: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.error:
            failures.setdefault((row.picture, row.error), []).append(f"{row.rate_asked:g}")
    text += [
        f"failed: {name} at {' '.join(rates)}: {error}"
        for (name, error), rates in failures.items()
    ]
    return "\n".join(text)


def environment(codec: "Codec") -> dict[str, Any]:
    """Return what times depend on: versions, device, threads and machine."""
    import torch  # its number of threads, and the GPU

    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    gpu = torch.cuda.get_device_name() if codec.device.startswith("cuda") else None
    return {
        "versions": {"imgcodec": __version__, "python": platform.python_version(), **versions},
        "device": codec.device,
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


def _mean(rate: float, rows: Sequence[Row]) -> MeanRow:
    """Return the means over the rows of one rate."""
    good = [row for row in rows if not row.error]

    def over(name: str) -> float:
        values = [value for row in good if not math.isnan(value := getattr(row, name))]
        return statistics.fmean(values) if values else NAN

    return MeanRow(
        rate, len(good), len(rows) - len(good), sum(row.limited for row in good),
        over("bpp"), over("psnr"), over("ms_ssim"), metrics.ms_ssim_db(over("ms_ssim")),
        over("encode_model_s"), over("encode_s"), over("decode_model_s"), over("decode_s"),
        max((row.peak_memory_bytes for row in good), default=0),
    )  # fmt: skip


def _cells(row: Row | MeanRow) -> list[str]:
    """Return the columns that rows and means share."""
    values = [(getattr(row, name) * scale, form) for _, name, form, scale in _COLUMNS]
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

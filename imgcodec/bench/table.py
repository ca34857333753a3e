"""Tables for a terminal."""

import math
from collections.abc import Sequence

from imgcodec.bench.rows import MeanRow, Row, having

_COLUMNS = (  # of the table: head, field, format, scale
    ("setting", "setting", "g", 1.0),
    ("bpp", "bpp", ".4f", 1.0),
    ("PSNR", "psnr", ".3f", 1.0),
    ("MS-SSIM", "ms_ssim", ".5f", 1.0),
    ("dB", "ms_ssim_db", ".3f", 1.0),
    ("SSIMULACRA 2", "ssimulacra2", ".2f", 1.0),
    ("CVVDP", "cvvdp", ".3f", 1.0),
    ("enc model s", "encode_model_s", ".3f", 1.0),
    ("enc s", "encode_s", ".3f", 1.0),
    ("dec model s", "decode_model_s", ".3f", 1.0),
    ("dec s", "decode_s", ".3f", 1.0),
    ("peak MB", "peak_memory_bytes", ".0f", 1e-6),
)
_BYTES = ("bytes", "bytes", ".0f", 1.0)
_OF_LARGE = (("MS-SSIM", "ms_ssim"), ("SSIMULACRA 2", "ssimulacra2"), ("CVVDP", "cvvdp"))


def table(rows: Sequence[Row], means: Sequence[MeanRow]) -> str:
    """Return the rows, the means and then the failures as text for a terminal."""
    shown = [c for c in _COLUMNS if any(not math.isnan(getattr(mean, c[1])) for mean in means)]
    shown = shown or list(_COLUMNS)
    lines = [["picture", "codec", "size", "bytes", *(head for head, _, _, _ in shown)]]
    good = [row for row in rows if not row.error]
    for row in good:
        size = f"{row.width}x{row.height}"
        name = row.picture + "*" * row.limited
        lines.append([name, row.codec, size, *_cells(row, [_BYTES, *shown])])
    for mean in means:
        lines.append([f"mean of {mean.pictures}", mean.codec, "", "", *_cells(mean, shown)])
    text = aligned(lines)
    if any(row.limited for row in good):
        text.append("* needs fewer bits than asked")
    measured = {row.picture for row in having(rows, "psnr")}
    for head, name in _OF_LARGE:
        small = len(measured - {row.picture for row in having(rows, name)})
        if small and head in lines[0]:
            text.append(f"means of {head}: without {small} of the pictures, too small for it")
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


def _cells(row: Row | MeanRow, columns: Sequence[tuple[str, str, str, float]]) -> list[str]:
    """Return the columns that rows and means share."""
    values = [(getattr(row, name) * scale, form) for _, name, form, scale in columns]
    return ["-" if math.isnan(value) else format(value, form) for value, form in values]

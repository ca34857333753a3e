"""What a benchmark measures: a row for each picture, codec and setting, and their means."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from imgcodec import metrics

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Row:
    """One picture, one codec, one setting; nan stands for what could not be measured."""

    picture: str  # file name
    codec: str
    setting: float  # of the codec: bits per pixel that were asked, or its quality
    width: float = NAN  # pixels
    height: float = NAN  # pixels
    bytes: float = NAN  # of the file on disk
    bpp: float = NAN
    psnr: float = NAN  # dB, RGB together
    ms_ssim: float = NAN  # 0..1, nan for a picture too small for it
    ms_ssim_db: float = NAN
    ssimulacra2: float = NAN  # 100 is the same; nan where it was not asked for
    cvvdp: float = NAN  # JOD, 10 is the same; nan where it was not asked for
    encode_model_s: float = NAN  # in encoder or decoder alone, as the codec reports
    encode_s: float = NAN  # pixels to bytes, as timed here
    decode_model_s: float = NAN
    decode_s: float = NAN
    # of this process, largest while it encoded and decoded; nan where the system does not say, or
    # several pictures were worked on at once
    peak_memory_bytes: float = NAN
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
    ms_ssim: float  # over the pictures large enough, as the other metrics
    ms_ssim_db: float  # of the mean MS-SSIM
    ms_ssim_bpp: float  # over the pictures that MS-SSIM is over
    ssimulacra2: float
    ssimulacra2_bpp: float
    cvvdp: float
    cvvdp_bpp: float
    encode_model_s: float
    encode_s: float
    decode_model_s: float
    decode_s: float
    peak_memory_bytes: float  # largest


RATES = {  # of means, by the quality that is over the same pictures
    "psnr": "bpp",
    "ms_ssim_db": "ms_ssim_bpp",
    "ssimulacra2": "ssimulacra2_bpp",
    "cvvdp": "cvvdp_bpp",
}


def having(rows: Sequence[Row], name: str) -> list[Row]:
    """Return the rows in which a field, as of a metric, was measured."""
    return [row for row in rows if not row.error and not math.isnan(getattr(row, name))]


def means(rows: Sequence[Row]) -> list[MeanRow]:
    """Return the mean row of each codec and setting, in the order in which they come."""
    return [
        _mean(codec, setting, [r for r in rows if (r.codec, r.setting) == (codec, setting)])
        for codec, setting in dict.fromkeys((row.codec, row.setting) for row in rows)
    ]


def _mean(codec: str, setting: float, rows: Sequence[Row]) -> MeanRow:
    """Return the means over the rows of one codec and setting."""
    good = [row for row in rows if not row.error]

    def over(name: str, metric: str | None = None) -> float:
        values = [getattr(row, name) for row in having(good, metric or name)]
        return statistics.fmean(values) if values else NAN

    return MeanRow(
        codec, setting, len(good), len(rows) - len(good), sum(row.limited for row in good),
        over("bpp"), over("psnr"), over("ms_ssim"), metrics.ms_ssim_db(over("ms_ssim")),
        over("bpp", "ms_ssim"), over("ssimulacra2"), over("bpp", "ssimulacra2"), over("cvvdp"),
        over("bpp", "cvvdp"), over("encode_model_s"), over("encode_s"),
        over("decode_model_s"), over("decode_s"),
        max((row.peak_memory_bytes for row in having(good, "peak_memory_bytes")), default=NAN),
    )  # fmt: skip

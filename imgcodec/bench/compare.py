"""BD-rates of every codec against every other."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imgcodec.bench.rows import MeanRow, Row, having, means
from imgcodec.bench.table import aligned
from imgcodec.metrics import bd_rate


class Metric(NamedTuple):
    """A quality over which BD-rates are taken."""

    name: str
    unit: str
    digits: int  # behind the point
    within: tuple[float, float] = (-math.inf, math.inf)  # beyond, its differences mean little


COMPARED = {  # by the field of rows
    "psnr": Metric("PSNR", " dB", 1),
    "ms_ssim_db": Metric("MS-SSIM", " dB", 1),
    "ssimulacra2": Metric("SSIMULACRA 2", "", 1, (30.0, 85.0)),
    "cvvdp": Metric("CVVDP", " JOD", 2, (9.0, 9.92)),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many percent more bits `codec` takes than `anchor` at equal quality."""

    anchor: str
    codec: str
    metric: str  # a key of COMPARED
    of_set: float | None  # from the curves of means over all pictures
    low: float | None  # the quality over which those curves are compared, from
    high: float | None  # to
    of_pictures: float | None  # mean of the BD-rates of single pictures
    pictures: int  # whose curves overlap
    set_pictures: int  # that the means are over: all that the metric was measured of


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """Return the comparisons of all pairs of codecs, in each metric that was measured.

    Curves of the set have the settings that all pictures were measured at: means over others, as
    of an interrupted run or where a codec refused some, are those of easier or harder pictures. Of
    a metric, all pictures are those large enough for it.

    Raises:
        AicError: there are pairs, but not the package for BD-rates.
    """
    names = list(dict.fromkeys(row.codec for row in rows))
    found = []
    for metric, (_, _, _, within) in COMPARED.items():
        good = having(rows, metric)
        whole = len({row.picture for row in good})
        complete = [mean for mean in means(good) if mean.pictures == whole]
        sets = {name: _curve([m for m in complete if m.codec == name], metric) for name in names}
        pictures = {
            name: _by_picture([row for row in good if row.codec == name], metric) for name in names
        }
        for anchor in names:
            for codec in names:
                if (
                    codec != anchor
                    and any(pictures[anchor].values())
                    and any(pictures[codec].values())
                ):
                    single = [
                        rate
                        for picture, curve in pictures[codec].items()
                        if picture in pictures[anchor]
                        and (rate := _rate(pictures[anchor][picture], curve, within)) is not None
                    ]
                    low, high = _overlap(sets[anchor], sets[codec], within)
                    found.append(
                        Comparison(
                            anchor, codec, metric, _rate(sets[anchor], sets[codec], within),
                            low, high, statistics.fmean(single) if single else None, len(single),
                            whole,
                        )
                    )  # fmt: skip
    return found


_Curve = list[tuple[float, float]]  # quality, bits per pixel


def _curve(rows: Sequence[Row | MeanRow], metric: str) -> _Curve:
    """Return the points of a curve that have a finite quality, by quality, each once."""
    points: dict[float, float] = {}
    for row in rows:
        quality = getattr(row, metric)
        if row.bpp > 0 and abs(quality) < float("inf"):  # neither is so for nan
            points[quality] = min(row.bpp, points.get(quality, row.bpp))
    return sorted(points.items())


def _by_picture(rows: Sequence[Row], metric: str) -> dict[str, _Curve]:
    names = dict.fromkeys(row.picture for row in rows)
    return {name: _curve([r for r in rows if r.picture == name], metric) for name in names}


def _overlap(
    anchor: _Curve, codec: _Curve, within: tuple[float, float]
) -> tuple[float | None, float | None]:
    if not anchor or not codec:
        return None, None
    low = max(anchor[0][0], codec[0][0], within[0])
    high = min(anchor[-1][0], codec[-1][0], within[1])
    return (low, high) if low < high else (None, None)


def _rate(anchor: _Curve, codec: _Curve, within: tuple[float, float]) -> float | None:
    """Return the BD-rate, None where the curves have too little in common."""
    if min(len(anchor), len(codec)) < 2:
        return None
    (qualities_a, rates_a), (qualities_b, rates_b) = (
        zip(*anchor, strict=True),
        zip(*codec, strict=True),
    )
    try:
        return bd_rate(rates_a, qualities_a, rates_b, qualities_b, within)
    except ValueError:
        return None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def outcome(comparisons: Sequence[Comparison], names: Sequence[str], pictures: int) -> str:
    """Return one sentence: what the first aic, or the first codec, gains or loses.

    That is the first aic that has a curve: one setting alone is none. It is held against the codec
    that does best in that metric, aic's other settings left out.

    Args:
        comparisons: see `compare`.
        names: the codecs, in their order.
        pictures: how many were measured.
    """
    curves = {c.codec for c in comparisons if c.of_set is not None and not is_aic(c.anchor)}
    aics = sorted(filter(is_aic, names), key=lambda name: name not in curves)
    ours = aics[0] if aics else names[0]
    rivals = [name for name in names if name != ours and not (is_aic(ours) and is_aic(name))]
    if not rivals:
        return f"Nothing but {_listed(names)} was measured: there is nothing to compare with."
    parts = []
    for metric in COMPARED:
        found = {
            c.anchor: c
            for c in comparisons
            if (c.codec, c.metric) == (ours, metric) and c.anchor in rivals
        }
        rates = {name: c.of_set for name, c in found.items() if c.of_set is not None}
        if rates:
            best = max(rates, key=lambda name: rates[name])
            on = found[best].set_pictures
            some = f", on {on} of them" if on < pictures else ""
            parts.append(_clause(found[best], rates[best], len(rates)) + some)
    if not parts:
        on_all = "this picture" if pictures == 1 else f"all {pictures} pictures"
        return (
            f"At settings that {on_all} could be measured at, {ours} and {_listed(rivals)} have no"
            " range of quality in common."
        )
    on_these = "this picture" if pictures == 1 else f"these {pictures} pictures"
    return f"On {on_these} {ours} needs {'; '.join(parts)}."


def is_aic(name: str) -> bool:
    """Return whether a codec is aic, with whatever weights and settings."""
    return name.startswith("aic")


def _clause(c: Comparison, rate: float, rivals: int) -> str:
    least = f", the best of {rivals} others," if rivals > 1 else ""
    gain = f"{abs(rate):.1f} % {'fewer' if rate < 0 else 'more'} bits than {c.anchor}{least}"
    if abs(rate) < 0.05:
        gain = f"as many bits as {c.anchor}{least}"
    name, unit, digits, _ = COMPARED[c.metric]
    return f"{gain} at equal {name} ({c.low:.{digits}f} to {c.high:.{digits}f}{unit})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def table(comparisons: Sequence[Comparison], anchor: str) -> str:
    """Return a table of all codecs against one, as text for a terminal."""
    chosen = [c for c in comparisons if c.anchor == anchor]
    metrics = list(dict.fromkeys(c.metric for c in chosen))
    names = list(dict.fromkeys(c.codec for c in chosen))
    found = {(c.codec, c.metric): c for c in chosen}
    lines = [["BD-rate against " + anchor]]
    for metric in metrics:
        lines[0] += [f"{COMPARED[metric].name}, set", "of pictures", "overlap"]
    for name in names:
        line = [name]
        for metric in metrics:
            c = found.get((name, metric))
            if c is None:  # as of a codec without loss
                line += ["-", "-", "-"]
                continue
            form = f".{COMPARED[metric].digits}f"
            overlap = (
                "-" if c.low is None or c.high is None else f"{c.low:{form}}..{c.high:{form}}"
            )
            line += [_percent(c.of_set), _percent(c.of_pictures), overlap]
        lines.append(line)
    return "\n".join(aligned(lines))

"""Which rate parameter a picture is coded at: the one that reaches what is asked, with effort."""

from imgcodec.codec.compressor import Compressor
from imgcodec.codec.detail import limit_db
from imgcodec.codec.pace import Aim, Forecast
from imgcodec.codec.rate_search import (
    AIM,
    Found,
    Planned,
    Reached,
    better_guess,
    reach,
    search,
)
from imgcodec.format.container import MAX_U
from imgcodec.target import Target

SAME_LATENTS = MAX_U // 20  # difference of u over which latents are computed anew
# Quality in dB of photographs at u = 0.5, and its growth from u = 0 to 1.
TYPICAL_QUALITY = {"psnr": (31.0, 29.0), "ms_ssim": (16.0, 23.0), "ssimulacra2": (3.5, 25.0)}


def detail_limit_db(compressor: Compressor, u: int) -> float | None:
    """Return the PSNR that a picture's detail leaves it at a rate parameter, where too low."""
    middle, growth = TYPICAL_QUALITY["psnr"]
    return limit_db(compressor.unheld, middle + growth * (u / MAX_U - 0.5))


def compress_at(compressor: Compressor, target: Target, effort: int) -> Found:
    """Return the payloads of a picture at a trade-off, or at a quality.

    Args:
        compressor: the picture.
        target: quality, or one that is measured.
        effort: 1..9.
    """
    slope = 0.0
    if target.measured:

        def measure(u: int) -> float:
            compressor.renew(u)
            compressor.correct(u)
            return compressor.quality(u, target.kind)

        middle, growth = TYPICAL_QUALITY[target.kind]
        start = round((0.5 + (target.decibels - middle) / growth) * MAX_U)
        slope = growth / MAX_U
        found = reach(measure, target.decibels, start, slope, target.close_db)
        if found.missed and (found.too_bad or not found.u):  # levels of another rate bound it
            compressor.renew(found.u, new_levels=True)
            found = reach(measure, target.decibels, found.u, slope, target.close_db)
    else:
        found = Reached(target.u, missed=False, too_bad=False)
    u = found.u
    compressor.renew(u)
    known = not target.measured and compressor.recognise(u)
    if not known:
        compressor.correct(u)
    if compressor.refined_kind and effort > 1 and not known:
        for _ in range(effort - 1):
            compressor.refine(u)
        if target.measured:
            found = reach(
                lambda u: compressor.quality(u, target.kind),
                target.decibels, u, slope, target.close_db,
            )  # fmt: skip
    return Found(found.u, compressor.plan(found.u).write(), found.missed, found.too_bad)


def compress_within(compressor: Compressor, room: int, effort: int) -> Found | None:
    """Return the payloads of a picture, together at most `room` bytes; None: none is so small.

    Args:
        compressor: the picture.
        room: bytes.
        effort: 1..9.
    """
    if room <= 0:  # metadata, or the index of the tiles, take all: the least is told of
        compressor.renew(0, new_levels=True)
        compressor.correct(0)
        return None

    def estimate(u: int) -> Forecast:
        compressor.renew(u)
        return compressor.estimate(u)

    start, told, forecast = better_guess(estimate, room, compressor.guess(room))
    aim = Aim(forecast, AIM * room)

    def plan(u: int) -> Planned:
        nonlocal aim
        if not u:
            return compressor.plan(u)  # the least that is told of is that of u = 0
        planned = compressor.plan(u, aim)
        known = Forecast(u, planned.profiles, start.counted)  # more than an estimate
        aim = Aim(known, AIM * room)
        return planned

    if abs(start.u - forecast.u) > SAME_LATENTS:
        compressor.renew(start.u)
    compressor.correct(start.u)
    found = search(plan, room, start, told)
    if found is None:  # latents and levels for another rate may need a few bytes more
        compressor.renew(0, new_levels=True)
        compressor.correct(0)
        found = search(compressor.plan, room, start._replace(u=0))
    kind = compressor.refined_kind
    if found is None or effort == 1 or kind is None:
        return found
    # what is refined at one u is worth less at another: go on while files become better
    best = compressor.quality(found.u, kind)
    for _ in range(effort - 1):
        compressor.refine(found.u)
        again = search(plan, room, start._replace(u=found.u))
        if again is None or (quality := compressor.quality(again.u, kind)) <= best:
            break
        found, best = again, quality
    return found

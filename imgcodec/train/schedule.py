"""What a share of the training time stands for: the stage, and the learning rate."""

import math
from typing import NamedTuple

LEARNING_RATE = 6e-4
FINAL_LEARNING_RATE = 0.02  # of the peak
WARM_UP_STEPS = 200
QUANTISED_FROM = 0.15  # share of the time after which the context models work on integers
# Share of the time after which latents are rounded as in files, and the scales are learned from
# the cells that are coded; that stage has its own decay, from half the peak.
REAL_FROM = 0.43
# Share of the time after which patches are larger, where that is asked for; the learning rate
# decays once more, from half the peak.
FINAL_FROM = 0.75
# Share of the time in which a run that starts from weights without some layers of its context
# models trains these alone, with a learning rate so many times that of the rest.
SETTLING, SETTLING_RATE = 0.04, 4.0


class Stage(NamedTuple):
    """How a step is computed."""

    quantised: bool  # the context models work on integers
    real: bool  # latents are rounded as in files


def stage(progress: float, fresh: bool) -> Stage:
    """Return the stage at a share of the time, 0..1; a fresh run began with random weights."""
    return Stage(not fresh or progress > QUANTISED_FROM, not fresh or progress > REAL_FROM)


def ends(fresh: bool, final: bool) -> tuple[float, ...]:
    """Return the shares of the time at which the learning rate has decayed, and begins anew.

    Args:
        fresh: whether the run began with random weights.
        final: whether patches are larger in the end.
    """
    return (*[REAL_FROM] * fresh, *[FINAL_FROM] * final, 1.0)


def learning_rate(peak: float, progress: float, step: int, ends: tuple[float, ...]) -> float:
    """Return the learning rate of a step, from 1, at a share of the time, 0..1; see `ends`."""
    number = sum(progress >= end for end in ends[:-1])
    begin = ends[number - 1] if number else 0.0
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - begin) / (ends[number] - begin)))
    highest = peak * (0.5 if number else 1.0)
    decayed = highest * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)
    return decayed * min(1.0, step / WARM_UP_STEPS)


def shares(progress: float, settles: bool) -> tuple[float, float]:
    """Return how much of the learning rate the context models and the other networks get.

    Args:
        progress: share of the time, 0..1.
        settles: whether some layers of the context models are new.
    """
    return (SETTLING_RATE, 0.0) if settles and progress < SETTLING else (1.0, 1.0)

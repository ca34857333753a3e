"""Units of the context models' outputs, and the tables that turn them into probabilities.

The tables are made once, when weights are exported, and stored with them: no decoder computes one.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN_UNIT = 16
SCALES_PER_OCTAVE = 8
SCALE_ZERO = 40
NUM_SCALES = 112
MASS_BITS = 24
VALUE_LIMIT = 4096  # largest value the squashing table knows, in units of 1/16 step
RATE_INDICES = 56  # u = 0..1 as an integer 0..56: eighths of an octave of the step
RATE_SHOWN = 2  # the networks see this many times that integer
MAX_MAGNITUDE = 256
LOGIT_LIMIT = 256  # largest logit of a single bit that the table knows, in sixteenths
SQUASHED_MAX = 127
SQUASHED_GAIN = 20
SMOOTHED = 2.0  # scale indices that a fitted table's slopes are smoothed over, a deviation


class Costs(NamedTuple):
    """What a magnitude costs at each scale index, and how that changes with the index."""

    bits: Tensor  # float32 (112, 257): see `cost_table`
    slopes: Tensor  # the same shape: bits more at the next scale index, smoothed


def squash_table() -> Tensor:
    """Return round(20 asinh(v / 16)) for v = -4096..4096, float32 (8193,), within -127..127."""
    v = torch.arange(-VALUE_LIMIT, VALUE_LIMIT + 1, dtype=torch.float64) / MEAN_UNIT
    return torch.round(SQUASHED_GAIN * torch.asinh(v)).clamp(-SQUASHED_MAX, SQUASHED_MAX).float()


def mass_table() -> Tensor:
    """Return masses[i, m] = P(|value| <= m) * 2^24 of a logistic distribution, int64.

    Row i is the scale index, 0..111; columns are m = 0..256.
    """
    scale = torch.exp2((torch.arange(NUM_SCALES).double() - SCALE_ZERO) / SCALES_PER_OCTAVE)
    edge = torch.arange(MAX_MAGNITUDE + 1) + 0.5
    masses = torch.tanh(edge[None] / scale[:, None] / 2)  # 2 F(edge) - 1
    return torch.round(masses * 2**MASS_BITS).long()


def cost_table(masses: Tensor) -> Tensor:
    """Return the bits of a magnitude with its sign at each scale index, float32 (112, 257)."""
    share = masses.diff(dim=1, prepend=torch.zeros_like(masses[:, :1])) / 2.0**MASS_BITS
    share[:, 1:] /= 2  # either sign
    return -torch.log2(share.clamp_min(2.0**-MASS_BITS))


def cost_slopes(costs: Tensor) -> Tensor:
    """Return how bits change with the scale index, (112, 257), see `Costs`.

    Fitted tables were counted row by row, and single steps between them are noise.
    """
    reach = int(3 * SMOOTHED)
    offsets = torch.arange(-reach, reach + 1, device=costs.device)
    kernel = torch.exp(-0.5 * (offsets / SMOOTHED) ** 2)
    padded = F.pad(costs.T[:, None], (reach, reach), mode="replicate")
    smooth = F.conv1d(padded, kernel[None, None] / kernel.sum())[:, 0].T
    (slopes,) = torch.gradient(smooth, dim=0)
    return slopes.contiguous()

"""Which level each place gets: the encoder's choice, where an importance map asks for several."""

import torch
from torch import Tensor

from imgcodec.codec.tile_visitors import scale_rows
from imgcodec.model import Model
from imgcodec.model.binarizer import round_cheaply
from imgcodec.model.context import to_rows
from imgcodec.model.quantizer import quantize
from imgcodec.model.tables import MEAN_UNIT

# How the encoder chooses levels where they differ, see docs/experiments.md, trial 26.
LEVEL_WEIGHT = 12.0  # bits that a level's squared error is worth
LEVEL_BIAS = -0.3  # levels


def choose_levels(
    model: Model, costs: Tensor, p: Tensor, u: Tensor, finer: Tensor | float = 0.0
) -> Tensor:
    """Return the levels of an importance map; where they differ, those that cost little.

    Args:
        model: whose levels they are.
        costs: (scales, magnitudes) bits, see `model.tables.cost_table`.
        p: (B, 1, h, w) importance map, float32.
        u: (B,) rate parameter, 0..1.
        finer: by how many levels each place should be finer than the map says.

    Returns:
        (B, 1, h, w) float32 integers 0..L-1.
    """
    num_levels = model.config.levels
    if not model.config.levelled:
        return quantize(p, num_levels).round()
    wanted = (num_levels * p - 0.5 + LEVEL_BIAS + finer).clamp(0, num_levels - 1)
    values = model.walk_levels(u, p.shape[2:], _CheapLevels(wanted, costs))
    return (values / MEAN_UNIT).clamp(0, num_levels - 1)


class _CheapLevels:
    """Visitor that chooses levels: the nearest, or the next towards what is predicted."""

    def __init__(self, wanted: Tensor, costs: Tensor) -> None:
        """Take real levels (1, 1, h, w) and the table of costs."""
        self.wanted, self.costs = to_rows(wanted), costs

    def __call__(self, part: int, mean: Tensor, scale: Tensor, places: Tensor) -> Tensor:
        predicted = torch.floor(mean / MEAN_UNIT + 0.5)
        difference = self.wanted.index_select(1, places) - predicted
        weight = torch.full_like(difference, LEVEL_WEIGHT)
        found, _ = round_cheaply(difference, scale_rows(scale), None, weight, self.costs)
        return MEAN_UNIT * (predicted + found)

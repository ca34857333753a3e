"""Which level each place gets, where several will do."""

import torch

from imgcodec.codec.level_choice import _CheapLevels
from imgcodec.model.tables import cost_table, mass_table


def test_levels_are_rounded_towards_what_is_predicted_where_that_is_cheaper():

    wanted = torch.tensor([7.1, 7.6, 7.6, 8.6, 6.4, 5.9]).view(1, 1, 1, 6)
    visitor = _CheapLevels(wanted, cost_table(mass_table()))
    sure, unsure = 16.0, 48.0  # scale indices: a quarter of a step and two steps wide
    scale = torch.tensor([sure, sure, unsure, sure, sure, unsure]).view(1, 6, 1)
    mean = torch.full((1, 6, 1), 16.0 * 7)
    found = visitor(0, mean, scale, torch.arange(6))
    # 0.6 off is 12 * (0.36 - 0.16) = 2.4 bits worse than 0.4 off; a change costs more, if sure
    assert (found / 16).flatten().tolist() == [7, 7, 8, 8, 7, 6]

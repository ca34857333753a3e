"""Detail that files cannot hold: what it costs a picture, told without decoding.

Two things are lost whatever is spent. Half of the coefficients have no latent, only a share in
those of others. And integers of which the context model is certain, or which exceed their digits,
cannot say what it did not expect.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from imgcodec.format.container import MAX_U
from imgcodec.model import COEFFICIENTS, Model

SAMPLED_STRIDE = 3  # every 3rd place of every 3rd row
# Steps. What rounding and hidden signs move by more is below 53 dB in all Kodak pictures at
# qualities from 30 on, with each released set; integers that cannot be written are off by more.
MOST_ROUNDED = 2.0
# Of the Kodak pictures the worst has 36 dB, texture under MS-SSIM; 1-pixel patterns have 5 to 30.
WORRYING_DB = 32.0


def unheld(
    model: Model, t: Tensor, y: Tensor, levels: Tensor, parts: Sequence[Tensor], u: int
) -> float | None:
    """Return the mean squared error of pixels 0..1 by what a file cannot hold, about.

    Args:
        model: whose latents they are; None is returned for one without linear skips or integers.
        t: (1, 192, h, w) normalised coefficients.
        y: (1, latents, h, w) latents.
        levels: (1, 1, h, w) their levels.
        parts: of the codes that were chosen for them, (1, C, h, w) each, in steps.
        u: rate parameter that they were chosen for.
    """
    config = model.config
    analysis, synthesis = model.g_a.skip, model.g_s.skip
    if analysis is None or synthesis is None or not config.expansion:
        return None
    t, y, levels = (_sample(values) for values in (t, y, levels))
    left_out = (t - synthesis(analysis(t))) * model.deviation[:, None, None]
    # block means are left alone: predictions follow them anywhere
    found = torch.cat([_sample(part) for part in parts[config.pyramid_parts :]], 1)
    steps = model.steps(levels, t.new_tensor([u / MAX_U]))[:, config.lattice :]
    off = y[:, config.lattice :] / steps - found
    beyond = off * (off.abs() > MOST_ROUNDED) * steps * model.unit[config.lattice :, None, None]
    total = left_out.square().sum() + beyond.square().sum()
    return float(total) / (COEFFICIENTS * t[0, 0].numel())


def limit_db(error: float | None, expected_db: float) -> float | None:
    """Return an error of `unheld` as PSNR in dB where that is a worry, else None.

    Args:
        error: is None where nothing is known.
        expected_db: PSNR of photographs at the rate parameter; beside its errors others are small.
    """
    if error is None:
        return None
    limit = -10 * math.log10(max(error, 1e-20))
    return limit if limit < min(WORRYING_DB, expected_db) else None


def _sample(values: Tensor) -> Tensor:
    return values[..., ::SAMPLED_STRIDE, ::SAMPLED_STRIDE]

"""Latents of pictures, refined through the frozen decoder.

The encoder was fitted to all pictures, and does not know how its latents will be rounded. Once
they are, the decoder shows what is wrong, and the latents go a part of the way to where the error
should be least if it were quadratic. Files stay ordinary files.

The first round takes codes that hide no signs, and may go further; under the squared error it
follows the slope through the decoder's linear skip alone, which takes no more than a decoding and
gives no less. The later ones know the hidden signs. All latents go at once, and answer for the
same errors.
"""

import torch
from torch import Tensor

from imgcodec.errors import AicError
from imgcodec.model import Dequantised, Model
from imgcodec.model.layers import mixed
from imgcodec.model.steps import error_weight, lmbda
from imgcodec.perceptual.distortion import distortion
from imgcodec.runtime.forks import undivided

# By metric: the shares of the way to the codes, so that what was chosen is chosen again, and from
# there to the least error; of the first round, and of those after it.
FIRST_SHARES = {"mse": (0.3, 0.5), "ms-ssim": (0.15, 0.1), "eye": (0.25, 0.15)}
SHARES = {"mse": (0.2, 0.3), "ms-ssim": (0.1, 0.07), "eye": (0.1, 0.045)}
# Steps that a latent moves at most to the least error. Where structure is lost, the slope of what
# people see has no bound, and the error is nothing like quadratic.
FARTHEST = {"mse": 0.5, "ms-ssim": 0.5, "eye": 0.2}


def by_skip(model: Model) -> bool:
    """Return whether the first round of a model takes no more than a decoding."""
    return model.config.metric == "mse" and model.config.skip


@undivided()
def refine(
    model: Model, x: Tensor, y: Tensor, coded: Dequantised, u: Tensor, first: bool
) -> Tensor:
    """Return better latents, of the same shape as y.

    Args:
        model: frozen, without gradients of its own.
        x: (B, 3, H, W) pixels in 0..1, H and W multiples of 8.
        y: (B, latents, h, w) what the encoder puts out.
        coded: what files have of them; in the first round, what one without hidden signs has.
        u: (B,) rate parameters.
        first: whether this is the first round.
    """
    metric = model.config.metric
    slope = (_slope_by_skip if first and by_skip(model) else _slope)(model, x, coded, u)
    steps = model.steps(coded.levels, u)
    weight = error_weight(coded.levels, model.config) / steps.square()  # of a squared error
    to_codes, to_least = (FIRST_SHARES if first else SHARES)[metric]
    most = FARTHEST[metric] * steps
    down = torch.clamp(to_least * slope / (2 * weight), -most, most)
    refined: Tensor = y + to_codes * (coded.y_hat - y) - down
    return refined


def _slope(model: Model, x: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return the slope of lambda times the distortion along the codes."""
    with torch.inference_mode(False), torch.enable_grad():
        x, levels, u = (tensor.clone() for tensor in (x, coded.levels, u))
        y_hat = coded.y_hat.clone().requires_grad_()
        decoded = model.reconstruct(Dequantised(levels, y_hat), u).float()
        error = lmbda(u) * distortion(x, decoded, model.config.metric)
        (slope,) = _gradient(error.sum() * (x.shape[2] * x.shape[3]), y_hat)
    return slope


def _slope_by_skip(model: Model, x: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return what `_slope` does of the squared error, as if the trunk did not see the codes."""
    error = model.reconstruct(coded, u).float() - x
    along = 2 * lmbda(u)[:, None, None, None] / x.shape[1] * error
    slopes = model.transform.slopes(along, model.deviation)
    weight = model.g_s.skip.weight[:, :, 0, 0].T  # type: ignore[union-attr]
    with torch.autocast(x.device.type, enabled=False):
        return mixed(slopes.permute(0, 2, 3, 1)[:, :, None], weight).permute(0, 3, 1, 2)


def _gradient(of: Tensor, to: Tensor) -> tuple[Tensor, ...]:
    """Return a gradient.

    Raises:
        AicError: in a forked child, where torch has GPUs and the parent took a gradient already.
    """
    try:
        return torch.autograd.grad(of, [to])
    except RuntimeError as error:
        if "fork" not in str(error):
            raise
        raise AicError(
            "effort above 1 in a forked process, after its parent; start it by spawn"
        ) from error

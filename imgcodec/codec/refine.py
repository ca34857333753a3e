"""Encoder effort: the latents of one picture, refined through the frozen decoder.

The encoder was fitted to all pictures, and does not know how its latents will be rounded. Once
they are, hidden signs and all, the decoder shows what is wrong, and the latents go a part of the
way to where the error should be least if it were quadratic. Files stay ordinary files.
"""

import torch
from torch import Tensor

from imgcodec.errors import AicError
from imgcodec.model import Dequantised, Model
from imgcodec.model.steps import error_weight, lmbda
from imgcodec.perceptual.distortion import distortion
from imgcodec.runtime.forks import undivided

# By metric: the shares of the way to the codes, so that what was chosen is chosen again, and from
# there to the least error. All latents go at once, and answer for the same errors.
SHARES = {"mse": (0.2, 0.3), "ms-ssim": (0.1, 0.07), "eye": (0.1, 0.045)}
# Steps that a latent moves at most to the least error. Where structure is lost, the slope of what
# people see has no bound, and the error is nothing like quadratic.
FARTHEST = {"mse": 0.5, "ms-ssim": 0.5, "eye": 0.2}


@undivided()
def refine(model: Model, x: Tensor, y: Tensor, coded: Dequantised, u: Tensor) -> Tensor:
    """Return better latents, of the same shape as y.

    Args:
        model: frozen, without gradients of its own.
        x: (1, 3, H, W) pixels in 0..1, H and W multiples of 8.
        y: (1, latents, h, w) what the encoder puts out.
        coded: what a file has of them.
        u: (1,) rate parameter.
    """
    metric = model.config.metric
    with torch.inference_mode(False), torch.enable_grad():
        x, levels, u = (tensor.clone() for tensor in (x, coded.levels, u))
        y_hat = coded.y_hat.clone().requires_grad_()
        decoded = model.reconstruct(Dequantised(levels, y_hat), u).float()
        error = (lmbda(u) * distortion(x, decoded, metric)).sum() * (x.shape[2] * x.shape[3])
        (slope,) = _gradient(error, y_hat)
    steps = model.steps(coded.levels, u)
    weight = error_weight(coded.levels, model.config) / steps.square()  # of a squared error
    to_codes, to_least = SHARES[metric]
    most = FARTHEST[metric] * steps
    down = torch.clamp(to_least * slope / (2 * weight), -most, most)
    refined: Tensor = y + to_codes * (coded.y_hat - y) - down
    return refined


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

"""SSIMULACRA 2 (Sneyers 2023): how good a picture looks beside its original, in points.

As libjxl's `ssimulacra2` has it, with gradient: both pictures in the colours XYB, over six scales,
each half the size of the one before. In every scale and colour three maps: where structure
differs, where edges came that were not there, and where edges went; of each the mean and the
4-norm, weighted by what fits people's opinions best. 100 is the same, 90 cannot be told apart, 70
is high quality, 50 medium, 30 low.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model.fusion import fusable
from imgcodec.perceptual.filters import constant, filtered, products, squares

MIN_SIDE = 8  # px; scales of smaller pictures are left out
SCALES = 6
C2 = 0.0009
# What the cones of the eye take of linear red, green and blue, and what is added before the root.
ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
BIAS = 0.0037930732552754493
SIGMA, RADIUS = 1.5, 5  # of the blur, px
LEAST = 1e-36  # the slope of a fourth root at 0 is infinite

# Of the maps of X, Y and B, from fine to coarse scales: (structure, edges that came, edges that
# went), first of the means, then of the 4-norms.
WEIGHTS = (
    # X
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271,
    0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967,
    0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    # Y
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296,
    1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361,
    0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    # B
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0012286405048278493,
    171.2667255897307, 0.9807858872435379,
    0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
)  # fmt: skip
# The polynomial of the weighted sum, its linear, square and cubic term; the power is the score's.
SUM_FACTOR, POLYNOMIAL = 0.9562382616834844, (
    2.326765642916932, -0.020884521182843837, 6.248496625763138e-05
)  # fmt: skip
POWER = 0.6276336467831387


def ssimulacra2(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the score of each picture, (B,); 100 is the same, bad ones fall below 0.

    Args:
        x: (B, 3, H, W) float32 sRGB in 0..1, the original; both sides are at least 8.
        x_hat: same shape; what is outside of 0..1 is clipped.
    """
    return score_of(impairment(x, x_hat))


def score_of(impairment: Tensor) -> Tensor:
    """Return the score of each impairment, (B,)."""
    return 100 - 10 * impairment.clamp_min(0) ** POWER


def impairment(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return ((100 - score) / 10)^1.59 of each picture, (B,): 0 where they are equal.

    It is what a loss can use: its slope is finite at equal pictures, where the score's is not.
    """
    return impairment_of(moments(x, x_hat))


def impairment_of(moments: Tensor) -> Tensor:
    """Return the impairment, (B,), of `moments`, or of their means over the parts of a picture."""
    scales = moments.shape[2]  # where some are missing, the weights of later ones move up
    weights = constant(WEIGHTS[: 18 * scales], moments.device, moments.dtype)
    means, fourths = moments.unbind(3)
    norms = torch.stack([means, fourths.clamp_min(LEAST).sqrt().sqrt()], 3)
    total = SUM_FACTOR * (norms * weights.view(3, scales, 2, 3)).sum((1, 2, 3, 4))
    a, b, c = POLYNOMIAL
    return ((c * total + b) * total + a) * total


def moments(x: Tensor, x_hat: Tensor, inner: tuple[slice, slice] | None = None) -> Tensor:
    """Return means of all maps and of their fourth powers, (B, 3 colours, scales, 2, 3 kinds).

    Args:
        x: as in `ssimulacra2`.
        x_hat: as in `ssimulacra2`.
        inner: rows and columns that count, what lies around is only looked at; they begin at
            multiples of 32, and end there or at the edge. None: all.
    """
    linear, linear_hat = linear_light(x), linear_light(x_hat)
    rows, columns = inner or (slice(0, x.shape[2]), slice(0, x.shape[3]))
    found = []
    for scale in range(SCALES):
        if min(linear.shape[2:]) < MIN_SIDE:
            break
        if scale:
            linear, linear_hat = _halved(linear), _halved(linear_hat)
        step = 2**scale
        counted = [slice(s.start // step, -(-s.stop // step)) for s in (rows, columns)]
        maps = _maps(_xyb(linear), _xyb(linear_hat))
        found.append(_means(*(m[:, :, counted[0], counted[1]] for m in maps)))
    return torch.stack(found, 2)


def _maps(x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Return where structure differs, and by how much edges grew."""
    original, decoded = filtered(squares(x), _blur), filtered(products(x, x_hat), _blur)
    return _errors(x, x_hat, original, decoded)


@fusable
def _errors(x: Tensor, x_hat: Tensor, original: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    mean, square = original.chunk(2, 1)
    mean_hat, square_hat, product = decoded.chunk(3, 1)
    variances = (square - mean * mean) + (square_hat - mean_hat * mean_hat)
    alike = (2 * (product - mean * mean_hat) + C2) / (variances + C2)
    structure = 1 - (1 - (mean - mean_hat).square()) * alike
    edges = (1 + (x_hat - mean_hat).abs()) / (1 + (x - mean).abs()) - 1
    return structure, edges


@fusable
def _means(structure: Tensor, edges: Tensor) -> Tensor:
    """Return means and those of fourth powers, (B, 3, 2, 3 kinds), of maps (B, 3, H, W)."""
    kinds = [kind.clamp_min(0) for kind in (structure, edges, -edges)]
    means = torch.stack([kind.mean((2, 3)) for kind in kinds], 2)
    fourths = torch.stack([kind.square().square().mean((2, 3)) for kind in kinds], 2)
    return torch.stack([means, fourths], 2)


@fusable
def linear_light(x: Tensor) -> Tensor:
    """Return linear light, 0..1, of sRGB of any shape, clipped to 0..1."""
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Tensor) -> Tensor:
    """Return XYB, shifted and stretched to about 0..1."""
    matrix = constant(ABSORBANCE, linear.device, linear.dtype)
    return _opponents(torch.einsum("kc,bchw->bkhw", matrix, linear))


@fusable
def _opponents(cones: Tensor) -> Tensor:
    long, middle, short = ((cones + BIAS) ** (1 / 3) - BIAS ** (1 / 3)).unbind(1)
    y = (long + middle) / 2
    return torch.stack([7 * (long - middle) + 0.42, y + 0.01, short - y + 0.55], 1)


def _halved(linear: Tensor) -> Tensor:
    height, width = linear.shape[2:]
    return F.avg_pool2d(F.pad(linear, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _blur(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return libjxl's blur of a line: a Gaussian of three cosines (Charalampidis 2016).

    What lies outside counts as zero.
    """
    kernel = _kernel()
    reach = len(kernel) // 2
    indices = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    outside = (indices < 0) | (indices >= length)
    return indices.clip(0, length - 1), np.where(outside, 0.0, kernel)


@lru_cache
def _kernel() -> NDArray[np.float64]:
    """Return the weights of the blur, (9,).

    Three cosines of odd multiples of a quarter wave in RADIUS, zero there. Of their factors the
    first two conditions are those of a Gaussian, its sum and its second moment; the third is that
    of its Fourier series.
    """
    omega = np.pi / (2 * RADIUS) * np.array([1.0, 3.0, 5.0])
    p = np.array([1.0, -1.0, 1.0]) / np.tan(omega / 2)
    r = np.array([1.0, -1.0, 1.0]) * p**2 / np.sin(omega)
    rho = np.exp(-(SIGMA**2) * omega**2 / 2) / RADIUS
    d13 = p[0] * r[1] - r[0] * p[1]
    zeta15 = (p[1] * r[2] - r[1] * p[2]) / d13
    zeta35 = (p[2] * r[0] - r[2] * p[0]) / d13
    moments = [1.0, RADIUS**2 - SIGMA**2, zeta15 * rho[0] + zeta35 * rho[1] + rho[2]]
    beta = np.linalg.solve(np.array([p, r, [zeta15, zeta35, 1.0]]), moments)
    j = np.arange(-RADIUS + 1, RADIUS)
    return np.cos(j[:, None] * omega) @ beta

"""CVVDP (ColorVideoVDP, Mantiuk et al. 2024): how visible the difference of two pictures is.

The still-picture path of version 0.5.7, with gradient, on its display "standard_4k": 30 inches,
200 cd/m2, 250 lux, seen from 0.75 m, 75.4 pixels a degree. Pictures become light in three opponent
colours; a Laplacian pyramid gives contrasts against the light around; the eye's sensitivity to
each band, and what the picture itself masks, say how much of a difference is seen. Pooled over
places, bands and colours it becomes a quality in JOD: 10 is the same, and 1 less is what three of
four people see as worse.

The constants are those of the package `cvvdp` (MIT licence, (c) Rafal Mantiuk and others).
"""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcodec.model.fusion import fusable
from imgcodec.perceptual.filters import Taps, constant, filtered
from imgcodec.perceptual.ssimulacra2 import linear_light

MIN_SIDE = 8  # px
PEAK, BLACK, REFLECTED = 200.0, 0.2, 250 / np.pi * 0.005  # of the display, cd/m2
# From linear RGB of sRGB to light in the opponent colours of D65: achromatic, red - green,
# yellow - violet.
OPPONENT = (
    (0.23320121, 0.72883079, 0.08899587),
    (0.12762077, -0.08706809, -0.03677739),
    (-0.21482251, -0.62625369, 0.85140333),
)
MOST_BANDS = 9  # the last is the base, and counts as 0.1 cycles a degree
PYRAMID = (0.05, 0.25, 0.4, 0.25, 0.05)
LEAST_LIGHT, MOST_CONTRAST = 0.01, 1000.0
# log10 of the sensitivity of each colour to each band (37.7 cycles a degree, 12.2, 6.1, 3.0, 1.5,
# 0.76, 0.38, 0.19, and the base), at backgrounds of 10^(LIGHT_FIRST + LIGHT_STEP i) cd/m2.
LIGHT_FIRST, LIGHT_STEP = -2.3010299956639813 + 10 * 0.2032590321181929, 0.2032590321181929
SENSITIVITY = (
    (  # achromatic
        (
            -0.8474, -0.6295, -0.4190, -0.2168, -0.0243, 0.1564, 0.3228, 0.4722, 0.6015, 0.7089,
            0.7939, 0.8578, 0.9038, 0.9356,
        ),
        (
            0.6966, 0.8643, 1.0253, 1.1787, 1.3237, 1.4589, 1.5826, 1.6930, 1.7881, 1.8669,
            1.9292, 1.9761, 2.0099, 2.0333,
        ),
        (
            1.3566, 1.4937, 1.6243, 1.7478, 1.8637, 1.9710, 2.0685, 2.1550, 2.2292, 2.2904,
            2.3388, 2.3753, 2.4016, 2.4199,
        ),
        (
            1.7521, 1.8584, 1.9586, 2.0523, 2.1391, 2.2185, 2.2897, 2.3523, 2.4055, 2.4493,
            2.4838, 2.5098, 2.5286, 2.5417,
        ),
        (
            1.8786, 1.9542, 2.0239, 2.0878, 2.1455, 2.1970, 2.2420, 2.2807, 2.3130, 2.3392,
            2.3598, 2.3754, 2.3867, 2.3947,
        ),
        (
            1.7733, 1.8181, 1.8575, 1.8915, 1.9201, 1.9437, 1.9626, 1.9818, 1.9981, 2.0145,
            2.0334, 2.0483, 2.0596, 2.0677,
        ),
        (
            1.4722, 1.4944, 1.5197, 1.5503, 1.5821, 1.6132, 1.6430, 1.6711, 1.6967, 1.7191,
            1.7380, 1.7529, 1.7642, 1.7723,
        ),
        (
            1.1524, 1.1855, 1.2182, 1.2507, 1.2826, 1.3136, 1.3434, 1.3715, 1.3971, 1.4196,
            1.4384, 1.4533, 1.4646, 1.4727,
        ),
        (
            0.8737, 0.9067, 0.9395, 0.9719, 1.0038, 1.0349, 1.0647, 1.0927, 1.1183, 1.1408,
            1.1596, 1.1746, 1.1858, 1.1939,
        ),
    ),
    (  # red - green
        (
            0.4940, 0.5912, 0.6872, 0.7817, 0.8736, 0.9619, 1.0448, 1.1204, 1.1867, 1.2422,
            1.2862, 1.3193, 1.3430, 1.3593,
        ),
        (
            1.0159, 1.1130, 1.2091, 1.3035, 1.3955, 1.4837, 1.5666, 1.6422, 1.7086, 1.7640,
            1.8080, 1.8411, 1.8649, 1.8812,
        ),
        (
            1.3000, 1.3972, 1.4932, 1.5877, 1.6796, 1.7679, 1.8508, 1.9264, 1.9927, 2.0482,
            2.0922, 2.1253, 2.1490, 2.1653,
        ),
        (
            1.5367, 1.6338, 1.7299, 1.8243, 1.9163, 2.0045, 2.0874, 2.1631, 2.2294, 2.2849,
            2.3289, 2.3620, 2.3857, 2.4020,
        ),
        (
            1.6850, 1.7821, 1.8782, 1.9726, 2.0646, 2.1528, 2.2357, 2.3113, 2.3777, 2.4331,
            2.4771, 2.5102, 2.5339, 2.5503,
        ),
        (
            1.7151, 1.8122, 1.9083, 2.0027, 2.0947, 2.1829, 2.2658, 2.3414, 2.4078, 2.4632,
            2.5072, 2.5403, 2.5640, 2.5804,
        ),
        (
            1.6612, 1.7583, 1.8544, 1.9489, 2.0408, 2.1290, 2.2119, 2.2876, 2.3539, 2.4094,
            2.4534, 2.4865, 2.5102, 2.5265,
        ),
        (
            1.5631, 1.6602, 1.7563, 1.8508, 1.9427, 2.0309, 2.1139, 2.1895, 2.2558, 2.3113,
            2.3553, 2.3884, 2.4121, 2.4284,
        ),
        (
            1.4475, 1.5447, 1.6407, 1.7352, 1.8271, 1.9154, 1.9983, 2.0739, 2.1402, 2.1957,
            2.2397, 2.2728, 2.2965, 2.3128,
        ),
    ),
    (  # yellow - violet
        (
            -0.0864, -0.0079, 0.0702, 0.1476, 0.2238, 0.2984, 0.3704, 0.4387, 0.5019, 0.5582,
            0.6063, 0.6452, 0.6751, 0.6970,
        ),
        (
            0.4353, 0.5138, 0.5918, 0.6692, 0.7454, 0.8200, 0.8920, 0.9604, 1.0235, 1.0798,
            1.1279, 1.1668, 1.1968, 1.2186,
        ),
        (
            0.7176, 0.7961, 0.8741, 0.9515, 1.0278, 1.1023, 1.1744, 1.2427, 1.3058, 1.3621,
            1.4102, 1.4492, 1.4791, 1.5009,
        ),
        (
            0.9575, 1.0360, 1.1141, 1.1914, 1.2677, 1.3422, 1.4143, 1.4826, 1.5457, 1.6021,
            1.6501, 1.6891, 1.7190, 1.7409,
        ),
        (
            1.1207, 1.1992, 1.2773, 1.3546, 1.4309, 1.5055, 1.5775, 1.6458, 1.7089, 1.7653,
            1.8133, 1.8523, 1.8822, 1.9041,
        ),
        (
            1.1648, 1.2433, 1.3213, 1.3987, 1.4749, 1.5495, 1.6215, 1.6899, 1.7530, 1.8093,
            1.8574, 1.8963, 1.9263, 1.9481,
        ),
        (
            1.1065, 1.1850, 1.2631, 1.3404, 1.4167, 1.4912, 1.5633, 1.6316, 1.6947, 1.7510,
            1.7991, 1.8381, 1.8680, 1.8899,
        ),
        (
            0.9900, 1.0685, 1.1465, 1.2239, 1.3001, 1.3747, 1.4467, 1.5151, 1.5782, 1.6345,
            1.6826, 1.7215, 1.7515, 1.7733,
        ),
        (
            0.8507, 0.9292, 1.0073, 1.0846, 1.1609, 1.2354, 1.3075, 1.3758, 1.4389, 1.4952,
            1.5433, 1.5823, 1.6122, 1.6340,
        ),
    ),
)  # fmt: skip
CORRECTION = 10 ** (-0.2797423303127289 / 20)  # of all sensitivities
GAIN = (1.0, 1.45, 1.0)  # of the colours
MASK_P, MASK_Q = 2.264355182647705, (1.302622675895691, 2.8885908126831055, 3.6807713508605957)
MASK_BLUR, MASK_RADIUS, MASK_FACTOR = 3.0, 6, 10**-0.7954971194267273  # px, px, 1
# log2 of how much each colour (rows) masks each (columns)
MASKING = (
    (-0.18950104713439941, -5.962151050567627, -4.31834602355957),
    (2.5655593872070312, 0.34406712651252747, -2.719646453857422),
    (3.8118371963500977, -1.0051705837249756, -0.5193376541137695),
)
MOST_DIFFERENCE = 10**2.5642454624176025
BASE_WEIGHT = (0.0036334486212581396, 1.6627724170684814, 4.11874532699585)
PICTURE_WEIGHT = 0.577918291091919
JOD_FACTOR, JOD_POWER, JOD_LINEAR = 0.0439569391310215, 0.9302042722702026, 0.1
TINY = 1e-5  # keeps powers' slopes finite


def cvvdp(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the quality of each picture in JOD, (B,); 10 is the same.

    Args:
        x: (B, 3, H, W) float32 sRGB in 0..1, the original; both sides are at least 8.
        x_hat: same shape; what is outside of 0..1 is clipped.
    """
    seen = visible(x, x_hat)
    slope = JOD_FACTOR * JOD_LINEAR ** (JOD_POWER - 1)
    above = JOD_FACTOR * seen.clamp_min(JOD_LINEAR) ** JOD_POWER
    return 10 - torch.where(seen <= JOD_LINEAR, slope * seen, above)


def visible(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return how much of a difference is seen in each picture, (B,): 0 where there is none."""
    bands = _bands(min(x.shape[2:]))
    original, decoded = _opponent(x), _opponent(x_hat)
    pooled = []
    for band in range(bands - 1):
        original, contrast, background = _band(original, band)
        decoded, contrast_hat, _ = _band(decoded, band)
        sensitivity = _sensitivity(band, background)
        pooled.append(_norm2(_masked(contrast, contrast_hat, sensitivity)))
    light, light_hat = (
        maps[:, :1].clamp_min(LEAST_LIGHT).mean((2, 3), keepdim=True)
        for maps in (original, decoded)
    )
    difference = (_contrast(decoded, light_hat) - _contrast(original, light)).abs()
    base = _norm2(difference * _sensitivity(MOST_BANDS - 1, light))
    pooled.append(base * constant(BASE_WEIGHT, x.device, x.dtype))
    return PICTURE_WEIGHT * _norm4(_norm4(torch.stack(pooled, 2)))


def _band(maps: Tensor, band: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps of half the size, the contrasts that are not in them, and the light around."""
    smaller = _reduced(maps)
    background = _expanded(smaller, maps.shape[2:])
    light = background[:, :1]
    contrast = _contrast(maps - background, light.clamp_min(LEAST_LIGHT))
    return smaller, 2 * contrast if band else contrast, light


def _bands(side: int) -> int:
    """Return how many bands a picture has whose shorter side is so long."""
    return min(MOST_BANDS, side.bit_length() - 1)


def _opponent(x: Tensor) -> Tensor:
    """Return the light of sRGB in opponent colours, cd/m2."""
    light = (PEAK - BLACK) * linear_light(x) + (BLACK + REFLECTED)
    matrix = constant(OPPONENT, x.device, x.dtype)
    return torch.einsum("kc,bchw->bkhw", matrix, light)


@fusable
def _contrast(maps: Tensor, background: Tensor) -> Tensor:
    """Return maps (B, 3, H, W) over the light around, (B, 1, ...)."""
    return (maps / background).clamp_max(MOST_CONTRAST)


def _sensitivity(band: int, background: Tensor) -> Tensor:
    """Return the sensitivity of each colour, (B, 3, h, w), at light (B, 1, h, w)."""
    colours = tuple(colour[band] for colour in SENSITIVITY)
    return _looked_up(constant(colours, background.device, background.dtype), background)


@fusable
def _looked_up(table: Tensor, background: Tensor) -> Tensor:
    """Return the sensitivities between those of a table (3, lights)."""
    steps = (torch.log10(background.detach().clamp_min(LEAST_LIGHT)) - LIGHT_FIRST) / LIGHT_STEP
    steps = steps.clamp(0, table.shape[1] - 1)
    below = steps.long().clamp_max(table.shape[1] - 2)
    share = steps - below
    low, high = (table[:, below + more].movedim(0, 1).squeeze(2) for more in (0, 1))
    return CORRECTION * 10 ** (low + share * (high - low))


def _masked(contrast: Tensor, contrast_hat: Tensor, sensitivity: Tensor) -> Tensor:
    """Return what is seen of the difference, (B, 3, h, w), less where both pictures are busy."""
    kind = contrast.device, contrast.dtype
    sensitivity = sensitivity * constant(GAIN, *kind)[:, None, None]
    difference, mutual = _gained(contrast, contrast_hat, sensitivity)
    if min(mutual.shape[2:]) > MASK_RADIUS:
        mutual = filtered(mutual, _mask_blur)
    each = _masking(mutual, constant(MASK_Q, *kind)[:, None, None])
    mask = torch.einsum("kc,bkhw->bchw", 2 ** constant(MASKING, *kind), each)
    return _hidden(difference, mask)


@fusable
def _gained(x: Tensor, x_hat: Tensor, sensitivity: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the contrasts that are sensed differ, and what both have of them."""
    x, x_hat = x * sensitivity, x_hat * sensitivity
    return (x_hat - x).abs(), torch.minimum(x_hat.abs(), x.abs())


@fusable
def _masking(mutual: Tensor, q: Tensor) -> Tensor:
    """Return how much each colour masks, by what both pictures have of it."""
    return _power(MASK_FACTOR * mutual, q)


@fusable
def _hidden(difference: Tensor, mask: Tensor) -> Tensor:
    """Return what a mask leaves to be seen of a difference."""
    seen = _power(difference, MASK_P) / (1 + mask)
    return MOST_DIFFERENCE * seen / (MOST_DIFFERENCE + seen)


def _power(x: Tensor, p: Tensor | float) -> Tensor:
    return (x + TINY) ** p - TINY**p


def _norm2(maps: Tensor) -> Tensor:
    """Return the root of the mean square over places, (B, C)."""
    return _power(_power(maps, 2.0).mean((2, 3)), 0.5)


def _norm4(x: Tensor) -> Tensor:
    """Return the 4-norm over the last axis."""
    return _power(_power(x, 4.0).sum(-1), 0.25)


def _reduced(maps: Tensor) -> Tensor:
    # The reference takes the rows' count for odd or even along the columns, too.
    odd = maps.shape[2] % 2
    return filtered(maps, _halving[odd])


def _expanded(maps: Tensor, size: torch.Size) -> Tensor:
    """Return maps of twice the size, or one less."""
    rows, columns = (_doubling[side % 2] for side in size)
    return filtered(maps, rows, columns)


def _halves(odd: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the filter to half the size; beyond its edges a line is mirrored."""
    indices = 2 * np.arange((length + 1) // 2)[:, None] + np.arange(-2, 7)
    taps = *PYRAMID, 0.0, 0.0, 0.0, 0.0
    weights = np.where((indices < 0) | (indices >= length), 0.0, taps)
    indices = indices.clip(0, length - 1)
    # What is mirrored is added in columns of its own.
    indices[0, 5:7], weights[0, 5:7] = (0, 1), (PYRAMID[1], PYRAMID[0])
    indices[-1, 7:] = length - 1, length - 2
    weights[-1, 7:] = (PYRAMID[3], PYRAMID[4]) if odd else (PYRAMID[4], 0.0)
    return indices, weights


def _doubles(odd: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the filter to twice the size, less one if odd; beyond its edges a line goes on."""
    out = 2 * length - odd
    # Zeros between the samples, one more sample before and one after; twice the filter.
    line = np.full(out + 4, -1)
    line[2:-2:2] = np.arange(length)
    line[0], line[out + 2 + odd] = 0, length - 1
    indices = line[np.arange(out)[:, None] + np.arange(5)]
    return indices.clip(0), np.where(indices < 0, 0.0, 2 * np.array(PYRAMID))


def _mask_blur(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a Gaussian; beyond its edges a line is mirrored about its last sample."""
    reach = np.arange(-MASK_RADIUS, MASK_RADIUS + 1)
    indices = np.abs(np.arange(length)[:, None] + reach)
    indices = np.where(indices >= length, 2 * length - 2 - indices, indices)
    window = np.exp(-((reach / MASK_BLUR) ** 2) / 2)
    return indices, np.broadcast_to(window / window.sum(), indices.shape)


_halving: tuple[Taps, Taps] = (partial(_halves, 0), partial(_halves, 1))
_doubling: tuple[Taps, Taps] = (partial(_doubles, 0), partial(_doubles, 1))

"""A wavelet pyramid over the block means: what is smooth over many blocks costs few bits.

The biorthogonal 9/7 wavelet of JPEG 2000 in lifting form, three octaves, close to orthonormal, so
that one step serves all bands. Planes are padded to whole squares of 8x8 places.

Parts of the pyramid of C planes (B, C, h, w), coarse to fine, h' and w' the padded size:

    lows     (B, C, h'/8, w'/8)
    details  of the first plane (B, 3, h'/8, w'/8), of the others (B, 3C - 3, h'/8, w'/8),
             the same two of h'/4 x w'/4 and of h'/2 x w'/2

The details of a plane are those of change along the rows, along the columns and along both.

Where the levels say how much an error matters, details follow them: each has the step of the mean
level around it. Steps of details are given as *eighths*, (B, 1, h, w) for each octave: by so many
eighths of an octave they are finer than the step of the middle level.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model.fusion import fusable

OCTAVES = 3
SIDE = 2**OCTAVES  # places
LIFTING = (-1.586134342, -0.05298011854, 0.8829110762, 0.4435068522)
GAIN = 1.149604398
FRACTION = 2.0**12  # on integers, factors are multiples of 1 / FRACTION

EIGHTHS_FINER = 2  # steps of details against those of latents at the same level
MOST_EIGHTHS = 28  # the step of the highest level

Times = Callable[[float, Tensor], Tensor]


def parts(channels: int) -> tuple[int, ...]:
    """Return the channels of each part of the pyramid of so many planes, 2 or more, or none."""
    return (channels, *(3, 3 * channels - 3) * OCTAVES) if channels else ()


def part_size(height: int, width: int, part: int) -> tuple[int, int]:
    """Return height and width of part 0..6 of the pyramid of planes of that size."""
    scale = SIDE >> max(part - 1, 0) // 2
    return -(-height // SIDE) * SIDE // scale, -(-width // SIDE) * SIDE // scale


def analyse(planes: Tensor) -> list[Tensor]:
    """Return the parts of planes (B, C, h, w), float32."""
    lows = pad(planes)
    found: list[Tensor] = []
    for _ in range(OCTAVES):
        low, high = _split(torch.cat(_split(lows, 3), 1), 2)
        (lows, along_rows), (along_columns, along_both) = low.chunk(2, 1), high.chunk(2, 1)
        details = torch.stack([along_rows, along_columns, along_both], 2).flatten(1, 2)
        found = [details[:, :3], details[:, 3:], *found]
    return [lows, *found]


def synthesise(parts: list[Tensor], height: int, width: int) -> Tensor:
    """Return the planes (B, C, height, width) of parts: the inverse of `analyse`."""
    lows = parts[0]
    for first, others in zip(parts[1::2], parts[2::2], strict=True):
        lows = _merge_both(lows, torch.cat([first, others], 1), _times)
    return lows[:, :, :height, :width]


def eighths(levels: Tensor, middle: int) -> list[Tensor]:
    """Return the steps of the details for each octave, coarse to fine, integers as float32.

    Args:
        levels: (B, 1, h, w) integers, half an octave each.
        middle: the middle level.
    """
    above = pad(levels - middle)
    found = []
    for octave in range(OCTAVES):
        mean = F.avg_pool2d(above, SIDE >> octave)  # sums of few integers, then a power of two
        found.append((torch.round(4 * mean) + EIGHTHS_FINER).clamp_max(MOST_EIGHTHS))
    return found


def pad(planes: Tensor) -> Tensor:
    """Return planes (B, C, h, w) with their last rows and columns repeated to whole squares."""
    height, width = planes.shape[2:]
    return F.pad(planes, (0, -width % SIDE, 0, -height % SIDE), mode="replicate")


def to_middle_steps(values: Tensor, eighths: Tensor) -> Tensor:
    """Return integers in 1/16 of their own steps in 1/16 of the middle level's, rounded.

    The same on every machine: products of integers below 2^53.

    Args:
        values: (B, C, h, w) integers.
        eighths: (B, 1, h, w) integers.
    """
    factors = torch.round(torch.exp2(-eighths.double() / 8) * FRACTION)
    return torch.floor(values.double() * factors / FRACTION + 0.5).to(values.dtype)


def merge_exactly(lows: Tensor, details: Tensor) -> Tensor:
    """Return the lows of the next finer octave, (B, C, 2h, 2w), the same on every machine.

    Args:
        lows: (B, C, h, w) integers.
        details: (B, 3C, h, w) integers, three of each plane.
    """
    # products of integers below 2^53
    return _merge_both(lows.double(), details.double(), _times_exactly).to(lows.dtype)


def _merge_both(lows: Tensor, details: Tensor, times: Times) -> Tensor:
    along_rows, along_columns, along_both = details.unflatten(1, (-1, 3)).unbind(2)
    low, high = torch.cat([lows, along_rows], 1), torch.cat([along_columns, along_both], 1)
    left, right = _merge(low, high, 2, times).chunk(2, 1)
    return _merge(left, right, 3, times)


def _split(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the low and the high band along an axis of even length."""
    a, b, c, d = LIFTING
    even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
    odd = odd + a * (even + _after(even, axis))
    even = even + b * (odd + _before(odd, axis))
    odd = odd + c * (even + _after(even, axis))
    even = even + d * (odd + _before(odd, axis))
    return even * GAIN, odd / GAIN


def _merge(low: Tensor, high: Tensor, axis: int, times: Times) -> Tensor:
    """Invert `_split`."""
    a, b, c, d = LIFTING
    even, odd = times(1 / GAIN, low), times(GAIN, high)
    even = even - times(d, odd + _before(odd, axis))
    odd = odd - times(c, even + _after(even, axis))
    even = even - times(b, odd + _before(odd, axis))
    odd = odd - times(a, even + _after(even, axis))
    return torch.stack([even, odd], axis + 1).flatten(axis, axis + 1)


def _before(x: Tensor, axis: int) -> Tensor:
    """Return x moved by one, its first element in front again."""
    return torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, x.shape[axis] - 1)], axis)


def _after(x: Tensor, axis: int) -> Tensor:
    """Return x moved back by one, its last element at the end again."""
    return torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, -1, 1)], axis)


def _times(factor: float, x: Tensor) -> Tensor:
    return factor * x


def _times_exactly(factor: float, x: Tensor) -> Tensor:
    return _times_fraction(round(factor * FRACTION), x)


@fusable
def _times_fraction(numerator: int, x: Tensor) -> Tensor:
    return torch.floor(x * numerator / FRACTION + 0.5)

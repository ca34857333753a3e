"""Colour profiles: which fit some pixels, and those made of the numbers of PNG, gAMA and cHRM."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAMAGED = "its colour profile is damaged, and is left out"
MISFIT = "its colour profile is not one of such pixels, and is left out"
_SRGB_GAMMA = 0.45455  # what PNG writes for it
SRGB_WHITE, SRGB_PRIMARIES = (0.3127, 0.329), (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y
_SRGB = SRGB_WHITE + SRGB_PRIMARIES
NEAR = 0.0006
_D50 = (0.9642, 1.0, 0.8249)  # what colours are told by in profiles
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_VERSION = 0x02100000
_NAME = b"gAMA and cHRM of a PNG file"
_PROFILE_BYTES = 128  # of the head


def fits(icc: bytes, grey: bool) -> bool:
    """Whether a profile is one of grey or RGB samples."""
    return icc[16:20] == (b"GRAY" if grey else b"RGB ")


def is_cut(icc: bytes) -> bool:
    """Whether a profile has less bytes than it says."""
    return len(icc) < max(_PROFILE_BYTES, int.from_bytes(icc[:4], "big"))


def of_png(info: Mapping[str, Any], grey: bool) -> bytes | None:
    """Return the profile that a PNG file means which has none; None: sRGB, or nothing is said.

    Args:
        info: Pillow's.
        grey: whether the samples are.

    Raises:
        ValueError: the numbers describe no colours.
    """
    gamma, points = info.get("gamma"), info.get("chromaticity")
    said = isinstance(gamma, float) or isinstance(points, tuple)  # text has any name
    if isinstance(info.get("srgb"), int) or not said:
        return None
    gamma = gamma if isinstance(gamma, float) else _SRGB_GAMMA
    points = points if isinstance(points, tuple) and not grey else _SRGB
    if abs(gamma - _SRGB_GAMMA) < NEAR and _is_srgb(points):
        return None
    if not 1 / 256 < gamma < 256:
        raise ValueError(f"gamma {gamma:g}")
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(256 / gamma))
    if grey:
        return _profile(b"GRAY", {b"kTRC": curve})
    colours = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, _primaries(points).T), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"RGB ", colours | curves)


def _is_srgb(points: tuple[float, ...]) -> bool:
    return len(points) == 8 and np.allclose(points, _SRGB, rtol=0, atol=NEAR)


def _primaries(points: tuple[float, ...]) -> NDArray[np.float64]:
    """Return X, Y, Z (rows) of red, green and blue (columns), as they look under D50.

    Args:
        points: x and y of white, red, green and blue.
    """
    if len(points) != 8:
        raise ValueError(f"{len(points)} numbers of colours")
    x, y = np.array(points, np.float64).reshape(4, 2).T
    if min(y) <= 0:
        raise ValueError("a colour without brightness")
    white, *colours = np.stack([x / y, np.ones(4), (1 - x - y) / y], 1)
    matrix = np.array(colours).T
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError("three colours on a line")
    matrix = matrix * np.linalg.solve(matrix, white)
    seen = _BRADFORD @ white
    if min(abs(seen)) < 1e-6:
        raise ValueError("no white")
    adapted: NDArray[np.float64] = (
        np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / seen) @ _BRADFORD @ matrix
    )
    if abs(adapted).max() > 4:
        raise ValueError("colours far from any light")
    return adapted


def _xyz(colour: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(65536 * value) for value in colour))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile of a display, version 2."""
    name = struct.pack(">I", len(_NAME) + 1) + _NAME + bytes(1 + 78)  # no Unicode, no script
    tags = {
        b"desc": b"desc" + bytes(4) + name,
        b"cprt": b"text" + bytes(4) + b"no copyright\0",
        b"wtpt": _xyz(_D50),
    } | tags
    position = _PROFILE_BYTES + 4 + 12 * len(tags)
    entries, body = b"", b""
    for tag, data in tags.items():
        entries += tag + struct.pack(">II", position + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s", position + len(body), _VERSION, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(_PROFILE_BYTES, b"\0") + struct.pack(">I", len(tags)) + entries + body

"""The fixed linear front of the codec: colour rotation, lapping, 8x8 block DCT.

The stem maps pixels to 192 coefficients per 8x8 block without loss; the head is its inverse. The
lapping is the time-domain pre-filter of Tran, Liang and Tu (2003): an invertible 8x8 matrix
applied across every block edge, which turns the block DCT into a lapped biorthogonal transform.
Edges of the picture have no neighbour and are left alone, so the stem stays exactly invertible.
"""

import math

import torch
from torch import Tensor, nn

from imgcodec.model.layers import mixed

STRIDE = 8  # pixels a side of a block
COEFFICIENTS = 3 * STRIDE * STRIDE
LAPPING_SCALE = 1.4  # s of the pre-filter; 1 is the orthogonal lapped transform


def dct_matrix(size: int, quarter: bool = False) -> Tensor:
    """Return the orthonormal DCT-II (or, with `quarter`, DCT-IV) matrix, float64 (size, size)."""
    k = torch.arange(size, dtype=torch.float64)[:, None]
    n = torch.arange(size, dtype=torch.float64)[None]
    if quarter:
        return torch.cos(math.pi * (2 * n + 1) * (2 * k + 1) / (4 * size)) * math.sqrt(2 / size)
    basis = torch.cos(math.pi * (2 * n + 1) * k / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def lapping_matrix(scale: float = LAPPING_SCALE) -> Tensor:
    """Return the pre-filter of the 4 + 4 samples around a block edge, float64 (8, 8)."""
    half = STRIDE // 2
    eye = torch.eye(half, dtype=torch.float64)
    flip = eye.flip(0)
    butterfly = torch.cat([torch.cat([eye, flip], 1), torch.cat([flip, -eye], 1)]) / math.sqrt(2)
    gains = torch.diag(torch.tensor([scale] + [1.0] * (half - 1), dtype=torch.float64))
    inner = torch.eye(STRIDE, dtype=torch.float64)
    inner[half:, half:] = flip @ dct_matrix(half).T @ gains @ dct_matrix(half, True) @ flip
    return butterfly @ inner @ butterfly


def noise_gains(lapping: Tensor) -> Tensor:
    """Return, per DCT frequency, the norm of its synthesis function, float64 (8,)."""
    inverse = torch.linalg.inv(lapping)
    functions = torch.zeros(STRIDE, 3 * STRIDE, dtype=torch.float64)
    functions[:, STRIDE : 2 * STRIDE] = dct_matrix(STRIDE)
    for edge in (STRIDE // 2, STRIDE // 2 + STRIDE):
        functions[:, edge : edge + STRIDE] = functions[:, edge : edge + STRIDE] @ inverse.T
    return functions.square().sum(1).sqrt()


class LappedDCT(nn.Module):
    """Stem and head: pixels <-> coefficients.

    Coefficients are scaled so that an error of 1 in one is a squared error of about 1 in pixels.
    """

    def __init__(self) -> None:
        """Compute the matrices; they are constants, not weights."""
        super().__init__()
        colour = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
        colour /= colour.norm(dim=1, keepdim=True)
        dct = dct_matrix(STRIDE)
        planes = torch.einsum("ui,vj->uvij", dct, dct).reshape(STRIDE**2, STRIDE**2)
        basis = torch.einsum("ab,kp->akpb", colour, planes).reshape(COEFFICIENTS, COEFFICIENTS)
        lapping = lapping_matrix()
        gains = noise_gains(lapping)
        gain = (gains[:, None] * gains[None]).reshape(-1).repeat(3)[:, None]
        self.analysis_basis: Tensor  # (192, pixels of a block, row by row, each with its colours)
        self.synthesis_basis: Tensor  # its inverse
        self.grey: Tensor  # a block of 0.5
        self.lapping: Tensor
        self.unlapping: Tensor
        self.register_buffer("analysis_basis", (basis * gain).float(), persistent=False)
        self.register_buffer("synthesis_basis", (basis / gain).T.float(), persistent=False)
        self.register_buffer("grey", torch.full((COEFFICIENTS,), 0.5), persistent=False)
        self.register_buffer("lapping", lapping.float(), persistent=False)
        self.register_buffer("unlapping", torch.linalg.inv(lapping).float(), persistent=False)

    def analyse(self, x: Tensor, unit: Tensor | float = 1.0) -> Tensor:
        """Return the coefficients of `x`.

        Args:
            x: (B, 3, H, W) float32, 0..1; H and W are multiples of 8.
            unit: in which coefficients are counted, (192,).

        Returns:
            (B, 192, H/8, W/8) float32, plane by plane, row of frequencies by row; channels last.
        """
        return _projected(x - 0.5, self.lapping, (self.analysis_basis.T / unit).T)

    def synthesise(self, t: Tensor, unit: Tensor | float = 1.0) -> Tensor:
        """Return the pixels of coefficients: the inverse of `analyse`, not clamped."""
        b, _, h, w = t.shape
        with torch.autocast(t.device.type, enabled=False):
            places = t.permute(0, 2, 3, 1)[:, :, None]
            blocks = mixed(places, self.synthesis_basis * unit, self.grey)
            rows = blocks.view(b, h, w, STRIDE, STRIDE, 3).transpose(2, 3)
            rows = rows.reshape(b, h * STRIDE, w * STRIDE, 3)
            return _across_edges(rows, self.unlapping).permute(0, 3, 1, 2)

    def slopes(self, x: Tensor, unit: Tensor | float = 1.0) -> Tensor:
        """Return the slopes along coefficients of what has slopes `x` along the pixels.

        The transpose of `synthesise`; of the same shapes as `analyse`.
        """
        return _projected(x, self.unlapping.T, (self.synthesis_basis * unit).T)


def _projected(x: Tensor, matrix: Tensor, basis: Tensor) -> Tensor:
    """Return maps of (B, 3, H, W): `matrix` across every block edge, then blocks along `basis`."""
    b, _, h, w = x.shape
    with torch.autocast(x.device.type, enabled=False):
        rows = _across_edges(x.permute(0, 2, 3, 1), matrix)
        lines = rows.reshape(b, h // STRIDE, STRIDE, w // STRIDE, STRIDE * 3)
        return mixed(lines, basis).permute(0, 3, 1, 2)


def _across_edges(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply `matrix` to the 8 samples around every block edge of (B, H, W, 3), both ways.

    Each edge is a product of its own: the sums of one do not depend on the number of threads.
    """
    b, height, width, colours = x.shape
    half = STRIDE // 2
    if height > STRIDE:
        rows = x.reshape(b, height, -1)
        edges = rows[:, half:-half].reshape(-1, STRIDE, width * colours)
        several = edges.expand(2, -1, -1) if len(edges) == 1 else edges
        inner = torch.bmm(matrix.expand(len(several), -1, -1), several)[: len(edges)]
        x = torch.cat([rows[:, :half], inner.view(b, -1, width * colours), rows[:, -half:]], 1)
    if width > STRIDE:
        rows, end = x.reshape(b * height, -1), half * colours
        coloured = torch.kron(matrix.T.contiguous(), torch.eye(colours, device=x.device))
        edges = rows[:, end:-end].unflatten(1, (-1, STRIDE * colours))
        inner = torch.bmm(edges, coloured.expand(len(rows), -1, -1))
        x = torch.cat([rows[:, :end], inner.flatten(1), rows[:, -end:]], 1)
    return x.reshape(b, height, width, colours)

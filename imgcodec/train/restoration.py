"""Training of the JPEG restorer: pictures compressed as JPEG files are, and the loss.

Nothing here copies from the host or waits for the device, so that a CUDA graph can hold a step.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imgcodec.model.restorer import FULL, MIDDLE, PLANES, Coded, Restorer, RestorerConfig

LEAST_QUALITY, MOST_QUALITY = 5, 95  # libjpeg's
OTHER_TABLES = 0.3  # share of pictures with other tables than libjpeg's
# Of a batch, by luma samples for each of chroma (down, across).
SAMPLINGS = (((2, 2), 0.45), (FULL, 0.4), ((1, 2), 0.15))
FLOOR = 0.01  # squared error in 8-bit units at which the loss is cut off
TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
# The example tables of the JPEG standard's annex K, of which libjpeg makes its own.
LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(32 * (99,)),
)  # fmt: skip


class Restoration(nn.Module):
    """A restorer in training."""

    def __init__(self, config: RestorerConfig | None = None) -> None:
        """Make a new restorer."""
        super().__init__()
        self.restorer = Restorer(config)
        self.to_ycc: Tensor
        self.tables: Tensor
        self.slope: Tensor
        tables = torch.tensor([LUMA, CHROMA, CHROMA], dtype=torch.float32)
        at = torch.arange(64)
        slope = (at // 8 + at % 8).float() / 14 - 0.5
        self.register_buffer("to_ycc", torch.tensor(TO_YCC), persistent=False)
        self.register_buffer("tables", tables, persistent=False)
        self.register_buffer("slope", slope, persistent=False)

    def forward(self, crops: Tensor, bfloat16: bool = False) -> Tensor:
        """Return the loss of a batch: the mean of the logarithms of squared errors.

        So a decibel counts the same at each quality.

        Args:
            crops: (B, 3, H, W) uint8, sides multiples of 16, B 8 or more.
            bfloat16: whether the trunk works in it.
        """
        x = crops.float()
        steps = self.random_steps(len(x))
        files = self.compress(x, steps)
        restored = self.restore(files, bfloat16)
        error = (self.restorer.rgb(restored) - x).square().mean((1, 2, 3))
        return (error + FLOOR).log().mean()

    def restore(self, files: list[Coded], bfloat16: bool = False) -> Tensor:
        """Return planes of files of several samplings, with one pass of the trunk."""
        model = self.restorer
        usual = [model.usually(coded) for coded in files]
        parts = zip(*map(model.features, files, usual), strict=True)
        features, conditions, units = (torch.cat(part) for part in parts)
        with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            correction = model.corrections(features, conditions)
        planes = model.planes((correction * units).unflatten(1, (PLANES, -1)))
        split = planes.split([len(part) for part in usual])
        return torch.cat(
            [model.within(u + p, c) for u, p, c in zip(usual, split, files, strict=True)]
        )

    @torch.no_grad()
    def compress(self, x: Tensor, steps: Tensor) -> list[Coded]:
        """Return what files of pictures say; the first of a batch with colours of half the size.

        Args:
            x: (B, 3, H, W) float32, 0..255.
            steps: (B, 3, 64).
        """
        counts = [round(share * len(x)) for _, share in SAMPLINGS[1:]]
        counts.insert(0, len(x) - sum(counts))
        pieces = zip(SAMPLINGS, x.split(counts), steps.split(counts), strict=True)
        return [self.coded(part, its, factors) for (factors, _), part, its in pieces if len(part)]

    @torch.no_grad()
    def coded(self, x: Tensor, steps: Tensor, factors: tuple[int, int]) -> Coded:
        """Return what files of pictures with some sampling say: samples are rounded, as libjpeg's.

        Args:
            x: (B, 3, H, W) float32, 0..255.
            steps: (B, 3, 64).
            factors: (down, across) luma samples for each of chroma.
        """
        planes = torch.einsum("cr,brhw->bchw", self.to_ycc, x).round()
        luma, chroma = planes[:, :1] - MIDDLE, planes[:, 1:]
        if factors != FULL:
            chroma = F.avg_pool2d(chroma, factors).round()
        quantised = [
            (self.restorer.coefficients(part) / its[..., None, None]).round()
            for part, its in ((luma, steps[:, :1]), (chroma, steps[:, 1:]))
        ]
        return Coded(quantised[0], quantised[1], steps, factors)

    @torch.no_grad()
    def random_steps(self, batch: int) -> Tensor:
        """Return tables of quantisers, (batch, 3, 64): libjpeg's, and smooth variants of them."""
        device = self.tables.device
        draw = torch.rand(7, batch, 1, 1, device=device)
        qualities = LEAST_QUALITY + (draw[0] * (MOST_QUALITY - LEAST_QUALITY + 1)).floor()
        scale = libjpeg_scale(qualities)
        usual = libjpeg_steps(self.tables, scale)
        # others: flatter, tilted, and with chroma of a quality of its own
        logs = self.tables.log()
        logs = (
            logs + (logs.mean(1, keepdim=True) - logs) * draw[1] + self.slope * (2 * draw[2] - 1)
        )
        own = (scale.log() + 1.6 * (draw[3] - 0.5)).exp()
        own = torch.cat([scale, own, own], 1)
        others = libjpeg_steps(logs.exp(), own)
        is_other = (draw[4] < OTHER_TABLES).float()
        return usual + is_other * (others - usual)


def libjpeg_scale(qualities: Tensor) -> Tensor:
    """Return by how many percent libjpeg scales its tables at qualities 1..100."""
    low = (5000 / qualities).floor()
    return torch.where(qualities < 50, low, 200 - 2 * qualities)


def libjpeg_steps(tables: Tensor, scale: Tensor) -> Tensor:
    """Return tables scaled by percents, rounded and limited as in baseline files."""
    return ((tables * scale + 50) / 100).floor().clamp(1, 255)

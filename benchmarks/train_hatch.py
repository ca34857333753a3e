"""Take the hatch out of a decoder: its last layer alone is fitted, all codes stay the same.

    python benchmarks/train_hatch.py FOLDER_OF_TARS START.safetensors OUT.safetensors

The hatch is the pattern that the transform's grid leaves in flat places: the mean of all blocks of
8x8 pixels that are flat in the original, luma less its mean over 3x3 pixels (`train/loss.py`). It
is much the same in all pictures. Patches with many flat blocks are encoded once, as files are; of
each, what the last layer of the decoder sees is kept. That layer then gains what makes the
patterns least, and changes the pixels of these patches least. At the end it prints the hatch of
pictures that were kept back, in grey levels by rate parameter.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from imgcodec.model import Dequantised
from imgcodec.model.context import freeze
from imgcodec.train import data
from imgcodec.train.finish import encoded
from imgcodec.train.loss import FLAT
from imgcodec.weights import load, save

PATCHES, HELD, SIDE = 2_600, 96, 256
LEAST_FLAT = 0.25  # share of a patch's blocks
RATES = 0.02, 0.75  # rate parameters
STEPS, BATCH, WARM_UP, PEAK, UNIT = 1_200, 24, 20, 2e-3, 1e-2
CHANGE = 0.03  # what a squared change costs, of one of the pattern
COLOURS = 0.3  # what the patterns of the three colours count, of that of luma
LUMA = 0.299, 0.587, 0.114


class Seen(NamedTuple):
    """What is kept of patches."""

    features: Tensor  # (N, width, h, w) float16, what the last layer sees
    pixels: Tensor  # (N, 3, H, W) float16, decoded, 0..1
    flat: Tensor  # (N, h, w) bool
    u: Tensor  # (N,)

    def take(self, index):
        """Return some of them, as float32."""
        return Seen(*(field[index].float() for field in self))


def flat_blocks(x):
    """Return which blocks of pixels (N, 3, H, W) in 0..1 are flat, bool (N, h, w)."""
    luma = (x * torch.tensor(LUMA)[:, None, None]).sum(1)
    return luma.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).var((2, 4)) < FLAT**2


def drawn(model, tables, crops, count, generator):
    """Encode so many patches with flat places, and return what is seen of them."""
    found = []
    while sum(len(part) for part in found) < count:
        patches = data.sample(crops, 64, SIDE, generator)
        found.append(patches[flat_blocks(patches).float().mean((1, 2)) > LEAST_FLAT])
    pixels = torch.round(255 * torch.cat(found)[:count]).to(torch.uint8)
    low, high = RATES
    u = low + (high - low) * torch.rand(count, generator=generator)
    return seen(model, encoded(model, tables, pixels, u))


@torch.inference_mode()
def seen(model, examples):
    """Return what the decoder makes of examples."""
    inputs = []
    hook = model.g_s.last.register_forward_pre_hook(lambda _, args: inputs.append(args[0].half()))
    pixels, flat = [], []
    for index in torch.arange(len(examples.u)).split(16):
        one = examples.take(index)
        decoded = model.reconstruct(Dequantised(one.levels, one.y_hat), one.u)
        pixels.append(decoded.clamp(0, 1).half())
        flat.append(flat_blocks(one.x))
    hook.remove()
    return Seen(torch.cat(inputs), torch.cat(pixels), torch.cat(flat), examples.u)


def patterns(pixels, flat):
    """Return the variances of the patterns of red, green, blue and luma, levels^2, (N, 4)."""
    around = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    blocks = (255 * (pixels - around)).unflatten(3, (-1, 8)).unflatten(2, (-1, 8))
    means = torch.einsum("nchiwj,nhw->ncij", blocks, flat)
    means = means / flat.sum((1, 2)).clamp_min(1)[:, None, None, None]
    luma = (means * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return torch.cat([means, luma], 1).var((2, 3), correction=0)


def told(name, model, part, change=None):
    """Print the hatch by rate parameter, and how much pixels change."""
    found, changes = [], []
    with torch.inference_mode():
        for index in torch.arange(len(part.u)).split(16):
            one = part.take(index)
            moved = 0 * one.pixels if change is None else shown(model, one.features, *change)
            found.append(patterns(one.pixels + moved, one.flat)[:, 3].sqrt())
            changes.append((255 * moved).square().mean((1, 2, 3)))
    found, changes = torch.cat(found), torch.cat(changes)
    for low, high in ((0, 0.2), (0.2, 0.35), (0.35, 0.5), (0.5, 0.8)):
        some = (part.u >= low) & (part.u < high)
        print(
            f"{name}, u {low} to {high}: hatch {found[some].mean():.3f},"
            f" change {changes[some].mean().sqrt():.3f} levels",
            flush=True,
        )


def shown(model, features, weight, bias):
    """Return the pixels (N, 3, H, W) that the last layer adds with more weights."""
    added = F.conv2d(features, weight, bias, padding=1) * model.deviation[:, None, None]
    return model.transform.synthesise(added) - 0.5


def fitted(model, part, generator):
    """Return the weights and biases to add."""
    width = part.features.shape[1]
    spread = part.features[:256].float().square().mean((0, 2, 3)).sqrt() + 1e-3
    scale = UNIT / model.deviation
    own = torch.zeros(192, width, 3, 3, requires_grad=True)
    offset = torch.zeros(192, requires_grad=True)

    def change():
        return own / spread[:, None, None] * scale[:, None, None, None], offset * scale

    with torch.inference_mode():  # so that each rate counts the same
        found = [
            patterns(one.pixels, one.flat)[:, 3]
            for one in map(part.take, torch.arange(len(part.u)).split(16))
        ]
    line = torch.stack([torch.ones_like(part.u), part.u], 1)
    typical = torch.linalg.lstsq(line, torch.cat(found).clamp_min(1e-4).log()[:, None]).solution
    counts = torch.exp(-line @ typical)[:, 0]
    optimiser = torch.optim.Adam([own, offset], betas=(0.9, 0.99))
    for step in range(STEPS):
        decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        optimiser.param_groups[0]["lr"] = PEAK * decay * min(1, (step + 1) / WARM_UP)
        index = torch.randperm(len(part.u), generator=generator)[:BATCH]
        one = part.take(index)
        moved = shown(model, one.features, *change())
        left = patterns(one.pixels + moved, one.flat)
        cost = left[:, 3] + COLOURS * left[:, :3].mean(1)
        cost = cost + CHANGE * (255 * moved).square().mean((1, 2, 3))
        value = (counts[index] * cost).mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}, loss {value.item():.4f}", flush=True)
    return tuple(tensor.detach() for tensor in change())


def main():
    """Fit, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    crops, held = data.split(data.read_crops(options.data))
    model, tables, _ = load(options.start)
    freeze(model.requires_grad_(False))
    own = drawn(model, tables, crops, PATCHES, generator)
    others = drawn(model, tables, held, HELD, generator)
    told("before", model, others)
    change = fitted(model, own, generator)
    told("after", model, others, change)
    model, tables, _ = load(options.start)
    with torch.no_grad():
        model.g_s.last.weight += change[0]
        model.g_s.last.bias += change[1]
    print(save(options.out, model, tables))


if __name__ == "__main__":
    main()

"""Train the weights of `aic restore`.

    python benchmarks/train_restore.py FOLDER_OF_TARS OUT.safetensors --minutes 20 --batch 8

Patches of the training pictures and of rendered pages become JPEG files' coefficients on the
device, at all qualities alike and three samplings. The loss is the mean logarithm of squared
errors, so that a decibel counts the same at each quality. At the end it prints the gain in PSNR
over a usual decoder, without rounding, on pictures that were kept back. Never train on pictures
that are used to measure.

    python benchmarks/train_restore.py FOLDER_OF_TARS OUT.safetensors --around jpeg2000 \
        --start weights/aic-restore-1.2.safetensors --minutes 20 --batch 8

With `--around jpeg2000` the same network learns to restore what OpenJPEG decodes, at 0.1 to 3 bits
per pixel. No command of aic takes such weights; `benchmarks/restore.py` measures them.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import torch
from torch import nn

from imgcodec.model.restorer import Coded, Restorer, widened
from imgcodec.runtime.precision import multiplies_bfloat16
from imgcodec.train import data, jpeg2000_files
from imgcodec.train.jpeg_files import coded, libjpeg_tables, tables
from imgcodec.weights import load_restorer, save_restorer

SAMPLINGS = (((2, 2), 0.5), ((1, 1), 0.375), ((1, 2), 0.125))  # and their shares of patches
FLOOR = 0.3  # squared error below which little is gained
OVERSHOOT = 8.0  # levels outside 0..255 that still count
AVERAGING = 0.998  # decay of the moving average of the weights
WARM_UP_STEPS, FINAL_RATE = 200, 0.01
PAGES = 0.2  # share of rendered pages
LEAST_SPREAD = 0.5


@torch.no_grad()
def set_spread(restorer, crops):
    """Set the spread of coefficients to that of pictures."""
    squares = []
    for crop in crops[::8]:
        ones = torch.ones(1, 192, device=crop.device)
        found = coded(restorer, data.middle(crop[None], 256).float(), ones, (1, 1))
        squares.append(torch.cat([found.luma, found.colours], 1).square().mean((0, 2, 3)))
    restorer.spread.copy_(torch.stack(squares).mean(0).sqrt().clamp_min(LEAST_SPREAD))


def loss(restorer, x, steps):
    """Return the loss of patches (B, 3, H, W) in 0..255 with steps (B, 192)."""
    bfloat16 = multiplies_bfloat16(x.device.type)
    counts = [round(share * len(x)) for _, share in SAMPLINGS[1:]]
    counts.insert(0, len(x) - sum(counts))
    found = []
    pieces = zip(SAMPLINGS, x.split(counts), steps.split(counts), strict=True)
    for (factors, _), part, its in pieces:
        if len(part):
            files = coded(restorer, part, its, factors)
            pixels = restorer.rgb(restorer(files, bfloat16)).clamp(-OVERSHOOT, 255 + OVERSHOOT)
            found.append(torch.log((pixels - part).square().mean((1, 2, 3)) + FLOOR))
    return torch.cat(found).mean()


def loss_around_jpeg2000(restorer, x, generator):
    """Return the same of patches that JPEG 2000 has coded, at all rates alike."""
    low, high = (math.log(rate) for rate in jpeg2000_files.RATES)
    chance = torch.rand(len(x), generator=generator, device=x.device)
    wanted = torch.exp(low + (high - low) * chance)
    pixels, bpp = jpeg2000_files.decoded(x, wanted)
    files = jpeg2000_files.coded(restorer, pixels, bpp)
    found = restorer.rgb(restorer(files, multiplies_bfloat16(x.device.type)))
    found = found.clamp(-OVERSHOOT, 255 + OVERSHOOT)
    return torch.log((found - x).square().mean((1, 2, 3)) + FLOOR).mean()


@torch.no_grad()
def gains_around_jpeg2000(restorer, held):
    """Print mean and least gain in dB of pictures, by rate."""
    for rate in (0.1, 0.25, 0.5, 1.0, 2.0):
        found = []
        for crop in held:
            x = crop[None].float()
            pixels, bpp = jpeg2000_files.decoded(x, torch.tensor([rate]))
            ours = restorer.rgb(restorer(jpeg2000_files.coded(restorer, pixels, bpp)))
            errors = [(y - x).square().mean() for y in (pixels, ours.clamp(0, 255).round())]
            found.append(10 * math.log10(errors[0] / errors[1]))
        mean = sum(found) / len(found)
        print(f"{rate} bpp: {mean:+.2f} dB, least {min(found):+.2f}")


@torch.no_grad()
def gains(restorer, held):
    """Print mean and least gain in dB of pictures, by quality and sampling."""
    for quality in (5, 10, 20, 40, 75, 90, 95):
        for factors, _ in SAMPLINGS:
            found = []
            for crop in held:
                x = crop[None].float()
                files = coded(restorer, x, libjpeg_tables(quality, x.device), factors)
                usual, ours = (
                    (restorer.rgb(planes).clamp(0, 255).round() - x).square().mean()
                    for planes in (plain(restorer, files), restorer(files))
                )
                found.append(10 * math.log10(usual / ours))
            mean = sum(found) / len(found)
            print(f"quality {quality} {factors}: {mean:+.2f} dB, least {min(found):+.2f}")


def plain(restorer, files: Coded):
    """Return the planes that a usual decoder makes."""
    luma, colours = files.steps[:, :, None, None].split((64, 128), 1)
    wide = widened(restorer.pixels(files.colours * colours), files.factors)
    return torch.cat([restorer.pixels(files.luma * luma), wide], 1)


def main():
    """Train, write and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--around", choices=("jpeg", "jpeg2000"), default="jpeg")
    parser.add_argument("--start", type=Path, help="weights to begin with")
    options = parser.parse_args()
    torch.manual_seed(0)
    crops, held = data.split(data.read_crops(options.data))
    crops = data.with_pages(crops, PAGES, 0).to(options.device)
    held = data.middle(held, 256).to(options.device)
    begun = load_restorer(options.start) if options.start else Restorer()
    restorer = begun.to(options.device, memory_format=torch.channels_last).requires_grad_()
    if not options.start:
        set_spread(restorer, crops)
    average = copy.deepcopy(restorer)
    optimiser = torch.optim.Adam(
        restorer.parameters(), options.rate, betas=(0.9, 0.98), eps=1e-9, fused=True
    )
    generator = torch.Generator(options.device).manual_seed(1)
    start = time.monotonic()
    step = 0
    while (done := (time.monotonic() - start) / 60 / options.minutes) < 1:
        step += 1
        decay = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        optimiser.param_groups[0]["lr"] = options.rate * decay * min(1, step / WARM_UP_STEPS)
        x = data.sample(crops, options.batch, options.side, generator) * 255
        if options.around == "jpeg":
            value = loss(restorer, x, tables(options.batch, generator))
        else:
            value = loss_around_jpeg2000(restorer, x.round(), generator)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(restorer.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            weight = 1 - min(AVERAGING, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(restorer.parameters()), weight)
        if step % 100 == 0:
            print(f"step {step}, loss {value.item():.4f}", flush=True)
    print(save_restorer(options.out, average))
    (gains if options.around == "jpeg" else gains_around_jpeg2000)(average, held)


if __name__ == "__main__":
    main()

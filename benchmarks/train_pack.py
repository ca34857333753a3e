"""Train the weights of `aic pack`.

    python benchmarks/train_pack.py FOLDER_OF_TARS OUT.safetensors --files 420 --minutes 20
    python benchmarks/train_pack.py FOLDER_OF_TARS OUT.safetensors --start OLDER.safetensors

JPEG files are made of the training pictures: cut anywhere, some reduced or with noise, at
qualities 30 to 98, a quarter with quantisation tables of other encoders; and of rendered pages.
The weights of the predictions of values and of means are least squares. The networks learn to
tell each bit, with rounded weights from the start. Never train on pictures that are used to
measure.
"""

import argparse
import io
import random
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F

from imgcodec.jpeg import scan_reader, syntax
from imgcodec.jpeg.packing import coding, context, network
from imgcodec.train.pages import pages

HIDDEN = {"values": (32, 16), "ends": (32, 32), "means": (32, 32)}
SHARES = {"values": (0.4, 0.18, 0.18), "ends": (0.05,) * 3, "means": (0.03,) * 3}  # of the time
BATCH = {"values": 256, "ends": 4096, "means": 4096}  # numbers, of each frequency
MOST_SAMPLES = 80_000  # of a frequency
MOST_LOGIT = 180
RATE, WARM_RATE = 3e-3, 1.5e-3  # of Adam at first: anew, going on
LAST = context.FEATURES  # columns of samples behind the features: the phase
KINDS = range(network.KINDS)


def tables(chance, quality):
    """Return quantisation tables as other encoders have them: smooth, flatter, nearly flat."""
    steps = np.add.outer(np.arange(8), np.arange(8)).reshape(-1)
    standard = io.BytesIO()
    Image.new("RGB", (8, 8)).save(standard, "jpeg", quality=50)
    with Image.open(standard) as image:
        luma, chroma = (np.array(image.quantization[i], float) for i in (0, 1))
    style = chance.randrange(3)
    if style == 0:
        luma = 16 + steps**1.6 * chance.uniform(1.5, 4)
        chroma = luma * chance.uniform(1, 1.5)
    elif style == 1:
        power = chance.uniform(0.6, 1.2)
        luma, chroma = 16 * (luma / 16) ** power, 17 * (chroma / 17) ** power
    else:
        luma = 16 + steps * chance.uniform(0, 2)
        chroma = luma * chance.uniform(1, 1.6)
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return [np.clip((t * scale + 50) // 100, 1, 255).astype(int).tolist() for t in (luma, chroma)]


def photograph(image, chance):
    """Return a part of a picture, perhaps reduced or with noise."""
    if chance.random() < 0.35:
        size = (int(side * chance.uniform(0.5, 0.95)) for side in image.size)
        image = image.resize(tuple(size), chance.choice([Image.LANCZOS, Image.BICUBIC, Image.BOX]))
    else:
        left, top, right, bottom = (chance.randrange(8) for _ in range(4))
        image = image.crop((left, top, image.width - right, image.height - bottom))
    if chance.random() < 0.3:
        noise = np.random.default_rng(chance.randrange(2**31))
        pixels = np.asarray(image) + noise.normal(
            0, chance.uniform(0.5, 4), (*image.size[::-1], 3)
        )
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image


def jpegs(folder, count, seed):
    """Yield JPEG files."""
    chance = random.Random(seed)  # noqa: S311
    archives = sorted(folder.glob("*.tar"))
    for path in archives:
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            for member in chance.sample(members, count // len(archives)):
                with Image.open(io.BytesIO(archive.extractfile(member).read())) as image:
                    image = photograph(image.convert("RGB"), chance)
                quality = chance.choice(
                    [50, 75, 80, 85, 90, 92, 95, chance.randint(30, 98), chance.randint(70, 97)]
                )
                options = {"quality": quality}
                if chance.random() < 0.25:
                    options = {"qtables": tables(chance, quality)}
                yield written(image, subsampling=chance.choice([2, 2, 2, 0, 0, 1]), **options)
    for pixels in pages(count // 7, seed).permute(0, 2, 3, 1).numpy():
        size = chance.randint(150, 512)
        image = Image.fromarray(pixels[:size, :size])
        yield written(image, quality=chance.randint(40, 98), subsampling=chance.choice([2, 2, 0]))


def written(image, **options):
    """Return a JPEG file."""
    out = io.BytesIO()
    image.save(out, "jpeg", **options)
    return out.getvalue()


def coefficients(data):
    """Return what `coding.walk` wants of a JPEG file."""
    parts = syntax.read(data)
    blocks = np.zeros((parts.frame.num_blocks, 64), np.int16)
    for scan in parts.scans:
        scan_reader.decode(scan, parts.frame, blocks)
    shapes, planes = [], []
    for kind, (c, steps) in enumerate(zip(parts.frame.components, parts.steps, strict=True)):
        part = blocks[c.first : c.first + c.num_blocks].reshape(c.rows, c.columns, 64)
        shapes.append(coding.Shape(c.rows, c.columns, steps, kind))
        planes.append(np.ascontiguousarray(part.transpose(2, 0, 1), np.int32))
    return shapes, planes


class Regression:
    """A visitor that fits the predictions of values."""

    def __init__(self):
        self.sums = {}
        self.pending = []

    def slopes(self, kind):
        """See `coding.Visitor`."""
        return np.zeros(7, np.int64)

    def ends(self, kind, x, truth):
        """See `coding.Visitor`."""
        return truth

    def predict(self, kind, k, phase, terms, step):
        """See `coding.Visitor`."""
        self.pending.append((kind, k, phase, terms.astype(np.float64), step))
        return np.zeros(len(terms), np.int64)

    def values(self, kind, what, x, sign, truth):
        """See `coding.Visitor`."""
        for (*key, terms, step), (_, span) in zip(self.pending, what.spans, strict=True):
            weight = 1 / (step * step + 0.1 * (terms**2).sum(1))
            square, product = self.sums.setdefault(tuple(key), (0, 0))
            weighted = (terms * weight[:, None]).T
            self.sums[tuple(key)] = (
                square + weighted @ terms, product + weighted @ (truth[span] * step),
            )  # fmt: skip
        self.pending = []
        return truth

    def means(self, kind, x, sign, truth):
        """See `coding.Visitor`."""
        return truth

    def weights(self):
        """Return the weights, 1/256."""
        result = np.zeros((network.KINDS, 64, 3, context.TERMS))
        for key, (square, product) in self.sums.items():
            ridge = np.diag(square).mean() * 1e-3 + 1e-9
            result[key] = np.linalg.solve(square + ridge * np.eye(len(square)), product)
        return np.clip(np.round(256 * result), -127, 127)


def slopes(files):
    """Return the weights of `context.slopes`."""
    squares, products = np.zeros((network.KINDS, 7, 7)), np.zeros((network.KINDS, 7))
    for shapes, planes in files:
        for shape, values in zip(shapes, planes, strict=True):
            pixels = values * shape.steps[:, None, None]
            for axis in (1, 0):
                x = []
                for i in range(7):
                    plane = pixels[context.NUMBER[(0, i + 1) if axis else (i + 1, 0)]]
                    x.append(plane - np.roll(plane, 1, axis) * (1 if i % 2 else -1))
                inner = (slice(None), slice(1, None)) if axis else (slice(1, None), slice(None))
                x = np.stack(x, -1)[inner].reshape(-1, 7).astype(float)
                y = np.diff(pixels[0], axis=axis).reshape(-1)
                weighted = (x / (shape.steps[0] ** 2 + 0.3 * (x**2).mean(1) + 1)[:, None]).T
                squares[shape.kind] += weighted @ x
                products[shape.kind] += weighted @ y
    found = [
        np.linalg.solve(square + 1e-6 * np.trace(square) * np.eye(7), product)
        for square, product in zip(squares, products, strict=True)
    ]
    return np.clip(np.round(256 * np.array(found)), -2000, 2000).astype(np.int64)


class Samples(coding.Coding):
    """A visitor that keeps what networks see, and what they shall tell."""

    def __init__(self, terms, weights, keep):
        self._nets = network.Networks((), (), (), terms, weights, np.zeros(3, np.int64))
        self._keep = keep  # (kind, frequency): share of samples
        self._chance = np.random.default_rng(1)
        self.found = {}

    def _add(self, name, kind, k, x, truth):
        kept = self.found.setdefault((name, kind, k), [])
        kept.append((x.astype(np.uint8), truth.astype(np.int32)))

    def ends(self, kind, x, truth):
        """See `coding.Visitor`."""
        self._add("ends", kind, 0, x[:, :-1], truth)
        return truth

    def values(self, kind, what, x, sign, truth):
        """See `coding.Visitor`."""
        for k, span in what.spans:
            chosen = self._chance.random(span.stop - span.start) < self._keep[kind, k]
            phase = np.full((chosen.sum(), 1), what.phase)
            seen = np.concatenate([x[span][chosen, :-1], phase], 1)
            self._add("values", kind, k, seen, (truth * sign)[span][chosen])
        return truth

    def means(self, kind, x, sign, truth):
        """See `coding.Visitor`."""
        self._add("means", kind, 0, x[:, :-1], truth * sign)
        return truth


def active(files):
    """Return how many coefficients are sent, (kinds, 64)."""
    count = np.zeros((network.KINDS, 64))
    for shapes, planes in files:
        for shape, values in zip(shapes, planes, strict=True):
            some = values[1:] != 0
            ends = np.where(some.any(0), 63 - np.argmax(some[::-1], 0), 0)
            count[shape.kind] += np.bincount(ends.ravel(), minlength=64)[::-1].cumsum()[::-1]
    return count


def rounded(x):
    """Return floor(x + 1/2), gradient of the identity."""
    return x + (torch.floor(x.detach() + 0.5) - x.detach())


class Layer(nn.Module):
    """Rounded weights of 7 fractional bits, a set for each frequency."""

    def __init__(self, sets, inputs, outputs, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(sets, inputs, outputs) * gain * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(sets, 1, outputs))

    def integers(self):
        """Return rounded weights and biases."""
        return rounded(self.weight * 128).clamp(-127, 127), rounded(self.bias * 128)

    def forward(self, x):
        """Return the sums, or the logits."""
        weight, bias = self.integers()
        return torch.baddbmm(bias, x, weight) / 128


class Net(nn.Module):
    """The networks of `network.Net`, to be trained."""

    def __init__(self, sets, inputs, hidden, outputs, phases):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Layer(sets, inputs, hidden[0]),
                Layer(sets, *hidden),
                Layer(sets, hidden[1], outputs, 0.3),
            ]
        )
        self.phases = nn.Parameter(torch.zeros(sets, 3, hidden[0])) if phases else None

    def forward(self, x, phase):
        """Return logits; x: (sets, n, inputs), phase: (sets, n)."""
        x = self.layers[0](x)
        if self.phases is not None:
            x = x + torch.gather(
                rounded(self.phases * 128) / 128, 1, phase[..., None].expand(-1, -1, x.shape[2])
            )
        for layer in self.layers[1:]:
            x = layer(rounded(x).clamp(0, context.LIMIT))
        return rounded(x) / 16

    def take(self, name, tensors):
        """Take the weights of a weights file."""
        with torch.no_grad():
            for number, layer in enumerate(self.layers, 1):
                layer.weight.copy_(torch.from_numpy(tensors[f"{name}.weight{number}"]) / 128)
                layer.bias.copy_(torch.from_numpy(tensors[f"{name}.bias{number}"]) / 128)
            if self.phases is not None:
                self.phases.copy_(torch.from_numpy(tensors[f"{name}.phases"]) / 128)

    def tensors(self, name):
        """Return what a weights file holds of it."""
        result = {}
        for number, layer in enumerate(self.layers, 1):
            weight, bias = (tensor.detach().numpy() for tensor in layer.integers())
            result[f"{name}.weight{number}"] = weight.astype(np.int8)
            result[f"{name}.bias{number}"] = bias.astype(np.int32)
        if self.phases is not None:
            result[f"{name}.phases"] = rounded(self.phases * 128).detach().numpy().astype(np.int32)
        return result


def bits_of_ends(logits, truth, _):
    """Return bits of each end; see `coding.Coding.ends`."""
    total, node = 0, torch.ones_like(truth)
    for place in range(5, -1, -1):
        bit = truth >> place & 1
        chosen = torch.gather(logits, -1, (node - 1)[..., None])[..., 0]
        total = total + entropy(chosen, bit)
        node = 2 * node + bit
    return total


def bits_of_values(logits, truth, is_last):
    """Return bits of each number; see `coding.Coding._integers`."""
    size = truth.abs()
    total = entropy(logits[..., 0], size > 0) * ~is_last
    total = total + entropy(logits[..., 1], size > 1) * (size > 0)
    total = total + entropy(logits[..., network.SIGN], truth > 0) * (size > 0)
    total = total + entropy(logits[..., 2], size > 2) * (size > 1)
    rest = (size - 2).clamp(min=1)
    digits = torch.floor(torch.log2(rest + 1e-3)).long()
    for known in range(coding.MOST_SIZE):
        asked = (size > 2) & (digits >= known)
        if not asked.any():
            break
        column = network.FIRST_LARGE + min(known, network.LARGE - 1)
        total = total + entropy(logits[..., column], digits > known) * asked
    top = rest >> (digits - 1).clamp(min=0) & 1
    some = (size > 2) & (digits > 0)
    return total + entropy(logits[..., network.TOP], top) * some + (digits - 1).clamp(min=0) * some


def entropy(logits, bits):
    """Return bits that bits take."""
    loss = F.binary_cross_entropy_with_logits(logits, bits.float(), reduction="none")
    return loss / np.log(2)


def train(name, kind, samples, seconds, tensors):
    """Return a network; tensors: of the set to go on from, or nothing."""
    sets = 64 if name == "values" else 1
    inputs = {"values": context.FEATURES, "ends": context.END_FEATURES}.get(
        name, context.MEAN_FEATURES
    )
    outputs = network.ENDS if name == "ends" else network.LOGITS
    net = Net(sets, inputs, HIDDEN[name], outputs, name == "values")
    if tensors:
        net.take(f"{name}.{kind}", tensors)
    rate = WARM_RATE if tensors else RATE
    nothing = [(np.zeros((1, inputs + 1), np.uint8), np.zeros(1, np.int32))]
    parts = [samples.get((name, kind, k), nothing) for k in range(sets)]
    seen, truth = (
        [torch.from_numpy(np.concatenate(column)) for column in columns]
        for columns in zip(*(zip(*part, strict=True) for part in parts), strict=True)
    )
    bits = bits_of_ends if name == "ends" else bits_of_values
    optimiser = torch.optim.Adam(net.parameters())
    start, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, 0.01 + step / 100) * max(0.01, 1 - done)
        chosen = [torch.randint(len(part), (BATCH[name],)) for part in seen]
        x = torch.stack([part[rows] for part, rows in zip(seen, chosen, strict=True)])
        y = torch.stack([part[rows] for part, rows in zip(truth, chosen, strict=True)]).long()
        phase = x[..., LAST].long() if name == "values" else None
        is_last = x[..., context.IS_LAST] > 0 if name == "values" else torch.zeros_like(y) > 0
        found = bits(net(x[..., :inputs].float(), phase), y, is_last)
        loss = found[1:].mean() if name == "values" else found.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, done = step + 1, (time.monotonic() - start) / seconds
        if step % 100 == 0 or done >= 1:
            print(f"{name} {kind}, step {step}: {loss:.4f} bits", flush=True)
    return net


def main():
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--files", type=int, default=420)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--start", type=Path, help="a set to go on from")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    files = [coefficients(data) for data in jpegs(args.folder, args.files, args.seed)]
    old = load_file(args.start) if args.start else {}
    if old:
        terms, weights = old["terms"].astype(float), old["slopes"].astype(np.int64)
    else:
        regression = Regression()
        for shapes, planes in files:
            coding.walk(shapes, planes, regression)
        terms, weights = regression.weights(), slopes(files)
    samples = Samples(terms, weights, np.minimum(1, MOST_SAMPLES / np.maximum(active(files), 1)))
    for shapes, planes in files:
        coding.walk(shapes, planes, samples)
    tensors = {"terms": terms.astype(np.int8), "slopes": weights.astype(np.int32)}
    logits = np.arange(-MOST_LOGIT, MOST_LOGIT + 1) / 16
    ones = np.round(65536 / (1 + np.exp(-logits)))
    tensors["probabilities"] = np.clip(ones, 1, 65535).astype(np.int32)
    for name, shares in SHARES.items():
        for kind, share in enumerate(shares):
            net = train(name, kind, samples.found, 60 * args.minutes * share, old)
            tensors |= net.tensors(f"{name}.{kind}")
    save_file(tensors, args.out)
    network.load(args.out)


if __name__ == "__main__":
    main()

"""The last stage: decoders and context models alone, on what files hold of pictures.

The encoder stays as it is, and what it makes of patches is made once, hidden signs and all; so a
step costs a third of one of everything, and the decoder sees the very codes of files.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from imgcodec.codec.plan import CoderTables
from imgcodec.codec.tile_codec import TileCodec, Values
from imgcodec.format.container import MAX_U
from imgcodec.model import Codes, Model, ModelConfig, Rates
from imgcodec.model.context import freeze
from imgcodec.model.integer import integers_kept
from imgcodec.model.steps import rounding_weights
from imgcodec.model.visitors import LatentBits
from imgcodec.train import data, loss, schedule, validate
from imgcodec.train.run import adopt
from imgcodec.train.schedule import Stage
from imgcodec.train.trainee import Trainee
from imgcodec.weights import Tables, load, save

PARTS = {"decoder": "g_s", "contexts": "code_context"}  # what may learn, and its module
AT_ONCE = 4  # patches encoded together
TELL_EVERY = 50  # steps
STAGE = Stage(quantised=True, real=True)


class Examples(NamedTuple):
    """Patches, and what a file holds of each at its rate."""

    x: Tensor  # (N, 3, H, W) uint8
    u: Tensor  # (N,) rate parameters
    e: Tensor  # (N, latents, h, w) float16, what the encoder puts out
    y_hat: Tensor  # (N, latents, h, w) float16, what a decoder reads
    levels: Tensor  # (N, 1, h, w) uint8
    bits: Tensor  # (N,)

    def take(self, index: Tensor) -> "Examples":
        """Return some of them, as float32; pixels in 0..1."""
        x, *others = (field[index].float() for field in self)
        return Examples(x / 255, *others)


@torch.inference_mode()
def encoded(model: Model, tables: Tables, pixels: Tensor, u: Tensor) -> Examples:
    """Encode patches as files are encoded.

    Args:
        model: in evaluation mode.
        tables: of the coder, see `imgcodec.train.export.make_tables`.
        pixels: uint8 (N, 3, H, W), sides multiples of 8.
        u: (N,) rate parameters.
    """
    codec = TileCodec(model, CoderTables(tables, model.unit.device), fast=False)
    found: list[Examples] = []
    for part, rates in zip(pixels.split(AT_ONCE), u.split(AT_ONCE), strict=True):
        numbers = [round(MAX_U * rate) for rate in rates.tolist()]
        prepared = codec.analyse(part.permute(0, 2, 3, 1).cpu().numpy())
        latents = codec.latents(prepared, numbers)
        plans = codec.plan(latents, numbers, raw=False)
        values = [torch.cat(maps) for maps in zip(*(plan.parts for plan in plans), strict=True)]
        codes = codec.dequantise(Values(latents.levels, values), numbers)
        found.append(
            Examples(
                part,
                torch.tensor(numbers, device=u.device) / MAX_U,
                latents.e.half(),
                codes.y_hat.half(),
                latents.levels.to(torch.uint8),
                torch.tensor([8 * plan.estimated_bytes for plan in plans], device=u.device),
            )
        )
    return Examples(*(torch.cat(fields) for fields in zip(*found, strict=True)))


def drawn(
    model: Model, tables: Tables, crops: Tensor, count: int, side: int, worn: float, seed: int
) -> Examples:
    """Return examples of random patches at random rates.

    Args:
        model: see `encoded`.
        tables: see `encoded`.
        crops: uint8 (N, 3, H, W).
        count: how many examples.
        side: of a patch, px, a multiple of 8.
        worn: share of patches that are worn, see `data.wear`.
        seed: of everything random.
    """
    generator = torch.Generator(crops.device).manual_seed(seed)
    patches = data.wear(data.sample(crops, count, side, generator), worn, generator)
    u = data.rate_parameters(count, generator)
    order = torch.randperm(count, generator=generator, device=crops.device)
    return encoded(model, tables, torch.round(255 * patches).to(torch.uint8), u[order])


@torch.inference_mode()
def curve(model: Model, tables: Tables, pictures: Tensor) -> validate.Curve:
    """Return the curve of what files hold of uint8 pictures (N, 3, H, W); PSNR is the quality."""
    rates, psnrs = [], []
    for u in validate.RATE_PARAMETERS:
        held = encoded(model, tables, pictures, torch.full((len(pictures),), u))
        found = []
        for index in torch.arange(len(pictures)).split(AT_ONCE):
            one = held.take(index)
            found.append(loss.psnr(one.x, model.reconstruct(Codes(one.levels, one.y_hat), one.u)))
        rates.append(held.bits.mean().item() / pictures[0, 0].numel())
        psnrs.append(torch.cat(found).mean().item())
    return validate.Curve(rates, [0.0] * len(rates), psnrs)


class Finisher(Trainee):
    """A model of which some parts learn from examples."""

    def __init__(self, model: Model, parts: tuple[str, ...], known: Collection[str] = ()) -> None:
        """Prepare.

        Args:
            model: that learns.
            parts: what of it, names of `PARTS`.
            known: parameters that stay as they are.
        """
        super().__init__(model, "rd")
        modules = tuple(f"{PARTS[name]}." for name in parts)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(modules) and name not in known)
        self._parts = parts
        self._examples: Examples | None = None

    def learn(self, examples: Examples, rate: float) -> None:
        """Do one step with a batch, see `Examples.take`, at a learning rate."""
        self._examples = examples
        self.advance(examples.x, examples.u, STAGE, (rate, rate))

    def forward(self, stage: Stage) -> tuple[Tensor, Rates, Tensor]:
        """Return what a file holds, of the parts that learn with gradients."""
        examples = self._examples
        if examples is None:
            raise ValueError("a step needs examples")
        model, u, levels = self.model, examples.u, examples.levels
        x_hat = model.reconstruct(Codes(levels, examples.y_hat), u)
        bits = examples.bits
        if "contexts" in self._parts:
            with integers_kept(model):
                parts = model.split(examples.e / model.steps(levels, u), levels)
                weights = rounding_weights(levels, model.config)
                visit = LatentBits(parts, weights, model.costs, training=True)
                model.walk_codes(levels, u, visit)
            bits = visit.bits
        return x_hat, Rates(bits, torch.zeros_like(bits)), levels


def finish(
    out: Path,
    configs: Mapping[str, ModelConfig],
    start: Path,
    parts: tuple[str, ...],
    only_new: bool,
    examples: Examples,
    held: Tensor,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    tell: Callable[[str], None],
) -> None:
    """Train models side by side on the same examples, from the same weights, and write each.

    Args:
        out: folder of the weights files, NAME.safetensors.
        configs: sizes of each.
        start: weights file, see `adopt`.
        parts: what learns, names of `PARTS`.
        only_new: whether of these only layers learn that `start` lacks.
        examples: of the encoder of `start`.
        held: uint8 (N, 3, H, W) pictures that validate.
        steps: how many.
        batch: examples a step.
        learning_rate: peak of the schedule.
        seed: of the order of the examples.
        tell: gets a line now and then.
    """
    known, tables, _ = load(start)
    freeze(known)
    begin = curve(known, tables, held)
    tell(f"start: {begin.rates} {begin.psnrs}")
    runs = {}
    for name, config in configs.items():
        torch.manual_seed(seed)
        model = Model(config)
        adopt(model, known.state_dict())
        runs[name] = Finisher(model, parts, known.state_dict() if only_new else ())
    torch.manual_seed(seed)
    number = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rate = schedule.learning_rate(learning_rate, step / steps, step + 1, (1.0,))
        index = torch.randint(len(examples.u), (batch,), generator=number)
        for run in runs.values():
            run.learn(examples.take(index), rate)
        if (step + 1) % TELL_EVERY == 0 or step + 1 == steps:
            sums = (f"{name} {run.take_sums()[0] / TELL_EVERY:.5f}" for name, run in runs.items())
            tell(f"step {step + 1}: {', '.join(sums)}")
    for name, run in runs.items():
        save(out / f"{name}.safetensors", run.average, tables)
        kept = load(out / f"{name}.safetensors").model
        freeze(kept)
        found = curve(kept, tables, held)
        gain = validate.bd_rate_of(begin, found)
        tell(f"{name}: {gain:+.3f} % {found.rates} {found.psnrs}")

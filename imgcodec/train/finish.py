"""The last stage: decoders alone, on what files hold of pictures.

The rest stays as it is, and what it makes of patches is made once, hidden signs and all; so a
step costs a third of one of everything, and the decoder sees the very codes of files.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from imgcodec.codec.plan import CoderTables
from imgcodec.codec.tile_codec import TileCodec, codes_of
from imgcodec.format.container import MAX_U
from imgcodec.model import Dequantised, Model, ModelConfig, Rates
from imgcodec.model.context import freeze
from imgcodec.runtime.precision import multiplies_int8
from imgcodec.train import data, loss, schedule, validate
from imgcodec.train.loop import PAGES, VALIDATION_SIDE, WORN
from imgcodec.train.run import adopt
from imgcodec.train.schedule import Stage
from imgcodec.train.trainee import Trainee
from imgcodec.weights import Tables, load, save

DRAWN_AT_ONCE = 64  # patches: as floats, and worn, they take many times their bytes
AT_ONCE = 4  # patches encoded together
TELL_EVERY = 50  # steps
STAGE = Stage(quantised=True, real=True)


class Examples(NamedTuple):
    """Patches, and what a file holds of each at its rate."""

    x: Tensor  # (N, 3, H, W) uint8
    u: Tensor  # (N,) rate parameters
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
        if codec.corrects(prepared):
            rough = codec.roughly(latents, numbers, raw=False)
            latents = codec.refine(prepared, latents, rough, numbers, number=0)
        plans = codec.plan(latents, numbers, raw=False)
        coded = codec.dequantise(codes_of(latents, plans), numbers)
        found.append(
            Examples(
                part,
                torch.tensor(numbers, device=u.device) / MAX_U,
                coded.y_hat.half(),
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
    patches = []
    for some in torch.arange(count).split(DRAWN_AT_ONCE):
        x = data.wear(data.sample(crops, len(some), side, generator), worn, generator)
        patches.append(torch.round(255 * x).to(torch.uint8))
    u = data.rate_parameters(count, generator)
    order = torch.randperm(count, generator=generator, device=crops.device)
    return encoded(model, tables, torch.cat(patches), u[order])


@torch.inference_mode()
def curve(model: Model, tables: Tables, pictures: Tensor) -> validate.Curve:
    """Return the curve of what files hold of uint8 pictures (N, 3, H, W); PSNR is the quality."""
    rates, psnrs = [], []
    for u in validate.RATE_PARAMETERS:
        held = encoded(
            model, tables, pictures, torch.full((len(pictures),), u, device=pictures.device)
        )
        found = []
        for index in torch.arange(len(pictures)).split(AT_ONCE):
            one = held.take(index)
            found.append(
                loss.psnr(one.x, model.reconstruct(Dequantised(one.levels, one.y_hat), one.u))
            )
        rates.append(held.bits.mean().item() / pictures[0, 0].numel())
        psnrs.append(torch.cat(found).mean().item())
    return validate.Curve(rates, [0.0] * len(rates), psnrs)


class Finisher(Trainee):
    """A model whose decoder learns from examples."""

    def __init__(self, model: Model, known: Collection[str] = ()) -> None:
        """Prepare.

        Args:
            model: that learns.
            known: parameters that stay as they are.
        """
        super().__init__(model, "rd", only="decoder")
        for name, parameter in model.named_parameters():
            if name in known:
                parameter.requires_grad_(False)
        self._examples: Examples | None = None

    def learn(self, examples: Examples, rate: float) -> None:
        """Do one step with a batch, see `Examples.take`, at a learning rate; all are as large."""
        self.join()
        if self._examples is None:
            self._examples = Examples(*(field.clone() for field in examples))
        for own, field in zip(self._examples, examples, strict=True):
            own.copy_(field)  # a captured step reads the same memory again
        self.advance(examples.x, examples.u, STAGE, (rate, rate))

    def forward(self, stage: Stage) -> tuple[Tensor, Rates, Tensor]:
        """Return what the decoder makes of what a file holds."""
        examples = self._examples
        if examples is None:
            raise ValueError("a step needs examples")
        x_hat = self.model.reconstruct(Dequantised(examples.levels, examples.y_hat), examples.u)
        return x_hat, Rates(examples.bits, torch.zeros_like(examples.bits)), examples.levels


def finish(
    data_dir: Path,
    out: Path,
    configs: Mapping[str, ModelConfig],
    start: Path,
    only_new: bool,
    examples: int,
    tell: Callable[[str], None],
    device: str = "cpu",
    seed: int = 0,
    batch: int = 4,
    crop: int = 256,
    learning_rate: float = 2e-4,
    patches: int = 4_400,
) -> dict[str, float | None]:
    """Train decoders side by side on the same examples, and write each model, NAME.safetensors.

    Args:
        data_dir: folder with tar files of equally large pictures.
        out: folder for the weights.
        configs: sizes of each model, by name.
        start: weights file that all begin with, see `adopt`; its encoder makes the examples.
        only_new: whether only layers learn that `start` lacks.
        examples: how many patches are encoded.
        tell: gets a line now and then.
        device: "cpu" or "cuda".
        seed: of everything random.
        batch: examples a step.
        crop: side of a patch, px, a multiple of 8.
        learning_rate: peak of the schedule.
        patches: how many to train on.

    Returns:
        The BD-rates against the start on the pictures that validate, by what files hold.
    """
    out.mkdir(parents=True, exist_ok=True)
    crops, held = data.split(data.read_crops(data_dir))
    held = data.middle(held, VALIDATION_SIDE).to(device)
    known, tables = _frozen(start, device)
    made = drawn(known, tables, data.with_pages(crops, PAGES, seed).to(device), examples, crop,
                 WORN, seed)  # fmt: skip
    before = curve(known, tables, held)
    runs = {}
    for name, config in configs.items():
        torch.manual_seed(seed)
        model = Model(config)
        adopt(model, known.state_dict())
        runs[name] = Finisher(model.to(device), known.state_dict() if only_new else ())
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    steps, since = max(patches // batch, 1), 0
    for step in range(steps):
        rate = schedule.learning_rate(learning_rate, step / steps, step + 1, (1.0,))
        index = torch.randint(examples, (batch,), generator=generator)
        taken = made.take(index.to(device))
        for run in runs.values():
            run.learn(taken, rate)
        since += 1
        if since == TELL_EVERY or step + 1 == steps:
            losses = (f"{name} {run.take_sums()[0] / since:.5f}" for name, run in runs.items())
            tell(f"step {step + 1}, loss of {', '.join(losses)}")
            since = 0
    found = {}
    for name, run in runs.items():
        path = out / f"{name}.safetensors"
        save(path, run.average.cpu(), Tables(*(table.cpu() for table in tables)))
        after = curve(*_frozen(path, device), held)
        found[name] = validate.bd_rate_of(before, after)
        tell(f"{name}: {found[name]} %, rates {after.rates}, PSNR {after.psnrs}")
    return found


def _frozen(path: Path, device: str) -> tuple[Model, Tables]:
    """Return a model that does not learn, and its tables."""
    model, tables, _ = load(path)
    freeze(model.to(device).requires_grad_(False), multiplies_int8(device))
    return model, tables

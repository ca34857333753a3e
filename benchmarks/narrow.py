"""Replace whole layers of the context models by narrow ones that do nearly the same.

    python benchmarks/narrow.py TARS/ --start weights/aic-psnr-large-1.10.safetensors --ranks 24 24 24 24 --out narrow.pt
    aic train --data TARS/ --out run --only contexts --start narrow.pt --batch 16 --crop 256 --learning-rate 3e-4 --minutes 75

Of all narrow layers of a rank, the one is taken whose sums are nearest to those of the whole layer,
for what it sees of training crops at five rates. What the channels between hold has the same spread in
each, as large as 8 bits and weights of 8 bits allow. See trial 97 of docs/experiments.md.
"""  # noqa: E501

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from imgcodec.model import Model
from imgcodec.model.context import GroupContext
from imgcodec.model.integer import IntegerConv2d, NarrowConv2d
from imgcodec.train import data
from imgcodec.train.checkpoint import load_start
from imgcodec.train.run import adopt

RATES = (0.2, 0.35, 0.5, 0.65, 0.8)
CROPS, SIDE, AT_ONCE = 24, 384, 6
SPREAD, MOST_SPREAD = 28.0, 50.0  # root mean square of a channel between, of at most 127
MOST_NARROW, MOST_WIDE = 0.9, 0.45  # of weights, which int8 holds to 127/128 and 127/256
LEAST = 1e-3  # share of the mean square that every direction of the input has at least


def main() -> None:
    """Read the options, make the model, write it as a checkpoint to start from."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of tar files with pictures")
    parser.add_argument("--start", type=Path, required=True, help="with whole layers")
    parser.add_argument("--ranks", type=int, nargs="+", required=True, help="see ModelConfig")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint")
    arguments = parser.parse_args()
    start = load_start(arguments.start)
    whole = Model(start.config)
    whole.load_state_dict(start.weights)
    narrow = Model(replace(start.config, context_ranks=tuple(arguments.ranks)))
    adopt(narrow, start.weights)
    crops, _ = data.split(data.read_crops(arguments.data))
    pairs = replaced(whole.eval(), narrow)
    chosen = crops[:: max(1, len(crops) // CROPS), :, :SIDE, :SIDE][:CROPS]
    seen = products(whole, [layer for layer, _ in pairs], chosen)
    for layer, other in pairs:
        approximate(layer, other, seen[layer])
    state = {"config": narrow.config.as_dict(), "average": narrow.state_dict()}
    torch.save(state | {"masses": start.masses}, arguments.out)


def replaced(whole: Model, narrow: Model) -> list[tuple[IntegerConv2d, NarrowConv2d]]:
    """Return the layers that differ, of both models."""
    pairs = []
    for group, other in zip(groups_of(whole), groups_of(narrow), strict=True):
        between = zip((group.far, *group.deep), (other.far, *other.deep), strict=False)
        pairs += [(one, two) for one, two in between if isinstance(two, NarrowConv2d)]
    if not all(isinstance(one, IntegerConv2d) for one, _ in pairs):
        raise SystemExit("the start has narrow layers already")
    return pairs


def groups_of(model: Model) -> list[GroupContext]:
    """Return the context models of groups."""
    return [module for module in model.modules() if isinstance(module, GroupContext)]


@torch.inference_mode()
def products(model: Model, layers: list[nn.Module], crops: Tensor) -> dict[nn.Module, Tensor]:
    """Return the mean products of what channels of each layer's input are, (C, C)."""
    sums = {layer: torch.zeros(()) for layer in layers}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].movedim(1, -1).flatten(0, -2)
        sums[layer] = sums[layer] + rows.T @ rows / len(rows)

    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    batches = crops.split(AT_ONCE)
    for batch in batches:
        for u in RATES:
            model.encode(batch.float() / 255, torch.full((len(batch),), u), True)
    for hook in hooks:
        hook.remove()
    return {layer: total / len(batches) / len(RATES) for layer, total in sums.items()}


@torch.no_grad()
def approximate(whole: IntegerConv2d, narrow: NarrowConv2d, products: Tensor) -> None:
    """Set a narrow layer to what is nearest to a whole one."""
    channels, rank = len(products), len(narrow.narrow.weight)
    weight = whole.weight.flatten(2)  # (outputs, C, 9)
    root = torch.linalg.cholesky(
        products + LEAST * products.trace() / channels * torch.eye(channels)
    )
    seen = torch.einsum("oip,ij->jop", weight, root).flatten(1)  # inputs made independent
    left, sizes, right = torch.linalg.svd(seen, full_matrices=False)
    # turned at random, so that the few largest directions are shared by all channels
    turn = torch.linalg.qr(torch.randn(rank, rank, generator=torch.Generator().manual_seed(1)))[0]
    down = turn @ left[:, :rank].T @ torch.linalg.inv(root)
    up = (turn @ (sizes[:rank, None] * right[:rank])).view(rank, len(weight), -1)
    spread = (up.abs().amax((1, 2)) / MOST_WIDE).clamp(SPREAD, MOST_SPREAD)
    spread = torch.minimum(spread, MOST_NARROW / down.abs().amax(1))
    narrow.narrow.weight.copy_(down * spread[:, None])
    narrow.narrow.bias.zero_()
    up = (up / spread[:, None, None]).permute(1, 0, 2)
    narrow.wide.weight.copy_(up.reshape(narrow.wide.weight.shape))
    narrow.wide.bias.copy_(whole.bias)


if __name__ == "__main__":
    main()

"""Compares designs at equal training cost: trains named variants on the same number of patches.

    python benchmarks/experiment.py TARS/ --out trials/ --patches 20000 \
        --variant base '{}' --variant wide '{"width": 160}' [--start run/last.pt]

Each variant is the default configuration with the fields of a JSON object changed. All are trained
side by side, on a GPU where there is one, and see the same patches in the same order. Printed is
the BD-rate against JPEG on the validation slice, estimated from the probabilities of the cells
that files would hold. With `--start` all begin with the weights of a checkpoint, as far as they
have such layers.

    python benchmarks/experiment.py TARS/ --out trials/ --patches 70000 --batch 16 --crop 256 \
        --start weights/aic-psnr-1.0.safetensors --only contexts --learning-rate 2e-4 \
        --variant base '{}' --variant far '{"context_phases": 6, "context_radius": 2}'

With `--only contexts` the context models alone learn: the transforms stay as they are.

    python benchmarks/experiment.py TARS/ --out trials/ --patches 4400 --batch 4 --crop 256 \
        --start weights/aic-psnr-1.0.safetensors --only decoder --examples 4400 \
        --variant base '{}' --variant coarse '{"coarse_blocks": 2}'

With `--only decoder` the rest stays as it is, and decoders learn from what files would hold of so
many examples; printed is the BD-rate against the weights of the start, which have to be a weights
file. `--only-new` lets only layers learn that the start lacks.
"""

import argparse
import json
from pathlib import Path

import torch

from imgcodec.model import Model, ModelConfig
from imgcodec.train.finish import finish
from imgcodec.train.loop import train
from imgcodec.train.trainee import PARTS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Train every variant and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the training pictures' tar files")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--patches", type=int, default=20_000, help="patches to train on, each")
    parser.add_argument("--seconds", type=float, help="what all of it may take, in place of them")
    parser.add_argument("--variant", nargs=2, action="append", required=True,
                        metavar=("NAME", "JSON"))  # fmt: skip
    parser.add_argument("--start", type=Path, help="checkpoint to begin with")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*PARTS], help="what learns")
    parser.add_argument("--only-new", action="store_true", help="of it, what the start lacks")
    parser.add_argument("--examples", type=int, default=1800, help="for --only decoder")
    arguments = parser.parse_args()
    settings = vars(arguments)
    data, out, variants, only, only_new, examples = (
        settings.pop(name) for name in ("data", "out", "variant", "only", "only_new", "examples")
    )
    configs = {}
    for name, changes in variants:
        configs[name] = ModelConfig.from_json(json.loads(changes))
    for path in (out / f"{name}{suffix}" for name in configs for suffix in ("", ".safetensors")):
        if path.exists():
            parser.error(f"{path} exists, and is kept")
    seconds = settings.pop("seconds")
    if only and settings["start"] is None:
        parser.error("--only goes with --start")
    if only == "decoder":
        if seconds:
            parser.error("--only decoder and --seconds exclude each other")
        finish(data, out, configs, only_new=only_new, examples=examples, tell=print,
               device=DEVICE, **settings)  # fmt: skip
        return
    if only_new:
        parser.error("--only-new goes with --only decoder")
    if seconds:
        settings["patches"] = None
    train(data, out, 0.0, seconds, configs=configs, device=DEVICE, only=only, **settings)
    print(f"{'variant':<16} {'parameters':>10} {'BD-rate':>9}")
    for name, config in configs.items():
        size = sum(parameter.numel() for parameter in Model(config).parameters())
        row = json.loads((out / name / "log.jsonl").read_text().splitlines()[-1])
        rate = row["bd_rate_jpeg"]
        gain = "none" if rate is None else f"{rate:+.2f}%"  # JPEG has no such qualities
        print(f"{name:<16} {size:>10,} {gain:>9}")


if __name__ == "__main__":
    main()

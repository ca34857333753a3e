"""Whether this machine decodes the golden files to the same codes as every other, on every path.

    python benchmarks/cross_device.py

Prints a line per path (threads, oneDNN, matmul precision, what a caller left switched on, CUDA
where there is one): how many files of `tests/golden` have the same codes, by SHA-256, as when they
were written, and how far their pixels are from the stored ones. Exit code 1 if any code differs,
or if pixels differ by more than docs/format.md allows.
"""

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imgcodec import Codec
from imgcodec.format import container
from imgcodec.format.tiles import Grid
from imgcodec.model import STRIDE
from imgcodec.runtime.exact import exact

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
PEAK, RMS = 2, 0.5  # grey levels
Integers = NDArray[np.int32]


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")  # torch's own, about Intel GPUs
    expected = {
        path.parent / case: facts
        for path in sorted(GOLDEN.glob("v*/expected.json"))
        for case, facts in json.loads(path.read_text()).items()
        if "codes_sha256" in facts  # files without loss have none
    }
    print(f"{'path':<32} {'same codes':>12} {'peak':>6} {'RMS':>7}")
    wrong = 0
    for name, device, setting in paths():
        with setting():
            codec = Codec(device)
            rows = [compare(codec, case, facts) for case, facts in expected.items()]
        same, peaks, errors = zip(*rows, strict=True)
        print(
            f"{name:<32} {sum(same):>5} of {len(same):>3} {max(peaks):>6.0f} {max(errors):>7.3f}",
            flush=True,
        )
        wrong += not all(same) or max(peaks) > PEAK or max(errors) > RMS
    sys.exit(1 if wrong else 0)


def integers(codec: Codec, data: bytes) -> tuple[Integers, Integers]:
    """Return levels and codes of a file, tile after tile, part after part, as int32.

    Latents are counted in sixteenths of a step, single bits are -1, 0 (not sent) or 1.
    """
    header, tiles, _ = container.unpack(data)
    tile_codec = codec._at_work(header.model_id)
    unit = 16 if tile_codec.model.config.expansion else 1
    levels, codes = [], []
    boxes = Grid(header.height, header.width, header.edge).boxes()
    for tile, box in zip(tiles, boxes, strict=True):
        places = box.places(STRIDE)
        with exact():
            found = tile_codec.read([tile], header.u, (places.height, places.width), header.raw)
            levels.append(found.levels.flatten())
            codes += [unit * part.flatten() for part in found.parts]
    first, second = torch.cat(levels), torch.cat(codes)
    if not torch.equal(second, second.round()):
        raise ValueError("codes that are no integers")
    return first.cpu().numpy().astype("<i4"), second.cpu().numpy().astype("<i4")


def hashes(levels: Integers, codes: Integers) -> dict[str, str]:
    """Return what `expected.json` beside golden files says of them."""
    return {
        "levels_sha256": hashlib.sha256(levels.tobytes()).hexdigest(),
        "codes_sha256": hashlib.sha256(codes.tobytes()).hexdigest(),
    }


def compare(codec: Codec, case: Path, facts: dict[str, str]) -> tuple[bool, float, float]:
    """Return whether the codes are the same, and the peak and RMS difference of the pixels."""
    data = case.with_suffix(".aic").read_bytes()
    codec.decode(data)  # brings the weights that the file names
    same = hashes(*integers(codec, data)).items() <= facts.items()
    with Image.open(case.with_suffix(".png")) as picture:
        error = codec.decode(data).astype(float) - np.asarray(picture.convert("RGB"))
    return same, float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))


Setting = Callable[[], ExitStack]


def paths() -> Iterator[tuple[str, str, Setting]]:
    """Return name, device and settings of each path."""
    yield "as it comes", "cpu", settings()
    for threads in (1, 2, 5):
        yield f"{threads} threads", "cpu", settings(with_threads(threads))
    yield "oneDNN off", "cpu", settings(torch.backends.mkldnn.flags(enabled=False))
    for precision in ("high", "medium"):
        yield f"matmul precision {precision}", "cpu", settings(with_precision(precision))
    yield "caller in autocast", "cpu", settings(torch.autocast("cpu", torch.bfloat16))
    yield "caller in default float64", "cpu", settings(with_dtype(torch.float64))
    if torch.cuda.is_available():
        yield "CUDA", "cuda", settings()
        yield "CUDA, caller in autocast", "cuda", settings(torch.autocast("cuda", torch.float16))
        yield "CUDA, matmul precision medium", "cuda", settings(with_precision("medium"))


def settings(*contexts: object) -> Setting:
    """Return what enters these contexts at once."""

    def enter() -> ExitStack:
        stack = ExitStack()
        for context in contexts:
            stack.enter_context(context)  # type: ignore[arg-type]
        return stack

    return enter


@contextmanager
def with_threads(number: int) -> Iterator[None]:
    """Set the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@contextmanager
def with_precision(name: str) -> Iterator[None]:
    """Set what matrix products may be rounded to."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    yield
    torch.set_float32_matmul_precision(before)


@contextmanager
def with_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the type of new tensors."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


if __name__ == "__main__":
    main()

"""Weights files: safetensors, named by their SHA-256, loaded without pickle.

A file may hold context models alone, and name by its SHA-256 the released set whose transforms
belong to them.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from imgcodec import files
from imgcodec.entropy.digits import LEVEL_EIGHTHS, MAX_DIGITS
from imgcodec.errors import AicError, lacks_memory
from imgcodec.model import Model, ModelConfig
from imgcodec.model.context import check
from imgcodec.model.integer import IntegerLayer
from imgcodec.model.restorer import Restorer, RestorerConfig
from imgcodec.model.tables import LOGIT_LIMIT, MASS_BITS, MAX_MAGNITUDE, NUM_SCALES, RATE_INDICES
from imgcodec.releases import MODEL_ID_BYTES, RELEASES, RESTORING, Release

OWN = ("tables.", "code_context.", "level_context.")  # what all files hold, how names begin


class Tables(NamedTuple):
    """Integer tables that are data, so that no machine computes them."""

    masses: Tensor  # int32 (112, 257): P(|value| <= m) * 2^24 for each scale index
    probabilities: Tensor  # int32 (513,): P(1) * 65536 for logits in sixteenths
    digits: Tensor  # uint8 (117, channels of all parts): digits of each at each step


class Weights(NamedTuple):
    """A loaded weights file."""

    model: Model
    tables: Tables
    model_id: bytes  # first 8 bytes of the file's SHA-256


def load(path: Path) -> Weights:
    """Load a weights file.

    Raises:
        AicError: the file cannot be read, or is not what its name says.
    """
    data, digest = _read(path)
    try:
        metadata = _metadata(data)
        config = ModelConfig.from_json(json.loads(metadata["config"]))
        tensors = _finite(load_tensors(data))
        if "transforms" in metadata:
            tensors |= _transforms(metadata["transforms"])
        tables = Tables(*(tensors.pop(f"tables.{name}") for name in Tables._fields))
        _check(tables, config)
        with _Within(tensors):
            model = Model(config)
        _restore(model, tensors)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        if lacks_memory(error):
            raise
        raise AicError(f"{path} is not a weights file of this codec") from error
    return Weights(model.eval(), tables, digest[:MODEL_ID_BYTES])


def save(path: Path, model: Model, tables: Tables, transforms: Release | None = None) -> str:
    """Write a weights file and return its SHA-256 in hex.

    Floats become float16, the context models int8 weights and int32 biases.

    Args:
        path: where to.
        model: what it holds.
        tables: of the coder, made for the model.
        transforms: the released set that has the same transforms, which are left out then.

    Raises:
        ValueError: its transforms are others.
    """
    check(model)
    tensors = {f"tables.{name}": value for name, value in tables._asdict().items()}
    integer = {n: m for n, m in model.named_modules() if isinstance(m, IntegerLayer)}
    for name, tensor in model.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if owner in integer:
            weight, bias = integer[owner].integers()
            value = weight.to(torch.int8) if leaf == "weight" else bias.to(torch.int32)
        elif leaf == "squashing":
            value = tensor.to(torch.int8)
        else:
            value = tensor.to(torch.float16)
        tensors[name] = value.detach().contiguous().clone()
    metadata = {"config": json.dumps(model.config.as_dict())}
    if transforms is not None:
        known = _transforms(transforms.sha256)
        left_out = {name: tensors.pop(name) for name in [*tensors] if not name.startswith(OWN)}
        if not _same(left_out, known):
            raise ValueError(f"other transforms than those of {transforms}")
        metadata["transforms"] = transforms.sha256
    data = save_tensors(tensors, metadata)
    files.write_bytes(path, data, force=True)
    return hashlib.sha256(data).hexdigest()


def transforms_of(model: Model) -> Release | None:
    """Return the released set that has a model's transforms, as far as float16 tells."""
    own = {
        name: tensor.half().cpu()
        for name, tensor in model.state_dict().items()
        if not name.startswith(OWN)
    }
    return next((r for r in RELEASES if _same(own, _transforms(r.sha256))), None)


def _transforms(sha256: str) -> dict[str, Tensor]:
    """Return what a released set holds beside its context models, or raise ValueError."""
    release = next((release for release in RELEASES if release.sha256 == sha256), None)
    if release is None:
        raise ValueError(f"transforms of the unknown weights {sha256[:16]}...")
    data, _ = _read(release.path)
    tensors = load_tensors(data)
    return {name: value for name, value in tensors.items() if not name.startswith(OWN)}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def _restore(model: Model, tensors: dict[str, Tensor]) -> None:
    """Fill a model from the tensors of a file."""
    integer = {n: m for n, m in model.named_modules() if isinstance(m, IntegerLayer)}
    for name in tensors:
        owner = name.rpartition(".")[0]
        scale = 2.0 ** -integer[owner].shift if owner in integer else 1.0
        tensors[name] = tensors[name].float() * scale
    model.load_state_dict(tensors)


def load_restorer(path: Path) -> Restorer:
    """Load a weights file of the JPEG restorer.

    Raises:
        AicError: the file cannot be read, or is not what its name says.
    """
    data, _ = _read(path)
    try:
        config = RestorerConfig(**json.loads(_metadata(data)["config"]))
        tensors = _finite(load_tensors(data))
        with _Within(tensors):
            model = Restorer(config)
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        if lacks_memory(error):
            raise
        raise AicError(f"{path} is not a weights file that restores JPEG files") from error
    return model.eval().requires_grad_(False)


def save_restorer(path: Path, model: Restorer) -> str:
    """Write a weights file of the JPEG restorer and return its SHA-256 in hex.

    Matrices become float16.
    """
    tensors = {
        name: (value.half() if value.dim() > 1 else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    data = save_tensors(tensors, {"config": json.dumps(asdict(model.config))})
    files.write_bytes(path, data, force=True)
    return hashlib.sha256(data).hexdigest()


class _Within(TorchFunctionMode):
    """Where networks are built of little more than a file has; far more is a `ValueError`.

    So what a file claims takes no memory.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        """Take what the file has; not all numbers that are drawn for a network are kept."""
        super().__init__()
        self._left = 2 * sum(tensor.numel() for tensor in tensors.values())

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count what a layer is about to draw."""
        if func in (torch.empty, torch.randn):
            self._left -= torch.empty(*args, device="meta").numel()
            if self._left < 0:
                raise ValueError("a network of more numbers than the file has")
        return func(*args, **(kwargs or {}))


def _check(tables: Tables, config: ModelConfig) -> None:
    """Refuse by `ValueError` tables that the coder does not take."""
    rows = RATE_INDICES + 1 + LEVEL_EIGHTHS * (config.levels - 1)
    wanted = {  # shape, type, least and largest value
        "masses": ((NUM_SCALES, MAX_MAGNITUDE + 1), torch.int32, 0, 2**MASS_BITS),
        "probabilities": ((2 * LOGIT_LIMIT + 1,), torch.int32, 1, 65535),
        "digits": ((rows, sum(config.parts)), torch.uint8, 0, MAX_DIGITS),
    }
    for name, (shape, dtype, least, largest) in wanted.items():
        table = getattr(tables, name)
        if (tuple(table.shape), table.dtype) != (shape, dtype):
            raise ValueError(f"a table of {name} of another kind than {dtype} {shape}")
        if table.min() < least or table.max() > largest:
            raise ValueError(f"a table of {name} beyond {least}..{largest}")
    if tables.masses.diff(dim=1).min() < 0:
        raise ValueError("masses that fall")


def _read(path: Path) -> tuple[bytes, bytes]:
    """Return a weights file and its SHA-256, which has to be the one that its name says."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may have no end
            raise AicError(f"cannot read the weights {path}: is no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise AicError(f"cannot read the weights {path}: {files.reason(error)}") from error
    digest = hashlib.sha256(data)
    released = next((r for r in (*RELEASES, *RESTORING) if r.file_name == path.name), None)
    if released is not None and digest.hexdigest() != released.sha256:
        raise AicError(f"the weights {path} are damaged: SHA-256 is not {released.sha256[:16]}...")
    return data, digest.digest()


def _metadata(data: bytes) -> dict[str, str]:
    """Return what a weights file says of itself, or raise ValueError, KeyError or TypeError."""
    size = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return found


def _finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of which all are numbers."""
    if not all(t.isfinite().all() for t in tensors.values() if t.is_floating_point()):
        raise ValueError("weights that are not numbers")
    return tensors

"""Models of CompressAI as peers of `aic bench`, where it is installed.

Weights are used where torch has them in its cache already, as after `pretrained=True`; nothing is
fetched. Without them only the times of the architecture are measured.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgcodec.bench import COMPRESSAI
from imgcodec.bench.coders import Coded, Pixels
from imgcodec.bench.rows import NAN
from imgcodec.errors import AicError, FormatError
from imgcodec.pictures.arrays import as_colour

STRIDE = 64  # pixels that the models' sides are multiples of
_HEAD = struct.Struct("<HHHHB")  # height, width, those of the smallest latent, number of strings


class CompressAI:
    """One architecture at its qualities; loaded one at a time."""

    by_rate = False
    cuda = False

    def __init__(self, name: str) -> None:
        """Look for weights.

        Raises:
            AicError: CompressAI is not installed, or has no such model.
        """
        try:
            import compressai
            import torch
            from compressai.zoo import image_models
            from compressai.zoo.image import model_urls
        except ImportError as error:
            raise AicError(f"{COMPRESSAI}{name} needs pip install compressai") from error
        if name not in image_models:
            raise AicError(f"{COMPRESSAI}{name}: wanted one of {' '.join(image_models)}")
        urls: dict[int, str] = model_urls.get(name, {}).get("mse", {})
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        cached = [quality for quality, url in urls.items() if (cache / Path(url).name).is_file()]
        self.name = f"{COMPRESSAI}{name}"
        self.trained = bool(cached)
        self.settings: Sequence[float] = sorted(cached) or [min(urls or [1]), max(urls or [1])]
        self.candidates = [round(setting) for setting in self.settings]
        self.about: dict[str, Any] = {
            "version": f"CompressAI {compressai.__version__}",
            "weights": "those of CompressAI, mse" if cached else "random: times only",
            "setting": "quality",
        }
        self._make = image_models[name]
        self._model: tuple[float, Any] | None = None

    def _load(self, setting: float) -> Any:
        kept = self._model  # another thread may put another there
        if kept is None or kept[0] != setting:
            model = self._make(quality=round(setting), metric="mse", pretrained=self.trained)
            model.eval().update(force=True)
            self._model = kept = setting, model
        return kept[1]

    def encode(self, pixels: Pixels, setting: float) -> Coded:
        """See `Coder.encode`; the file holds a small head and the strings with their lengths."""
        import torch
        from torch.nn import functional as F

        x = torch.from_numpy(np.ascontiguousarray(as_colour(pixels))).permute(2, 0, 1)[None] / 255
        height, width = pixels.shape[:2]
        x = F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        with torch.inference_mode():
            found = self._load(setting).compress(x)
        strings = [string[0] for string in found["strings"]]
        data = _HEAD.pack(height, width, *found["shape"], len(strings)) + bytes([round(setting)])
        return Coded(data + b"".join(struct.pack("<I", len(s)) + s for s in strings))

    def decode(self, data: bytes) -> tuple[Pixels, float]:
        """See `Coder.decode`."""
        height, width, rows, columns, count = _HEAD.unpack_from(data)
        place = _HEAD.size + 1
        strings = []
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, place)
            strings.append([data[place + 4 : place + 4 + length]])
            place += 4 + length
        if place != len(data):
            raise FormatError("damaged")
        import torch

        with torch.inference_mode():
            found = self._load(data[_HEAD.size]).decompress(strings, (rows, columns))
        x = found["x_hat"][0, :, :height, :width].clamp(0, 1).mul(255).round()
        return x.byte().permute(1, 2, 0).contiguous().numpy(), NAN

r"""The codec: the one file that joins model, coder and container.

image -> pixels -> LappedDCT -> Encoder -> e -> binarizer -> codes         \
                                      \-> features -> Quantizer -> levels -> mask
masked codes, levels -> range coder -> container -> .aic
.aic -> container -> range coder -> levels, codes -> Decoder -> LappedDCT -> pixels -> image
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imgcodec import container
from imgcodec.bitstream import RangeDecoder, RangeEncoder, RawDecoder, RawEncoder
from imgcodec.errors import AicError, FormatError, ImageError, ModelMismatchError
from imgcodec.image import crop, from_pil, pad
from imgcodec.model import STRIDE
from imgcodec.model.context import freeze
from imgcodec.payload import Payload
from imgcodec.plan import Plan
from imgcodec.rate import extrapolate, search, typical_slope
from imgcodec.weights import load

Pixels = NDArray[np.uint8]
DEVICES = ("auto", "cpu", "cuda")
MAX_TILE_PIXELS = 2**26
EFFORTS = 9
REFINING_ROUNDS = 2  # between two rate searches
SAME_LATENTS = container.MAX_U // 40  # difference of u over which latents are computed anew


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What encoding took and reached."""

    rate_asked: float  # bits per pixel
    bpp: float  # bits per pixel of the whole file
    limited: bool  # the picture needs fewer bits than were asked
    model_s: float  # in the networks and the rate search
    total_s: float


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What decoding took."""

    model_s: float
    total_s: float


class Codec:
    """A loaded model that encodes and decodes pictures.

    Args:
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        threads: CPU threads of torch for the whole process; None leaves them alone.
        weights: a weights file; None for the shipped one.

    Raises:
        AicError: there is no such device, or no such weights.
    """

    def __init__(
        self, device: str = "auto", threads: int | None = None, weights: Path | None = None
    ) -> None:
        """Load the weights once."""
        if device not in DEVICES:
            raise AicError(f"device {device}, wanted one of {', '.join(DEVICES)}")
        cuda = torch.cuda.is_available()
        if device == "cuda" and not cuda:
            raise AicError("no CUDA device found")
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = "cuda" if cuda and device != "cpu" else "cpu"
        loaded = load(weights)
        self.model_id = loaded.model_id
        model = loaded.model.to(self.device).requires_grad_(False)
        freeze(model)
        self._payload = Payload(model, loaded.tables, self._fast())

    def _fast(self) -> bool:
        """Whether this machine multiplies bfloat16 natively."""
        if self.device == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))

    def encode(
        self, image: Any, rate: float = 0.5, entropy: str = "range", effort: int = 1
    ) -> bytes:
        """Return the .aic file of a picture.

        Args:
            image: uint8 (H, W, 3) or (H, W) array, or a PIL image of mode RGB or L.
            rate: most bits per pixel that the file may take, more than 0.
            entropy: "range" (arithmetic coding) or "none" (raw packed bits).
            effort: 1..9; more makes better files and takes longer.

        Raises:
            ImageError: the picture is not of that kind, or too large.
            AicError: the rate is too low for this picture.
        """
        return self.encode_report(image, rate, entropy, effort)[0]

    def encode_report(
        self, image: Any, rate: float = 0.5, entropy: str = "range", effort: int = 1
    ) -> tuple[bytes, EncodeReport]:
        """Encode, and say what it took; see `encode`."""
        started = time.perf_counter()
        if not rate > 0:
            raise AicError(f"rate {rate}, wanted more than 0 bits per pixel")
        if entropy not in container.ENTROPIES:
            raise AicError(f"entropy {entropy}, wanted one of {', '.join(container.ENTROPIES)}")
        if not 1 <= effort <= EFFORTS:
            raise AicError(f"effort {effort}, wanted 1..{EFFORTS}")
        pixels = _as_pixels(image)
        height, width = pixels.shape[:2]
        header = container.Header(
            width=width,
            height=height,
            channels=1 if pixels.ndim == 2 else 3,
            entropy=container.ENTROPIES.index(entropy),
            u=0,
            tile=0,
            model_id=self.model_id,
        )
        if width * height > MAX_TILE_PIXELS:
            raise ImageError(f"{width}x{height} pixels, at most {MAX_TILE_PIXELS} for now")
        room = int(min(rate * width * height / 8, 2**32 - 1)) - container.overhead_bytes(1)
        with _exact():
            prepared = self._payload.analyse(pad(_as_colour(pixels), STRIDE))

            raw = entropy == "none"
            start = self._payload.guess(prepared, room)
            latents = self._payload.latents(prepared, start)
            plans = {start: self._payload.plan(latents, start, raw)}
            size = plans[start].estimated_bytes
            slope, hint = typical_slope(rate), None
            closer = extrapolate(start, size, room, slope)
            if abs(closer - start) > SAME_LATENTS:
                # a level of all places may change between the two, and with it the size
                latents = self._payload.latents(prepared, closer, latents.levels)
                plans, hint, start = {}, (start, size), closer

            def plan(u: int) -> Plan:
                # with the latents held fixed, too, the size changes smoothly
                return plans.pop(u, None) or self._payload.plan(latents, u, raw)

            def write(chosen: Plan) -> bytes:
                coder = RawEncoder() if raw else RangeEncoder()
                chosen.write(coder)
                return coder.finish()

            found = search(plan, write, room, start, slope, hint)
            for _ in range(effort - 1):
                if found is not None:  # what is refined at one u is worth less at another
                    latents = self._payload.refine(prepared, latents, found.u, REFINING_ROUNDS)
                    found = search(plan, write, room, found.u, slope) or found
            if found is None:
                least = 8 * (container.overhead_bytes(1) + len(write(plan(0)))) / (width * height)
                least = math.ceil(1000 * least) / 1000
                raise AicError(f"rate {rate:g} is too low for this picture, which needs {least:g}")
        model_s = time.perf_counter() - started
        header = replace(header, u=found.u)
        data = container.pack(header, [found.payload])
        bpp = 8 * len(data) / (width * height)
        total_s = time.perf_counter() - started
        return data, EncodeReport(rate, bpp, found.limited, model_s, total_s)

    def decode(self, data: bytes) -> Pixels:
        """Return the picture of an .aic file, uint8 (H, W, 3).

        Raises:
            FormatError: the file is damaged or not an .aic file.
            ModelMismatchError: it was written with other weights.
        """
        return self.decode_report(data)[0]

    def decode_report(self, data: bytes) -> tuple[Pixels, DecodeReport]:
        """Decode, and say what it took; see `decode`."""
        started = time.perf_counter()
        header, tiles, chunks = container.unpack(data)
        container.check_chunks(chunks, ())
        if header.model_id != self.model_id:
            raise ModelMismatchError(
                f"the file needs weights {header.model_id.hex()}, these are {self.model_id.hex()}"
            )
        if header.tile or header.width * header.height > MAX_TILE_PIXELS:
            raise FormatError("the picture is larger than this version decodes")
        raw = container.ENTROPIES[header.entropy] == "none"
        coder = RawDecoder(tiles[0]) if raw else RangeDecoder(tiles[0])
        rows, columns = -(-header.height // STRIDE), -(-header.width // STRIDE)
        places = rows * columns
        least = -(-places // 8) if raw else 1  # a level takes a bit, or a share of a word
        if len(tiles[0]) < least:
            raise FormatError(f"{len(tiles[0])} bytes of data for {places} places")
        with _exact():
            values = self._payload.read(coder, header.u, rows, columns)
            coder.finish()
            model_started = time.perf_counter()
            padded = self._payload.synthesise(values, header.u)
            model_s = time.perf_counter() - model_started
        pixels = crop(padded, header.height, header.width)
        if header.channels == 1:
            grey = np.round(pixels.astype(np.float32).mean(2)).astype(np.uint8)
            pixels = np.repeat(grey[..., None], 3, 2)
        return pixels, DecodeReport(model_s, time.perf_counter() - started)


@contextmanager
def _exact() -> Iterator[None]:
    """Switch off what a caller may have switched on and what would change results."""
    with (
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        yield


def _as_pixels(image: Any) -> Pixels:
    """Return a picture as uint8 (H, W, 3) or (H, W)."""
    pixels = from_pil(image) if hasattr(image, "mode") else np.asarray(image)
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2):
        raise ImageError(
            f"an array of {pixels.dtype} {pixels.shape}, wanted uint8 (H, W, 3) or (H, W)"
        )
    if not 1 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= container.MAX_SIDE:
        raise ImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels, 1..65535 a side are wanted")
    return pixels


def _as_colour(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels

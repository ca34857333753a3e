"""Training pictures: tar files of crops, and rendered pages, made once and kept in memory."""

import io
import lzma
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from imgcodec.errors import ImageError
from imgcodec.files import reason
from imgcodec.jpeg.forward import FROM_RGB
from imgcodec.perceptual.filters import constant
from imgcodec.train.pages import pages

VALIDATION_EVERY = 83  # every 83rd crop is kept for validation: 25 of 1994
MOST_NOISE = 4 / 255  # standard deviation
MAX_PIXELS = 2**26  # of a picture
MAX_BYTES = 2**28  # of its file: those of so many pixels without compression, and some
_DEEP = ("I", "F")  # how the names of Pillow's modes of more than 8 bits begin
_TAR_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)
_PICTURE_ERRORS = (  # of Pillow's plugins, on damaged files
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, NotImplementedError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


def read_crops(folder: Path) -> Tensor:
    """Return all crops of the tar files in `folder`, uint8 (N, 3, H, W).

    Raises:
        ImageError: there is none, one cannot be read, or their sizes differ.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(2) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        crops = list(pool.map(_decode, _members(folder)))
    if not crops:
        raise ImageError(f"no pictures in tar files of {folder}")
    if len({crop.shape for crop in crops}) > 1:
        raise ImageError(f"the crops in {folder} are not all of one size")
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def split(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Return (training, validation) crops; the same split every time."""
    if len(crops) < 2:
        raise ImageError("one picture is not enough to train and to validate")
    held = torch.arange(len(crops)) % VALIDATION_EVERY == 0
    return crops[~held], crops[held]


def with_pages(crops: Tensor, share: float, seed: int) -> Tensor:
    """Return crops and rendered pages behind them, `share` of all, uint8 (N, 3, H, W).

    Args:
        crops: uint8 (N, 3, H, W), on the CPU.
        share: of the pages, 0 to below 1.
        seed: of the pages.
    """
    count = round(share / (1 - share) * len(crops))
    height, width = crops.shape[2:]
    rendered = pages(count, seed, max(height, width), crops)
    return torch.cat([crops, rendered[:, :, :height, :width]])


def middle(crops: Tensor, side: int) -> Tensor:
    """Return the middle of pictures, at most `side` pixels each way, multiples of 8."""
    height, width = (min(side, size // 8 * 8) for size in crops.shape[2:])
    top, left = (crops.shape[2] - height) // 2, (crops.shape[3] - width) // 2
    return crops[:, :, top : top + height, left : left + width].contiguous()


def sample(crops: Tensor, batch: int, size: int, generator: torch.Generator) -> Tensor:
    """Return random patches, flipped and transposed at random.

    Args:
        crops: uint8 (N, 3, H, W), on any device.
        batch: patches to draw.
        size: side of a patch, px.
        generator: of that device.

    Returns:
        (batch, 3, size, size) float32 in 0..1, on the device of `crops`.
    """
    n, _, height, width = crops.shape
    along = torch.arange(size, device=crops.device)

    def draw(high: int) -> Tensor:
        return torch.randint(high, (batch, 1), generator=generator, device=crops.device)

    number, top, left, turn = draw(n), draw(height - size + 1), draw(width - size + 1), draw(8)
    rows = top + torch.where(turn & 1 > 0, size - 1 - along, along)
    columns = left + torch.where(turn & 2 > 0, size - 1 - along, along)
    turned = (turn & 4 > 0)[:, :, None]
    y = torch.where(turned, rows[:, None], rows[:, :, None])
    x = torch.where(turned, columns[:, :, None], columns[:, None])
    return crops[number[:, :, None], :, y, x].permute(0, 3, 1, 2).float() / 255


def wear(patches: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return patches of which some look as cameras and their files leave pictures.

    Training crops are smaller copies of larger pictures, and cleaner than what people encode. So
    some patches get noise, white or with the grain of film and demosaicing, and some, noisy or
    not, lose half the resolution of their colours, as in most JPEG files.

    Args:
        patches: (B, 3, H, W) float32 in 0..1, H and W even.
        share: of patches for either, 0..1.
        generator: of their device.

    Returns:
        Patches of the same shape, worn ones rounded to 8 bits.
    """

    def draw(kind: Callable[..., Tensor], *shape: int) -> Tensor:
        return kind(shape, generator=generator, device=patches.device)

    b, _, h, w = patches.shape
    noisy, coarse, grainy = draw(torch.rand, 3, b, 1, 1, 1) < share
    noise = draw(torch.randn, b, 3, h, w) * 0.5 + draw(torch.randn, b, 1, h, w)
    grain = 2 * F.avg_pool2d(F.pad(noise, (0, 1, 0, 1), mode="replicate"), 2, 1)
    size = MOST_NOISE * draw(torch.rand, b, 1, 1, 1).square()
    x = torch.where(noisy, patches + size * torch.where(grainy, grain, noise), patches)
    luma = (x * constant(FROM_RGB[0], x.device, x.dtype)[:, None, None]).sum(1, keepdim=True)
    colour = F.interpolate(F.avg_pool2d(x - luma, 2), scale_factor=2, mode="bilinear")
    x = torch.where(coarse, luma + colour, x)
    return torch.where(noisy | coarse, torch.round(x.clamp(0, 1) * 255) / 255, patches)


def rate_parameters(batch: int, generator: torch.Generator) -> Tensor:
    """Return (batch,) values of u, one from each of `batch` equally likely intervals.

    The rates that people use (about 0.1 to 2 bits per pixel) get four fifths of them. They are on
    the device of the generator.
    """
    chance = torch.rand(batch, generator=generator, device=generator.device)
    v = (torch.arange(batch, device=generator.device) + chance) / batch
    u = torch.where(v < 0.1, 2 * v, 0.2 + (v - 0.1) * (0.62 / 0.82))
    return torch.where(v > 0.92, 0.82 + (v - 0.92) * (0.18 / 0.08), u)


def _members(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files in all tar files, each with what it is called."""
    for path in sorted(folder.glob("*.tar")):
        if not path.is_file():
            raise ImageError(f"{path}: is no regular file")
        name = str(path)
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = f"{path}: {member.name}"
                    file = archive.extractfile(member)
                    if file is not None:
                        yield name, _content(file, name)
        except (KeyError, RecursionError) as error:
            raise ImageError(f"{name}: a link to nothing in the tar file") from error
        except _TAR_ERRORS as error:
            raise ImageError(f"{name}: the tar file cannot be read on: {reason(error)}") from error


def _content(file: IO[bytes], name: str) -> bytes:
    """Return the bytes of a file in a tar file; a sparse one may claim any number."""
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise ImageError(f"{name}: is larger than {MAX_BYTES} bytes")
    file.seek(0)
    return file.read()


def _decode(named: tuple[str, bytes]) -> NDArray[np.uint8]:
    """Return the pixels of a picture file, uint8 (H, W, 3)."""
    name, data = named
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"{name}: {width}x{height} pixels, at most {MAX_PIXELS} wanted")
            if picture.mode.startswith(_DEEP):
                raise ImageError(f"{name}: has more than 8 bits a sample")
            if picture.has_transparency_data and _alpha(picture).min() < 255:
                raise ImageError(f"{name}: has transparent pixels")
            return np.asarray(picture.convert("RGB"))
    except _PICTURE_ERRORS as error:
        raise ImageError(f"{name}: no picture to train on") from error


def _alpha(picture: Image.Image) -> NDArray[np.uint8]:
    """Return how opaque each pixel is, uint8 (H, W)."""
    return np.asarray(picture.convert("RGBA").getchannel("A"))

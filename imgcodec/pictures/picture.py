"""What a picture is: pixels, alpha and metadata; and a picture that is being filled."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from imgcodec.errors import FormatError, ImageError
from imgcodec.format.container import Chunk
from imgcodec.format.metadata import KINDS, Metadata
from imgcodec.pictures.arrays import ByteArray, HalfArray, as_array, check_samples
from imgcodec.pictures.geo import georeference
from imgcodec.pictures.modes import composed, fill_invisible
from imgcodec.pictures.pillow_guard import refusing_part
from imgcodec.pictures.profiles import MISFIT

ALPHA_CHUNK = b"alpH"  # a grey PNG file of the picture's size


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with all that is kept of it."""

    pixels: ByteArray  # (H, W, 3), or (H, W) of a grey picture
    alpha: ByteArray | None = None  # (H, W), 255 is opaque
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()  # what was lost on the way here, to be told
    # the pixels before they were rounded, where they are known: what is encoded, in their place
    unrounded: HalfArray | None = None
    georeference: bytes | None = None  # data of the chunk `geoR`, see docs/format.md

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3) or (H, W)."""
        return self.pixels.shape

    def check(self) -> None:
        """Refuse parts that do not belong together.

        Raises:
            ImageError: an array is not of its kind or shape, or metadata are none.
        """
        if not isinstance(self.pixels, np.ndarray):
            raise ImageError(f"pixels are {type(self.pixels).__name__}, wanted an array")
        check_samples(as_array(self.pixels))
        for name, found, kind, shape in (
            ("alpha", self.alpha, np.uint8, self.shape[:2]),
            ("unrounded", self.unrounded, np.float16, self.shape),
        ):
            if not isinstance(found, np.ndarray | None):
                raise ImageError(f"{name} is {type(found).__name__}, wanted an array")
            array = None if found is None else as_array(found)
            if array is not None and (array.dtype != kind or array.shape != shape):
                wanted = np.dtype(kind)
                raise ImageError(f"{name} is {array.dtype} {array.shape}, wanted {wanted} {shape}")
        if self.unrounded is not None and not np.isfinite(self.unrounded).all():
            raise ImageError("unrounded has samples that are nan or inf")
        if not isinstance(self.metadata, Metadata):
            raise ImageError(f"metadata are {type(self.metadata).__name__}, wanted a Metadata")
        for name, part in (
            *((kind, getattr(self.metadata, kind)) for kind in KINDS),
            ("georeference", self.georeference),
        ):
            if not isinstance(part, bytes | None):
                raise ImageError(f"{name} is {type(part).__name__}, wanted bytes")
        if self.georeference is not None:
            georeference.check(self.georeference)

    def flattened(self, colour: tuple[int, int, int] | None) -> "Picture":
        """Return it without alpha: laid over a colour, or as if all were opaque."""
        if self.alpha is None or colour is None:
            return replace(self, alpha=None)
        pixels = composed(self.pixels, self.alpha, colour)
        found = replace(self, pixels=pixels, alpha=None, unrounded=None)
        if pixels.ndim == self.pixels.ndim or self.metadata.icc is None:
            return found
        metadata = replace(self.metadata, icc=None)  # that was one of grey
        return replace(found, metadata=metadata, notes=(*self.notes, MISFIT))

    def keeping(self, kinds: Collection[str]) -> "Picture":
        """Return it with these kinds of metadata."""
        return replace(self, metadata=self.metadata.only(kinds))

    def chunks(self) -> list[Chunk]:
        """Return as chunks of a file what is not pixels."""
        found = self.metadata.chunks()
        if self.georeference is not None:
            found.insert(0, (georeference.CHUNK, self.georeference))
        if self.alpha is not None:
            png = io.BytesIO()
            Image.fromarray(self.alpha).save(png, "PNG", optimize=True)
            found.insert(0, (ALPHA_CHUNK, png.getvalue()))
        return found

    def coded(self) -> ByteArray:
        """Return the pixels that are worth their bits: what nobody sees is filled smoothly."""
        return self.pixels if self.alpha is None else fill_invisible(self.pixels, self.alpha)


def as_seen(decoded: ByteArray, pixels: ByteArray, alpha: ByteArray | None) -> ByteArray:
    """Return a decoded picture with the original's pixels where nobody sees any, and its shape.

    Args:
        decoded: uint8 (H, W, 3), or as the next.
        pixels: uint8 (H, W, 3) or (H, W), of the original.
        alpha: uint8 (H, W), None where all is opaque.
    """
    found = decoded if decoded.ndim == pixels.ndim else decoded[..., 0]
    if alpha is None:
        return found
    return np.where(np.expand_dims(alpha == 0, tuple(range(2, pixels.ndim))), pixels, found)


def alpha_of(chunks: Sequence[Chunk], height: int, width: int) -> ByteArray | None:
    """Return the alpha channel among the chunks of a file, uint8 (height, width), or None.

    Raises:
        FormatError: it cannot be read, or has another size.
    """
    data = dict(chunks).get(ALPHA_CHUNK)
    if data is None:
        return None
    # not by `Image.open`: its limit of pixels is the process's, the size is known here
    with (
        refusing_part("the alpha channel cannot be read"),
        PngImageFile(io.BytesIO(data)) as png,
    ):
        if png.mode != "L" or png.size != (width, height):
            raise FormatError(
                f"alpha channel of {png.size[0]}x{png.size[1]} {png.mode},"
                f" the picture has {width}x{height}"
            )
        return np.array(png)


def to_pil(picture: Picture) -> Image.Image:
    """Return the samples of a picture as a PIL image of mode L, LA, RGB or RGBA."""
    found = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        found.putalpha(Image.fromarray(picture.alpha))
    return found


class Canvas:
    """A picture that is filled from top to bottom."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        """Take the size; memory is taken only when the first rows turned out to be some."""
        self._shape = (height, width, 3) if channels == 3 else (height, width)
        self._done = 0
        self.pixels: ByteArray | None = None  # uint8 (H, W, 3), or (H, W) for one channel

    def take(self, rows: ByteArray) -> None:
        """Add the next rows, uint8 (h, W, 3); of them, one channel keeps the first plane."""
        if self.pixels is None:
            self.pixels = np.empty(self._shape, np.uint8)
        plane = rows if self.pixels.ndim == 3 else rows[..., 0]
        self.pixels[self._done : self._done + len(rows)] = plane
        self._done += len(rows)

"""Pictures on their way in: arrays, PIL images and files that are read by windows, all alike."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import warn_of
from imgcodec.format.container import Chunk
from imgcodec.pictures.arrays import ByteArray, as_array, check_samples, is_pil
from imgcodec.pictures.geo.raster import Raster
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.reader import from_pil


class Source(Protocol):
    """What pictures are read from: a uint8 array (H, W, 3) or (H, W), or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3) or (H, W)."""

    @property
    def dtype(self) -> Any:
        """Of the samples: uint8."""

    def __getitem__(self, window: tuple[slice, slice], /) -> ByteArray:
        """Return rows and columns."""


class Unrounded:
    """A picture of which the pixels are known as they were before they were rounded."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: ByteArray, unrounded: NDArray[np.float16]) -> None:
        """Take both, of one shape."""
        self._pixels, self.unrounded = pixels, unrounded
        self.shape = pixels.shape

    def __getitem__(self, window: tuple[slice, slice], /) -> ByteArray:
        """Return rows and columns, rounded."""
        return self._pixels[window]


def to_encode(source: Source, window: tuple[slice, slice]) -> NDArray[Any]:
    """Return rows and columns as the encoder wants them: not rounded, where that is known."""
    if isinstance(source, Unrounded):
        return source.unrounded[window]
    return source[window]


def as_source(image: Any) -> tuple[Source, Source, list[Chunk]]:
    """Return a picture as what reads like uint8 (H, W, 3) or (H, W), and its chunks.

    The first is what is coded with loss: colours that cannot be seen take few bits, and what was
    never rounded is not. The second is what a file without loss keeps.
    """
    if is_pil(image):
        image = from_pil(image)
        warn_of(image.notes)
    source: Source
    pixels: Source
    if isinstance(image, Picture):
        image.check()
        source, pixels, chunks = image.coded(), image.pixels, image.chunks()
        if image.unrounded is not None and image.alpha is None:
            source = Unrounded(image.pixels, image.unrounded)
    elif isinstance(image, Raster):
        source, pixels, chunks = image.coded(), image, image.chunks()
    else:
        source, chunks = as_array(image), []
        pixels = source
    check_samples(source)
    return source, pixels, chunks

"""A GeoTIFF as a picture that is read by windows: its samples, alpha and metadata."""

import base64
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError
from imgcodec.format.container import Chunk
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.arrays import ByteArray, as_colour
from imgcodec.pictures.geo.bands import TO_BYTES, bands_of, left_out
from imgcodec.pictures.geo.georeference import KEYS, NUMBERS, chunk_of, epoch_left_out
from imgcodec.pictures.headers.depth import palette_notes, reference_notes, unmultiplied
from imgcodec.pictures.headers.tiff_tags import directories, num_inside, others_left_out
from imgcodec.pictures.info import listed, tag_names
from imgcodec.pictures.modes import composed, fill_invisible, stays_grey
from imgcodec.pictures.picture import ALPHA_CHUNK, Picture, alpha_of
from imgcodec.pictures.pillow_guard import refusing, unlimited
from imgcodec.pictures.png import GreyPng
from imgcodec.pictures.profiles import MISFIT, fits
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    import rasterio

_STRIP = 256  # rows of alpha that are read at a time
_EXTRA_SAMPLES, _ORIENTATION, _PHOTOMETRIC = 338, 274, 262  # tags that GDAL does not tell
_TOLD_BY_GDAL = {34665, 34853, 42112, 42113, 50674}  # EXIF, GPS, its own, and how LERC packs
_LOST_BY_GDAL = (271, 272, 285, 18246, 18249, *range(40091, 40096), 50341)
_HEEDED = (_EXTRA_SAMPLES, _ORIENTATION, _PHOTOMETRIC, 318, 319, 320, 529, 532, KEYS, NUMBERS)
_SPACES = {5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab"}  # of _PHOTOMETRIC
_PREMULTIPLIED = 1
_MOST_OTHERS = 100  # further pictures that are counted: hostile files have any number
_HIDDEN = 128  # samples where a window has nothing to be seen
_Window = tuple[slice, slice]


class Raster:
    """A georeferenced picture that is read by windows, in place of a `Picture`.

    Attributes:
        dtype: uint8.
        metadata: its colour profile and XMP.
        notes: what is lost, to be told.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, dataset: "rasterio.DatasetReader", path: Path, links: ExitStack) -> None:
        """Take an open dataset of a file.

        Args:
            dataset: it.
            path: of the file.
            links: what is kept alive as long as the dataset is read.

        Raises:
            ImageError: it holds what 8-bit RGB or grey cannot.
        """
        from rasterio.enums import MaskFlags

        tags, num_others = _tags(path)
        self._dataset = dataset
        self._path = path
        self._links = links
        self._bands = bands = bands_of(dataset)
        self._chunk = chunk_of(dataset)
        flags = dataset.mask_flag_enums[bands.colours[0] - 1]
        self._has_mask = has_mask(dataset)
        self._nodata = dataset.nodata if MaskFlags.nodata in flags else None
        self._premultiplied = _PREMULTIPLIED in np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0))
        self._transparent = self._has_mask or self._nodata is not None or bands.alpha is not None
        self._background: tuple[int, int, int] | None = None
        self._filled = False
        self.metadata, notes = _metadata(dataset, grey=self.ndim == 2)
        if lost := list(tag_names(tags, _LOST_BY_GDAL)):
            notes.append(listed(lost))
        if (space := tags.get(_PHOTOMETRIC)) in _SPACES:
            if _EXTRA_SAMPLES in tags or dataset.colorinterp[0].name != "red":
                what = "with alpha, or of more than 8 bits,"  # GDAL drops alpha
                raise ImageError(f"{_SPACES[space]} {what} is not handled")
            notes.append(f"{_SPACES[space]} colours were converted by GDAL: they are a guess")
        notes += palette_notes(tags) + reference_notes(tags)
        if tags.get(_ORIENTATION, 1) != 1:
            notes.append("without its orientation, which GDAL does not heed")
        told = self._has_mask or any(dataset.overviews(band) for band in bands.colours)
        notes += [] if told else others_left_out(num_others)
        lost_at_once = filter(None, [left_out(dataset), epoch_left_out(tags)])
        self.notes = (*bands.notes, *lost_at_once, *notes)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3), or (H, W) of a grey picture."""
        size = (self._dataset.height, self._dataset.width)
        grey = len(self._bands.colours) == self._bands.table.ndim == 1
        return size if grey and stays_grey(self._background) else (*size, 3)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def has_nodata(self) -> bool:
        """Whether a value of its samples means that nothing is there."""
        return self._nodata is not None

    @property
    def is_placed(self) -> bool:
        """Whether there is a georeference."""
        return self._chunk is not None

    def flattened(self, colour: tuple[int, int, int] | None) -> "Raster":
        """Return it without alpha: laid over a colour, or as if all were opaque."""
        found = copy(self)
        found._background = colour if self._transparent else None
        found._transparent = found._background is not None
        if found.ndim > self.ndim and self.metadata.icc is not None:
            found.metadata = replace(self.metadata, icc=None)  # that was one of grey
            found.notes = (*self.notes, MISFIT)
        return found

    def keeping(self, kinds: Collection[str]) -> "Raster":
        """Return it with these kinds of metadata."""
        found = copy(self)
        found.metadata = self.metadata.only(kinds)
        return found

    def coded(self) -> "Raster":
        """Return what is read as the pixels that are worth their bits, see `Picture.coded`."""
        found = copy(self)
        found._filled = True
        return found

    def picture(self) -> Picture:
        """Return all of it as a picture, which has no georeference."""
        alpha = alpha_of(self.chunks(), *self.shape[:2])
        lost = ("without its georeference",) if self._chunk is not None else ()
        return Picture(self[:, :], alpha, self.metadata, (*self.notes, *lost))

    def chunks(self) -> list[Chunk]:
        """Return as chunks of a file what is not pixels; alpha is read through for it."""
        found = self.metadata.chunks()
        if self._chunk is not None:
            found.insert(0, self._chunk)
        if self._transparent and self._background is None:
            alpha = self._alpha_png()
            found = [(ALPHA_CHUNK, alpha), *found] if alpha is not None else found
        return found

    @stage("read")
    def __getitem__(self, window: _Window) -> ByteArray:
        """Read rows and columns, two slices without steps: uint8 (h, w, 3) or (h, w)."""
        with telling(self._path):
            return self._pixels(*self._read(window))

    def _pixels(self, raw: NDArray[Any], mask: ByteArray | None) -> ByteArray:
        """Return the pixels of what `_read` gives."""
        colours = raw[: len(self._bands.colours)]
        pixels: ByteArray = self._bands.table.take(colours, 0, mode="clip")
        pixels = pixels[0] if len(colours) == 1 else np.moveaxis(pixels, 0, -1)
        alpha = self._alpha(raw, mask) if self._transparent else None
        negative = (colours < 0).any(0)
        if alpha is not None:
            negative &= alpha > 0
            if self._premultiplied:
                share = alpha if pixels.ndim == 2 else alpha[..., None]
                pixels = unmultiplied(pixels, share, 255)
            pixels = self._seen(pixels, alpha)
        if negative.any():
            raise ImageError(f"samples below 0: choose how they become 8 bits, like {TO_BYTES}")
        return np.ascontiguousarray(pixels)

    def _seen(self, pixels: ByteArray, alpha: ByteArray) -> ByteArray:
        """Return pixels over the background; without one, filled where nobody sees them."""
        if self._background is not None:
            pixels = composed(pixels, alpha, self._background)
            return pixels if pixels.ndim == self.ndim else as_colour(pixels)
        if not self._filled:
            return pixels
        return fill_invisible(pixels, alpha) if alpha.any() else np.full_like(pixels, _HIDDEN)

    def _read(self, window: _Window) -> tuple[NDArray[Any], ByteArray | None]:
        """Read the bands of colours, that of alpha behind them, (bands, h, w); and the mask."""
        rows, columns = (s.indices(n) for s, n in zip(window, self.shape[:2], strict=True))
        part = ((rows[0], rows[1]), (columns[0], columns[1]))
        wanted = [*self._bands.colours]
        if self._bands.alpha is not None:
            wanted.append(self._bands.alpha)
        mask = self._dataset.read_masks(wanted[0], window=part) if self._has_mask else None
        return self._dataset.read(wanted, window=part), mask

    def _alpha(self, raw: NDArray[Any], mask: ByteArray | None) -> ByteArray:
        """Return the alpha of what `_read` gives, uint8 (h, w): one reason hides a pixel."""
        planes = [] if mask is None else [mask]
        if self._bands.alpha is not None:
            planes.append(self._bands.alpha_table.take(raw[-1], mode="clip"))
        if self._nodata is not None:
            visible = (raw[: len(self._bands.colours)] != self._nodata).any(0)
            planes.append(np.where(visible, np.uint8(255), np.uint8(0)))
        found: ByteArray = np.minimum.reduce(planes)
        return found

    @stage("read")
    def _alpha_png(self) -> bytes | None:
        """Return all alpha as a grey PNG file, made piece by piece; None: all is opaque."""
        height, width = self.shape[:2]
        png = GreyPng(height, width)
        opaque = True
        with telling(self._path):
            for top in range(0, height, _STRIP):
                alpha = self._alpha(*self._read((slice(top, top + _STRIP), slice(None))))
                opaque = opaque and bool(alpha.min() == 255)
                png.take(alpha)
        return None if opaque else png.finish()


def has_mask(dataset: "rasterio.DatasetReader") -> bool:
    """Whether there is a mask of the whole picture, besides its bands."""
    from rasterio.enums import MaskFlags

    return any(
        MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        for flags in dataset.mask_flag_enums
    )


@contextmanager
def telling(name: str | Path) -> Iterator[None]:
    """Put the name before refusals; GDAL, too, speaks through them and not to the user."""
    import rasterio
    from rasterio._err import CPLE_BaseError  # where rasterio lets GDAL's own errors through

    try:
        with rasterio.Env():
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except (rasterio.errors.RasterioError, CPLE_BaseError, UnicodeError) as error:
        raise ImageError(f"{name}: {line_of(error.__cause__ or error)}") from error


def line_of(error: BaseException) -> str:
    """Return one line for what rasterio reports."""
    return " ".join(str(error).split())[:200]


def _tags(path: Path) -> tuple[dict[int, Any], int]:
    """Return the tags of a TIFF file but those of which GDAL speaks, and how many more pictures.

    None is a value of no use.
    """
    with unlimited(), refusing(), open(path, "rb") as file:
        found = directories(file)
        first = next(found)
        named = first.keys() - _TOLD_BY_GDAL
        tags = {tag: first[tag] if tag in _HEEDED else None for tag in named}
        return tags, num_inside(first) + sum(1 for _ in islice(found, _MOST_OTHERS))


def _metadata(dataset: "rasterio.DatasetReader", grey: bool) -> tuple[Metadata, list[str]]:
    """Return metadata, and notes; `grey` says whether the pixels are."""
    notes = []
    icc, profile = None, dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE")
    if profile is not None:
        with suppress(ValueError):
            icc = base64.b64decode(profile)
        if icc is None or not fits(icc, grey):
            icc = None
            notes.append(MISFIT)
    xmp = dataset.tags(ns="xml:XMP").get("xml:XMP")
    return Metadata(icc=icc, xmp=None if xmp is None else xmp.encode()), notes

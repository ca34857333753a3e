"""`Picture` -> picture files, by the suffix of their name."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from imgcodec.errors import ImageError
from imgcodec.files import check_free, remove, replacing, write_bytes
from imgcodec.format.exif import density, proportion, tiff_part
from imgcodec.format.metadata import Metadata
from imgcodec.format.xmp import PNG_KEYWORD
from imgcodec.pictures.arrays import ByteArray
from imgcodec.pictures.headers.tiff_tags import XMP, add_exif, has_place, lost_tags
from imgcodec.pictures.picture import Canvas, Picture, to_pil
from imgcodec.pictures.pillow_guard import refusing
from imgcodec.pictures.png import chunk
from imgcodec.pictures.profiles import fits
from imgcodec.runtime.stopwatch import stage

TakeRows = Callable[[ByteArray], None]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")  # read and written
_SAVE: dict[str, dict[str, Any]] = {  # by Pillow's names: what it would not do by itself
    "JPEG": {"quality": 95, "subsampling": 0},  # loses something by nature, so as good as it gets
    "PNG": {"compress_level": 4},  # drawings; two fifths of the time of 6
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True, "exact": True},  # also where nobody sees it
}
# Photographs repeat nothing but runs: those alone are found in half the time, and files are 2 %
# smaller to 1 % larger. Drawings take less than so many bits a sample.
_RUNS = {"compress_type": zlib.Z_RLE}
_LEAST_BITS = 2.5
_MOST_SIDE = {"JPEG": 65500, "WEBP": 16383}  # px; libjpeg's is less than the format's
_WITH_ALPHA = ("PNG", "TIFF", "WEBP")
_WITH_METADATA = ("PNG", "TIFF", "WEBP", "JPEG")
_WITH_DENSITY = ("PNG", "JPEG", "BMP")  # of their own; TIFF has that of EXIF
_MOST_DOTS = 65535
_PNG_HEAD = 33  # bytes before the first chunk that may be any
_JFIF_UNIT = 13  # where it stands in JPEG files, before the densities
_JPEG_BYTES = {"icc": 255 * 65519, "exif": 65527, "xmp": 65504}  # most, in its segments
_MOST_TAGS = 4  # that are named
REST = ".aux.xml"  # of GDAL: after the name of a file, what its format has no place for


def check_target(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a picture file that `write_image` could not write, before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: suffix {suffix!r} is not one of {' '.join(SUFFIXES)}")
    if (real := Path(os.path.realpath(path))).suffix.lower() == ".aic":
        raise ImageError(f"{path}: leads to {real}, which is no picture file")
    check_free(path, force)
    for rest in rests(path):
        if os.path.lexists(rest):  # it would be taken for a part of the new picture
            check_free(rest, force)


def rests(path: str | os.PathLike[str]) -> list[Path]:
    """Return where GDAL keeps what a TIFF file has no place for, as some georeferences.

    It looks beside the name by which a file is opened: that of a link, and its own.
    """
    if _format(path) != "TIFF":
        return []
    names = [os.fspath(path)]
    if os.path.islink(path):
        names.append(os.path.realpath(path))
    return [Path(f"{name}{REST}") for name in names]


def drop_rests(path: str | os.PathLike[str]) -> None:
    """Remove what an older file of this name had no place for."""
    for rest in rests(path):
        remove(rest)


def holds_alpha(path: str | os.PathLike[str]) -> bool:
    """Whether files of this suffix can be transparent."""
    return _format(path) in _WITH_ALPHA


def left_out(
    path: str | os.PathLike[str], metadata: Metadata, georeference: bytes | None = None
) -> list[str]:
    """Name what `write_image` cannot put into a file of this suffix, and why."""
    found = {kind: kind + why for kind, why in _refused(_format(path), metadata)}
    if _format(path) == "TIFF" and metadata.exif is not None and "exif" not in found:
        if tags := lost_tags(metadata.exif):
            found["exif"] = f"EXIF's tags {' '.join(map(str, tags[:_MOST_TAGS]))}"
            found["exif"] += " and others" * (len(tags) > _MOST_TAGS)
    return [*found.values(), *["georeference"] * (georeference is not None)]


@stage("write")
def write_image(
    path: str | os.PathLike[str], image: ByteArray | Picture, force: bool = False
) -> None:
    """Write a picture, or uint8 (H, W, 3) or (H, W), in the format that the suffix names.

    Metadata are left out where the format has no place for them; alpha is refused there.
    """
    check_target(path, force)
    picture = image if isinstance(image, Picture) else Picture(image)
    name = _format(path)
    if picture.alpha is not None and name not in _WITH_ALPHA:
        raise ImageError(f"{path}: {name} files cannot be transparent")
    try:
        _check_sides(name, *picture.shape[:2])
        with refusing():
            options = _SAVE.get(name, {}) | _metadata_options(name, picture.metadata)
            exif = _kept(name, picture.metadata).exif
            data = _saved(to_pil(picture), name, options, exif)
        data = _with_proportion(data, name, picture.metadata)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    write_bytes(path, data, force)
    if force:
        drop_rests(path)


def _saved(
    image: Image.Image, name: str, options: dict[str, Any], exif: bytes | None = None
) -> bytes:
    """Return a picture file, in the way that suits the picture.

    Args:
        image: of Pillow.
        name: of the format.
        options: of Pillow's, with metadata.
        exif: what a TIFF file tells, which Pillow would write otherwise, and not compressed.
    """
    if name != "PNG":
        return _saved_as(image, name, options, exif)
    runs = _saved_as(image, name, options | _RUNS)
    samples = image.width * image.height * len(image.getbands())
    if 8 * len(runs) >= _LEAST_BITS * samples:
        return runs
    return min(runs, _saved_as(image, name, options), key=len)


def _saved_as(
    image: Image.Image, name: str, options: dict[str, Any], exif: bytes | None = None
) -> bytes:
    buffer = io.BytesIO()  # libtiff would speak to the user about a full disk
    image.save(buffer, name, **options)
    if name == "TIFF" and exif is not None:
        add_exif(buffer, exif)
    return buffer.getvalue()


@contextmanager
def writing(
    path: str | os.PathLike[str],
    height: int,
    width: int,
    channels: int,
    force: bool = False,
    alpha: ByteArray | None = None,
    metadata: Metadata | None = None,
    background: tuple[int, int, int] | None = None,
) -> Iterator[TakeRows]:
    """Write a picture in the format that the suffix names, from rows that come one after another.

    Yields what takes the next rows, uint8 (h, width, 3), of which a picture of one channel keeps
    the first. A .ppm file is written as they come; of the others, all pixels are held until the
    end. Nothing is left behind, and nothing replaced, where the block is left by an exception.

    Args:
        path: of the file.
        height: rows in all.
        width: pixels of a row.
        channels: 1 or 3.
        force: whether an existing file is replaced.
        alpha: uint8 (height, width), None where all is opaque.
        metadata: to be written where the format has a place for them.
        background: the colour that shows through, None to keep the alpha channel.
    """
    check_target(path, force)
    if _format(path) == "PPM" and alpha is None:
        with replacing(path, force) as temporary, open(temporary, "wb") as file:
            file.write(b"P%d\n%d %d\n255\n" % (6 if channels == 3 else 5, width, height))
            yield lambda rows: _append(file, rows if channels == 3 else rows[..., 0])
        return
    canvas = Canvas(height, width, channels)
    yield canvas.take
    if canvas.pixels is not None:
        picture = Picture(canvas.pixels, alpha, metadata or Metadata())
        write_image(path, picture if background is None else picture.flattened(background), force)


def empty_jpeg(picture: Picture, table: NDArray[np.int64]) -> bytes:
    """Return a progressive JPEG file of the size and with the metadata of a picture, all black.

    Its colours have a quarter of the resolution.

    Args:
        picture: opaque; metadata that JPEG files cannot have are left out.
        table: int64 (64,) steps of the quantiser of all components, row by row.

    Raises:
        ImageError: a side is longer than JPEG files have it.
    """
    height, width = picture.shape[:2]
    _check_sides("JPEG", height, width)
    options = _metadata_options("JPEG", picture.metadata)
    if picture.pixels.ndim == 2:
        mode = "L"
    else:
        mode, options["subsampling"] = "RGB", "4:2:0"
    buffer = io.BytesIO()
    with refusing():
        empty = Image.new(mode, (width, height))
        empty.save(buffer, "JPEG", progressive=True, qtables=[table.tolist()], **options)
    return _with_proportion(buffer.getvalue(), "JPEG", picture.metadata)


def _refused(name: str, metadata: Metadata) -> Iterator[tuple[str, str]]:
    """Yield the kinds of metadata that a format of Pillow's cannot hold, each with the reason."""
    for kind in metadata.kinds:
        data = getattr(metadata, kind)
        if name not in _WITH_METADATA:
            yield kind, ""
        elif name == "JPEG" and len(data) > _JPEG_BYTES[kind]:
            yield kind, f" ({len(data)} bytes, at most {_JPEG_BYTES[kind]} fit into a JPEG file)"
        elif kind == "exif" and tiff_part(data) != data:
            yield kind, " (no TIFF structure)"
        elif kind == "exif" and name == "TIFF" and not has_place(data):
            yield kind, " (nothing that TIFF files have a place for)"
        elif kind == "icc" and name == "WEBP" and fits(data, grey=True):
            yield kind, " (of grey, WebP files have colours)"
        elif kind == "xmp" and name == "PNG" and not _is_utf8(data):
            yield kind, " (no UTF-8, which PNG files want)"


def _kept(name: str, metadata: Metadata) -> Metadata:
    """Return what of metadata a format of Pillow's can hold."""
    return metadata.only(set(metadata.kinds) - {kind for kind, _ in _refused(name, metadata)})


def _check_sides(name: str, height: int, width: int) -> None:
    """Refuse a picture that is larger than files of a format of Pillow's are."""
    most = _MOST_SIDE.get(name)
    if most is not None and max(height, width) > most:
        raise ImageError(f"{width}x{height} pixels, {name} files have at most {most} a side")


def _is_utf8(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def _metadata_options(name: str, metadata: Metadata) -> dict[str, Any]:
    """Return how Pillow is told to write into a file what its format can hold of metadata."""
    options = _density_options(name, metadata)
    metadata = _kept(name, metadata)
    if metadata.icc is not None:
        options["icc_profile"] = metadata.icc
    if name == "TIFF":  # has XMP among its own tags, as EXIF, which `add_exif` writes
        if metadata.xmp is not None:
            options["exif"] = Image.Exif()
            options["exif"][XMP] = metadata.xmp
        return options
    if metadata.exif is not None:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp is not None and name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt(PNG_KEYWORD, metadata.xmp.decode())
    elif metadata.xmp is not None:
        options["xmp"] = metadata.xmp
    return options


def _density_options(name: str, metadata: Metadata) -> dict[str, Any]:
    """Return how Pillow is told of the density that EXIF data tell, where a format has its own."""
    told = None if metadata.exif is None else density(metadata.exif)
    if told is None or name not in _WITH_DENSITY or not 1 <= min(told) <= max(told) <= _MOST_DOTS:
        return {}
    return {"dpi": told}


def _with_proportion(data: bytes, name: str, metadata: Metadata) -> bytes:
    """Return a file that tells in its own way of pixels that are not square.

    That is where EXIF data tell in what proportion dots lie across and down, and no density;
    Pillow does not write it.
    """
    told = None
    if metadata.exif is not None and density(metadata.exif) is None:
        told = proportion(metadata.exif)
    across, down = Fraction(told or 1).limit_denominator(_MOST_DOTS).as_integer_ratio()
    if across == down or not 1 <= across <= _MOST_DOTS:
        return data
    if name == "PNG":
        shape = chunk(b"pHYs", struct.pack(">IIB", across, down, 0))
        return data[:_PNG_HEAD] + shape + data[_PNG_HEAD:]
    if name == "JPEG":
        return data[:_JFIF_UNIT] + struct.pack(">BHH", 0, across, down) + data[_JFIF_UNIT + 5 :]
    return data


def _format(path: str | os.PathLike[str]) -> str:
    """Return Pillow's name of the format that a suffix names."""
    return Image.registered_extensions().get(Path(path).suffix.lower(), "")


@stage("write")
def _append(file: IO[bytes], rows: ByteArray) -> None:
    file.write(np.ascontiguousarray(rows).data)

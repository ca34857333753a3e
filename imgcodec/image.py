"""Pictures between files and uint8 arrays; what is not kept is said, never dropped in silence."""

import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, PngImagePlugin, UnidentifiedImageError

from imgcodec.container import Chunk
from imgcodec.errors import AicError, FormatError, ImageError
from imgcodec.files import check_free, reason, replacing, write_bytes
from imgcodec.metadata import Metadata, bare_exif
from imgcodec.modes import composed, fill_invisible, is_deep, samples
from imgcodec.roi import DEFAULT_WEIGHT, Roi
from imgcodec.stopwatch import stage
from imgcodec.tiles import Box

ByteArray = NDArray[np.uint8]
TakeRows = Callable[[ByteArray], None]

MAX_SIDE = 65535  # pixels, as in the container
MAX_PIXELS = 2**30
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")  # read and written
ALPHA_CHUNK = b"alpH"  # a grey PNG file of the picture's size
_SAVE: dict[str, dict[str, Any]] = {  # by Pillow's names: what it would not do by itself
    "JPEG": {"quality": 95, "subsampling": 0},  # loses something by nature, so as good as it gets
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
}
_WITH_ALPHA = ("PNG", "TIFF", "WEBP")
_WITH_METADATA = ("PNG", "TIFF", "WEBP", "JPEG")
_TIFF_XMP = 700
_XMP_KEYWORD = "XML:com.adobe.xmp"  # of PNG
_PLUGINS = ("pillow_heif", "pillow_avif", "pillow_jxl")  # asked where Pillow alone knows no better
# Of TIFF, which has them among its own tags: what describes the picture, and where more stands.
_EXIF_TAGS = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432)
_EXIF_IFDS = (0x8769, 0x8825)  # Exif, GPS
_TURN = Image.Transpose
_TURNS = {  # by orientation; 1 is upright
    2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90,
}  # fmt: skip
# What Pillow raises on damaged files, over all its plugins.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    NotImplementedError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
PROCESS_LOCK = threading.Lock()  # Pillow's pixel limit and warning filters are the process's


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with all that is kept of it."""

    pixels: ByteArray  # (H, W, 3), or (H, W) of a grey picture
    alpha: ByteArray | None = None  # (H, W), 255 is opaque
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()  # what was lost on the way here, to be told

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3) or (H, W)."""
        return self.pixels.shape

    def flattened(self, colour: tuple[int, int, int] | None) -> "Picture":
        """Return it without alpha: laid over a colour, or as if all were opaque."""
        if self.alpha is None or colour is None:
            return replace(self, alpha=None)
        return replace(self, pixels=composed(self.pixels, self.alpha, colour), alpha=None)

    def keeping(self, kinds: Collection[str]) -> "Picture":
        """Return it with these kinds of metadata."""
        return replace(self, metadata=self.metadata.only(kinds))

    def chunks(self) -> list[Chunk]:
        """Return as chunks of a file what is not pixels."""
        found = self.metadata.chunks()
        if self.alpha is not None:
            png = io.BytesIO()
            Image.fromarray(self.alpha).save(png, "PNG", optimize=True)
            found.insert(0, (ALPHA_CHUNK, png.getvalue()))
        return found

    def coded(self) -> ByteArray:
        """Return the pixels that are worth their bits: what nobody sees is filled smoothly."""
        return self.pixels if self.alpha is None else fill_invisible(self.pixels, self.alpha)


@stage("read")
def read_picture(path: str | os.PathLike[str], strict: bool = False) -> Picture:
    """Read a picture, turned upright by its EXIF orientation.

    Args:
        path: of a file of a kind that Pillow knows, or one of its plugins for HEIC, AVIF and
            JPEG XL where they are installed.
        strict: refuse what 8-bit RGB or grey cannot hold exactly.

    Raises:
        ImageError: not a whole picture, more than one, or one with no way to 8 bits.
    """
    path = Path(path)
    with _unlimited():
        try:
            # By name, Pillow 13 maps grey TIFFs to memory and scrambles those turned by 90 degrees
            with open(path, "rb") as file, _open(file) as picture:
                return _picture(picture, path, strict)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        except _DAMAGE as error:
            raise ImageError(f"{path}: {_reason(error)}") from error


def size_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return the height and width that a file speaks of, before it is turned; None: of none."""
    with _unlimited(), suppress(ImageError, *_DAMAGE), open(path, "rb") as file:
        with _open(file) as picture:
            return picture.height, picture.width
    return None


def read_image(path: str | os.PathLike[str]) -> ByteArray:
    """Return the pixels of a picture that 8-bit RGB or grey holds exactly.

    Returns:
        uint8 (H, W, 3), or (H, W) for a grey picture.

    Raises:
        ImageError: as by `read_picture`, and where there is transparency.
    """
    picture = read_picture(path, strict=True)
    if picture.alpha is not None:
        raise ImageError(f"{path}: has transparency")
    return picture.pixels


def read_roi(
    mask: str | os.PathLike[str] | None,
    box: Sequence[int] | None,
    weight: float | None,
    shape: Sequence[int],
) -> Roi:
    """Return a region of interest of a picture.

    Args:
        mask: of a grey picture, white where errors weigh more; None: see the next.
        box: left, top, width and height, pixels.
        weight: of errors there, None for the usual one.
        shape: of the picture, (H, W) or (H, W, 3).

    Raises:
        AicError: the mask is none, has another size, or the box leaves the picture.
    """
    height, width = shape[:2]
    weight = DEFAULT_WEIGHT if weight is None else weight
    if mask is None:
        left, top, w, h = box or (0, 0, width, height)
        return Roi.box(height, width, Box(top, left, top + h, left + w), weight)
    plane = read_picture(mask).flattened((0, 0, 0)).pixels
    if plane.shape[:2] != (height, width):
        raise ImageError(
            f"{mask}: {plane.shape[1]}x{plane.shape[0]} pixels, the picture has {width}x{height}"
        )
    return Roi.mask(plane if plane.ndim == 2 else plane.max(2), weight)


def from_pil(picture: Image.Image) -> Picture:
    """Return a PIL image under the same rules as `read_picture`."""
    try:
        return _picture(picture, None, False)
    except _DAMAGE as error:  # an opened file is read only now
        raise ImageError(_reason(error)) from error


def alpha_of(chunks: Sequence[Chunk], height: int, width: int) -> ByteArray | None:
    """Return the alpha channel among the chunks of a file, uint8 (height, width), or None.

    Raises:
        FormatError: it cannot be read, or has another size.
    """
    data = dict(chunks).get(ALPHA_CHUNK)
    if data is None:
        return None
    with _unlimited():
        try:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as png:
                if png.mode != "L" or png.size != (width, height):
                    raise FormatError(
                        f"alpha channel of {png.size[0]}x{png.size[1]} {png.mode},"
                        f" the picture has {width}x{height}"
                    )
                return np.array(png)
        except _DAMAGE as error:
            raise FormatError(f"the alpha channel cannot be read: {_reason(error)}") from error


def colour(name: str) -> tuple[int, int, int]:
    """Return the colour of a name like "white" or "#ff8000"; AicError for what is none."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise AicError(f"{name!r} is not the name of a colour, nor #rrggbb") from error
    return red, green, blue


def check_target(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a picture file that `write_image` could not write, before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: suffix {suffix!r} is not one of {' '.join(SUFFIXES)}")
    check_free(path, force)


def holds_alpha(path: str | os.PathLike[str]) -> bool:
    """Whether files of this suffix can be transparent."""
    return _format(path) in _WITH_ALPHA


def holds_metadata(path: str | os.PathLike[str]) -> bool:
    """Whether files of this suffix can have a colour profile, EXIF and XMP."""
    return _format(path) in _WITH_METADATA


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
    buffer = io.BytesIO()  # libtiff would speak to the user about a full disk
    try:
        options = _SAVE.get(name, {}) | _metadata_options(name, picture.metadata)
        to_pil(picture).save(buffer, name, **options)
    except (OSError, ValueError, struct.error) as error:  # each format has its own largest size
        raise ImageError(f"{path}: {_reason(error)}") from error
    write_bytes(path, buffer.getbuffer(), force)


def to_pil(picture: Picture) -> Image.Image:
    """Return the samples of a picture as a PIL image of mode L, LA, RGB or RGBA."""
    found = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        found.putalpha(Image.fromarray(picture.alpha))
    return found


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


def as_colour(pixels: ByteArray) -> ByteArray:
    """Return (H, W) or (H, W, 3) as (H, W, 3), without a copy."""
    if pixels.ndim == 3:
        return pixels
    return np.broadcast_to(pixels[..., None], (*pixels.shape, 3))


def pad(image: ByteArray, multiple: int) -> ByteArray:
    """Repeat the last row and column until both sides are multiples."""
    bottom, right = (-side % multiple for side in image.shape[:2])
    return np.pad(image, [(0, bottom), (0, right)] + [(0, 0)] * (image.ndim - 2), mode="edge")


def crop(image: ByteArray, height: int, width: int) -> ByteArray:
    """Undo `pad`."""
    return image[:height, :width]


@contextmanager
def _unlimited() -> Iterator[None]:
    """Put Pillow's limit of pixels out of force, ours is checked; and its warnings."""
    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that nobody reads here
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open(file: IO[bytes]) -> Image.Image:
    """Open a picture, with the help of a plugin if need be."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        for name in _PLUGINS:
            with suppress(ImportError):
                plugin = import_module(name)  # which registers itself, or wants to be asked
                getattr(plugin, "register_heif_opener", lambda: None)()
        file.seek(0)
        return Image.open(file)


def _picture(picture: Image.Image, path: Path | None, strict: bool) -> Picture:
    """Return a picture upright, or refuse it; nothing is read before the checks."""
    width, height = picture.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"{width}x{height} pixels, limits are {MAX_SIDE} a side, {MAX_PIXELS} in all"
        )
    if picture.format in ("EPS", "WMF"):  # Pillow would start another program to render them
        raise ImageError(f"{picture.format} drawings are not handled")
    num_frames = getattr(picture, "n_frames", 1)
    if num_frames > 1 and picture.format != "MPO":  # a telephone's, whose first one is the picture
        raise ImageError(
            f"holds {num_frames} pictures (animation or pages), save the one that is meant"
        )
    deep = is_deep(picture, path)
    if deep and strict:
        raise ImageError("has more than 8 bits a sample")
    picture.load()
    found = samples(picture)
    if strict and found.notes:
        raise ImageError(found.notes[0])
    notes = ("more than 8 bits a sample were reduced to 8",) * deep + found.notes
    metadata = Metadata(found.icc, _exif(picture), _xmp(picture))
    pixels, alpha = found.pixels, found.alpha
    if (turn := _TURNS.get(_orientation(picture))) is not None:
        pixels = _turned(pixels, turn)
        alpha = None if alpha is None else _turned(alpha, turn)
    return Picture(pixels, alpha, metadata.upright(), notes)


def _turned(plane: ByteArray, turn: Image.Transpose) -> ByteArray:
    return np.array(Image.fromarray(plane).transpose(turn))


def _exif(picture: Image.Image) -> bytes | None:
    """Return a picture's EXIF data."""
    data = picture.info.get("exif")
    if isinstance(data, bytes):
        return bare_exif(data) or None
    if picture.format != "TIFF":
        return None
    kept = Image.Exif()
    try:
        found = picture.getexif()
        kept.update({tag: found[tag] for tag in _EXIF_TAGS if tag in found})
        for ifd in _EXIF_IFDS:
            if entries := found.get_ifd(ifd):
                kept[ifd] = dict(entries)
        return bare_exif(kept.tobytes()) if len(kept) else None
    except _DAMAGE:
        return None


def _xmp(picture: Image.Image) -> bytes | None:
    data = picture.info.get("xmp")
    if isinstance(data, str):
        data = data.encode()
    return data or None


def _metadata_options(name: str, metadata: Metadata) -> dict[str, Any]:
    """Return how Pillow is told to write metadata into a file of a format."""
    if name not in _WITH_METADATA:
        return {}
    options: dict[str, Any] = {}
    if metadata.icc is not None:
        options["icc_profile"] = metadata.icc
    exif = None if metadata.exif is None else b"Exif\0\0" + metadata.exif
    if name == "TIFF":  # has EXIF and XMP among its own tags
        options["exif"] = Image.Exif()
        options["exif"].load(exif or b"")
        if metadata.xmp is not None:
            options["exif"][_TIFF_XMP] = metadata.xmp
        if exif is not None:  # libtiff, which compresses, cannot write the directories inside
            options["compression"] = None
        return options
    if metadata.exif is not None:
        options["exif"] = metadata.exif if name == "WEBP" else exif
    if metadata.xmp is not None and name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt(_XMP_KEYWORD, metadata.xmp.decode("utf-8", "replace"))
    elif metadata.xmp is not None:
        options["xmp"] = metadata.xmp
    return options


def _format(path: str | os.PathLike[str]) -> str:
    """Return Pillow's name of the format that a suffix names."""
    return Image.registered_extensions().get(Path(path).suffix.lower(), "")


@stage("write")
def _append(file: IO[bytes], rows: ByteArray) -> None:
    file.write(np.ascontiguousarray(rows).data)


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it is damaged."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except _DAMAGE:
        return 1


def _reason(error: BaseException) -> str:
    """Return one line for what the system or Pillow reports."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known kind"
    return reason(error)

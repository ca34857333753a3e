"""Pictures between files and uint8 arrays; what cannot be kept is refused, never dropped."""

import io
import os
import re
import secrets
import shutil
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imgcodec.errors import AicError, ImageError

ByteArray = NDArray[np.uint8]
TakeRows = Callable[[ByteArray], None]

MAX_SIDE = 65535  # pixels, as in the container
MAX_PIXELS = 2**30
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")  # read and written
_SAVE: dict[str, dict[str, Any]] = {  # by Pillow's names: what it would not do by itself
    "JPEG": {"quality": 95, "subsampling": 0},  # loses something by nature, so as good as it gets
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
}
_EXACT = {"P": "RGB", "1": "L"}  # modes that lose nothing on the way to another
_DEEP_RAW = re.compile(r";16[BLN]|SGI16")  # Pillow's raw modes of 16 bits, which it cuts to 8
_DEEP_HEADER = {  # AVIF: flag high_bitdepth of av1C; JPEG 2000: bits of the first channel, less 1
    "AVIF": re.compile(rb"av1C..[\x40-\x7f\xc0-\xff]", re.DOTALL),
    "JPEG2000": re.compile(rb"\xff\x4f\xff\x51.{38}[^\0-\x07\x80-\x87]", re.DOTALL),
}
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
_LOCK = threading.Lock()  # Pillow's pixel limit and the warning filters belong to the process


def read_image(path: str | os.PathLike[str]) -> ByteArray:
    """Read a picture, turned upright by its EXIF orientation.

    Returns:
        uint8 (H, W, 3), or (H, W) for a grey picture.

    Raises:
        ImageError: not a whole picture, or one that 8-bit RGB or grey cannot hold exactly.
    """
    path = Path(path)
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that nobody reads here
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # _pixels checks ours
        try:
            # By name, Pillow 13 maps grey TIFFs to memory and scrambles those turned by 90 degrees
            with open(path, "rb") as file, Image.open(file) as picture:
                _check_depth(picture, path)
                return _pixels(picture)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        except _DAMAGE as error:
            raise ImageError(f"{path}: {_reason(error)}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def from_pil(picture: Image.Image) -> ByteArray:
    """Return the pixels of a PIL image under the same rules as `read_image`."""
    try:
        return _pixels(picture)
    except _DAMAGE as error:  # an opened file is read only now
        raise ImageError(_reason(error)) from error


def check_target(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a picture file that `write_image` could not write, before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: suffix {suffix!r} is not one of {' '.join(SUFFIXES)}")
    check_free(path, force)


def check_free(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse a path that `write_bytes` could not write, as far as that can be known before."""
    if not os.path.isdir(Path(path).parent):  # pathlib's own raises where a folder is closed
        raise AicError(f"{path}: there is no folder {Path(path).parent}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise AicError(f"{path}: is not a regular file")
    if os.path.exists(path) and not force:
        raise AicError(f"{path}: exists, and is kept without --force")


def write_image(path: str | os.PathLike[str], image: ByteArray, force: bool = False) -> None:
    """Write uint8 (H, W, 3) or (H, W) in the format that the suffix names."""
    check_target(path, force)
    name = Image.registered_extensions()[Path(path).suffix.lower()]
    buffer = io.BytesIO()  # libtiff would speak to the user about a full disk
    try:
        Image.fromarray(image).save(buffer, name, **_SAVE.get(name, {}))
    except (OSError, ValueError, struct.error) as error:  # each format has its own largest size
        raise ImageError(f"{path}: {_reason(error)}") from error
    write_bytes(path, buffer.getbuffer(), force)


@contextmanager
def writing(
    path: str | os.PathLike[str], height: int, width: int, channels: int, force: bool = False
) -> Iterator[TakeRows]:
    """Write a picture in the format that the suffix names, from rows that come one after another.

    Yields what takes the next rows, uint8 (h, width, 3), of which a picture of one channel keeps
    the first. A .ppm file is written as they come; of the others, all pixels are held until the
    end. Nothing is left behind, and nothing replaced, where the block is left by an exception.
    """
    check_target(path, force)
    if Path(path).suffix.lower() == ".ppm":
        with replacing(path, force) as temporary, open(temporary, "wb") as file:
            file.write(b"P%d\n%d %d\n255\n" % (6 if channels == 3 else 5, width, height))
            yield lambda rows: _append(file, rows if channels == 3 else rows[..., 0])
        return
    canvas = Canvas(height, width, channels)
    yield canvas.take
    if canvas.pixels is not None:
        write_image(path, canvas.pixels, force)


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


def write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, force: bool = False
) -> None:
    """Write a file whole or not at all; an existing one is kept unless `force`."""
    with replacing(path, force) as temporary, open(temporary, "wb") as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str], force: bool = False) -> Iterator[Path]:
    """Yield an empty file beside `path` that takes its place when the block is left.

    By an exception, it is removed, and whatever was there before stays.

    Raises:
        AicError: the file cannot be written, or one exists and `force` is not given.
    """
    check_free(path, force)
    target = os.path.realpath(path)  # through a link, not over it
    temporary = Path(target).with_name(f".aic-{secrets.token_hex(8)}.tmp")
    try:
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            check_free(path, force)  # somebody may have been faster
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)  # gone already where all went well
    except OSError as error:
        raise AicError(f"{path}: {_reason(error)}") from error


def pad(image: ByteArray, multiple: int) -> ByteArray:
    """Repeat the last row and column until both sides are multiples."""
    bottom, right = (-side % multiple for side in image.shape[:2])
    return np.pad(image, [(0, bottom), (0, right)] + [(0, 0)] * (image.ndim - 2), mode="edge")


def crop(image: ByteArray, height: int, width: int) -> ByteArray:
    """Undo `pad`."""
    return image[:height, :width]


def _pixels(picture: Image.Image) -> ByteArray:
    """Return uint8 (H, W, 3) or (H, W), or refuse; nothing is read before the checks."""
    width, height = picture.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"{width}x{height} pixels, limits are {MAX_SIDE} a side, {MAX_PIXELS} in all"
        )
    if picture.format in ("EPS", "WMF"):  # Pillow would start another program to render them
        raise ImageError(f"{picture.format} drawings are not handled")
    num_frames = getattr(picture, "n_frames", 1)
    if num_frames > 1:
        raise ImageError(f"holds {num_frames} pictures (animation or pages), only 1 is handled")
    if picture.has_transparency_data:
        raise ImageError("has transparency, which is not handled yet")
    if picture.mode not in ("RGB", "L", *_EXACT):
        raise ImageError(f"mode {picture.mode}, only 8-bit RGB and grey are handled yet")
    picture.load()
    if (turn := _TURNS.get(_orientation(picture))) is not None:
        picture = picture.transpose(turn)
    if picture.mode in _EXACT:
        picture = picture.convert(_EXACT[picture.mode])
    return np.array(picture, dtype=np.uint8)


def _append(file: IO[bytes], rows: ByteArray) -> None:
    file.write(np.ascontiguousarray(rows).data)


def _check_depth(picture: Image.Image, path: Path) -> None:
    """Refuse the files whose samples Pillow would cut to 8 bits without a word."""
    tiles: list[tuple[Any, ...]] = getattr(picture, "tile", [])  # what the decoders will be told
    deep = _DEEP_RAW.search(str(tiles[:1])) is not None
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(258, 1)  # type: ignore[attr-defined]  # BitsPerSample
        deep |= int(np.max(bits)) > 8
    elif picture.format == "PPM":
        args = tiles[0][3]  # "RGB", or ("RGB", largest sample)
        deep |= isinstance(args, tuple) and args[-1] > 255
    elif picture.format in _DEEP_HEADER:
        deep |= _DEEP_HEADER[picture.format].search(path.read_bytes()) is not None
    if deep:
        raise ImageError("has more than 8 bits a sample, which is not handled yet")


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
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()).rstrip(".")
    text = text or f"cannot be read ({type(error).__name__})"
    return text[:1].lower() + text[1:]

"""Pillow reads and writes .aic files once `register` was called.

    import imgcodec
    from PIL import Image

    imgcodec.register()
    Image.open("in.aic").save("out.png")
    Image.open("in.png").save("out.aic", rate=0.5)

Opening reads the header; torch is loaded, and the picture decoded, when pixels are asked for.
`save` takes what `Codec.encode` does but roi, and besides tune, icc_profile, exif, xmp and dpi;
the last four are those of the image where nothing else is given.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from imgcodec.errors import AicError, ImageError, warn_of
from imgcodec.format import container, packed
from imgcodec.format.damaged import opened
from imgcodec.format.exif import density, of_density, with_density
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import ALPHA_CHUNK, Picture, to_pil
from imgcodec.pictures.reader import from_pil
from imgcodec.releases import DEFAULT_TUNE
from imgcodec.runtime.forks import Lock

if TYPE_CHECKING:
    from imgcodec.codec import Codec

FORMAT = "AIC"
MIME = "image/x-aic"
_WORDS = (
    "rate", "size", "quality", "psnr", "ms_ssim", "ssimulacra2", "entropy", "effort", "tile",
    "lossless",
)  # fmt: skip
_OTHERS = ("append", "save_all")  # which Pillow itself heeds
_METADATA = ("icc_profile", "exif", "xmp")
_MOST_DENSITY = 1e6  # dots per inch
_LOCK = Lock()
_codecs: dict[str, "Codec"] = {}  # by tune


def register() -> None:
    """Make `Image.open` and `Image.save` know .aic files. A second time changes nothing."""
    Image.register_decoder(FORMAT, _Decoder)
    Image.register_open(FORMAT, AicImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, ".aic")
    Image.register_mime(FORMAT, MIME)


class AicImageFile(ImageFile.ImageFile):
    """An .aic file, decoded when its pixels are needed."""

    format = FORMAT
    format_description = "aic, a learned image codec"

    def _open(self) -> None:
        data = self.fp.read() if self.fp else b""
        try:
            file = opened(data, ImageFile.LOAD_TRUNCATED_IMAGES)
        except AicError as error:
            raise SyntaxError(str(error)) from error  # so that others may try
        self._size = file.header.width, file.header.height
        transparent = any(kind == ALPHA_CHUNK for kind, _ in file.chunks)
        self._mode = ("L" if file.header.channels == 1 else "RGB") + "A" * transparent
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self._size), 0, None)]
        metadata = Metadata.of(file.chunks)
        self.info["bpp"] = file.header.bpp(len(data))
        if metadata.icc is not None:
            self.info["icc_profile"] = metadata.icc
        if metadata.exif is not None:
            self.info["exif"] = b"Exif\0\0" + metadata.exif
            if (told := density(metadata.exif)) is not None:
                self.info["dpi"] = told
        if metadata.xmp is not None:
            self.info["xmp"] = metadata.xmp

    def load_seek(self, pos: int) -> None:
        """Go to a place in the file; where this is, `ImageFile.Parser` waits for all of it."""
        if self.fp is not None:
            self.fp.seek(pos)

    def verify(self) -> None:
        """Refuse, by OSError, a file whose checksums are not all right; pixels are not decoded."""
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        self.fp.seek(0)
        with _as_oserror():
            container.unpack(self.fp.read())
        super().verify()


class _Decoder(ImageFile.PyDecoder):
    """Decodes a file whole, when Pillow asks for the pixels of its only tile."""

    _pulls_fd = True

    def decode(self, buffer: Any) -> tuple[int, int]:
        """Read the file and set the pixels; damaged ones are filled in where Pillow is told so."""
        data = self.fd.read() if self.fd else b""
        with _as_oserror():
            picture = _codec(DEFAULT_TUNE).decode_picture(data, ImageFile.LOAD_TRUNCATED_IMAGES)
        self.set_as_raw(to_pil(picture).tobytes())
        return -1, 0


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Raise refusals as what Pillow raises."""
    try:
        yield
    except AicError as error:
        raise OSError(str(error)) from error


def _codec(tune: str) -> "Codec":
    """Return the codec for files to write, made once; all of them read any file."""
    from imgcodec.codec import Codec

    with _LOCK:
        if tune not in _codecs:
            _codecs[tune] = Codec(tune=tune)
        return _codecs[tune]


def _accept(prefix: bytes) -> bool | str:
    """Whether a file begins as one of ours; of one that has no pixels, what Pillow warns of."""
    if packed.is_packed(prefix):
        return "a packed JPEG file: imgcodec.unpack or aic unpack gives it back as it was"
    return prefix[:4] == container.MAGIC


def _save_all(picture: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    others = list(picture.encoderinfo.pop("append_images", []))
    if getattr(picture, "n_frames", 1) > 1 or others:
        raise OSError("an .aic file holds one picture, not several")
    _save(picture, file, filename)


def _save(picture: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = picture.encoderinfo
    if options.get("append"):
        raise OSError("an .aic file holds one picture, none is appended")
    if unknown := options.keys() - {*_WORDS, *_METADATA, "dpi", "tune", *_OTHERS}:
        warn_of([f"save has no use for {', '.join(sorted(unknown))}"])
    given = {name: options[name] or b"" for name in _METADATA if name in options}
    words = {name: options[name] for name in _WORDS if name in options}
    with _as_oserror():
        found = from_pil(picture, given)
        if options.get("dpi"):
            found = _with_density(found, options["dpi"])
        data = _codec(options.get("tune", DEFAULT_TUNE)).encode(found, **words)
    warn_of(found.notes)
    file.write(data)


def _with_density(picture: Picture, dpi: Any) -> Picture:
    """Return a picture whose EXIF data tell dots per inch, across and down."""
    try:
        across, down = map(float, dpi)
    except (TypeError, ValueError):
        across = down = math.nan
    if not all(0 < number < _MOST_DENSITY for number in (across, down)):  # nan, too
        raise ImageError(f"dpi {dpi}, wanted two numbers, above 0 and less than {_MOST_DENSITY:g}")
    exif = picture.metadata.exif
    told = with_density(exif, across, down, True) if exif else of_density(across, down, True)
    if told is None:
        raise ImageError("dpi has no place in EXIF data that are damaged")
    return replace(picture, metadata=replace(picture.metadata, exif=told))

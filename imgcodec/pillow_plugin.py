"""Pillow reads and writes .aic files once `register` was called.

    import imgcodec
    from PIL import Image

    imgcodec.register()
    Image.open("in.aic").save("out.png")
    Image.open("in.png").save("out.aic", rate=0.5)

Opening reads the header; torch is loaded, and the picture decoded, when pixels are asked for.
What `save` takes: what `Codec.encode` does, tune, and
icc_profile, exif and xmp, of which those of the image are kept where nothing else is given.
"""

from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import ALPHA_CHUNK, to_pil

if TYPE_CHECKING:
    from imgcodec.codec import Codec

FORMAT = "AIC"
MIME = "image/x-aic"
_WORDS = ("rate", "size", "quality", "psnr", "ms_ssim", "entropy", "effort", "tile")


def register() -> None:
    """Make `Image.open` and `Image.save` know .aic files. A second time changes nothing."""
    Image.register_open(FORMAT, AicImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ".aic")
    Image.register_mime(FORMAT, MIME)


class AicImageFile(ImageFile.ImageFile):
    """An .aic file, decoded when its pixels are needed."""

    format = FORMAT
    format_description = "aic, a learned image codec"

    def _open(self) -> None:
        self._bytes: bytes | None = self.fp.read() if self.fp else b""
        try:
            file = container.File(self._bytes)
        except AicError as error:
            raise SyntaxError(str(error)) from error  # so that others may try
        self._size = file.header.width, file.header.height
        transparent = any(kind == ALPHA_CHUNK for kind, _ in file.chunks)
        self._mode = ("L" if file.header.channels == 1 else "RGB") + "A" * transparent
        metadata = Metadata.of(file.chunks)
        self.info["bpp"] = 8 * len(self._bytes) / (file.header.width * file.header.height)
        if metadata.icc is not None:
            self.info["icc_profile"] = metadata.icc
        if metadata.exif is not None:
            self.info["exif"] = b"Exif\0\0" + metadata.exif
        if metadata.xmp is not None:
            self.info["xmp"] = metadata.xmp

    def load(self) -> Any:
        """Decode, the first time."""
        if self._bytes is not None:
            try:
                picture = _codec("psnr").decode_picture(self._bytes)
            except AicError as error:
                raise OSError(str(error)) from error
            self.im = to_pil(picture).im
            self._bytes = None
        return super().load()


@lru_cache(maxsize=2)
def _codec(tune: str) -> "Codec":
    from imgcodec.codec import Codec

    return Codec(tune=tune)


def _accept(prefix: bytes) -> bool:
    return prefix[:4] == container.MAGIC


def _save(picture: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = picture.encoderinfo
    picture = picture.copy()
    for name in ("icc_profile", "exif", "xmp"):
        if name in options:
            data = options[name]
            picture.info[name] = data.tobytes() if isinstance(data, Image.Exif) else data
    words = {name: options[name] for name in _WORDS if name in options}
    try:
        data = _codec(options.get("tune", "psnr")).encode(picture, **words)
    except AicError as error:
        raise OSError(str(error)) from error
    file.write(data)

"""aic: a learned image codec for photographs.

    import imgcodec

    codec = imgcodec.Codec(device="auto")  # loads the model once
    data = codec.encode(image, rate=0.5)  # uint8 (H, W, 3) or (H, W), or a PIL image -> bytes
    image = codec.decode(data)  # -> uint8 (H, W, 3)
    imgcodec.register()  # from now on, PIL.Image opens and saves .aic files

    packed = imgcodec.pack(jpeg)  # the bytes of a JPEG file -> a smaller file, without loss
    jpeg = imgcodec.unpack(packed)

`imgcodec.encode` and `imgcodec.decode` do the same for a single picture. Importing the package
loads neither torch nor numpy; the first use does. It changes two things. Where torch is not loaded
yet, and the user has set none of GOMP_SPINCOUNT, KMP_BLOCKTIME and OMP_WAIT_POLICY, the first two
are set, so that torch's threads wait for each other in a way that leaves other programs their
cores. And a fork waits until no thread is in the midst of coding, so that the child can go on.
docs/api.md describes all that is public.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imgcodec.errors import AicError, AicWarning, FormatError, ImageError, ModelMismatchError
from imgcodec.format.container import MAX_PIXELS, as_bytes
from imgcodec.releases import DEFAULT_TUNE
from imgcodec.runtime.forks import undivided
from imgcodec.runtime.openmp import spin_shortly

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image  # noqa: TID251 - a name for the type checker only

    from imgcodec.codec import Codec
    from imgcodec.codec.results import Encoded
    from imgcodec.pictures.picture import Picture
    from imgcodec.pictures.roi import Roi

__version__ = "1.17.5"
__all__ = [
    "AicError", "AicWarning", "Codec", "Encoded", "FormatError", "ImageError",
    "ModelMismatchError", "Picture", "Roi", "__version__", "decode", "encode", "encode_jpeg",
    "pack", "register", "restore", "unpack",
]  # fmt: skip
_LAZY = {  # public names -> the modules that bring torch or numpy with them
    "Codec": "imgcodec.codec",
    "Encoded": "imgcodec.codec.results",
    "Picture": "imgcodec.pictures.picture",
    "Roi": "imgcodec.pictures.roi",
}

spin_shortly()


def encode(
    image: "NDArray[np.uint8] | Image | Picture",
    rate: float | None = None,
    entropy: str = "range",
    effort: int = 1,
    tile: int | None = None,
    *,
    tune: str = DEFAULT_TUNE,
    device: str = "auto",
    threads: int | None = None,
    **target: Any,
) -> "Encoded":
    """Return the `.aic` file of one picture; for many of them make one `Codec`.

    Args:
        image: uint8 (H, W, 3) or (H, W), a PIL image, whose transparency and metadata are kept,
            or a `Picture`.
        rate: most bits per pixel that the whole file may take.
        entropy: "range", or "none" for raw packed bits.
        effort: 1..9, how long to look for better codes.
        tile: edge of the tiles in pixels, a multiple of 64; None chooses.
        tune: "psnr" to keep pixel values, "ms-ssim" to keep structure and texture, "eye" to keep
            what people see.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads; None leaves the choice to torch.
        **target: in place of the rate, one of size (bytes), quality (0..100), psnr (dB),
            ms_ssim (0..1) and ssimulacra2 (0..100); and roi and lossless, see `Codec.encode`.
    """
    codec: Codec = _load("Codec")(device=device, threads=threads, tune=tune)
    return codec.encode(image, rate, entropy, effort, tile, **target)


def decode(
    data: bytes,
    region: "Sequence[int] | None" = None,
    *,
    device: str = "auto",
    threads: int | None = None,
) -> "NDArray[np.uint8]":
    """Return the picture of one `.aic` file as uint8 (H, W, 3).

    Args:
        data: the file.
        region: left, top, width and height of the part that is wanted; None: all.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads; None leaves the choice to torch.
    """
    codec: Codec = _load("Codec")(device=device, threads=threads)
    return codec.decode(data, region)


def encode_jpeg(
    image: "NDArray[np.uint8] | Image | Picture",
    rate: float | None = None,
    *,
    size: int | None = None,
    quality: float | None = None,
    effort: int = 1,
    half: bool = False,
    threads: int | None = None,
) -> bytes:
    """Return a JPEG file of one picture, best once `restore` decodes it.

    See `aic encode --into jpeg`. It loads a network; for many pictures make one
    `imgcodec.into_jpeg.JpegMaker`.

    Args:
        image: uint8 (H, W, 3) or (H, W), a PIL image, whose metadata are kept, or a `Picture`.
        rate: most bits per pixel that the whole file may take.
        size: in its place, most bytes.
        quality: in their place, 1..100, as cjpeg has it; 75 if nothing is asked.
        effort: 1..9, how often it is improved.
        half: make it of half the width and height; `restore` gives the picture back at its size.
        threads: CPU threads; None leaves the choice to torch.

    Raises:
        AicError: an option is out of range, or the least quality takes more.
        ImageError: the picture is none, is transparent, or too large for a JPEG file.
    """
    from imgcodec import into_jpeg

    goal = {"rate": rate, "size": size, "quality": quality}
    return into_jpeg.encoded(image, goal, effort, half, threads)


def pack(data: bytes, *, max_pixels: int = MAX_PIXELS, threads: int | None = None) -> bytes:
    """Return a smaller file that holds a JPEG file, which `unpack` gives back bit for bit.

    Args:
        data: the JPEG file.
        max_pixels: a larger picture is refused before any work.
        threads: that work at a time on a large picture; None: one a core.

    Raises:
        ImageError: no JPEG file, damaged, or of a kind that would not come back bit for bit.
    """
    from imgcodec.jpeg import packing

    return packing.pack(as_bytes(data), max_pixels, threads)


def unpack(data: bytes, *, max_pixels: int = MAX_PIXELS, threads: int | None = None) -> bytes:
    """Return the JPEG file that `pack` or `aic pack` was given.

    Args:
        data: the packed file.
        max_pixels: a larger picture is refused before any work.
        threads: that work at a time on a large picture; None: one a core.

    Raises:
        FormatError: it is damaged, or no packed JPEG file.
        ModelMismatchError: it needs weights of a newer release.
    """
    from imgcodec.jpeg import packing

    return packing.unpack(as_bytes(data), max_pixels, threads)


def restore(
    data: bytes, *, max_pixels: int = MAX_PIXELS, threads: int | None = None
) -> "NDArray[np.uint8]":
    """Return the picture of a JPEG file, better than other decoders do; see `aic restore`.

    It loads a network; for many files make one `imgcodec.restoring.Restorer`.

    Args:
        data: the JPEG file.
        max_pixels: a larger picture is refused before any work.
        threads: CPU threads; None leaves the choice to torch.

    Returns:
        uint8 (H, W, 3), or (H, W) if it is grey, not turned by its orientation.

    Raises:
        ImageError: no JPEG file, damaged, or of a kind that is not read.
    """
    from imgcodec.restoring import Restorer

    found: NDArray[np.uint8] = Restorer(threads=threads).restore(as_bytes(data), max_pixels)
    return found


def register() -> None:
    """Make Pillow's `Image.open` and `Image.save` know .aic files."""
    from imgcodec import pillow_plugin

    pillow_plugin.register()


def __getattr__(name: str) -> object:
    """Load a public name, and torch or numpy with it, when it is first asked for."""
    if name in _LAZY:
        return _load(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@undivided()
def _load(name: str) -> Any:
    return getattr(import_module(_LAZY[name]), name)

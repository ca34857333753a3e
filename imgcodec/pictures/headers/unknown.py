"""What is wrong with files that Pillow cannot open."""

from importlib.util import find_spec
from typing import IO, Any

import numpy as np
from PIL import Image

from imgcodec.format import packed
from imgcodec.pictures.headers.jxl_header import is_jxl
from imgcodec.pictures.headers.tiff_tags import directories
from imgcodec.pictures.pillow_guard import reason_of

_MARKED = ("PNG", "JPEG", "GIF", "WEBP", "JPEG2000", "PSD", "TIFF")  # by bytes at their start
_PLUGINS = {  # of Pillow, by what they read: module and package
    "AVIF": ("pillow_avif", "pillow-avif-plugin"), "HEIF": ("pillow_heif", "pillow-heif"),
    "JPEG XL": ("pillow_jxl", "pillow-jxl-plugin"),
}  # fmt: skip
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"
)
_NO_REASON = "not identified by this driver"  # as Pillow says it


def unknown(file: IO[bytes]) -> str:
    """Return one line on a file that Pillow cannot open."""
    file.seek(0)
    start = file.read(16)
    if (kind := packed.kind_of(start)) is not None:
        return kind
    boxed = _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    if is_jxl(start[:12]):
        boxed = "JPEG XL"
    if boxed is not None:
        module, package = _PLUGINS[boxed]
        if boxed not in Image.OPEN and find_spec(module) is None:
            return f"a picture in {boxed}, which the package {package} reads"
        return f"a picture in {boxed} that is damaged or of a kind that is not handled"
    for name in _MARKED:
        opens, accepts = Image.OPEN.get(name, (None, None))
        if opens is None or accepts is None or accepts(start) is not True:
            continue
        what = f"a {name} that is damaged or of a kind that is not handled"
        file.seek(0)
        try:
            if name != "TIFF":
                opens(file, "")
            elif tags := next(directories(file), None):
                order = "big-endian BigTIFF, " * start.startswith(b"MM\0+")
                return f"{what}: {order}{_samples_told(tags)}"
        except Exception as error:  # of which `Image.open` says nothing
            if error.__cause__ is None and str(error) != _NO_REASON:
                return f"{what}: {reason_of(error)}"
        return what
    return "not a picture of a known kind"


def _samples_told(tags: Any) -> str:
    """Return in words which samples the tags of a TIFF speak of."""
    bits, signs, polarity = (
        "/".join(map(str, np.unique(tags.get(tag, default))[:4]))
        for tag, default in ((258, 1), (339, 1), (262, 0))
    )
    return (
        f"{bits} bits a sample, SampleFormat {signs}, PhotometricInterpretation {polarity},"
        f" {tags.get(277, 1)} samples a pixel, compression {tags.get(259, 1)}"
    )

"""What is wrong with files that Pillow cannot open."""

from typing import IO, Any

import numpy as np
from PIL import Image

from imgcodec.format import packed
from imgcodec.pictures.headers.tiff_tags import directories
from imgcodec.pictures.pillow_guard import reason_of

_MARKED = ("PNG", "JPEG", "GIF", "WEBP", "JPEG2000", "PSD", "TIFF")  # by bytes at their start
_NO_REASON = "not identified by this driver"  # as Pillow says it


def unknown(file: IO[bytes]) -> str:
    """Return one line on a file that Pillow cannot open."""
    file.seek(0)
    start = file.read(16)
    if (kind := packed.kind_of(start)) is not None:
        return kind
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

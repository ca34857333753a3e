"""What a picture file says besides pixels: colour profile, EXIF and XMP, as chunks of a file.

All three are kept byte for byte, but for the orientation: pixels are stored upright, and whoever
applied it a second time would turn them again.
"""

import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

from imgcodec.format.container import Chunk

KINDS = ("icc", "exif", "xmp")
_CHUNKS = {"icc": b"iccP", "exif": b"exiF", "xmp": b"xmpD"}  # optional, by their first letter
_EXIF_START = b"Exif\0\0"  # of JPEG's APP1; the TIFF structure follows
_ORIENTATION = 0x0112
_SHORT = 3
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))\s*[2-8]")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata of a picture; None: there is none."""

    icc: bytes | None = None  # a profile of the pixels' colours
    exif: bytes | None = None  # a TIFF structure
    xmp: bytes | None = None  # an XML packet

    @property
    def kinds(self) -> list[str]:
        """What there is, of `KINDS`."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.kinds)

    def only(self, kinds: Collection[str]) -> "Metadata":
        """Return what is of these kinds, some of `KINDS`."""
        return replace(self, **{kind: None for kind in KINDS if kind not in kinds})

    def upright(self) -> "Metadata":
        """Return the metadata of the picture turned upright."""
        return replace(
            self,
            exif=None if self.exif is None else _upright_exif(self.exif),
            xmp=None if self.xmp is None else _XMP_ORIENTATION.sub(rb"\g<1>1", self.xmp),
        )

    def chunks(self) -> list[Chunk]:
        """Return them as chunks of a file."""
        return [(_CHUNKS[kind], getattr(self, kind)) for kind in self.kinds]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "Metadata":
        """Return what is among the chunks of a file."""
        found = dict(chunks)
        return cls(*(found.get(_CHUNKS[field.name]) for field in fields(cls)))


def bare_exif(data: bytes) -> bytes:
    """Return EXIF data without the words that JPEG puts before it."""
    return data.removeprefix(_EXIF_START)


def _upright_exif(exif: bytes) -> bytes:
    """Return EXIF data whose orientation is 1; nothing else is touched."""
    entry = _find_orientation(exif)
    if entry is None:
        return exif
    order, position = entry
    return exif[:position] + struct.pack(order + "H", 1) + exif[position + 2 :]


def _find_orientation(exif: bytes) -> tuple[str, int] | None:
    """Return the byte order and where the orientation's value stands, None where there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for position in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", exif, position)
            if (tag, kind, number) == (_ORIENTATION, _SHORT, 1) and position + 10 <= len(exif):
                return order, position + 8
    except struct.error:
        pass  # damaged: it ends early
    return None

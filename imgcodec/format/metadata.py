"""What a picture file says besides pixels: colour profile, EXIF and XMP, as chunks of a file.

All three are kept byte for byte, but for a density that joins EXIF data which tell of none, and
for what a turn, or another size, changes: pixels are stored upright, and whoever applied the
orientation a second time would turn them again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

from imgcodec.format import exif, xmp
from imgcodec.format.container import Chunk

KINDS = ("icc", "exif", "xmp")
_CHUNKS = {"icc": b"iccP", "exif": b"exiF", "xmp": b"xmpD"}  # optional, by their first letter


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

    @property
    def orientation(self) -> int:
        """How the picture is to be turned, as EXIF counts; 1 (upright) where nothing is said."""
        said = None if self.exif is None else exif.orientation(self.exif)
        if said is None and self.xmp is not None:
            said = xmp.orientation(self.xmp)
        return 1 if said is None else said

    def upright(
        self, turned: int | None = None, size: tuple[int, int] | None = None
    ) -> "Metadata":
        """Return the metadata of the picture turned upright.

        Args:
            turned: the orientation that it had, where they do not say it any more.
            size: its height and width before the turn, see `exif.upright`.
        """
        turned = turned or self.orientation
        return replace(
            self,
            exif=None if self.exif is None else exif.upright(self.exif, turned, size),
            xmp=None if self.xmp is None else xmp.upright(self.xmp, turned),
        )

    def framed(self, part: tuple[int, int, int, int], height: int, width: int) -> "Metadata":
        """Return the metadata of a part of the picture at another size, see `exif.framed`."""
        return replace(
            self,
            exif=None if self.exif is None else exif.framed(self.exif, part, height, width),
            xmp=None if self.xmp is None else xmp.of_size(self.xmp, height, width),
        )

    def chunks(self) -> list[Chunk]:
        """Return them as chunks of a file."""
        return [(_CHUNKS[kind], getattr(self, kind)) for kind in self.kinds]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "Metadata":
        """Return what is among the chunks of a file."""
        found = dict(chunks)
        return cls(*(found.get(_CHUNKS[field.name]) for field in fields(cls)))

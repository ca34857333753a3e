"""What becomes of a picture file before it is encoded, by the options that say so."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from imgcodec import files
from imgcodec.cli.work import Task, Warn
from imgcodec.errors import AicError, DamageError, HollowError, ImageError
from imgcodec.format.container import check_pixels
from imgcodec.runtime.stopwatch import stage

if TYPE_CHECKING:
    from imgcodec.pictures.arrays import HalfArray
    from imgcodec.pictures.frame import Frame
    from imgcodec.pictures.picture import Picture


MOST_UNROUNDED = 2**26  # pixels of a JPEG file; of a larger one, eight bits take less memory


class Telling(Protocol):
    """Settings that say whether something may be lost."""

    strict: bool

    @property
    def warn(self) -> Warn:
        """What says of a file that something is not as it was."""


class Reading(Telling, Protocol):
    """Settings that say how pictures are read."""

    alpha: str
    metadata: tuple[str, ...]
    crop: tuple[int, int, int, int] | None
    resize: tuple[int, int] | float | None

    @property
    def frame(self) -> Frame:
        """What `crop` and `resize` make of a picture."""


def background(alpha: str) -> tuple[int, int, int] | None:
    """Return the colour that --alpha names, None where it names none.

    Raises:
        ImageError: there is no such colour.
    """
    from imgcodec.pictures import modes

    return None if alpha in ("keep", "drop") else modes.colour(alpha)


def shapes(work: Reading, source: Path) -> list[tuple[int, int]]:
    """Return heights and widths that a file of a picture may have; none: of no picture.

    It may be turned by its orientation, which is not read for this.
    """
    from imgcodec.pictures import reader

    size = reader.size_of(source)
    found = []
    for height, width in () if size is None else (size, size[::-1]):
        with suppress(ImageError):
            found.append(work.frame.shape(height, width))
    return found


def check_shape(work: Reading, task: Task, made: tuple[int, int]) -> None:
    """Refuse a target whose height and width are not those of what would be made."""
    wanted = shapes(work, task.source)
    if wanted and made not in wanted:
        height, width = wanted[0]
        verb = "would give" if work.crop or work.resize else "has"
        raise AicError(
            f"{task.target}: holds a picture of {made[1]}x{made[0]} pixels, {task.source} {verb}"
            f" {width}x{height}, and is kept without --force"
        )


def read(work: Reading, source: Path, max_pixels: int) -> Picture:
    """Return the picture of a file, of a JPEG file before it is rounded."""
    from imgcodec.pictures import reader

    decoded, damage = _unrounded(source, max_pixels)
    picture = reader.read_picture(source, work.strict, max_pixels, work.metadata, decoded)
    return replace(picture, notes=(*damage, *picture.notes))


def _unrounded(source: Path, most: int) -> tuple[HalfArray | None, tuple[str, ...]]:
    """Return the pixels of a JPEG file before they are rounded, and what is damaged of it.

    None: it is another file, or one of which only Pillow reads the pixels, or says what is wrong.
    At most `most` pixels are read.

    Raises:
        ImageError: the file cannot hold its pixels, of which Pillow would make very many.
    """
    try:
        with source.open("rb") as file:
            if file.read(2) != b"\xff\xd8":
                return None, ()
        from imgcodec.jpeg import pixels, reading

        with stage("read"):
            data = files.read_bytes(source)
            try:
                found = pixels.rgb(reading.read(data, min(most, MOST_UNROUNDED)))
                return found, reading.lacking(data) + _halved(data, *found.shape[:2])
            except DamageError:
                raise
            except AicError:  # larger, or of colours that only Pillow knows
                reading.check(data, most)
                return None, reading.lacking(data)
    except HollowError as error:
        raise ImageError(f"{source}: {error}") from error
    except DamageError as error:
        return None, (f"it is damaged ({error}), and encoded as far as Pillow reads it",)
    except (OSError, AicError):
        return None, ()


def _halved(data: bytes, height: int, width: int) -> tuple[str, ...]:
    """Say of a JPEG file of half its picture's size that it is one."""
    from imgcodec.jpeg import halves

    whole = halves.whole(data, height, width)
    if whole is None:
        return ()
    size = f"{whole[1]}x{whole[0]}"
    return (f"has half the size of its picture, {size}, which aic restore gives back",)


def as_asked(work: Reading, source: Path, picture: Any, max_pixels: int) -> Any:
    """Return a picture with what is kept of it, of the part and at the size that is asked.

    Args:
        work: the settings.
        source: the file.
        picture: what was read of it, pixels or a raster.
        max_pixels: of the size that is asked.

    Raises:
        ImageError: something is lost and `strict` is set, or there is no such part or size.
    """
    picture = picture.keeping(work.metadata)
    if work.alpha != "keep":
        picture = picture.flattened(background(work.alpha))
    tell(work, source, picture.notes)
    if work.crop or work.resize:
        picture = _framed(work, source, picture, max_pixels)
    return picture


def tell(work: Telling, path: Path, notes: Iterable[str]) -> None:
    """Say what is lost of a file.

    Raises:
        ImageError: something is, and `strict` is set.
    """
    for note in notes:
        if work.strict:
            raise ImageError(f"{path}: {note}")
        work.warn(path, note)


def tell_left_out(work: Telling, target: Path, picture: Picture) -> None:
    """Say what of a picture its file has no place for.

    Raises:
        AicError: something has none, and `strict` is set.
    """
    from imgcodec.pictures import writer

    lost = writer.left_out(target, picture.metadata, picture.georeference)
    if lost and work.strict:
        raise AicError(f"{target}: cannot have {', '.join(lost)}")
    if lost:
        work.warn(target, f"without {', '.join(lost)}")


def _framed(work: Reading, source: Path, picture: Any, max_pixels: int) -> Any:
    """Return a part of a picture, at another size."""
    height, width = picture.shape[:2]
    if not hasattr(picture, "pixels"):
        if picture.is_placed:
            raise ImageError(
                f"{source}: a GeoTIFF is not cropped or resized, its georeference would be wrong;"
                " gdal_translate -srcwin and -outsize do it"
            )
        try:
            check_pixels(width, height, max_pixels)
        except AicError as error:
            raise ImageError(f"{source}: {error}") from error
        picture = picture.picture()
    try:
        new_height, new_width = work.frame.shape(height, width)
        check_pixels(new_width, new_height, max_pixels)
        found = work.frame.applied(picture)
    except AicError as error:
        raise ImageError(f"{source}: {error}") from error
    if picture.georeference is not None and found is not picture:
        lost = "without its georeference, which is that of all of it at its own size"
        tell(work, source, [lost])
    if work.frame.distorts(height, width):
        work.warn(source, f"its proportions change, {new_width}x{new_height} pixels are asked")
    return found

"""Picture files and PIL images -> `Picture`; what is not kept is said."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from imgcodec.errors import AicError, ImageError
from imgcodec.format.container import MAX_PIXELS, check_pixels
from imgcodec.format.metadata import KINDS
from imgcodec.format.tiles import Box
from imgcodec.pictures.arrays import ByteArray, HalfArray, Samples, check_size
from imgcodec.pictures.geo.beside import Place, place_of_picture
from imgcodec.pictures.geo.georeference import lost_without_rasterio
from imgcodec.pictures.headers import jxl_header
from imgcodec.pictures.headers.aperture import Shape, shape_told
from imgcodec.pictures.headers.colour_codes import colours_told
from imgcodec.pictures.headers.depth import eight_bits, layout
from imgcodec.pictures.headers.overlooked import overlooked
from imgcodec.pictures.headers.tiff_tags import num_inside, others_left_out
from imgcodec.pictures.headers.unknown import unknown
from imgcodec.pictures.headers.unread import passed_over
from imgcodec.pictures.info import metadata_of
from imgcodec.pictures.modes import samples
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.pillow_guard import refusing, unlimited
from imgcodec.pictures.roi import DEFAULT_WEIGHT, Roi
from imgcodec.runtime.stopwatch import stage

_PLUGINS = ("pillow_heif", "pillow_avif", "pillow_jxl")  # asked where Pillow alone knows no better
# As files start whose pictures inside may have any size, whatever is said of it outside.
_HOLDERS = (b"\0\0\1\0", b"icns", b"BLP1", b"BLP2")
_DARK = 32  # below it lies what has 12 bits or less in the 16 of its file
# By orientation: steps along rows and columns, and whether they are then exchanged; 1 is upright.
_TURNS = {
    2: (1, -1, False), 3: (-1, -1, False), 4: (-1, 1, False), 5: (1, 1, True),
    6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True),
}  # fmt: skip


@stage("read")
def read_picture(
    path: str | os.PathLike[str],
    strict: bool = False,
    max_pixels: int = MAX_PIXELS,
    kinds: Collection[str] = KINDS,
    decoded: ByteArray | HalfArray | None = None,
) -> Picture:
    """Read a picture, turned upright by its EXIF orientation.

    Args:
        path: of a file of a kind that Pillow knows, or one of its plugins for HEIC, AVIF and
            JPEG XL where they are installed.
        strict: refuse what 8-bit RGB or grey cannot hold exactly, and what is not kept.
        max_pixels: more than so many are refused before any is read.
        kinds: of metadata that the caller keeps; where not all, no others are missed, nor noted.
        decoded: the pixels of the file before it is turned, from a better decoder than Pillow's,
            which may not have rounded them, or may have made them larger.

    Raises:
        ImageError: not a whole picture, more than one, or one with no way to 8 bits.
    """
    path = Path(path)
    with unlimited():
        try:
            # By name, Pillow 13 maps grey TIFFs to memory and scrambles those turned by 90 degrees
            with refusing(), open(path, "rb") as file, _open(file, max_pixels) as picture:
                return _picture(picture, strict, max_pixels, kinds, decoded=decoded, path=path)
        except AicError as error:
            raise ImageError(f"{path}: {error}") from error


def size_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return the height and width that a file speaks of, before it is turned; None: of none."""
    with unlimited(), suppress(ImageError), refusing():
        with open(path, "rb") as file:
            if (header := _jxl_header(file)) is not None:  # which is not decoded for this
                return header.height, header.width
            with _open(file) as picture:
                part = shape_told(picture).part
                return (picture.height, picture.width) if part is None else (part[3], part[2])
    return None


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> ByteArray:
    """Return the pixels of a picture that 8-bit RGB or grey holds exactly.

    Args:
        path: see `read_picture`.
        max_pixels: more than so many are refused before any is read.

    Returns:
        uint8 (H, W, 3), or (H, W) for a grey picture.

    Raises:
        ImageError: as by `read_picture`, and where there is transparency.
    """
    picture = read_picture(path, strict=True, max_pixels=max_pixels, kinds=())
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
    found = size_of(mask)  # it may be a small file of very many pixels
    if found is None or sorted(found) == sorted((height, width)):
        plane = read_picture(mask).flattened((0, 0, 0)).pixels
        found = plane.shape[0], plane.shape[1]  # turned upright
    if found != (height, width):
        raise ImageError(f"{mask}: {found[1]}x{found[0]} pixels, the picture has {width}x{height}")
    return Roi.mask(plane if plane.ndim == 2 else plane.max(2), weight)


def from_pil(picture: Image.Image, given: Mapping[str, Any] | None = None) -> Picture:
    """Return a PIL image under the same rules as `read_picture`.

    Args:
        picture: stays as it is.
        given: metadata as in its `info`, which count in place of its own; empty ones for none.
    """
    with refusing():  # an opened file is read only now
        return _picture(picture, given=given or {})


def _jxl_header(file: IO[bytes]) -> jxl_header.Header | None:
    """Return the header of a JPEG XL file, None of others."""
    is_jxl = jxl_header.is_jxl(file.read(12))
    file.seek(0)
    if not is_jxl:
        return None
    header = jxl_header.read(file.read())
    file.seek(0)
    return header


def _open(file: IO[bytes], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a picture, with the help of a plugin if need be; only while Pillow is `unlimited`."""
    header = _jxl_header(file)
    if header is not None:  # the plugin decodes it as it opens it
        _check_size(header.width, header.height, max_pixels)
        if header.animated:
            raise ImageError("holds an animation, save the picture that is meant")
    if file.read(4) in _HOLDERS:  # Pillow refuses from twice as many on
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
    file.seek(0)
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        for name in _PLUGINS:
            with suppress(ImportError):
                plugin = import_module(name)  # which registers itself, or wants to be asked
                getattr(plugin, "register_heif_opener", lambda: None)()
        file.seek(0)
        try:
            return Image.open(file)
        except UnidentifiedImageError as error:
            raise ImageError(unknown(file)) from error


def _picture(
    picture: Image.Image,
    strict: bool = False,
    max_pixels: int = MAX_PIXELS,
    kinds: Collection[str] = KINDS,
    given: Mapping[str, Any] = MappingProxyType({}),
    decoded: ByteArray | HalfArray | None = None,
    path: Path | None = None,
) -> Picture:
    """Return a picture upright, or refuse it; nothing is read before the checks."""
    _check_size(*picture.size, max_pixels)
    _check_kind(picture)
    held = layout(picture)
    deep = held.bits > 8
    if deep and strict:
        raise ImageError("has more than 8 bits a sample")
    shape = shape_told(picture)
    turned = _turned_by_pillow(picture, shape)
    own = overlooked(picture) | _aspect(picture, shape, turned) | _no_profile(picture)
    given = own | dict(given)
    colours = colours_told(picture)
    others = passed_over(picture)
    found = samples(eight_bits(picture, held) if decoded is None else _like(picture, decoded))
    dark = deep and 0 < int(found.pixels.max()) < _DARK
    if shape.part is not None:
        left, top, width, height = shape.part
        found = found.part(slice(top, top + height), slice(left, left + width))
    metadata, lost = metadata_of(picture, given, found.icc, found.pixels.ndim == 2, others)
    if decoded is not None and decoded.shape[:2] != (picture.height, picture.width):
        whole = 0, 0, picture.width, picture.height
        metadata = metadata.framed(whole, *decoded.shape[:2])
    notes = ("more than 8 bits a sample were reduced to 8",) * deep
    notes += ("its samples use less than an eighth of their range, so it is dark",) * dark
    notes += held.notes + found.notes
    notes += shape.notes + tuple(_left_out(picture))
    # a profile counts more, but in PNG, and there what the numbers of gAMA and cHRM make is none
    if colours and (picture.format == "PNG" or metadata.icc is None):
        notes += (f"its colours are not sRGB ({colours}), and stay",)
    notes += lost if set(kinds) >= set(KINDS) else ()
    if strict and notes:
        raise ImageError(notes[0])
    turn = None if turned is not None else _TURNS.get(metadata.orientation)
    place = _place(picture, path, turned in _TURNS or turn is not None)
    notes += () if place.lost is None else (place.lost,)
    pixels, alpha = found.pixels, found.alpha
    height, width = pixels.shape[:2]
    size = (width, height) if turned in range(5, 9) else (height, width)
    unrounded: HalfArray | None = None
    if decoded is not None and decoded.dtype == np.float16:
        unrounded = decoded.astype(np.float16, copy=False)
    if turn is not None:
        pixels = _turned(pixels, turn)
        alpha = None if alpha is None else _turned(alpha, turn)
        unrounded = None if unrounded is None else _turned(unrounded, turn)
    upright = metadata.upright(turned, size)
    return Picture(pixels, alpha, upright, notes, unrounded, place.georeference)


def _check_kind(picture: Image.Image) -> None:
    """Refuse drawings, and pictures of which nobody said which one is meant."""
    if picture.format in ("EPS", "WMF"):  # Pillow would start another program to render them
        raise ImageError(f"{picture.format} drawings are not handled")
    num_frames = _num_frames(picture)
    # a telephone's MPO has its picture first, HEIF says which one it is; of others a frame that
    # was sought is the one meant
    if num_frames > 1 and picture.format not in ("MPO", "HEIF") and not picture.tell():
        raise ImageError(
            f"holds {num_frames} pictures (animation or pages), save the one that is meant"
        )


def _place(picture: Image.Image, path: Path | None, is_turned: bool) -> Place:
    """Return the georeference in a picture's file, or beside it."""
    place = Place(lost=lost_without_rasterio(getattr(picture, "tag_v2", {})))
    if path is None or place.lost is not None:
        return place
    return place_of_picture(path, picture.format or "", (picture.height, picture.width), is_turned)


def _num_frames(picture: Image.Image) -> int:
    """Return how many pictures a file holds that can be animation or pages."""
    try:
        with refusing():
            return int(getattr(picture, "n_frames", 1))
    except ImageError as error:
        raise ImageError(f"a further picture that it holds cannot be read ({error})") from error


def _aspect(picture: Image.Image, shape: Shape, turned: int | None) -> dict[str, tuple[int, int]]:
    """Return in what proportion dots lie across and down, as Pillow names it; {}: none is told.

    That is before the turn that `Metadata.upright` is told of; the plugin for HEIF may turn by
    another than EXIF speaks of.
    """
    across, down = shape.aspect
    if picture.format == "HEIF" and shape.across != (turned in range(5, 9)):
        across, down = down, across
    return {} if across == down else {"aspect": (down, across)}


def _no_profile(picture: Image.Image) -> dict[str, bytes]:
    """Return none as the profile of JPEG XL that says sRGB, of which the plugin makes one."""
    data = _jxl_file(picture)
    return {"icc_profile": b""} if data is not None and jxl_header.is_srgb(data) else {}


def _jxl_file(picture: Image.Image) -> bytes | None:
    """Return the file of JPEG XL, as the plugin keeps it; None of others, and of copies."""
    return getattr(picture, "fc", None) if picture.format == "JXL" else None


def _like(picture: Image.Image, decoded: ByteArray | HalfArray) -> Image.Image:
    """Return the pixels of a picture as they were decoded elsewhere, in 8 bits."""
    found = Image.fromarray(np.clip(np.round(decoded), 0, 255).astype(np.uint8))
    found.info = picture.info
    return found


def _left_out(picture: Image.Image) -> Iterator[str]:
    """Say what a file holds beside the picture that is read."""
    # Pillow counts the layers of a Photoshop file: none beside the picture are none left out
    others: int = max(0, getattr(picture, "n_frames", 1) - 1)
    others += num_inside(getattr(picture, "tag_v2", {}))
    others += max(0, len(picture.info.get("sizes", ())) - 1)  # of icons
    others += sum(map(len, (picture.info.get("aux") or {}).values()))  # of HEIF, as HDR gain maps
    others += len(picture.info.get("depth_images") or ())
    yield from others_left_out(others)


def _turned_by_pillow(picture: Image.Image, shape: Shape) -> int | None:
    """Return the orientation that Pillow, or a plugin of it, itself applies and then forgets.

    None: that is left to us. 1: the picture is upright, whatever EXIF says.
    """
    opened = getattr(picture, "fp", None) is not None  # and not loaded yet
    if (data := _jxl_file(picture)) is not None:
        return jxl_header.turned(data)
    if picture.format == "TIFF":
        said = picture.getexif().get(0x0112) if opened else None  # or XMP says it
    else:
        said = picture.info.get("original_orientation")
        if said is not None and opened and not shape.turned:  # HEIF: EXIF alone said so
            return 1
    return said if said in _TURNS else None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    check_size(height, width)
    check_pixels(width, height, max_pixels)


def _turned(plane: Samples, turn: tuple[int, int, bool]) -> Samples:
    rows, columns, exchanged = turn
    found = plane[::rows, ::columns]
    return np.ascontiguousarray(found.swapaxes(0, 1) if exchanged else found)

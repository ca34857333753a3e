"""What Pillow tells of a picture besides pixels -> `Metadata`; what of it is not kept is named."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from imgcodec.errors import ImageError
from imgcodec.format.exif import of_density, proportion, tells_density, tiff_part, with_density
from imgcodec.format.metadata import Metadata
from imgcodec.format.xmp import JPEG_START, PNG_KEYWORD
from imgcodec.pictures import profiles
from imgcodec.pictures.headers import tiff_directories, tiff_tags
from imgcodec.pictures.headers.overlooked import EXIF_OF_TIFF
from imgcodec.pictures.pillow_guard import refusing

# How ImageMagick puts into PNG what had no place there: a name, a length, hexadecimal digits.
_RAW_TYPE = "Raw profile type "
_RAW = re.compile(r"\s*\S+\s+([0-9]{1,9})\s+([0-9A-Fa-f\s]*)")
_STAMP = ("Created by OpenJPEG", "b'Created by OpenJPEG")  # that it puts into each of its files
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_RAW_TAKEN = ("exif", "APP1", "xmp", "icc", "icm")
_IPTC = 0x0404  # among Photoshop's resources
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")  # how often, of a single picture
_TIFF_NAMES = {
    271: "the maker", 272: "the model", 285: "the page's name", 291: "the grey response curve",
    301: "the transfer function", 318: "the white point", 319: "the primaries", 33723: "IPTC",
    34377: "Photoshop's resources",
}  # fmt: skip
_TIFF_TOLD = (  # elsewhere: colour profile, samples, what lies where on Earth
    *tiff_tags.DESCRIBING, tiff_directories.EXIF, tiff_directories.GPS, 34675,
    *range(32995, 32999), 33550, 33922, 34264, 34735, 34736, 34737, 42113, 50844,
)  # fmt: skip
_TIFF_COLOURS = (291, 301, 318, 319)  # response curve, transfer function, white, primaries
_TIFF_SRGB = {318: profiles.SRGB_WHITE, 319: profiles.SRGB_PRIMARIES}  # which says nothing new
_TIFF_PRIVATE = 18246  # tags from here on are no part of TIFF itself
# What programs write where nobody knows: so little is it worth that no byte is spent on it.
_OF_SCREENS = ((72, 72), (96, 96))
_MOST_DENSITY = 1e6
_NEAR = 0.01  # of proportions that are called the same
_MOST_NAMES = 4  # of what is left out, in a line

Notes = list[str]


def metadata_of(
    picture: Image.Image,
    given: Mapping[str, Any],
    icc: bytes | None,
    grey: bool,
    others: Sequence[str] = (),
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata of a loaded picture as they are, and what is left out of them.

    Args:
        picture: of Pillow.
        given: values that count in place of those in its `info`, empty ones for none.
        icc: the profile that came with the samples, None where none is theirs.
        grey: whether the samples are.
        others: what else its file holds that is not kept, see `passed_over`.
    """
    notes: Notes = []
    own: dict[Any, Any] = dict(picture.info)
    info = own | dict(given)
    found = Metadata(
        _icc(own, given, icc, grey, notes), _exif(picture, info, notes), _xmp(info, notes)
    )
    left = [*_others(picture), *others]
    if left:
        notes.append(listed(left))
    return found, tuple(notes)


def _icc(
    info: Mapping[str, Any], given: Mapping[str, Any], icc: Any, grey: bool, notes: Notes
) -> bytes | None:
    if "icc_profile" in given:
        other = given["icc_profile"]
    elif isinstance(icc, bytes):
        return icc
    elif isinstance(info.get("icc_profile"), bytes):
        return None  # which the samples' notes tell
    else:
        other = _raw(info, "icc") or _raw(info, "icm")
        if info.get("icc_profile", b"") is None:
            notes.append(profiles.DAMAGED)
    if isinstance(other, bytes) and other and profiles.is_cut(other):
        notes.append(profiles.DAMAGED)
    elif isinstance(other, bytes) and profiles.fits(other, grey):
        return other
    elif other:
        notes.append(profiles.MISFIT)
    try:
        return None if "icc_profile" in given else profiles.of_png(info, grey)
    except ValueError as error:
        notes.append(f"its gAMA and cHRM are left out: {error}")
        return None


def _exif(picture: Image.Image, info: Mapping[str, Any], notes: Notes) -> bytes | None:
    given = info.get("exif")
    if isinstance(given, Image.Exif):
        given = tiff_tags.as_exif(given, given.keys()) or b""
    data = given if isinstance(given, bytes) else None
    if given is not None and data is None:
        notes.append("its EXIF data are no bytes, and are left out")
    elif data is None:
        data = _raw(info, "exif") or _raw(info, "APP1", b"Exif\0\0")
    if data is None and picture.format == "TIFF":
        return info[EXIF_OF_TIFF] if EXIF_OF_TIFF in info else _exif_of_tiff(picture, notes)
    found = tiff_part(data) if data else None
    if data and found is None:
        notes.append("its EXIF data are no TIFF structure, and are left out")
    told = _density(info)
    if told is None or given == b"":
        return found
    across, down, inch = told
    if found is not None and tells_density(found):
        own = proportion(found)  # which of two densities counts is anybody's guess
        if own is None or abs(own * down - across) <= _NEAR * across:
            return found
    elif more := of_density(*told) if found is None else with_density(found, *told):
        return more
    named = f"{across:g} x {down:g} dots an inch" if inch else f"pixels of {down:g} to {across:g}"
    notes.append(f"not kept: {named}, of which its EXIF data do not tell")
    return found


def _density(info: Mapping[Any, Any]) -> tuple[float, float, bool] | None:
    """Return dots in a unit of width and height, and whether that is an inch; None: not told."""
    for key, inch in (("dpi", True), ("aspect", False), ("jfif_density", False)):
        told = info.get(key)
        if key == "jfif_density" and info.get("jfif_unit") != 0:
            continue
        if isinstance(told, tuple) and len(told) == 2:
            across, down = (float(x) if isinstance(x, (int, float)) else 0.0 for x in told)
            if all(0 < x <= _MOST_DENSITY for x in (across, down)):  # no NaN
                screen = (round(across), round(down)) in _OF_SCREENS
                if not (screen if inch else across == down):
                    return across, down, inch
    return None


def _exif_of_tiff(picture: Image.Image, notes: Notes) -> bytes | None:
    try:
        with refusing():
            return tiff_tags.as_exif(picture.getexif())
    except ImageError:
        notes.append("its EXIF data are damaged, and are left out")
        return None


def _xmp(info: Mapping[str, Any], notes: Notes) -> bytes | None:
    if "xmp" in info:
        data = info["xmp"]
    else:
        data = info.get(PNG_KEYWORD) or _raw(info, "xmp") or _raw(info, "APP1", JPEG_START)
    if isinstance(data, str):
        latin = data is info.get(PNG_KEYWORD) and not isinstance(data, PngImagePlugin.iTXt)
        data = data.encode("latin-1" if latin else "utf-8", "replace")
    if data and not isinstance(data, bytes):
        notes.append("its XMP data are no text, and are left out")
        return None
    return data.rstrip(b"\0") or None if data else None


def _raw(info: Mapping[str, Any], name: str, start: bytes = b"") -> bytes | None:
    """Return the data in a text of ImageMagick's, if they are whole and start with some bytes."""
    text = info.get(_RAW_TYPE + name)
    found = _RAW.fullmatch(text) if isinstance(text, str) else None
    digits = "".join(found[2].split()) if found else ""
    if found is None or len(digits) != 2 * int(found[1]):
        return None
    data = bytes.fromhex(digits)
    return data.removeprefix(start) if data.startswith(start) else None


def _others(picture: Image.Image) -> Iterator[str]:
    """Name what a picture's file tells that `Metadata` has no place for."""
    info: dict[Any, Any] = dict(picture.info)
    resources = info.get("photoshop")  # of JPEG
    if isinstance(resources, dict) and resources:
        yield "IPTC" if _IPTC in resources else "Photoshop's resources"
    if any(part.startswith(_XMP_MORE) for _, part in getattr(picture, "applist", ())):
        yield "extended XMP"
    if picture.format == "PNG":
        taken = {PNG_KEYWORD, "xmp"} | {
            _RAW_TYPE + name for name in _RAW_TAKEN if _raw(info, name)
        }
        yield from (
            f"the text {name!r}" for name in getattr(picture, "text", {}) if name not in taken
        )
    elif info.get("id_section"):  # of TGA
        yield "a comment"
    elif (comment := info.get("comment")) and not str(comment).startswith(_STAMP):
        yield "a comment"
    for block in info.get("metadata") or () if picture.format == "HEIF" else ():
        kind = str(block.get("type") or block.get("content_type"))
        yield "IPTC" if kind == "iptc" else f"metadata {ascii(kind)[1:-1]}"
    name = info["extension"][0] if picture.format == "GIF" and "extension" in info else None
    if isinstance(name, bytes) and name not in _LOOPS:  # the last one of them
        yield f"extension {ascii(name.decode('latin-1'))[1:-1]}"
    if any(number == _IPTC for number, *_ in getattr(picture, "resources", ())):  # Photoshop's
        yield "IPTC"
    yield from tag_names(getattr(picture, "tag_v2", {}))


def tag_names(tags: Mapping[int, Any], lost: Collection[int] = ()) -> Iterator[str]:
    """Name what of a TIFF's tags is not kept, those of `lost` where they are there, too."""
    for tag in sorted(tags):
        private = tag >= _TIFF_PRIVATE and tag not in _TIFF_TOLD
        colours = tag in _TIFF_COLOURS and not _is_srgb(tag, tags[tag])
        if private or colours or tag in lost:
            yield _TIFF_NAMES.get(tag, f"tag {tag}")


def _is_srgb(tag: int, value: Any) -> bool:
    usual = _TIFF_SRGB.get(tag, ())
    same = len(usual) > 0 and np.shape(value) == np.shape(usual)
    return same and np.allclose(np.array(value, float), usual, rtol=0, atol=profiles.NEAR)


def listed(names: Sequence[str]) -> str:
    """Return a line that names the first of what is not kept, and counts the others."""
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return f"not kept: {', '.join([*names[:_MOST_NAMES], *more])}"

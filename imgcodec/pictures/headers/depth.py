"""Samples as files hold them: how many bits, of which sign, which end is white, how many more.

Pillow's modes do not tell: it cuts 16-bit colours to 8 bits, leaves 12-bit grey as it is, and
drops what follows the colours. So the headers are asked, and what was cut is read anew.
"""

import io
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImagePalette

from imgcodec.errors import ImageError
from imgcodec.pictures.headers import jxl_header
from imgcodec.pictures.headers.aperture import properties
from imgcodec.pictures.headers.overlooked import BMP_HEADER
from imgcodec.pictures.headers.parts import asked, boxes, chunks
from imgcodec.pictures.headers.tiff_tags import num_inside

MOST = 65535  # in Pillow's modes of 16 bits
_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_COLOURS = re.compile(r"(RGB[aAX]?|CMYK|LA);16([BLN])")  # Pillow's raw modes of 16 bits, cut to 8
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_CUT = re.compile(r";16[BLN]|SGI16|BC6H")  # these and others, cut in decoders of their own
_SMALL_GREY = {"1": 1, "L;2": 85, "L;4": 17}  # raw modes of PNG, and by how much Pillow multiplies
_OLD_JPEG = 6  # a compression of TIFF whose strips may be named elsewhere
_FAX = (2, 3, 4)  # compressions of TIFF whose 0 is white where nothing is said
_DEEP_AVIF = re.compile(rb"av1C..[\x40-\x7f\xc0-\xff]", re.DOTALL)  # its flag high_bitdepth
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{36}(..)", re.DOTALL)  # of JPEG 2000; number of channels
_COLOUR, _ALPHA, _PREMULTIPLIED = 0, 1, 2  # what channels of JPEG 2000 are
_NO_COLOUR = (0, 65535)  # of a channel: it belongs to all of them, or to none
_PALETTE = 3  # what TIFF's samples mean
_MOST_TILE = 2**24  # pixels
_SMALL = 1  # of another picture in the file, says a TIFF
_MASKED_BMP = (3, 6)  # compressions whose samples lie where masks say
_PIECE = 2**20  # bytes looked at together
_PCX_PALETTE, _PCX_GREY = 769, b"\2"  # bytes, the first one is 12; what is said of those without
_GUESSED = "a further sample that does not say what it is was taken for transparency"
_DUOTONE = 8  # a mode of Photoshop
_FITS_PLANES = re.compile(rb"\A(?:(?!END).{80})*?NAXIS3  = *(\d{1,9}) ", re.DOTALL)
_REFERENCES: dict[int, tuple[str, dict[int, tuple[float, ...]]]] = {  # what TIFF's tags say mostly
    2: ("RGB", {532: (0, 255) * 3}),
    6: ("YCbCr", {529: (0.299, 0.587, 0.114), 532: (0, 255, 128, 255, 128, 255)}),
}
Words = NDArray[np.uint16]


class Layout(NamedTuple):
    """What the samples of an opened picture are, beyond what its mode tells."""

    bits: int = 8  # of the deepest sample
    white: int = MOST  # what Pillow makes of the largest sample of deep grey
    inverted: bool = False  # deep grey whose 0 is white
    notes: tuple[str, ...] = ()  # what does not come along
    opaque: bool = False  # what Pillow takes for alpha is none
    negative: bool = False  # what Pillow takes for white is black
    # left, top, right and bottom of all that is there; the rest is transparent
    covered: tuple[int, int, int, int] | None = None


def layout(picture: Image.Image) -> Layout:
    """Return what the headers of an opened picture say.

    Raises:
        ImageError: there is no way to 8 bits, or Pillow would decode something else.
    """
    ask = _LAYOUTS.get(picture.format or "", _by_mode)
    return ask(picture)


def eight_bits(picture: Image.Image, found: Layout) -> Image.Image:
    """Load a picture and return it with 8 bits a sample, rounded, and its transparent colour."""
    raw = _raw_mode(picture)
    key = picture.info.get("transparency")
    if isinstance(key, str):  # what Pillow has made of it
        raise ImageError("a text named 'transparency' stands in place of a transparent colour")
    words = _heif_words(picture, found) if picture.format == "HEIF" else _words(picture, raw)
    picture.load()
    if isinstance(picture.info.get("transparency"), str):  # behind the pixels
        picture.info.pop("transparency")
        picture.info |= {} if key is None else {"transparency": key}
    if picture.mode in _GREY or (picture.mode == "I" and picture.format == "PPM"):
        words = np.asarray(picture)[..., None]
    if found.opaque:
        return _without_alpha(picture)
    if found.covered is not None:
        return _transparent_around(picture, found.covered)
    if found.negative:
        return ImageOps.invert(picture.convert("L"))
    if words is None:
        return _with_small_key(picture, raw, key)
    steps = np.arange(MOST + 1).clip(0, found.white)
    if found.inverted:
        steps = found.white - steps
    pixels = ((steps * 510 + found.white) // (2 * found.white)).astype(np.uint8)[words]
    if key is not None:
        opaque = np.uint8(255) * (words != np.array(key)).any(-1, keepdims=True)
        pixels = np.concatenate([pixels, opaque], -1)
    mode = "CMYK" if picture.mode == "CMYK" else ("L", "LA", "RGB", "RGBA")[pixels.shape[-1] - 1]
    eight = Image.frombytes(mode, picture.size, pixels.tobytes())
    eight.info = {name: value for name, value in picture.info.items() if name != "transparency"}
    return eight


def _raw_mode(picture: Image.Image) -> str:
    """Return how Pillow's decoder will read samples, "" if it has done so or says nothing."""
    tiles: list[Any] = getattr(picture, "tile", [])
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple) else args)


def _words(picture: Image.Image, raw: str) -> Words | None:
    """Return the samples (H, W, C) of a picture of deep colours, None of others.

    Pillow has no mode for them: high and low bytes are decoded one after another.
    """
    found = _COLOURS.fullmatch(raw)
    if found is None or picture.format not in ("PNG", "TIFF"):
        return None
    kind, order = found[1], found[2]
    if kind == "LA":
        both = np.asarray(_again(picture, "I", "I;32B")).view(np.uint32)
        return np.stack([both >> 16, both & MOST], -1).astype(np.uint16)
    straight = kind.replace("a", "A")
    high, low = (
        np.asarray(_again(picture, picture.mode, f"{straight};16{half}"))
        for half in (order, _SWAPPED[order])
    )
    words: Words = high.astype(np.uint16) << 8 | low
    return _straight(words, MOST) if kind == "RGBa" else words


def _straight(words: Words, white: int) -> Words:
    """Return samples (H, W, 4) whose colours were multiplied with alpha as they were before."""
    alpha = words[..., 3:]
    return np.concatenate([unmultiplied(words[..., :3], alpha, white), alpha], -1)


def unmultiplied(colours: NDArray[Any], alpha: NDArray[Any], white: int) -> NDArray[Any]:
    """Return colours that were multiplied with alpha, of the same dimensions, as before."""
    share = alpha.clip(1).astype(np.uint32)
    found = (colours * np.uint32(white) + share // 2) // share
    return found.clip(0, white).astype(colours.dtype)


def _again(picture: Image.Image, mode: str, raw: str) -> Image.Image:
    """Open the file of a picture once more and load it in another way."""
    file: Any = getattr(picture, "fp", None)
    file.seek(0)
    twin: Any = Image.open(file)
    twin._mode = mode
    twin.tile = [
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
        for tile in twin.tile
    ]
    twin.load()
    return twin  # type: ignore[no-any-return]


def _with_small_key(picture: Image.Image, raw: str, key: Any) -> Image.Image:
    """Return a picture with the transparent colour of its file scaled as Pillow scales samples."""
    if key is None or picture.format != "PNG" or picture.mode not in ("L", "RGB"):
        return picture
    if picture.mode == "RGB" and max(key) > 255:
        raise ImageError("its transparent colour has more bits than its samples")
    scale = _SMALL_GREY.get(raw, 1)
    if scale > 1:
        picture = picture.copy()
        picture.info["transparency"] = (key & (255 // scale)) * scale  # its low bits count
    return picture


def _without_alpha(picture: Image.Image) -> Image.Image:
    found = picture.convert("L" if picture.mode == "LA" else "RGB")
    found.info.pop("transparency", None)
    return found


def _transparent_around(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    found = picture.convert("LA" if picture.mode == "L" else "RGBA")
    alpha = Image.new("L", picture.size)
    alpha.paste(255, box)
    found.putalpha(alpha)
    return found


def _by_mode(picture: Image.Image) -> Layout:
    deep = picture.mode in _GREY or _CUT.search(str(getattr(picture, "tile", [])[:1])) is not None
    return Layout(16 if deep else 8)


def _bytes(picture: Any) -> bytes:
    """Return the file of a picture that is not loaded yet, else nothing."""
    return b"".join(asked(picture, {picture.format: _all}))


def _all(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield file.read()


def _png(picture: Any) -> Layout:
    """Pillow does not look at the checksums of pixels."""
    if any(asked(picture, {"PNG": _wrong_checksums})):
        raise ImageError("is damaged: a checksum of its pixels is wrong")
    return _by_mode(picture)


def _wrong_checksums(file: IO[bytes]) -> Iterator[bool]:
    """Yield of each chunk of pixels whether it is damaged; what is cut off is not looked at."""
    for kind, start, end in chunks(file):
        if kind == b"IEND":  # what is behind it may be anything
            return
        if kind == b"IDAT":
            found = zlib.crc32(kind)
            for place in range(start, end, _PIECE):
                found = zlib.crc32(file.read(min(_PIECE, end - place)), found)
            told = file.read(4)
            yield len(told) == 4 and int.from_bytes(told, "big") != found


def _pcx(picture: Any) -> Layout:
    """Without the palette at its end, Pillow takes the numbers of colours for grey."""
    data = _bytes(picture) if picture.mode == "L" else b""
    if data and data[68:69] != _PCX_GREY and data[-_PCX_PALETTE:][:1] != b"\x0c":
        raise ImageError("its palette is missing (it is cut off, or damaged)")
    return Layout()


def _tiff(picture: Any) -> Layout:
    tags = getattr(picture, "tag_v2", None)
    if tags is None:  # a copy, or one that was pickled
        return _by_mode(picture)
    bits = int(np.max(tags.get(258, 1)))
    signs = {2: "signed", 3: "floating-point"}
    kinds = {signs[kind] for kind in np.ravel(tags.get(339, 1)).tolist() if kind in signs}
    if kinds and picture.mode not in ("I", "F") or bits == 16 and kinds:
        raise ImageError(f"{kinds.pop()} samples cannot be kept in 8-bit RGB or grey")
    if (planes := int(tags.get(32997, 1))) > 1:
        raise ImageError(f"holds {planes} planes, save the one that is meant")
    if tags.get(254, 0) & _SMALL and num_inside(tags):
        raise ImageError(
            "its first picture is a preview (of a raw photograph?), save the one that is meant"
        )
    compression, polarity = tags.get(259, 1), tags.get(262, 0)
    if 262 not in tags and compression not in _FAX:
        raise ImageError("does not say what its samples mean (PhotometricInterpretation)")
    more = sum(kind == 0 for kind in tags.get(338, ()))
    if tags.get(284, 1) == 2:
        wrong = picture.mode in ("LA", "La", "PA") or (bits > 8 and picture.mode not in _GREY)
        if compression == 1:
            wrong |= bits != 8 or polarity in (0, 6) or tags.get(266, 1) != 1
            wrong |= not {0, 1}.isdisjoint(tags.get(338, ()))
        if wrong:
            what = "more than 8 bits a sample" if bits > 8 else "such samples"
            raise ImageError(f"{what} in separate planes are not handled")
    if polarity == 6 and compression == 1 and tags.get(530, (2, 2)) != (1, 1):
        raise ImageError("uncompressed YCbCr of a lower resolution is not handled")
    _check_parts(tags)
    notes = _left_out(more) + (_tiff_palette(picture) if picture.mode in ("P", "PA") else ())
    if picture.mode in ("RGBA", "LA", "PA") and not {1, 2} & set(tags.get(338, ())):
        notes += (_GUESSED,)
    notes += reference_notes(tags)
    white = 2**bits - 1 if picture.mode in _GREY else MOST
    return Layout(bits, white, polarity == 0, notes)


def _check_parts(tags: Any) -> None:
    """Refuse a TIFF of which strips or tiles are not there: Pillow would read what is elsewhere.

    Programs leave out those of no data, as GDAL does with SPARSE_OK.
    """
    width, height = (int(tags.get(tag, 0)) for tag in (256, 257))
    if 324 in tags:
        across, down = (int(tags.get(tag, 0)) or 1 for tag in (322, 323))
        if across * down > max(_MOST_TILE, 4 * width * height):  # which takes memory, seen or not
            raise ImageError(f"tiles of {across}x{down} pixels in a picture of {width}x{height}")
        num, places = -(-width // across) * -(-height // down), tags[324]
    else:
        num, places = -(-height // (min(int(tags.get(278, height)), height) or 1)), tags.get(273)
    num *= int(tags.get(277, 1)) if tags.get(284, 1) == 2 else 1
    found = np.ravel(places)[:num] if places is not None else np.zeros(0)
    if tags.get(259) != _OLD_JPEG and (len(found) < num or not found.all()):
        raise ImageError("a TIFF of which strips or tiles are missing (sparse, or damaged)")


def reference_notes(tags: Any) -> tuple[str, ...]:
    """Return notes on how a TIFF with these tags means its YCbCr or RGB, which nothing heeds."""
    space, usual = _REFERENCES.get(tags.get(262), ("", {}))
    names = {529: "coefficients", 532: "black and white"}
    found = []
    for tag, values in usual.items():
        told = np.array(tags.get(tag, values), np.float64)
        if told.size and told.max() == MOST:  # of 16 bits
            told /= 257
        if told.shape != (len(values),) or not np.allclose(told, values, rtol=0.01, atol=0.002):
            shown = ", ".join(f"{value:g}" for value in told.flat)
            found.append(f"its {space} has other {names[tag]} ({shown}), and is read as usual")
    return tuple(found)


def _tiff_palette(picture: Any) -> tuple[str, ...]:
    """Set a palette as its 16 bits mean it, and tell whether they fit into 8."""
    eight, _ = _palette(picture.tag_v2)
    if eight.size and picture.tile:
        picture.palette = ImagePalette.raw("RGB;L", eight.astype(np.uint8).tobytes())
    return palette_notes(picture.tag_v2)


def palette_notes(tags: Any) -> tuple[str, ...]:
    """Return a note where the palette of a TIFF with these tags has more than 8 bits."""
    if tags.get(262) != _PALETTE or _palette(tags)[1]:
        return ()
    return ("a palette of 16-bit colours was reduced to 8 bits",)


def _palette(tags: Any) -> tuple[NDArray[Any], bool]:
    """Return in 8 bits the palette of a TIFF with these tags, and whether nothing is lost."""
    words = np.array(tags.get(320, ()))
    # of programs that did not know better; libtiff takes it so, too
    if words.size == 0 or words.max() < 256:
        return words, True
    if (words % 256 == 0).all():
        return words // 256, True
    return (words + 128) // 257, bool((words % 257 == 0).all())


def _left_out(more: int) -> tuple[str, ...]:
    if not more:
        return ()
    return (f"{more} further sample{'s' * (more > 1)} of each pixel left out",)


def _ppm(picture: Any) -> Layout:
    args = picture.tile[0][3] if picture.tile else ""  # "RGB", or ("RGB", largest sample)
    most = args[-1] if isinstance(args, tuple) else 0
    return Layout(16 if picture.mode == "I" or most > 255 else 8)


def _jpeg_2000(picture: Any) -> Layout:
    data = _bytes(picture)
    found = _SIZ.search(data)
    if found is None:
        return _by_mode(picture)
    sizes = data[found.end() :: 3][: int.from_bytes(found[1], "big")]
    if any(size & 128 for size in sizes):
        raise ImageError("signed samples cannot be kept in 8-bit RGB or grey")
    bits = max(sizes) + 1
    if bits > 8 and picture.mode not in _GREY:  # Pillow would round white up, and that to black
        raise ImageError("more than 8 bits a sample of this kind of JPEG 2000 are not handled")
    if min(sizes) < 7:  # Pillow would not scale them to the full range
        raise ImageError(f"{min(sizes) + 1} bits a sample of JPEG 2000 are not handled")
    kinds = _kinds_of_channels(data)
    if any(kind == _COLOUR and of not in (i + 1, *_NO_COLOUR) for i, (kind, of) in kinds.items()):
        raise ImageError("channels of JPEG 2000 in another order are not handled")
    notes: tuple[str, ...] = ()
    if picture.mode in ("RGBA", "LA"):
        kind, _ = kinds.get(len(picture.mode) - 1, (None, 0))
        if kind == _PREMULTIPLIED:
            raise ImageError("premultiplied transparency of JPEG 2000 is not handled")
        notes += () if kind == _ALPHA else (_GUESSED,)
    return Layout(bits, (2**bits - 1) << max(0, 16 - bits), notes=notes)


def _kinds_of_channels(data: bytes) -> dict[int, tuple[int, int]]:
    """Return what each channel of JPEG 2000 is, and the number of its colour, from 1."""
    file = io.BytesIO(data)
    for kind, first, last in boxes(file):
        inside = boxes(file, first, last) if kind == b"jp2h" else ()
        for name, start, stop in inside:
            if name == b"cdef":
                told = data[start + 2 : stop]
                triples = struct.iter_unpack(">3H", told[: len(told) // 6 * 6])
                return {channel: (what, colour) for channel, what, colour in triples}
    return {}


def _avif(picture: Any) -> Layout:
    data = _bytes(picture)
    for kind, code in properties(io.BytesIO(data)):
        if kind == b"av1C":
            return Layout(10 if (code + bytes(3))[2] & 0x40 else 8)
    return Layout(10 if _DEEP_AVIF.search(data) else 8)  # as the tiles of a grid say


def _heif(picture: Any) -> Layout:
    bits = int(picture.info.get("bit_depth", 8))
    return Layout(bits, (2**bits - 1) << max(0, 16 - bits))


def _heif_words(picture: Image.Image, found: Layout) -> Words | None:
    """Return the samples of deep colours, which the plugin would cut."""
    file: Any = getattr(picture, "fp", None)
    if found.bits <= 8 or picture.mode in _GREY or file is None:
        return None
    from pillow_heif import open_heif

    file.seek(0)
    deep = open_heif(file, convert_hdr_to_8bit=False)
    words = np.asarray(deep)
    return _straight(words, found.white) if deep.mode.startswith("RGBa") else words


def _jxl(picture: Any) -> Layout:
    data = _bytes(picture)
    if not data:
        return _by_mode(picture)
    header = jxl_header.read(data)
    transparent = "A" in picture.getbands()
    if transparent and header.premultiplied:
        raise ImageError("premultiplied transparency of JPEG XL is not handled")
    return Layout(header.bits, notes=_left_out(max(0, header.extra - transparent)))


def _fits(picture: Any) -> Layout:
    if picture.mode != "L":
        raise ImageError("signed samples cannot be kept in 8-bit RGB or grey")
    planes = _FITS_PLANES.search(_bytes(picture))
    if planes and int(planes[1]) > 1:
        raise ImageError(f"holds {int(planes[1])} planes, save the one that is meant")
    return Layout()


def _psd(picture: Any) -> Layout:
    data = _bytes(picture)
    channels, mode = struct.unpack(">12xH10xH", data[:26] or bytes(26))
    notes = _left_out(max(0, channels - len(picture.getbands())))
    if "A" in picture.getbands() and data and _num_layers(data) >= 0:  # may be what was selected
        notes += (_GUESSED,)
    return Layout(notes=notes + ("the colours of its duotone are left out",) * (mode == _DUOTONE))


def _num_layers(data: bytes) -> int:
    """Return the number of layers of Photoshop's; below 0: a further channel is transparency."""

    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], "big", signed=size == 2)

    place = 26
    for _ in ("colours", "resources"):
        place += 4 + number(place, 4)
    return number(place + 8, 2) if number(place, 4) else 0


def _bmp(picture: Any) -> Layout:
    """Of 16 bits a pixel Pillow reads colours alone."""
    head = _bytes(picture)[BMP_HEADER : BMP_HEADER + 56].ljust(56, b"\0")
    size, compression, alpha = (int.from_bytes(head[at : at + 4], "little") for at in (0, 16, 52))
    masked = compression in _MASKED_BMP and size >= len(head) and alpha
    lost = masked and not picture.has_transparency_data
    return Layout(notes=("its transparency is left out",) * bool(lost))


def _tga(picture: Any) -> Layout:
    """As the header says how many bits are alpha; what else stands there may be anything."""
    descriptor = _bytes(picture)[17:18] or b"\x0f"
    if "A" not in picture.mode or descriptor[0] & 15:
        return Layout()
    return Layout(opaque=True, notes=_left_out(1))


def _gif(picture: Any) -> Layout:
    """Around a first frame without a transparent colour, Pillow has the first one of its palette.

    Nothing is there, as browsers show it.
    """
    boxes = [box for _, box, *_ in picture.tile if not picture.tell()]
    small = boxes and boxes[0] != (0, 0, *picture.size) and "transparency" not in picture.info
    return Layout(covered=boxes[0] if small else None)


def _xbm(picture: Any) -> Layout:
    """Bits that are set are drawn, which is in black."""
    return Layout(negative=bool(_bytes(picture)))


_LAYOUTS: dict[str, Callable[[Any], Layout]] = {
    "PNG": _png, "PCX": _pcx, "TIFF": _tiff, "PPM": _ppm, "JPEG2000": _jpeg_2000, "AVIF": _avif,
    "HEIF": _heif, "JXL": _jxl, "FITS": _fits, "PSD": _psd, "TGA": _tga, "BMP": _bmp, "GIF": _gif,
    "XBM": _xbm,
}  # fmt: skip

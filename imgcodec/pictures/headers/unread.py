"""What a picture file holds that neither Pillow nor anything here reads, in words."""

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

from PIL import Image, PngImagePlugin

from imgcodec.format.xmp import JPEG_START, PNG_KEYWORD
from imgcodec.pictures.headers.overlooked import BMP_HEADER, UUIDS, tells_place
from imgcodec.pictures.headers.parts import MOST_BOXES, MOST_CHUNKS, asked, boxes, chunks

# Chunks of PNG that are kept, told elsewhere, or say how it is stored.
_CHUNKS = {
    b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"cHRM", b"cICP", b"eXIf", b"gAMA", b"iCCP", b"iDOT",
    b"iTXt", b"hIST", b"pHYs", b"sBIT", b"sRGB", b"tEXt", b"zTXt", b"acTL", b"fcTL", b"fdAT",
}  # fmt: skip
_RIFF = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}  # same
_BOXES = {  # same, of HEIF, AVIF, JPEG 2000 and JPEG XL
    b"ftyp", b"meta", b"mdat", b"free", b"skip", b"wide", b"jP  ", b"jp2h", b"jp2c", b"rreq",
    b"jpch", b"jplh", b"JXL ", b"jxll", b"jxlc", b"jxlp", b"jxli", b"jbrd",
}  # fmt: skip
_METADATA = UUIDS | {b"Exif": "exif", b"xml ": "xmp"}  # boxes of JPEG 2000 and JPEG XL
_PNM_BITS = {  # of a pixel, by Pillow's names; twice as many where values exceed 255
    "1;I": 1, "L": 8, "RGB": 24, "CMYK": 32, "I;16B": 16, "F;32F": 32, "F;32BF": 32,
}  # fmt: skip
_DDS_CUBE, _DDS_VOLUME = 0x200, 0x200000
_SOS, _EOI = 0xDA, 0xD9
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PIECE = 2**20  # bytes looked at together
_FILLING = b"\0\xff\r\n \x1a"
_COMMENT, _APPS = 0xFE, range(0xE0, 0xF0)
_STORED = {  # how segments of JPEG start that say how it is stored
    "APP0": (b"JFIF\0", b"JFXX\0"), "APP10": (b"aic half\0",),  # see jpeg/halves.py
    "APP12": (b"Ducky",), "APP14": (b"Adobe",),
}  # fmt: skip
_USED = _STORED | {  # and of those that are kept, or told elsewhere, if they stand before a scan
    "APP1": (b"Exif\0", b"http://ns.adobe.com/"), "APP2": (b"ICC_PROFILE\0", b"MPF\0"),
    "APP13": (b"Photoshop 3.0\0",),
}  # fmt: skip
# Name, whether packed, how, language, the name in it, text.
_ITXT = re.compile(rb"([^\0]*)\0(.)(.)([^\0]*)\0([^\0]*)\0(.*)", re.DOTALL)
_XMP_KEYWORD = PNG_KEYWORD.encode()


def passed_over(picture: Image.Image) -> list[str]:
    """Name what the file of an opened picture holds besides.

    Args:
        picture: opened, not loaded yet.
    """
    tiles = getattr(picture, "tile", ())
    boxed, bare = (partial(_boxes, picture.info, names) for names in (_METADATA, {}))
    ways: dict[str, Callable[[IO[bytes]], Iterator[str]]] = {
        "PNG": _png, "JPEG": _jpeg, "MPO": partial(_jpeg, alone=False), "WEBP": _webp,
        "PPM": partial(_pnm, tiles), "BMP": partial(_bmp, tiles), "GIF": _gif, "DDS": _dds,
        "JXL": boxed, "JPEG2000": boxed, "HEIF": bare, "AVIF": bare,
    }  # fmt: skip
    return asked(picture, ways)


def _png(file: IO[bytes]) -> Iterator[str]:
    told = set(_CHUNKS)
    kept: dict[str, set[bytes]] = {"XMP": set(), "EXIF": set()}
    for kind, start, end in chunks(file):
        if kind == b"IEND":
            yield from _behind(file, end + 4)
            break
        yield from _chunk(kind, told)
        if kind == b"eXIf":
            kept["EXIF"].add(file.read(end - start))
        elif kind == b"iTXt":
            text = file.read(end - start)
            name = text.partition(b"\0")[0]
            if not _is_read(text):
                yield f"the text {name.decode('latin-1')!r}"
            elif name == _XMP_KEYWORD:
                kept["XMP"].add(text)
    yield from (f"another {name}" for name, found in kept.items() if len(found) > 1)


def _is_read(text: bytes) -> bool:
    """Whether Pillow reads all of an iTXt chunk; of others, it says nothing."""
    found = _ITXT.fullmatch(text)
    if found is None:
        return False
    name, packed, method, *words = found.groups()
    try:
        if packed != b"\0":
            stream = zlib.decompressobj()
            words[-1] = stream.decompress(words[-1], PngImagePlugin.MAX_TEXT_CHUNK)
            if method != b"\0" or not stream.eof:
                return False
        if name != _XMP_KEYWORD:  # that is kept as it is
            for word in words:
                word.decode()
    except (zlib.error, UnicodeDecodeError):
        return False
    return True


def _webp(file: IO[bytes]) -> Iterator[str]:
    file.seek(4)
    (size,) = struct.unpack("<I", file.read(4))
    end = 8 + size + size % 2
    told, num = set(_RIFF), Counter[bytes]()
    file.seek(12)
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or file.tell() > end:
            break
        yield from _chunk(head[:4], told)
        num[head[:4]] += 1
        (size,) = struct.unpack_from("<I", head, 4)
        file.seek(size + size % 2, 1)
    yield from _behind(file, end)
    yield from (f"another {name.decode().strip()}" for name in (b"EXIF", b"XMP ") if num[name] > 1)


def _boxes(info: dict[Any, Any], names: dict[bytes, str], file: IO[bytes]) -> Iterator[str]:
    """Tell of boxes, also of those compressed by Brotli where the plugin does not know better.

    Args:
        info: of the picture.
        names: what boxes of some kinds, or of some UUIDs, hold that is kept.
        file: to read.
    """
    found = list(boxes(file))
    told, end = set(_BOXES), 0
    num = Counter[str]()
    for kind, start, stop in found:
        num["ftyp"] += kind == b"ftyp"
        num["picture"] += kind == b"jp2c"
        if kind == bytes(4) or num["ftyp"] > 1:  # filling, or another file
            break
        end = stop
        file.seek(start)
        name = names.get(file.read(16) if kind == b"uuid" else kind, "")
        if kind == b"brob":
            packed = names.get(file.read(4), "")
            if not info.get(packed):
                yield f"compressed {packed.upper() or 'boxes'} of JPEG XL"
        elif kind == b"jhgm":
            yield "the gain map of a brighter picture (HDR)"
        elif not name and not tells_place(file, kind, start):
            yield from _chunk(kind, told, "box")
        num[name] += 1
    if 0 < len(found) < MOST_BOXES:
        yield from _behind(file, end)
    yield from (f"another {name.upper()}" for name in ("exif", "xmp") if num[name] > 1)
    if num["picture"] > 1:
        yield "another picture"


def _gif(file: IO[bytes]) -> Iterator[str]:
    """Tell of what is behind the trailer."""
    file.seek(10)
    file.seek(13 + _gif_colours(file.read(1)))
    while (kind := file.read(1)) in (b"!", b","):  # an extension, or a picture
        skipped = 1 if kind == b"!" else 1 + _gif_colours(file.read(9)[8:])
        file.seek(skipped, 1)
        while size := int.from_bytes(file.read(1), "big"):
            file.seek(size, 1)
    if kind == b";":
        yield from _behind(file, file.tell())


def _gif_colours(flags: bytes) -> int:
    """Return how many bytes a table of colours takes."""
    return 6 << (flags[0] & 7) if flags > b"\x7f" else 0


def _bmp(tiles: Any, file: IO[bytes]) -> Iterator[str]:
    """Tell of what is behind what the headers speak of: the file, its pixels, and its profile."""
    size = file.seek(0, 2)
    file.seek(2)
    ends = [int.from_bytes(file.read(4), "little")]
    for coder, (_, _, _, height), offset, arguments in tiles:
        ends += [offset + height * arguments[1]] if coder == "raw" else []
    file.seek(BMP_HEADER)
    head = file.read(124)
    if len(head) == head[0] == 124:
        ends.append(BMP_HEADER + sum(struct.unpack_from("<II", head, 112)))
    if sane := [end for end in ends if BMP_HEADER < end <= size]:
        yield from _behind(file, max(sane))


def _dds(file: IO[bytes]) -> Iterator[str]:
    """Tell of further sides of a cube, layers of a volume and pictures of an array."""
    file.seek(0)
    head = file.read(144)
    several = int.from_bytes(head[112:116], "little") & (_DDS_CUBE | _DDS_VOLUME)
    if several or (head[84:88] == b"DX10" and int.from_bytes(head[140:], "little") > 1):
        yield "another picture"


def _chunk(name: bytes, told: set[bytes], word: str = "chunk") -> Iterator[str]:
    """Tell of a chunk that nothing speaks of yet."""
    if name not in told:
        told.add(name)
        yield f"{word} {ascii(name.decode('latin-1'))[1:-1]}"


def _jpeg(file: IO[bytes], alone: bool = True) -> Iterator[str]:
    """Tell of segments, and of what is behind the picture, if it is alone in its file."""
    file.seek(0)
    data = file.read()
    end = len(data)
    used, names, xmps = _USED, set(), set()
    for marker, start, stop in _parts_of_jpeg(data):
        if marker == _SOS:
            used = _STORED
        elif marker == _EOI:
            end = stop
        elif marker == _COMMENT and used is _STORED:
            names.add("a comment behind pixels")
        elif marker in _APPS:
            name, body = f"APP{marker - _APPS[0]}", data[start:stop]
            if not body.startswith(used.get(name, ())):
                names.add(f"segment {name}")
            elif body.startswith(JPEG_START):
                xmps.add(body)
    yield from sorted(names)
    if len(xmps) > 1:
        yield "another XMP"
    if alone:
        yield from _behind(file, end)


def _behind(file: IO[bytes], end: int) -> Iterator[str]:
    """Tell of what is behind the end of a picture."""
    size = file.seek(0, 2) - end
    file.seek(end)
    while piece := file.read(_PIECE):
        if piece.strip(_FILLING):
            yield f"{size} byte{'s' * (size > 1)} behind its end"
            return


def _pnm(tiles: Any, file: IO[bytes]) -> Iterator[str]:
    """Tell of a comment, and of a second picture that binary PBM, PGM, PPM and PFM may have."""
    for coder, (_, _, width, height), offset, arguments in tiles:
        file.seek(0)
        if b"#" in file.read(offset):
            yield "a comment"
        name, *most = (arguments,) if isinstance(arguments, str) else arguments
        bits = _PNM_BITS.get(name)
        if bits is not None and coder != "ppm_plain":
            bits *= 2 if most and most[0] > 255 else 1
            yield from _behind(file, offset + height * -(-width * bits // 8))


def _parts_of_jpeg(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment, and where its data start and end; the last is the EOI.

    A scan belongs to its marker. Where a file is damaged, all else may.
    """
    position = 2
    while 0 <= (position := data.find(b"\xff", position)):
        marker = data[position + 1 : position + 2]
        start = position + 4
        if marker in (b"\xff", b""):
            position += 1
        elif marker[0] == _EOI:
            yield _EOI, position, position + 2
            return
        else:
            position += 2 + int.from_bytes(data[position + 2 : start], "big")
            if marker[0] == _SOS:
                found = _END_OF_SCAN.search(data, position)
                position = found.start() if found else len(data)
            yield marker[0], start, position

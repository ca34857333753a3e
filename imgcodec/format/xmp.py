"""XMP packets: what they say of a picture's orientation and sides, found without an XML parser."""

import re

PNG_KEYWORD = "XML:com.adobe.xmp"  # of the text that holds a packet
JPEG_START = b"http://ns.adobe.com/xap/1.0/\0"  # of the segment that does, APP1
_OPEN = rb"(?<!/)"  # not the end of an element
_VALUE = rb"((?:\s*=\s*[\"']|>)\s*)([^\"'<>]*)"  # as an attribute, or as an element
_PIXELS = (
    (b"tiff:ImageWidth", b"tiff:ImageLength"),
    (b"exif:PixelXDimension", b"exif:PixelYDimension"),
)
_SIDES = (
    *_PIXELS,
    (b"tiff:XResolution", b"tiff:YResolution"),
    (b"exif:FocalPlaneXResolution", b"exif:FocalPlaneYResolution"),
)
_ORIENTATION = b"tiff:Orientation"


def orientation(xmp: bytes) -> int | None:
    """Return the orientation, None where none is said."""
    value = (_value(xmp, _ORIENTATION) or b"").strip()
    return int(value) if re.fullmatch(rb"[0-9]", value) else None


def upright(xmp: bytes, turned: int) -> bytes:
    """Return the packet of a picture that was turned upright; `turned`: its orientation before."""
    if orientation(xmp) is not None:
        xmp = _replaced(xmp, _ORIENTATION, b"1")
    for sides in _SIDES if turned in range(5, 9) else ():
        width, height = (_value(xmp, name) for name in sides)
        if width is not None and height is not None:
            xmp = _replaced(_replaced(xmp, sides[0], height), sides[1], width)
    return xmp


def of_size(xmp: bytes, height: int, width: int) -> bytes:
    """Return the packet of a picture that was cropped or resized."""
    for name, side in ((0, width), (1, height)):
        for sides in _PIXELS:
            xmp = _replaced(xmp, sides[name], b"%d" % side)
    return xmp


def _value(xmp: bytes, name: bytes) -> bytes | None:
    found = re.search(_OPEN + name + _VALUE, xmp)
    return found[2] if found else None


def _replaced(xmp: bytes, name: bytes, value: bytes) -> bytes:
    """Return the packet with another value of a property."""
    return re.sub(_OPEN + name + _VALUE, lambda found: name + found[1] + value, xmp)

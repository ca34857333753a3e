r"""The `.aic` container, version 1, of method 1: a JPEG file without loss. This table is the norm.

Little-endian, unsigned, without gaps; CRC-32 is that of zlib and PNG.

    offset  size  field     allowed values
    0       4     magic     89 41 49 43 (b"\x89AIC")
    4       1     version   1
    5       1     method    1 (a packed JPEG file)
    6       2     slices    N, 1..65535
    8       8     model_id  first 8 bytes of the SHA-256 of the weights
    16      4     size      bytes of the JPEG file
    20      4     file_crc  CRC-32 of the JPEG file
    24      4     frame     bytes of what lies around the coded blocks, see docs/format.md
    28      4     length    bytes of the same, compressed
    32      4     crc       CRC-32 of these
    36      8*N   index     per slice: u32 length of its bytes, u32 CRC-32
    36+8*N  4     crc       CRC-32 of all bytes before it
    what lies around the blocks, compressed
    slices, the bytes of each, in the order of the index
"""

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate
from mmap import mmap
from typing import Any, NamedTuple

from imgcodec.errors import FormatError
from imgcodec.format.container import LOSSLESS, MAGIC, METHOD, PACKED, VERSION, too_short
from imgcodec.format.mending import mended

MAX_SLICES = 65535
MAX_BYTES = 2**32 - 1  # of a JPEG file

_FIXED = struct.Struct("<4sBBH8sIIIII")
_ENTRY = struct.Struct("<II")
_CRC_BYTES = 4


class Header(NamedTuple):
    """What stands in the fixed header besides lengths that follow from the parts."""

    model_id: bytes  # first 8 bytes of the SHA-256 of the weights
    size: int  # bytes of the JPEG file
    file_crc: int
    frame_bytes: int  # of what lies around the blocks, before it is compressed


class Packed(NamedTuple):
    """A file of this kind, taken apart."""

    header: Header
    frame: bytes  # compressed
    slices: list[bytes]


def is_packed(data: bytes | mmap) -> bool:
    """Whether a file says that it is of this method."""
    return len(data) >= 6 and data[:4] == MAGIC and data[5] == PACKED


def kind_of(data: bytes) -> str | None:
    """Return in words what kind of .aic file begins with these bytes, None: it is none."""
    if is_packed(data):
        return "a packed JPEG file, which `aic unpack` gives back as it was"
    return "an .aic file, which `aic decode` decodes" if data.startswith(MAGIC) else None


def pack(header: Header, frame: bytes, slices: Sequence[bytes]) -> bytes:
    """Return the file of these parts; `FormatError` for what `unpack` would refuse."""
    if not 1 <= len(slices) <= MAX_SLICES:
        raise FormatError(f"{len(slices)} slices, wanted 1..{MAX_SLICES}")
    for part in (header.size, header.frame_bytes, len(frame), *map(len, slices)):
        if part > MAX_BYTES:
            raise FormatError(f"{part} bytes, at most {MAX_BYTES} are allowed")
    head = _FIXED.pack(
        MAGIC, VERSION, PACKED, len(slices), header.model_id, header.size, header.file_crc,
        header.frame_bytes, len(frame), zlib.crc32(frame),
    )  # fmt: skip
    head += b"".join(_ENTRY.pack(len(part), zlib.crc32(part)) for part in slices)
    return b"".join([head, zlib.crc32(head).to_bytes(_CRC_BYTES, "little"), frame, *slices])


def unpack(data: bytes | mmap) -> Packed:
    """Return the parts of a file; else `FormatError`, its claims never allocated."""
    header, parts = _apart(data)
    for where, part, crc in parts:
        if zlib.crc32(part) != crc:
            raise FormatError(f"checksum mismatch in {where}")
    return Packed(header, parts[0][1], [part for _, part, _ in parts[1:]])


def unpack_mended(data: bytes | mmap) -> tuple[Packed, list[str]]:
    """Return the parts of a file, single wrong bits of them set right, and what was wrong.

    Raises as `unpack` where more of a part is wrong.
    """
    header, parts = _apart(data)
    right, wrong = [], []
    for where, part, crc in parts:
        found: bytes | None = part
        if zlib.crc32(part) != crc:
            found = mended(part, crc)
            wrong.append(f"checksum mismatch in {where}, a single wrong bit")
        if found is None:
            raise FormatError(f"checksum mismatch in {where}")
        right.append(found)
    return Packed(header, right[0], right[1:]), wrong


def _apart(data: bytes | mmap) -> tuple[Header, list[tuple[str, bytes, int]]]:
    """Return the header, and each part: what it is called, its bytes, what their CRC should be."""
    if len(data) < _FIXED.size:
        raise FormatError(too_short(len(data), _FIXED.size))
    magic, version, method, num, model_id, size, file_crc, raw, length, crc = _FIXED.unpack_from(
        data
    )
    if magic != MAGIC:
        raise FormatError("not an .aic file")
    if version == VERSION and method in (METHOD, LOSSLESS):
        raise FormatError("an encoded picture, which `aic decode` decodes, no packed JPEG file")
    if (version, method) != (VERSION, PACKED):
        raise FormatError(f"version {version}, method {method} is no packed JPEG file")
    if not num:
        raise FormatError("no slices")
    start = _FIXED.size + num * _ENTRY.size + _CRC_BYTES
    if len(data) < start:
        raise FormatError(f"{len(data)} bytes, this header with its index has {start}")
    head = data[: start - _CRC_BYTES]
    if zlib.crc32(head) != int.from_bytes(data[start - _CRC_BYTES : start], "little"):
        raise FormatError("checksum mismatch in the header")
    entries = list(_ENTRY.iter_unpack(head[_FIXED.size :]))
    lengths = [length, *(entry[0] for entry in entries)]
    edges = list(accumulate(lengths, initial=start))
    if len(data) != edges[-1]:
        raise FormatError(f"{len(data)} bytes, the header claims {edges[-1]}")
    parts = [data[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    names = ["what lies around the blocks", *(f"slice {number}" for number in range(num))]
    crcs = [crc, *(entry[1] for entry in entries)]
    return Header(model_id, size, file_crc, raw), list(zip(names, parts, crcs, strict=True))


def info(data: bytes | mmap) -> dict[str, Any]:
    """Return what a file tells without its weights, ready for JSON; `FormatError` as `unpack`."""
    header, frame, slices = unpack(data)
    return {
        "version": VERSION,
        "method": PACKED,
        "bytes": len(data),
        "model_id": header.model_id.hex(),
        "jpeg_bytes": header.size,
        "jpeg_crc": f"{header.file_crc:08x}",
        "frame": {"bytes": len(frame)},
        "slices": [{"bytes": len(part)} for part in slices],
    }

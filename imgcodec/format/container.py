r"""The `.aic` container, version 1: bytes in, bytes out. This table is the norm.

Little-endian, unsigned, without gaps: fixed header, index, header CRC, chunks, tiles, the end.
CRC-32 is that of zlib and PNG; edge = 64 * tile, N = ceil(height / edge) * ceil(width / edge).

    offset  size  field     allowed values
    0       4     magic     89 41 49 43 (b"\x89AIC")
    4       1     version   1
    5       1     method    0 (this codec), 2 (without loss; since 1.4); 1 is that of packed.py,
                            from here on another table
    6       1     channels  1 (grey), 3 (RGB)
    7       1     entropy   0 (none: packed bits), 1 (range coder)
    8       4     width     1..65535 pixels
    12      4     height    1..65535 pixels; width * height <= 2^30
    16      2     u         0..65535, the rate parameter 0..1 in steps of 1/65535
    18      2     tile      0: one tile, N = 1, of at most 2^24 pixels; else 1..64, and 64 * tile
                            is less than the longer side
    20      8     model_id  first 8 bytes of the SHA-256 of the weights
    28      1     chunks    number of chunks, 0..255
    29      8*N   index     per tile, row by row: u32 length of its bytes (may be 0), u32 CRC-32
    29+8*N  4     crc       CRC-32 of all bytes before it
    chunks, offsets from the start of each
    0       4     type      ASCII letters, a type at most once; a decoder that does not know it
                            skips it (first letter lower case) or refuses the file (upper case)
    4       4     length    bytes of data, may be 0
    8       4     crc       CRC-32 of type and data
    12      ...   data
    tiles, the bytes of each, in the order of the index

Without loss, entropy and u are 0, model_id is eight times 0, and the bytes of a tile are the
bitstream of lossless WebP (RFC 9649, section 3) of its pixels, red, green and blue, without alpha,
of a grey picture all three alike. See `joined` where the picture itself was made simpler before.
"""

import math
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from mmap import mmap
from typing import Any, Protocol, runtime_checkable

from imgcodec.errors import AicError, FormatError, check_number

MAGIC = b"\x89AIC"
VERSION = 1
METHOD = 0
PACKED = 1  # the method of `packed`
LOSSLESS = 2
ENTROPIES = ("none", "range")  # the place of a name is its number in the header
MAX_SIDE = 65535  # pixels
MAX_PIXELS = 2**30
MAX_U = 65535  # stands for u = 1.0
TILE_UNIT = 64  # pixels
MAX_EDGE = 4096  # pixels, of a tile
NO_MODEL = bytes(8)

_FIXED = struct.Struct("<4sBBBBIIHH8sB")
_ENTRY = struct.Struct("<II")  # of the index: length, CRC
_CHUNK = struct.Struct("<4sII")  # type, length, CRC
_CRC_BYTES = 4  # of fixed header and index
Chunk = tuple[bytes, bytes]  # type, data
_HOLDS = {  # what chunks hold, for messages
    b"alpH": "transparency",
    b"iccP": "colour profile",
    b"exiF": "EXIF",
    b"xmpD": "XMP",
    b"geoR": "georeference",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the decoder must know before it reads a tile; fields as in the module's table."""

    width: int  # pixels
    height: int  # pixels
    channels: int  # 1 or 3
    entropy: int  # place in ENTROPIES
    u: int  # 0..MAX_U
    tile: int  # edge in units of TILE_UNIT, 0: one tile
    model_id: bytes  # first 8 bytes of the SHA-256 of the weights
    method: int = METHOD

    @property
    def lossless(self) -> bool:
        """Whether tiles hold pixels as they are, without a model."""
        return self.method == LOSSLESS

    @property
    def raw(self) -> bool:
        """Whether bits of codes are stored as they are, without a coder."""
        return ENTROPIES[self.entropy] == "none"

    @property
    def needs(self) -> bytes | None:
        """Id of the weights that the file needs, None: of none."""
        return None if self.lossless else self.model_id

    def __post_init__(self) -> None:
        """Refuse what `pack` must not write and `unpack` must not return."""
        _check_range("width", self.width, 1, MAX_SIDE)
        _check_range("height", self.height, 1, MAX_SIDE)
        _check_range("number of pixels", self.num_pixels, 1, MAX_PIXELS)
        if self.channels not in (1, 3):
            raise FormatError(f"channels {self.channels} is neither 1 nor 3")
        _check_range("entropy", self.entropy, 0, len(ENTROPIES) - 1)
        _check_range("u", self.u, 0, MAX_U)
        size = f"{self.width}x{self.height}"
        if self.edge == 0 and self.num_pixels > MAX_EDGE**2:
            raise FormatError(f"one tile of {size} pixels, at most {MAX_EDGE**2} are allowed")
        if self.edge != 0 and not 0 < self.edge < max(self.width, self.height):
            raise FormatError(f"tile edge {self.edge} for {size}, one tile has 0")
        _check_range("tile edge", self.edge, 0, MAX_EDGE)
        if len(self.model_id) != 8:
            raise FormatError(f"model id has {len(self.model_id)} bytes, not 8")
        if self.lossless and (self.entropy, self.u, self.model_id) != (0, 0, NO_MODEL):
            raise FormatError("without loss, but with an entropy coder, a rate or a model")

    @property
    def num_pixels(self) -> int:
        """Pixels of the picture."""
        return self.width * self.height

    def bpp(self, num_bytes: int) -> float:
        """Return the bits per pixel of a whole file of so many bytes."""
        return 8 * num_bytes / self.num_pixels

    @property
    def edge(self) -> int:
        """Edge of a tile in pixels; 0: the whole picture is one tile."""
        return self.tile * TILE_UNIT

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        edge = self.edge or MAX_SIDE
        return math.ceil(self.height / edge), math.ceil(self.width / edge)


def pack(header: Header, tiles: Sequence[bytes], chunks: Sequence[Chunk] = ()) -> bytes:
    """The file of these parts, tiles row by row; `FormatError` for what `unpack` would refuse."""
    if len(tiles) != math.prod(header.grid):
        raise FormatError(f"{len(tiles)} tiles, the header has {math.prod(header.grid)}")
    _check_range("number of chunks", len(chunks), 0, 255)
    _check_types(chunks)
    for part in (*tiles, *(chunk for _, chunk in chunks)):
        _check_range("length of a tile or chunk", len(part), 0, 2**32 - 1)
    head = _FIXED.pack(
        MAGIC, VERSION, header.method, header.channels, header.entropy, header.width,
        header.height, header.u, header.tile, header.model_id, len(chunks),
    )  # fmt: skip
    head += b"".join(_ENTRY.pack(len(tile), zlib.crc32(tile)) for tile in tiles)
    parts = [head, zlib.crc32(head).to_bytes(_CRC_BYTES, "little")]
    for kind, chunk in chunks:
        _chunk_name(kind)
        parts += [_CHUNK.pack(kind, len(chunk), zlib.crc32(kind + chunk)), chunk]
    return b"".join([*parts, *tiles])


@runtime_checkable
class Stored(Protocol):
    """Bytes that are read where they are looked at, as `imgcodec.files` has them."""

    def __len__(self) -> int:
        """Return how many there are."""

    def part(self, start: int, end: int) -> bytes:
        """Return those from `start` on and before `end`."""


def as_bytes(data: bytes | bytearray | memoryview | mmap) -> bytes:
    """Return what is like bytes as such; `TypeError` for what is not, as a path."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


class File:
    """A file whose header, index and chunks are whole; of its tiles nothing is known yet.

    Attributes:
        header: of the file.
        chunks: all that are there.
        lost: what is wrong with each chunk that is left out, see `imgcodec.format.damaged`.
        mended: number of a tile, or type of a chunk, that was made whole -> what was wrong.
    """

    def __init__(self, data: bytes | mmap | Stored) -> None:
        """Read all but the tiles; `FormatError` where that is damaged or no .aic file."""
        self._data = data if isinstance(data, mmap | Stored) else as_bytes(data)
        if self.num_bytes < _FIXED.size:
            raise FormatError(too_short(self.num_bytes, _FIXED.size))
        fixed = self._part(0, _FIXED.size)
        magic, version, method, channels, entropy, *sizes, num_chunks = _FIXED.unpack(fixed)
        if magic != MAGIC:
            raise FormatError("not an .aic file")
        if (version, method) == (VERSION, PACKED):
            raise FormatError("a packed JPEG file, which `aic unpack` gives back as it was")
        if version != VERSION or method not in (METHOD, LOSSLESS):
            known = f"{VERSION} and {METHOD} to {LOSSLESS}"
            raise FormatError(f"version {version}, method {method}, this decoder knows {known}")
        width, height, u, tile_units, model_id = sizes
        self.header = Header(width, height, channels, entropy, u, tile_units, model_id, method)
        position = overhead_bytes(math.prod(self.header.grid))
        if self.num_bytes < position:
            raise FormatError(f"{self.num_bytes} bytes, this header with its index has {position}")
        whole = self._part(0, position)
        head, crc = whole[:-_CRC_BYTES], whole[-_CRC_BYTES:]
        if zlib.crc32(head) != int.from_bytes(crc, "little"):
            raise FormatError("checksum mismatch in the header")
        self._entries = list(_ENTRY.iter_unpack(head[_FIXED.size :]))
        self.chunks: list[Chunk] = []
        self.lost: list[str] = []
        self.mended: dict[int | bytes, str] = {}
        self._starts = self._starts_from(self._read_chunks(position, num_chunks))
        _check_types(self.chunks)

    @property
    def num_bytes(self) -> int:
        """Bytes that are there."""
        return len(self._data)

    @property
    def num_tiles(self) -> int:
        """Number of tiles."""
        return len(self._entries)

    @property
    def excess(self) -> int:
        """How many bytes there are after the last tile."""
        return max(self.num_bytes - self.length, 0)

    @property
    def length(self) -> int:
        """How many bytes there are in the file if it is whole."""
        end: int = self._starts[-1]
        return end

    def check_length(self) -> None:
        """Refuse a file that is cut or has something after its last tile."""
        if len(self._data) != self.length:
            raise FormatError(f"{len(self._data)} bytes, the header claims {self.length}")

    def tile(self, number: int) -> bytes:
        """Return the bytes of a tile; `FormatError` where they are damaged or missing."""
        start, end = self._starts[number : number + 2]
        tile = self._part(start, end)
        if len(tile) != end - start:
            raise FormatError(f"tile {number} is cut: {len(tile)} of {end - start} bytes")
        return self._checked(tile, self._entries[number][1], number, f"tile {number}")

    def _starts_from(self, position: int) -> list[int]:
        """Where each tile starts, and the last one ends, if the first one starts there."""
        return list(accumulate((length for length, _ in self._entries), initial=position))

    def _read_chunks(self, position: int, number: int) -> int:
        """Read so many chunks; return where they end."""
        for _ in range(number):
            self.chunks.append(self._chunk(position))
            position = self._behind_chunk(position)
        return position

    def _behind_chunk(self, position: int) -> int:
        """Where the chunk ends that starts there, as it says itself."""
        length = self._part(position + 4, position + 8)
        return position + _CHUNK.size + int.from_bytes(length, "little")

    def _chunk(self, position: int) -> Chunk:
        """Type and data of the chunk that starts at `position`."""
        start = position + _CHUNK.size
        if self.num_bytes < start:
            raise FormatError(f"{self.num_bytes} bytes, the head of a chunk ends at {start}")
        kind, length, crc = _CHUNK.unpack(self._part(position, start))
        name = _chunk_name(kind)
        if length > self.num_bytes - start:
            left = self.num_bytes - start
            raise FormatError(f"chunk {name} claims {length} bytes, {left} are left")
        chunk = self._part(start, start + length)
        holds = f" ({_HOLDS[kind]})" if kind in _HOLDS else ""
        whole = self._checked(kind + chunk, crc, kind, f"chunk {name}{holds}")
        return whole[: len(kind)], whole[len(kind) :]

    def _checked(self, data: bytes, crc: int, key: int | bytes, name: str) -> bytes:
        """Return what has this checksum; `key` and `name` are those of a tile or chunk."""
        if zlib.crc32(data) != crc:
            raise FormatError(f"checksum mismatch in {name}")
        return data

    def _part(self, start: int, end: int) -> bytes:
        if not isinstance(self._data, Stored):
            return self._data[start:end]
        part = self._data.part(start, end)
        if len(part) < min(end, self.num_bytes) - start:
            raise FormatError("was cut while it was read")
        return part


def unpack(data: bytes | mmap) -> tuple[Header, list[bytes], list[Chunk]]:
    """Header, tiles and all chunks of a file; else `FormatError`, its claims never allocated."""
    file = File(data)
    file.check_length()
    tiles = [file.tile(number) for number in range(file.num_tiles)]
    if as_bytes(data) != pack(file.header, tiles, file.chunks):
        raise FormatError("not spelled as it would be written")
    return file.header, tiles, file.chunks


def overhead_bytes(num_tiles: int, chunks: Sequence[Chunk] = ()) -> int:
    """Bytes of a file besides those of its tiles."""
    head = _FIXED.size + num_tiles * _ENTRY.size + _CRC_BYTES
    return head + sum(_CHUNK.size + len(chunk) for _, chunk in chunks)


def check_chunks(chunks: Sequence[Chunk], known: Collection[bytes]) -> None:
    """Refuse, by `FormatError`, mandatory chunks of a type that is not among the `known`."""
    for kind, _ in chunks:
        if kind[:1].isupper() and kind not in known:
            raise FormatError(f"chunk {_chunk_name(kind)} is mandatory and not known")


def too_short(num_bytes: int, least: int) -> str:
    """Say that so many bytes are none of our files, whose header has at least so many."""
    return f"{num_bytes} byte{'s' * (num_bytes != 1)}, a header has at least {least}"


def check_pixels(width: int, height: int, most: int) -> None:
    """Refuse a picture of more pixels than the user allows."""
    check_number("max_pixels", most, "a number of pixels")
    if not width * height <= most:  # nan, too
        allowed = f"at most {most} are allowed: --max-pixels, max_pixels in Python"
        raise AicError(f"{width}x{height} pixels, {allowed}")


def info(data: bytes | mmap) -> dict[str, Any]:
    """All that a file tells without its weights, ready for JSON; `FormatError` as in `unpack`."""
    header, tiles, chunks = unpack(data)
    facts = {"version": VERSION, "method": header.method, "bytes": len(data)} | asdict(header)
    return facts | {
        "entropy": ENTROPIES[header.entropy],
        "u": header.u / MAX_U,
        "tile": header.tile * TILE_UNIT,  # pixels; 0: the whole picture is one tile
        "grid": list(header.grid),  # rows, columns
        "model_id": header.model_id.hex(),
        "bpp": header.bpp(len(data)),
        "tiles": [{"bytes": len(tile)} for tile in tiles],
        "chunks": [{"type": _chunk_name(kind), "bytes": len(chunk)} for kind, chunk in chunks],
    }


def _check_types(chunks: Sequence[Chunk]) -> None:
    """Refuse two chunks of one type."""
    if len({kind for kind, _ in chunks}) < len(chunks):
        raise FormatError("a type of chunk occurs twice")


def _chunk_name(kind: bytes) -> str:
    """A chunk's type as text, refused unless it is four ASCII letters."""
    if len(kind) != 4 or not kind.isalpha():
        raise FormatError(f"chunk type {kind!r} is not four letters")
    return kind.decode("ascii")


def _check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value outside low..high, both allowed."""
    if not low <= value <= high:
        raise FormatError(f"{name} {value} is outside {low}..{high}")

"""Chunks of PNG, and a grey PNG file made from rows that come one after another."""

import struct
import zlib

import numpy as np

from imgcodec.pictures.arrays import ByteArray

_MAGIC = b"\x89PNG\r\n\x1a\n"
_GREY = struct.pack(">BBBBB", 8, 0, 0, 0, 0)  # 8 bits, one channel, no interlacing


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class GreyPng:
    """A grey PNG file in the making; only what is compressed already is held."""

    def __init__(self, height: int, width: int) -> None:
        """Begin a file of this size."""
        self._parts = [_MAGIC, chunk(b"IHDR", struct.pack(">II", width, height) + _GREY)]
        self._above = np.zeros((1, width), np.uint8)
        self._deflate = zlib.compressobj(9)

    def take(self, rows: ByteArray) -> None:
        """Add the next rows, uint8 (h, width), each filtered as makes it smallest."""
        up = rows - np.concatenate([self._above, rows[:-1]])
        beside = rows.copy()
        beside[:, 1:] -= rows[:, :-1]
        filtered = np.stack([rows, beside, up])  # PNG's filters 0, 1 and 2; differences modulo 256
        chosen = np.minimum(filtered, -filtered).sum(2, dtype=np.int64).argmin(0)
        lines = filtered[chosen, np.arange(len(rows))]
        packed = np.concatenate([chosen[:, None].astype(np.uint8), lines], 1)
        self._parts.append(chunk(b"IDAT", self._deflate.compress(packed.tobytes())))
        self._above = rows[-1:].copy()

    def finish(self) -> bytes:
        """Return the file."""
        end = chunk(b"IDAT", self._deflate.flush()) + chunk(b"IEND", b"")
        return b"".join((*self._parts, end))

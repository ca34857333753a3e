"""The chunk of a file whose colours were joined: how many are left, and for which quality."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from imgcodec.errors import FormatError
from imgcodec.format.container import Chunk

KIND = b"coLs"
_DATA = struct.Struct("<HH")


class Joined(NamedTuple):
    """What was done to the colours of a picture."""

    colours: int  # that are left, 1..65535
    u: int  # 0..65535, the rate parameter of the lossy file that this one stands for

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "Joined | None":
        """Return what the chunks of a file tell, None: no colours were joined.

        Raises:
            FormatError: the chunk is not of that kind.
        """
        data = dict(chunks).get(KIND)
        if data is None:
            return None
        if len(data) != _DATA.size:
            raise FormatError(f"chunk {KIND.decode()} has {len(data)} bytes, not 4")
        return cls(*_DATA.unpack(data))

    def chunk(self) -> Chunk:
        """Return it as a chunk."""
        return KIND, _DATA.pack(*self)

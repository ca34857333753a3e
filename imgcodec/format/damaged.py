"""What can be read of an .aic file with damaged chunks or tiles; header and index are whole."""

import zlib
from itertools import pairwise
from mmap import mmap

from imgcodec.errors import FormatError, TileError, check_flag
from imgcodec.format.container import File, Stored
from imgcodec.format.mending import mended


def opened(data: bytes | mmap | Stored, keep_going: bool) -> File:
    """Return a file, `keep_going` whether it may be damaged; else `FormatError`."""
    check_flag("keep_going", keep_going)
    return DamagedFile(data) if keep_going else File(data)


class DamagedFile(File):
    """A file whose chunks are left out where they are damaged.

    Of a chunk or tile, a single wrong bit is set right; tiles are found where bytes before them
    are missing or too many, or where it is not known where chunks end.
    """

    def __init__(self, data: bytes | mmap | Stored) -> None:
        """Read all but the tiles; `FormatError` where header or index are damaged."""
        super().__init__(data)
        self._moved = self._moved_by()

    @property
    def excess(self) -> int:
        """See `File`."""
        return 0 if self._moved else super().excess

    def tile(self, number: int) -> bytes:
        """Return the bytes of a tile; `TileError` where they are damaged or missing."""
        if (found := self._moved_tile(number)) is not None:
            return found
        try:
            return super().tile(number)
        except FormatError as error:
            start, end = self._starts[number : number + 2]
            raise TileError(str(error), self._part(start, end), end - start) from error

    def _read_chunks(self, position: int, number: int) -> int:
        """See `File`."""
        for _ in range(number):
            try:
                super()._read_chunks(position, 1)
            except FormatError as error:
                self.lost.append(str(error))
            position = self._behind_chunk(position)
        if not self.lost:
            return position
        # perhaps a length is wrong: do tiles start there, or where all of them reach to the end?
        total: int = sum(length for length, _ in self._entries)
        return max(position, max(self.num_bytes - total, 0), key=self._num_whole)

    def _num_whole(self, position: int) -> int:
        """How many tiles are whole if the first one starts there."""
        tiles = pairwise(self._starts_from(position))
        return sum(
            zlib.crc32(self._part(start, end)) == crc
            for (start, end), (_, crc) in zip(tiles, self._entries, strict=True)
        )

    def _moved_by(self) -> int:
        """By how much the last tile is moved that is whole at the end of the file, 0: none is."""
        length, crc = self._entries[-1]
        end = self.num_bytes
        whole = length > 0 and zlib.crc32(self._part(max(end - length, 0), end)) == crc
        return end - self.length if whole else 0

    def _moved_tile(self, number: int) -> bytes | None:
        """Return a tile that is not where it should be, but whole as far off as the last one."""
        if not self._moved:
            return None
        start, end = self._starts[number : number + 2]
        crc = self._entries[number][1]
        found = self._part(max(start + self._moved, 0), max(end + self._moved, 0))
        if zlib.crc32(found) != crc or zlib.crc32(self._part(start, end)) == crc:
            return None
        by = f"{abs(self._moved)} byte{'s' * (abs(self._moved) > 1)}"
        way = "late" if self._moved > 0 else "early"
        self.mended[number] = f"tile {number} stands {by} too {way}"
        return found

    def _checked(self, data: bytes, crc: int, key: int | bytes, name: str) -> bytes:
        """See `File`."""
        try:
            return super()._checked(data, crc, key, name)
        except FormatError as error:
            found = mended(data, crc)
            if found is None:
                raise
            self.mended[key] = f"{error}, a single wrong bit"
            return found

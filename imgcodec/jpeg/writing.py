"""Coefficients -> JPEG file."""

from imgcodec.errors import FormatError
from imgcodec.jpeg import optimal, scan_writer, scans, syntax
from imgcodec.jpeg.scans import Blocks

PADDED = 255  # padding as nearly all files have it
_EOI = b"\xff\xd9"
# Frequencies of the scans of luma behind that of all means; colours have one scan each. Bits are
# never sent apart: it saves a hundredth of fine files, and takes twice the time to read.
SCRIPTS = (((1, 63),), ((1, 8), (9, 63)))


def written(parts: syntax.Parts, said: bytes, blocks: Blocks) -> bytes:
    """Return the file of a skeleton.

    Args:
        parts: of the skeleton.
        said: padding of each restart interval; empty where all are of ones.
        blocks: all coefficients.

    Raises:
        FormatError: too few paddings.
        ImageError: its Huffman tables lack what the blocks need.
    """
    pieces, position, used = [], 0, 0
    for scan in parts.scans:
        num = scans.num_intervals(scan, parts.frame)
        pads = said[used : used + num] if said else bytes([PADDED]) * num
        used += num
        if len(pads) != num:
            raise FormatError(f"{len(said)} paddings of restart intervals, too few")
        pieces.append(parts.skeleton[position : scan.after])
        pieces.append(scan_writer.encode(scan, parts.frame, blocks, list(pads)))
        position = scan.after
    pieces.append(parts.skeleton[position:])
    return b"".join(pieces)


def refilled(data: bytes, blocks: Blocks) -> bytes:
    """Return a progressive file with other coefficients, in as few bytes as its scans may take.

    Args:
        data: the file, of one component or three; its metadata, its frame and its steps stay.
        blocks: all coefficients of its frame.

    Raises:
        ImageError: a coefficient is out of range.
    """
    parts = syntax.read(syntax.read(data).skeleton, is_skeleton=True)
    head = parts.skeleton[: parts.definitions[0].start]
    names = [component.number for component in parts.frame.components]
    files = []
    for script in SCRIPTS:
        skeleton = head + _means(names) + b"".join(_scan(names[0], 0, *ends) for ends in script)
        skeleton += b"".join(_scan(name, 1, 1, 63) for name in names[1:]) + _EOI
        empty = syntax.read(skeleton, is_skeleton=True)
        files.append(written(optimal.filled(empty, blocks), b"", blocks))
    return min(files, key=len)


def _means(names: list[int]) -> bytes:
    """Return the segments before the scan of means: luma has a Huffman table of its own."""
    tables = b"".join(_short(0, number) for number in range(min(2, len(names))))
    body = bytes([len(names)])
    body += b"".join(bytes([name, 0x10 * (place > 0)]) for place, name in enumerate(names))
    return tables + syntax.segment(syntax.SOS, body + b"\0\0\0")


def _scan(name: int, table: int, first: int, last: int) -> bytes:
    """Return the segments before a scan of some frequencies of a component."""
    return _short(1, table) + syntax.segment(syntax.SOS, bytes([1, name, table, first, last, 0]))


def _short(kind: int, number: int) -> bytes:
    """Return a short segment of a Huffman table, see `optimal`."""
    return syntax.segment(syntax.DHT, bytes([kind << 4 | number]))

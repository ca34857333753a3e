"""Marker segments of JPEG files: what a file is made of, around its coded blocks.

A *skeleton* is a file without the coded bytes of its scans. Both are read by one function.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import ImageError
from imgcodec.format import packed
from imgcodec.format.container import MAX_PIXELS
from imgcodec.jpeg.huffman import Table

SOI, EOI, SOS, DQT, DHT, DRI, DNL = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xDC
APP0, APP14 = 0xE0, 0xEE
_FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # the kinds that are read: progressive or not
_OTHER_FRAMES = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical",
    0xC9: "arithmetic coding", 0xCA: "arithmetic coding", 0xCB: "arithmetic coding",
    0xCC: "arithmetic coding", 0xCD: "arithmetic coding", 0xCE: "arithmetic coding",
    0xCF: "arithmetic coding", 0xF7: "lossless", 0xDE: "hierarchical", 0xDF: "hierarchical",
}  # fmt: skip
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # \xff+ would take a square of time
MOST_SCANS = 256
ORDER = sorted(
    ((u, v) for u in range(8) for v in range(8)),
    key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]),
)
ZIGZAG = np.array([8 * u + v for u, v in ORDER])  # number in zigzag order -> in raster order
YCC, RGB = "YCbCr", "RGB"  # what three components can be


@dataclass(frozen=True)
class Component:
    """A component of the frame."""

    number: int  # its identifier
    across: int  # sampling factor 1..4
    down: int
    table: int  # of quantisation
    width: int  # blocks, as in a scan of its own
    height: int
    columns: int  # blocks, as in scans of several components
    rows: int
    first: int  # number of its first block among those of all components

    @property
    def num_blocks(self) -> int:
        """Blocks, with those that only fill up."""
        return self.rows * self.columns


@dataclass(frozen=True)
class Frame:
    """The picture."""

    progressive: bool
    width: int  # pixels
    height: int
    components: tuple[Component, ...]
    mcu_columns: int
    mcu_rows: int

    @property
    def num_blocks(self) -> int:
        """Blocks of all components."""
        return sum(component.num_blocks for component in self.components)


class Scan(NamedTuple):
    """One scan."""

    components: tuple[Component, ...]
    dc: tuple[Table | None, ...]  # of each component
    ac: tuple[Table | None, ...]
    start: int  # first and last frequency
    end: int
    high: int  # bits known before, or 0
    low: int  # bits not sent yet
    interval: int  # of restarts, MCUs; 0: none
    after: int  # bytes of the skeleton before its coded bytes
    coded: bytes  # as they are in the file; empty in a skeleton

    @property
    def sequential(self) -> bool:
        """Whether each block has an end of its own."""
        return self.end == 63 and self.start == 0

    @property
    def unit(self) -> tuple[int, ...]:
        """Blocks of each component in an MCU."""
        together = len(self.components) > 1
        return tuple(c.across * c.down if together else 1 for c in self.components)


@dataclass
class Definition:
    """A Huffman table as it is defined."""

    start: int  # its segment, from the marker on
    end: int
    # Symbols of each length and symbols by length; None: a short segment, see `optimal`
    said: tuple[bytes, bytes] | None
    table: Table | None = None  # made for the first scan that needs it


@dataclass
class _Reader:
    """What was read so far."""

    quantisation: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    huffman: dict[tuple[int, int], Definition] = field(default_factory=dict)
    definitions: list[Definition] = field(default_factory=list)
    frame: Frame | None = None
    interval: int = 0
    jfif: bool = False
    adobe: int | None = None  # the colour transform that Adobe's segment names
    steps: dict[int, NDArray[np.int64]] = field(default_factory=dict)  # as first used


@dataclass(frozen=True)
class Parts:
    """A file taken apart."""

    skeleton: bytes
    frame: Frame
    scans: list[Scan]
    steps: list[NDArray[np.int64]]  # (64,) of each component, in zigzag order
    definitions: list[Definition]  # that have a segment of their own
    colours: str  # of three components, YCC or RGB
    ended: bool  # by the marker that says so

    @property
    def complete(self) -> bool:
        """Whether the scans say every bit of every coefficient."""
        said = {
            (component.number, frequency)
            for scan in self.scans if scan.low == 0
            for component in scan.components
            for frequency in range(scan.start, scan.end + 1)
        }  # fmt: skip
        return len(said) == 64 * len(self.frame.components)


def read(data: bytes, is_skeleton: bool = False) -> Parts:
    """Take a file or a skeleton apart.

    Raises:
        ImageError: it is damaged, or of a kind that is not read.
    """
    if data[:2] != b"\xff\xd8":
        raise ImageError(packed.kind_of(data[:16]) or "not a JPEG file")
    state = _Reader()
    scans: list[Scan] = []
    skeleton: list[bytes] = []
    kept = size = 0  # bytes of the file and of the skeleton so far
    ended = False
    for marker, start, end, stop in _segments(data, is_skeleton):
        if marker == SOS:
            if len(scans) == MOST_SCANS:
                raise ImageError(f"more than {MOST_SCANS} scans")
            skeleton.append(data[kept:end])
            size += end - kept
            scans.append(_scan(data[start:end], state, size, data[end:stop]))
            kept = stop
        elif marker == DHT:
            _huffman(data[start:end], start - 4, is_skeleton, state)
        elif marker == EOI:
            ended = True
        else:
            _take(marker, data[start:end], state)
    skeleton.append(data[kept:])
    if state.frame is None or not scans:
        raise ImageError("no picture in it")
    steps = [state.steps.get(c.number) for c in state.frame.components]
    if any(table is None for table in steps):
        raise ImageError("a component has no scan")
    return Parts(
        b"".join(skeleton),
        state.frame,
        scans,
        [t for t in steps if t is not None],
        state.definitions,
        _colours(state.frame, state),
        ended,
    )


def segment(marker: int, body: bytes) -> bytes:
    """Return the bytes of a segment."""
    return bytes([0xFF, marker]) + (2 + len(body)).to_bytes(2, "big") + body


def _segments(data: bytes, is_skeleton: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield each segment, and last the end of the picture where the file has one.

    That is its marker, where its body starts and ends, and where coded bytes behind it end.
    """
    position, scanned = 2, False
    while position < len(data):
        if data[position] != 0xFF:
            if not scanned:
                raise ImageError(f"no marker at byte {position}")
            return  # what follows the last scan, as it is
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position == len(data):
            return
        marker = data[position]
        position += 1
        if marker == EOI:
            yield marker, position, position, position
            return
        if marker <= 0x01 or 0xD0 <= marker <= SOI:
            raise ImageError(f"marker {marker:#x} in the wrong place")
        end = position + int.from_bytes(data[position : position + 2], "big")
        if end < position + 2 or end > len(data):
            raise ImageError("a segment is cut")
        stop = end
        if marker == SOS:
            scanned = True
            if not is_skeleton:
                found = _END_OF_SCAN.search(data, end)
                coded = data[end : found.start() if found else len(data)]
                stop = end + len(coded.rstrip(b"\xff"))  # bytes of 255 belong to a marker
        yield marker, position + 2, end, stop
        position = stop


def _take(marker: int, body: bytes, state: _Reader) -> None:
    """Note what a segment says."""
    if marker in _FRAMES:
        if state.frame is not None:
            raise ImageError("more than one picture")
        state.frame = _frame(_FRAMES[marker], body)
    elif marker in _OTHER_FRAMES:
        raise ImageError(f"{_OTHER_FRAMES[marker]} is not supported")
    elif marker == DNL:
        raise ImageError("a number of lines after the scan is not supported")
    elif marker == DRI:
        if len(body) != 2:
            raise ImageError("a restart interval of the wrong length")
        state.interval = int.from_bytes(body, "big")
    elif marker == DQT:
        _quantisation(body, state)
    elif marker == APP0 and body[:5] == b"JFIF\0":
        state.jfif = True
    elif marker == APP14 and body[:5] == b"Adobe" and len(body) >= 12:
        state.adobe = body[11]


def _colours(frame: Frame, state: _Reader) -> str:
    """Return what three components are, by libjpeg's rules."""
    if state.jfif:
        return YCC
    if state.adobe is not None:
        return YCC if state.adobe else RGB
    return RGB if [component.number for component in frame.components] == list(b"RGB") else YCC


def _frame(progressive: bool, body: bytes) -> Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ImageError("a frame header of the wrong length")
    if body[0] != 8:
        raise ImageError(f"{body[0]} bits a sample are not supported")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if not height:
        raise ImageError("a number of lines that is not in the frame header is not supported")
    if not width:
        raise ImageError(f"{width}x{height} pixels are not supported")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}x{height} pixels, at most {MAX_PIXELS} are allowed")
    if not 1 <= body[5] <= 4:
        raise ImageError(f"{body[5]} components are not supported")
    rows = [body[i : i + 3] for i in range(6, len(body), 3)]
    factors = [(row[1] >> 4, row[1] & 15) for row in rows]
    if not all(1 <= h <= 4 and 1 <= v <= 4 for h, v in factors):
        raise ImageError("sampling factors outside 1..4")
    if len({row[0] for row in rows}) < len(rows):
        raise ImageError("two components of one name")
    most_across, most_down = max(h for h, _ in factors), max(v for _, v in factors)
    mcu_columns, mcu_rows = -(-width // (8 * most_across)), -(-height // (8 * most_down))
    components, first = [], 0
    for row, (across, down) in zip(rows, factors, strict=True):
        component = Component(
            row[0], across, down, row[2],
            math.ceil(math.ceil(width * across / most_across) / 8),
            math.ceil(math.ceil(height * down / most_down) / 8),
            mcu_columns * across, mcu_rows * down, first,
        )  # fmt: skip
        components.append(component)
        first += component.num_blocks
    return Frame(progressive, width, height, tuple(components), mcu_columns, mcu_rows)


def _quantisation(body: bytes, state: _Reader) -> None:
    position = 0
    while position < len(body):
        wide, number = body[position] >> 4, body[position] & 15
        size = 128 if wide else 64
        table = body[position + 1 : position + 1 + size]
        if wide > 1 or number > 3 or len(table) != size:
            raise ImageError("a quantisation table is damaged")
        state.quantisation[number] = np.frombuffer(table, ">u2" if wide else "u1").astype(np.int64)
        position += 1 + size


def _huffman(body: bytes, start: int, is_skeleton: bool, state: _Reader) -> None:
    end, position = start + 4 + len(body), 0
    if is_skeleton and len(body) == 1:
        short = Definition(start, end, None, Table.counting())
        state.huffman[body[0] >> 4, body[0] & 15] = short
        state.definitions.append(short)
        return
    while position < len(body):
        counts = body[position + 1 : position + 17]
        symbols = body[position + 17 : position + 17 + sum(counts)]
        kind, number = body[position] >> 4, body[position] & 15
        if (
            kind > 1
            or number > 3
            or len(counts) != 16
            or len(symbols) != sum(counts)
            or len(symbols) > 256
        ):
            raise ImageError("a Huffman table is damaged")
        found = Definition(start, end, (counts, symbols))
        state.huffman[kind, number] = found
        position += 17 + len(symbols)
        if position == len(body) == 17 + len(symbols):
            state.definitions.append(found)


def _scan(body: bytes, state: _Reader, after: int, coded: bytes) -> Scan:
    frame = state.frame
    if frame is None:
        raise ImageError("a scan before the frame")
    if not body or not 1 <= body[0] <= 4 or len(body) != 4 + 2 * body[0]:
        raise ImageError("a scan header of the wrong length")
    start, end, bits = body[-3:]
    high, low = bits >> 4, bits & 15
    if not frame.progressive and (start, end, bits) != (0, 63, 0):
        raise ImageError("a sequential scan of some frequencies")
    if not start <= end <= 63 or low > 13 or (high and high != low + 1):
        raise ImageError("a scan of impossible frequencies or bits")
    if frame.progressive and (start == 0) != (end == 0):
        raise ImageError("a progressive scan of means and others at once")
    if start and body[0] > 1:
        raise ImageError("a progressive scan of several components")
    names = {component.number: component for component in frame.components}
    chosen = [names.get(body[i]) for i in range(1, 1 + 2 * body[0], 2)]
    components = tuple(component for component in chosen if component is not None)
    if len(set(components)) < body[0]:
        raise ImageError("a scan of unknown components")
    if len(components) > 1 and sum(c.across * c.down for c in components) > 10:
        raise ImageError("a scan of more than ten blocks a unit")
    dc: list[Table | None] = []
    ac: list[Table | None] = []
    for i, component in enumerate(components):
        which = body[2 + 2 * i]
        dc.append(_table(state, 0, which >> 4, False) if start == 0 and not high else None)
        ac.append(_table(state, 1, which & 15, frame.progressive) if end else None)
        if component.number not in state.steps:
            if component.table not in state.quantisation:
                raise ImageError("a component without a quantisation table")
            state.steps[component.number] = state.quantisation[component.table]
    return Scan(
        components, tuple(dc), tuple(ac), start, end, high, low, state.interval, after, coded
    )


def _table(state: _Reader, kind: int, number: int, runs: bool) -> Table | None:
    if (kind, number) not in state.huffman:
        raise ImageError("a scan without its Huffman table")
    found = state.huffman[kind, number]
    if found.table is None and found.said is not None:
        found.table = Table.read(*found.said, is_dc=kind == 0, runs=runs)
    return found.table

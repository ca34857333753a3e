"""JPEG file <-> packed file, bit for bit.

The other files here hold how coefficients are coded: their order, contexts and networks.

May import what its parent may, and all of it.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from imgcodec import releases
from imgcodec.entropy.range_coder import Bits, RangeDecoder, RangeEncoder
from imgcodec.errors import AicError, FormatError, ImageError, check_threads
from imgcodec.format import container, packed
from imgcodec.jpeg import optimal, scan_reader, scans, syntax, writing
from imgcodec.jpeg.packing import coding, network, skeletons
from imgcodec.jpeg.packing.component import Integers
from imgcodec.jpeg.scans import Blocks

SLICE_BLOCKS = 2**15  # of all components, about
_COUNT_BYTES = 4
_MOST_MORE = _COUNT_BYTES + syntax.MOST_SCANS  # than the file itself, around the blocks
PIECE = 2**14  # bits that are coded at a time


_In = TypeVar("_In")
_Out = TypeVar("_Out")


class _Recorder:
    """A coder that keeps all bits and their probabilities, and codes them when it has all."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._bits: list[Bits] = []
        self._probabilities: list[NDArray[np.uint16]] = []

    def code(self, bits: Bits | None, p: Integers) -> Bits:
        """Keep `bits`."""
        if bits is None:
            raise ValueError("an encoder needs bits")
        self._bits.append(bits)
        self._probabilities.append(p.astype(np.uint16))
        return bits

    def finish(self) -> bytes:
        """Return the stream, which was decoded again.

        Raises:
            ImageError: other bits came out.
        """
        bits = np.concatenate([np.zeros(0, np.int32), *self._bits])
        p = np.concatenate([np.zeros(0, np.uint16), *self._probabilities]).astype(np.int64)
        pieces = [slice(a, a + PIECE) for a in range(0, len(bits), PIECE)]  # caches hold one
        encoder = RangeEncoder()
        for piece in pieces:
            encoder.code(bits[piece], p[piece])
        result = encoder.finish()
        decoder = RangeDecoder(result)
        same = all(np.array_equal(decoder.code(None, p[piece]), bits[piece]) for piece in pieces)
        decoder.finish()
        if not same:
            raise ImageError("would not come back bit for bit: the coder gives other bits back")
        return result


class _Slice(NamedTuple):
    """Some rows of MCUs."""

    top: int
    bottom: int


def pack(data: bytes, max_pixels: int = container.MAX_PIXELS, threads: int | None = None) -> bytes:
    """Return the packed file of a JPEG file.

    What it holds is decoded and compared before it is returned: the JPEG file is made again of its
    coefficients, and the bits of these decode with the probabilities that they were coded with.
    Those follow from bits before alone, as they do in `unpack`.

    Args:
        data: the JPEG file.
        max_pixels: of its picture, else it is refused.
        threads: that work at a time; None: one a core.

    Raises:
        AicError: no such number of threads.
        ImageError: no JPEG file, damaged, or of a kind that would not come back bit for bit.
    """
    check_threads(threads)
    if len(data) > packed.MAX_BYTES:
        raise ImageError(f"{len(data)} bytes, at most {packed.MAX_BYTES} can be packed")
    parts = syntax.read(data)
    frame = parts.frame
    blocks = scans.empty(frame, len(data), max_pixels)
    pads: list[int] = []
    for scan in parts.scans:
        pads += scan_reader.decode(scan, frame, blocks)
    said = b"" if set(pads) == {writing.PADDED} else bytes(pads)
    parts = syntax.read(parts.skeleton, is_skeleton=True)  # all that `unpack` will have
    if parts.frame != frame:
        raise ImageError("would not come back bit for bit: it has unusual markers")
    try:
        same = writing.written(parts, said, blocks) == data
    except AicError as error:
        raise ImageError(f"would not come back bit for bit: {error}") from error
    if not same:
        raise ImageError("would not come back bit for bit: it is coded in an unusual way")
    skeleton = optimal.shortened(parts)
    around = len(said).to_bytes(_COUNT_BYTES, "little") + said + skeleton
    release = releases.PACKING[-1]
    networks = network.load(release.path)

    def code(piece: _Slice) -> bytes:
        recorder = _Recorder()
        truth = [_planes(blocks, c, piece) for c in frame.components]
        coded = coding.walk(_shapes(parts, piece), truth, coding.Coding(recorder, networks))
        if not all(map(np.array_equal, coded, truth)):
            raise ImageError("would not come back bit for bit: it has unusual coefficients")
        return recorder.finish()

    header = packed.Header(release.model_id, len(data), zlib.crc32(data), len(around))
    slices = list(_each(code, _slices(frame), threads))
    return packed.pack(header, skeletons.deflated(around), slices)


def unpack(
    data: bytes | mmap | packed.Packed,
    max_pixels: int = container.MAX_PIXELS,
    threads: int | None = None,
) -> bytes:
    """Return the JPEG file of a packed file.

    Args:
        data: the packed file, or its parts.
        max_pixels: of the picture, else it is refused.
        threads: that work at a time; None: one a core.

    Raises:
        AicError: no such number of threads.
        FormatError: the packed file is damaged.
        ModelMismatchError: it needs other weights.
    """
    check_threads(threads)
    file = data if isinstance(data, packed.Packed) else packed.unpack(data)
    release = releases.needed(file.header.model_id, among=releases.PACKING)
    if file.header.frame_bytes > file.header.size + _MOST_MORE:
        raise FormatError(f"{file.header.frame_bytes} bytes around the blocks of a smaller file")
    around = skeletons.inflated(file.frame, file.header.frame_bytes)
    start = _COUNT_BYTES + int.from_bytes(around[:_COUNT_BYTES], "little")
    try:
        parts = syntax.read(around[start:], is_skeleton=True)
        frame = parts.frame
        container.check_pixels(frame.width, frame.height, max_pixels)
        pieces = _slices(frame)
        if len(pieces) != len(file.slices):
            raise FormatError(f"{len(file.slices)} slices, wanted {len(pieces)}")
        networks = network.load(release.path)

        def decode(number: int) -> list[coding.Planes]:
            decoder = RangeDecoder(file.slices[number])
            planes = coding.walk(
                _shapes(parts, pieces[number]), None, coding.Coding(decoder, networks)
            )
            decoder.finish()
            return planes

        blocks = np.zeros((frame.num_blocks, 64), np.int16)
        for piece, planes in zip(pieces, _each(decode, range(len(pieces)), threads), strict=True):
            for component, plane in zip(frame.components, planes, strict=True):
                _put(blocks, component, piece, plane)
        result = writing.written(optimal.filled(parts, blocks), around[_COUNT_BYTES:start], blocks)
    except ImageError as error:
        raise FormatError(f"the packed JPEG file is damaged: {error}") from error
    if len(result) != file.header.size or zlib.crc32(result) != file.header.file_crc:
        raise FormatError("the unpacked file is not the one that was packed")
    return result


def _slices(frame: syntax.Frame) -> list[_Slice]:
    """Return the rows of MCUs that are coded together; it follows from the frame alone."""
    blocks = frame.num_blocks // frame.mcu_rows  # of a row
    rows = max(1, SLICE_BLOCKS // blocks)
    num = -(-frame.mcu_rows // rows)
    edges = [frame.mcu_rows * i // num for i in range(num + 1)]
    return [_Slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _shapes(parts: syntax.Parts, piece: _Slice) -> list[coding.Shape]:
    """Return what is known of a slice's components."""
    rows = piece.bottom - piece.top
    return [
        coding.Shape(rows * c.down, c.columns, steps, number if number < network.KINDS else 0)
        for number, (c, steps) in enumerate(zip(parts.frame.components, parts.steps, strict=True))
    ]


def _rows(component: syntax.Component, piece: _Slice) -> slice:
    """Return the blocks of a component that lie in a slice."""
    row = component.down * component.columns
    return slice(component.first + piece.top * row, component.first + piece.bottom * row)


def _planes(blocks: Blocks, component: syntax.Component, piece: _Slice) -> coding.Planes:
    """Return the coefficients of a component in a slice, as `coding` wants them."""
    part = blocks[_rows(component, piece)].reshape(-1, component.columns, 64)
    return np.ascontiguousarray(part.transpose(2, 0, 1), np.int32)


def _put(
    blocks: Blocks, component: syntax.Component, piece: _Slice, planes: coding.Planes
) -> None:
    """Fill in the coefficients of a component in a slice."""
    if planes.size and np.abs(planes).max() > np.iinfo(np.int16).max:
        raise FormatError("a coefficient is out of range")
    blocks[_rows(component, piece)] = planes.transpose(1, 2, 0).reshape(-1, 64)


def _each(
    work: Callable[[_In], _Out], items: Sequence[_In], threads: int | None
) -> Iterator[_Out]:
    """Yield what the work gives for each item, several at a time."""
    cores = os.cpu_count() or 1
    num = min(threads or cores, cores, len(items))
    if num == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(num) as pool:
        yield from pool.map(work, items)

"""The blocks of a scan: where they are, and in which order they are coded.

Coefficients are blocks: int16 (number of blocks, 64) in zigzag order, those of all components one
after the other, row by row.
"""

import numpy as np
from numpy.typing import NDArray

from imgcodec.errors import HollowError
from imgcodec.format.container import check_pixels
from imgcodec.jpeg.huffman import Integers
from imgcodec.jpeg.syntax import Frame, Scan

Blocks = NDArray[np.int16]
MOST_BLOCKS_A_BYTE = 8  # of a JPEG file: every block has a bit at least


def empty(frame: Frame, num_bytes: int, max_pixels: int) -> Blocks:
    """Return blocks of zeros for the scans of a file of so many bytes.

    Raises:
        HollowError: more blocks than the bytes can hold.
        AicError: more pixels than that.
    """
    if frame.num_blocks > MOST_BLOCKS_A_BYTE * num_bytes:
        raise HollowError(f"{num_bytes} bytes cannot hold {frame.width}x{frame.height} pixels")
    check_pixels(frame.width, frame.height, max_pixels)
    return np.zeros((frame.num_blocks, 64), np.int16)


def order(scan: Scan, frame: Frame) -> tuple[Integers, Integers]:
    """Return the blocks of a scan in their order, and which component of it each belongs to."""
    if len(scan.components) == 1:
        c = scan.components[0]
        rows, columns = np.arange(c.height)[:, None], np.arange(c.width)
        blocks = (c.first + rows * c.columns + columns).reshape(-1)
        return blocks, np.zeros(len(blocks), np.int64)
    mcu_rows, mcu_columns = np.arange(frame.mcu_rows), np.arange(frame.mcu_columns)
    parts, owners = [], []
    for number, c in enumerate(scan.components):
        for i in range(c.down):
            for j in range(c.across):
                rows, columns = mcu_rows * c.down + i, mcu_columns * c.across + j
                parts.append(c.first + rows[:, None] * c.columns + columns)
                owners.append(number)
    blocks = np.stack(parts, -1).reshape(-1)
    return blocks, np.tile(np.array(owners), len(blocks) // len(owners))


def intervals(scan: Scan, num_blocks: int) -> Integers:
    """Return where restart intervals start, blocks."""
    step = scan.interval * sum(scan.unit) or num_blocks
    return np.arange(0, num_blocks, step)


def num_intervals(scan: Scan, frame: Frame) -> int:
    """Return the number of restart intervals."""
    if len(scan.components) == 1:
        units = scan.components[0].height * scan.components[0].width
    else:
        units = frame.mcu_rows * frame.mcu_columns
    return -(-units // (scan.interval or units))

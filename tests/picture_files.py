"""Picture files as no program here would write them: samples of any depth, sign and order."""

import struct
import zlib

import numpy as np


def packed(values, bits, order=">"):
    """The bytes of rows (H, n) of samples, each row filled up to a byte."""
    if bits >= 8 and bits % 8 == 0 and bits & (bits - 1) == 0:
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in values]
    rows = []
    for row in values:
        text = "".join(format(value, f"0{bits}b") for value in row.tolist())
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return rows


def tiff(values, bits, photometric=1, sign=1, order="<", planar=1, extra=(), more=None):
    """An uncompressed TIFF of samples (H, W, C)."""
    height, width, channels = values.shape
    planes = [values.reshape(height, -1)] if planar == 1 else list(np.moveaxis(values, 2, 0))
    parts = [b"".join(packed(plane, bits, order)) for plane in planes]
    tags = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * channels), 259: ("H", [1]),
        262: ("H", [photometric]), 277: ("H", [channels]), 278: ("I", [height]),
        284: ("H", [planar]), 339: ("H", [sign] * channels),
    }  # fmt: skip
    tags |= {338: ("H", list(extra))} if extra else {}
    tags |= more or {}
    tags = {tag: told for tag, told in tags.items() if told[1] != [None]}
    offsets = [8 + sum(map(len, parts[:i])) for i in range(len(parts))]
    tags |= {273: ("I", offsets), 279: ("I", list(map(len, parts)))}
    start = 8 + sum(map(len, parts))
    entries, behind = b"", b""
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        body = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(body) > 4:
            place = start + 6 + 12 * len(tags) + len(behind)
            behind += body
            body = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, {"H": 3, "I": 4, "d": 12}[kind], len(numbers))
        entries += body.ljust(4, b"\0")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, start)
    ifd = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return head + b"".join(parts) + ifd + behind


def png(values, bits, colour, *before):
    """A PNG file of samples (H, W, C), with chunks before the pixels."""
    height, width = values.shape[:2]

    def chunk(name, body):
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    rows = packed(values.reshape(height, -1), bits)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *before, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)

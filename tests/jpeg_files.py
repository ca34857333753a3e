"""JPEG files of many kinds, made from one small picture."""

import io
import itertools

import numpy as np
from PIL import Image

from imgcodec.jpeg import scan_reader, scan_writer, syntax


def picture(height=75, width=117, seed=3):
    """Something smooth, with edges and noise, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 120 + 60 * np.sin(x / 9) * np.cos(y / 13) + 50 * ((x // 20 + y // 25) % 2)
    colour = np.stack([base, base * 0.7 + x / 3, 200 - base / 2 + y / 2], -1)
    return np.clip(colour + rng.normal(0, 6, colour.shape), 0, 255).astype(np.uint8)


def jpeg(pixels=None, mode="RGB", **options):
    """A JPEG file, as Pillow's libjpeg writes it."""
    pixels = picture() if pixels is None else pixels
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "jpeg", **options)
    return out.getvalue()


def opened(data):
    """Parts, blocks and paddings of a JPEG file."""
    parts = syntax.read(data)
    blocks = np.zeros((parts.frame.num_blocks, 64), np.int16)
    pads = [scan_reader.decode(scan, parts.frame, blocks) for scan in parts.scans]
    return parts, blocks, pads


def padded(data, pad):
    """The file with other bits where its restart intervals are filled up."""
    parts, blocks, pads = opened(data)
    pieces, position = [], 0
    for scan, old in zip(parts.scans, pads, strict=True):
        pieces.append(parts.skeleton[position : scan.after])
        pieces.append(scan_writer.encode(scan, parts.frame, blocks, [pad] * len(old)))
        position = scan.after
    return b"".join([*pieces, parts.skeleton[position:]])


KINDS = {
    f"{mode} {sub} {'progressive' if progressive else 'optimised' if optimise else 'plain'}": (
        mode, {"subsampling": sub, "progressive": progressive, "optimize": optimise},
    )
    for mode, sub, (progressive, optimise) in itertools.product(
        ("RGB",), (0, 1, 2), ((False, False), (False, True), (True, False))
    )
}  # fmt: skip
KINDS |= {
    "grey": ("L", {}),
    "grey progressive": ("L", {"progressive": True}),
    "CMYK": ("CMYK", {}),
    "CMYK progressive": ("CMYK", {"progressive": True}),
    "coarse": ("RGB", {"quality": 3}),
    "coarse progressive": ("RGB", {"quality": 3, "progressive": True}),
    "fine": ("RGB", {"quality": 100}),
    "fine progressive": ("RGB", {"quality": 100, "progressive": True}),
    "restarts": ("RGB", {"restart_marker_blocks": 3}),
    "many restarts": ("RGB", {"restart_marker_blocks": 1}),
    "restarts progressive": ("RGB", {"restart_marker_blocks": 5, "progressive": True}),
    "colours kept": ("RGB", {"keep_rgb": True}),
}

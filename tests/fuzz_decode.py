"""Fuzz target: whatever the bytes, a picture or a refusal.

    pip install atheris
    python tests/fuzz_decode.py corpus/ -max_total_time=1800 -rss_limit_mb=4000 -timeout=30

What it finds becomes a test of its own; `test_fuzz_decode.py` takes a hundred such steps each
time. The first byte of an input says what the others are:

- even: a file as it is, through header, index, chunks and tiles;
- odd: fields of a header, then the tiles' bytes, around which a whole file with right checksums is
  built, so that the entropy decoder and the networks are reached, and the transparency, too.
"""

import struct
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from imgcodec.codec import Codec

MAX_PIXELS = 2**14
FIELDS = struct.Struct("<BBBHBBBB")  # what the odd inputs begin with


class Target:
    """Codecs of tiny models, fitted to the squared error and to MS-SSIM."""

    def __init__(self, threads: int | None = None) -> None:
        from tiny import TINY, decode_reporting, write_weights

        from imgcodec.codec import Codec
        from imgcodec.errors import AicError
        from imgcodec.format import container
        from imgcodec.pictures import picture

        self.container, self.picture, self.refusal = container, picture, AicError
        self.decode = decode_reporting
        self.codecs = []
        for metric in ("mse", "ms-ssim"):
            with tempfile.TemporaryDirectory() as folder:
                weights = write_weights(Path(folder), replace(TINY, metric=metric))
                self.codecs.append(Codec("cpu", threads, weights))

    def __call__(self, data: bytes) -> bool:
        """Return whether an input made a picture; anything but a refusal goes through."""
        try:
            if data[:1] and data[0] % 2:
                return self.sealed(data[1:])
            self.container.info(data[1:])
            return self.decoded(self.codecs[0], data[1:], {})
        except self.refusal as error:
            if not str(error).isprintable():
                raise ValueError(f"{str(error)!r} is not one line") from error
            return False

    def sealed(self, data: bytes) -> bool:
        """Decode a file that is built around the data."""
        if len(data) < FIELDS.size:
            return False
        height, width, kind, u, flags, share, left, top = FIELDS.unpack_from(data)
        rest = data[FIELDS.size :]
        chunks = []
        if kind >> 4 & 1:
            half = len(rest) // 2
            chunks, rest = [(self.picture.ALPHA_CHUNK, rest[:half])], rest[half:]
        codec = self.codecs[kind >> 3 & 1]
        header = self.container.Header(
            width=width + 1, height=height + 1, channels=(1, 3)[kind & 1], entropy=kind >> 1 & 1,
            u=u, tile=kind >> 2 & 1, model_id=codec.model_id,
        )  # fmt: skip
        if kind >> 5 & 1:
            header = replace(
                header, entropy=0, u=0, model_id=self.container.NO_MODEL,
                method=self.container.LOSSLESS,
            )  # fmt: skip
        tiles = int(np.prod(header.grid))
        size = -(-len(rest) // tiles // 4) * 4 if header.entropy else -(-len(rest) // tiles)
        parts = [rest[size * n : size * (n + 1)] for n in range(tiles)]
        words: dict[str, object] = {"keep_going": bool(flags & 1)}
        if flags & 2:
            words["region"] = (left, top, 20, 10)
        if flags & 4:
            words["max_rate"] = (share + 1) / 64
        return self.decoded(codec, self.container.pack(header, parts, chunks), words)

    def decoded(self, codec: "Codec", data: bytes, words: dict[str, object]) -> bool:
        """Decode a file and look at the result."""
        file = self.container.File(data)
        self.picture.alpha_of(file.chunks, file.header.height, file.header.width)
        pixels, report = self.decode(codec, data, max_pixels=MAX_PIXELS, **words)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert words.get("keep_going") or not report.damaged
        return True


def main() -> None:
    """Run the fuzzer."""
    import atheris

    with atheris.instrument_imports(include=["imgcodec"]):
        target = Target(threads=1)
    seeds = Path(sys.argv[1])
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(make_seeds(target)):
        (seeds / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


def make_seeds(target: Target) -> list[bytes]:
    """Return inputs that make a picture, of both kinds."""
    rows, columns = np.mgrid[:70, :50]
    image = np.stack([rows * 3, columns * 5, (rows * columns) % 256], -1).astype(np.uint8)
    alpha = (np.indices((70, 50)).sum(0) % 256).astype(np.uint8)
    seeds = []
    for number, tile, entropy in product((0, 1), (None, 64), (0, 1)):
        name = target.container.ENTROPIES[entropy]
        data = target.codecs[number].encode(
            image, quality=75, entropy=name, tile=tile, lossless=False
        )
        header, tiles, _ = target.container.unpack(data)
        if number == 0:
            seeds.append(b"\0" + data)
        kind = 1 | entropy << 1 | (tile is not None) << 2 | number << 3
        for flags in range(8):
            fields = FIELDS.pack(69, 49, kind, header.u, flags, 20, 5, 9)
            seeds.append(b"\1" + fields + b"".join(tiles))
    # transparency takes as many bytes as the codes
    _, (codes,), chunks = target.container.unpack(
        target.codecs[0].encode(target.picture.Picture(image, alpha), quality=100, lossless=False)
    )
    png = dict(chunks)[target.picture.ALPHA_CHUNK]
    half = max(len(png), len(codes))
    fields = FIELDS.pack(69, 49, 1 | 1 << 1 | 1 << 4, 65535, 0, 0, 0, 0)
    seeds.append(b"\1" + fields + png.ljust(half, b"\0") + codes.ljust(half, b"\0"))
    return seeds


if __name__ == "__main__":
    main()

"""Fuzz target: whatever the bytes, `aic pack` and `aic unpack` do their work or refuse.

    pip install atheris
    python tests/fuzz_pack.py corpus/ -max_total_time=1800 -rss_limit_mb=4000 -timeout=30

The first byte of an input says what the others are: 0 a packed file as it is; 1 the bytes around
the blocks and those of a slice, around which a packed file with right checksums is built; else a
JPEG file.
"""

import sys
from pathlib import Path

from imgcodec import releases
from imgcodec.errors import AicError
from imgcodec.format import packed
from imgcodec.jpeg import packing
from imgcodec.jpeg.packing import skeletons

MAX_PIXELS = 2**14


def target(data: bytes) -> bool:
    """Return whether an input was packed or unpacked; anything but a refusal goes through."""
    try:
        if data[:1] == b"\0":
            packing.unpack(data[1:], MAX_PIXELS, 1)
        elif data[:1] == b"\1":
            packing.unpack(sealed(data[1:]), MAX_PIXELS, 1)
        else:
            made = packing.pack(data[1:], MAX_PIXELS, 1)
            assert packing.unpack(made, MAX_PIXELS, 1) == data[1:]
    except AicError as error:
        if not str(error).isprintable():
            raise ValueError(f"{str(error)!r} is not one line") from error
        return False
    return True


def sealed(data: bytes) -> bytes:
    """Return a packed file of what is around the blocks, after its length, and of a slice."""
    size = int.from_bytes(data[:2], "little")
    around, coded = data[2 : 2 + size], data[2 + size :]
    header = packed.Header(releases.PACKING[-1].model_id, len(around), 0, len(around))
    return packed.pack(header, skeletons.deflated(around), [coded])


def main() -> None:
    """Run the fuzzer."""
    import atheris

    with atheris.instrument_imports(include=["imgcodec"]):
        atheris.Setup(sys.argv, target)
    Path(sys.argv[1]).mkdir(exist_ok=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

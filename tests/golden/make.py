"""Write the golden files of a release, once: python tests/golden/make.py tests/golden/v1.1.

What is there is never written anew: those files were promised to decode for ever. A release with
new weights or a new method adds a folder of its own, and its hashes to tests/test_golden.py.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from imgcodec.codec import Codec
from imgcodec.format.metadata import Metadata
from imgcodec.format.tiles import Box
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.roi import Roi
from imgcodec.releases import TUNES

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
BOX = (250, 120, 346, 184)  # 96 x 64 pixels: left, top, right, bottom
V1 = {  # mode of the picture, tune, and what is asked
    "range": ("RGB", "psnr", {"rate": 0.5}),
    "none": ("RGB", "psnr", {"rate": 0.5, "entropy": "none"}),
    "grey": ("L", "psnr", {"rate": 0.5}),
    "tiles": ("RGB", "psnr", {"rate": 0.5, "tile": 64}),
    "chunks": ("RGBA", "psnr", {"rate": 0.5}),
    "effort": ("RGB", "psnr", {"rate": 0.5, "effort": 2}),
    "finest": ("RGB", "psnr", {"quality": 100}),
    "coarsest": ("RGB", "psnr", {"quality": 0}),
    "ms-ssim": ("RGB", "ms-ssim", {"rate": 0.5}),
    "roi": ("RGB", "ms-ssim", {"rate": 0.5, "roi": (16, 8, 48, 40)}),
    "ms-ssim-none": ("L", "ms-ssim", {"quality": 76, "entropy": "none"}),
    "eye": ("RGB", "eye", {"rate": 0.5}),
    "eye-tiles": ("RGB", "eye", {"quality": 75, "tile": 64}),
    "one-pixel": ("one", "eye", {"quality": 75}),
}
CASES = {
    "v1": V1,
    "v1.1": {  # new weights for the eye
        "eye": ("RGB", "eye", {"rate": 0.5}),
        "default": ("RGB", "eye", {"quality": 71}),
        "eye-grey": ("L", "eye", {"rate": 0.5}),
        "eye-none": ("RGB", "eye", {"quality": 60, "entropy": "none"}),
        "eye-tiles": ("RGB", "eye", {"quality": 71, "tile": 64}),
        "eye-roi": ("RGB", "eye", {"rate": 0.5, "roi": (16, 8, 48, 40)}),
        "eye-effort": ("RGB", "eye", {"rate": 0.5, "effort": 2}),
        "finest": ("RGB", "eye", {"quality": 100}),
        "coarsest": ("RGB", "eye", {"quality": 0}),
    },
    "v1.4": {  # without loss
        "lossless": ("RGB", "eye", {"lossless": True}),
        "lossless-grey": ("L", "eye", {"lossless": True}),
        "lossless-tiles": ("RGBA", "eye", {"lossless": True, "tile": 64}),
    },
    "v1.7": {  # a new decoder for the eye
        "eye": ("RGB", "eye", {"rate": 0.5}),
        "eye-grey": ("L", "eye", {"quality": 60}),
        "eye-tiles": ("RGB", "eye", {"quality": 69, "tile": 64}),
        "eye-effort": ("RGB", "eye", {"quality": 60, "effort": 2}),
        "coarsest": ("RGB", "eye", {"quality": 0}),
    },
    "v1.10": {  # new context models, larger ones with effort
        "psnr": ("RGB", "psnr", {"rate": 0.5}),
        "psnr-grey": ("L", "psnr", {"rate": 0.5}),
        "psnr-tiles": ("RGB", "psnr", {"rate": 0.5, "tile": 64}),
        "psnr-chunks": ("RGBA", "psnr", {"rate": 0.5}),
        "psnr-none": ("RGB", "psnr", {"rate": 0.5, "entropy": "none"}),
        "finest": ("RGB", "psnr", {"quality": 100}),
        "coarsest": ("RGB", "psnr", {"quality": 0}),
        "psnr-large": ("RGB", "psnr", {"rate": 0.5, "effort": 2}),
        "tiles-large": ("RGB", "psnr", {"quality": 72, "tile": 64, "effort": 2}),
        "finest-large": ("RGB", "psnr", {"quality": 100, "effort": 2}),
        "ms-ssim-large": ("RGB", "ms-ssim", {"rate": 0.5, "effort": 2}),
        "ms-ssim-grey": ("L", "ms-ssim", {"quality": 76, "effort": 2}),
    },
    "v1.12": {  # narrow layers in the larger context models
        "psnr-large": ("RGB", "psnr", {"rate": 0.5, "effort": 2}),
        "grey-large": ("L", "psnr", {"quality": 72, "effort": 2}),
        "tiles-large": ("RGB", "psnr", {"quality": 72, "tile": 64, "effort": 2}),
        "none-large": ("RGB", "psnr", {"rate": 0.5, "entropy": "none", "effort": 2}),
        "finest-large": ("RGB", "psnr", {"quality": 100, "effort": 2}),
        "coarsest-large": ("RGB", "psnr", {"quality": 0, "effort": 2}),
        "ms-ssim-large": ("RGB", "ms-ssim", {"rate": 0.5, "effort": 2}),
        "ms-ssim-tiles": ("RGB", "ms-ssim", {"quality": 76, "tile": 64, "effort": 2}),
    },
    "v1.13": {  # larger context models for the eye with effort, for the others without
        "psnr": ("RGB", "psnr", {"rate": 0.5}),
        "psnr-grey": ("L", "psnr", {"rate": 0.5}),
        "psnr-tiles": ("RGB", "psnr", {"rate": 0.5, "tile": 64}),
        "psnr-chunks": ("RGBA", "psnr", {"rate": 0.5}),
        "psnr-none": ("RGB", "psnr", {"rate": 0.5, "entropy": "none"}),
        "ms-ssim": ("RGB", "ms-ssim", {"rate": 0.5}),
        "ms-ssim-grey": ("L", "ms-ssim", {"rate": 0.5}),
        "eye-large": ("RGB", "eye", {"rate": 0.5, "effort": 2}),
        "grey-large": ("L", "eye", {"quality": 69, "effort": 2}),
        "tiles-large": ("RGB", "eye", {"quality": 69, "tile": 64, "effort": 2}),
        "none-large": ("RGB", "eye", {"rate": 0.5, "entropy": "none", "effort": 2}),
        "finest-large": ("RGB", "eye", {"quality": 100, "effort": 2}),
        "coarsest-large": ("RGB", "eye", {"quality": 0, "effort": 2}),
        "roi-large": ("RGB", "eye", {"rate": 0.5, "roi": (16, 8, 48, 40), "effort": 2}),
    },
    "v1.5": {  # drawn, in fewer colours
        "few-colours": ("drawn", "eye", {"quality": 69}),
    },
}


def source(mode: str) -> Picture:
    """Return the picture of a case."""
    with Image.open(ROOT / "docs" / "kodim23.png") as photograph:
        picture = photograph.crop(BOX)
    if mode == "one":
        return Picture(np.array([[[200, 30, 90]]], np.uint8))
    if mode == "drawn":  # two discs with soft edges
        rows, columns = np.indices((64, 96))
        pixels = np.full((64, 96, 3), 255.0)
        for row, column, colour in ((30, 30, (200, 30, 90)), (36, 64, (20, 110, 40))):
            distances = np.sqrt((rows - row) ** 2.0 + (columns - column) ** 2.0)
            share = np.clip((23 - distances) / 3, 0, 1)[..., None]
            pixels = np.rint(pixels + share * (np.array(colour) - pixels))
        return Picture(pixels.astype(np.uint8))
    if mode == "L":
        return Picture(np.asarray(picture.convert("L")))
    pixels = np.asarray(picture)
    if mode == "RGB":
        return Picture(pixels)
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, 48:] = 128
    alpha[:16, :16] = 0
    return Picture(pixels, alpha, Metadata(icc=b"a profile", exif=b"II*\0", xmp=b"<x/>"))


def main() -> None:
    """Write the files of all cases to a new folder, and print their hashes."""
    from cross_device import hashes, integers

    folder = Path(sys.argv[1])
    folder.mkdir()
    codecs = {tune: Codec("cpu", tune=tune) for tune in TUNES}
    facts = {}
    for case, (mode, tune, asked) in CASES[folder.name].items():
        codec = codecs[tune]
        words = dict(asked)
        if "roi" in words:
            left, top, width, height = words["roi"]
            words["roi"] = Roi.box(64, 96, Box(top, left, top + height, left + width))
        data = codec.encode(source(mode), **words)
        (folder / f"{case}.aic").write_bytes(data)
        Image.fromarray(codec.decode(data)).save(folder / f"{case}.png")
        facts[case] = {"tune": tune, "bytes": len(data)}
        if data.report.colours is not None:
            facts[case]["colours"] = data.report.colours
        elif not data.report.lossless:  # which has no codes
            facts[case] |= hashes(*integers(codec, data))
    (folder / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")
    for path in sorted(folder.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f'    "{folder.name}/{path.name}": "{digest}",')


if __name__ == "__main__":
    main()

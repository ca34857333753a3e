"""Measure `aic restore`: JPEG files of pictures, against libjpeg's decoding of the same files.

    python benchmarks/restore.py FOLDER_OF_PICTURES --qualities 10 20 40 75 90

Mean gains in PSNR and MS-SSIM, and the least gain of any picture. Pixels are rounded to 8 bits on
both sides.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from imgcodec.metrics import ms_ssim, psnr
from imgcodec.restoring import Restorer


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 20, 40, 75, 90])
    parser.add_argument("--subsampling", nargs="+", default=["4:2:0", "4:4:4"])
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    restorer = Restorer()
    paths = sorted(options.folder.glob("*.png"))[:: options.every]
    print("| sampling | quality | PSNR, dB | gain | least | most | MS-SSIM, dB | gain | least |")
    print("|---|---|---|---|---|---|---|---|---|")
    for subsampling in options.subsampling:
        for quality in options.qualities:
            found = []
            for path in paths:
                with Image.open(path) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                file = io.BytesIO()
                Image.fromarray(pixels).save(
                    file, "JPEG", quality=quality, subsampling=subsampling
                )
                with Image.open(file) as picture:
                    usual = np.asarray(picture)
                ours = restorer.restore(file.getvalue())
                rows = []
                for decoded in (usual, ours):
                    similar = -10 * np.log10(1 - ms_ssim(pixels, decoded))
                    rows.append((psnr(pixels, decoded), similar))
                found.append(rows)
            a = np.array(found)  # (pictures, decoders, metrics)
            gain = a[:, 1] - a[:, 0]
            pixel, similar = gain[..., 0], gain[..., 1]
            usual, usual_similar = a[:, 0].mean(0)
            print(
                f"| {subsampling} | {quality} | {usual:.2f} | {pixel.mean():+.2f}"
                f" | {pixel.min():+.2f} | {pixel.max():+.2f}"
                f" | {usual_similar:.2f} | {similar.mean():+.2f} | {similar.min():+.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

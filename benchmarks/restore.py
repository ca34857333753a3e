"""Measure `aic restore`: JPEG files of pictures, against libjpeg's decoding of the same files.

    python benchmarks/restore.py FOLDER_OF_PICTURES --qualities 10 20 40 75 90

Mean gains in PSNR and MS-SSIM, and the least gain of any picture. Pixels are rounded to 8 bits on
both sides.

    python benchmarks/restore.py FOLDER_OF_PICTURES --jpeg2000 WEIGHTS --rates 0.1 0.25 0.5 1 2

The same for JPEG 2000 files and OpenJPEG's decoding of them, with weights that
`benchmarks/train_restore.py --around jpeg2000` made.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgcodec.metrics import ms_ssim, psnr
from imgcodec.pictures.arrays import pad
from imgcodec.restoring import Restorer
from imgcodec.train import jpeg2000_files
from imgcodec.weights import load_restorer


def through_jpeg(pixels, subsampling, quality, restorer):
    """Return what libjpeg and what aic decode from a JPEG file of pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as picture:
        usual = np.asarray(picture)
    return usual, restorer.restore(file.getvalue())


@torch.inference_mode()
def through_jpeg2000(pixels, rate, network):
    """Return what OpenJPEG decodes from a file of pixels, and what a network makes of that."""
    height, width = pixels.shape[:2]
    x = torch.tensor(pixels).permute(2, 0, 1)[None].float()
    found, bpp = jpeg2000_files.decoded(x, torch.tensor([rate]))
    usual = found[0].permute(1, 2, 0).byte().numpy()
    whole = torch.from_numpy(pad(usual, 8)).permute(2, 0, 1)[None].float()
    restored = network.rgb(network(jpeg2000_files.coded(network, whole, bpp)))
    restored = restored[0, :, :height, :width].permute(1, 2, 0).round().clamp(0, 255)
    return usual, restored.byte().numpy()


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 20, 40, 75, 90])
    parser.add_argument("--subsampling", nargs="+", default=["4:2:0", "4:4:4"])
    parser.add_argument("--jpeg2000", type=Path, metavar="WEIGHTS")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1, 2])
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    if options.jpeg2000:
        network = load_restorer(options.jpeg2000)
        ways = [("JPEG 2000", rate) for rate in options.rates]
    else:
        restorer = Restorer()
        ways = [(way, quality) for way in options.subsampling for quality in options.qualities]
    paths = sorted(options.folder.glob("*.png"))[:: options.every]
    setting = "bpp" if options.jpeg2000 else "quality"
    print(f"| files | {setting} | PSNR, dB | gain | least | most | MS-SSIM, dB | gain | least |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, value in ways:
        found = []
        for path in paths:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            if options.jpeg2000:
                both = through_jpeg2000(pixels, value, network)
            else:
                both = through_jpeg(pixels, kind, value, restorer)
            found.append([(psnr(pixels, x), -10 * np.log10(1 - ms_ssim(pixels, x))) for x in both])
        a = np.array(found)  # (pictures, decoders, metrics)
        gain = a[:, 1] - a[:, 0]
        pixel, similar = gain[..., 0], gain[..., 1]
        usual, usual_similar = a[:, 0].mean(0)
        print(
            f"| {kind} | {value} | {usual:.2f} | {pixel.mean():+.2f}"
            f" | {pixel.min():+.2f} | {pixel.max():+.2f}"
            f" | {usual_similar:.2f} | {similar.mean():+.2f} | {similar.min():+.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

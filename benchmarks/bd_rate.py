"""BD-rates of an `aic bench --json` result against classical codecs on the 24 Kodak pictures.

    aic bench kodak/ --json results.json --rate 0.1 --rate 0.15 --rate 0.25 --rate 0.35 \
        --rate 0.5 --rate 0.75 --rate 1 --rate 1.5
    python benchmarks/bd_rate.py results.json

`anchors.json` holds the means over the 24 pictures of whole files on disk. PCHIP over the
logarithm of the rate, over the whole quality range that both curves have.
"""

import argparse
import json
from pathlib import Path

from imgcodec.metrics import bd_rate, ms_ssim_db


def main() -> None:
    """Print one line per anchor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="what `aic bench --json` wrote")
    means = json.loads(parser.parse_args().results.read_text())["means"]
    anchors = json.loads(Path(__file__).with_name("anchors.json").read_text())
    rates = [row["bpp"] for row in means]
    psnrs = [row["psnr"] for row in means]
    similarities = [ms_ssim_db(row["ms_ssim"]) for row in means]
    print(f"{'against':<32} {'PSNR':>9} {'MS-SSIM':>9}")
    for name, anchor in anchors.items():
        points = anchor["points"]
        theirs = [point["bpp"] for point in points]
        quality = [point["psnr"] for point in points]
        similarity = [ms_ssim_db(point["ms_ssim"]) for point in points]
        by_psnr = bd_rate(theirs, quality, rates, psnrs)
        by_similarity = bd_rate(theirs, similarity, rates, similarities)
        print(f"{name:<32} {by_psnr:>+8.1f}% {by_similarity:>+8.1f}%")


if __name__ == "__main__":
    main()

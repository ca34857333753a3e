"""BD-rates of an `aic bench --json` result against classical codecs on the 24 Kodak pictures.

    aic bench kodak/ --json results.json --rate 0.1 --rate 0.15 --rate 0.25 --rate 0.35 \
        --rate 0.5 --rate 0.75 --rate 1 --rate 1.5 --quality 35 --quality 41 --quality 48 \
        --quality 55 --quality 62 --quality 70 --quality 78 --quality 86
    python benchmarks/bd_rate.py results.json

`anchors.json` holds whole files on disk, pictures in the order of their names. PCHIP over the
logarithm of the rate, over the whole quality range that both curves have. Two figures each:

- of the set: one curve of means over the 24 pictures, as codecs are usually compared. The other
  codecs' points, but those of JPEG 2000, are of one quality setting for all pictures, as are those
  of `aic-psnr-quality`; those of `aic-psnr` are of one rate for all, which gives easy pictures
  more of the bits, and with them a higher mean of PSNR and a lower mean of MS-SSIM;
- of pictures: the mean of the 24 BD-rates, each from the curves of one picture.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from imgcodec.metrics import bd_rate, ms_ssim_db

KINDS = ("means", "rows")


def main() -> None:
    """Print one line per anchor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="what `aic bench --json` wrote")
    results = json.loads(parser.parse_args().results.read_text())
    anchors = json.loads(Path(__file__).with_name("anchors.json").read_text())
    print(f"{'':<32} {'of the set':^20} {'of pictures':^20}")
    print(f"{'against':<32}" + 2 * f" {'PSNR':>9} {'MS-SSIM':>10}")
    for codec in dict.fromkeys(row["codec"] for row in results["means"]):
        if codec.startswith("aic"):
            means, rows = ([r for r in results[k] if r["codec"] == codec] for k in KINDS)
            if len(means) == 1:
                print(f"{codec}: a single setting is no curve")
                continue
            print(codec)
            for name, anchor in anchors.items():
                against(name, anchor["points"], means, rows)


def against(name: str, points: list[Any], means: list[Any], rows: list[Any]) -> None:
    """Print the line of one anchor."""
    pairs = [([(p["bpp"], p["psnr"], p["ms_ssim"]) for p in points], curve(means))]
    for number, picture in enumerate(sorted({row["picture"] for row in rows})):
        own = curve([row for row in rows if row["picture"] == picture])
        pairs.append(([point["pictures"][number] for point in points], own))
    by_psnr, by_similarity = zip(*(compare(*pair) for pair in pairs), strict=True)
    print(
        f"  {name:<30} {by_psnr[0]:>+8.1f}% {by_similarity[0]:>+9.1f}%"
        f" {mean(by_psnr[1:]):>+8.1f}% {mean(by_similarity[1:]):>+9.1f}%"
    )


def curve(rows: list[dict[str, float]]) -> list[tuple[float, float, float]]:
    """Return rate, PSNR and MS-SSIM of rows."""
    return [(row["bpp"], row["psnr"], row["ms_ssim"]) for row in rows]


def compare(
    theirs: list[tuple[float, float, float]], ours: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """Return the BD-rates of one pair of curves, by PSNR and by MS-SSIM in dB."""
    (rates, psnrs, similarities), (r, p, s) = zip(*theirs, strict=True), zip(*ours, strict=True)
    return (
        bd_rate(rates, psnrs, r, p),
        bd_rate(rates, [ms_ssim_db(x) for x in similarities], r, [ms_ssim_db(x) for x in s]),
    )


if __name__ == "__main__":
    main()

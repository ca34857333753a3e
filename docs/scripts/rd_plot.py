"""Draws rate-distortion curves of an `aic bench --json` result beside those of other codecs.

    python docs/scripts/rd_plot.py results.json docs/kodak.png

Means over the 24 Kodak pictures; the others' points are those of `anchors.json`.
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from imgcodec.metrics import ms_ssim_db

ROOT = Path(__file__).resolve().parents[2]

LARGEST_RATE = 1.6  # bits per pixel
COLOURS = {"aic --tune psnr": "black", "aic --tune ms-ssim": "grey", "aic --tune eye": "peru"}


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="what `aic bench --json` wrote")
    parser.add_argument("target", type=Path, help="picture to write")
    arguments = parser.parse_args()
    anchors = json.loads((ROOT / "benchmarks" / "anchors.json").read_text())
    curves = {name: anchor["points"] for name, anchor in anchors.items()}
    for row in json.loads(arguments.results.read_text())["means"]:
        if row["codec"] in ("aic-psnr", "aic-ms-ssim", "aic-eye"):
            curves.setdefault(row["codec"].replace("aic-", "aic --tune "), []).append(row)
    figure = Figure(figsize=(11, 4.5), layout="tight")
    left, right = figure.subplots(1, 2)
    for name, rows in curves.items():
        rows = sorted((r for r in rows if r["bpp"] <= LARGEST_RATE), key=lambda r: r["bpp"])
        style = {"linewidth": 1}
        if name.startswith("aic"):
            style = {"color": COLOURS[name], "linewidth": 2.5}
        rates = [row["bpp"] for row in rows]
        left.plot(rates, [row["psnr"] for row in rows], marker=".", label=name, **style)
        similarities = [ms_ssim_db(row["ms_ssim"]) for row in rows]
        right.plot(rates, similarities, marker=".", label=name, **style)
    for axes, label in ((left, "PSNR (RGB), dB"), (right, "MS-SSIM, dB")):
        axes.set_xscale("log")
        ticks = [0.1, 0.2, 0.5, 1.0]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("bits per pixel, whole file")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3, which="both")
    right.legend(fontsize="small")
    figure.savefig(arguments.target, dpi=80)


if __name__ == "__main__":
    main()

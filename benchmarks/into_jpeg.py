"""Measure `aic encode --into jpeg`, against JPEG files of libjpeg's at equal quality.

    python benchmarks/into_jpeg.py FOLDER_OF_PICTURES [--others FOLDER]

BD-rates, means of the pictures, of files as any viewer shows them and as `aic restore` decodes
them. libjpeg's are 4:2:0 with optimised Huffman tables; its progressive ones have the same pixels.
`--others` names a folder of another encoder's files, PICTURE-QUALITY.jpg, `--rows` a JSON file
that keeps what is measured: a run that was ended goes on where it was. `--half` measures, in place
of that, what `aic encode --into jpeg --half` gains over the whole size at equal bytes, restored.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from imgcodec.errors import AicError
from imgcodec.into_jpeg import JpegMaker
from imgcodec.metrics import bd_rate, ms_ssim, ms_ssim_db, psnr, ssimulacra2
from imgcodec.pictures.picture import Picture
from imgcodec.restoring import Restorer

COLUMNS = ("PSNR", "MS-SSIM", "SSIMULACRA 2")
QUALITIES = (8, 20, 40, 60, 75, 85, 92)
RATES = (0.1, 0.15, 0.2, 0.3)  # of files of half the size
THEIRS = (8, 20, 40, 60, 75, 88, 94)  # of libjpeg's, for about the same bytes


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--half", action="store_true")
    options = parser.parse_args()
    restorer = Restorer()
    maker = JpegMaker(restorer)
    if options.half:
        show_halves(restorer, maker, sorted(options.folder.glob("*.png"))[:: options.every])
        return
    rows = {}
    if options.rows and options.rows.exists():
        rows = json.loads(options.rows.read_text())
    paths = sorted(options.folder.glob("*.png"))[:: options.every]
    for path in paths:
        if path.stem in rows:
            continue
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        files = {
            "libjpeg": [libjpeg(pixels, quality, optimize=True) for quality in THEIRS],
            "libjpeg progressive": [
                libjpeg(pixels, quality, progressive=True) for quality in THEIRS
            ],
            "aic, no round": [maker.encode(Picture(pixels), q, 0) for q in QUALITIES],
            "aic": [maker.encode(Picture(pixels), q) for q in QUALITIES],
        }
        if options.others:
            others = sorted(options.others.glob(f"{path.stem}-*.jpg"))
            files["others"] = [other.read_bytes() for other in others]
        rows[path.stem] = {
            name: [measured(restorer, pixels, data) for data in its] for name, its in files.items()
        }
        if options.rows:
            options.rows.write_text(json.dumps(rows))
    show(rows)


def show_halves(restorer, maker, paths):
    """Print what half the size gains."""
    print("| bits a pixel | pictures | " + " | ".join(COLUMNS) + " |")
    print("|---|---|---|---|---|")
    for rate in RATES:
        gains = []
        for path in paths:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            most = int(rate * pixels[..., 0].size / 8)
            try:
                whole, half = (
                    restorer.restore(maker.fit(Picture(pixels), most, half=half)[0])
                    for half in (False, True)
                )
            except AicError:  # none of the whole size is so small
                continue
            gains.append(np.subtract(qualities(pixels, half), qualities(pixels, whole)))
        cells = [f"{gain:+.2f}" for gain in np.mean(gains, 0)]
        print(f"| {rate} | {len(gains)} | " + " | ".join(cells) + " |", flush=True)


def libjpeg(pixels, quality, **options):
    """Return a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0", **options)
    return file.getvalue()


def measured(restorer, pixels, data):
    """Return bytes, and all qualities of the plain and of the restored picture."""
    with Image.open(io.BytesIO(data)) as picture:
        plain = np.asarray(picture.convert("RGB"))
    found = [len(data)]
    for decoded in (plain, restorer.restore(data)):
        found += qualities(pixels, decoded)
    return found


def qualities(pixels, decoded):
    """Return what `COLUMNS` says."""
    structure = ms_ssim_db(ms_ssim(pixels, decoded))
    return [psnr(pixels, decoded), structure, ssimulacra2(pixels, decoded)]


def show(rows):
    """Print BD-rates against libjpeg, plain against plain and restored against restored."""
    print(f"{len(rows)} pictures")
    print(
        "| encoder | plain: " + " | ".join(COLUMNS) + " | restored: " + " | ".join(COLUMNS) + " |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in next(iter(rows.values())):
        cells = []
        for column in range(1, 7):
            found = []
            for its in rows.values():
                anchor, ours = (np.array(its[who])[:, [0, column]].T for who in ("libjpeg", name))
                found.append(bd_rate(*anchor, *ours))
            cells.append(f"{np.mean(found):+.1f} %")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

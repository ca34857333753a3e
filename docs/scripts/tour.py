"""An album of pictures of all kinds, there and back again: writes the transcript docs/tour.md.

    python docs/scripts/tour.py docs/tour.md

Runs the installed `aic` in an empty folder, and shows what it says and what it leaves.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageOps

from imgcodec import metrics

ROOT = Path(__file__).resolve().parents[2]
ORIENTATION, MODEL, COPYRIGHT = 0x0112, 0x0110, 0x8298
INTRODUCTION = """# A tour

What you see when you install aic and give it an album of mixed pictures. Written by
`python docs/scripts/tour.py docs/tour.md`; everything below a `$` is what the command printed.

    $ python3 -m venv aic && aic/bin/pip install torch==2.13.0 imgcodec-*.whl

The first name gives pip the version of torch that the tests use. The second is the wheel that
`pip wheel --no-deps .` makes, with the weights inside.

"""


def main() -> None:
    """Make the album, run the commands, write the transcript."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("transcript", type=Path)
    target = parser.parse_args().transcript
    with tempfile.TemporaryDirectory() as scratch:
        tour = Tour(Path(scratch))
        make_album(tour.folder / "album")
        tour.say(
            "The album: a phone's JPEG file that is stored on its side, a transparent drawing, a"
        )
        tour.say("grey scan, a picture of 16 bits, one in CMYK, and a file that was cut short.\n")
        tour.show("ls album")
        tour.show("aic encode album packed")
        tour.say(
            "The broken file did not stop the others. A second run has only that one left to do:\n"
        )
        tour.show("aic encode album packed")
        tour.show("ls packed")
        tour.show("aic info packed/phone.aic")
        tour.show("aic decode packed back")
        tour.say(
            "What came back, compared with what Pillow reads from the originals (turned upright,"
        )
        tour.say("16 bits and CMYK converted to 8-bit grey and RGB):\n")
        tour.table(compare(tour.folder))
        tour.say(
            "A file of a given size, a region of interest, a part of a picture, a smaller file"
        )
        tour.say("without the original, and a map of where the bits went:\n")
        tour.show("aic encode album/phone.jpg small.aic --size 12k --verbose")
        tour.show("aic encode album/phone.jpg roi.aic --size 12k --roi 120,60,200,200:8")
        tour.show("aic decode small.aic part.png --region 100,200,256,128")
        tour.show("aic trim packed/phone.aic trimmed.aic --rate 0.1")
        tour.show("aic inspect roi.aic map.png")
        tour.say("And what mistakes look like:\n")
        tour.show("aic decode small.aic part.png")
        tour.show("aic encode album/broken.jpg broken.aic")
        tour.show("aic decode album/drawing.png picture.png")
        tour.show("aic encode album/phone.jpg tiny.aic --rate 0.001")
        tour.show("aic encode album/phone.jpg phone.aic --rate 0.5 --size 9k")
        target.write_text(INTRODUCTION + "\n".join(tour.lines))


class Tour:
    """Runs commands in a folder and writes down what they print."""

    def __init__(self, folder: Path) -> None:
        """Start with an empty transcript."""
        self.folder, self.lines = folder, list[str]()

    def say(self, text: str) -> None:
        """Add text."""
        self.lines.append(text)

    def show(self, command: str) -> None:
        """Run a command and add what it prints, and its exit code if it is not 0."""
        words = command.split()
        run = [sys.executable, "-m", "imgcodec", *words[1:]] if words[0] == "aic" else words
        done = subprocess.run(
            run, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines += [f"    {line}" for line in (f"$ {command}", *done.stdout.splitlines())]
        if done.returncode:
            self.lines.append(f"    [exit code {done.returncode}]")
        self.lines.append("")
        print(command, done.returncode, flush=True)

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Add a table; the first row is its head."""
        for number, row in enumerate(rows):
            self.lines.append(f"| {' | '.join(row)} |")
            if number == 0:
                self.lines.append("|---" * len(row) + "|")
        self.lines.append("")


def make_album(folder: Path) -> None:
    """Write one picture of each kind."""
    folder.mkdir()
    with Image.open(ROOT / "docs" / "kodim23.png") as file:
        photograph = file.convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION], exif[MODEL], exif[COPYRIGHT] = 6, "phone", "Kodak"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = photograph.transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "phone.jpg", quality=95, exif=exif, icc_profile=srgb)

    drawing = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).ellipse((40, 20, 260, 180), (200, 60, 30, 160), (20, 20, 20, 255), 6)
    drawing.save(folder / "drawing.png")

    photograph.convert("L").save(folder / "scan.png", dpi=(300, 300))

    grey = np.asarray(photograph.convert("L")).astype(np.uint16)
    Image.fromarray(grey * 257).save(folder / "deep.tif")
    photograph.convert("CMYK").save(folder / "inks.jpg", quality=95)

    whole = io.BytesIO()
    photograph.save(whole, "JPEG")
    (folder / "broken.jpg").write_bytes(whole.getvalue()[:9000])


def compare(folder: Path) -> list[tuple[str, ...]]:
    """Return a table of the originals and what came back."""
    rows: list[tuple[str, ...]] = [
        ("picture", "bytes", ".aic", "mode", "size", "PSNR, dB", "transparency", "kept")
    ]
    for source in sorted((folder / "album").iterdir()):
        back = folder / "back" / f"{source.stem}.png"
        if not back.exists():
            continue
        coded = folder / "packed" / f"{source.stem}.aic"
        with Image.open(source) as file, Image.open(back) as found:
            upright = ImageOps.exif_transpose(file)
            exif = file.getexif()
            kept = [
                name
                for name, same in (
                    ("colour profile", file.info.get("icc_profile")),
                    ("EXIF", exif.get(MODEL)),
                )
                if same and same in (found.info.get("icc_profile"), found.getexif().get(MODEL))
            ]
            turned = found.getexif().get(ORIENTATION, 1)
            if exif.get(ORIENTATION, 1) != 1:
                kept.append(f"orientation {exif[ORIENTATION]} applied, now {turned}")
            first, second = pixels(upright), pixels(found)
            alpha = "-"
            if "A" in upright.mode:
                same = np.array_equal(upright.getchannel("A"), found.getchannel("A"))
                alpha = "the same" if same else "DIFFERS"
            rows.append(
                (
                    source.name, str(source.stat().st_size), str(coded.stat().st_size),
                    f"{file.mode} -> {found.mode}", f"{found.width}x{found.height}",
                    f"{metrics.psnr(first, second):.1f}", alpha, ", ".join(kept) or "-",
                )
            )  # fmt: skip
    return rows


def pixels(picture: Image.Image) -> np.ndarray:
    """Return what is seen, over white, as uint8 (H, W, 3)."""
    if picture.mode.startswith("I"):
        return np.repeat((np.asarray(picture) // 257).astype(np.uint8)[..., None], 3, 2)
    seen = {"RGBA": over_white, "LA": over_white}.get(picture.mode, as_rgb)
    return np.asarray(seen(picture)).astype(np.uint8)


def over_white(picture: Image.Image) -> Image.Image:
    """Lay a transparent picture on white."""
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def as_rgb(picture: Image.Image) -> Image.Image:
    """Convert without profiles."""
    return picture.convert("RGB")


if __name__ == "__main__":
    main()

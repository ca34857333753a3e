"""`make demo`: one photograph through the real commands, beside a JPEG file of the same size."""

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imgcodec import metrics

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPH = ROOT / "docs" / "kodim23.png"
FOLDER = ROOT / "demo"
RATE = 0.5  # bits per pixel
CAPTION_PX = 20


def main() -> None:
    """Encode, decode, measure, and leave the pictures to look at."""
    FOLDER.mkdir(exist_ok=True)
    coded, decoded = FOLDER / "kodim23.aic", FOLDER / "kodim23.png"
    encode_s = aic("encode", str(PHOTOGRAPH), str(coded), "--rate", str(RATE), "--force")
    decode_s = aic("decode", str(coded), str(decoded), "--force")
    aic("info", str(coded))

    original = pixels(PHOTOGRAPH)
    aic_picture = pixels(decoded)
    height, width = original.shape[:2]
    num_bytes = coded.stat().st_size
    jpeg = jpeg_within(original, num_bytes)
    jpeg_picture = pixels(io.BytesIO(jpeg))
    print(
        f"\n{PHOTOGRAPH.name}, {width}x{height}, {RATE} bpp asked\n"
        f"  aic   {quality(original, aic_picture, num_bytes)}\n"
        f"  jpeg  {quality(original, jpeg_picture, len(jpeg))}\n"
        f"  aic encode {encode_s:.1f} s, aic decode {decode_s:.1f} s, "
        "each with the start of Python and torch (the commands print their own times)"
    )
    target = FOLDER / "side-by-side.png"
    panels = {
        "original": original,
        f"aic, {num_bytes} bytes": aic_picture,
        f"JPEG 4:2:0, {len(jpeg)} bytes": jpeg_picture,
    }
    side_by_side(panels).save(target)
    print(f"look at {target.relative_to(ROOT)}")


def aic(*arguments: str) -> float:
    """Run the command, return the seconds it took from its start to its end."""
    print("$ aic", *(argument.removeprefix(f"{ROOT}/") for argument in arguments), flush=True)
    command = Path(sys.executable).with_name("aic")
    start = time.perf_counter()
    subprocess.run([command, *arguments], check=True)
    return time.perf_counter() - start


def jpeg_within(picture: NDArray[np.uint8], max_bytes: int) -> bytes:
    """The best optimised 4:2:0 JPEG file of at most so many bytes (quality 1 if none)."""
    low, high = 1, 95
    while low < high:
        middle = (low + high + 1) // 2
        if len(jpeg_bytes(picture, middle)) <= max_bytes:
            low = middle
        else:
            high = middle - 1
    return jpeg_bytes(picture, low)


def jpeg_bytes(picture: NDArray[np.uint8], setting: int) -> bytes:
    """A JPEG file at a quality setting."""
    file = io.BytesIO()
    Image.fromarray(picture).save(
        file, "JPEG", quality=setting, subsampling="4:2:0", optimize=True
    )
    return file.getvalue()


def quality(original: NDArray[np.uint8], picture: NDArray[np.uint8], num_bytes: int) -> str:
    """Size and quality in one line."""
    height, width = original.shape[:2]
    similarity = metrics.ms_ssim(original, picture)
    shown = "" if similarity is None else f", MS-SSIM {similarity:.4f}"
    return (
        f"{num_bytes} bytes, {metrics.bpp(num_bytes, height, width):.4f} bpp, "
        f"PSNR {metrics.psnr(original, picture):.2f} dB{shown}"
    )


def pixels(source: Path | io.BytesIO) -> NDArray[np.uint8]:
    """A picture as uint8 (H, W, 3)."""
    with Image.open(source) as picture:
        return np.asarray(picture.convert("RGB"))


def side_by_side(panels: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """The pictures, all of one size, in a row, each under its caption."""
    height, width = next(iter(panels.values())).shape[:2]
    canvas = Image.new("RGB", (width * len(panels), height + CAPTION_PX), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (caption, picture) in enumerate(panels.items()):
        draw.text((place * width + 6, 4), caption, fill="black")
        canvas.paste(Image.fromarray(picture), (place * width, CAPTION_PX))
    return canvas


if __name__ == "__main__":
    main()

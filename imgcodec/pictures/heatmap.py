"""Where a file's bits went, as a picture: heat maps over the decoded pixels, with their scales."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imgcodec.pictures.roi import PLACE

MARGIN, BAR, TEXT = 12, 14, 16  # pixels
TICKS = 5
OPACITY = 0.65
# Colours of the scale from least to most, evenly spaced: those of matplotlib's inferno.
_STOPS = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)],
    np.float32,
)


def heatmap(
    pixels: NDArray[np.uint8], levels: NDArray[np.float32], bits: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Draw the importance map and, below it, the bits of each place.

    Args:
        pixels: the decoded picture, uint8 (H, W, 3).
        levels: (ceil(H/8), ceil(W/8)).
        bits: likewise, for each place.

    Returns:
        uint8 (H', W', 3).
    """
    panels = [
        _panel(pixels, levels, "importance level"),
        _panel(pixels, bits / np.float32(PLACE**2), "bits per pixel"),
    ]
    return np.concatenate(panels)


def _panel(
    pixels: NDArray[np.uint8], values: NDArray[np.float32], title: str
) -> NDArray[np.uint8]:
    """Return a picture with values over it, and their scale under it."""
    height, width = pixels.shape[:2]
    low, high = float(values.min()), float(np.quantile(values, 0.999))
    high = max(high, low + 1e-6)
    heat = colours((values - low) / (high - low))
    heat = np.repeat(np.repeat(heat, PLACE, 0), PLACE, 1)[:height, :width]
    grey = pixels.mean(2, keepdims=True)
    mixed = OPACITY * heat + (1 - OPACITY) * grey
    whole_width = max(width, 240)
    sheet = Image.new("RGB", (whole_width, height + BAR + 2 * TEXT + 2 * MARGIN), "white")
    sheet.paste(Image.fromarray(np.round(mixed).astype(np.uint8)), (0, 0))
    scale = colours(np.linspace(0, 1, whole_width - 2 * MARGIN, dtype=np.float32))
    bar = np.repeat(np.round(scale).astype(np.uint8)[None], BAR, 0)
    top = height + MARGIN + TEXT
    sheet.paste(Image.fromarray(bar), (MARGIN, top))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    draw.text((MARGIN, height + MARGIN // 2), title, "black", font)
    for tick in range(TICKS):
        share = tick / (TICKS - 1)
        text = f"{low + share * (high - low):.3g}"
        shift = share * draw.textlength(text, font)
        draw.text(
            (MARGIN + share * (whole_width - 2 * MARGIN) - shift, top + BAR + 2),
            text,
            "black",
            font,
        )
    return np.array(sheet)


def colours(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colours of numbers 0..1, (..., 3)."""
    stops = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(shares, stops, _STOPS[:, c]) for c in range(3)]
    return np.stack(channels, -1).astype(np.float32)

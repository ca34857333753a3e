"""What rendered pages are drawn with: fonts, words, colours, and a picture to draw on."""

import colorsys
import random
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imgcodec.errors import AicError

Colour = tuple[int, int, int]
Point = tuple[float, float]

SANS = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"
SERIF = (
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic",
)  # fmt: skip
MONO = "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"

LATIN = tuple(
    """the of and to in for is on that with as at by from it be or an are was which this not
    river archive mission sensor image rate quality stone window north code height total note
    figure signal price order item value pixel frame update status error open close file edit
    view help search account settings message street market harbour library tower garden weather
    report minister election science journal chapter between without through 10 2026 3.14 47.3
    1,250 85 % naïve façade Straße über Größe señor niño élève où çà için şehir łódź příliš
    žluťoučký""".split()
)
GREEK = tuple(
    """το και της είναι που για από στην θάλασσα πόλη ημέρα λόγος εικόνα άνθρωπος χρόνος δρόμος
    αγορά μέτρο Αθήνα ποιότητα σήμα αρχείο""".split()
)
CYRILLIC = tuple(
    """и в не на что это как для дом река город время слово книга письмо изображение Москва
    качество файл сигнал площадь утро дорога человек работа""".split()
)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SCRIPTS = (LATIN, 8), (GREEK, 1), (CYRILLIC, 1)


class Face(NamedTuple):
    """A font of the package matplotlib in one size."""

    name: str
    px: float  # size of the letters' body, pixels of the page


class Theme(NamedTuple):
    """The colours of a page."""

    paper: Colour
    panel: Colour  # of boxes on the paper
    ink: Colour
    faint: Colour  # of rules and less important words
    accents: Sequence[Colour]

    @property
    def dark(self) -> bool:
        """Whether the paper is dark."""
        return sum(self.paper) < 384


class Canvas:
    """A square picture to draw on, in pixels of the page.

    Shapes are drawn without antialiasing, `scale` times as large; `settle` reduces them, and what
    is drawn after that has the pixels of the page. Letters are antialiased at every scale.
    """

    def __init__(self, chance: random.Random, size: int, scale: int, paper: Colour) -> None:
        """Begin an empty picture.

        Args:
            chance: what everything random is drawn from.
            size: side, px.
            scale: pixels drawn for one pixel of the page, each way.
            paper: colour of the background.
        """
        self.chance, self.size, self.scale = chance, size, scale
        self._start(Image.new("RGB", (size * scale, size * scale), paper))

    def settle(self) -> None:
        """Reduce what is drawn to the pixels of the page."""
        self._start(self.image.reduce(self.scale) if self.scale > 1 else self.image)
        self.scale = 1

    def array(self) -> NDArray[np.uint8]:
        """Return the picture, uint8 (size * scale, size * scale, 3)."""
        return np.asarray(self.image)

    def replace(self, pixels: NDArray[np.uint8]) -> None:
        """Draw on other pixels from now on, uint8 (size * scale, size * scale, 3)."""
        self._start(Image.fromarray(pixels))

    def box(
        self,
        left: float, top: float, right: float, bottom: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        radius: float = 0,
        width: float = 1,
    ) -> None:  # fmt: skip
        """Draw a rectangle, or nothing where it would have no width or height."""
        s = self.scale
        corners = round(left * s), round(top * s), round(right * s) - 1, round(bottom * s) - 1
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            stroke = max(1, round(width * s))
            self._draw.rounded_rectangle(corners, radius * s, fill, outline, stroke)

    def disc(
        self, x: float, y: float, radius: float, fill: Colour | None, outline: Colour | None = None
    ) -> None:
        """Draw a circle."""
        s = self.scale
        self._draw.circle((x * s, y * s), radius * s, fill, outline, max(1, s))

    def wedge(
        self, x: float, y: float, radius: float, start: float, end: float, fill: Colour
    ) -> None:
        """Draw a piece of a disc between two angles, degrees."""
        s = self.scale
        box = ((x - radius) * s, (y - radius) * s, (x + radius) * s, (y + radius) * s)
        self._draw.pieslice(box, start, end, fill)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1) -> None:
        """Draw straight lines from point to point, at least one drawn pixel wide."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self._draw.line(scaled, colour, max(1, round(width * self.scale)), "curve")

    def polygon(
        self, points: Sequence[Point], fill: Colour | None, outline: Colour | None = None
    ) -> None:
        """Draw a filled outline."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self._draw.polygon(scaled, fill, outline, max(1, self.scale))

    def text(
        self,
        x: float, y: float,
        words: str,
        face: Face,
        colour: Colour,
        halo: Colour | None = None,
        anchor: str = "la",
    ) -> None:  # fmt: skip
        """Draw words, their place given by Pillow's `anchor`; `halo` surrounds the letters."""
        s, stroke = self.scale, 0 if halo is None else self.scale
        font = _font(face.name, round(face.px * s))
        place = (x * s, y * s)
        self._draw.text(place, words, colour, font, anchor, stroke_width=stroke, stroke_fill=halo)

    def width(self, words: str, face: Face) -> float:
        """Return how wide words are, px."""
        return _font(face.name, round(face.px * self.scale)).getlength(words) / self.scale

    def face(self, names: Sequence[str], least: float = 8, most: float = 60) -> Face:
        """Return a random face; small sizes are likelier than large ones."""
        share = self.chance.random() ** 1.6
        return Face(self.chance.choice(names), least * (most / least) ** share)

    def paragraph(
        self,
        left: float, top: float, right: float, bottom: float,
        face: Face,
        colour: Colour,
        words: Sequence[str],
        justified: bool = False,
        spacing: float = 1.35,
    ) -> float:  # fmt: skip
        """Fill a box with lines of words and return where the next line would begin, px."""
        y, space = top, self.width(" ", face)
        pending = iter(words)
        line: list[str] = []
        length, done = 0.0, False
        while not done and y + face.px <= bottom:
            word = next(pending, None)
            extent = 0.0 if word is None else self.width(word, face)
            if word is not None and (not line or length + extent <= right - left):
                line.append(word)
                length += extent + space
                continue
            done = word is None
            if justified and not done and len(line) > 1:
                gap = (right - left - length + len(line) * space) / (len(line) - 1)
                x = left
                for part in line:
                    self.text(x, y, part, face, colour)
                    x += self.width(part, face) + gap
            elif line:
                self.text(left, y, " ".join(line), face, colour)
            y += face.px * spacing
            line, length = ([], 0.0) if word is None else ([word], extent + space)
        return y

    def _start(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image)


def theme(chance: random.Random) -> Theme:
    """Return the colours of a page: dark letters on light paper, or the other way round."""
    hue, dark = chance.random(), chance.random() < 0.28
    tint = 0.0 if chance.random() < 0.65 else chance.uniform(0.02, 0.15)
    if dark:
        paper = hsv(hue, 2 * tint, chance.choice((0.0, chance.uniform(0.05, 0.3))))
        ink = hsv(hue, tint / 2, chance.uniform(0.7, 1))
    else:
        paper = hsv(hue, tint, chance.choice((1.0, 1.0, chance.uniform(0.85, 1))))
        ink = hsv(hue, tint * 3, chance.choice((0.0, chance.uniform(0, 0.4))))
    panel = mix(paper, ink, chance.uniform(0.03, 0.14))
    faint = mix(paper, ink, chance.uniform(0.2, 0.6))
    low, high = (0.6, 1.0) if dark else (0.3, 0.9)
    accents = [
        hsv(chance.random(), chance.uniform(0.4, 1), chance.uniform(low, high)) for _ in range(6)
    ]
    return Theme(paper, panel, ink, faint, accents)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour of hue, saturation and value, all 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue, min(1.0, saturation), value)
    return round(255 * red), round(255 * green), round(255 * blue)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour between two: `one` at share 0, `other` at share 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def smooth(canvas: Canvas, knots: int) -> NDArray[np.uint8]:
    """Return smooth colours as large as a canvas, dithered so that no bands show.

    Args:
        canvas: whose randomness and size it has.
        knots: random colours each way; more of them change faster.
    """
    chance, side = canvas.chance, canvas.size * canvas.scale
    random = np.random.default_rng(chance.getrandbits(32))
    base = np.array(hsv(chance.random(), chance.uniform(0, 0.8), chance.uniform(0.2, 1)))
    light = chance.uniform(5, 70) * random.standard_normal((knots, knots, 1))
    hues = chance.uniform(0, 40) * random.standard_normal((knots, knots, 3))
    grid = (base + light + hues).astype(np.float32)
    dither = random.random((side, side), dtype=np.float32)
    found = np.empty((side, side, 3), np.uint8)
    for channel in range(3):
        knot = Image.fromarray(grid[..., channel])
        plane = np.asarray(knot.resize((side, side), Image.Resampling.BICUBIC))
        found[..., channel] = np.clip(plane + dither, 0, 255)
    return found


def vocabulary(chance: random.Random, count: int) -> list[str]:
    """Return words of one script; some are numbers, or letters without a meaning."""
    (script,) = chance.choices([words for words, _ in SCRIPTS], [often for _, often in SCRIPTS])
    words = []
    for _ in range(count):
        draw = chance.random()
        if draw < 0.08:
            words.append("".join(chance.choices(LETTERS, k=chance.randrange(1, 12))))
        elif draw < 0.14:
            words.append(number(chance))
        else:
            word = chance.choice(script)
            if draw < 0.26:
                word = word.capitalize() if draw < 0.22 else word.upper()
            words.append(word + (chance.choice(",.;:?!") if draw > 0.88 else ""))
    return words


def number(chance: random.Random) -> str:
    """Return a number as tables have them."""
    return chance.choice(
        (
            f"{chance.randrange(100)}",
            f"{chance.randrange(10**6):,}",
            f"{chance.uniform(-900, 900):.2f}",
            f"{chance.uniform(0, 100):.1f} %",
            f"{chance.randrange(1990, 2030)}-{chance.randrange(1, 13):02}",
        )
    )


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    """Return a font of matplotlib's, without importing that.

    Raises:
        AicError: matplotlib is not installed.
    """
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise AicError("pages are drawn with the fonts of matplotlib: pip install '.[train]'")
    path = Path(spec.origin).parent / "mpl-data/fonts/ttf" / f"{name}.ttf"
    return ImageFont.truetype(path, max(4, px), layout_engine=ImageFont.Layout.BASIC)

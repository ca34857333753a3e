"""The kinds of rendered pages, and how often each is drawn at which scale."""

from collections.abc import Callable
from typing import NamedTuple

from imgcodec.train.pages.canvas import Canvas, Theme
from imgcodec.train.pages.documents import chart, code, headline, table, text
from imgcodec.train.pages.lines import drawing, map_, ruled
from imgcodec.train.pages.screens import gradient, icons, overlay, screen


class Kind(NamedTuple):
    """A kind of page."""

    draw: Callable[[Canvas, Theme], None]
    scales: tuple[int, ...]  # that it may be drawn at, one of them by chance
    often: float  # how often it is drawn, beside the others


KINDS = {
    "text": Kind(text, (1, 1, 1, 2, 3), 3),
    "headline": Kind(headline, (1, 1, 2), 1),
    "table": Kind(table, (1, 1, 1, 2), 2),
    "chart": Kind(chart, (3,), 2),
    "icons": Kind(icons, (3,), 1),
    "screen": Kind(screen, (1, 1, 1, 2), 3),
    "code": Kind(code, (1, 1, 1, 2), 1.5),
    "map": Kind(map_, (3,), 2),
    "drawing": Kind(drawing, (1, 3, 3), 1),
    "ruled": Kind(ruled, (4,), 3),
    "gradient": Kind(gradient, (2,), 1),
    "overlay": Kind(overlay, (1,), 1.5),
}

"""The kinds of rendered pages: what is drawn on a canvas, each by a function of its own."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgcodec.train.pages.canvas import (
    MONO,
    SANS,
    SERIF,
    Canvas,
    Colour,
    Face,
    Point,
    Theme,
    hsv,
    mix,
    number,
    vocabulary,
)
from imgcodec.train.pages.parts import put_code, put_icon, put_table, put_task_bar, put_window

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


class Kind(NamedTuple):
    """A kind of page."""

    draw: Callable[[Canvas, Theme], None]
    scales: tuple[int, ...]  # that it may be drawn at, one of them by chance
    often: float  # how often it is drawn, beside the others


def text(canvas: Canvas, theme: Theme) -> None:
    """Draw columns of running text with headings."""
    chance, size = canvas.chance, canvas.size
    family = chance.choice((SANS, SERIF, SERIF))
    body = canvas.face(family[:1] if chance.random() < 0.7 else family, 8, 24)
    heading = Face(chance.choice(family), body.px * chance.uniform(1.2, 2.6))
    columns = chance.choice((1, 1, 2, 2, 3)) if body.px < 15 else 1
    margin, justified = chance.uniform(4, 40), chance.random() < 0.5
    width, spacing = (size - margin) / columns, chance.uniform(1.15, 1.7)
    for column in range(columns):
        left, y = margin + column * width, chance.uniform(-10, 30)
        while y < size:
            if chance.random() < 0.3:
                top = vocabulary(chance, chance.randrange(1, 9))
                accent = chance.choice((theme.ink, *theme.accents[:2]))
                y = canvas.paragraph(
                    left, y, left + width - margin, size + 60, heading, accent, top
                )
            ink = theme.ink if chance.random() < 0.85 else theme.faint
            words = vocabulary(chance, chance.randrange(15, 90))
            y = canvas.paragraph(
                left, y, left + width - margin, size + 60, body, ink, words, justified, spacing
            )
            y += body.px * chance.uniform(0, 1)
            if chance.random() < 0.1:
                canvas.box(left, y, left + width - margin, y + 1, theme.faint)
                y += body.px / 2


def headline(canvas: Canvas, theme: Theme) -> None:
    """Draw a slide or a poster: few words, large, on colour."""
    chance, size = canvas.chance, canvas.size
    if chance.random() < 0.5:
        canvas.box(0, 0, size, chance.uniform(40, size), theme.accents[0])
    y = chance.uniform(0, 40)
    while y < size:
        face = canvas.face(SANS + SERIF, 16, 60)
        words = vocabulary(chance, chance.randrange(2, 9))
        ink = chance.choice((theme.ink, theme.ink, *theme.accents[1:3]))
        y = canvas.paragraph(chance.uniform(10, 60), y, size - 10, size + 60, face, ink, words)
        y += chance.uniform(0, 30)


def table(canvas: Canvas, theme: Theme) -> None:
    """Draw one or two tables with thin rules."""
    chance, size = canvas.chance, canvas.size
    top = 0.0
    while top < size:
        bottom = top + chance.uniform(size / 3, size)
        put_table(
            canvas, theme, chance.uniform(-20, 30), top, size + chance.uniform(-40, 60), bottom
        )
        top = bottom + chance.uniform(10, 40)


def chart(canvas: Canvas, theme: Theme) -> None:
    """Draw one to six charts: shapes antialiased, letters in the pixels of the page."""
    chance, size = canvas.chance, canvas.size
    across, down = chance.choice(((1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 2)))
    plots = []
    for i in range(across * down):
        left, top = i % across * size / across, i // across * size / down
        plots.append((left + 34, top + 26, left + size / across - 10, top + size / down - 30))
    marks = [_chart(canvas, theme, *plot) for plot in plots]
    if chance.random() < 0.7:
        canvas.settle()
    face = Face(chance.choice(SANS[:1] + SERIF[:1]), chance.uniform(8, 12))
    for (left, top, right, bottom), axes in zip(plots, marks, strict=True):
        title = " ".join(vocabulary(chance, 3))
        canvas.text(left, top - 20, title, Face(SANS[1], face.px * 1.2), theme.ink)
        if not axes:
            continue
        ticks = chance.randrange(3, 7)
        for i in range(ticks + 1):
            x, y = left + (right - left) * i / ticks, bottom - (bottom - top) * i / ticks
            canvas.text(x, bottom + 5, str(i * 10), face, theme.ink, anchor="ma")
            canvas.text(left - 5, y, f"{i / ticks:.1f}", face, theme.ink, anchor="rm")


def icons(canvas: Canvas, theme: Theme) -> None:
    """Draw a grid of flat icons, perhaps with names."""
    chance, size = canvas.chance, canvas.size
    side = chance.uniform(22, 110)
    gap, named = side * chance.uniform(0.2, 0.8), chance.random() < 0.6
    face = Face(SANS[0], max(8.0, side / 6))
    places = [
        (x * (side + gap) + gap / 2, y * (side + gap + 14 * named) + gap / 2)
        for y in range(int(size / (side + gap)) + 1)
        for x in range(int(size / (side + gap)) + 1)
    ]
    for x, y in places:
        put_icon(canvas, theme, x, y, side)
    canvas.settle()
    for x, y in places if named else ():
        canvas.text(
            x + side / 2, y + side + 3, vocabulary(chance, 1)[0][:12], face, theme.ink, anchor="ma"
        )


def screen(canvas: Canvas, theme: Theme) -> None:
    """Draw a user interface: overlapping windows on a background."""
    chance, size = canvas.chance, canvas.size
    if chance.random() < 0.5:
        canvas.replace(smooth(canvas, 3))
    elif chance.random() < 0.5:
        canvas.box(0, 0, size, size, chance.choice(theme.accents))
    for _ in range(chance.choice((1, 1, 2, 3))):
        left, top = chance.uniform(-60, size / 3), chance.uniform(-40, size / 3)
        right, bottom = left + chance.uniform(260, size), top + chance.uniform(220, size)
        put_window(canvas, theme, left, top, right, bottom)
    if chance.random() < 0.4:
        put_task_bar(canvas, theme)


def code(canvas: Canvas, theme: Theme) -> None:
    """Draw an editor or a terminal: lines of one font in colours."""
    chance, size = canvas.chance, canvas.size
    face = canvas.face(MONO[:1] if chance.random() < 0.8 else MONO, 8, 18)
    put_code(canvas, theme, face, chance.uniform(0, 20), chance.uniform(-5, 20), size, size)


def map_(canvas: Canvas, theme: Theme) -> None:
    """Draw a map: flat areas, roads with edges, contour lines, labels with a halo."""
    chance, size = canvas.chance, canvas.size
    for _ in range(chance.randrange(4, 14)):
        colour = mix(theme.paper, chance.choice(theme.accents), chance.uniform(0.1, 0.5))
        x, y = chance.uniform(0, size), chance.uniform(0, size)
        edge = theme.faint if chance.random() < 0.3 else None
        canvas.polygon(_blob(canvas, x, y, chance.uniform(20, 180)), colour, edge)
    if chance.random() < 0.5:
        x, y = chance.uniform(0, size), chance.uniform(0, size)
        state = chance.getstate()
        brown = mix(theme.paper, (150, 90, 40), 0.7)
        for radius in range(10, 400, chance.randrange(8, 24)):
            chance.setstate(state)
            outline = _blob(canvas, x, y, radius)
            canvas.line([*outline, outline[0]], brown, 0.7)
    if chance.random() < 0.5:
        _blocks(canvas, theme)
    roads = []
    for _ in range(chance.randrange(3, 22)):
        start, end = _edge_point(canvas), _edge_point(canvas)
        bend = chance.uniform(0, size), chance.uniform(0, size)
        points = [_bezier(start, bend, end, i / 24) for i in range(25)]
        width = chance.choice((1, 2, 3, 5, 8))
        colour = chance.choice((theme.paper, theme.faint, theme.accents[0], theme.accents[1]))
        roads.append((points, width, colour))
    for points, width, _ in roads:
        canvas.line(points, theme.faint, width + 2)
    for points, width, colour in roads:
        canvas.line(points, colour, width)
    canvas.settle()
    for _ in range(chance.randrange(4, 30)):
        x, y = chance.uniform(-20, size), chance.uniform(0, size)
        if chance.random() < 0.4:
            canvas.disc(x - 6, y + 5, 3, theme.accents[2], theme.ink)
        name = " ".join(vocabulary(chance, chance.choice((1, 1, 2))))
        halo = theme.paper if chance.random() < 0.7 else None
        canvas.text(x, y, name, canvas.face(SANS, 8, 22), theme.ink, halo)


def drawing(canvas: Canvas, theme: Theme) -> None:
    """Draw a line drawing: outlines, curves, hatching, dimensions."""
    chance, size = canvas.chance, canvas.size
    pen = chance.choice((0.7, 1, 1, 1.5, 2.5))
    for _ in range(chance.randrange(8, 50)):
        x, y = chance.uniform(0, size), chance.uniform(0, size)
        radius = chance.uniform(8, 160)
        what = chance.randrange(6)
        if what == 0:
            outline = _blob(canvas, x, y, radius)
            canvas.line([*outline, outline[0]], theme.ink, pen)
        elif what == 1:
            canvas.box(x, y, x + radius, y + radius / 2, None, theme.ink, width=pen)
        elif what == 2:
            for ring in range(chance.randrange(1, 4)):
                canvas.disc(x, y, radius / (ring + 1), None, theme.ink)
        elif what == 3:
            step, slope = chance.uniform(2.5, 9), chance.uniform(-1, 1)
            for i in range(int(radius / step)):
                start = (x + i * step, y)
                canvas.line((start, (start[0] + slope * radius, y + radius / 2)), theme.ink, pen)
        elif what == 4:
            points = [(chance.gauss(x, radius), chance.gauss(y, radius)) for _ in range(3)]
            curve = [_bezier(points[0], points[1], points[2], i / 24) for i in range(25)]
            canvas.line(curve, theme.ink, pen * chance.choice((1, 1, 2)))
        else:
            end = chance.gauss(x, radius), chance.choice((y, chance.gauss(y, radius)))
            canvas.line(((x, y), end), chance.choice((theme.ink, theme.accents[0])), pen)
            canvas.text(x + 4, y - 12, number(chance), Face(SANS[0], 10), theme.ink)


def ruled(canvas: Canvas, theme: Theme) -> None:
    """Draw long straight edges in perspective: blinds, fences, lattices, walls, windows."""
    chance = canvas.chance
    if chance.random() < 0.7:
        canvas.replace(smooth(canvas, chance.choice((2, 3, 5))))
    for _ in range(chance.choice((1, 1, 2, 3))):
        _facade(canvas)
    for _ in range(chance.choice((0, 0, 3, 8))):
        grey = hsv(chance.random(), chance.uniform(0, 0.3), chance.choice((0.1, 0.9)))
        canvas.line((_edge_point(canvas), _edge_point(canvas)), grey, chance.uniform(0.5, 4))
    canvas.settle()
    if chance.random() < 0.6:
        light = smooth(canvas, 2).astype(np.float32).mean(2, keepdims=True) / 255
        canvas.replace((canvas.array() * (0.5 + 0.5 * light)).astype(np.uint8))


def gradient(canvas: Canvas, theme: Theme) -> None:
    """Draw smooth colours, perhaps with a few flat shapes and words."""
    chance, size = canvas.chance, canvas.size
    canvas.replace(smooth(canvas, chance.choice((2, 3, 6))))
    for _ in range(chance.choice((0, 2, 8))):
        put_icon(
            canvas,
            theme,
            chance.uniform(0, size),
            chance.uniform(0, size),
            chance.uniform(20, 150),
        )
    canvas.settle()
    for _ in range(chance.choice((0, 1, 4))):
        words = " ".join(vocabulary(chance, 3))
        face = canvas.face(SANS + SERIF, 12, 60)
        canvas.text(chance.uniform(0, size / 2), chance.uniform(0, size), words, face, theme.ink)


def overlay(canvas: Canvas, theme: Theme) -> None:
    """Draw boxes, words and icons over what the canvas holds, as over a photograph."""
    chance, size = canvas.chance, canvas.size
    for _ in range(chance.randrange(3, 12)):
        left, top = chance.uniform(-40, size - 60), chance.uniform(-20, size - 30)
        right, bottom = left + chance.uniform(60, 380), top + chance.uniform(24, 200)
        face = canvas.face(SANS + SERIF, 9, 40)
        what = chance.random()
        if what < 0.55:
            canvas.box(left, top, right, bottom, theme.paper, radius=chance.choice((0, 0, 8)))
            words = vocabulary(chance, 40)
            canvas.paragraph(left + 6, top + 4, right - 6, bottom, face, theme.ink, words)
        elif what < 0.85:
            halo = chance.choice((None, BLACK))
            caption = " ".join(vocabulary(chance, 4))
            canvas.text(left, top, caption, face, chance.choice((WHITE, *theme.accents)), halo)
        else:
            put_icon(canvas, theme, left, top, chance.uniform(24, 90))


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


def _chart(
    canvas: Canvas, theme: Theme, left: float, top: float, right: float, bottom: float
) -> bool:
    """Draw a chart without its letters and return whether it has axes."""
    chance = canvas.chance
    width, height = right - left, bottom - top
    what = chance.choice(("lines", "lines", "bars", "scatter", "pie", "area", "heat"))
    if what == "pie":
        x, y, angle = (left + right) / 2, (top + bottom) / 2, 0.0
        radius = min(width, height) / 2
        while angle < 360:
            end = min(360.0, angle + chance.uniform(8, 140))
            canvas.wedge(x, y, radius, angle, end, chance.choice(theme.accents))
            angle = end
        if chance.random() < 0.4:
            canvas.disc(x, y, radius * chance.uniform(0.3, 0.7), theme.paper)
        return False
    if chance.random() < 0.7:
        ticks = chance.randrange(3, 9)
        for i in range(ticks + 1):
            x, y = left + width * i / ticks, top + height * i / ticks
            canvas.line(((left, y), (right, y)), theme.panel)
            canvas.line(((x, top), (x, bottom)), theme.panel)
    if what in ("lines", "area"):
        for accent in theme.accents[: chance.randrange(1, 6)]:
            count, level, rough = chance.choice((8, 30, 120)), chance.random(), chance.random()
            slope, points = chance.uniform(-0.5, 0.5), []
            for i in range(count):
                level = 0.9 * level + 0.1 * chance.random()
                wave = level + slope * i / count + rough * 0.2 * chance.gauss(0, 1)
                points.append(
                    (left + width * i / (count - 1), bottom - height * min(1, max(0, wave)))
                )
            if what == "area":
                canvas.polygon([(left, bottom), *points, (right, bottom)], accent)
            else:
                canvas.line(points, accent, chance.choice((0.7, 1, 1.5, 2, 3)))
                for x, y in points if count < 31 and chance.random() < 0.5 else ():
                    canvas.disc(x, y, 3, accent)
    elif what == "bars":
        count, groups = chance.randrange(3, 24), chance.choice((1, 1, 2, 3))
        step = width / count
        for i in range(count):
            for group in range(groups):
                x = left + i * step + group * step * 0.8 / groups
                y = bottom - height * chance.random()
                canvas.box(x, y, x + step * 0.8 / groups, bottom, theme.accents[group])
    elif what == "scatter":
        for accent in theme.accents[: chance.randrange(1, 4)]:
            x, y = left + width * chance.random(), top + height * chance.random()
            radius = chance.uniform(1, 4)
            for _ in range(chance.randrange(20, 200)):
                across = min(right, max(left, chance.gauss(x, width / 5)))
                down = min(bottom, max(top, chance.gauss(y, height / 5)))
                canvas.disc(across, down, radius, accent)
    else:
        cells = chance.randrange(4, 20)
        cold, hot = theme.accents[0], theme.accents[1]
        for i in range(cells * cells):
            x, y = left + i % cells * width / cells, top + i // cells * height / cells
            colour = mix(cold, hot, chance.random())
            canvas.box(x, y, x + width / cells, y + height / cells, colour)
    frame = chance.random() < 0.5
    corners = [(left, top), (left, bottom), (right, bottom)]
    canvas.line([*corners, (right, top), (left, top)] if frame else corners, theme.ink)
    return True


def _blocks(canvas: Canvas, theme: Theme) -> None:
    """Draw the blocks of houses of a town, turned by an angle."""
    chance, size = canvas.chance, canvas.size
    angle, side, gap = chance.uniform(0, 1.5), chance.uniform(14, 60), chance.uniform(2, 7)
    fill = mix(theme.paper, theme.ink, chance.uniform(0.08, 0.3))
    cos, sin = math.cos(angle), math.sin(angle)
    count = int(size / side)
    for i in range(-count, count):
        for j in range(-count, count):
            if chance.random() < 0.2:
                continue
            corners = [
                (i * side, j * side), ((i + 1) * side - gap, j * side),
                ((i + 1) * side - gap, (j + 1) * side - gap), (i * side, (j + 1) * side - gap),
            ]  # fmt: skip
            canvas.polygon(
                [(size / 2 + cos * x - sin * y, size / 2 + sin * x + cos * y) for x, y in corners],
                fill,
            )


def _facade(canvas: Canvas) -> None:
    """Draw a ruled plane as it looks from the side."""
    chance = canvas.chance
    place = _perspective(canvas)
    hue, sat = chance.random(), 0.6 * chance.random() ** 2
    value = chance.uniform(0.05, 0.95)
    wall = hsv(hue, sat, value)
    other = hsv(
        hue if chance.random() < 0.6 else chance.random(),
        sat,
        value + chance.choice((-1, 1)) * chance.uniform(0.15, 0.8),
    )
    third = mix(wall, other, chance.uniform(0.2, 0.8))

    def plate(left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        canvas.polygon([place(u, v) for u, v in corners], colour)

    what = chance.choice(("slats", "slats", "bars", "bars", "lattice", "windows", "bricks"))
    if what in ("slats", "windows", "bricks") or chance.random() < 0.5:
        plate(0, 0, 1, 1, wall)
    count, share = chance.randrange(10, 90), chance.uniform(0.15, 0.8)
    if what == "slats":
        for i in range(count):
            plate(0, i / count, 1, (i + share) / count, other)
            plate(0, (i + share) / count, 1, (i + share + 0.15) / count, third)
    elif what == "bars":
        for i in range(count):
            plate(i / count, 0, (i + share) / count, 1, other)
        for v in (0.1, 0.85):
            plate(0, v, 1, v + 0.04, third)
    elif what == "lattice":
        pen = chance.uniform(0.8, 4)
        for i in range(-count, count):
            canvas.line((place(i / count, 0), place(i / count + 1, 1)), other, pen)
            canvas.line((place(i / count + 1, 0), place(i / count, 1)), other, pen)
    elif what == "windows":
        across, down = chance.randrange(3, 22), chance.randrange(3, 22)
        panes, a, b = chance.randrange(1, 5), chance.uniform(0.1, 0.4), chance.uniform(0.6, 0.95)
        for i in range(across * down):
            u, v = i % across, i // across
            plate((u + a) / across, (v + a) / down, (u + b) / across, (v + b) / down, third)
            for pane in range(panes):
                left, right = (a + (b - a) * (pane + part) / panes for part in (0.1, 0.9))
                low, high = v + a + 0.04, v + b - 0.04
                plate((u + left) / across, low / down, (u + right) / across, high / down, other)
    else:
        across, down = count // 2, count
        for i in range(across * down):
            left, top = i % across + i // across % 2 / 2, i // across
            colour = mix(other, third, chance.random())
            plate(left / across, top / down, (left + 0.9) / across, (top + 0.85) / down, colour)


def _perspective(canvas: Canvas) -> Callable[[float, float], Point]:
    """Return where the points of a unit square lie on the page: a random perspective."""
    chance, size = canvas.chance, canvas.size
    angle, side = chance.uniform(-0.6, 0.6), size * chance.uniform(0.6, 1.6)
    lean, tilt = chance.uniform(-0.7, 0.7), chance.uniform(-0.7, 0.7)
    x0, y0 = size * chance.uniform(0.3, 0.7), size * chance.uniform(0.3, 0.7)
    cos, sin = math.cos(angle) * side, math.sin(angle) * side

    def place(u: float, v: float) -> Point:
        depth = 1 + lean * (u - 0.5) + tilt * (v - 0.5)
        x, y = (u - 0.5) / depth, (v - 0.5) / depth
        return x0 + cos * x - sin * y, y0 + sin * x + cos * y

    return place


def _blob(canvas: Canvas, x: float, y: float, radius: float) -> list[Point]:
    """Return a closed curve around a point."""
    waves = [(k, canvas.chance.gauss(0, 0.25 / k), canvas.chance.uniform(0, 7)) for k in (2, 3, 5)]
    points = []
    for i in range(64):
        angle = 2 * math.pi * i / 64
        r = radius * (1 + sum(size * math.sin(k * angle + phase) for k, size, phase in waves))
        points.append((x + r * math.cos(angle), y + r * math.sin(angle)))
    return points


def _bezier(start: Point, bend: Point, end: Point, share: float) -> Point:
    """Return a point of a curve that begins and ends at points, and bends towards a third."""
    a, b, c = (1 - share) ** 2, 2 * share * (1 - share), share**2
    return a * start[0] + b * bend[0] + c * end[0], a * start[1] + b * bend[1] + c * end[1]


def _edge_point(canvas: Canvas) -> Point:
    """Return a random point of the page's edge."""
    along, size = canvas.chance.uniform(0, canvas.size), float(canvas.size)
    return canvas.chance.choice(((along, 0.0), (along, size), (0.0, along), (size, along)))

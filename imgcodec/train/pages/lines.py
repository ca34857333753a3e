"""What lives by its lines: maps, drawings, ruled edges in perspective."""

import math
from collections.abc import Callable

import numpy as np

from imgcodec.train.pages.canvas import (
    SANS,
    Canvas,
    Colour,
    Face,
    Point,
    Theme,
    hsv,
    mix,
    number,
    smooth,
    vocabulary,
)


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

"""Documents: running text, headlines, tables, charts, code."""

from imgcodec.train.pages.canvas import (
    MONO,
    SANS,
    SERIF,
    Canvas,
    Face,
    Theme,
    mix,
    vocabulary,
)
from imgcodec.train.pages.parts import put_code, put_table


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


def code(canvas: Canvas, theme: Theme) -> None:
    """Draw an editor or a terminal: lines of one font in colours."""
    chance, size = canvas.chance, canvas.size
    face = canvas.face(MONO[:1] if chance.random() < 0.8 else MONO, 8, 18)
    put_code(canvas, theme, face, chance.uniform(0, 20), chance.uniform(-5, 20), size, size)


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

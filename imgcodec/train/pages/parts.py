"""Parts that several kinds of pages have: tables, icons, lines of code, windows."""

import math

from imgcodec.train.pages.canvas import (
    MONO,
    SANS,
    SERIF,
    Canvas,
    Face,
    Theme,
    mix,
    number,
    vocabulary,
)

BLACK = (0, 0, 0)


def put_table(
    canvas: Canvas, theme: Theme, left: float, top: float, right: float, bottom: float
) -> None:
    """Draw a table that fills a box."""
    chance = canvas.chance
    face = Face(chance.choice(SANS[:1] + SERIF[:1] + MONO[:1]), chance.uniform(8, 15))
    row = face.px * chance.uniform(1.3, 2.4)
    columns = max(1, int((right - left) / (face.px * chance.uniform(5, 13))))
    width = (right - left) / columns
    across, upright, striped = (chance.random() < share for share in (0.7, 0.4, 0.4))
    numeric = [chance.random() < 0.6 for _ in range(columns)]
    head = chance.choice((theme.panel, theme.accents[0]))
    y, line = top, 0
    while y < bottom:
        if line == 0:
            canvas.box(left, y, right, y + row, head)
        elif striped and line % 2:
            canvas.box(left, y, right, y + row, theme.panel)
        if across:
            canvas.box(left, y, right, y + 1, theme.faint)
        for column in range(columns):
            x, middle = left + column * width, y + row / 2
            if line == 0:
                ink = theme.ink if head == theme.panel else theme.paper
                name = vocabulary(chance, 1)[0][:10]
                canvas.text(x + 4, middle, name, Face(SANS[1], face.px), ink, anchor="lm")
            elif numeric[column]:
                canvas.text(x + width - 4, middle, number(chance), face, theme.ink, anchor="rm")
            else:
                words = " ".join(vocabulary(chance, 2))
                room = int(width / face.px * 1.6)
                canvas.text(x + 4, middle, words[:room], face, theme.ink, anchor="lm")
        y += row
        line += 1
    if upright:
        for column in range(columns + 1):
            canvas.box(left + column * width, top, left + column * width + 1, y, theme.faint)


def put_icon(canvas: Canvas, theme: Theme, x: float, y: float, side: float) -> None:
    """Draw a flat icon, perhaps on a plate."""
    chance = canvas.chance
    one, other = chance.sample(list(theme.accents), 2)
    if chance.random() < 0.5:
        radius = side * chance.choice((0, 0.15, 0.25, 0.5))
        canvas.box(x, y, x + side, y + side, one, radius=radius)
        one, other = theme.paper, theme.panel
        x, y, side = x + side / 5, y + side / 5, side * 3 / 5
    middle, pen = (x + side / 2, y + side / 2), max(1.0, side / 10)
    what = chance.randrange(8)
    if what == 0:  # a letter
        canvas.box(x, y + side / 6, x + side, y + side * 5 / 6, one)
        canvas.line(((x, y + side / 6), middle, (x + side, y + side / 6)), other, pen)
    elif what == 1:  # a chart
        for i in range(4):
            top = y + side * (0.2 + 0.6 * chance.random())
            canvas.box(x + i * side / 4, top, x + (i + 0.7) * side / 4, y + side, one)
    elif what == 2:  # a magnifying glass
        canvas.line((middle, (x + side, y + side)), other, pen)
        canvas.disc(x + side * 0.4, y + side * 0.4, side * 0.38, one)
        canvas.disc(x + side * 0.4, y + side * 0.4, side * 0.24, theme.paper)
    elif what == 3:  # a person
        canvas.disc(middle[0], y + side * 0.27, side * 0.25, one)
        canvas.wedge(middle[0], y + side, side * 0.45, 180, 360, one)
    elif what == 4:  # a star
        radii = (side / 2, side / 5)
        turns = [(math.pi * i / 5 - math.pi / 2, radii[i % 2]) for i in range(10)]
        star = [(middle[0] + r * math.cos(a), middle[1] + r * math.sin(a)) for a, r in turns]
        canvas.polygon(star, one)
    elif what == 5:  # a menu
        for i in range(3):
            canvas.box(x, y + side * (0.1 + 0.3 * i), x + side, y + side * (0.25 + 0.3 * i), one)
    elif what == 6:  # a folder
        canvas.box(x, y + side * 0.1, x + side * 0.45, y + side * 0.4, other)
        canvas.box(x, y + side * 0.22, x + side, y + side * 0.9, one, radius=side * 0.06)
    else:  # a tick or a cross on a disc
        canvas.disc(*middle, side / 2, one)
        a, b = side * 0.25, side * 0.75
        tick = ((x + a, middle[1]), (x + side * 0.45, y + b), (x + b, y + a))
        canvas.line(tick, other if chance.random() < 0.5 else theme.paper, pen)


def put_window(
    canvas: Canvas, theme: Theme, left: float, top: float, right: float, bottom: float
) -> None:
    """Draw a window with its bars and something in it."""
    chance = canvas.chance
    face = Face(SANS[0], chance.uniform(9, 14))
    bar = face.px * chance.uniform(1.7, 2.6)
    edge, radius = mix(theme.faint, BLACK, 0.3), chance.choice((0, 0, 6, 10))
    if chance.random() < 0.5:
        canvas.box(left + 4, top + 5, right + 4, bottom + 5, edge, radius=radius)
    canvas.box(left, top, right, bottom, theme.paper, edge, radius)
    title = chance.choice((theme.panel, theme.accents[0]))
    canvas.box(left + 1, top + 1, right - 1, top + bar, title, radius=radius)
    ink = theme.ink if title == theme.panel else theme.paper
    caption = " ".join(vocabulary(chance, 3))
    canvas.text(left + 40, top + bar / 2, caption, face, ink, anchor="lm")
    for i in range(3):
        x = right - 14 - 18 * i if chance.random() < 0.9 else left + 14 + 18 * i
        canvas.disc(x, top + bar / 2, 4.5, theme.accents[i + 1])
    y = top + bar
    if chance.random() < 0.7:  # a menu
        canvas.box(left + 1, y, right - 1, y + bar, theme.panel)
        x = left + 8
        while x < right - 60:
            word = vocabulary(chance, 1)[0].strip(".,;:?!").capitalize()[:9]
            canvas.text(x, y + bar / 2, word, face, theme.ink, anchor="lm")
            x += canvas.width(word, face) + face.px * 1.2
        y += bar
    if chance.random() < 0.6:  # a row of tools
        side = chance.choice((14, 16, 20, 24))
        canvas.box(left + 1, y, right - 1, y + side + 10, theme.panel)
        x = left + 8
        while x < right - side - 8:
            put_icon(canvas, theme, x, y + 5, side)
            x += side + 8
            if chance.random() < 0.15:
                canvas.box(x, y + 4, x + 1, y + side + 6, theme.faint)
                x += 9
        y += side + 10
        canvas.box(left + 1, y, right - 1, y + 1, theme.faint)
    if chance.random() < 0.5:  # a list beside
        middle = left + chance.uniform(90, 150)
        canvas.box(left + 1, y, middle, bottom - 1, theme.panel)
        put_list(canvas, theme, face, left + 6, y + 6, middle - 4, bottom)
        canvas.box(middle, y, middle + 1, bottom - 1, theme.faint)
        left = middle
    if chance.random() < 0.5:  # what scrolls
        canvas.box(right - 13, y, right - 1, bottom - 1, theme.panel)
        handle = chance.uniform(y, (y + bottom) / 2)
        canvas.box(right - 11, handle, right - 3, handle + 70, theme.faint, radius=4)
        right -= 14
    inner = left + 8, y + 8, right - 8, bottom - 8
    what = chance.random()
    if what < 0.25:
        words = vocabulary(chance, 200)
        canvas.paragraph(*inner, face, theme.ink, words)
    elif what < 0.45:
        put_table(canvas, theme, *inner)
    elif what < 0.65:
        put_list(canvas, theme, face, *inner)
    elif what < 0.8:
        put_code(canvas, theme, Face(MONO[0], face.px), *inner)
    else:
        put_form(canvas, theme, face, *inner)


def put_list(
    canvas: Canvas, theme: Theme, face: Face,
    left: float, top: float, right: float, bottom: float,
) -> None:  # fmt: skip
    """Draw a list of names with small icons, one of them chosen."""
    chance = canvas.chance
    step = face.px * chance.uniform(1.6, 3.2)
    rows = max(0, int((bottom - top) / step))
    chosen = chance.randrange(rows) if rows else 0
    for i in range(rows):
        y, ink = top + i * step, theme.ink
        if i == chosen:
            canvas.box(left - 3, y, right, y + step, theme.accents[0], radius=3)
            ink = theme.paper
        put_icon(canvas, theme, left, y + step * 0.15, step * 0.7)
        words = " ".join(vocabulary(chance, 2))[
            : max(1, int((right - left - step) / face.px * 1.7))
        ]
        canvas.text(left + step, y + step / 2, words, face, ink, anchor="lm")


def put_form(
    canvas: Canvas, theme: Theme, face: Face,
    left: float, top: float, right: float, bottom: float,
) -> None:  # fmt: skip
    """Draw fields, boxes to tick, sliders and buttons."""
    chance = canvas.chance
    step, radius = face.px * chance.uniform(2.2, 3), chance.choice((0, 3, 6))
    field = left + (right - left) * 0.4
    y = top
    while y + step < bottom:
        middle = y + step / 2
        words = " ".join(vocabulary(chance, 2))[: int((field - left) / face.px * 1.6)]
        what = chance.randrange(4)
        if what < 2:
            canvas.text(left, middle, words, face, theme.ink, anchor="lm")
        if what == 0:
            canvas.box(field, y + 3, right, y + step - 3, theme.paper, theme.faint, radius)
            canvas.text(field + 6, middle, number(chance), face, theme.ink, anchor="lm")
        elif what == 1:
            place = chance.uniform(field, max(field, right - 12))
            canvas.box(field, middle - 1, right, middle + 1, theme.faint)
            canvas.box(field, middle - 1, place, middle + 1, theme.accents[0])
            canvas.disc(place, middle, 6, theme.accents[0], theme.faint)
        elif what == 2:
            ticked = theme.accents[0] if chance.random() < 0.5 else theme.paper
            canvas.box(left, middle - 6, left + 13, middle + 7, ticked, theme.faint, radius / 2)
            canvas.text(left + 22, middle, words, face, theme.ink, anchor="lm")
        else:
            for i in range(chance.randrange(1, 4)):
                x = left + i * (face.px * 8 + 10)
                fill = chance.choice((theme.panel, theme.accents[0], theme.accents[1]))
                canvas.box(x, y + 2, x + face.px * 8, y + step - 2, fill, theme.faint, radius)
                ink = theme.ink if fill == theme.panel else theme.paper
                name = vocabulary(chance, 1)[0][:9]
                canvas.text(x + face.px * 4, middle, name, face, ink, anchor="mm")
        y += step


def put_code(
    canvas: Canvas, theme: Theme, face: Face,
    left: float, top: float, right: float, bottom: float,
) -> None:  # fmt: skip
    """Draw lines of a program, in colours, perhaps with their numbers."""
    chance = canvas.chance
    advance, step = canvas.width("m", face), face.px * chance.uniform(1.15, 1.6)
    numbered, colours = chance.random() < 0.5, chance.random() < 0.8
    line, indent, y = chance.randrange(1, 900), 0, top
    while y + face.px < bottom:
        x = left
        if numbered:
            canvas.text(x + 4 * advance, y, str(line), face, theme.faint, anchor="ra")
            x += 5 * advance
        indent = max(0, min(5, indent + chance.choice((-1, 0, 0, 0, 1))))
        x += indent * chance.choice((2, 4)) * advance
        for word in vocabulary(chance, chance.choice((0, 1, 2, 3, 5, 7))):
            ink = chance.choice((theme.ink, *theme.accents[:4])) if colours else theme.ink
            token = word + chance.choice(("", "", "()", " =", "[0]", ":", " {", ";", "->", " +"))
            if x + len(token) * advance > right:
                break
            canvas.text(x, y, token, face, ink)
            x += (len(token) + 1) * advance
        y += step
        line += 1


def put_task_bar(canvas: Canvas, theme: Theme) -> None:
    """Draw a bar of icons at the lower edge, with the time."""
    chance, size = canvas.chance, canvas.size
    height = chance.uniform(24, 44)
    canvas.box(0, size - height, size, size, theme.panel)
    x = 8.0
    while x < size * 0.7:
        put_icon(canvas, theme, x, size - height * 0.85, height * 0.7)
        x += height
    time = f"{chance.randrange(24)}:{chance.randrange(60):02}"
    canvas.text(
        size - 8, size - height / 2, time, Face(SANS[0], height / 3), theme.ink, anchor="rm"
    )

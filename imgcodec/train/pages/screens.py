"""Screens: windows, icons, smooth colours, words over a photograph."""

from imgcodec.train.pages.canvas import (
    SANS,
    SERIF,
    Canvas,
    Face,
    Theme,
    smooth,
    vocabulary,
)
from imgcodec.train.pages.parts import BLACK, put_icon, put_task_bar, put_window

WHITE = (255, 255, 255)


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

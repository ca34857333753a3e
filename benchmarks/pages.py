"""Rendered pages that no weights were trained on: what aic makes of text, tables and drawings.

    python benchmarks/pages.py pages/ [--tune eye] [--tune psnr] [--render-only]

A browser (chromium, or `--browser PROGRAM`) draws a dozen pages of 768x512 pixels with the fonts
of the system; the generator that training uses has no part in it, and their words are those of
LICENSE and of this script. Then `aic bench` measures aic and AVIF (4:4:4, speed 4, tune=iq) on
them. Printed are, for each page, the bytes of PNG and of lossless WebP, and how many times AVIF's
bytes aic needs at equal SSIMULACRA 2: at 70, and in the mean over what both reach of 30 to 85, as
BD-rates are.
"""

import argparse
import html
import io
import json
import keyword
import math
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from imgcodec.metrics import bd_rate, pchip

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 768, 512  # pixels
RANGE = 30.0, 85.0  # of SSIMULACRA 2
SCORE = 70.0  # of SSIMULACRA 2, where bytes are compared
QUALITIES = 10, 20, 30, 40, 50, 60, 70, 80, 90, 100
ANCHOR = "avif-iq"
SIZE = f"width={WIDTH} height={HEIGHT}"
SERIF, SANS, MONO = "Liberation Serif", "Liberation Sans", "Liberation Mono"


def main() -> None:
    """Render the pages, measure them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pages go, PNG")
    parser.add_argument("--tune", action="append", help="set of weights; repeat it for several")
    parser.add_argument("--weights", action="append", default=[], type=Path)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--render-only", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, body in documents():
        render(arguments.browser, body, arguments.folder / f"{name}.png")
    if not arguments.render_only:
        tunes = arguments.tune or ([] if arguments.weights else ["eye"])
        report(arguments.folder, measure(arguments.folder, tunes, arguments.weights))


def render(browser: str, body: str, target: Path) -> None:
    """Let a browser write a picture of a page."""
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch, "page.html")
        page.write_text(f"<!doctype html><meta charset=utf-8>{body}", encoding="utf-8")
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--force-device-scale-factor=1", f"--window-size={WIDTH},{HEIGHT}",
                f"--user-data-dir={scratch}/profile", f"--screenshot={target.resolve()}",
                page.as_uri(),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    with Image.open(target) as picture:
        picture.convert("RGB").save(target)


def measure(folder: Path, tunes: list[str], weights: list[Path]) -> list[dict[str, float | str]]:
    """Return the rows of `aic bench`."""
    options: list[object] = ["--codec", "aic", "--codec", ANCHOR, "--metric", "ssimulacra2"]
    options += [word for tune in tunes for word in ("--tune", tune)]
    options += [word for file in weights for word in ("--weights", file)]
    options += [word for quality in QUALITIES for word in ("--quality", quality)]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "results.json")
        options += ["--rate", 1, "--json", target]
        words = [sys.executable, "-m", "imgcodec", "bench", folder, *options]
        subprocess.run([str(word) for word in words], check=True)
        rows: list[dict[str, float | str]] = json.loads(target.read_text())["rows"]
    return rows


def report(folder: Path, rows: list[dict[str, float | str]]) -> None:
    """Print a line for each page, and the means of all."""
    codecs = list(dict.fromkeys(str(row["codec"]) for row in rows))
    ours = [name for name in codecs if name.endswith("-quality")]
    head = f"{'page':<12} {'PNG':>8} {'WebP':>8} {ANCHOR:>8}"
    print(head + "".join(f" {name.removesuffix('-quality'):>24}" for name in ours))
    print(f"{'bytes at':<12} {'lossless':>8} {'lossless':>8} {SCORE:>8g}" + ours_head(ours))
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in ours}
    for page in dict.fromkeys(str(row["picture"]) for row in rows):
        curves = {
            name: curve([r for r in rows if (r["codec"], r["picture"]) == (name, page)])
            for name in codecs
        }
        anchor = at(curves[ANCHOR])
        line = f"{page.removesuffix('.png'):<12} {lossless(folder / page, 'PNG'):>8}"
        line += f" {lossless(folder / page, 'WEBP'):>8} {anchor:>8.0f}"
        for name in ours:
            own = at(curves[name])
            ratios[name].append((own / anchor, mean_ratio(curves[ANCHOR], curves[name])))
            line += f" {own:>8.0f} {ratios[name][-1][0]:>7.2f} {ratios[name][-1][1]:>7.2f}"
        print(line)
    line = f"{'geometric mean of ratios':<39}"
    for name in ours:
        both = [math.exp(np.nanmean(np.log(column))) for column in zip(*ratios[name], strict=True)]
        line += f" {'':>8} {both[0]:>7.2f} {both[1]:>7.2f}"
    print(line)


def ours_head(ours: list[str]) -> str:
    """Return the second line of the head, for the columns of aic."""
    return "".join(f" {SCORE:>8g} {'ratio':>7} {'mean':>7}" for _ in ours)


def lossless(path: Path, form: str) -> int:
    """Return the bytes of a picture without loss."""
    file = io.BytesIO()
    options = {"optimize": True} if form == "PNG" else {"lossless": True, "method": 6}
    with Image.open(path) as picture:
        picture.save(file, form, **options)
    return file.tell()


def curve(rows: list[dict[str, float | str]]) -> list[tuple[float, float]]:
    """Return SSIMULACRA 2 and bytes, rising, as far as more bytes make a page better."""
    points: list[tuple[float, float]] = []
    for size, score in sorted((float(r["bytes"]), float(r["ssimulacra2"])) for r in rows):
        if not points or score > points[-1][0]:
            points.append((score, size))
    return points


def at(points: list[tuple[float, float]]) -> float:
    """Return the bytes at the score that is compared, nan where it is not reached."""
    scores, sizes = zip(*points, strict=True)
    if not scores[0] <= SCORE <= scores[-1]:
        return math.nan
    return float(np.exp(pchip()(scores, np.log(sizes))(SCORE)))


def mean_ratio(anchor: list[tuple[float, float]], own: list[tuple[float, float]]) -> float:
    """Return the mean ratio of bytes over the scores that both reach, nan where there are none."""
    low = max(anchor[0][0], own[0][0], RANGE[0])
    high = min(anchor[-1][0], own[-1][0], RANGE[1])
    if low >= high:
        return math.nan
    cut = []
    for points in (anchor, own):
        scores, sizes = zip(*points, strict=True)
        along = np.linspace(low, high, 100)
        cut += [np.exp(pchip()(scores, np.log(sizes))(along)), along]
    return 1 + bd_rate(cut[0], cut[1], cut[2], cut[3]) / 100


# ---- the pages

LICENSE = [
    " ".join(block.split())
    for block in (ROOT / "LICENSE").read_text(encoding="utf-8").split("\n\n")
    if len(block) > 150
]
WORDS = (
    "archive bridge canal delta engine field garden harbour island journal kettle lantern market "
    "needle orchard packet quarry river station tower union valley window yard zenith"
).split()


def documents() -> Iterator[tuple[str, str]]:
    """Yield name and HTML of every page."""
    style = f"font: 15px/1.5 '{SERIF}'; margin: 24px 60px; text-align: justify"
    yield "article", f'<body style="{style}"><h1>The licence</h1>{paragraphs(LICENSE[:9])}'
    style = f"font: 12px/1.35 '{SANS}'; margin: 14px; columns: 3; column-rule: 1px solid #999"
    yield "columns", f'<body style="{style}"><h2>Terms</h2>{paragraphs(LICENSE[4:])}'
    style = f"font: 17px/1.6 '{SANS}'; margin: 20px 40px; background: #16191f; color: #d6d9df"
    title = "<h2 style='color: #7fb4ff'>Definitions</h2>"
    yield "dark", f'<body style="{style}">{title}{paragraphs(LICENSE[2:9])}'
    yield "slide", slide()
    yield "table", table()
    yield "sheet", sheet()
    yield "mail", mail()
    yield "settings", settings()
    yield "code", code()
    yield "terminal", terminal()
    yield "chart", chart()
    yield "map", street_map()


def numbers(count: int, scale: float) -> list[float]:
    """Return numbers without a pattern, the same every time."""
    return [scale * (math.sin(7.1 * i + scale) * 43758.5453 % 1) for i in range(count)]


def paragraphs(blocks: list[str]) -> str:
    """Return paragraphs in HTML."""
    return "".join(f"<p>{html.escape(block)}</p>" for block in blocks)


def slide() -> str:
    """Return a slide of a talk: few words, large, a few shapes."""
    points = ("One set of weights for every rate", "Integers alone decide", "8 to 2 bits")
    items = "".join(f"<li>{point}</li>" for point in points)
    return (
        f"<body style=\"margin:0;background:#0b3d5c;color:#fff;font:30px '{SANS}'\">"
        "<div style='background:#f2a33a;color:#222;padding:22px 48px;font-size:44px'>"
        f"<b>Smaller pictures</b></div><ul style='line-height:2;margin:26px 40px'>{items}</ul>"
        "<svg width=700 height=160><circle cx=120 cy=70 r=60 fill='#e4572e'/>"
        "<path d='M260 130 L330 10 L400 130 Z' fill='#76b041'/><rect x=470 y=20 width=180 "
        "height=110 rx=18 fill='#17bebb'/><path d='M60 150 H680' stroke='#fff'/></svg>"
    )


def table() -> str:
    """Return a table with rules and striped lines."""
    body = ""
    for line in range(23):
        place, price, share = (numbers(23, scale)[line] for scale in (9e5, 400, 100))
        body += (
            f"<tr><td>{WORDS[line]} {WORDS[(5 * line + 3) % 25]}<td>{WORDS[(7 * line) % 25]}"
            f"<td>{place:.0f}<td>{price:.2f}<td>{share:.1f} %<td>{price * share:.4g}</tr>"
        )
    head = "".join(f"<th>{name}" for name in ("name", "kind", "number", "price", "share", "sum"))
    return (
        f"<style>body{{font:13px '{SANS}';margin:10px}}th{{background:#2b4c7e;color:#fff}}"
        "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #bbb;"
        "padding:2px 8px;text-align:left}tr:nth-child(odd) td{background:#f0f4fa}</style>"
        f"<table><tr>{head}</tr>{body}</table>"
    )


def sheet() -> str:
    """Return a spreadsheet: a grid of numbers in thin lines."""
    letters = "".join(f"<th>{letter}</th>" for letter in " ABCDEFGHI")
    columns = [numbers(27, scale) for scale in (9, 70, 1, 800, 0.1, 50, 4000, 7, 300)]
    body = "".join(
        f"<tr><th>{i + 1}" + "".join(f"<td>{column[i]:.5g}" for column in columns)
        for i in range(27)
    )
    return (
        f"<style>body{{font:11px '{SANS}';margin:0}}td,th{{border:1px solid #d4d4d4;width:80px;"
        "text-align:right;padding:1px 4px}th{background:#eee;color:#444;text-align:center}"
        "table{border-collapse:collapse}tr:nth-child(9) td:nth-child(4){outline:2px solid #1a7f37}"
        "</style><div style='background:#1d6f42;color:#fff;padding:6px 10px'>results - sheet</div>"
        f"<table><tr>{letters}</tr>{body}</table>"
    )


def mail() -> str:
    """Return a program with bars, a tree, a list and a text."""
    tree = "".join(f"<div class=t>&#9656; {word}</div>" for word in WORDS[:20])
    colours = "#d9534f", "#5cb85c", "#428bca", "#f0ad4e", "#8e6bbf"
    entries = "".join(
        f"<div class=e style='{'background:#dbe8fb' if i == 2 else ''}'>"
        f"<i style='background:{colours[i % 5]}'></i><b>{html.escape(block[:24])}</b><br>"
        f"<span>{html.escape(block[24:64])}</span></div>"
        for i, block in enumerate(LICENSE[3:12])
    )
    buttons = "".join(f"<button>{word}</button>" for word in ("New", "Reply", "Archive", "Delete"))
    return (
        f"<style>body{{margin:0;font:12px '{SANS}';display:grid;grid:62px 1fr/150px 230px 1fr;"
        "height:512px}.bar{grid-column:1/4;background:#e9ecef;border-bottom:1px solid #b8bec4;"
        "padding:6px}button{font:12px;margin:4px}.t{padding:3px 8px}.e{border-bottom:1px solid "
        "#ddd;padding:6px 6px 6px 38px;position:relative}.e i{position:absolute;left:8px;top:9px;"
        "width:22px;height:22px;border-radius:11px}.e span{color:#777}</style>"
        f"<div class=bar>File &nbsp; Edit &nbsp; View &nbsp; Help<br>{buttons}</div>"
        f"<div style='background:#f6f7f8;border-right:1px solid #ccc'>{tree}</div>"
        f"<div style='border-right:1px solid #ccc;overflow:hidden'>{entries}</div>"
        f"<div style='padding:10px;overflow:hidden'>{paragraphs(LICENSE[9:13])}</div>"
    )


def settings() -> str:
    """Return a dialogue with fields, boxes, sliders and buttons over a blue gradient."""
    names = "Quality", "Effort", "Folder", "Tile", "Threads"
    lines = "".join(
        f"<label>{name}</label>"
        + (
            f"<input type=range value={20 + 15 * i}>"
            if i < 2
            else f"<input value='{(31 * i) % 97} px'>"
        )
        for i, name in enumerate(names)
    )
    boxes = "".join(
        f"<div><input type=checkbox {'checked' * (i % 2)}> {text}</div>"
        for i, text in enumerate(
            ("Keep the profile", "Keep EXIF", "Ask before", "Several at once")
        )
    )
    return (
        f"<style>body{{margin:0;height:512px;font:14px '{SANS}';background:linear-gradient(160deg,"
        "#2b5876,#4e4376)}.w{position:absolute;left:150px;top:50px;width:450px;background:#fafafa;"
        "border-radius:10px;box-shadow:0 8px 30px #0009}.h{background:#e3e6ea;padding:10px 16px;"
        "border-radius:10px 10px 0 0;border-bottom:1px solid #c5c9ce}.g{display:grid;"
        "grid-template-columns:110px 1fr;gap:9px;padding:16px}button{padding:6px 22px;margin:8px;"
        "border-radius:6px;border:1px solid #999}.b{background:#2f6fed;color:#fff}</style>"
        f"<div class=w><div class=h><b>Settings</b></div><div class=g>{lines}<span></span>"
        f"<div style='line-height:1.8'>{boxes}</div></div><div style='text-align:right'>"
        "<button>Cancel</button><button class=b>Save</button></div></div>"
    )


def code() -> str:
    """Return a program in an editor, in colours."""
    source = Path(__file__).read_text(encoding="utf-8").splitlines()[30:75]
    kinds = {tokenize.STRING: "#a5552a", tokenize.NUMBER: "#0b7a5b", tokenize.COMMENT: "#7a8b99"}
    lines = list(source)
    for token in reversed(tokens("\n".join(source))):
        if token.start[0] != token.end[0]:
            continue
        colour = kinds.get(token.type, "#7a3ea8" if keyword.iskeyword(token.string) else "")
        if colour:
            row, (left, right) = token.start[0] - 1, (token.start[1], token.end[1])
            marked = f"\x01{colour}\x02{lines[row][left:right]}\x03"
            lines[row] = lines[row][:left] + marked + lines[row][right:]
    marks = {"\x01": "<span style='color:", "\x02": "'>", "\x03": "</span>"}
    text = html.escape("\n".join(f"{n + 31:>4}  {line}" for n, line in enumerate(lines)))
    for mark, tag in marks.items():
        text = text.replace(mark, tag)
    return f"<body style=\"margin:6px;font:13px/1.25 '{MONO}'\"><pre style='font:inherit'>{text}"


def tokens(source: str) -> list[tokenize.TokenInfo]:
    """Return the tokens of a piece of Python up to where it cannot be read."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            found.append(token)
    except (tokenize.TokenError, IndentationError):
        pass
    return found


def terminal() -> str:
    """Return a terminal: light letters on black, some in colours."""
    lines = ["<b style='color:#8f8'>user@host</b>:<b style='color:#88f'>~/pages</b>$ ls -l"]
    for i, size in enumerate(numbers(17, 9e5)):
        name = f"{WORDS[i]}-{WORDS[(11 * i + 4) % 25]}"
        end = ("<b style='color:#6cf'>{}</b>/", "{}.png", "{}.txt")[i % 3].format(name)
        lines.append(f"-rw-r--r-- 1 user user {size:>7.0f} Mar {i + 9:>2} 1{i % 9}:0{i % 7} {end}")
    lines += ["$ head LICENSE", *LICENSE[2:5]]
    return (
        f"<body style=\"margin:4px;background:#000;color:#ccc;font:14px/1.2 '{MONO}'\">"
        f"<pre style='font:inherit;white-space:pre-wrap'>{chr(10).join(lines)}"
    )


def chart() -> str:
    """Return curves in SVG, with axes, a grid and a legend."""
    colours = "#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf"
    parts = []
    for i in range(9):
        x, y = 60 + 80 * i, 470 - 52 * i
        parts.append(f"<path d='M{x} 30V470M60 {y}H740' stroke='#ddd' fill='none'/>")
        parts.append(f"<text x={x - 8} y=490>{i * 0.25:g}</text>")
        parts.append(f"<text x=28 y={y + 4}>{26 + 2 * i}</text>")
    for i, colour in enumerate(colours):
        steps = [0.1, 0.25, 0.5, 0.75, 1, 1.4, 1.9]
        points = [(60 + 340 * x, 440 - (250 - 25 * i) * x**0.6 + 9 * (i % 3)) for x in steps]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{line}' stroke='{colour}' fill=none stroke-width=2 />")
        parts += [f"<circle cx={x:.1f} cy={y:.1f} r=3.5 fill='{colour}'/>" for x, y in points]
        parts.append(f"<rect x=600 y={300 + 20 * i} width=18 height=4 fill='{colour}'/>")
        parts.append(f"<text x=626 y={306 + 20 * i}>{WORDS[3 * i]}</text>")
    parts.append("<path d='M60 30V470H740' stroke='#000' fill='none'/>")
    return f"<body style=\"margin:0;font:12px '{SANS}'\"><svg {SIZE}>{''.join(parts)}"


def street_map() -> str:
    """Return a map in SVG: water, parks, blocks, streets with edges, names along them."""
    parts = ["<rect width=768 height=512 fill='#f2efe9'/>"]
    parts.append(
        "<path d='M0 330C160 250 240 420 400 360S640 240 768 300V512H0Z' fill='#aad3df'/>"
    )
    parts.append("<path d='M520 20L740 40L700 190L560 160Z' fill='#c8e6b5' stroke='#8fbf7f'/>")
    for i in range(14):
        for j in range(6):
            x, y = 20 + 36 * i + 7 * j, 16 + 44 * j + 3 * i
            parts.append(
                f"<path d='M{x} {y}l27 3l-3 32l-27 -3Z' fill='#d9d0c9' stroke='#c0b5aa'/>"
                if (i * 7 + j * 5) % 11 and x < 500
                else ""
            )
    roads = "M0 70L768 180", "M300 0L250 512", "M0 250C200 210 420 280 768 120", "M620 0L560 512"
    for width, colour in ((11, "#a89f91"), (8, "#fff")):
        parts += [
            f"<path d='{r}' stroke='{colour}' stroke-width={width} fill='none'/>" for r in roads
        ]
    parts.append("<path d='M0 200L768 60' stroke='#e892a2' stroke-width=6 />")
    rails = "M40 512C200 300 500 420 768 230' stroke='#555' stroke-dasharray='8 5"
    parts.append(f"<path d='{rails}' fill='none'/>")
    for x, y, size, name in (
        (40, 66, 12, "Harbour Road"), (570, 110, 14, "North Park"), (90, 440, 22, "Long Lake"),
        (330, 300, 12, "Mill Street"), (410, 150, 16, "Old Town"), (640, 260, 11, "Station"),
        (140, 190, 11, "School"), (470, 232, 11, "Bridge Lane"),
    ):  # fmt: skip
        parts.append(
            f"<text x={x} y={y} font-size={size} stroke='#fff' stroke-width=3 paint-order=stroke>"
            f"{name}</text>"
        )
    return f"<body style=\"margin:0;font-family:'{SANS}'\"><svg {SIZE}>{''.join(parts)}"


if __name__ == "__main__":
    main()

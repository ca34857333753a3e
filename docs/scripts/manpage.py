"""Writes the manual page docs/aic.1 from the help of the commands.

python docs/scripts/manpage.py
"""

from pathlib import Path

import click

from imgcodec.cli import main


def page() -> str:
    """Return the page in roff."""
    context = click.Context(main, info_name="aic", **main.context_settings)
    lines = ['.TH AIC 1 "" "" "User Commands"', ".SH NAME", "aic \\- a learned image codec"]
    lines += [
        ".SH SYNOPSIS",
        *(f".B aic {name}\n{_usage(name, context)}\n.br" for name in main.commands),
    ]
    lines += [".SH DESCRIPTION", *_paragraphs(main.help or "")]
    for name, command in main.commands.items():
        own = click.Context(command, info_name=name, parent=context)
        lines += [f'.SH "aic {name}"', *_paragraphs(command.help or "")]
        for parameter in command.get_params(own):
            record = parameter.get_help_record(own)
            if record is not None and record[1]:
                lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
        if command.epilog:
            lines += [".PP", ".nf", _roff(command.epilog.replace("\b", "").strip()), ".fi"]
    return "\n".join(lines) + "\n"


def _usage(name: str, context: click.Context) -> str:
    command = main.commands[name]
    words = command.collect_usage_pieces(click.Context(command, info_name=name, parent=context))
    return _roff(" ".join(words))


def _paragraphs(text: str) -> list[str]:
    found = []
    for paragraph in text.split("\n\n"):
        found += [".PP", _roff(" ".join(paragraph.split()))]
    return found


def _roff(text: str) -> str:
    """Return text whose backslashes, hyphens and leading dots mean themselves."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


if __name__ == "__main__":
    (Path(__file__).parents[1] / "aic.1").write_text(page(), encoding="utf-8")

"""`aic info`."""

import json
from pathlib import Path

import click

from imgcodec import files
from imgcodec.cli.options import READ


@click.command()
@click.argument("source", metavar="FILE.aic", type=READ)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: Path, as_json: bool) -> None:
    """Check FILE.aic and show what it says about itself."""
    from imgcodec.format import container

    facts = container.info(files.read_bytes(source))
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name + ':':<10} {value if isinstance(value, str) else json.dumps(value)}")

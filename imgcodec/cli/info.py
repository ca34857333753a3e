"""`aic info`."""

import json
from pathlib import Path

import click

from imgcodec import files, releases
from imgcodec.cli.checks import naming
from imgcodec.cli.options import READ_OR_STDIN, WEIGHTS
from imgcodec.cli.streams import as_files, check_stdout
from imgcodec.errors import one_line
from imgcodec.format import container, packed
from imgcodec.format.joined import Joined


@click.command()
@click.argument("source", metavar="FILE.aic", type=READ_OR_STDIN)
@WEIGHTS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: str, weights: Path | None, as_json: bool) -> None:
    """Check FILE.aic, or - for stdin, and show what it says about itself."""
    check_stdout()
    with as_files(source) as (task, _), naming(task.source, task.source):
        data = files.read_bytes(task.source)
        facts = packed.info(data) if packed.is_packed(data) else container.info(data)
        pixels = facts["method"] == container.LOSSLESS
        joined = Joined.of(container.File(data).chunks) if pixels else None
    model_id = bytes.fromhex(facts["model_id"])
    release = releases.find(model_id)
    if weights is not None and releases.id_of(files.read_bytes(weights)) == model_id:
        facts |= {"weights": str(weights), "tune": None}
    elif release is not None:
        facts |= {"weights": str(release), "tune": release.tune}
    else:
        facts |= {"weights": None, "tune": None}
    if joined is not None:
        facts |= {"colours": joined.colours, "u": joined.u / container.MAX_U}
    if "u" in facts and (joined is not None or not pixels):
        facts["quality"] = round(100 * facts["u"], 3)
    if as_json:
        click.echo(json.dumps(facts))
        return
    if pixels:
        what = "every pixel is kept" if joined is None else "colours were joined, no other loss"
        facts["weights"] = f"none, {what}"
    elif facts["weights"] is None:
        given = "" if weights is None else f"not those of {weights}, and "
        facts["weights"] = f"{given}not known here; a newer aic may know them"
    width = max(10, *(len(f"{name}:") for name in facts))
    for name, value in facts.items():
        if value is not None:
            shown = one_line(value) if isinstance(value, str) else json.dumps(value)
            click.echo(f"{name + ':':<{width}} {shown}")

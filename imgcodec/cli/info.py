"""`aic info`."""

import json
from pathlib import Path

import click

from imgcodec import files, releases
from imgcodec.cli.jobs import naming
from imgcodec.cli.options import READ, WEIGHTS


@click.command()
@click.argument("source", metavar="FILE.aic", type=READ)
@WEIGHTS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: Path, weights: Path | None, as_json: bool) -> None:
    """Check FILE.aic and show what it says about itself."""
    from imgcodec.format import container, packed

    with naming(source, source):
        data = files.read_bytes(source)
        facts = packed.info(data) if packed.is_packed(data) else container.info(data)
    model_id = bytes.fromhex(facts["model_id"])
    release = releases.find(model_id)
    if weights is not None and releases.id_of(files.read_bytes(weights)) == model_id:
        facts |= {"weights": str(weights), "tune": None}
    elif release is not None:
        facts |= {"weights": str(release), "tune": release.tune}
    else:
        facts |= {"weights": None, "tune": None}
    lossless = facts["method"] == container.LOSSLESS
    if "u" in facts and not lossless:
        facts["quality"] = round(100 * facts["u"], 3)
    if as_json:
        click.echo(json.dumps(facts))
        return
    if lossless:
        facts["weights"] = "none, every pixel is kept"
    elif facts["weights"] is None:
        given = "" if weights is None else f"not those of {weights}, and "
        facts["weights"] = f"{given}not known here; a newer aic may know them"
    for name, value in facts.items():
        if value is not None:
            click.echo(
                f"{name + ':':<10} {value if isinstance(value, str) else json.dumps(value)}"
            )

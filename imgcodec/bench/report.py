"""What a benchmark found, and on what machine, as CSV and JSON."""

import csv
import io
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from imgcodec import __version__, files
from imgcodec.bench.coders import Coder, installed
from imgcodec.bench.commands import CommandRow
from imgcodec.bench.compare import Comparison
from imgcodec.bench.rows import Row, means

SCHEMA = 1  # of the JSON; a change that breaks a reader counts it up
_PACKAGES = ("torch", "numpy", "pillow", "constriction")


def to_csv(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a line per row; what could not be measured is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in rows:
        writer.writerow("" if value != value else value for value in astuple(row))
    files.write_bytes(path, text.getvalue().encode(errors="backslashreplace"), force=True)


def to_json(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a result; docs/bench.md explains it."""
    text = json.dumps(result, indent=1, allow_nan=False)
    files.write_bytes(path, f"{text}\n".encode(), force=True)


def as_result(
    rows: Sequence[Row],
    coders: Sequence[Coder],
    comparisons: Sequence[Comparison],
    commands: Sequence[CommandRow],
    environment: dict[str, Any],
    run: dict[str, str],
) -> dict[str, Any]:
    """Return all that was found, for JSON; what is no finite number is None.

    Args:
        rows: measured.
        coders: that measured them.
        comparisons: of them.
        commands: whole ones.
        environment: see `environment`.
        run: what else tells of it: its date, command and outcome.
    """
    lists: dict[str, Sequence[Any]] = {
        "rows": rows,
        "means": means(rows),
        "comparisons": comparisons,
        "commands": commands,
    }
    found: dict[str, Any] = {
        name: [{k: finite(v) for k, v in asdict(row).items()} for row in some]
        for name, some in lists.items()
    }
    codecs = {coder.name: coder.about for coder in coders}
    return {"schema": SCHEMA, **run, "environment": environment, "codecs": codecs, **found}


def environment(threads: int, gpu: str | None, repeat: int, jobs: int) -> dict[str, Any]:
    """Return what times depend on: versions, machine, threads, and how they were taken."""
    versions = {name: installed(name) for name in _PACKAGES}
    return {
        "versions": {"imgcodec": __version__, "python": platform.python_version(), **versions},
        "gpu": gpu,
        "threads": threads,
        "repeat": repeat,
        "jobs": jobs,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


def finite(value: Any) -> Any:
    """Return a value, None for a number that JSON has not."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor() -> str:
    """Return the name of the processor; Linux keeps it in a file."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()

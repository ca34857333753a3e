"""The layers of the package: what each part may import of the others, and what it may load."""

import ast
import pkgutil
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

import imgcodec

HEAVY = {
    "PIL", "click", "constriction", "dask", "distributed", "matplotlib", "numpy", "rasterio",
    "safetensors", "scipy", "torch", "tqdm",
}  # fmt: skip
TORCH = {"torch", "numpy", "tqdm"}  # torch brings numpy and tqdm along
CODEC = TORCH | {"constriction", "PIL", "safetensors"}
# From the ground up: what a part may import of the parts above its line, and what else it may
# have loaded when all its modules are imported. A package stands for all modules in it.
TABLE = {
    "errors": (set[str](), set[str]()),
    "runtime": ({"errors"}, TORCH),
    "files": ({"errors", "runtime"}, set[str]()),
    "format": ({"errors"}, set[str]()),
    "entropy": ({"errors"}, {"numpy", "constriction"}),
    "model": (set[str](), TORCH),
    "perceptual": ({"model"}, TORCH),
    "metrics": ({"errors", "perceptual"}, {"numpy"}),
    "target": ({"errors", "format", "metrics"}, {"numpy"}),
    "releases": ({"errors"}, set[str]()),
    "jpeg": (
        {"entropy", "errors", "format", "releases"},
        {"numpy", "constriction", "safetensors"},
    ),
    "weights": ({"entropy", "errors", "files", "model", "releases"}, TORCH | {"safetensors"}),
    "restoring": (
        {"format", "jpeg", "model", "releases", "runtime", "weights"},
        TORCH | {"constriction", "PIL", "safetensors"},
    ),
    "pictures": (
        {"errors", "files", "format", "metrics", "runtime"},
        {"numpy", "PIL"},
    ),
    "into_jpeg": (
        {"errors", "jpeg", "pictures", "releases", "restoring", "runtime", "target"},
        TORCH | {"constriction", "PIL", "safetensors"},
    ),
    "codec": (
        {
            "entropy", "errors", "format", "metrics", "model", "perceptual", "pictures",
            "releases", "runtime", "target", "weights",
        },
        CODEC,
    ),
    "pillow_plugin": (
        {"codec", "errors", "format", "pictures", "releases", "runtime"},
        {"numpy", "PIL"},
    ),
    "__init__": (
        {
            "codec", "errors", "format", "into_jpeg", "jpeg", "pictures", "pillow_plugin",
            "releases", "restoring", "runtime",
        },
        set[str](),
    ),
    "train": (
        {
            "codec", "entropy", "errors", "files", "format", "jpeg", "metrics", "model",
            "perceptual", "runtime", "weights",
        },
        CODEC,
    ),
    "bench": (
        {
            "__init__", "codec", "errors", "files", "format", "into_jpeg", "metrics",
            "pictures", "releases", "restoring",
        },
        {"numpy", "PIL"},
    ),
    "cli": (
        {
            "__init__", "bench", "codec", "errors", "files", "format", "into_jpeg", "jpeg",
            "metrics", "model", "perceptual", "pictures", "releases", "restoring", "runtime",
            "target", "train",
        },
        {"click"},
    ),
    "__main__": ({"cli"}, {"click"}),
}  # fmt: skip
LIGHT = {  # modules that load less than their package may
    "runtime.forks", "runtime.lockstep", "runtime.openmp", "runtime.stopwatch", "format.container",
    "bench",
}  # fmt: skip
ROOT = Path(imgcodec.__file__).parent


def files(part):
    """The source files of a part."""
    folder = ROOT / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{part}.py"]


def imported(path):
    """The parts that a file imports, at its top or inside of functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "imgcodec":
            names = [f"imgcodec.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "imgcodec":
                part = rest.partition(".")[0]
                known = (ROOT / part).is_dir() or (ROOT / f"{part}.py").exists()
                yield part if part and known else "__init__"


def loaded(names):
    """Names of all modules that are loaded after some imports in a new process."""
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def modules(part):
    """The modules of a part, by name."""
    name = "imgcodec" if part == "__init__" else f"imgcodec.{part}"
    inner = pkgutil.walk_packages([str(ROOT / part)], f"{name}.") if part != "__init__" else ()
    return [name, *(info.name for info in inner)]


def test_every_part_has_its_line_in_the_table():
    parts = {"__init__", *(info.name for info in pkgutil.iter_modules(imgcodec.__path__))}
    assert parts == set(TABLE)


def test_parts_import_only_what_stands_above_them():
    above = set()
    for part, (wanted, _) in TABLE.items():
        assert wanted <= above, part
        above.add(part)


@pytest.mark.parametrize("part", TABLE)
def test_part_imports_no_more_than_the_table_says(part):
    found = {name for path in files(part) for name in imported(path)} - {part}
    if part == "__main__":
        found -= {"__init__"}
    assert found == TABLE[part][0]


MAY = list(dict.fromkeys(frozenset(may) for _, may in TABLE.values()))


@pytest.mark.parametrize("may", MAY, ids=lambda may: "-".join(sorted(may)) or "nothing")
def test_parts_load_no_more_than_the_table_says(may):
    """All parts that may load the same, in one process."""
    parts = [part for part, (_, heavy) in TABLE.items() if heavy == may]
    assert loaded(chain.from_iterable(map(modules, parts))) & HEAVY <= may


def test_light_modules_load_nothing_heavy():
    assert not loaded(f"imgcodec.{module}" for module in sorted(LIGHT)) & HEAVY


PACKAGES = sorted(path.parent for path in ROOT.glob("*/**/__init__.py"))


def said(package):
    """What a package says of itself."""
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_package_says_what_it_may_import(package):
    assert re.search(r"[Mm]ay\s+import", said(package))


@pytest.mark.parametrize("part", [part for part in TABLE if (ROOT / part).is_dir()])
def test_packages_name_all_that_they_import(part):
    text = said(ROOT / part)
    if "May import all of the package" not in text:
        assert {name for name in TABLE[part][0] if f"`{name}`" not in text} == set()


def test_continuous_integration_runs_tests_that_are_there():
    root = ROOT.parent
    named = re.findall(r"\btests/[\w/.]+", (root / ".ci" / "run").read_text())
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_the_table_of_the_design_is_this_one():
    text = (ROOT.parent / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| `(\w+)/?` \| [^|]* \| ([\w, ]+) \| [^|]* \|$", text, re.MULTILINE)
    told = {name: set(names.split(", ")) - {"nothing"} for name, names in rows}
    assert told == {part: wanted for part, (wanted, _) in TABLE.items() if part != "__main__"}

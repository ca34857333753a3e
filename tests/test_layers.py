"""What a module loads when it is imported alone: the layers of the package, kept apart."""

import importlib.util
import pkgutil
import subprocess
import sys

import pytest

import imgcodec

HEAVY = {
    "PIL", "click", "constriction", "matplotlib", "numpy", "pytorch_msssim",
    "rasterio", "safetensors",
    "scipy", "torch", "tqdm",
}  # fmt: skip
TORCH = {"torch", "numpy", "tqdm"}  # torch brings numpy and tqdm along
MAY_LOAD = {  # a package stands for all modules in it
    "__init__": set[str](),
    "__main__": {"click"},
    "batch": set[str](),
    "bench": {"numpy", "PIL"},
    "bitstream": {"numpy", "constriction"},
    "cli": {"click"},
    "codec": TORCH | {"constriction", "PIL", "safetensors"},
    "compress": TORCH | {"constriction", "PIL", "safetensors"},
    "container": set[str](),
    "convoy": set[str](),
    "decompress": TORCH | {"constriction", "safetensors"},
    "errors": set[str](),
    "exact": TORCH,
    "files": set[str](),
    "geo": {"numpy", "PIL"},
    "heatmap": {"numpy", "PIL"},
    "hiding": {"numpy"},
    "image": {"numpy", "PIL"},
    "importance": {"numpy"},
    "metadata": set[str](),
    "metrics": {"numpy"},
    "model": TORCH,
    "modes": {"numpy", "PIL"},
    "options": {"click"},
    "peers": set[str](),
    "payload": TORCH | {"constriction", "safetensors"},
    "pillow": {"numpy", "PIL"},
    "plan": TORCH | {"constriction", "safetensors"},
    "precision": TORCH,
    "rate": set[str](),
    "roi": {"numpy"},
    "shared": TORCH | {"constriction", "safetensors"},
    "stopwatch": set[str](),
    "target": {"numpy"},
    "refine": TORCH,
    "tiles": set[str](),
    "train": TORCH | {"PIL", "constriction", "safetensors", "scipy"},
    "weights": TORCH | {"safetensors"},
    "work": set[str](),
}
KNOWS_CODEC = {"codec", "train"}  # they may load codec.py, which joins all parts


@pytest.fixture(scope="module")
def loaded():
    """Names of all modules that are loaded after the import of one of ours, in a new process."""
    cache = {}

    def load(module):
        if module not in cache:
            names = ["imgcodec" if module == "__init__" else f"imgcodec.{module}"]
            spec = importlib.util.find_spec(names[0])
            if module != "__init__" and spec.submodule_search_locations:
                inner = pkgutil.walk_packages(spec.submodule_search_locations, f"{names[0]}.")
                names += [info.name for info in inner]
            code = f"import sys, {', '.join(names)}; print(*sys.modules)"
            out = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            cache[module] = set(out.stdout.split())
        return cache[module]

    return load


def modules():
    """The top level of the package."""
    return ["__init__", *(info.name for info in pkgutil.iter_modules(imgcodec.__path__))]


def test_every_module_has_its_line_in_the_table():
    assert set(modules()) <= set(MAY_LOAD)


@pytest.mark.parametrize("module", modules())
def test_module_loads_no_more_than_its_layer_may(module, loaded):
    assert loaded(module) & HEAVY <= MAY_LOAD[module]


@pytest.mark.parametrize("module", modules())
def test_module_knows_no_layer_above_it(module, loaded):
    ours = {name.split(".")[1] for name in loaded(module) if name.startswith("imgcodec.")}
    assert "train" not in ours - {module}
    assert "cli" not in ours - {module} or module == "__main__"
    assert "codec" not in ours or module in KNOWS_CODEC
    if module in ("__init__", "container", "errors", "metrics", "model", "modes"):
        assert ours <= {module, "errors"}
    if module in ("image", "metadata"):
        assert ours <= {
            "image",
            "metadata",
            "modes",
            "container",
            "errors",
            "files",
            "roi",
            "stopwatch",
            "tiles",
            "metrics",
        }

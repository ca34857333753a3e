"""docs/api.md: its examples run, and it names all that is public."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imgcodec

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"


def program():
    """The python blocks as one program, each line at its number in the page."""
    lines, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        lines.append(line if inside else "")
    return "\n".join(lines) + "\n"


def test_every_example_runs(tmp_path):
    with Image.open(ROOT / "docs" / "kodim23.png") as photograph:
        photograph.crop((96, 64, 256, 192)).save(tmp_path / "photo.png")
    (tmp_path / "api.py").write_text(program(), encoding="utf-8")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    out = subprocess.run(
        [sys.executable, "api.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    printed = out.stdout.splitlines()
    assert len(printed) == 4  # the report, and the three refusals that the page shows
    for line, words in zip(printed, ("bpp in", "claims", "float32", "too low"), strict=True):
        assert words in line


def test_the_page_names_all_that_is_public():
    text = PAGE.read_text(encoding="utf-8")
    for name in imgcodec.__all__:
        assert re.search(rf"`(imgcodec\.)?{name}\b", text), name
        assert name == "__version__" or callable(getattr(imgcodec, name))


def test_the_page_names_all_methods_of_a_codec():
    found = set(re.findall(r"codec\.(\w+)\(", program()))
    public = {name for name in vars(imgcodec.Codec) if not name.startswith("_")}
    rest = {"joining", "where", "tune", "model_id_at"}  # for other packages; no method
    assert public - found == rest


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = imgcodec.Nothing


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize(
    "call",
    [imgcodec.decode, imgcodec.encode, imgcodec.encode_jpeg, imgcodec.pack, imgcodec.restore,
     imgcodec.unpack],
)  # fmt: skip
def test_no_function_takes_fewer_threads_than_one(call, number):
    given = np.zeros((8, 8, 3), np.uint8) if "encode" in call.__name__ else b""
    with pytest.raises(imgcodec.AicError, match=f"^threads {number}, wanted 1..1024$"):
        call(given, threads=number)

"""`aic pack` and `aic unpack`."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgcodec import cli
from imgcodec.format import packed


def photo(seed=0, **options):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :90]
    pixels = np.clip(120 + 80 * np.sin(x / 11 + y / 7) + rng.normal(0, 4, (60, 90)), 0, 255)
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(out, "jpeg", **options)
    return out.getvalue()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(photo())
    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words])


def test_a_file_there_and_back(run, tmp_path):
    packed = run("pack", "a.jpg", "a.aic")
    assert packed.exit_code == 0
    assert "% less" in packed.output
    assert (tmp_path / "a.aic").stat().st_size < (tmp_path / "a.jpg").stat().st_size
    assert run("unpack", "a.aic", "b.jpg").exit_code == 0
    assert (tmp_path / "b.jpg").read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_the_columns_of_info_are_in_line(run):
    run("pack", "a.jpg", "a.aic")
    lines = run("info", "a.aic").output.splitlines()
    assert "jpeg_bytes: " in "".join(lines)
    assert {line.index(line.split(None, 1)[1]) for line in lines} == {12}


def test_a_file_that_grows_is_told_so(run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (43, 61, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=100)
    told = run("pack", "a.jpg", "a.aic").output
    growth = (tmp_path / "a.aic").stat().st_size / (tmp_path / "a.jpg").stat().st_size - 1
    assert growth > 0
    assert f" bytes, {100 * growth:.1f} % more, " in told


def test_existing_files_are_kept(run):
    assert run("pack", "a.jpg", "a.aic").exit_code == 0
    again = run("pack", "a.jpg", "a.aic")
    assert again.exit_code == 1
    assert "--force" in again.output
    assert run("pack", "a.jpg", "a.aic", "--force").exit_code == 0
    assert run("unpack", "a.aic", "a.jpg").exit_code == 1


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_file_that_cannot_be_read_is_named_once(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "lost.aic").symlink_to("nothing")
    told = run("unpack", "in", "out").stderr.splitlines()
    assert told[0] == f"{os.path.join('in', 'lost.aic')}: no such file or directory"


def test_what_is_refused_leaves_no_file(run, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(photo()[:-200])
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    for name in ("bad.jpg", "p.png"):
        done = run("pack", name, "out.aic")
        assert done.exit_code == 1
        assert done.output.count("\n") == 1
        assert name in done.output
        assert not (tmp_path / "out.aic").exists()
    assert run("pack", "a.jpg", "out.png").exit_code == 1
    assert run("pack", "a.jpg", "out.aic", "--max-pixels", 100).exit_code == 1


def test_damage_is_refused(run, tmp_path):
    run("pack", "a.jpg", "a.aic")
    data = bytearray((tmp_path / "a.aic").read_bytes())
    data[-2] ^= 1
    (tmp_path / "a.aic").write_bytes(data)
    done = run("unpack", "a.aic", "b.jpg")
    assert done.exit_code == 1
    why = "checksum mismatch in slice 0; --keep-going sets it right"
    assert done.output == f"Error: a.aic: {why}\n"
    assert not (tmp_path / "b.jpg").exists()


def test_a_single_wrong_bit_is_set_right(run, tmp_path):
    run("pack", "a.jpg", "a.aic")
    whole = (tmp_path / "a.aic").read_bytes()
    file = packed.unpack(whole)
    start = len(whole) - len(file.frame) - sum(map(len, file.slices))
    for place, where in ((-2, "slice 0"), (start + 3, "what lies around the blocks")):
        data = bytearray(whole)
        data[place] ^= 8
        (tmp_path / "a.aic").write_bytes(data)
        done = run("unpack", "a.aic", "b.jpg", "--keep-going", "--force")
        wrong = f"checksum mismatch in {where}, a single wrong bit"
        assert done.output == f"Error: a.aic: what it holds is whole, but {wrong}\n"
        assert done.exit_code == 1
        assert (tmp_path / "b.jpg").read_bytes() == (tmp_path / "a.jpg").read_bytes()
        data[place] ^= 1
        (tmp_path / "a.aic").write_bytes(data)
        for option in ([], ["--keep-going"]):
            done = run("unpack", "a.aic", "c.jpg", *option)
            why = f"checksum mismatch in {where}"
            assert (done.exit_code, done.output) == (1, f"Error: a.aic: {why}\n")
        assert not (tmp_path / "c.jpg").exists()


def test_a_folder_there_and_back(run, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.JPG").write_bytes(photo(1, progressive=True))
    (tmp_path / "in" / "deep" / "c.jpeg").write_bytes(photo(2))
    (tmp_path / "in" / "note.txt").write_bytes(b"")
    assert run("pack", "in", "packed", "--jobs", 2).exit_code == 0
    assert run("unpack", "packed", "out").exit_code == 0
    assert (tmp_path / "out" / "b.jpg").read_bytes() == photo(1, progressive=True)
    assert (tmp_path / "out" / "deep" / "c.jpg").read_bytes() == photo(2)
    assert "2 files are up to date" in run("pack", "in", "packed").output
    assert "2 files are up to date" in run("unpack", "packed", "out").output


def test_a_folder_that_holds_something_else(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo(1))
    run("pack", "in", "packed")
    target = tmp_path / "packed" / "a.aic"
    made = target.read_bytes()
    (tmp_path / "in" / "a.jpg").write_bytes(photo(2))
    later = target.stat().st_mtime
    os.utime(tmp_path / "in" / "a.jpg", (later - 9, later - 9))
    done = run("pack", "in", "packed")
    assert done.exit_code == 1
    assert "holds another file" in done.output
    assert target.read_bytes() == made
    os.utime(tmp_path / "in" / "a.jpg", (later + 9, later + 9))
    assert run("pack", "in", "packed").exit_code == 0
    assert target.read_bytes() != made


def test_pipes(tmp_path):
    command = [sys.executable, "-m", "imgcodec"]
    made = subprocess.run(
        [*command, "pack", "-", "-"], input=photo(), capture_output=True, check=True
    )
    back = subprocess.run(
        [*command, "unpack", "-", "-"], input=made.stdout, capture_output=True, check=True
    )
    assert back.stdout == photo()
    assert len(made.stdout) < len(photo())


def test_other_commands_know_such_files(run):
    run("pack", "a.jpg", "a.aic")
    facts = json.loads(run("info", "a.aic", "--json").output)
    assert facts["method"] == 1
    assert facts["weights"] == "aic-pack 1.2"
    assert "aic-pack 1.2" in run("info", "a.aic").output
    done = run("decode", "a.aic", "a.png")
    assert done.exit_code == 1
    assert "aic unpack" in done.output


def test_packing_needs_no_torch(run):
    code = (
        "import sys; from imgcodec import cli\n"
        "try: cli.main(['pack', 'a.jpg', 'a.aic'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n"), done.stderr


def test_what_is_not_what_was_packed_is_never_up_to_date(run, tmp_path):
    """Another command's file of that name and time, as of `aic encode --into jpeg`."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo(1))
    run("pack", "in", "packed")
    (tmp_path / "out").mkdir()
    other = tmp_path / "out" / "a.jpg"
    other.write_bytes(photo(1, quality=30))
    time = (tmp_path / "in" / "a.jpg").stat().st_mtime_ns
    for moved in (0, -(10**10), 10**10):
        os.utime(other, ns=(time, time + moved))
        done = run("unpack", "packed", "out")
        assert done.exit_code == 1
        assert "not the file that" in done.output
        assert other.read_bytes() == photo(1, quality=30)
    assert run("unpack", "packed", "out", "--force").exit_code == 0
    assert other.read_bytes() == photo(1)


def test_what_is_known_to_be_right_needs_no_time(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo(1))
    run("pack", "in", "packed")
    run("unpack", "packed", "out")
    for path in ("in/a.jpg", "out/a.jpg"):
        os.utime(tmp_path / path, (10**9, 10**9))
    for words in (("pack", "in", "packed"), ("unpack", "packed", "out")):
        done = run(*words)
        assert done.exit_code == 0, done.output
        assert "1 file is up to date" in done.output

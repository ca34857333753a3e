"""Files at URLs: by the rules of folders, and every failure in one line."""

import os
import sys
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PureWindowsPath
from types import MappingProxyType

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from test_cli import FakeCodec, assert_refused  # noqa: F401

from imgcodec.cli.encoding import Encoding
from imgcodec.cli.many import copies, elsewhere, shards, targets, urls
from imgcodec.cli.work import Task, Work
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.format.metadata import KINDS
from imgcodec.pictures import PICTURES


@pytest.fixture
def memory():
    """A store in this process, empty."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


def picture(store, path, grey=9):
    with store.open(path, "wb") as file:
        Image.fromarray(np.full((4, 6), grey, np.uint8)).save(file, "PNG")


def found(*words, folder="memory://out", force=False):
    return targets.find(words, folder, PICTURES, ".aic", force)


@pytest.fixture
def encode(aic, tmp_path):
    """What becomes of pairs, by the code of a worker; `aic` puts the fake in place."""

    def run(pairs, force=False, sides=MappingProxyType({}), **settings):
        goal = {"rate": None, "size": None, "quality": 72, "psnr": None, "ms_ssim": None}
        words = {
            "goal": goal, "roi": None, "tune": None, "weights": None, "effort": 1, "tile": None,
            "alpha": "keep", "metadata": KINDS, "strict": False, "entropy": "range",
            "lossless": None,
            "device": "cpu", "threads": None, "verbose": False, "warn": elsewhere.note,
        }  # fmt: skip
        work = Encoding(**words | settings)
        folder = tmp_path / "scratch"
        folder.mkdir(exist_ok=True)
        rows = list(shards.rows(work, pairs, force, folder, "me", sides))
        assert not [path for path in folder.rglob("*") if path.is_file()]
        return rows

    return run


# ---- which files


@contextmanager
def refusing(status):
    """A web server's URL that has an answer of this status for everything."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.png"
        server.shutdown()


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_web_server_that_refuses_costs_no_other_file(memory, monkeypatch, status):
    monkeypatch.setattr(urls, "PAUSE_S", 0.01)
    memory.pipe("in/b.png", b"")
    with refusing(status) as url:
        listing = found(url, "memory://in/b.png")
        ((failed, why),) = listing.failed
        assert failed == url
        with pytest.raises(AicError) as info:
            found(url)
    assert str(info.value).count(url + ": ") == 1
    assert ("is not there" in why) == (status == 404)
    assert listing.pairs == [("memory://in/b.png", "memory://out/b.aic")]


def test_a_web_server_that_is_away_is_no_missing_file(memory):
    with refusing(404) as url:
        with pytest.raises(AicError, match="a.png: is not there"):
            found(url)
    with pytest.raises(AicError, match=r"a\.png: .*127\.0\.0\.1"):
        found(url)
    memory.pipe("in/b.png", b"")
    listing = found(url, "memory://in/b.png")  # which is made all the same
    assert [path for path, _ in listing.failed] == [url]
    assert listing.pairs == [("memory://in/b.png", "memory://out/b.aic")]


def test_words_mean_what_paths_would_mean(memory):
    for name in ("in/a.png", "in/a.jpg", "in/x/b.PNG", "in/notes.txt", "in/old.aic"):
        memory.pipe(name, b"")
    listing = found("memory://in")
    assert listing.pairs == [
        ("memory://in/a.jpg", "memory://out/a.jpg.aic"),
        ("memory://in/a.png", "memory://out/a.png.aic"),
        ("memory://in/x/b.PNG", "memory://out/x/b.aic"),
    ]
    assert listing.notes == [("memory://in", "left alone: 1 of other kinds")]
    assert found("memory://in/**/*.PNG").pairs == [("memory://in/x/b.PNG", "memory://out/x/b.aic")]
    assert found("memory://in/a.png", folder="out").pairs == [
        ("memory://in/a.png", str(Path("out", "a.aic")))
    ]
    several = found("memory://in", "memory://in/x/", "memory://no")
    assert [target for _, target in several.pairs] == [
        "memory://out/in/a.jpg.aic", "memory://out/in/a.png.aic", "memory://out/in/x/b.aic",
        "memory://out/x/b.aic",
    ]  # fmt: skip
    assert several.failed == [("memory://no", "is not there")]


def test_files_that_belong_to_a_tiff_file_are_found(memory):
    names = (
        "a.tif", "a.tfw", "a.tif.aux.xml", "a_RPC.TXT", "b.TIF", "b.TIF.msk", "c.png", "c.wld",
        "x/a.tif.msk",
    )  # fmt: skip
    for name in names:
        memory.pipe(f"in/{name}", b"")
    of_a = ["memory://in/a.tfw", "memory://in/a.tif.aux.xml", "memory://in/a_RPC.TXT"]
    of_b = ["memory://in/b.TIF.msk"]
    assert found("memory://in").sides == {"memory://in/a.tif": of_a, "memory://in/b.TIF": of_b}
    assert found("memory://in/*.tif").sides == {"memory://in/a.tif": of_a}
    (single,) = found("memory://in/a.tif").sides.values()
    assert sorted(single) == of_a
    assert found("memory://in/c.png").sides == {}


def test_plain_urls_are_paths(tmp_path):
    assert urls.plain(f"file://{tmp_path}/a b.png") == f"{tmp_path}/a b.png"
    assert urls.plain("s3://a/b") == "s3://a/b"
    assert not urls.is_url(str(tmp_path))
    assert not urls.is_url("C://a")


def test_a_drive_of_windows_is_no_folder(monkeypatch):
    assert urls.plain("file:///C:/a") == "/C:/a"
    monkeypatch.setattr(sys, "platform", "win32")
    assert urls.plain("file:///C:/a") == "C:/a"
    assert urls.plain("/C:/a") == "/C:/a"


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("../../b.png", Path),
        ("c//b.png", Path),
        ("..\\..\\b.png", PureWindowsPath),
        ("C:b.png", PureWindowsPath),
        ("C:\\b.png", PureWindowsPath),
    ],
)
def test_names_of_stores_do_not_lead_out_of_the_folder(memory, monkeypatch, name, paths):
    picture(memory, "/in/a.png")
    memory.store[f"/in/{name}"] = memory.store["/in/a.png"]
    monkeypatch.setattr(targets, "Path", paths)
    listing = found("memory://in/", folder="out")
    assert listing.pairs == [("memory://in/a.png", "out/a.aic")]
    why = "its name leads to no place in a folder here"
    assert listing.failed == [(f"memory://in/{name}", why)]


def test_a_question_mark_is_no_pattern_of_the_web():
    assert urls.pattern("https://a.b/c.png?size=1") is None
    assert urls.pattern("s3://a/b/?.png") == ("?.png",)
    assert urls.pattern("s3://a/*/x/**") == ("*", "x", "**")


def test_places_that_nobody_knows_are_one_line(aic, tmp_path):
    for word in ("nosuch://a/b", "s3://"):
        result = aic("encode", word, tmp_path / "out", "--cluster", "local")
        assert_refused(result, "")


# ---- what is done again


def test_stores_follow_the_rules_of_folders(memory, encode):
    picture(memory, "in/a.png")
    memory.pipe("in/bad.png", b"none")
    pairs = [*found("memory://in").pairs, ("memory://in/no.png", "memory://out/no.aic")]
    made, bad, missing = sorted(encode(pairs), key=lambda row: row.source)
    assert made.line.startswith(f"memory://out/a.aic: {made.written} bytes")
    data = memory.cat_file("out/a.aic")
    header = container.File(data).header
    assert (made.written, made.bpp, made.worker) == (len(data), 8 * len(data) / 24, "me")
    assert (header.width, header.height) == (6, 4)
    assert bad.error == "memory://in/bad.png: not a picture of a known kind"
    assert missing.error == "memory://in/no.png: is not there"

    pair = pairs[:1]
    (current,) = encode(pair)
    assert (current.line, current.error) == (None, None)
    (other,) = encode(pair, entropy="none")
    assert other.error == (
        "memory://out/a.aic: exists with --entropy range, not --entropy none, and is kept"
        " without --force"
    )
    assert encode(pair, force=True, entropy="none")[0].line
    assert memory.cat_file("out/a.aic") != data


def test_an_older_target_is_made_again(memory, encode):
    picture(memory, "in/a.png")
    pair = found("memory://in").pairs
    assert encode(pair)[0].line
    picture(memory, "in/a.png", grey=200)
    memory.store["/out/a.aic"].modified = datetime(2001, 1, 1, tzinfo=timezone.utc)
    before = memory.cat_file("out/a.aic")
    (row,) = encode(pair)
    assert row.line
    told = "is older than memory://in/a.png, and is made again"
    assert row.notes == (("memory://out/a.aic", told),)
    assert memory.cat_file("out/a.aic") != before


def test_what_belongs_to_a_tiff_file_comes_along(memory, tmp_path):
    for name in ("a.tif", "a.tif.msk", "a.tfw"):
        memory.pipe(f"in/{name}", name.encode())
    listing = found("memory://in")
    ((source, target),) = listing.pairs
    here = copies.Copies(tmp_path)
    task = here.task(source, target, False)
    gone = "memory://in/a.tif.aux.xml"  # since it was listed
    here.fetch(task, source, target, [*listing.sides[source], gone])
    there = {path.name: path.read_text() for path in task.source.parent.iterdir()}
    assert there == {name: name for name in ("a.tif", "a.tif.msk", "a.tfw")}
    here.drop(task)
    assert not list(task.source.parent.iterdir())


class Failing(Work):
    """Some work that leaves what it may, and fails."""

    __dataclass_fields__ = {}
    threads, device, dates, warn = 1, "cpu", False, staticmethod(elsewhere.note)
    is_due = size = staticmethod(lambda *_: None)

    def __call__(self, task, member=None):
        if self.leaves:
            Path(f"{task.target}.aux.xml").write_text("beside")
            task.target.write_text("in part")
        raise AicError(f"{task.source}: damaged")


@pytest.mark.parametrize("leaves", [True, False])
def test_what_is_whole_of_a_damaged_file_is_stored(memory, tmp_path, monkeypatch, leaves):
    memory.pipe("in/a.aic", b"")
    memory.pipe("out/a.tif", b"before")
    monkeypatch.setattr(Failing, "leaves", leaves, raising=False)
    pair = ("memory://in/a.aic", "memory://out/a.tif")
    (row,) = shards.rows(Failing(), [pair], True, tmp_path, "me", {})
    assert (row.line, row.error) == (None, "memory://in/a.aic: damaged")
    assert memory.cat_file("out/a.tif") == (b"in part" if leaves else b"before")
    assert memory.exists("out/a.tif.aux.xml") == leaves


def test_lines_name_urls_on_one_line(memory, encode):
    picture(memory, "in/a\n.png")
    (row,) = encode([("memory://in/a\n.png", "memory://out\x1b/a\n.aic")])
    assert row.line.startswith(r"memory://out\x1b/a\n.aic: ")


def test_notes_name_urls(memory, encode):
    with memory.open("in/deep.png", "wb") as file:
        Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 999).save(file, "PNG")
    (row,) = encode(found("memory://in").pairs)
    told = "more than 8 bits a sample were reduced to 8"
    assert row.notes == (("memory://in/deep.png", told),)


# ---- what fails


def test_what_fails_by_chance_is_tried_again(memory, encode, monkeypatch):
    picture(memory, "in/a.png")
    calls = []
    put = MemoryFileSystem.put_file

    def fail(self, *words, **named):
        calls.append(words)
        if len(calls) < urls.TRIES:
            raise OSError("Connection reset")
        return put(self, *words, **named)

    monkeypatch.setattr(urls, "PAUSE_S", 0)
    monkeypatch.setattr(MemoryFileSystem, "put_file", fail)
    assert encode(found("memory://in").pairs)[0].error is None
    assert len(calls) == urls.TRIES


@pytest.mark.parametrize("error", [OSError("reset"), PermissionError("no"), KeyError("x")])
@pytest.mark.parametrize("call", ["put_file", "get_file", "modified"])
def test_what_fails_for_good_is_one_line(memory, encode, monkeypatch, call, error):
    picture(memory, "in/a.png")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(urls, "PAUSE_S", 0)
    monkeypatch.setattr(MemoryFileSystem, call, fail)
    (row,) = encode(found("memory://in").pairs)
    url = "memory://out/a.aic" if call == "put_file" else "memory://in/a.png"
    assert row.error.startswith(f"{url}: ")
    assert "\n" not in row.error
    assert row.line is None
    assert not memory.exists("out/a.aic")


def test_other_places_see_whole_files_only(tmp_path, monkeypatch):
    """Where a file grows while it is written, it has another name until then."""
    source = tmp_path / "here" / "a"
    source.parent.mkdir()
    source.write_bytes(b"new")
    task = Task(source, source)
    target = tmp_path / "folder" / "b"
    target.parent.mkdir()
    target.write_bytes(b"old")
    copies.Copies(tmp_path).store(task, f"local://{target}")
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["b"]
    system = type(fsspec.filesystem("local"))

    def fail(self, lpath, rpath, **_):
        Path(rpath).write_bytes(b"ha")
        raise OSError("full")

    monkeypatch.setattr(urls, "PAUSE_S", 0)
    monkeypatch.setattr(system, "put_file", fail)
    with pytest.raises(Exception, match="full"):
        copies.Copies(tmp_path).store(task, f"local://{target}")
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["b"]

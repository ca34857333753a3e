"""The benchmark with a codec whose sizes, errors and times are known beforehand."""

import csv
import itertools
import json
import math
import ntpath
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from dataclasses import fields, replace
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgcodec import files, metrics
from imgcodec.bench import (
    COMCNN,
    COMPRESSAI,
    PEERS,
    RESTORED,
    coders,
    commands,
    compare,
    measure,
    page,
    plot,
    report,
)
from imgcodec.bench import cache as row_cache
from imgcodec.bench.rows import Row, means
from imgcodec.bench.table import table
from imgcodec.cli import main
from imgcodec.codec.results import Encoded
from imgcodec.errors import AicError, FormatError
from imgcodec.pictures import reader


class FakeCodec:
    """Keeps multiples of 16 and fills the file to the rate asked; turns a clock as it works."""

    def __init__(self, clock=None, encode_s=(), decode_s=()):
        self.device = "cpu"
        self.clock = clock
        self.seconds = {"encode": list(encode_s), "decode": list(decode_s)}
        self.calls = []  # (what, first sample, rate)
        self.efforts = []
        self.model_id = bytes(8)

    def model_id_at(self, effort):
        return self.model_id

    def encode(self, pixels, rate, entropy, effort, quality=None):
        assert entropy == "range"
        self.efforts.append(effort)
        self.calls.append(("encode", int(pixels.flat[0]), rate))
        model_s = self._work("encode")
        height, width = pixels.shape[:2]
        data = struct.pack("<II?", height, width, pixels.ndim == 3)
        data += zlib.compress((pixels // 16).tobytes())
        size = math.floor(rate * height * width / 8)
        if len(data) > size:
            raise AicError(f"{rate:g} bits per pixel are too few")
        limited = rate > 8
        data = data if limited else data.ljust(size, b"\0")
        bpp = metrics.bpp(len(data), height, width)
        report = SimpleNamespace(bpp=bpp, limited=limited, model_s=model_s, total_s=-1.0)
        return Encoded(data, report)

    def decode_rows(self, data, take):
        self.calls.append(("decode", len(data), None))
        model_s = self._work("decode")
        height, width, colour = struct.unpack_from("<II?", data)
        try:
            samples = zlib.decompressobj().decompress(data[9:])
        except zlib.error as error:
            raise FormatError("damaged") from error
        kept = np.frombuffer(samples, np.uint8).reshape(height, width, 3 if colour else 1) * 16
        kept = np.repeat(kept, 1 if colour else 3, axis=2).astype(np.uint8)
        take(kept)
        return SimpleNamespace(model_s=model_s, total_s=-1.0)

    def _work(self, what):
        """Spend the next number of seconds, a quarter of them in the model."""
        if self.clock is None:
            return 0.0
        seconds = self.seconds[what].pop(0)
        self.clock.now += seconds
        return seconds / 4


def run(codec, folder, rates, effort=1, **settings):
    return list(measure.run([coders.Aic(codec, rates, effort)], folder, **settings))


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(measure, "time", fake)
    return fake


@pytest.fixture
def folder(tmp_path):
    """Two pictures: errors of 3 and of 4 in every sample."""
    path = tmp_path / "pictures"
    path.mkdir()
    Image.new("RGB", (40, 20), (19, 35, 51)).save(path / "a.png")
    Image.new("L", (16, 50), 20).save(path / "b.bmp")
    (path / "notes.txt").write_text("no picture")
    return path


ERROR_3 = 10 * math.log10(255**2 / 9)
ERROR_4 = 10 * math.log10(255**2 / 16)


def test_rows_have_the_known_values(folder, capfd):
    rows = run(FakeCodec(), folder, [1.0, 0.5])
    assert [(r.picture, r.width, r.height, r.setting) for r in rows] == [
        ("a.png", 40, 20, 1.0), ("a.png", 40, 20, 0.5), ("b.bmp", 16, 50, 1.0),
        ("b.bmp", 16, 50, 0.5),
    ]  # fmt: skip
    assert [r.bytes for r in rows] == [100, 50, 100, 50]
    assert [r.bpp for r in rows] == [1.0, 0.5, 1.0, 0.5]
    assert [r.psnr for r in rows] == pytest.approx([ERROR_3] * 2 + [ERROR_4] * 2)
    assert all(math.isnan(r.ms_ssim) and math.isnan(r.ms_ssim_db) for r in rows)  # too small
    assert [r.limited for r in rows] == [False] * 4
    assert [r.error for r in rows] == [""] * 4
    assert capfd.readouterr() == ("", "")


def test_ms_ssim_is_measured_where_the_picture_is_large_enough(tmp_path):
    y, x = np.mgrid[:161, :170]
    a = np.stack([x + y, 255 - y, x], axis=-1).astype(np.uint8)
    Image.fromarray(a).save(tmp_path / "a.png")
    (row,) = run(FakeCodec(), tmp_path, [8.0])
    expected = metrics.ms_ssim(a, a // 16 * 16)
    assert 0.5 < expected < 0.999
    assert row.ms_ssim == pytest.approx(expected, abs=1e-6)
    assert row.ms_ssim_db == pytest.approx(-10 * math.log10(1 - expected), abs=1e-3)


def test_what_the_eye_sees_is_measured_where_it_is_asked(tmp_path):
    a = textured(40, 64)
    Image.fromarray(a).save(tmp_path / "a.png")
    Image.fromarray(a[:7]).save(tmp_path / "low.png")
    expected = metrics.ssimulacra2(a, a // 16 * 16), metrics.cvvdp(a, a // 16 * 16)
    assert 20 < expected[0] < 95
    assert 7 < expected[1] < 9.99
    large, low = run(FakeCodec(), tmp_path, [24.0], further=["ssimulacra2", "cvvdp"])
    assert (large.ssimulacra2, large.cvvdp) == pytest.approx(expected)
    assert math.isnan(low.ssimulacra2)
    assert math.isnan(low.cvvdp)
    large, _ = run(FakeCodec(), tmp_path, [24.0], further=["cvvdp"])
    assert (math.isnan(large.ssimulacra2), large.cvvdp) == (True, pytest.approx(expected[1]))
    assert "SSIMULACRA 2" not in table([large], means([large]))
    assert "CVVDP" in table([large], means([large])).splitlines()[0]


def test_picture_that_needs_less_than_asked_is_marked(folder):
    rows = run(FakeCodec(), folder, [9.0])
    assert [r.limited for r in rows] == [True, True]
    assert all(r.bpp < 1 for r in rows)
    assert means(rows)[0].limited == 2


def test_bytes_are_those_that_come_back_from_the_disk(folder, monkeypatch):
    write = files.write_bytes
    monkeypatch.setattr(files, "write_bytes", lambda p, d, force: write(p, d + bytes(7), force))
    assert [r.bytes for r in run(FakeCodec(), folder, [0.5])] == [57, 57]
    monkeypatch.setattr(
        files, "write_bytes", lambda p, d, force: write(p, d[:9] + b"?" * 99, force)
    )
    assert [r.error for r in run(FakeCodec(), folder, [0.5])] == ["damaged", "damaged"]


def test_the_files_on_disk_are_gone_afterwards(folder, monkeypatch):
    write, paths = files.write_bytes, []

    def spy(path, data, force):
        paths.append(path)
        write(path, data, force)
        assert path.read_bytes() == data

    monkeypatch.setattr(files, "write_bytes", spy)
    run(FakeCodec(), folder, [0.5])
    assert len(paths) == 3
    assert not any(path.exists() or path.parent.exists() for path in paths)
    assert all(folder not in path.parents for path in paths)


# time


def test_times_are_medians_and_the_first_work_does_not_count(folder, clock):
    encode_s = [1000, 1, 5, 2, 40, 20, 30]  # once to warm up, then three times a row
    decode_s = [2000, 8, 8, 4, 0.5, 0.75, 0.25]
    codec = FakeCodec(clock, encode_s, decode_s)
    a, b = run(codec, folder, [0.5], repeat=3)
    assert (a.encode_s, a.encode_model_s, a.decode_s, a.decode_model_s) == (2, 0.5, 8, 2)
    assert (b.encode_s, b.encode_model_s, b.decode_s, b.decode_model_s) == (30, 7.5, 0.5, 0.125)
    assert codec.calls[0] == ("encode", 19, 0.5)  # the first picture
    assert [call[0] for call in codec.calls] == ["encode", "decode"] * 7


def test_reading_and_writing_take_no_time_of_the_codec(folder, clock, monkeypatch):
    read, write = reader.read_image, files.write_bytes

    def slow(function):
        def call(*args, **kwargs):
            clock.now += 500
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(reader, "read_image", slow(read))
    monkeypatch.setattr(files, "write_bytes", slow(write))
    rows = run(FakeCodec(clock, [9, 1, 2], [9, 3, 4]), folder, [0.5])
    assert [(r.encode_s, r.decode_s) for r in rows] == [(1, 3), (2, 4)]


@pytest.mark.parametrize(("device", "count"), [("cuda", 4), ("cuda:1", 4), ("cpu", 0)])
def test_clock_waits_for_the_gpu(folder, monkeypatch, device, count):
    import torch

    codec = FakeCodec()
    codec.device = device
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: codec.calls.append(("wait", 0, 0)))
    run(codec, folder, [0.5])
    one = ["wait"] * (count // 4)
    once = [*one, "encode", *one, *one, "decode", *one]
    assert [call[0] for call in codec.calls] == 3 * once


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux can forget a peak")
def test_peak_memory_is_that_of_the_row(folder, monkeypatch):
    encode = FakeCodec.encode

    def greedy(self, pixels, *rest, **words):
        if pixels.ndim == 3:
            np.ones(400_000_000, np.uint8)  # far more than other tests leave behind
        return encode(self, pixels, *rest, **words)

    monkeypatch.setattr(FakeCodec, "encode", greedy)
    a, b = run(FakeCodec(), folder, [0.5])
    assert a.peak_memory_bytes > b.peak_memory_bytes + 90e6
    assert b.peak_memory_bytes > 10e6
    rows = run(FakeCodec(), folder, [0.5], jobs=2)  # whose peak it is cannot be told
    assert all(math.isnan(row.peak_memory_bytes) for row in (*rows, *means(rows)))


# failures


def test_the_effort_that_was_asked_is_used_and_told(folder):
    codec = FakeCodec()
    coder = coders.Aic(codec, [0.5], 4)
    list(measure.run([coder], folder))
    assert set(codec.efforts) == {4}
    assert coder.about["effort"] == 4


def test_aic_may_be_asked_for_qualities_as_its_peers_are(tiny_codec, textured):
    picture = textured(64, 96)
    coder = coders.Aic(tiny_codec, [30.0, 60.0], by_rate=False)
    assert coder.name == "aic-eye-quality"
    assert coder.about["setting"] == "quality"
    small, large = (coder.encode(picture, quality).data for quality in coder.settings)
    assert small == tiny_codec.encode(picture, quality=30)
    assert len(small) < len(large)
    setting, data = coders.nearest(coder, picture, len(large) - 1)
    assert setting in coder.candidates
    assert len(small) < len(data) <= 1.02 * (len(large) - 1)


def test_bad_picture_does_not_stop_the_run(folder, clock):
    (folder / "0.png").write_bytes(b"no picture")
    Image.new("RGBA", (4, 4)).save(folder / "aa.png")
    codec = FakeCodec(clock, [1000, 1, 2, 3, 4], [1000, 5, 6, 7, 8])
    rows = run(codec, folder, [0.5, 1.0])
    assert [(r.picture, r.setting, bool(r.error)) for r in rows] == [
        ("0.png", 0.5, True), ("0.png", 1.0, True), ("a.png", 0.5, False), ("a.png", 1.0, False),
        ("aa.png", 0.5, True), ("aa.png", 1.0, True), ("b.bmp", 0.5, False),
        ("b.bmp", 1.0, False),
    ]  # fmt: skip
    assert rows[0].error == f"{folder / '0.png'}: not a picture of a known kind"
    assert "transparency" in rows[4].error
    assert math.isnan(rows[0].psnr)
    assert math.isnan(rows[0].bpp)
    good = [r for r in rows if not r.error]
    assert [r.encode_s for r in good] == [1, 2, 3, 4]  # warmed up on the first that can be read
    first, _ = means(rows)
    assert (first.pictures, first.failed) == (2, 2)
    assert first.psnr == pytest.approx((ERROR_3 + ERROR_4) / 2)
    assert first.encode_s == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_has_no_end_or_is_no_picture_is_not_read(folder, monkeypatch):
    os.mkfifo(folder / "fifo.png")
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "none")
    (folder / "zero.png").symlink_to("/dev/zero")
    with open(folder / "zeros.png", "wb") as file:
        file.truncate(3 * 2**30)
    read, paths = files.read_bytes, []
    monkeypatch.setattr(files, "read_bytes", lambda path: paths.append(path.name) or read(path))
    errors = {r.picture: r.error for r in run(FakeCodec(), folder, [0.5], max_pixels=1000)}
    assert errors == {
        "a.png": "",
        "b.bmp": "",
        "fifo.png": f"{folder / 'fifo.png'}: is not a regular file",
        "folder.png": f"{folder / 'folder.png'}: is not a regular file",
        "gone.png": f"{folder / 'gone.png'}: no such file or directory",
        "zero.png": f"{folder / 'zero.png'}: is not a regular file",
        "zeros.png": f"{folder / 'zeros.png'}: not a picture of a known kind",
    }
    assert paths == ["a.png", "b.bmp"]


def test_refused_rate_does_not_stop_the_run(folder):
    rows = run(FakeCodec(), folder, [0.01, 0.5])
    assert [r.error for r in rows] == ["0.01 bits per pixel are too few", ""] * 2
    assert (rows[0].width, rows[0].height) == (40, 20)
    none, some = means(rows)
    assert (none.pictures, none.failed) == (0, 2)
    assert math.isnan(none.peak_memory_bytes)
    assert math.isnan(none.bpp)
    assert math.isnan(none.ms_ssim_db)
    assert some.bpp == 0.5


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("tempfile.mkdtemp", OSError(28, "No space left on device"), "no space left on device"),
        ("imgcodec.bench.coders.Aic.encode", MemoryError(), "not enough memory"),
    ],
)
def test_what_a_row_lacks_does_not_stop_the_run(folder, monkeypatch, name, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(name, fail)
    assert [r.error.endswith(told) for r in run(FakeCodec(), folder, [0.5])] == [True, True]


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    monkeypatch.setattr(FakeCodec, "decode_rows", lambda self, data, take: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(FakeCodec(), folder, [0.5])


# folder and progress


def test_pictures_are_found_by_suffix_and_sorted(tmp_path):
    names = [
        "j.png", "i.jpg", "h.jpeg", "g.webp", "f.tif", "e.tiff", "d.bmp", "c.ppm", "b.PNG",
        "k.pgm", "l.gif", "m.jp2", "n.avif", "o.heic", "p.heif", "q.jxl",
        "a.txt", "png", "x.aic", "x.png.part",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in measure.find_pictures(str(tmp_path))]
    assert found == sorted(names[:16])  # those that a folder of `aic encode` has


def test_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(AicError, match=r"no picture \(\.png .*\.jxl\) in this folder$"):
        run(FakeCodec(), tmp_path, [0.5])
    with pytest.raises(AicError, match="none: no such file or directory"):
        run(FakeCodec(), tmp_path / "none", [0.5])
    with pytest.raises(AicError, match="not a directory"):
        run(FakeCodec(), tmp_path / "a.txt", [0.5])


def test_progress_wraps_the_pictures(folder):
    seen = []

    def progress(tasks):
        seen.append([path.name for _, path in tasks])
        for coder, path in tasks:
            seen.append(path.name)
            yield coder, path

    run(FakeCodec(), folder, [0.5, 1.0], progress=progress)
    assert seen == [["a.png", "b.bmp"], "a.png", "b.bmp"]


# means, files, table

GOOD = Row(
    "a.png", "aic", 0.5, 200, 100, 1200, 0.48, 30.0, 0.9, 10.0, math.nan, math.nan, 1.0, 2.0, 3.0,
    4.0, 50_000_000, False,
)  # fmt: skip
OTHER = Row(
    "bb.png", "aic", 0.5, 20, 10, 10, 0.4, 34.0, math.nan, math.nan, math.nan, math.nan, 2.0, 4.0,
    5.0, 6.0, 70_000_000, True,
)  # fmt: skip
THIRD = Row(
    "c.png", "aic", 0.5, 300, 200, 3675, 0.49, 35.0, 0.98, 17.0, math.nan, math.nan, 3.0, 6.0,
    10.0, 11.0, 60_000_000, False,
)  # fmt: skip
LOSSLESS = Row(
    "a.png", "aic", 24.0, 200, 100, 9000, 3.6, math.inf, 1.0, math.inf, 100.0, 10.0, 1, 1, 1, 1, 1
)
RUN = {"date": "2026-11-05T09:30:00+01:00", "command": "aic bench <a>", "outcome": "It & that."}
BAD = Row("d.png", "aic", 0.5, error="d.png: is a directory")


def test_means_by_hand():
    half, full = means([GOOD, LOSSLESS, OTHER, BAD, THIRD])
    assert (half.setting, full.setting) == (0.5, 24.0)
    assert (half.pictures, half.failed, half.limited) == (3, 1, 1)
    assert half.bpp == pytest.approx(1.37 / 3)
    assert half.psnr == pytest.approx(33)
    assert half.ms_ssim == pytest.approx(0.94)  # of the two that are large enough
    assert half.ms_ssim_db == pytest.approx(-10 * math.log10(0.06))  # not 13.5
    times = (half.encode_model_s, half.encode_s, half.decode_model_s, half.decode_s)
    assert times == (2, 4, 6, 7)
    assert half.peak_memory_bytes == 70_000_000
    assert (full.pictures, full.psnr, full.ms_ssim_db) == (1, math.inf, math.inf)


def test_csv_holds_every_field(tmp_path):
    report.to_csv([GOOD, OTHER, BAD], tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(Row)]
    assert lines[0]["picture"] == "a.png"
    assert float(lines[0]["bpp"]) == 0.48
    assert lines[0]["bytes"] == "1200"
    assert lines[1]["ms_ssim"] == lines[1]["ms_ssim_db"] == lines[2]["psnr"] == ""
    assert lines[2]["bytes"] == lines[2]["width"] == lines[2]["peak_memory_bytes"] == ""
    assert [line["limited"] for line in lines] == ["False", "True", "False"]
    assert [line["error"] for line in lines] == ["", "", "d.png: is a directory"]


def test_json_holds_rows_means_and_environment(tmp_path):
    rows = [GOOD, LOSSLESS, BAD]
    coder = coders.Aic(FakeCodec(), [0.5])
    circumstances = report.environment(3, None, 2, 1)
    report.to_json(
        report.as_result(rows, [coder], [], [], circumstances, RUN), tmp_path / "a.json"
    )

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    result = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert [row["picture"] for row in result["rows"]] == ["a.png", "a.png", "d.png"]
    assert result["rows"][0]["ms_ssim"] == 0.9
    assert result["rows"][1]["psnr"] is None
    unknown = ("bpp", "bytes", "width", "height", "peak_memory_bytes")
    assert [result["rows"][2][name] for name in unknown] == [None] * 5
    assert result["rows"][2]["error"] == "d.png: is a directory"
    assert [(mean["setting"], mean["failed"]) for mean in result["means"]] == [
        (0.5, 1),
        (24, 0),
    ]
    assert result["schema"] == 1
    assert {name: result[name] for name in RUN} == RUN
    assert result["codecs"]["aic-eye"]["weights"] == "00" * 8
    assert result["codecs"]["aic-eye"]["device"] == "cpu"
    found = result["environment"]
    assert found["gpu"] is None
    assert (found["threads"], found["repeat"], found["jobs"]) == (3, 2, 1)
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"imgcodec", "torch", "pillow", "constriction"} < set(found["versions"])
    assert {"machine", "processor", "cores", "system"} < set(found)


def test_results_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(AicError, match="there is no folder"):
        report.to_csv([GOOD], tmp_path / "none" / "a.csv")


def test_table_shows_rows_means_and_then_failures():
    rows = [GOOD, OTHER, BAD, THIRD, replace(BAD, setting=24.0)]
    lines = table(rows, means(rows)).splitlines()
    assert (
        lines[0].split()
        == (
            "picture codec size bytes setting bpp PSNR MS-SSIM dB "
            "enc model s enc s dec model s dec s peak MB"
        ).split()
    )
    assert (
        lines[1].split()
        == (
            "a.png aic 200x100 1200 0.5 0.4800 30.000 0.90000 10.000 1.000 2.000 3.000 4.000 50"
        ).split()
    )
    assert (
        lines[2].split()
        == ("bb.png* aic 20x10 10 0.5 0.4000 34.000 - - 2.000 4.000 5.000 6.000 70").split()
    )
    assert (
        lines[4].split()
        == ("mean of 3 aic 0.5 0.4567 33.000 0.94000 12.218 2.000 4.000 6.000 7.000 70").split()
    )
    assert lines[5].split() == "mean of 0 aic 24 - - - - - - - - -".split()
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[6:] == [
        "* needs fewer bits than asked",
        "means of MS-SSIM: without 1 of the pictures, too small for it",
        "failed: d.png with aic at 0.5 24: d.png: is a directory",
    ]


def test_table_of_failures_alone():
    text = table([BAD], means([BAD]))
    assert text.splitlines()[-1] == "failed: d.png with aic at 0.5: d.png: is a directory"


def test_name_of_the_processor_is_told_on_linux_too(monkeypatch):
    assert report._processor() == report._processor().strip()
    monkeypatch.setattr(report.Path, "read_text", lambda self: "flags: x\nmodel name\t: Best 9\n")
    assert report._processor() == "Best 9"
    monkeypatch.setattr(report.Path, "read_text", lambda self: "CPU part\t: 0xd0c\n")
    monkeypatch.setattr(report.platform, "processor", str)
    assert report._processor() == report.platform.machine() != ""


# the cache


def test_second_run_measures_nothing(folder, tmp_path):
    (folder / "0.png").write_bytes(b"no picture")
    cache = row_cache.Cache(tmp_path / "cache", {"machine": "this"})
    first = run(FakeCodec(), folder, [0.5, 9.0], cache=cache)
    codec = FakeCodec()
    assert str(run(codec, folder, [0.5, 9.0], cache=cache)) == str(first)  # nan is not nan
    assert codec.calls == []
    (folder / "a.png").rename(folder / "z.png")  # the same picture by another name
    assert [row.picture for row in run(codec, folder, [0.5], cache=cache)][1:] == [
        "b.bmp",
        "z.png",
    ]
    assert codec.calls == []


@pytest.mark.parametrize("change", ["picture", "rate", "effort", "weights", "machine"])
def test_rows_of_other_circumstances_are_measured(folder, tmp_path, change):
    run(FakeCodec(), folder, [0.5], cache=row_cache.Cache(tmp_path, {"machine": "this"}))
    codec = FakeCodec()
    if change == "picture":
        Image.new("RGB", (40, 20), (19, 35, 52)).save(folder / "a.png")
        (folder / "b.bmp").unlink()
    if change == "weights":
        codec.model_id = b"01234567"
    rate, effort = 0.6 if change == "rate" else 0.5, 2 if change == "effort" else 1
    machine = "other" if change == "machine" else "this"
    run(codec, folder, [rate], effort, cache=row_cache.Cache(tmp_path, {"machine": machine}))
    assert len(codec.calls) == (4 if change == "picture" else 6)  # the first to warm up


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"picture": 1}', b"null", b"\xff", b"[" * 200_000, b"7" * 5000],
)
def test_broken_rows_of_the_cache_are_measured_again(folder, tmp_path, content):
    cache = row_cache.Cache(tmp_path / "cache", {})
    rows = run(FakeCodec(), folder, [0.5], cache=cache)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(content)
    codec = FakeCodec()
    again = run(codec, folder, [0.5], cache=cache)
    assert [row.bytes for row in again] == [row.bytes for row in rows]
    assert codec.calls


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "jpeg"}, {"setting": 0.6}, {"bytes": 10**400}, {"bpp": math.inf},
        {"psnr": "1"}, {"limited": 1}, {"picture": 7}, {"error": "none"}, {"more": 1},
    ],
)  # fmt: skip
def test_rows_of_the_cache_that_cannot_be_those_asked_are_measured_again(folder, tmp_path, change):
    cache = row_cache.Cache(tmp_path / "cache", {})
    rows = run(FakeCodec(), folder, [0.5], cache=cache)
    for path in (tmp_path / "cache").iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    codec = FakeCodec()
    again = run(codec, folder, [0.5], cache=cache)
    assert [(row.bytes, row.codec) for row in again] == [(row.bytes, row.codec) for row in rows]
    assert [call[0] for call in codec.calls] == ["encode", "decode"] * 3


def test_a_picture_too_large_is_refused_though_its_rows_are_kept(folder, tmp_path):
    cache = row_cache.Cache(tmp_path / "cache", {})
    run(FakeCodec(), folder, [0.5], cache=cache)
    for row in run(FakeCodec(), folder, [0.5], cache=cache, max_pixels=9):
        assert "pixels, at most 9 are allowed: --max-pixels" in row.error


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_cache_where_nothing_can_be_kept_ends_no_run(folder, tmp_path):
    """What stands in its place is neither waited for nor replaced; no exception either."""
    cache = row_cache.Cache(tmp_path / "cache", {})
    run(FakeCodec(), folder, [0.5], cache=cache)
    assert cache.refusal == ""
    first, second = sorted((tmp_path / "cache").iterdir())
    for path, make in ((first, os.mkfifo), (second, os.mkdir)):
        path.unlink()
        make(path)
    codec = FakeCodec()
    assert [row.error for row in run(codec, folder, [0.5], cache=cache)] == ["", ""]
    assert len(codec.calls) == 6
    assert cache.refusal in {f"{path}: is not a regular file" for path in (first, second)}


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AicError, match="file.*: --cache DIR or --no-cache"):
        row_cache.Cache(tmp_path / name, {})


def test_an_interrupted_run_goes_on_where_it_stopped(folder, tmp_path):
    cache = row_cache.Cache(tmp_path / "cache", {})
    rows = measure.run([coders.Aic(FakeCodec(), [0.5])], folder, cache=cache)
    first = next(rows)
    rows.close()
    codec = FakeCodec()
    again = run(codec, folder, [0.5], cache=cache)
    assert str(again[0]) == str(first)
    assert {call[1] for call in codec.calls if call[0] == "encode"} == {20}  # of the second only


def test_an_interruption_waits_for_one_measurement_alone(folder, monkeypatch):
    """Of the pictures at work, too, rows that are there by then are not lost."""
    (folder / "b.bmp").unlink()
    stopped, working = threading.Event(), threading.Event()
    monkeypatch.setattr(measure, "Event", lambda: stopped)
    encode, codec = FakeCodec.encode, FakeCodec()

    def slow(self, pixels, rate, *rest, **words):
        if rate == 1.0:
            working.set()
            assert stopped.wait(60)
        return encode(self, pixels, rate, *rest, **words)

    def interrupted(futures):
        assert working.wait(60)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(FakeCodec, "encode", slow)
    found = measure.run([coders.Aic(codec, [0.5, 1.0, 2.0])], folder, 3, interrupted, jobs=2)
    assert next(found).setting == 0.5
    with pytest.raises(KeyboardInterrupt):
        next(found)
    assert [call[2] for call in codec.calls if call[0] == "encode"] == [0.5] * 4 + [1.0]


# peers


def textured(height, width, channels=3):
    y, x = np.mgrid[:height, :width]
    planes = [128 + 60 * np.sin(x / (7 + c)) + 50 * np.cos(y / (5 + c)) for c in range(channels)]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, channels))
    pixels = (np.stack(planes, -1) + noise).clip(0, 255).astype(np.uint8)
    return pixels if channels == 3 else pixels[..., 0]


def peer(name):
    try:
        return coders.Peer(name)
    except AicError as error:
        pytest.skip(str(error))


def test_the_command_names_all_peers():
    assert tuple(coders._FORMATS) == PEERS


def test_restored_files_are_those_of_jpeg_and_decode_better(textured):
    pixels = textured(64, 96)
    usual, restored = coders.Peer("jpeg"), coders.RestoredJpeg()
    assert restored.name == RESTORED
    assert restored.settings == usual.settings
    data = restored.encode(pixels, 60).data
    assert data == usual.encode(pixels, 60).data
    found, _ = restored.decode(data)
    assert found.shape == pixels.shape
    assert not np.array_equal(found, usual.decode(data)[0])
    assert restored.decode(restored.encode(pixels[..., 0], 60).data)[0].shape == pixels.shape


def test_prepared_files_are_those_of_the_command(textured):
    pixels = textured(64, 96)
    prepared = coders.PreparedJpeg()
    assert prepared.name == COMCNN
    data = prepared.encode(pixels, 60).data
    found, _ = prepared.decode(data)
    assert metrics.psnr(pixels, found) > metrics.psnr(pixels, coders.Peer("jpeg").decode(data)[0])
    assert len(data) < len(coders.Peer("jpeg").encode(pixels, 60).data)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_peers_get_better_and_larger_with_their_setting(name, channels):
    coder = peer(name)
    pixels = textured(96, 64, channels)
    original = pixels if channels == 3 else np.repeat(pixels[..., None], 3, 2)
    sizes, qualities = [], []
    for setting in (coder.settings[1], coder.settings[-2]):
        data = coder.encode(pixels, setting).data
        decoded, _ = coder.decode(data)
        assert decoded.shape == original.shape
        sizes.append(len(data))
        qualities.append(metrics.psnr(original, decoded))
    assert sizes[0] < sizes[1]
    assert 12 < qualities[0] < qualities[1]
    assert re.search(r"\d\.\d", coder.about["version"])
    assert json.dumps(coder.about)


@pytest.mark.parametrize("name", PEERS)
def test_nearest_file_is_as_close_as_settings_allow(name):
    coder, pixels = peer(name), textured(72, 64)
    setting, data = coders.nearest(coder, pixels, 1200)
    assert 900 < len(data) <= 1.02 * 1200
    if not coder.by_rate:
        place = coder.candidates.index(setting)
        for other in coder.candidates[max(place - 2, 0) : place + 3]:
            size = len(coder.encode(pixels, other).data)
            assert size > 1.02 * 1200 or abs(math.log(size / 1200)) >= abs(
                math.log(len(data) / 1200)
            )


def sized(*sizes):
    """A codec whose settings 1, 2, ... give files of known sizes."""
    return SimpleNamespace(
        by_rate=False,
        candidates=range(1, len(sizes) + 1),
        encode=lambda pixels, setting: coders.Coded(bytes(sizes[setting - 1])),
    )


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ((500, 900, 1100, 1500), 900),
        ((500, 900, 1020, 1500), 1020),  # larger by 2 %, and closer
        ((500, 900, 1021, 1500), 900),
        ((500, 990, 1020, 1500), 990),
        ((1300, 1400, 1500), 1300),  # none so small
        ((100, 200), 200),
    ],
)
def test_nearest_file_may_be_larger_by_two_percent(sizes, chosen):
    setting, data = coders.nearest(sized(*sizes), np.zeros((8, 8, 3), np.uint8), 1000)
    assert (len(data), setting) == (chosen, sizes.index(chosen) + 1)


@pytest.mark.parametrize("name", ["webp", "jpegxl"])
def test_qualities_between_whole_numbers_are_tried_where_they_count(name):
    coder, pixels = peer(name), textured(128, 128)
    qualities = [quality for quality in coder.candidates if 40 <= quality <= 60]
    sizes = {quality: len(coder.encode(pixels, quality).data) for quality in qualities}
    whole = {size for quality, size in sizes.items() if quality == round(quality)}
    assert len(set(sizes.values())) > 1.4 * len(whole)


def test_avif_is_tuned_as_it_is_called():
    """What Pillow does with an option that it does not know would be silent."""
    pixels, sizes = textured(128, 128), {}
    for name in [name for name in PEERS if name.startswith("avif")]:
        coder = peer(name)
        sizes[name] = len(coder.encode(pixels, 50).data)
        tune = "iq" if "iq" in name else "psnr"
        assert coder.about["advanced"] == {"tune": tune}
        assert coder.about["subsampling"] == ("4:2:0" if "420" in name else "4:4:4")
        assert coder.about["speed"] == (4 if name in ("avif-iq", "avif-iq-420") else 6)
    assert len(set(sizes.values())) == len(sizes) == 5


def test_missing_plugin_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(AicError, match=r"^jpegxl needs pip install 'imgcodec\[peers\]'$"):
        coders.Peer("jpegxl")


class Architecture:
    """A model of CompressAI: keeps the pixels, one string for each half of the channels."""

    def __init__(self, quality, metric, pretrained):
        assert metric == "mse"
        self.quality, self.pretrained = quality, pretrained

    def eval(self):
        return self

    def update(self, force):
        assert force

    def compress(self, x):
        assert x.shape[2] % 64 == x.shape[3] % 64 == 0
        kept = (x[0] * 255 / self.quality).round().byte().numpy()
        strings = [[kept[:1].tobytes()], [kept[1:].tobytes()]]
        return {"strings": strings, "shape": (x.shape[2] // 64, x.shape[3] // 64)}

    def decompress(self, strings, shape):
        import torch

        data = bytearray(b"".join(string for (string,) in strings))
        planes = torch.frombuffer(data, dtype=torch.uint8).view(3, 64 * shape[0], 64 * shape[1])
        return {"x_hat": planes[None].float() * self.quality / 255}


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """A CompressAI with one model, and the folder where torch keeps weights."""
    import torch

    urls = {"small": {"mse": {1: "https://host/one.pth", 2: "https://host/two.pth"}}}
    modules = {
        "compressai": {"__version__": "1.2"},
        "compressai.zoo": {"image_models": {"small": Architecture}},
        "compressai.zoo.image": {"model_urls": urls},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_architectures_without_weights_have_times_only(folder, zoo):
    from imgcodec.bench.compressai import CompressAI

    coder = CompressAI("small")
    assert coder.about["weights"] == "random: times only"
    rows = list(measure.run([coder], folder))
    assert [row.setting for row in rows] == [1, 2] * 2
    assert all(row.encode_s > 0 and row.decode_s > 0 and not row.error for row in rows)
    assert all(math.isnan(v) for row in rows for v in (row.bytes, row.bpp, row.psnr))
    assert table(rows, means(rows)).splitlines()[1].split()[:4] == (
        ["a.png", "compressai:small", "40x20", "-"]
    )
    with pytest.raises(AicError, match="wanted one of small"):
        CompressAI("large")


def test_architectures_with_weights_are_measured(folder, zoo):
    from imgcodec.bench.compressai import CompressAI

    (zoo / "two.pth").touch()
    coder = CompressAI("small")
    a, b = measure.run([coder], folder)
    assert (a.codec, a.setting) == ("compressai:small", 2)
    assert a.bytes > 3 * 64 * 64
    assert a.psnr == pytest.approx(10 * math.log10(255**2))  # odd numbers become even
    assert b.psnr == math.inf
    with pytest.raises(FormatError):
        coder.decode(coder.encode(np.zeros((9, 9, 3), np.uint8), 2).data + b"?")
    assert coders.nearest(coder, np.zeros((9, 9), np.uint8), 1)[0] == 2


def test_missing_compressai_is_refused(monkeypatch):
    from imgcodec.bench.compressai import CompressAI

    monkeypatch.setitem(sys.modules, "compressai", None)
    with pytest.raises(AicError, match="needs pip install compressai"):
        CompressAI("small")


# comparisons


def curve(codec, points):
    return [
        Row(name, codec, setting, 8, 8, 1, bpp * factor, quality)
        for name, factor in (("a.png", 1.0), ("b.png", 2.0))
        for setting, (bpp, quality) in enumerate(points)
    ]


def test_a_codec_without_loss_has_no_psnr_to_compare():
    rows = [
        Row("a.png", codec, n, 8, 8, 1, bpp, psnr=psnr, ssimulacra2=score)
        for codec, psnr in (("one", 30.0), ("two", 31.0), ("exact", math.inf))
        for n, (bpp, score) in enumerate(((0.1, 50.0), (0.2, 70.0)))
    ]
    table = compare.table(compare.compare(rows), "one").splitlines()
    assert table[2].split() == "exact - - - +0.0 % +0.0 % 50.0..70.0".split()


def test_bd_rates_of_all_pairs():
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0), (0.8, 37.0)]
    rows = curve("one", points) + curve("half", [(bpp / 2, quality) for bpp, quality in points])
    rows += curve("high", [(1.0, 60.0), (2.0, 70.0)])
    found = {(c.anchor, c.codec): c for c in compare.compare(rows)}
    assert set(found) == set(itertools.permutations(("one", "half", "high"), 2))
    c = found["one", "half"]
    assert c.metric == "psnr"
    assert c.of_set == pytest.approx(-50)
    assert c.of_pictures == pytest.approx(-50)
    assert (c.low, c.high, c.pictures) == (28, 37, 2)
    assert found["half", "one"].of_set == pytest.approx(100)
    c = found["one", "high"]
    assert (c.of_set, c.of_pictures, c.low, c.pictures) == (None, None, None, 0)
    text = compare.table(list(found.values()), "one")
    assert text.splitlines()[1].split() == "half -50.0 % -50.0 % 28.0..37.0".split()
    assert text.splitlines()[2].split() == ["high", "-", "-", "-"]


@pytest.mark.parametrize(
    ("metric", "qualities", "shown"),
    [
        ("ssimulacra2", (10, 30, 57.5, 85, 100), "30.0..85.0"),
        ("cvvdp", (8, 9, 9.46, 9.92, 10), "9.00..9.92"),
    ],
)
def test_what_the_eye_sees_is_compared_where_that_tells(metric, qualities, shown):
    """One takes half the bits within the bounds, and a hundred times as many beyond."""

    def rows(codec, factors, scale=1.0):
        points = zip((0.1, 0.2, 0.4, 0.8, 1.6), factors, qualities, strict=True)
        return [
            Row("a.png", codec, n, 8, 8, 1, rate * factor, **{metric: quality * scale})
            for n, (rate, factor, quality) in enumerate(points)
        ]

    low, high = map(float, shown.split(".."))
    both = rows("one", [1] * 5) + rows("half", [0.5] * 5)
    (c, _) = compare.compare(both)
    assert (c.metric, c.low, c.high) == (metric, low, high)
    assert c.of_set == c.of_pictures == pytest.approx(-50)
    assert compare.table([c], "one").splitlines()[1].split()[-1] == shown
    said = compare.outcome([c], ["half", "one"], 1)
    assert f"at equal {compare.COMPARED[metric].name} ({shown.replace('..', ' to ')}" in said
    both = rows("one", [1] * 5) + rows("half", [50, 0.5, 0.5, 0.5, 50])
    (c, _) = compare.compare(both)
    assert -60 < c.of_set < -40  # slopes at the bounds are not quite the same
    below = rows("one", [1] * 5, 0.2) + rows("half", [0.5] * 5, 0.2)
    (c, _) = compare.compare(below)
    assert (c.of_set, c.low, c.pictures) == (None, None, 0)


def test_curves_of_the_set_are_of_the_same_pictures():
    """One refuses its lowest rate for the harder picture: the mean there is of the other alone."""
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0), (0.8, 37.0)]
    rows = curve("one", points) + curve("two", points)
    rows = [
        replace(row, bpp=math.nan, psnr=math.nan, error="too few")
        if (row.picture, row.codec, row.setting) == ("b.png", "two", 0)
        else row
        for row in rows
    ]
    c = next(c for c in compare.compare(rows) if c.anchor == "one")
    assert c.of_set == pytest.approx(0)
    assert (c.low, c.pictures) == (31, 2)
    half = [row for row in rows if row.codec == "one" or row.picture == "a.png"]  # interrupted
    c = next(c for c in compare.compare(half) if c.anchor == "one")
    assert (c.of_set, c.low, c.pictures) == (None, None, 1)
    assert c.of_pictures == pytest.approx(0)


def test_curves_of_the_set_are_of_the_same_pictures_where_their_number_is_the_same():
    """Each codec refuses another picture, so that no setting has all three."""
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0), (0.8, 37.0)]
    rows = curve("aic", points) + curve("webp", points)
    rows = [
        replace(row, picture="c.png") if (row.picture, row.codec) == ("b.png", "webp") else row
        for row in rows
    ]
    found = compare.compare(rows)
    assert [(c.of_set, c.low, c.pictures, c.set_pictures) for c in found] == 2 * [
        (None, None, 1, 3)
    ]
    assert found[0].of_pictures == pytest.approx(0)
    said = compare.outcome(found, ["aic", "webp"], 3)
    assert said == (
        "At settings that all 3 pictures could be measured at, aic and webp have no range of"
        " quality in common."
    )


def test_a_picture_too_small_for_a_metric_does_not_count_in_it():
    large = [(0.1, 10.0, 0.9), (0.2, 13.0, 0.95), (0.4, 16.0, 0.975)]
    rows = [
        Row("a.png", codec, n, 200, 200, 1, factor * bpp, psnr + 20, share, psnr)
        for codec, factor in (("aic", 0.5), ("jpeg", 1.0))
        for n, (bpp, psnr, share) in enumerate(large)
    ]
    rows += [
        Row("small.png", codec, n, 20, 20, 1, 10 * bpp, psnr + 20)
        for codec in ("aic", "jpeg")
        for n, (bpp, psnr, _) in enumerate(large)
    ]
    mean = means(rows)[0]
    assert (mean.pictures, mean.bpp, mean.ms_ssim_bpp) == (2, pytest.approx(0.525), 0.05)
    assert plot._points([mean], "ms_ssim_db") == ([0.05], [pytest.approx(10)])
    assert plot._points([mean], "psnr") == ([pytest.approx(0.525)], [30])
    found = compare.compare(rows)
    by_metric = {c.metric: c for c in found if c.codec == "aic"}
    assert by_metric["ms_ssim_db"].of_set == pytest.approx(-50)
    assert [by_metric[m].set_pictures for m in ("psnr", "ms_ssim_db")] == [2, 1]
    said = compare.outcome(found, ["aic", "jpeg"], 2)
    assert said.startswith("On these 2 pictures aic needs ")
    assert said.endswith("at equal MS-SSIM (10.0 to 16.0 dB), on 1 of them.")
    lines = table(rows, means(rows)).splitlines()
    assert lines[-1] == "means of MS-SSIM: without 1 of the pictures, too small for it"


def outcome(**factors):
    """What is said of codecs that take so many times the bits of a curve."""
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0), (0.8, 37.0)]
    names = [name.replace("_", "-") for name in factors]
    rows = []
    for name, factor in zip(names, factors.values(), strict=True):
        rows += curve(name, [(factor * bpp, quality) for bpp, quality in points])
    return compare.outcome(compare.compare(rows), names, 2)


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"jpeg": 1, "aic": 0.5}, "50.0 % fewer bits than jpeg at equal PSNR (28.0 to 37.0 dB)."),
        ({"aic": 3, "jpeg": 2}, "50.0 % more bits than jpeg at equal PSNR (28.0 to 37.0 dB)."),
        ({"aic": 1, "jpeg": 1}, "as many bits as jpeg at equal PSNR (28.0 to 37.0 dB)."),
        (
            {"aic": 0.9, "jpeg": 2, "avif": 1, "aic_quality": 0.5},
            "10.0 % fewer bits than avif, the best of 2 others, at equal PSNR (28.0 to 37.0 dB).",
        ),
    ],
)
def test_the_outcome_is_told_against_the_best_of_the_others(factors, said):
    assert outcome(**factors) == f"On these 2 pictures aic needs {said}"


def test_the_outcome_is_of_the_first_aic_with_a_curve():
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0), (0.8, 37.0)]
    rows = curve("aic", points[1:2]) + curve("aic-quality", points)
    rows += curve("jpeg", [(2 * bpp, quality) for bpp, quality in points])
    said = compare.outcome(compare.compare(rows), ["aic", "aic-quality", "jpeg"], 2)
    assert said.startswith("On these 2 pictures aic-quality needs 50.0 % fewer bits than jpeg")


def test_an_outcome_that_is_none_is_told_as_well():
    assert outcome(aic=1).startswith("Nothing but aic was measured")
    assert outcome(aic=1, aic_quality=1).startswith("Nothing but aic and aic-quality was")
    rows = curve("aic", [(0.1, 28.0), (0.2, 31.0)]) + curve("jpeg", [(0.1, 40.0), (0.2, 41.0)])
    found = compare.compare(rows)
    assert "have no range of quality in common" in compare.outcome(found, ["aic", "jpeg"], 1)


def test_set_and_pictures_differ_where_pictures_do():
    points = [(0.1, 28.0), (0.2, 31.0), (0.4, 34.0)]
    rows = curve("one", points)
    # the second picture takes twice the first's; here it takes four times
    other = curve("two", points)
    rows += [replace(r, bpp=2 * r.bpp) if r.picture == "b.png" else r for r in other]
    (c,) = [c for c in compare.compare(rows) if c.anchor == "one"]
    assert c.of_pictures == pytest.approx(50)  # the mean of 0 and 100
    assert c.of_set == pytest.approx(100 * (5 / 3 - 1))


def test_infinite_quality_is_no_point_of_a_curve():
    rows = curve("one", [(0.1, 28.0), (0.2, 31.0), (4.0, math.inf)])
    rows += curve("two", [(0.1, 28.0), (0.2, 31.0), (0.3, math.nan)])
    (c, _) = compare.compare(rows)
    assert (c.of_set, c.high) == (pytest.approx(0), 31)


# plot, page, commands


def test_plot_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    rows = curve("aic", [(0.1, 28.0), (0.2, 31.0)]) + curve("jpeg", [(0.2, 28.0), (0.4, 30.0)])
    plot.draw(means(rows), tmp_path / "a.png")
    plot.draw(means(rows), tmp_path / "a.svg")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 300
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(AicError, match="wanted one of .png .svg"):
        plot.check(tmp_path / "a.pdf")


def test_names_of_codecs_are_drawn_as_they_are(tmp_path):
    """Weights lend them theirs, and matplotlib takes dollars for formulas."""
    pytest.importorskip("matplotlib")
    for name in ("aic-a$_$", "aic-\udcff"):
        plot.draw(means(curve(name, [(0.1, 28.0), (0.2, 31.0)])), tmp_path / "a.svg")


def test_page_is_not_written_over_what_is_there(tmp_path):
    page.check(tmp_path / "new", force=False)
    (tmp_path / "precious").write_text("")
    with pytest.raises(AicError, match="is not empty"):
        page.check(tmp_path, force=False)
    with pytest.raises(AicError):
        page.check(tmp_path / "precious", force=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory, tiny_codec, textured):
    """A report on two pictures, jpeg, webp and aic."""
    root = tmp_path_factory.mktemp("report")
    folder = root / "pictures"
    folder.mkdir()
    for name, shape in (("a.png", (170, 200)), ("</script>.png", (176, 176))):
        name = name.replace("/", "")
        Image.fromarray(textured(*shape)).save(folder / name)
    used = [peer("jpeg"), peer("webp"), coders.Aic(tiny_codec, [0.8, 2.0])]
    for coder in used[:2]:
        coder.settings = coder.settings[::3]
    further = ("ssimulacra2", "cvvdp")
    rows = list(measure.run(used, folder, further=further))
    found = compare.compare(rows)
    result = report.as_result(rows, used, found, [], report.environment(1, None, 1, 1), RUN)
    target = root / "site"
    page.check(target, force=False)
    paths = measure.find_pictures(folder)
    page.write(target, result, used, paths, [0.8, 2.0], further=further)
    return target


def test_page_holds_the_result_and_its_pictures(site):
    text = (site / "index.html").read_text()
    data = re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1]
    result = json.loads(data)
    assert "</script" not in data
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert [view["picture"] for view in result["views"]] == ["<script>.png", "a.png"]
    for view in result["views"]:
        files = [view["original"], *(shot["file"] for shot in view["shots"])]
        assert all((site / unquote(file)).is_file() for file in files)
        assert len(view["shots"]) == 6
        for rate in (0.8, 2.0):
            first, second, ours = (shot for shot in view["shots"] if shot["rate"] == rate)
            room = rate * view["width"] * view["height"] / 8
            assert 0.8 * room < first["bytes"] <= 1.02 * room
            assert 0.9 * first["bytes"] < second["bytes"] <= 1.02 * first["bytes"]
            with Image.open(site / unquote(first["file"])) as picture:
                assert picture.size == (view["width"], view["height"])
            assert first["bits"] is first["levels"] is None
            assert first["cvvdp"] <= 10
            for kind in ("bits", "levels"):
                with Image.open(site / unquote(ours[kind])) as heat:
                    assert heat.size == (-(-view["width"] // 8), -(-view["height"] // 8))


def test_page_works_in_a_browser(site, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium here")
    words = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=3000",
    ]  # fmt: skip
    probe = """<script>
    window.addEventListener("error", event => document.title = event.message);
    const press = key =>
      document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    press("d"); press("+"); press("+"); press("m");
    const sheet = document.getElementById("sheet"), edge = document.getElementById("edge");
    const box = () => sheet.getBoundingClientRect();
    const off = () => {
      const knob = document.getElementById("knob").getBoundingClientRect();
      const middle = (knob.left + knob.right) / 2 - box().left;
      return Math.abs(middle - box().width * edge.getAttribute("aria-valuenow") / 100);
    };
    press("d");
    const offs = [];
    for (const share of [0, 0.3, 0.85, 1]) {
      const clientX = box().left + share * box().width;
      sheet.dispatchEvent(new PointerEvent("pointerdown", {clientX, buttons: 1, bubbles: true}));
      offs.push(edge.getAttribute("aria-valuenow"), off() < 1);
    }
    document.body.dataset.offs = offs;
    document.body.dataset.focus = document.activeElement.id;
    for (const key of ["Home", "PageUp", "PageUp", "ArrowRight", "ArrowLeft"])
      edge.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
    press("d");
    document.getElementById("picture").value = 1;
    document.getElementById("picture").dispatchEvent(new Event("change"));
    document.body.dataset.without = document.getElementById("sheet").className;
    document.getElementById("two").value = "aic-eye";
    document.getElementById("two").dispatchEvent(new Event("change"));
    press("m");
    document.body.dataset.bits = document.getElementById("heat").getAttribute("src");
    press("i");
    const filter = id => getComputedStyle(document.getElementById(id)).filter;
    document.body.dataset.filters = ["sheet", "heat", "pair"].map(filter);
    setTimeout(() => {
      document.body.dataset.wide = document.documentElement.scrollWidth;
      const told = [...document.querySelectorAll(".hint")];
      document.body.dataset.hints = told.map(e => e.hidden);
      document.body.dataset.firstHint = told[0].textContent;
      document.querySelector(".tall").style.maxHeight = "60px";
      hints();
      document.body.dataset.lastHint = told[2].textContent;
    }, 500);
    </script></body>"""
    path = site / "probe.html"
    path.write_text((site / "index.html").read_text().replace("</body>", probe))
    done = subprocess.run(
        [*words, "--window-size=390,800", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    dom = done.stdout
    assert "<title>aic bench</title>" in dom  # no error
    assert 'id="difference" type="button" aria-pressed="true"' in dom
    assert "--cut: 20%" in dom
    assert re.search(r'<img id="left" [^>]*src="pictures/a\.png\.jpeg\.0\.8\.webp"', dom)
    assert re.search(r'<img id="right" [^>]*src="pictures/a\.png\.aic-eye\.0\.8\.webp"', dom)
    assert 'data-without="difference"' in dom  # neither of the two codecs has a map
    assert 'data-bits="pictures/a.png.aic-eye.0.8.bits.png"' in dom
    assert re.search(r'<img id="heat" [^>]*src="pictures/a\.png\.aic-eye\.0\.8\.levels\.png"', dom)
    assert 'data-filters="none,none,brightness(8)"' in dom  # a map keeps its colours
    assert 'id="bits" type="button" aria-pressed="false"' in dom
    assert 'id="levels" type="button" aria-pressed="true"' in dom
    assert 'data-offs="0,true,30,true,85,true,100,true"' in dom  # the knob is where it divides
    assert 'data-focus="edge"' in dom
    assert 'aria-valuenow="20"' in dom
    assert 'data-hints="false,true,false"' in dom  # the table of commands is not shown
    assert 'data-first-hint="The table scrolls: more columns to the right →"' in dom
    both = "The table scrolls: more columns to the right →, more rows below ↓"
    assert f'data-last-hint="{both}"' in dom
    assert '<p id="outcome">It &amp; that.</p>' in dom
    assert '<code id="command">aic bench &lt;a&gt;</code>' in dom
    assert '<p id="machine">2026-11-05 09:30, ' in dom
    assert re.search(r"<td>jpeg</td><td>quality 5</td><td>\d+</td><td>\d\.\d{4}</td><td>\d", dom)
    assert len(re.findall(r"<svg ", dom)) == 6  # four metrics, two times
    assert len(re.findall(r'<ul class="legend">(?:<li>.*?</li>){3}</ul>', dom)) == 6
    assert re.search(r"<td>webp</td><td>libwebp [^<]+</td><td>-\d", dom)
    assert re.search(
        r'id="caption-one">jpeg: [^<]*, MS-SSIM 0[^<]*, SSIMULACRA 2 -?\d[^<]*, CVVDP \d', dom
    )
    difference = r"(as many|\d+\.\d % (more|fewer) than jpeg)"
    assert re.search(rf'id="caption-two">aic-eye: \d+ bytes \({difference}\), PSNR \d', dom)
    assert "width: 400px; height: 340px" in dom  # twice 200x170
    wide = int(re.search(r'data-wide="(\d+)"', dom)[1])
    assert wide <= 500  # a narrow window needs no scrolling sideways (chromium's least is 500)


@pytest.mark.parametrize(
    "name", ["a #1?100%.png", "\udcff\udcfe\n.png", 246 * "n" + ".png", 120 * "ü" + ".png"]
)
def test_page_has_addresses_of_pictures_of_any_name(tmp_path, name, tiny_codec):
    path, site = tmp_path / name, tmp_path / "site"
    try:
        Image.fromarray(textured(64, 64)).save(path)
    except OSError:
        pytest.skip("this file system has no such names")
    used = [peer("webp"), coders.Aic(tiny_codec, [2.0])]
    row = replace(GOOD, picture=name)
    result = report.as_result([row], used, [], [], report.environment(1, None, 1, 1), RUN)
    report.to_csv([row], tmp_path / "a.csv")
    report.to_json(result, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["picture"] == name
    page.check(site, force=False)
    for _ in range(2):  # the second takes over what the first drew
        assert page.write(site, result, used, [path], [2.0]) == []
        data = (site / "index.html").read_text().split('type="application/json">')[1]
        (view,) = json.loads(data.split("</script>")[0])["views"]
        assert view["picture"] == name
        ours = view["shots"][1]
        for address in (view["original"], view["shots"][0]["file"], ours["file"], ours["levels"]):
            assert not set(" #?") & set(address)
            assert (site / os.fsdecode(unquote_to_bytes(address))).is_file()


def test_long_names_of_one_beginning_stay_apart():
    names = [page._short(240 * "n" + end) for end in ("a", "b")]
    assert names[0] != names[1]
    assert max(map(len, names)) < 150
    assert page._short("a.png") == "a.png"


def test_pictures_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    write = page.writer.write_image

    def full(path, image, force=False):
        if "a.png.webp" in path:
            raise AicError(f"{path}: no space left on device")
        write(path, image, force)

    monkeypatch.setattr(page.writer, "write_image", full)
    for name in ("a.png", "b.png"):
        Image.fromarray(textured(64, 64)).save(tmp_path / name)
    site = tmp_path / "site"
    page.check(site, force=False)
    paths = measure.find_pictures(tmp_path)
    (failed,) = page.write(site, {}, [peer("webp")], paths, [2.0])
    assert failed == f"{site / 'pictures' / 'a.png.webp.2.webp'}: no space left on device"
    data = (site / "index.html").read_text().split('type="application/json">')[1]
    (view,) = json.loads(data.split("</script>")[0])["views"]
    assert (view["picture"], len(view["shots"])) == ("b.png", 1)


def test_the_smallest_picture_has_its_view(tmp_path):
    """At half a bit a pixel it has room for no byte."""
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    page.check(tmp_path / "site", force=False)
    used = [peer("jpeg2000"), peer("webp")]
    assert page.write(tmp_path / "site", {}, used, [tmp_path / "a.png"], [0.5]) == []
    data = (tmp_path / "site" / "index.html").read_text().split('type="application/json">')[1]
    (view,) = json.loads(data.split("</script>")[0])["views"]
    assert [shot["codec"] for shot in view["shots"]] == ["jpeg2000", "webp"]


def test_what_fails_alike_at_all_settings_is_told_once(tmp_path):
    Image.new("RGB", (16384, 1)).save(tmp_path / "wide.png")
    rows = list(measure.run([peer("webp")], tmp_path))
    (told,) = [line for line in table(rows, []).splitlines() if line.startswith("failed")]
    assert told.startswith("failed: wide.png with webp at 5 10 ")
    assert "WebP limit" in told


def test_rates_that_lie_close_have_files_of_their_own(tmp_path):
    Image.fromarray(textured(64, 64)).save(tmp_path / "a.png")
    site, rates = tmp_path / "site", [1.000001, 1.0000014]
    page.check(site, force=False)
    assert page.write(site, {}, [peer("webp")], [tmp_path / "a.png"], rates) == []
    assert len(list((site / "pictures").glob("a.png.webp.*.webp"))) == 2


def test_pictures_of_a_page_have_names_that_windows_has(tmp_path):
    Image.fromarray(textured(16, 16)).save(tmp_path / "a.png")
    page.check(tmp_path / "site", force=False)
    model = peer("webp")
    model.name = f"{COMPRESSAI}bmshj2018"
    assert page.write(tmp_path / "site", {}, [model], [tmp_path / "a.png"], [8]) == []
    assert (tmp_path / "site" / "pictures" / "a.png.compressai-bmshj2018.8.webp").exists()


def test_a_rate_that_a_codec_cannot_reach_is_no_failure(tmp_path):
    Image.fromarray(textured(16, 16)).save(tmp_path / "a.png")
    page.check(tmp_path / "site", force=False)
    used = [coders.Aic(FakeCodec(), [0.5])]
    assert page.write(tmp_path / "site", {}, used, [tmp_path / "a.png"], [0.5]) == []


def test_page_takes_over_what_an_earlier_one_drew(tmp_path, monkeypatch):
    """But only where picture, codec and room are the same, and the files are still there."""
    path, site = tmp_path / "a.png", tmp_path / "site"
    Image.fromarray(textured(64, 64)).save(path)
    webp = peer("webp")
    made = []
    draw = page._shot
    monkeypatch.setattr(page, "_shot", lambda *words: made.append(words[0].name) or draw(*words))

    def views(rates=(0.8, 2.0), **words):
        made.clear()
        page.check(site, force=True)
        page.write(site, {}, [webp], [path], rates, **words)
        data = (site / "index.html").read_text().split('type="application/json">')[1]
        return json.loads(data.split("</script>")[0])["views"]

    drawn = site / "pictures" / "a.png.webp.2.webp"
    first = views()
    assert made == ["a.png.webp.0.8", "a.png.webp.2"]
    assert (views(), made) == (first, [])
    assert views((0.8, 0.8, 2.0)) == first
    assert (views((2.0, 3.0))[0]["shots"][0], made) == (first[0]["shots"][1], ["a.png.webp.3"])
    drawn.unlink()
    assert (views(), made) == (first, ["a.png.webp.2"])
    for broken in (
        "",
        "[" * 200_000,
        "[]",
        "{}",
        '{"key": 1, "found": 2}',
        '{"found": {"file": 3}}',
        "\udcff",
    ):
        drawn.with_suffix(".json").write_text(broken, errors="surrogateescape")
        assert (views(), made) == (first, ["a.png.webp.2"])
    assert (views(reuse=False), len(made)) == (first, 2)
    webp.about["version"] = "another"
    assert (views(), len(made)) == (first, 2)
    Image.fromarray(255 - textured(64, 64)).save(path)
    assert views() != first
    assert len(made) == 2


def test_whole_commands_take_turns(folder, monkeypatch):
    program = "import sys, shutil; shutil.copy(*sys.argv[1:])"
    fake = (sys.executable, "-c", program, "{}", "{}")
    missing = ("no-such-command", "{}", "{}")
    monkeypatch.setattr(
        commands,
        "COMMANDS",
        {
            "aic": (fake, fake, "aic"),
            "webp": (missing, fake, "webp"),
            "avif": (fake, fake, "avif"),
        },
    )
    rows = commands.measure(["aic", "webp", "avif"], folder / "a.png", 2)
    assert [row.codec for row in rows] == ["aic", "avif"]
    assert rows[0].encode_ratio == rows[0].decode_ratio == 1
    assert rows[1].encode_s == pytest.approx(rows[1].encode_ratio * rows[0].encode_s)
    assert rows[1].bytes > 0
    assert commands.table(rows).count("\n") == 2


def test_whole_commands_of_windows_are_told_without_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "os", SimpleNamespace(path=ntpath))
    steps = {
        ("aic", step): ([r"C:\a\python.exe", "-m", r"C:\b\a.png"], tmp_path) for step in (0, 1)
    }
    (row,) = commands._rows("a.png", steps, dict.fromkeys(steps, 1.0))
    assert row.command == "python.exe -m a.png"


def test_a_command_that_fails_is_named(folder, monkeypatch):
    fake = (sys.executable, "-c", "import sys; sys.exit(3)", "{}", "{}")
    monkeypatch.setattr(commands, "COMMANDS", {"aic": (fake, fake, "aic")})
    with pytest.raises(AicError, match="ended with 3$"):
        commands.measure(["aic"], folder / "a.png", 1)


def test_versions_are_told_of_packages_that_are_there(monkeypatch):
    monkeypatch.setattr(report, "_PACKAGES", ("numpy", "no-such-package"))
    versions = report.environment(1, None, 1, 1)["versions"]
    assert versions["numpy"] == np.__version__
    assert versions["no-such-package"] is None


def test_a_picture_of_more_pixels_than_allowed_is_refused(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "b.png")
    words = ("bench", tmp_path, "--codec", "webp", "--no-cache", "--quiet")
    result = CliRunner().invoke(main, [*map(str, words), "--max-pixels", "199"])
    assert result.exit_code == 1
    assert f"{tmp_path / 'a.png'}: 20x10 pixels, at most 199 are allowed" in result.stdout
    assert "b.png" in result.stdout

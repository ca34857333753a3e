"""The benchmark with a codec whose sizes, errors and times are known beforehand."""

import csv
import json
import math
import struct
import sys
import zlib
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from imgcodec import bench, image, metrics
from imgcodec.bench import report
from imgcodec.errors import AicError, FormatError


class FakeCodec:
    """Keeps multiples of 16 and fills the file to the rate asked; turns a clock as it works."""

    def __init__(self, clock=None, encode_s=(), decode_s=()):
        self.device = "cpu"
        self.clock = clock
        self.seconds = {"encode": list(encode_s), "decode": list(decode_s)}
        self.calls = []  # (what, first sample, rate)
        self.efforts = []

    def encode_report(self, pixels, rate, entropy, effort):
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
        return data, SimpleNamespace(bpp=bpp, limited=limited, model_s=model_s, total_s=-1.0)

    def decode_report(self, data):
        self.calls.append(("decode", len(data), None))
        model_s = self._work("decode")
        height, width, colour = struct.unpack_from("<II?", data)
        try:
            samples = zlib.decompressobj().decompress(data[9:])
        except zlib.error as error:
            raise FormatError("damaged") from error
        kept = np.frombuffer(samples, np.uint8).reshape(height, width, 3 if colour else 1) * 16
        kept = np.repeat(kept, 1 if colour else 3, axis=2).astype(np.uint8)
        return kept, SimpleNamespace(model_s=model_s, total_s=-1.0)

    def _work(self, what):
        """Spend the next number of seconds, a quarter of them in the model."""
        if self.clock is None:
            return 0.0
        seconds = self.seconds[what].pop(0)
        self.clock.now += seconds
        return seconds / 4


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(bench, "time", fake)
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
    rows = bench.run(FakeCodec(), folder, [1.0, 0.5])
    assert [(r.picture, r.width, r.height, r.rate_asked) for r in rows] == [
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
    (row,) = bench.run(FakeCodec(), tmp_path, [8.0])
    expected = metrics.ms_ssim(a, a // 16 * 16)
    assert 0.5 < expected < 0.999
    assert row.ms_ssim == pytest.approx(expected, abs=1e-6)
    assert row.ms_ssim_db == pytest.approx(-10 * math.log10(1 - expected), abs=1e-3)


def test_picture_that_needs_less_than_asked_is_marked(folder):
    rows = bench.run(FakeCodec(), folder, [9.0])
    assert [r.limited for r in rows] == [True, True]
    assert all(r.bpp < 1 for r in rows)
    assert bench.means(rows)[0].limited == 2


def test_bytes_are_those_that_come_back_from_the_disk(folder, monkeypatch):
    write = image.write_bytes
    monkeypatch.setattr(image, "write_bytes", lambda p, d, force: write(p, d + bytes(7), force))
    assert [r.bytes for r in bench.run(FakeCodec(), folder, [0.5])] == [57, 57]
    monkeypatch.setattr(
        image, "write_bytes", lambda p, d, force: write(p, d[:9] + b"?" * 99, force)
    )
    assert [r.error for r in bench.run(FakeCodec(), folder, [0.5])] == ["damaged", "damaged"]


def test_the_files_on_disk_are_gone_afterwards(folder, monkeypatch):
    write, paths = image.write_bytes, []

    def spy(path, data, force):
        paths.append(path)
        write(path, data, force)
        assert path.read_bytes() == data

    monkeypatch.setattr(image, "write_bytes", spy)
    bench.run(FakeCodec(), folder, [0.5])
    assert len(paths) == 3
    assert not any(path.exists() or path.parent.exists() for path in paths)
    assert all(folder not in path.parents for path in paths)


# time


def test_times_are_medians_and_the_first_work_does_not_count(folder, clock):
    encode_s = [1000, 1, 5, 2, 40, 20, 30]  # once to warm up, then three times a row
    decode_s = [2000, 8, 8, 4, 0.5, 0.75, 0.25]
    codec = FakeCodec(clock, encode_s, decode_s)
    a, b = bench.run(codec, folder, [0.5], repeat=3)
    assert (a.encode_s, a.encode_model_s, a.decode_s, a.decode_model_s) == (2, 0.5, 8, 2)
    assert (b.encode_s, b.encode_model_s, b.decode_s, b.decode_model_s) == (30, 7.5, 0.5, 0.125)
    assert codec.calls[0] == ("encode", 19, 0.5)  # the first picture
    assert [call[0] for call in codec.calls] == ["encode", "decode"] * 7


def test_reading_and_writing_take_no_time_of_the_codec(folder, clock, monkeypatch):
    read, write = image.read_image, image.write_bytes

    def slow(function):
        def call(*args, **kwargs):
            clock.now += 500
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(image, "read_image", slow(read))
    monkeypatch.setattr(image, "write_bytes", slow(write))
    rows = bench.run(FakeCodec(clock, [9, 1, 2], [9, 3, 4]), folder, [0.5])
    assert [(r.encode_s, r.decode_s) for r in rows] == [(1, 3), (2, 4)]


@pytest.mark.parametrize(("device", "count"), [("cuda", 4), ("cuda:1", 4), ("cpu", 0)])
def test_clock_waits_for_the_gpu(folder, monkeypatch, device, count):
    import torch

    codec = FakeCodec()
    codec.device = device
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: codec.calls.append(("wait", 0, 0)))
    bench.run(codec, folder, [0.5])
    one = ["wait"] * (count // 4)
    once = [*one, "encode", *one, *one, "decode", *one]
    assert [call[0] for call in codec.calls] == 3 * once


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_peak_memory_is_in_bytes(folder):
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    (row, _) = bench.run(FakeCodec(), folder, [0.5])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert 10e6 < before <= row.peak_memory_bytes <= after


# failures


def test_rows_name_the_effort_that_was_asked(folder):
    codec = FakeCodec()
    rows = bench.run(codec, folder, [0.01, 0.5], effort=4)
    assert {row.effort for row in rows} == {4}
    assert set(codec.efforts) == {4}
    assert [row.effort for row in bench.run(FakeCodec(), folder, [0.5])] == [1, 1]


def test_bad_picture_does_not_stop_the_run(folder, clock):
    (folder / "0.png").write_bytes(b"no picture")
    Image.new("RGBA", (4, 4)).save(folder / "aa.png")
    codec = FakeCodec(clock, [1000, 1, 2, 3, 4], [1000, 5, 6, 7, 8])
    rows = bench.run(codec, folder, [0.5, 1.0])
    assert [(r.picture, r.rate_asked, bool(r.error)) for r in rows] == [
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
    first, _ = bench.means(rows)
    assert (first.pictures, first.failed) == (2, 2)
    assert first.psnr == pytest.approx((ERROR_3 + ERROR_4) / 2)
    assert first.encode_s == 2


def test_refused_rate_does_not_stop_the_run(folder):
    rows = bench.run(FakeCodec(), folder, [0.01, 0.5])
    assert [r.error for r in rows] == ["0.01 bits per pixel are too few", ""] * 2
    assert (rows[0].width, rows[0].height) == (40, 20)
    none, some = bench.means(rows)
    assert (none.pictures, none.failed) == (0, 2)
    assert none.peak_memory_bytes == 0
    assert math.isnan(none.bpp)
    assert math.isnan(none.ms_ssim_db)
    assert some.bpp == 0.5


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    monkeypatch.setattr(FakeCodec, "decode_report", lambda self, data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.run(FakeCodec(), folder, [0.5])


# folder and progress


def test_pictures_are_found_by_suffix_and_sorted(tmp_path):
    names = [
        "j.png", "i.jpg", "h.jpeg", "g.webp", "f.tif", "e.tiff", "d.bmp", "c.ppm", "b.PNG",
        "a.txt", "png", "x.aic", "x.png.part",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in bench.find_pictures(str(tmp_path))]
    assert found == sorted(names[:9])


def test_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(AicError, match=r"no picture \(\.png .*\.ppm\) in this folder$"):
        bench.run(FakeCodec(), tmp_path, [0.5])
    with pytest.raises(AicError, match="none: no such file or directory"):
        bench.run(FakeCodec(), tmp_path / "none", [0.5])
    with pytest.raises(AicError, match="not a directory"):
        bench.run(FakeCodec(), tmp_path / "a.txt", [0.5])


def test_progress_wraps_the_pictures(folder):
    seen = []

    def progress(paths):
        seen.append([path.name for path in paths])
        for path in paths:
            seen.append(path.name)
            yield path

    bench.run(FakeCodec(), folder, [0.5, 1.0], progress=progress)
    assert seen == [["a.png", "b.bmp"], "a.png", "b.bmp"]


# means, files, table

GOOD = bench.Row(
    "a.png", 200, 100, 0.5, 1200, 0.48, 30.0, 0.9, 10.0, 1.0, 2.0, 3.0, 4.0, 50_000_000, False
)
OTHER = bench.Row(
    "bb.png", 20, 10, 0.5, 10, 0.4, 34.0, math.nan, math.nan, 2.0, 4.0, 5.0, 6.0, 70_000_000, True
)
THIRD = bench.Row(
    "c.png", 300, 200, 0.5, 3675, 0.49, 35.0, 0.98, 17.0, 3.0, 6.0, 10.0, 11.0, 60_000_000, False
)
LOSSLESS = bench.Row("a.png", 200, 100, 24.0, 9000, 3.6, math.inf, 1.0, math.inf, 1, 1, 1, 1, 1)
BAD = bench.Row("d.png", 0, 0, 0.5, error="d.png: is a directory")


def test_means_by_hand():
    half, full = bench.means([GOOD, LOSSLESS, OTHER, BAD, THIRD])
    assert (half.rate_asked, full.rate_asked) == (0.5, 24.0)
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
    bench.to_csv([GOOD, OTHER, BAD], tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(bench.Row)]
    assert lines[0]["picture"] == "a.png"
    assert float(lines[0]["bpp"]) == 0.48
    assert lines[0]["bytes"] == "1200"
    assert lines[1]["ms_ssim"] == lines[1]["ms_ssim_db"] == lines[2]["psnr"] == ""
    assert [line["limited"] for line in lines] == ["False", "True", "False"]
    assert [line["error"] for line in lines] == ["", "", "d.png: is a directory"]


def test_json_holds_rows_means_and_environment(tmp_path):
    import torch

    rows = [GOOD, LOSSLESS, BAD]
    bench.to_json(rows, bench.means(rows), FakeCodec(), tmp_path / "a.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    result = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert [row["picture"] for row in result["rows"]] == ["a.png", "a.png", "d.png"]
    assert result["rows"][0]["ms_ssim"] == 0.9
    assert result["rows"][1]["psnr"] is None
    assert result["rows"][2]["bpp"] is None
    assert result["rows"][2]["error"] == "d.png: is a directory"
    assert [(mean["rate_asked"], mean["failed"]) for mean in result["means"]] == [
        (0.5, 1),
        (24, 0),
    ]
    found = result["environment"]
    assert found["device"] == "cpu"
    assert found["gpu"] is None
    assert found["threads"] == torch.get_num_threads()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"imgcodec", "torch", "pillow", "constriction"} < set(found["versions"])
    assert {"machine", "processor", "cores", "system"} < set(found)


def test_results_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(AicError, match="there is no folder"):
        bench.to_csv([GOOD], tmp_path / "none" / "a.csv")


def test_table_shows_rows_means_and_then_failures():
    rows = [GOOD, OTHER, BAD, THIRD, bench.Row("d.png", 0, 0, 24.0, error="d.png: is a directory")]
    lines = bench.table(rows, bench.means(rows)).splitlines()
    assert (
        lines[0].split()
        == (
            "picture size bytes asked bpp PSNR MS-SSIM dB "
            "enc model s enc s dec model s dec s peak MB"
        ).split()
    )
    assert (
        lines[1].split()
        == (
            "a.png 200x100 1200 0.5 0.4800 30.000 0.90000 10.000 1.000 2.000 3.000 4.000 50"
        ).split()
    )
    assert (
        lines[2].split()
        == ("bb.png* 20x10 10 0.5 0.4000 34.000 - - 2.000 4.000 5.000 6.000 70").split()
    )
    assert (
        lines[4].split()
        == ("mean of 3 0.5 0.4567 33.000 0.94000 12.218 2.000 4.000 6.000 7.000 70").split()
    )
    assert lines[5].split() == "mean of 0 24 - - - - - - - - 0".split()
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[6:] == [
        "* needs fewer bits than asked",
        "failed: d.png at 0.5 24: d.png: is a directory",
    ]


def test_table_of_failures_alone():
    text = bench.table([BAD], bench.means([BAD]))
    assert text.splitlines()[-1] == "failed: d.png at 0.5: d.png: is a directory"


def test_name_of_the_processor_is_told_on_linux_too(monkeypatch):
    assert report._processor() == report._processor().strip()
    monkeypatch.setattr(report.Path, "read_text", lambda self: "flags: x\nmodel name\t: Best 9\n")
    assert report._processor() == "Best 9"

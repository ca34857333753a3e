"""The command: exit codes, stdout, stderr, files. A fake stands in for the networks."""

import csv
import errno
import inspect
import itertools
import json
import math
import os
import re
import runpy
import subprocess
import sys
import types
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgcodec import __version__, cli, files
from imgcodec.bench import commands, page
from imgcodec.cli.many import elsewhere, workers
from imgcodec.cli.settings import other_settings
from imgcodec.codec.results import DecodeReport, Encoded
from imgcodec.errors import AicError
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import Picture
from imgcodec.pictures.profiles import of_png
from imgcodec.pictures.reader import read_image, read_picture
from imgcodec.releases import DEFAULT_QUALITIES, DEFAULT_TUNE, NEWEST
from imgcodec.target import Target

MODEL_ID = NEWEST[DEFAULT_TUNE].model_id
LIMIT = 8.0  # the fake says that no picture needs more bits per pixel
COMMANDS = tuple(sorted(cli.main.commands))


class FakeCodec:
    """Codec with the same words; it stores the pixels themselves."""

    made = []
    where = "cpu, 2 threads, float32"
    tiles = []
    targets = []
    rois = []
    limits = []
    tunes = []
    max_rates = []

    def __init__(self, device="auto", threads=None, weights=None, tune=DEFAULT_TUNE):
        self.device = "cpu" if device == "auto" else device
        self.model_id = bytes(8)
        self.made.append((device, threads))
        self.tunes.append(tune)

    def model_id_at(self, effort):
        return self.model_id

    def joining(self, member):
        return self

    def encode(
        self, image, rate=None, entropy="range", effort=1, tile=None, roi=None, lossless=None,
        **target,
    ):  # fmt: skip
        self.rois.append(roi)
        self.targets.append(Target.of(DEFAULT_QUALITIES[DEFAULT_TUNE], rate=rate, **target))
        rate = 0.5 if rate is None else rate
        self.tiles.append(tile)
        chunks = []
        if isinstance(image, Picture):
            image, chunks = image.pixels, image.chunks()
        channels = 1 if image.ndim == 2 else 3
        height, width = image.shape[:2]
        kind = container.ENTROPIES.index(entropy)
        u = round(min(rate, LIMIT) / LIMIT * container.MAX_U)
        if self.targets[-1].kind == "quality":
            u = self.targets[-1].u
        header = container.Header(width, height, channels, kind, u, 0, MODEL_ID)
        data = container.pack(header, [zlib.compress(image.tobytes())], chunks)
        bpp = 8 * len(data) / (height * width)
        report = types.SimpleNamespace(
            target=self.targets[-1],
            bpp=bpp,
            u=u,
            limited=rate > LIMIT,
            model_s=0.25,
            total_s=0.5,
            detail_limit_db=None,
            lossless=bool(lossless),
            colours=None,
        )
        return Encoded(data, report)

    def trim(self, data, rate=None, size=None):
        header, tiles, _ = container.unpack(data)
        data = container.pack(replace(header, u=0), tiles)
        bpp = rate or 8 * size / (header.width * header.height)
        return Encoded(data, types.SimpleNamespace(bpp=bpp, limited=False, total_s=0.5))

    def decode(self, data):
        parts = []
        self.decode_rows(data, parts.append)
        return np.concatenate(parts)

    def decode_rows(
        self, data, take, region=None, keep_going=False, max_rate=math.inf,
        max_pixels=container.MAX_PIXELS,
    ):  # fmt: skip
        self.max_rates.append(max_rate)
        self.limits.append(max_pixels)
        file = container.File(data)
        shape = (file.header.height, file.header.width, file.header.channels)
        pixels = np.frombuffer(zlib.decompress(file.tile(0)), np.uint8).reshape(shape)
        pixels = np.broadcast_to(pixels, (*shape[:2], 3)).copy()
        if region is not None:
            x, y, width, height = region
            pixels = pixels[y : y + height, x : x + width]
        for start in range(0, len(pixels), 5):
            take(pixels[start : start + 5])
        return DecodeReport({}, stages={"decoder": 0.125}, total_s=0.75)


@pytest.fixture
def aic(monkeypatch, tmp_path_factory):
    """Run the command in this process; `imgcodec.codec` is replaced, so torch is not loaded."""
    module = types.ModuleType("imgcodec.codec")
    module.Codec = FakeCodec
    monkeypatch.setitem(sys.modules, "imgcodec.codec", module)
    monkeypatch.setattr(FakeCodec, "made", [])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(FakeCodec, "tiles", [])
    monkeypatch.setattr(FakeCodec, "targets", [])
    monkeypatch.setattr(FakeCodec, "rois", [])
    monkeypatch.setattr(FakeCodec, "limits", [])
    monkeypatch.setattr(FakeCodec, "tunes", [])
    monkeypatch.setattr(FakeCodec, "max_rates", [])
    monkeypatch.setattr(workers, "executor", ThreadPoolExecutor)  # other processes lack the fake
    elsewhere.unpacked.cache_clear()
    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words])


@pytest.fixture
def photo(tmp_path):
    """A picture of 16 x 12 pixels, no two rows alike."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)).save(path)
    return path


@pytest.fixture
def coded(aic, photo, tmp_path):
    """The same picture as an .aic file."""
    path = tmp_path / "coded.aic"
    assert aic("encode", photo, path, "--quiet").exit_code == 0
    FakeCodec.made.clear()
    return path


def assert_refused(result, reason):
    """Exit code 1, one line on stderr, nothing on stdout."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(rf"Error: [^\n]*{reason}[^\n]*\n", result.stderr), result.stderr


def one_way(command, photo, coded, folder):
    """What a command reads, and a file that it may write."""
    return (photo, folder / "out.aic") if command == "encode" else (coded, folder / "out.png")


def assert_usage(result, reason):
    """Exit code 2, the reason on stderr."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


# ---- encode and decode


def test_round_trip_gives_the_picture_and_a_line_each(aic, photo, tmp_path):
    coded, decoded = tmp_path / "a.aic", tmp_path / "b.png"
    result = aic("encode", photo, coded, "--rate", "0.7")
    size = coded.stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{coded}: {size} bytes, {8 * size / (12 * 16):.4f} bpp, 0.50 s\n"
    result = aic("decode", coded, decoded)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{decoded}: 16x12 pixels, 0.75 s\n"
    with Image.open(photo) as a, Image.open(decoded) as b:
        assert a.mode == b.mode
        assert a.tobytes() == b.tobytes()


def test_detail_that_is_not_kept_is_said(aic, photo, tmp_path, monkeypatch):
    """Also with --strict: what is coded is lossy anyway."""
    encode = FakeCodec.encode

    def limited(self, *arguments, **words):
        data = encode(self, *arguments, **words)
        data.report.detail_limit_db = 8.6
        return data

    monkeypatch.setattr(FakeCodec, "encode", limited)
    result = aic("encode", photo, tmp_path / "a.aic", "--strict")
    assert result.exit_code == 0
    assert result.stderr == (
        f"{photo}: has fine detail that this codec keeps badly, PSNR is limited to about 9 dB;"
        " --lossless keeps it\n"
    )
    result = aic("encode", photo, tmp_path / "b.aic", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tune", "eye", "--effort", "2"], ""),
        (["--tune", "eye", "--roi", "0,0,8,8"], ""),
        (["--tune", "psnr", "--roi", "0,0,8,8:1"], ""),
        (["--tune", "psnr", "--roi", "0,0,8,8"], "--roi makes files of --tune psnr worse"),
    ],
)
def test_only_options_that_do_harm_are_spoken_of(aic, photo, tmp_path, words, told):
    result = aic("encode", photo, tmp_path / "a.aic", *words)
    assert result.exit_code == 0
    assert result.stderr.startswith(told)
    assert bool(result.stderr) == bool(told)


def test_without_loss(aic, photo, tmp_path):
    target = tmp_path / "a.aic"
    result = aic("encode", photo, target, "--lossless", "--verbose")
    assert result.exit_code == 0
    line, asked, *_ = result.stdout.splitlines()
    assert re.fullmatch(rf"{target}: \d+ bytes, [\d.]+ bpp, [\d.]+ s; without loss", line)
    assert asked == "  asked: no loss"
    for words in (("--lossy",), ()):
        result = aic("encode", photo, target, *words, "--force")
        assert (result.exit_code, "without loss" in result.stdout) == (0, False)


@pytest.mark.parametrize(
    "words",
    [
        ("--quality", 50), ("--psnr", 30), ("--ms-ssim", 0.9), ("--ssimulacra2", 50),
        ("--tune", "psnr"), ("--effort", 2), ("--entropy", "none"), ("--roi", "0,0,8,8"),
    ],
)  # fmt: skip
def test_what_means_nothing_without_loss(aic, photo, tmp_path, words):
    result = aic("encode", photo, tmp_path / "a.aic", "--lossless", *words)
    assert_usage(result, "--lossless keeps every pixel")


def test_info_without_loss(aic):
    path = Path(__file__).parents[1] / "golden" / "v1.4" / "lossless.aic"
    told = aic("info", path).stdout
    assert "weights:   none, every pixel is kept\n" in told
    assert "method:    2\n" in told
    assert "quality" not in told
    facts = json.loads(aic("info", path, "--json").stdout)
    assert (facts["method"], facts["weights"], facts["tune"]) == (2, None, None)
    assert "quality" not in facts


def test_info_in_fewer_colours(aic):
    path = Path(__file__).parents[1] / "golden" / "v1.5" / "few-colours.aic"
    told = aic("info", path).stdout
    assert "weights:   none, colours were joined, no other loss\n" in told
    assert "colours:   8\n" in told
    facts = json.loads(aic("info", path, "--json").stdout)
    assert (facts["method"], facts["colours"], facts["quality"]) == (2, 8, 69)


def test_a_damaged_count_of_colours_is_told_of_its_file(aic, photo, tmp_path):
    path = Path(__file__).parents[1] / "golden" / "v1.4" / "lossless.aic"
    header, tiles, _ = container.unpack(path.read_bytes())
    coded, out = tmp_path / "a.aic", tmp_path / "out"
    coded.write_bytes(container.pack(header, tiles, [(b"coLs", b"123")]))
    assert_refused(aic("info", coded), f"{coded}: chunk coLs has 3 bytes, not 4")
    out.mkdir()
    made = (out / photo.name).with_suffix(".aic")
    coded.rename(made)
    told = f"{made}: exists (chunk coLs has 3 bytes, not 4), and is kept without --force"
    assert told in aic("encode", photo, out).stderr


def test_settings_in_fewer_colours():
    path = Path(__file__).parents[1] / "golden" / "v1.5" / "few-colours.aic"
    file = container.File(path.read_bytes())

    def others(lossless=None, **goal):
        own = Target.of(DEFAULT_QUALITIES["eye"], **goal)
        return other_settings(file, own, "range", None, NEWEST["eye"].model_id, lossless)

    assert others(quality=69) == others(rate=9) == others(size=395) == others(psnr=30) == ""
    assert others(quality=70) == "quality 69, not 70"
    assert others(size=394) == "395 bytes, not 394"
    assert others(True, rate=9) == "fewer colours, not --lossless"
    assert others(False, rate=9) == "fewer colours, not --lossy"


def test_settings_of_files_without_loss():
    path = Path(__file__).parents[1] / "golden" / "v1.4" / "lossless.aic"
    file = container.File(path.read_bytes())
    lossy = container.File((path.parents[1] / "v1.1" / "eye.aic").read_bytes())

    def others(file, lossless=None, tile=None, **goal):
        own = Target.of(DEFAULT_QUALITIES["eye"], **goal)
        return other_settings(file, own, "range", tile, NEWEST["eye"].model_id, lossless)

    assert others(file) == others(file, True) == others(file, rate=9) == ""
    assert others(file, tile=64) == others(file, True, 64) == "one tile, not tiles of 64"
    assert others(file, False) == "every pixel, not --lossy"
    assert others(file, size=6722) == "6723 bytes, not 6722"
    assert others(lossy, True) == others(lossy, True, size=9) == "loss, not --lossless"
    assert others(lossy, False, rate=0.5) == ""


def test_grey_stays_grey(aic, tmp_path):
    grey, coded, decoded = (tmp_path / name for name in ("a.png", "a.aic", "b.png"))
    Image.fromarray(np.arange(70, dtype=np.uint8).reshape(7, 10)).save(grey)
    assert aic("encode", grey, coded).exit_code == 0
    assert aic("decode", coded, decoded).exit_code == 0
    with Image.open(decoded) as picture:
        assert picture.mode == "L"
        assert picture.tobytes() == bytes(range(70))


def test_a_picture_that_needs_less_says_so(aic, photo, tmp_path):
    line = aic("encode", photo, tmp_path / "a.aic", "--rate", "9.5").stdout
    assert line.endswith("; this picture needs no more, 9.5 bpp asked\n")
    assert line.count("\n") == 1


def test_quiet_prints_nothing(aic, photo, tmp_path):
    coded, decoded = tmp_path / "a.aic", tmp_path / "b.png"
    for words in (("encode", photo, coded, "--rate", "9"), ("decode", coded, decoded)):
        result = aic(*words, "--quiet")
        assert (result.exit_code, result.output) == (0, "")
    assert decoded.exists()


def test_options_reach_the_codec(aic, photo, tmp_path):
    coded = tmp_path / "a.aic"
    words = ("--rate", "2", "--entropy", "none", "--device", "cpu", "--threads", "3")
    assert aic("encode", photo, coded, *words).exit_code == 0
    assert aic("decode", coded, tmp_path / "b.png", "--device", "cuda").exit_code == 0
    assert FakeCodec.made == [("cpu", 3), ("cuda", None)]
    header, _, _ = container.unpack(coded.read_bytes())
    assert (header.u, container.ENTROPIES[header.entropy]) == (round(65535 / 4), "none")


def test_tune_reaches_the_codec(aic, photo, tmp_path):
    assert aic("encode", photo, tmp_path / "a.aic", "--tune", "ms-ssim").exit_code == 0
    assert aic("encode", photo, tmp_path / "b.aic").exit_code == 0
    assert aic("encode", photo, tmp_path / "c.aic", "--tune", "ssim").exit_code == 2
    assert FakeCodec.tunes == ["ms-ssim", DEFAULT_TUNE]


def test_tiles_reach_the_codec(aic, photo, tmp_path):
    assert aic("encode", photo, tmp_path / "a.aic", "--tile", "512").exit_code == 0
    assert aic("encode", photo, tmp_path / "b.aic").exit_code == 0
    assert FakeCodec.tiles == [512, None]
    for edge in ("0", "100", "4160", "-64", "big"):
        assert aic("encode", photo, tmp_path / "c.aic", "--tile", edge).exit_code == 2


def test_a_region_is_written_alone(aic, photo, coded, tmp_path):
    result = aic("decode", coded, tmp_path / "part.png", "--region", "3,2,10,7")
    assert (result.exit_code, "10x7 pixels" in result.output) == (0, True)
    wanted = read_image(photo)[2:9, 3:13]
    assert np.array_equal(read_image(tmp_path / "part.png"), wanted)
    for region in (
        "1,2,3",
        "1,2,3,x",
        "1,2,3,-4",
        "1.5,2,3,4",
        "",
        "0,0,0,5",
        "1,2,3," + 5000 * "4",
    ):
        assert aic("decode", coded, tmp_path / "c.png", "--region", region).exit_code == 2


def test_damage_that_was_filled_in_is_told(aic, coded, tmp_path, monkeypatch):
    """The picture is there, and exit code 1 says that it is not the whole."""
    work = FakeCodec.decode_rows

    def damaged(self, data, take, region, keep_going, *_):
        assert keep_going
        report = work(self, data, take, region)
        return replace(report, damaged={3: "checksum mismatch in tile 3", 1: "tile 1 is cut"})

    monkeypatch.setattr(FakeCodec, "decode_rows", damaged)
    target = tmp_path / "out.png"
    result = aic("decode", coded, target, "--keep-going")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"Error: {coded}: 2 damaged tiles are filled in: "
        "tile 1 is cut; checksum mismatch in tile 3"
    ]
    with Image.open(target) as picture:
        assert picture.size == (16, 12)
    piped = aic("decode", coded, "-", "--keep-going")
    assert (piped.exit_code, piped.stderr) == (1, result.stderr)
    assert piped.stdout_bytes == target.read_bytes()


def test_trim(aic, coded, tmp_path):
    target = tmp_path / "small.aic"
    result = aic("trim", coded, target, "--rate", "0.25")
    assert (result.exit_code, "0.2500 bpp" in result.stdout) == (0, True)
    result = aic("trim", coded, target, "--size", "6", "--force")
    assert (result.exit_code, "0.2500 bpp" in result.stdout) == (0, True)
    assert container.unpack(target.read_bytes())[0].u == 0
    assert_refused(aic("trim", coded, target, "--rate", "0.25"), "exists")
    assert_refused(aic("trim", coded, coded, "--rate", "0.25", "--force"), "input and output")
    assert_usage(aic("trim", coded, target), "one of --rate and --size is needed")
    words = ("--rate", "1", "--size", "1k")
    assert_usage(aic("trim", coded, target, *words), "--rate and --size exclude each other")
    coded.write_bytes(coded.read_bytes()[:-1])
    assert_refused(aic("trim", coded, tmp_path / "b.aic", "--rate", "1"), "the header claims")
    assert not (tmp_path / "b.aic").exists()


def test_the_limit_of_pixels_reaches_the_codec(aic, coded, tmp_path):
    assert aic("decode", coded, tmp_path / "a.png", "--max-pixels", "500").exit_code == 0
    assert aic("decode", coded, tmp_path / "b.png").exit_code == 0
    assert FakeCodec.limits == [500, 2**30]
    assert_usage(aic("decode", coded, tmp_path / "c.png", "--max-pixels", "0"), "--max-pixels")


def test_the_limit_of_pixels_of_each_command(aic, photo, coded, tmp_path):
    for number, words in enumerate(
        (
            ("encode", photo),
            ("trim", coded, "--rate", "0.25"),
            ("inspect", coded),
            ("decode", coded),
        )
    ):
        suffix = "aic" if words[0] in ("encode", "trim") else "png"
        target = tmp_path / f"{number}.{suffix}"
        result = aic(words[0], words[1], target, *words[2:], "--max-pixels", "191")
        assert_refused(result, "16x12 pixels, at most 191 are allowed: --max-pixels")
        assert not target.exists()
    assert aic("encode", photo, tmp_path / "b.aic", "--max-pixels", "192").exit_code == 0
    result = aic("trim", coded, tmp_path / "c.aic", "--rate", "0.25", "--max-pixels", "192")
    assert result.exit_code == 0


def test_a_small_file_of_very_many_pixels_is_refused(aic, tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n16385 16384\n255\n")
    result = aic("encode", tmp_path / "a.pgm", tmp_path / "a.aic")
    assert_refused(result, "16385x16384 pixels, at most 268435456 are allowed: --max-pixels")
    result = aic("encode", tmp_path / "a.pgm", tmp_path / "a.aic", "--max-pixels", 2**30)
    assert_refused(result, "truncated")


def test_transparency_counts_whole_for_a_part_of_a_picture(aic, tmp_path, monkeypatch):
    Image.new("LA", (300, 200), (9, 9)).save(tmp_path / "a.png")
    assert aic("encode", tmp_path / "a.png", tmp_path / "a.aic").exit_code == 0
    words = ("decode", tmp_path / "a.aic", "--region", "0,0,9,9", "--max-pixels")
    result = aic(*words[:2], tmp_path / "b.png", *words[2:], "59999")
    assert_refused(result, "300x200 pixels, at most 59999 are allowed")
    assert aic(*words[:2], tmp_path / "b.png", *words[2:], "60000").exit_code == 0
    result = aic(*words[:2], tmp_path / "c.png", *words[2:], "81", "--alpha", "drop")
    assert result.exit_code == 0


def test_the_rate_of_a_preview_reaches_the_codec(aic, coded, tmp_path):
    assert aic("decode", coded, tmp_path / "a.png", "--max-rate", "0.1").exit_code == 0
    assert aic("decode", coded, tmp_path / "b.png").exit_code == 0
    assert FakeCodec.max_rates == [0.1, math.inf]
    assert_usage(aic("decode", coded, tmp_path / "c.png", "--max-rate", "0"), "--max-rate")
    whole = Path(__file__).parents[1] / "golden" / "v1.4" / "lossless.aic"
    result = aic("decode", whole, tmp_path / "d.png", "--max-rate", "0.1")
    assert result.stderr.startswith(
        f"{whole}: has no finer codes to leave out: --max-rate changes nothing\n"
    )


def test_defaults_are_the_tunes_quality_and_the_range_coder(aic, coded):
    header, _, _ = container.unpack(coded.read_bytes())
    assert (header.u, container.ENTROPIES[header.entropy]) == (round(0.69 * 65535), "range")


# ---- refusals: exit code 1, before any work


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_existing_output_is_kept_without_force(aic, command, photo, coded, tmp_path):
    source, target = one_way(command, photo, coded, tmp_path)
    target.write_bytes(b"precious")
    assert_refused(aic(command, source, target), "exists")
    assert target.read_bytes() == b"precious"
    assert FakeCodec.made == []


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_output_that_appears_meanwhile_is_kept(aic, command, photo, coded, tmp_path, monkeypatch):
    source, target = one_way(command, photo, coded, tmp_path)
    method = {"encode": "encode", "decode": "decode_rows"}[command]
    work = getattr(FakeCodec, method)

    def slow(*words, **named):
        target.write_bytes(b"precious")
        return work(*words, **named)

    monkeypatch.setattr(FakeCodec, method, slow)
    assert_refused(aic(command, source, target), "exists")
    assert target.read_bytes() == b"precious"


def test_force_replaces_the_output(aic, photo, coded, tmp_path):
    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    assert aic("decode", coded, target, "--force").exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    coded_before = coded.read_bytes()
    target = tmp_path / "out.aic"
    target.write_bytes(b"old")
    assert aic("encode", photo, target, "--force").exit_code == 0
    assert target.read_bytes() == coded_before


@pytest.mark.parametrize("command", ["encode", "decode"])
@pytest.mark.parametrize("way", ["name", "link"])
def test_input_is_never_overwritten(aic, command, way, photo, coded):
    source = photo if command == "encode" else coded
    before = source.read_bytes()
    target = source
    if way == "link":
        target = source.with_name("link.png")
        target.symlink_to(source)
    assert_refused(aic(command, source, target, "--force"), "input and output")
    assert source.read_bytes() == before
    assert FakeCodec.made == []


@pytest.mark.parametrize("name", ["out.gif", "out.aic", "out"])
def test_unknown_picture_suffix_is_refused(aic, name, coded, tmp_path):
    assert_refused(aic("decode", coded, tmp_path / name), "suffix")
    assert not (tmp_path / name).exists()
    assert FakeCodec.made == []


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_missing_folder_of_the_output_is_refused(aic, command, photo, coded, tmp_path):
    source, target = one_way(command, photo, coded, tmp_path / "no")
    assert_refused(aic(command, source, target), "no folder")
    assert FakeCodec.made == []


@pytest.fixture
def album(tmp_path):
    """A folder with pictures of several kinds, one of them broken, and something else."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for name in ("a.png", "a.bmp", "b.JPG", "sub/c.tif"):
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.png").write_bytes(b"none")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_folder_there_and_back(aic, album, tmp_path, jobs):
    coded, back = tmp_path / "coded", tmp_path / "back"
    result = aic("encode", album, coded, "--rate", "1", "--jobs", jobs)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: 1 of 5 files failed"
    assert result.stderr.splitlines()[-2].count("broken.png: ") == 1
    wanted = ["a.bmp.aic", "a.png.aic", "b.aic", os.path.join("sub", "c.aic")]
    assert names(coded) == wanted
    assert len(result.stdout.splitlines()) == 4
    assert len(FakeCodec.made) == 1
    assert FakeCodec.made[0][1] == (None if jobs == 1 else max(1, os.cpu_count() // 3))
    result = aic("decode", coded, back, "--format", "ppm", "--jobs", jobs)
    assert (result.exit_code, result.stderr) == (0, "")
    assert names(back) == [name[:-4] + ".ppm" for name in wanted]
    assert np.array_equal(read_image(back / "a.png.ppm"), read_image(album / "a.png"))


def test_a_folder_goes_on_after_what_a_plugin_raises(aic, album, tmp_path, monkeypatch):
    opened = Image.open

    def fail(file, *words):
        if file.name.endswith("a.bmp"):
            raise RuntimeError("Generic Error.")
        return opened(file, *words)

    monkeypatch.setattr(Image, "open", fail)
    result = aic("encode", album, tmp_path / "coded")
    assert result.exit_code == 1
    assert f"{album / 'a.bmp'}: generic Error\n" in result.stderr
    assert result.stderr.splitlines()[-1] == "Error: 2 of 5 files failed"
    assert len(names(tmp_path / "coded")) == 3


def test_what_is_up_to_date_is_left_alone(aic, album, tmp_path):
    (album / "broken.png").unlink()
    coded = tmp_path / "coded"
    assert aic("encode", album, coded).exit_code == 0
    result = aic("encode", album, coded)
    assert (result.exit_code, result.stdout) == (0, "4 files are up to date\n")
    assert len(aic("encode", album, coded, "--force").stdout.splitlines()) == 4
    os.utime(coded / "b.aic", (1, 1))  # older than the picture
    result = aic("encode", album, coded)
    made, current = result.stdout.splitlines()
    assert (result.exit_code, current) == (0, "3 files are up to date")
    assert made.startswith(f"{coded / 'b.aic'}: ")
    assert (coded / "b.aic").stat().st_mtime > 1


def test_patterns_and_single_files_go_into_a_folder(aic, album, tmp_path):
    out = tmp_path / "out"
    assert aic("encode", album / "*.bmp", out).exit_code == 0
    assert aic("encode", album / "**" / "c.*", out).exit_code == 0
    assert names(out) == ["a.aic", os.path.join("sub", "c.aic")]
    assert aic("encode", album / "b.JPG", out).exit_code == 0
    assert (out / "b.aic").exists()
    assert_refused(aic("encode", album / "*.xyz", out), "no file matches")
    (tmp_path / "empty").mkdir()
    assert_refused(aic("decode", tmp_path / "empty", out), "no files")


def test_a_damaged_file_is_refused_with_a_way_out(aic, coded, tmp_path):
    data = coded.read_bytes()
    chunk = container.pack(*container.unpack(data)[:2], [(b"xmpD", b"xmp")])
    chunk = chunk.replace(b"xmpD", b"xmpE")
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), chunk):
        coded.write_bytes(damaged)
        out = tmp_path / "out.png"
        assert_refused(aic("decode", coded, out), "; --keep-going decodes what is there")
        assert not out.exists()
    coded.write_bytes(data[:20] + b"?" + data[21:])
    assert aic("decode", coded, out).stderr.endswith("checksum mismatch in the header\n")


@pytest.mark.parametrize("name", ["a", "header", "b.aic"])
def test_a_refusal_names_a_file_of_any_name_once(aic, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"x" * 6)
    assert aic("info", name).stderr == f"Error: {name}: 6 bytes, a header has at least 29\n"
    assert aic("decode", name, "o.png").stderr.startswith(f"Error: {name}: 6 bytes, a header")
    told = aic("decode", name, "missing", "out/").stderr.splitlines()
    assert told[:2] == ["missing: is not there", f"{name}: 6 bytes, a header has at least 29"]


@pytest.mark.parametrize("command", ["decode", "restore"])
def test_a_format_does_not_contradict_the_suffix(aic, coded, tmp_path, command):
    Image.new("RGB", (16, 12)).save(tmp_path / "a.jpg")
    source = coded if command == "decode" else tmp_path / "a.jpg"
    for name, kind in (("a.png", "tif"), ("a.tif", "png"), ("a", "png"), ("b.jpeg", "webp")):
        words = (command, source, tmp_path / name, "--format", kind)
        assert_usage(aic(*words), f"--format {kind} is for folders and stdout")
    for name, kind in (("a.png", "png"), ("a.TIFF", "tif"), ("a.jpeg", "jpg")):
        assert aic(command, source, tmp_path / name, "--format", kind).exit_code == 0


def test_pipes(aic, photo, coded, tmp_path):
    runner = CliRunner()
    result = runner.invoke(cli.main, ["encode", "-", "-"], input=photo.read_bytes())
    assert result.exit_code == 0
    assert container.unpack(result.stdout_bytes)[0].width == 16
    assert re.fullmatch(r"stdout\.aic: \d+ bytes, .*\n", result.stderr)
    result = runner.invoke(
        cli.main, ["decode", "-", "-", "--format", "bmp"], input=result.stdout_bytes
    )
    assert result.stdout_bytes[:2] == b"BM"
    assert result.stderr == "stdout.bmp: 16x12 pixels, 0.75 s\n"
    (tmp_path / "b.bmp").write_bytes(result.stdout_bytes)
    assert np.array_equal(read_image(tmp_path / "b.bmp"), read_image(photo))
    result = runner.invoke(cli.main, ["decode", str(coded), "-", "--quiet"])
    assert (result.stdout_bytes[1:4], result.stderr) == (b"PNG", "")
    Image.new("CMYK", (16, 12)).save(tmp_path / "inks.tif")
    inks = (tmp_path / "inks.tif").read_bytes()
    result = runner.invoke(cli.main, ["encode", "-", str(tmp_path / "inks.aic")], input=inks)
    assert result.stderr == "stdin: CMYK without a colour profile: colours are a guess\n"
    result = runner.invoke(cli.main, ["encode", "-", str(tmp_path / "c.aic")], input=b"nothing")
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert result.stderr == "Error: stdin: not a picture of a known kind\n"
    result = runner.invoke(cli.main, ["decode", "-", "-"], input=b"nothing")
    assert result.stderr.startswith("Error: stdin: 7 bytes")
    for folder in (str(tmp_path), f"{tmp_path}/new/"):
        result = runner.invoke(cli.main, ["encode", "-", folder], input=inks)
        assert_usage(result, f"{folder} is a folder, and - has no name to use there")
    assert not (tmp_path / "new").exists()


def test_pipes_of_what_takes_one_file(coded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    data = coded.read_bytes()
    result = runner.invoke(cli.main, ["info", "-"], input=data)
    assert result.stdout == runner.invoke(cli.main, ["info", str(coded)]).stdout
    result = runner.invoke(cli.main, ["trim", "-", "-", "--rate", "0.25"], input=data)
    assert container.unpack(result.stdout_bytes)[0].u == 0
    assert result.stderr == f"stdout.aic: {len(data)} bytes, 0.2500 bpp, 0.50 s\n"
    for words in (["info", "-"], ["trim", "-", "-", "--rate", "1"], ["inspect", "-", "a.png"]):
        result = runner.invoke(cli.main, words, input=b"nothing")
        assert (result.exit_code, result.stdout_bytes) == (1, b"")
        assert result.stderr.startswith("Error: stdin: 7 bytes")
    coded.rename("-")  # a file of that name is one all the same
    assert runner.invoke(cli.main, ["info", "./-"]).exit_code == 0
    words = ["trim", "./-", "./-", "--rate", "1", "--force"]
    assert_refused(runner.invoke(cli.main, words), "is input and output at once")
    assert sorted(os.listdir()) == ["-", "photo.png"]


def test_what_is_no_picture_is_refused(aic, tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(b"not a picture")
    assert_refused(aic("encode", source, tmp_path / "a.aic"), "a.png")
    assert FakeCodec.made == []


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ([], Target("quality", DEFAULT_QUALITIES[DEFAULT_TUNE])),
        (["--quality", "0"], Target("quality", 0)),
        (["--rate", "1.5"], Target("rate", 1.5)),
        (["--size", "1200"], Target("size", 1200)),
        (["--size", "1.5k"], Target("size", 1500)),
        (["--size", "2MB"], Target("size", 2_000_000)),
        (["--psnr", "33.5"], Target("psnr", 33.5)),
        (["--ms-ssim", "0.98"], Target("ms_ssim", 0.98)),
        (["--ssimulacra2", "70"], Target("ssimulacra2", 70)),
    ],
)
def test_targets_reach_the_codec(aic, photo, tmp_path, words, target):
    assert aic("encode", photo, tmp_path / "a.aic", *words).exit_code == 0
    assert FakeCodec.targets == [target]


@pytest.mark.parametrize(
    "words",
    [
        ["--rate", "1", "--size", "5k"],
        ["--quality", "50", "--psnr", "30"],
        ["--size", "0"],
        ["--size", "5kg"],
        ["--size", "-5"],
        ["--quality", "101"],
        ["--quality", "nan"],
        ["--ms-ssim", "1"],
        ["--ssimulacra2", "100"],
        ["--ssimulacra2", "-1"],
        ["--ssimulacra2", "nan"],
        ["--ssimulacra2", "70", "--psnr", "30"],
        ["--psnr", "0"],
    ],
)
def test_targets_that_are_none(aic, photo, tmp_path, words):
    result = aic("encode", photo, tmp_path / "a.aic", *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert not (tmp_path / "a.aic").exists()


def test_regions_of_interest_reach_the_codec(aic, photo, tmp_path):
    mask = tmp_path / "mask:4.png"  # not every colon is one before a weight
    Image.fromarray(np.eye(2, dtype=np.uint8).repeat(8, 1).repeat(8, 0)[:12] * 255).save(mask)
    for words in ("0,0,8,8", "0,0,8,8:4", "0,0,8,8:1/2", mask, f"{mask}:2"):
        result = aic("encode", photo, tmp_path / "a.aic", "--force", "--roi", words)
        assert result.exit_code == 0, result.stderr
        assert "inside the region" in result.stdout
    assert [roi.shifts.max() - roi.shifts.min() for roi in FakeCodec.rois[:3]] == [3, 2, 1]
    result = aic("encode", photo, tmp_path / "a.aic", "--force", "--roi", "0,0,16,12")
    assert result.stdout.endswith("PSNR inf dB; no region stands out\n")
    for words in (
        "0,0,8",
        "8,8,9,9",
        "0,0,8,8:0",
        "0,0,8,8:1/0",
        f"0,0,8,8:{9**400}",
        f"0,0,8,8:1/{9**400}",
        tmp_path / "none.png",
        photo.parent,
    ):
        result = aic("encode", photo, tmp_path / "b.aic", "--roi", words)
        assert result.exit_code in (1, 2)
    assert not (tmp_path / "b.aic").exists()


@pytest.mark.parametrize("weight", ["0", "1025", "1/1025", f"{9**400}", f"{9**400}/{9**400}"])
def test_a_weight_out_of_range_is_wrong_usage(aic, photo, tmp_path, weight):
    for place in ("0,0,8,8", photo):
        result = aic("encode", photo.parent, tmp_path / "out", "--roi", f"{place}:{weight}")
        assert_usage(result, "is no weight, 1/1024 to 1024.")


@pytest.mark.parametrize(
    "words",
    [
        "0,0,8",
        "0,0,0,8",
        "-1,0,8,8",
        "0,0,8,8:nan",
        "0,0,8,8:-1",
        "0.5,0,8,8",
        "0,0,8," + 5000 * "8",
    ],
)
def test_a_box_that_is_none_is_not_looked_for_as_a_file(aic, photo, tmp_path, words):
    result = aic("encode", photo, tmp_path / "a.aic", "--roi", words)
    assert_usage(result, "is neither X,Y,W,H in pixels, W and H from 1, or that")


@pytest.fixture
def glass(tmp_path):
    """A transparent picture with EXIF."""
    path = tmp_path / "glass.png"
    picture = Image.fromarray(np.arange(6 * 8 * 4, dtype=np.uint8).reshape(6, 8, 4))
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    picture.save(path, exif=exif)
    return path


def restored(aic, source, tmp_path, encode=(), decode=(), suffix="png"):
    """A picture after both ways, with what was said on stderr."""
    coded, back = tmp_path / "g.aic", tmp_path / f"back.{suffix}"
    one = aic("encode", source, coded, "--force", *encode)
    two = aic("decode", coded, back, "--force", *decode)
    assert (one.exit_code, two.exit_code) == (0, 0), (one.stderr, two.stderr)
    return read_picture(back), one.stderr + two.stderr


def test_transparency_and_metadata_are_kept(aic, glass, tmp_path):
    meant = read_picture(glass)
    for suffix in ("png", "webp", "tif"):
        found, told = restored(aic, glass, tmp_path, suffix=suffix)
        assert np.array_equal(found.alpha, meant.alpha)
        assert found.metadata.exif is not None
        assert told == ""
    found, _ = restored(aic, glass, tmp_path, decode=["--region", "2,1,5,3"])
    assert np.array_equal(found.alpha, meant.alpha[1:4, 2:7])


def test_transparency_is_dropped_on_request(aic, glass, tmp_path):
    meant = read_picture(glass)
    for words in ({"encode": ["--alpha", "drop"]}, {"decode": ["--alpha", "drop"]}):
        found, _ = restored(aic, glass, tmp_path, **words)
        assert found.alpha is None
        assert np.array_equal(found.pixels, meant.pixels)
    for words in ({"encode": ["--alpha", "#f00"]}, {"decode": ["--alpha", "#f00"]}):
        found, _ = restored(aic, glass, tmp_path, **words)
        assert np.array_equal(found.pixels, meant.flattened((255, 0, 0)).pixels)


def test_grey_over_a_colour_loses_its_profile_of_grey(aic, tmp_path):
    grey = of_png({"gamma": 0.6}, grey=True)
    source = tmp_path / "a.png"
    Image.new("LA", (8, 6), (100, 50)).save(source, icc_profile=grey)
    told = "its colour profile is not one of such pixels"
    for words, kept, line in (
        ({"encode": ["--alpha", "red"]}, False, told),
        ({"decode": ["--alpha", "red"]}, False, "without icc (of grey, the picture gets colours)"),
        ({"decode": ["--alpha", "red"], "suffix": "tif"}, False, "without icc (of grey,"),
        ({"encode": ["--alpha", "white"]}, True, ""),
        ({"decode": ["--alpha", "white"]}, True, ""),
        ({"encode": ["--alpha", "red", "--metadata", "exif"]}, False, ""),
    ):
        found, said = restored(aic, source, tmp_path, **words)
        assert found.alpha is None
        assert found.metadata.icc == (grey if kept else None)
        assert line in said if line else not said
    result = aic("encode", source, tmp_path / "b.aic", "--alpha", "red", "--strict")
    assert_refused(result, told)


def test_transparency_is_not_lost_by_the_suffix(aic, glass, tmp_path):
    assert aic("encode", glass, tmp_path / "g.aic").exit_code == 0
    result = aic("decode", tmp_path / "g.aic", tmp_path / "g.jpg")
    assert_refused(result, "cannot be transparent")
    assert "--alpha drop" in result.stderr
    assert not (tmp_path / "g.jpg").exists()
    found, told = restored(aic, glass, tmp_path, decode=["--alpha", "white"], suffix="ppm")
    assert found.alpha is None
    assert told == f"{tmp_path / 'back.ppm'}: without exif\n"


def test_a_region_of_which_all_is_seen_has_any_suffix(aic, tmp_path):
    source, coded, part = (tmp_path / name for name in ("g.png", "g.aic", "g.jpg"))
    picture = Image.new("RGBA", (20, 12), (200, 100, 50, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 10, 12))
    picture.save(source)
    assert aic("encode", source, coded).exit_code == 0
    assert_refused(aic("decode", coded, part, "--region", "9,0,5,5"), "cannot be transparent")
    assert_refused(aic("decode", coded, part, "--region", "20,0,5,5"), "leaves the picture")
    assert aic("decode", coded, part, "--region", "10,0,5,5").exit_code == 0
    with Image.open(part) as found:
        assert found.size == (5, 5)


@pytest.mark.parametrize(
    ("kinds", "kept"), [("all", True), ("none", False), ("icc,exif", True), ("xmp", False)]
)
def test_kinds_of_metadata(aic, glass, tmp_path, kinds, kept):
    for words in ({"encode": ["--metadata", kinds]}, {"decode": ["--metadata", kinds]}):
        found, _ = restored(aic, glass, tmp_path, **words)
        assert (found.metadata.exif is not None) is kept


def test_metadata_that_a_format_cannot_hold_are_named(aic, tmp_path):
    long = b"II*\0\x08\0\0\0\0\0\0\0\0\0".ljust(70000, b"m")
    for exif, suffix, why in (
        (long, "jpg", "70000 bytes, at most 65527 fit into a JPEG file"),
        (b"no exif at all", "tif", "no TIFF structure"),
    ):
        data = FakeCodec().encode(
            Picture(np.zeros((6, 8, 3), np.uint8), None, Metadata(exif=exif))
        )
        (tmp_path / "a.aic").write_bytes(data)
        target = tmp_path / f"a.{suffix}"
        result = aic("decode", tmp_path / "a.aic", target)
        assert (result.exit_code, result.stderr) == (0, f"{target}: without exif ({why})\n")
        assert read_picture(target).metadata == Metadata()


def test_what_is_not_kept_is_said_or_refused_unless_it_is_not_wanted(aic, tmp_path):
    source, target = tmp_path / "a.jpg", tmp_path / "a.aic"
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(source, comment=b"by hand")
    result = aic("encode", source, target)
    assert (result.exit_code, result.stderr) == (0, f"{source}: not kept: a comment\n")
    assert_refused(aic("encode", source, target, "--force", "--strict"), "not kept: a comment")
    result = aic("encode", source, target, "--force", "--strict", "--metadata", "none")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--alpha", "whitish"], ["--metadata", "gps"]])
def test_unknown_colours_and_kinds(aic, glass, tmp_path, words):
    for target in (tmp_path / "g.aic", f"{tmp_path}{os.sep}"):
        result = aic("encode", glass, target, *words)
        assert result.exit_code == 2
    assert words[1] in result.stderr
    assert list(tmp_path.iterdir()) == [glass]


def test_16_bits_are_reduced_with_a_word_or_refused(aic, tmp_path):
    source = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 30000, np.uint16)).save(source)
    result = aic("encode", source, tmp_path / "a.aic")
    assert result.exit_code == 0
    assert result.stderr == f"{source}: more than 8 bits a sample were reduced to 8\n"
    assert aic("encode", source, tmp_path / "a.aic", "--quiet", "--force").stderr == ""
    assert_refused(aic("encode", source, tmp_path / "b.aic", "--strict"), "more than 8 bits")


def test_damage_is_refused_before_the_codec_is_loaded(aic, coded, tmp_path):
    whole = coded.read_bytes()
    for data, reason in (
        (whole[:-1], "bytes"),
        (whole + b"\0", "bytes"),
        (whole[:50] + bytes([whole[50] ^ 1]) + whole[51:], "checksum"),
        (b"\x89PNG" + whole[4:], "not an .aic file"),
    ):
        coded.write_bytes(data)
        for words in (("decode", coded, tmp_path / "b.png"), ("info", coded)):
            assert_refused(aic(*words), reason)
    assert FakeCodec.made == []
    assert not (tmp_path / "b.png").exists()


def raises(error):
    """A method that does nothing else."""

    def method(*_, **__):
        raise error

    return method


def test_a_refusal_of_the_codec_is_one_line(aic, coded, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeCodec, "decode_rows", raises(AicError("other weights")))
    assert_refused(aic("decode", coded, tmp_path / "b.png"), "other weights")


def test_a_bug_keeps_its_traceback(aic, coded, tmp_path, monkeypatch):
    bug = ValueError("a bug")
    monkeypatch.setattr(FakeCodec, "decode_rows", raises(bug))
    result = aic("decode", coded, tmp_path / "b.png")
    assert result.exception is bug
    assert result.output == ""


def test_interrupt_exits_as_shells_expect(aic, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeCodec, "encode", raises(KeyboardInterrupt()))
    result = aic("encode", photo, tmp_path / "a.aic")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert not (tmp_path / "a.aic").exists()


# ---- wrong usage: exit code 2


@pytest.mark.parametrize("rate", ["0", "-1", "24.1", "nan", "inf", "much"])
def test_rate_out_of_range(aic, rate, photo, tmp_path):
    assert_usage(aic("encode", photo, tmp_path / "a.aic", "--rate", rate), "'--rate'")
    assert FakeCodec.made == []


@pytest.mark.parametrize("rate", ["1e-9", "24"])
def test_rate_at_its_limits(aic, rate, photo, tmp_path):
    assert aic("encode", photo, tmp_path / "a.aic", "--rate", rate).exit_code == 0


@pytest.mark.parametrize(
    ("option", "value"), [("--threads", "0"), ("--device", "tpu"), ("--entropy", "ans")]
)
def test_value_out_of_range(aic, option, value, photo, tmp_path):
    assert_usage(aic("encode", photo, tmp_path / "a.aic", option, value), f"'{option}'")


def test_missing_and_unknown_words(aic, photo, tmp_path):
    assert_usage(aic("encode", photo), "OUT.aic")
    assert_usage(aic("encode", tmp_path / "no.png", tmp_path / "a.aic"), "does not exist")
    assert_refused(aic("encode", tmp_path, tmp_path / "a.aic"), "a.aic: is no folder")
    assert_refused(aic("encode", tmp_path, photo), "photo.png: is no folder")
    assert_usage(aic("squeeze"), "squeeze")


# ---- info


def test_info_json_is_the_whole_header(aic, coded):
    result = aic("info", coded, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    size = coded.stat().st_size
    expected = {
        "version": 1, "width": 16, "height": 12, "channels": 3, "entropy": "range",
        "u": round(0.69 * 65535) / 65535, "grid": [1, 1], "model_id": MODEL_ID.hex(),
        "bytes": size, "bpp": 8 * size / (12 * 16), "tiles": [{"bytes": size - 41}], "chunks": [],
    }  # fmt: skip
    assert expected == {k: v for k, v in json.loads(result.stdout).items() if k in expected}


def test_info_text_has_a_line_per_fact(aic, coded):
    facts = json.loads(aic("info", coded, "--json").stdout)
    lines = aic("info", coded).stdout.splitlines()
    shown = dict(line.split(":", 1) for line in lines)
    assert list(shown) == list(facts)
    assert shown["width"].strip() == "16"
    assert shown["entropy"].strip() == "range"


# ---- bench


def test_bench_measures_each_picture_at_each_rate(aic, photo, tmp_path):
    Image.new("L", (5, 4), 9).save(tmp_path / "grey.png")
    table, log = tmp_path / "a.csv", tmp_path / "a.json"
    words = ("--rate", "0.5", "--rate", "2", "--repeat", "2", "--csv", table, "--json", log)
    result = aic("bench", tmp_path, *words, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    asked = [(words[0], words[4]) for words in lines if words[0] in ("grey.png", "photo.png")]
    assert asked == [(name, rate) for name in ("grey.png", "photo.png") for rate in ("0.5", "2")]
    assert [words[4] for words in lines if words[0] == "mean"] == ["0.5", "2"]
    size = len(FakeCodec().encode(read_image(photo)))
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["picture"], float(row["setting"])) for row in rows] == [
        ("grey.png", 0.5), ("grey.png", 2.0), ("photo.png", 0.5), ("photo.png", 2.0),
    ]  # fmt: skip
    assert int(rows[2]["bytes"]) == size
    stored = json.loads(log.read_text())
    assert stored["rows"][2]["bpp"] == pytest.approx(8 * size / (12 * 16))
    assert stored["rows"][2]["ms_ssim"] is None  # too small for it, and JSON has no nan
    assert [row["setting"] for row in stored["means"]] == [0.5, 2.0]
    assert stored["codecs"]["aic-eye"]["device"] == "cpu"


def test_bench_default_rates_and_bar(aic, photo):
    result = aic("bench", photo.parent)
    assert result.exit_code == 0
    rates = [line.split()[4] for line in result.stdout.splitlines() if line.startswith("mean")]
    assert rates == ["0.1", "0.25", "0.5", "1"]
    assert "1/1" in result.stderr


def test_bench_measures_qualities_besides(aic, photo, tmp_path):
    words = ("--rate", "2", "--quality", "40", "--quality", "80", "--quiet")
    result = aic("bench", photo.parent, *words, "--json", tmp_path / "a.json")
    assert (result.exit_code, result.stderr) == (0, "")
    means = json.loads((tmp_path / "a.json").read_text())["means"]
    found = [(mean["codec"], mean["setting"]) for mean in means]
    assert found == [
        ("aic-eye", 2.0), ("aic-eye-quality", 40.0), ("aic-eye-quality", 80.0),
    ]  # fmt: skip
    assert {str(target) for target in FakeCodec.targets} == {"2 bpp", "quality 40", "quality 80"}
    assert_usage(aic("bench", photo.parent, "--quality", "101"), "'--quality'")


def test_bench_measures_what_else_is_asked(aic, photo, tmp_path):
    log = tmp_path / "a.json"
    cases = {
        (): [],
        ("--metric", "cvvdp"): ["cvvdp"],
        ("--metric", "cvvdp", "--metric", "ssimulacra2"): ["ssimulacra2", "cvvdp"],
        ("--ssimulacra2",): ["ssimulacra2"],  # as in 1.0
    }
    for words, measured in cases.items():
        words = ("--rate", "2", "--json", log, "--force", "--quiet", *words)
        assert aic("bench", photo.parent, *words).exit_code == 0
        (row,) = json.loads(log.read_text())["rows"]
        assert [name for name in ("ssimulacra2", "cvvdp") if row[name] is not None] == measured
    assert_usage(aic("bench", photo.parent, "--metric", "vmaf"), "'--metric'")


def test_bench_goes_on_after_a_bad_picture_and_exits_1(aic, photo):
    photo.with_name("bad.png").write_bytes(b"")
    result = aic("bench", photo.parent, "--rate", "1", "--quiet")
    assert result.exit_code == 1
    assert any(line.startswith("photo.png") for line in result.stdout.splitlines())
    assert "bad.png" in result.stdout
    assert result.stderr == "Error: 1 of 2 measurements failed\n"


def test_bench_times_commands_on_the_first_picture_that_can_be_read(
    aic, photo, tmp_path, monkeypatch
):
    program = "import sys, shutil; shutil.copy(*sys.argv[1:])"
    fake = (sys.executable, "-c", program, "{}", "{}")
    failing = (sys.executable, "-c", "import sys; sys.exit(3)", "{}", "{}")
    folder, log = photo.parent, tmp_path / "a.json"
    Image.new("1", (20000, 20000)).save(folder / "a.png")  # a bomb, to Pillow
    (folder / "b.png").write_bytes(b"")
    words = ("bench", folder, "--rate", "1", "--quiet", "--commands", "--json", log, "--force")
    words += ("--max-pixels", 1000)
    for encoder, failed in ((fake, ""), (failing, "; --commands: .* ended with 3")):
        monkeypatch.setattr(commands, "COMMANDS", {"aic": (encoder, fake, "aic")})
        result = aic(*words)
        assert result.exit_code == 1
        assert re.fullmatch(f"Error: 2 of 3 measurements failed{failed}\n", result.stderr)
        found = json.loads(log.read_text())
        assert [bool(row["error"]) for row in found["rows"]] == [True, True, False]
        assert [row["picture"] for row in found["commands"]] == ["photo.png"] * (not failed)
    photo.unlink()
    result = aic(*words)
    assert result.stderr.endswith("; --commands: no picture was measured\n")


def test_bench_shows_names_that_move_no_cursor(aic, photo):
    photo.rename(photo.with_name("new\nline \x1b[31mred.png"))
    photo.with_name("bad\x1b[2J.png").write_bytes(b"")
    result = aic("bench", photo.parent, "--rate", "1", "--no-cache", "--quiet")
    lines = result.stdout.splitlines()
    assert "\x1b" not in result.stdout
    assert lines[1].startswith(r"new\nline \x1b[31mred.png  aic-eye  16x12")
    assert len({len(line) for line in lines[:3]}) == 1
    bad = photo.with_name(r"bad\x1b[2J.png")
    said = f"failed: {bad.name} with aic-eye at 1: {bad}: "
    assert any(line.startswith(said) for line in lines)


def test_bench_refuses_before_it_works(aic, photo, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("precious")
    assert_refused(aic("bench", tmp_path, "--csv", table), "exists")
    (tmp_path / "none").mkdir()
    assert_refused(aic("bench", tmp_path / "none"), "no picture")
    assert_usage(aic("bench", tmp_path, "--repeat", "0"), "'--repeat'")
    assert table.read_text() == "precious"
    both = ("--csv", tmp_path / "x", "--json", tmp_path / "none" / ".." / "x")
    assert_refused(aic("bench", tmp_path, *both), "--csv, --json and --plot would write one file")


@pytest.mark.parametrize(
    "words", ["--quality 50", "--tune eye", "--effort 1", "--device cpu", "--weights FILE"]
)
def test_bench_refuses_options_of_aic_where_it_is_not_measured(aic, photo, tmp_path, words):
    weights = tmp_path / "m.safetensors"
    weights.write_bytes(b"")
    words = words.replace("FILE", str(weights)).split()
    result = aic("bench", photo.parent, "--codec", "jpeg", "--quiet", *words)
    assert_usage(result, f"{words[0]} means nothing without --codec aic")


def test_bench_writes_over_nothing_that_it_measures(aic, photo, tmp_path):
    before, folder = photo.read_bytes(), tmp_path / "site" / "pictures"
    folder.mkdir(parents=True)
    own = tmp_path / "m.safetensors"
    own.write_bytes(b"")
    (tmp_path / "curves.png").symlink_to(photo)
    (tmp_path / "a.csv").symlink_to(own)
    words = ("bench", photo.parent, "--rate", "1", "--quiet", "--force")
    for name in (photo, tmp_path / "curves.png"):
        assert_refused(aic(*words, "--plot", name), "is input and output at once")
    for option in ("--csv", "--json"):
        both = ("--weights", own, option, tmp_path / "a.csv")
        assert_refused(aic(*words, *both), "is input and output at once")
    photo.rename(folder / "photo.png.original.webp")
    report = ("--report", tmp_path / "site")
    for link in (folder, tmp_path / "links"):
        if link != folder:
            link.mkdir()
            (link / "photo.webp").symlink_to(folder / "photo.png.original.webp")
        result = aic("bench", link, *words[2:], *report)
        assert_refused(result, "its files would be written where pictures to measure are")
    assert [path.read_bytes() for path in folder.iterdir()] == [before]


def test_bench_gives_the_files_of_a_report_to_no_other_option(aic, photo, tmp_path):
    site = tmp_path / "site"
    (site / "pictures").mkdir(parents=True)
    (tmp_path / "link").symlink_to(site)
    words = ("bench", photo.parent, "--codec", "jpeg", "--quiet", "--force", "--report", site)
    for option, path in (
        ("--csv", site / "results.csv"), ("--json", tmp_path / "link" / "results.json"),
        ("--json", site / "index.html"), ("--csv", site / "pictures" / "rows.csv"),
    ):  # fmt: skip
        assert_refused(aic(*words, option, path), f"{path}: is a file of the --report")
    assert aic(*words, "--csv", site / "rows.csv").exit_code == 0


def test_bench_refuses_weights_that_would_have_one_name(aic, photo, tmp_path):
    same = []
    for name in ("one/m", "two/m", "three/aic-eye"):
        same.append(tmp_path / f"{name}.safetensors")
        same[-1].parent.mkdir()
        same[-1].write_bytes(b"")
    words = ("bench", photo.parent, "--rate", "1", "--quiet", "--weights")
    assert_refused(aic(*words, same[0], "--weights", same[1]), "would be called aic-m")
    assert_refused(aic(*words, same[2], "--tune", "eye"), "would be called aic-eye")
    other = tmp_path / "eye-quality.safetensors"
    other.write_bytes(b"")
    assert aic(*words, other, "--tune", "eye").exit_code == 0
    both = (*words, other, "--tune", "eye", "--quality", "50")
    assert_refused(aic(*both), "would be called aic-eye-quality")


def test_bench_writes_all_that_is_asked(aic, photo, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    out.mkdir()
    words = ["--codec", "jpeg", "--codec", "webp", "--codec", "aic", "--tune", "psnr"]
    words += ["--tune", "ms-ssim", "--json", out / "a.json", "--plot", out / "a.svg", "--quiet"]
    assert aic("bench", photo.parent, "--rate", 3, *words).exit_code == 0
    result = json.loads((out / "a.json").read_text())
    assert list(result["codecs"]) == ["jpeg", "webp", "aic-psnr", "aic-ms-ssim"]
    assert FakeCodec.tunes == ["psnr", "ms-ssim"]
    assert {c["anchor"] for c in result["comparisons"]} >= {"jpeg", "webp"}
    assert "<svg" in (out / "a.svg").read_text()
    site = out / "site"
    words = ["--codec", "jpeg", "--rate", 4, "--report", site, "--quiet"]
    shown = aic("bench", photo.parent, *words)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert (site / "index.html").is_file()
    found = json.loads((site / "results.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", found["date"])
    assert found["command"].split()[0] == "aic"
    assert found["outcome"].startswith("Nothing but jpeg was measured")
    with open(site / "results.csv", newline="") as file:
        assert [row["codec"] for row in csv.DictReader(file)] == ["jpeg"] * len(found["rows"])
    assert_refused(aic("bench", photo.parent, *words), "not empty")
    assert aic("bench", photo.parent, *words, "--force").exit_code == 0


def test_bench_without_scipy_lacks_bd_rates_only(aic, photo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.interpolate", None)
    words = ("--codec", "jpeg", "--codec", "webp", "--rate", 3, "--quiet", "--json")
    result = aic("bench", photo.parent, *words, tmp_path / "a.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "BD-rates need pip install 'imgcodec[bench]'" in result.stdout.splitlines()
    assert "mean of 1" in result.stdout
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["comparisons"] == []
    assert found["outcome"] == "BD-rates need pip install 'imgcodec[bench]'"
    alone = aic("bench", photo.parent, "--codec", "jpeg", "--quiet")
    assert "BD-rate" not in alone.stdout  # nothing to compare


@pytest.mark.parametrize(
    ("ended", "code", "told"),
    [(KeyboardInterrupt, 130, "interrupted"), (SystemExit(143), 143, "")],
)
def test_bench_keeps_what_it_had_when_interrupted(
    aic, photo, tmp_path, monkeypatch, ended, code, told
):
    Image.new("L", (5, 4), 9).save(photo.with_name("z.png"))
    encode = FakeCodec.encode

    def interrupted(self, image, *rest, **asked):
        if image.shape[0] == 4:
            raise ended
        return encode(self, image, *rest, **asked)

    monkeypatch.setattr(FakeCodec, "encode", interrupted)
    words = ("bench", photo.parent, "--rate", 3, "--quiet", "--json", tmp_path / "a.json")
    result = aic(*words)
    assert result.exit_code == code
    assert result.stderr.strip() == told
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["picture"] for row in rows] == ["photo.png"]
    monkeypatch.setattr(FakeCodec, "encode", encode)
    assert aic(*words, "--force").exit_code == 0


def test_bench_caches_unless_told_not_to(aic, photo, tmp_path):
    words = ("bench", photo.parent, "--rate", 3, "--quiet", "--cache", tmp_path / "cache")
    FakeCodec.targets.clear()
    assert aic(*words).exit_code == 0
    made = len(FakeCodec.targets)
    assert aic(*words).exit_code == 0
    assert len(FakeCodec.targets) == made > 0
    assert aic(*words[:-2], "--no-cache").exit_code == 0
    assert len(FakeCodec.targets) == 2 * made
    assert_usage(aic(*words, "--no-cache"), "--cache says where rows are kept")


def test_bench_needs_no_stderr(aic, photo, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    words = ["bench", str(photo.parent), "--rate", "3", "--no-cache"]
    cli.main.main(words, standalone_mode=False)
    assert "photo.png" in capsys.readouterr().out


def test_bench_writes_what_it_can(aic, photo, tmp_path, monkeypatch):
    write = files.write_bytes

    def full(path, data, force=False):
        if Path(path).suffix == ".csv":
            raise AicError(f"{path}: no space left on device")
        write(path, data, force)

    monkeypatch.setattr(files, "write_bytes", full)
    asked = {"--csv": "a.csv", "--json": "a.json", "--plot": "a.svg", "--report": "site"}
    words = itertools.chain(*((word, tmp_path / name) for word, name in asked.items()))
    result = aic("bench", photo.parent, "--rate", 3, *words)
    assert result.exit_code == 1
    first, second = tmp_path / "a.csv", tmp_path / "site" / page.CSV
    why = "no space left on device"
    assert result.stderr.endswith(f"Error: {first}: {why}; {second}: {why}\n")
    assert json.loads((tmp_path / "a.json").read_text())["rows"]
    assert (tmp_path / "a.svg").exists()
    assert not (tmp_path / "site").exists()  # nothing went into it


def test_bench_tells_what_a_report_lacks(aic, photo, tmp_path, monkeypatch):
    def full(path, image, force=False):
        raise AicError(f"{path}: no space left on device")

    monkeypatch.setattr(page.writer, "write_image", full)
    words = ("--codec", "jpeg", "--report", tmp_path / "site", "--no-cache", "--quiet")
    result = aic("bench", photo.parent, *words)
    assert result.exit_code == 1
    original = tmp_path / "site" / "pictures" / "photo.png.original.webp"
    assert result.stderr == f"Error: {original}: no space left on device\n"
    assert (tmp_path / "site" / "index.html").is_file()


def test_bench_tells_once_that_rows_could_not_be_kept(aic, photo, tmp_path, monkeypatch):
    write = files.write_bytes

    def full(path, data, force=False):
        if tmp_path / "cache" in Path(path).parents:
            raise AicError(f"{path}: no space left on device")
        write(path, data, force)

    monkeypatch.setattr(files, "write_bytes", full)
    words = ("bench", photo.parent, "--rate", 3, "--rate", 4, "--cache", tmp_path / "cache")
    result = aic(*words)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "no space left" in line]
    assert line.startswith(f"{photo.parent}: rows are measured again in a next run: ")
    result = aic(*words, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--csv", "--json", "--plot", "--report", "--cache"])
def test_bench_writes_no_file_for_stdout(aic, photo, monkeypatch, option):
    monkeypatch.chdir(photo.parent)
    result = aic("bench", photo.parent, "--codec", "jpeg", "--quiet", option, "-")
    assert_usage(result, "- is no stdout here; ./- is a file of that name")
    assert not Path("-").exists()


def test_bench_writes_its_files_where_stdout_is_full(aic, photo, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("imgcodec.bench.benchmark.Benchmark.text", full)
    words = ("--csv", tmp_path / "a.csv", "--no-cache", "--quiet")
    result = aic("bench", photo.parent, "--codec", "jpeg", *words)
    assert result.stderr == "Error: stdout: no space left on device\n"
    assert "photo.png,jpeg," in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize("ended", [SystemExit(143), AicError("no cache")])
@pytest.mark.parametrize("step", ["run", "Benchmark._machine"])
def test_bench_leaves_no_empty_report(aic, photo, tmp_path, step, ended, monkeypatch):
    def ends_early(*_):
        raise ended

    monkeypatch.setattr(f"imgcodec.bench.benchmark.{step}", ends_early)
    words = ("--codec", "jpeg", "--report", tmp_path / "site", "--no-cache", "--quiet")
    result = aic("bench", photo.parent, *words)
    assert result.exit_code in (1, 143)
    assert not (tmp_path / "site").exists()


# ---- train


@pytest.fixture
def training(monkeypatch):
    """The calls that the command makes."""
    calls = {}
    for name, function in (("loop", "train"), ("export", "export")):
        module = types.ModuleType(f"imgcodec.train.{name}")

        def called(*words, _name=name, **named):
            named.pop("told", None)  # a function, of the bar
            named.pop("begun", None)  # a time
            calls[_name] = (words, named)
            return [words[1] / name / "last.pt" for name in named.get("configs", ())]

        setattr(module, function, called)
        monkeypatch.setitem(sys.modules, f"imgcodec.train.{name}", module)
    package = types.ModuleType("imgcodec.train")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "imgcodec.train", package)
    return calls


DEFAULTS = {
    "minutes": 150.0, "seconds": None, "half": False, "resume": None, "start": None,
    "device": "cpu", "threads": None, "objective": "rd", "seed": 0, "batch": 8, "crop": 128,
    "final_crop": None, "learning_rate": 6e-4, "pages": 0.1, "only": None,
}  # fmt: skip


def test_train_keeps_the_checkpoint_of_another_run(aic, training, tmp_path):
    base = ("train", "--data", tmp_path, "--out", tmp_path / "run")
    last = tmp_path / "run" / "last.pt"
    last.parent.mkdir()
    last.write_bytes(b"weeks of work")
    assert_refused(aic(*base), "last.pt: exists, is of another run")
    assert "loop" not in training
    assert aic(*base, "--resume", last).exit_code == 0
    assert aic(*base, "--force").exit_code == 0
    (tmp_path / "run" / "eye").mkdir()
    (tmp_path / "run" / "eye" / "last.pt").write_bytes(b"of the eye")
    assert_refused(aic(*base, "--tune", "psnr", "--tune", "eye"), "eye/last.pt: exists")


def test_train_passes_its_options_on(aic, training, tmp_path, photo, monkeypatch):
    from imgcodec.model import ModelConfig

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    out = tmp_path / "run"
    base = ("train", "--data", tmp_path, "--out", out)
    result = aic(*base)
    assert (result.exit_code, result.stdout) == (0, f"{out / 'last.pt'}\n")
    alone = {**DEFAULTS, "configs": {".": ModelConfig()}}
    assert training == {"loop": ((tmp_path, out), alone)}
    structure = ModelConfig(metric="ms-ssim")
    assert aic(*base, "--tune", "ms-ssim").exit_code == 0
    assert training["loop"][1] == {**DEFAULTS, "configs": {".": structure}}
    result = aic(*base, "--tune", "psnr", "--tune", "ms-ssim")
    assert training["loop"][1]["configs"] == {"psnr": ModelConfig(), "ms-ssim": structure}
    assert result.stdout.splitlines() == [
        str(out / name / "last.pt") for name in ("psnr", "ms-ssim")
    ]
    result = aic(
        *base, "--start", photo, "--device", "cpu", "--threads", "2",
        "--loss", "paper", "--config", "paper", "--seed", "7", "--batch", "4", "--crop", "256",
        "--pages", "0", "--seconds", "720", "--half", "--final-crop", "512",
    )  # fmt: skip
    assert result.exit_code == 0
    assert training["loop"] == ((tmp_path, out), {
        "minutes": 150.0, "seconds": 720.0, "half": True, "resume": None, "start": photo,
        "device": "cpu", "threads": 2,
        "objective": "paper", "configs": {".": ModelConfig.paper()}, "seed": 7, "batch": 4,
        "crop": 256, "final_crop": 512, "learning_rate": 6e-4, "pages": 0.0,
        "only": None,
    })  # fmt: skip
    assert aic(*base, "--minutes", "0.5", "--learning-rate", "0.001").exit_code == 0
    short = {"minutes": 0.5, "learning_rate": 0.001}
    assert training["loop"][1] == {**DEFAULTS, **short, "configs": {".": ModelConfig()}}


def test_train_has_the_sizes_of_what_it_starts_from(aic, training, tmp_path, photo, tiny_weights):
    from tiny import TINY

    from imgcodec.model import ModelConfig

    base = ("train", "--data", tmp_path, "--out", tmp_path / "run", "--start")
    assert aic(*base, tiny_weights, "--only", "contexts").exit_code == 0
    assert training["loop"][1]["configs"] == {".": TINY}
    assert training["loop"][1]["only"] == "contexts"
    assert aic(*base, tiny_weights, "--tune", "psnr", "--tune", "eye").exit_code == 0
    assert training["loop"][1]["configs"] == {"psnr": TINY, "eye": replace(TINY, metric="eye")}
    assert aic(*base, tiny_weights, "--config", "aic").exit_code == 0
    assert training.pop("loop")[1]["configs"] == {".": ModelConfig()}
    assert_refused(aic(*base, photo), "not a checkpoint")
    assert training == {}


def test_train_chooses_the_device(aic, training, tmp_path, monkeypatch):
    base = ("train", "--data", tmp_path, "--out", tmp_path / "run")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.zeros", lambda *_, **words: None)
    for asked, got in (("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")):
        assert aic(*base, "--device", asked).exit_code == 0
        assert training.pop("loop")[1]["device"] == got

    def fail(*_, **words):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("torch.zeros", fail)  # it is there, and does not work
    assert aic(*base).exit_code == 0
    assert training.pop("loop")[1]["device"] == "cpu"
    assert_refused(aic(*base, "--device", "cuda"), "CUDA error: out of memory")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert_refused(aic(*base, "--device", "cuda"), "no CUDA device")
    assert training == {}


def test_train_export_freezes_a_checkpoint(aic, training, tmp_path, photo):
    target = tmp_path / "w.safetensors"
    assert aic("train", "--resume", photo, "--export", target).exit_code == 0
    assert training == {"export": ((photo, target, None), {})}
    target.write_bytes(b"old")
    training.clear()
    assert_refused(aic("train", "--resume", photo, "--export", target), "exists")
    assert training == {}
    words = ("--resume", photo, "--export", target, "--force")
    assert aic("train", *words, "--data", tmp_path).exit_code == 0
    assert training == {"export": ((photo, target, tmp_path), {})}
    assert_refused(aic("train", "--resume", photo, "--export", photo, "--force"), "input and")


def test_train_wrong_usage(aic, training, tmp_path, photo):
    base = ("train", "--data", tmp_path)
    assert_usage(aic(*base), "--out")
    assert_usage(aic("train", "--out", tmp_path), "--data")
    assert_usage(aic("train", "--export", tmp_path / "w"), "--resume")
    words = ("--resume", photo, "--out", tmp_path, "--export", tmp_path / "w")
    assert_usage(aic("train", *words), "--out")
    words = ("--out", tmp_path, "--resume", photo, "--seconds", "9")
    assert_usage(aic(*base, *words), "exclude each other")
    assert_usage(aic(*base, "--out", tmp_path, "--crop", "63"), "'--crop'")
    several = "--out", tmp_path, "--tune", "psnr", "--tune", "eye"
    assert_usage(aic(*base, *several, "--resume", photo), "several --tune and --resume")
    assert_usage(aic(*base, *several, "--config", "paper"), "several --tune and --config paper")
    assert_usage(aic(*base, "--out", tmp_path, "--pages", "0.95"), "'--pages'")
    assert_usage(aic(*base, "--out", tmp_path, "--pages", "-0.1"), "'--pages'")
    assert_usage(aic(*base, "--out", tmp_path, "--only", "contexts"), "--only goes with --start")
    paper = "--start", photo, "--only", "contexts", "--loss", "paper"
    assert_usage(aic(*base, "--out", tmp_path, *paper), "--only and --loss paper")
    both = "--resume", photo, "--start", photo
    assert_usage(aic(*base, "--out", tmp_path, *both), "exclude each other")
    assert training == {}


# ---- help and start


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_each_command(aic, command, flag):
    result = aic(command, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: main {command} [OPTIONS]")


def test_help_tells_unit_range_and_default(aic):
    text = " ".join(aic("encode", "-h").stdout.split())
    assert "--rate BPP Most bits per pixel that the whole file may take." in text
    assert "--quality 0..100 The same trade-off" in text
    assert "[default: (72 (psnr), 76 (ms-ssim), 69 (eye)); 0<=x<=100]" in text
    for level in ("40: ", "60: ", "75: ", "90: "):
        assert level in text
    assert "--threads N CPU threads, no more than there are cores. [default: (one per" in text


def test_the_manual_page_is_that_of_the_help():
    docs = Path(__file__).parents[2] / "docs"
    page = runpy.run_path(str(docs / "scripts" / "manpage.py"))["page"]()
    assert page == (docs / "aic.1").read_text(), "run python docs/scripts/manpage.py"
    assert ".B \\-\\-rate BPP" in page


def test_verbose_explains(aic, photo, tmp_path):
    result = aic("encode", photo, tmp_path / "a.aic", "--rate", "1", "--verbose")
    assert (result.exit_code, result.stderr) == (0, "")
    told = result.stdout.splitlines()[1:]
    assert told[0] == "  asked: 1 bpp, found: rate parameter 0.1250"
    assert told[1] == "  tiles: 1 x 1; header and index 41 bytes, chunks 0"
    assert told[2] == f"  weights {MODEL_ID.hex()} on cpu, 2 threads, float32"
    seconds = r"\d+\.\d\d s"
    assert re.fullmatch(rf"  read {seconds}, load {seconds}, write {seconds}", told[3])
    result = aic("decode", tmp_path / "a.aic", tmp_path / "b.png", "--verbose")
    *others, stages = result.stdout.splitlines()[1:]
    assert others == told[1:3]
    assert re.fullmatch(rf"  load {seconds}, write {seconds}", stages)


def test_help_lists_the_commands(aic):
    text = aic("-h").stdout.partition("Commands:")[2]
    assert sorted(re.findall(r"^  (\w+) ", text, re.MULTILINE)) == [
        "bench", "decode", "encode", "info", "inspect", "pack", "restore", "train", "trim",
        "unpack",
    ]  # fmt: skip


def test_version(aic):
    assert aic("--version").stdout == f"aic, version {__version__}\n"


HEAVY = ("torch", "numpy", "PIL", "scipy", "tqdm", "constriction", "safetensors")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["encode", "-h"], ["info", "coded"]])
def test_light_commands_load_nothing_heavy(words, coded):
    words = [str(coded) if word == "coded" else word for word in words]
    code = (
        "import sys\n"
        "from imgcodec.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout
    assert out.stderr == "[]\n"


def test_module_is_the_command():
    command = [sys.executable, "-m", "imgcodec", "--version"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stdout == f"aic, version {__version__}\n"


# ---- the stand-ins have the words of the real parts


@pytest.mark.parametrize("method", ["__init__", "encode", "trim", "decode_rows"])
def test_fake_has_the_signatures_of_the_codec(method):
    from imgcodec.codec import Codec

    def words(codec):
        found = inspect.signature(getattr(codec, method)).parameters.values()
        return [(word.name, word.default) for word in found]

    assert words(FakeCodec) == words(Codec)


def test_training_takes_the_options_of_the_command():
    from imgcodec.train.export import export
    from imgcodec.train.loop import train

    inspect.signature(train).bind("data", "out", **DEFAULTS)
    inspect.signature(export).bind("checkpoint", "target", "pictures")


def test_a_region_that_weights_do_not_know_is_told(aic, photo, tmp_path):
    words = ("--roi", "0,0,8,8", "--force")
    told = aic("encode", photo, tmp_path / "a.aic", *words, "--tune", "psnr").stderr
    assert "use --tune eye" in told
    told = aic("encode", photo, tmp_path / "a.aic", *words)
    assert (told.exit_code, told.stderr) == (0, "")

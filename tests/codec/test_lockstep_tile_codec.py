"""Small pictures that go through the model together."""

import threading
from functools import partial

import numpy as np
import pytest
import thumbnails
import torch
from PIL import Image

from imgcodec.cli.many import batch, grouping, targets
from imgcodec.codec import Codec
from imgcodec.codec.tile_codec import TileCodec
from imgcodec.errors import FormatError
from imgcodec.model import Dequantised
from imgcodec.runtime.exact import exact
from imgcodec.runtime.lockstep import Lockstep


@pytest.fixture
def pictures(tmp_path, textured):
    """Twelve small pictures, a broken one and one of another size among them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(textured(40, 50 if i != 9 else 30, seed=i)).save(folder / f"{i:02d}.png")
    (folder / "04.png").write_bytes((folder / "04.png").read_bytes()[:2000])
    return folder


@pytest.fixture
def sizes(monkeypatch):
    """How many pictures went through the context models at once, of each call."""
    found = []
    plan, read = TileCodec.plan, TileCodec.read

    def spy_plan(self, latents, *rest, **words):
        found.append(len(latents.y))
        return plan(self, latents, *rest, **words)

    def spy_read(self, data, *rest):
        found.append(len(data))
        return read(self, data, *rest)

    monkeypatch.setattr(TileCodec, "plan", spy_plan)
    monkeypatch.setattr(TileCodec, "read", spy_read)
    return found


def encoding(codec, **goal):
    work = thumbnails.encoding(goal)
    work.codec = codec
    return work


def decoding(codec):
    work = thumbnails.decoding()
    work._codec = codec
    return work


@pytest.mark.parametrize(
    ("goal", "numbers"),
    [
        ({"quality": 40.0}, range(12)),
        ({"rate": 1.0}, (3, 4, 5, 9)),
        ({"psnr": 21.0}, (3, 4, 5, 9)),
    ],
)
def test_files_are_those_of_pictures_alone(pictures, tmp_path, tiny_codec, sizes, goal, numbers):
    for i in set(range(12)) - set(numbers):
        (pictures / f"{i:02d}.png").unlink()
    todo = targets.find([str(pictures)], str(tmp_path / "files"), (".png",), ".aic").tasks
    outcomes = list(batch.run(todo, encoding(tiny_codec, **goal), 1))
    assert [outcome.task.source.stem for outcome in outcomes] == [f"{i:02d}" for i in numbers]
    assert [bool(outcome.error) for outcome in outcomes] == [i == 4 for i in numbers]
    # of the first eight, or of all of one size, the broken one has no codes
    assert sizes[0] == (7 if len(numbers) == 12 else 2)
    for task in todo:
        if task.source.stem != "04":
            pixels = np.asarray(Image.open(task.source))
            assert task.target.read_bytes() == tiny_codec.encode(pixels, **goal)


@pytest.mark.parametrize("shape", [(16, 24), (64, 64)])
def test_networks_give_each_picture_the_numbers_of_one_alone(tiny_codec, textured, shape):
    """To the last digit, on a CPU: else a file depends on what is encoded beside it."""
    tiles = np.stack([textured(*shape, seed=i) for i in range(3)])
    us = [20000, 30000, 40000]
    tile_codec = tiny_codec._tile_codec
    with exact():
        latents = tile_codec.latents(tile_codec.analyse(tiles), us)
        pixels = tile_codec.synthesise(Dequantised(latents.levels, latents.y), us)
        for i, u in enumerate(us):
            one = tile_codec.latents(tile_codec.analyse(tiles[i : i + 1]), u)
            assert torch.equal(one.y[0], latents.y[i])
            assert torch.equal(one.levels[0], latents.levels[i])
            alone = tile_codec.synthesise(Dequantised(one.levels, one.y), u)
            assert np.array_equal(alone[0], pixels[i])


def test_batches_overlap_as_on_a_gpu(tmp_path, tiny_codec, textured, sizes, monkeypatch):
    """Two at a time, of pictures of two sizes by turns; the same files and pictures."""
    monkeypatch.setitem(grouping.WAYS, "cpu", grouping.WAYS["cuda"]._replace(most=3))
    for i in range(8):
        pixels = textured(168, 160 if i % 2 else 168, seed=i)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    todo = targets.find([str(tmp_path)], str(tmp_path / "files"), (".png",), ".aic").tasks
    outcomes = list(batch.run(todo, encoding(tiny_codec, quality=40.0), 1))
    assert [(outcome.task, outcome.error) for outcome in outcomes] == [(t, None) for t in todo]
    assert sorted(sizes) == [1, 1, 3, 3]
    for source, target, _ in todo:
        assert target.read_bytes() == tiny_codec.encode(np.asarray(Image.open(source)), quality=40)
    back = targets.find([str(tmp_path / "files")], str(tmp_path / "back"), (".aic",), ".ppm").tasks
    assert [outcome.error for outcome in batch.run(back, decoding(tiny_codec), 1)] == [None] * 8
    for source, target, _ in back:
        assert np.array_equal(
            np.asarray(Image.open(target)), tiny_codec.decode(source.read_bytes())
        )


def test_as_many_batches_go_at_a_time_as_asked():
    met = threading.Barrier(2)
    groups = ([number] for number in range(6))

    def meet(group):
        met.wait(timeout=60)
        return group

    assert list(batch._overlapped(meet, groups, 2)) == [[number] for number in range(6)]


def test_pictures_of_one_size_are_picked_out():
    taken = []

    def tasks():
        for task in "aabacaaLabbbb":
            taken.append(task)
            yield task

    def size(task):
        return (9, 9) if task == "L" else (ord(task) - ord("a") + 1, 1)

    groups = grouping.grouped(tasks(), size, grouping.Way(3, 80, 1))
    assert next(groups) == ["a"] * 3
    assert len(taken) == 4
    assert ["".join(group) for group in groups] == ["L", "aaa", "bbb", "c", "bb"]


def test_pictures_are_those_of_files_alone(pictures, tmp_path, tiny_codec, sizes):
    files = tmp_path / "files"
    files.mkdir()
    (pictures / "04.png").unlink()
    for i, path in enumerate(sorted(pictures.iterdir())):
        data = tiny_codec.encode(np.asarray(Image.open(path)), quality=10.0 * (i % 5))
        data = bytearray(data)
        if i == 2:
            data[-20] ^= 1  # a broken checksum
        (files / f"{path.stem}.aic").write_bytes(data)
    sizes.clear()
    todo = targets.find([str(files)], str(tmp_path / "restored"), (".aic",), ".png").tasks
    outcomes = list(batch.run(todo, decoding(tiny_codec), 1))
    assert [bool(outcome.error) for outcome in outcomes] == [i == 2 for i in range(11)]
    assert max(sizes) == 7
    for task, outcome in zip(todo, outcomes, strict=True):
        if outcome.error is None:
            expected = tiny_codec.decode(task.source.read_bytes())
            assert np.array_equal(np.asarray(Image.open(task.target)), expected)


def test_what_cannot_be_read_is_refused_for_one_picture_only(tiny_codec, textured):
    """Bytes that only the entropy decoder can find fault with."""
    good = tiny_codec.encode(textured(40, 50), quality=50.0)
    tile_codec = tiny_codec._tile_codec

    def work(data, member):
        with exact():
            return tiny_codec.joining(member)._tile_codec.read([data], 30000, (5, 7))

    ends = [b"\xff" * 400, b"\x12\x34\x56\x78" * 2]
    with exact():
        for data in ends:
            with pytest.raises(FormatError):
                tile_codec.read([data], 30000, (5, 7))
    for data in ends:
        with pytest.raises(FormatError):
            Lockstep().run([partial(work, d) for d in (data, data)])
    assert tiny_codec.decode(good).shape == (40, 50, 3)


def test_large_pictures_and_regions_go_alone(tmp_path, tiny_codec, textured, sizes):
    for i in range(2):
        Image.fromarray(textured(168, 160, seed=i)).save(tmp_path / f"{i}.png")
    todo = targets.find([str(tmp_path)], str(tmp_path / "files"), (".png",), ".aic").tasks
    assert all(outcome.error is None for outcome in batch.run(todo, encoding(tiny_codec), 1))
    assert set(sizes) == {1}
    work = encoding(tiny_codec)
    work.effort = 2
    assert work.size(tmp_path / "0.png") is None
    assert encoding(tiny_codec).size(tmp_path / "0.png") == (168, 160)
    assert encoding(tiny_codec).size(tmp_path / "none.png") is None


def test_single_bits_are_not_joined(pictures, tmp_path, paper_weights, sizes):
    codec = Codec("cpu", weights=paper_weights)
    todo = targets.find([str(pictures)], str(tmp_path / "files"), (".png",), ".aic").tasks
    outcomes = list(batch.run(todo, encoding(codec), 1))
    assert sum(outcome.error is None for outcome in outcomes) == 11
    assert set(sizes) == {1}
    todo = targets.find(
        [str(tmp_path / "files")], str(tmp_path / "restored"), (".aic",), ".ppm"
    ).tasks
    assert all(outcome.error is None for outcome in batch.run(todo, decoding(codec), 1))
    assert set(sizes) == {1}

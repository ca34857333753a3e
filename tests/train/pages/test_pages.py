"""Rendered pages: the same for a seed, of many kinds, and their share among training pictures."""

import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from imgcodec.errors import AicError
from imgcodec.train import data
from imgcodec.train.pages import canvas, page, pages
from imgcodec.train.pages.canvas import Canvas, smooth, theme
from imgcodec.train.pages.kinds import KINDS

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def chance(seed):
    return random.Random(seed)  # noqa: S311


def some(name, seed, size=256):
    return page(name, chance(seed), size)


def steep(pixels):
    """The share of neighbours that differ by more than 40 levels."""
    return (np.abs(np.diff(pixels.astype(int), axis=1)).max(2) > 40).mean()


def test_pages_follow_their_seed_and_not_their_number():
    found = pages(6, 3, 128)
    assert found.dtype == torch.uint8
    assert found.shape == (6, 3, 128, 128)
    assert torch.equal(pages(3, 3, 128), found[:3])
    assert len({bytes(picture.numpy()) for picture in found}) == 6
    assert not torch.equal(pages(3, 4, 128), found[:3])


@pytest.mark.parametrize("size", [64, 200, 512])
def test_pages_have_any_size(size):
    assert pages(2, 0, size).shape == (2, 3, size, size)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_drawn_and_varies(name):
    found = np.stack([some(name, seed, 128) for seed in range(8)])
    assert len({picture.tobytes() for picture in found}) == 8
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) > 2 for picture in found)
    means = found.mean((1, 2, 3))
    assert means.max() - means.min() > 20  # light and dark ones


def test_all_kinds_are_among_many_pages(monkeypatch):
    seen = []
    monkeypatch.setattr("imgcodec.train.pages.page", lambda name, *_: seen.append(name) or 0)
    pages(300, 0, 8)
    assert set(seen) == set(KINDS)
    assert 300 / len(seen) * seen.count("text") > 2 * seen.count("gradient")


def test_ruled_pages_have_steep_edges_and_gradients_none():
    ruled = np.mean([steep(some("ruled", seed)) for seed in range(12)])
    paper = Canvas(chance(0), 256, 1, WHITE)
    assert ruled > 0.03
    assert steep(smooth(paper, 3)) == 0


def test_smooth_colours_have_no_bands():
    found = smooth(Canvas(chance(1), 256, 1, WHITE), 2).astype(int)
    steps = np.abs(np.diff(found, axis=1))
    flat = (steps == 0).all(2)
    assert steps.max() < 6
    assert flat.mean() < 0.5  # a plain gradient, rounded, is flat but for its bands


def test_letters_are_antialiased_and_every_script_has_its_own():
    found = []
    for words in ("Größe", "ποιότητα", "качество"):
        for name in (*canvas.SANS, *canvas.SERIF, *canvas.MONO):
            drawn = Canvas(chance(0), 64, 1, WHITE)
            drawn.text(2, 20, words, canvas.Face(name, 14), BLACK)
            found.append(drawn.array())
            assert len(np.unique(found[-1])) > 20
            missing = Canvas(chance(0), 64, 1, WHITE)
            missing.text(2, 20, "\ue123" * len(words), canvas.Face(name, 14), BLACK)
            assert not np.array_equal(found[-1], missing.array())
    assert len({picture.tobytes() for picture in found}) == len(found)


def test_shapes_are_antialiased_once_they_are_settled():
    drawn = Canvas(chance(0), 32, 4, WHITE)
    drawn.line(((0, 3), (32, 20)), BLACK, 1)
    assert set(np.unique(drawn.array())) == {0, 255}
    drawn.settle()
    assert drawn.array().shape == (32, 32, 3)
    assert len(np.unique(drawn.array())) > 5
    drawn.box(4, 24, 8, 28, BLACK)
    np.testing.assert_array_equal(drawn.array()[24:28, 4:8], 0)
    assert drawn.array()[24:28, [3, 8]].min() == 255


def test_a_justified_paragraph_fills_its_lines():
    def right_edge(justified):
        drawn = Canvas(chance(0), 200, 1, WHITE)
        face = canvas.Face("DejaVuSans", 10)
        drawn.paragraph(4, 4, 196, 100, face, BLACK, ["river", "archive", "a"] * 20, justified)
        rows = drawn.array()[..., 0] < 128
        return [rows[y : y + 13].any(0).nonzero()[0].max() for y in (4, 18, 31)]

    assert min(right_edge(True)) > 192
    assert np.ptp(right_edge(True)) < np.ptp(right_edge(False)) + 3


def test_themes_are_readable():
    for seed in range(200):
        colours = theme(chance(seed))
        assert abs(sum(colours.paper) - sum(colours.ink)) > 130
    dark = sum(theme(chance(seed)).paper < (100, 100, 100) for seed in range(500))
    assert 80 < dark < 220


def test_an_overlay_shows_the_photograph_below():
    photographs = torch.zeros(1, 3, 300, 300, dtype=torch.uint8)
    photographs[:, 0] = 77
    found = [page("overlay", chance(seed), 256, photographs) for seed in range(10)]
    shares = [(picture == (77, 0, 0)).all(2).mean() for picture in found]
    assert sum(share > 0.15 for share in shares) >= 5
    assert max(shares) < 1


# ---- among the training pictures


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 1), (0.25, 3), (0.5, 9)])
def test_pages_are_a_share_of_all_pictures(share, count):
    crops = torch.randint(256, (9, 3, 72, 64), generator=torch.Generator().manual_seed(0)).byte()
    found = data.with_pages(crops, share, 5)
    assert torch.equal(found[:9], crops)
    assert torch.equal(found[9:], pages(count, 5, 72, crops)[..., :64])


def test_without_the_fonts_pages_are_refused(monkeypatch):
    canvas._font.cache_clear()
    monkeypatch.setattr(
        canvas, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name)
    )
    with pytest.raises(AicError, match=r"'\.\[train\]'"):
        some("text", 0)

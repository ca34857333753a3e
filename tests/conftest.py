"""What the tests share: models of a few kilobytes."""

import os
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import PAPER, TINY, build, write_weights

from imgcodec import cli, codec
from imgcodec.codec import Codec


@pytest.fixture
def tiny_model():
    """A model of binary expansions; new for every test, which may change it."""
    return build(TINY)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory):
    """Weights of the same sizes with other numbers in them."""
    return write_weights(tmp_path_factory.mktemp("other"), TINY, seed=1)


@pytest.fixture(scope="session")
def paper_weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("paper"), PAPER)


@pytest.fixture(scope="session")
def tiny_codec(tiny_weights):
    return Codec("cpu", weights=tiny_weights)


@pytest.fixture(scope="session")
def paper_codec(paper_weights):
    return Codec("cpu", weights=paper_weights)


@pytest.fixture
def aic(tiny_weights, monkeypatch):
    """Run the command in this process with the tiny model as the shipped one."""
    tiny = SimpleNamespace(path=tiny_weights)
    monkeypatch.setattr(codec, "newest", lambda tune, effort: tiny)
    monkeypatch.setattr("imgcodec.cli.loading.needed", lambda model_id: tiny)
    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words])


@pytest.fixture
def disk_ends():
    """Let no file grow beyond so many bytes meanwhile: stands for the end of the disk."""
    if os.name != "posix":
        pytest.skip("limits of processes are POSIX's")
    import resource

    @contextmanager
    def limited(num_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def textured():
    """Make a picture with content at every frequency, (height, width) -> uint8 (H, W, 3)."""

    def make(height, width, seed=0):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:height, :width]
        waves = np.stack([np.sin(columns / 9 + rows / 23), np.cos(rows / 7), rows * 0], -1)
        # as strong as an untrained model expects it: then the size follows u without jumps
        coarse = rng.standard_normal((height // 4 + 1, width // 4 + 1)).repeat(4, 0).repeat(4, 1)
        noise = 45 * coarse[:height, :width, None] + 8 * rng.standard_normal((height, width, 1))
        return (128 + 30 * waves + noise).clip(0, 255).astype(np.uint8)

    return make

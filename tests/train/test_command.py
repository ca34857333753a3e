"""`aic train`: what it refuses before it works, and what it leaves."""

import re

import pytest
from click.testing import CliRunner
from test_train import write_pictures

from imgcodec import cli
from imgcodec.train import loop


@pytest.fixture
def runs(monkeypatch):
    """The settings of the runs that commands begin; none is trained."""
    begun = []

    def train(data, out, **settings):
        begun.append(settings)
        return [out / name / "last.pt" for name in settings["configs"]]

    monkeypatch.setattr(loop, "train", train)
    return begun


@pytest.fixture
def aic(tmp_path):
    """Run `aic train` on the pictures of a test, in its folder."""
    words = "train", "--data", write_pictures(tmp_path / "pictures"), "--device", "cpu"
    return lambda *more: CliRunner().invoke(cli.main, [*map(str, (*words, *more))])


def assert_refused(result, reason):
    """Exit code 1, one line on stderr, nothing on stdout."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert re.fullmatch(rf"Error: [^\n]*{reason}[^\n]*\n", result.stderr), result.stderr


def test_a_tune_given_twice_counts_once(aic, runs, tmp_path):
    twice = "--out", tmp_path / "run", "--tune", "eye", "--tune", "eye"
    result = aic(*twice)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'run' / 'last.pt'}\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"weeks of work")
    assert_refused(aic(*twice), "run/last.pt: exists, is of another run")
    assert len(runs) == 1

"""`aic train`: what it refuses before it works, and what it leaves."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from test_train import write_pictures
from tiny import TINY, build

from imgcodec import cli
from imgcodec.model import ModelConfig
from imgcodec.train import loop
from imgcodec.train.trainee import Trainee


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


def test_the_seconds_of_a_run_hold_the_start_of_torch(aic, runs, tmp_path):
    before = time.perf_counter()
    aic("--out", tmp_path / "run", "--seconds", 60)
    assert before <= runs[0]["begun"] <= time.perf_counter()


INTERRUPTED = """
import sys
from imgcodec import cli

class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            print("numpy" in sys.modules)
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
cli.main(["train", "--data", ".", "--out", "run"])
"""


def test_a_run_may_be_interrupted_while_torch_loads(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (out.returncode, out.stdout, out.stderr) == (130, "True\n", "interrupted\n")


@pytest.mark.filterwarnings("always")
def test_a_terminal_shows_how_far_a_run_is(runs, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with cli.train._bar() as told:
        told(0.5, 700)
        told(1.2, 1400)
        warnings.warn("one line\nof two", stacklevel=1)
    assert "\rone line of two\n" in sys.stderr.getvalue()
    assert "100%" in sys.stderr.getvalue()
    assert "1400 steps" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with cli.train._bar() as told:
        told(0.5, 700)
        warnings.warn("one line", stacklevel=1)
    assert sys.stderr.getvalue() == "one line\n"


@pytest.mark.parametrize("name", ["last.pt", "log.jsonl", "curves.png"])
def test_what_lies_in_the_folder_of_a_run_is_kept(aic, runs, tmp_path, name):
    out = tmp_path / "run"
    out.mkdir()
    (out / name).write_bytes(b"\xff")
    assert_refused(aic("--out", out), rf"run/{name}: exists, is of another run")
    assert runs == []
    assert aic("--out", out, "--force").exit_code == 0
    (out / name).unlink()
    (out / name).mkdir()
    assert_refused(aic("--out", out, "--force"), rf"run/{name}: is not a regular file")
    assert len(runs) == 1


def test_a_resumed_run_may_replace_its_own_files(aic, runs, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name in ("last.pt", "log.jsonl", "curves.png"):
        (out / name).write_bytes(b"own")
    assert aic("--out", out, "--resume", out / "last.pt").exit_code == 0
    (tmp_path / "other.pt").write_bytes(b"another")
    assert_refused(aic("--out", out, "--resume", tmp_path / "other.pt"), "of another run")
    assert len(runs) == 1


def test_the_folder_of_a_run_has_to_be_makeable(aic, runs, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert_refused(aic("--out", tmp_path / "file" / "run"), "file is no folder")
    assert aic("--out", tmp_path / "deep" / "run").exit_code == 0


def test_what_a_run_starts_from_is_never_written_over(aic, runs, tmp_path, tiny_weights):
    start = tmp_path / "run" / "psnr" / "last.pt"
    start.parent.mkdir(parents=True)
    shutil.copy(tiny_weights, start)
    words = "--start", start, "--force", "--out"
    assert_refused(aic(*words, start.parent), "last.pt: is input and output at once")
    several = "--tune", "psnr", "--tune", "eye"
    assert_refused(aic(*words, tmp_path / "run", *several), "last.pt: is input and output at once")
    assert runs == []


def assert_usage(result, reason):
    """Exit code 2, the reason on stderr."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: {reason}\n" in result.stderr


def test_options_that_mean_nothing_are_refused(aic, runs, tmp_path):
    out = "--out", tmp_path / "run"
    paper = "--config", "paper", "--tune", "psnr"
    assert_usage(aic(*out, *paper), "--tune and --config paper exclude each other")
    time = "--seconds", "9", "--minutes", "1"
    assert_usage(aic(*out, *time), "--seconds and --minutes exclude each other")
    rate = "--loss", "paper", "--learning-rate", "0.1"
    assert_usage(aic(*out, *rate), "--learning-rate and --loss paper exclude each other")
    tune = "--loss", "paper", "--tune", "eye"
    assert_usage(aic(*out, *tune), "--tune and --loss paper exclude each other")
    for name in ("--crop", "--final-crop"):
        assert_usage(aic(*out, name, "100"), f"{name} 100 is not a multiple of 8")
    for name, *value in (
        ("--out", tmp_path), ("--start", tmp_path / "pictures" / "a.tar"), ("--minutes", "1"),
        ("--tune", "psnr"), ("--loss", "rd"), ("--config", "aic"), ("--seed", "0"), ("--half",),
        ("--threads", "1"),
    ):  # fmt: skip
        words = "--resume", tmp_path / "pictures" / "a.tar", "--export", tmp_path / "w"
        command = [str(word) for word in ("train", *words, name, *value)]
        result = CliRunner().invoke(cli.main, command)
        assert_usage(result, f"{name} does not go with --export")
    assert runs == []
    assert not (tmp_path / "w").exists()


def write_checkpoint(path, config, **more):
    model = build(config)
    optimiser = Trainee(model, "rd").optimiser.state_dict()
    began = {"fresh": True, "step": 4, "elapsed_s": 2.0, **more}
    weights = {"average": model.state_dict(), "model": model.state_dict(), "optimiser": optimiser}
    torch.save({"config": config.as_dict(), **weights, **began}, path)
    return path


def test_a_resumed_run_is_the_one_that_was_begun(aic, runs, tmp_path):
    paper = write_checkpoint(tmp_path / "paper.pt", ModelConfig.paper(), objective="paper")
    eye = write_checkpoint(tmp_path / "eye.pt", replace(TINY, metric="eye"))
    words = "--out", tmp_path / "run", "--resume"
    for path, *more in (
        (paper,), (paper, "--loss", "paper", "--config", "paper"), (eye, "--tune", "eye"),
        (eye, "--loss", "paper"),
    ):  # fmt: skip
        assert aic(*words, path, *more).exit_code == 0
    assert len(runs) == 4
    assert_refused(aic(*words, paper, "--loss", "rd"), "begun with another --loss, paper")
    assert_refused(aic(*words, paper, "--config", "aic"), "other sizes than those of --config aic")
    assert_refused(aic(*words, paper, "--tune", "eye"), "begun with another --tune, psnr")
    assert_refused(aic(*words, eye, "--tune", "psnr"), "begun with another --tune, eye")
    assert_refused(aic(*words, eye, "--config", "aic"), "other sizes than those of --config aic")
    rate = "--learning-rate", "0.1"
    assert_refused(aic(*words, paper, *rate), "which takes no --learning-rate")
    assert aic(*words, eye, *rate).exit_code == 0
    (tmp_path / "foreign.pt").write_bytes(b"")
    assert_refused(aic(*words, tmp_path / "foreign.pt", "--tune", "eye"), "is not a checkpoint")
    assert len(runs) == 5

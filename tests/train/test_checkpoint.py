"""Checkpoints: what is damaged or of another kind is refused, whatever it is read for."""

import math
import time

import pytest
import torch
from test_train import TINY
from tiny import build

from imgcodec import weights
from imgcodec.errors import AicError
from imgcodec.model.tables import mass_table
from imgcodec.train.checkpoint import load_checkpoint, load_start, save_checkpoint
from imgcodec.train.export import export
from imgcodec.train.schedule import Stage
from imgcodec.train.trainee import Trainee

NAME = "g_s.last.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the checkpoint of a step holds."""
    path = tmp_path_factory.mktemp("whole") / "last.pt"
    trainee = Trainee(build(TINY), "rd")
    trainee.advance(torch.rand(1, 3, 32, 32), torch.tensor([0.5]), Stage(True, True), (1e-3, 1e-3))
    began = {"fresh": False, "settles": False, "only": None}
    save_checkpoint(path, trainee, 1.5, began, mass_table(), mass_table(), half=False)
    return torch.load(path, weights_only=True)


def test_small_checkpoints_are_equal_whenever_they_are_written(monkeypatch, tmp_path):
    """Also where the clock is before 1980, which ZIP has no dates for."""
    trainee, began = Trainee(build(TINY), "rd"), {"fresh": False, "settles": False, "only": None}
    written = []
    for now in (0.0, 1e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        path = tmp_path / "half.pt"
        save_checkpoint(path, trainee, 1.5, began, mass_table(), mass_table(), half=True)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def damaged(whole, name, value):
    """A checkpoint with one thing changed; `name` may be that of a part of a part."""
    part, _, inner = name.partition("/")
    if not inner:
        return whole | {name: value}
    changed = dict(whole[part])
    if value is None:
        del changed[inner]
    else:
        changed[inner] = value
    return whole | {part: changed}


WRONG = [
    ("config", 1),
    ("config/width", 10**6),
    ("config/width", -5),
    ("config/width", "8"),
    ("config/width", 8.0),
    ("config/width", 16),
    ("config/skip", 1),
    ("config/groups", "45"),
    ("config/metric", "foo"),
    ("config/colour", 3),
    ("average", []),
    (f"average/{NAME}", None),
    (f"average/{NAME}", torch.zeros(3)),
    (f"average/{NAME}", 0.5),
    ("average/more", torch.zeros(3)),
    ("average/unit", torch.full((12,), math.nan)),
    ("average/unit", torch.ones(12, dtype=torch.int64)),
    ("masses", "abc"),
    ("masses", torch.zeros(3)),
    ("masses", mass_table().float()),
    ("masses", -mass_table()),
    ("masses", 2 * mass_table()),
    ("masses", mass_table().flip(1)),
    ("estimates", torch.zeros(2, 2)),
    ("model", None),
    (f"model/{NAME}", None),
    ("model/unit", torch.full((12,), math.inf)),
    ("optimiser", {}),
    ("optimiser/state", []),
    ("optimiser/state", {10**6: {}}),
    ("optimiser/state", {0: {}}),
    ("step", "4"),
    ("step", -(10**30)),
    ("step", 10**30),
    ("elapsed_s", math.nan),
    ("elapsed_s", math.inf),
    ("elapsed_s", -1.0),
    ("elapsed_s", "long"),
    ("fresh", 1),
    ("settles", "no"),
    ("only", "foo"),
    ("objective", "foo"),
]


REFUSAL = r"^\S+last\.pt is not a checkpoint of this program$"


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_damaged_checkpoints_are_refused(whole, tmp_path, name, value):
    torch.save(damaged(whole, name, value), tmp_path / "last.pt")
    with pytest.raises(AicError, match=REFUSAL):
        load_checkpoint(tmp_path / "last.pt")


def test_starts_and_exports_refuse_damaged_checkpoints_too(whole, tmp_path):
    path, target = tmp_path / "last.pt", tmp_path / "own.safetensors"
    for name, value in ((f"average/{NAME}", None), ("masses", torch.zeros(3))):
        torch.save(damaged(whole, name, value), path)
        with pytest.raises(AicError, match=REFUSAL):
            load_start(path)
        with pytest.raises(AicError, match=REFUSAL):
            export(path, target)
    assert not target.exists()


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("value", [None, torch.zeros(7), 0.5])
def test_what_another_optimiser_remembers_is_refused(whole, tmp_path, name, value):
    moments = dict(whole["optimiser"]["state"])
    moments[0] = moments[0] | {name: value}
    torch.save(damaged(whole, "optimiser/state", moments), tmp_path / "last.pt")
    with pytest.raises(AicError, match=REFUSAL):
        load_checkpoint(tmp_path / "last.pt")


def test_whole_checkpoints_are_read(whole, tmp_path):
    torch.save(damaged(whole, "config/groups", [4, 5]), tmp_path / "last.pt")
    state = load_checkpoint(tmp_path / "last.pt")
    assert state.keys() == whole.keys()
    assert state["config"] == TINY.as_dict()
    export(tmp_path / "last.pt", tmp_path / "own.safetensors")
    assert weights.load(tmp_path / "own.safetensors").model.config == TINY
    torch.save({name: whole[name] for name in ("config", "average")}, tmp_path / "least.pt")
    assert load_start(tmp_path / "least.pt").masses is None
    with pytest.raises(AicError, match="averaged weights alone"):
        load_checkpoint(tmp_path / "least.pt")


def test_an_optimiser_keeps_its_settings(whole, tmp_path):
    forged = whole["optimiser"] | {"param_groups": [{"params": [0], "betas": "none"}]}
    torch.save(whole | {"optimiser": forged}, tmp_path / "last.pt")
    state = load_checkpoint(tmp_path / "last.pt")
    trainee = Trainee(build(TINY), "rd")
    trainee.resume(state["average"], state["optimiser"], state["step"])
    assert [group["betas"] for group in trainee.optimiser.param_groups] == [(0.9, 0.98)] * 2
    moments = trainee.optimiser.state[trainee.optimiser.param_groups[0]["params"][0]]
    assert torch.equal(moments["exp_avg"], whole["optimiser"]["state"][0]["exp_avg"])

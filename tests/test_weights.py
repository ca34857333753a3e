"""Weights files: what is kept exactly, what is rounded, what is refused; their tables."""

import copy
import hashlib
import json
import math
import resource

import numpy as np
import pytest
import torch
from pretended_gpu import pretended_gpu
from safetensors import safe_open
from safetensors.torch import save as save_tensors

from imgcodec import weights
from imgcodec.entropy.digits import LEVEL_EIGHTHS
from imgcodec.errors import AicError
from imgcodec.model.integer import IntegerLayer
from imgcodec.model.steps import rate_index
from imgcodec.model.tables import LOGIT_LIMIT, NUM_SCALES, RATE_INDICES
from imgcodec.releases import Release
from imgcodec.train.export import make_tables, probability_table


@pytest.fixture
def tables(tiny_model):
    return make_tables(tiny_model)


@pytest.fixture
def saved(tiny_model, tables, tmp_path):
    """A weights file of its own that a test may damage."""
    path = tmp_path / "saved.safetensors"
    weights.save(path, tiny_model, tables)
    return path


def test_the_tables_of_a_model_on_a_gpu_are_those_of_one_on_a_cpu(tiny_model, tables):
    model = copy.deepcopy(tiny_model)
    with pretended_gpu():
        found = make_tables(model.to("cuda"))
    for own, other in zip(found, tables, strict=True):
        assert torch.equal(own, other)


def integer_layers(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, IntegerLayer)}


# ---------------------------------------------------------------- round trip


def test_integers_come_back_exactly(tiny_model, saved):
    found = integer_layers(weights.load(saved).model)
    layers = integer_layers(tiny_model)
    assert len(layers) > 10
    assert list(found) == list(layers)
    for name, layer in layers.items():
        for there, here in zip(found[name].integers(), layer.integers(), strict=True):
            assert torch.equal(there, here), name
    assert max(layer.integers()[0].abs().max() for layer in layers.values()) > 50


def test_floats_are_rounded_to_half_precision_and_no_more(tiny_model, saved):
    found = weights.load(saved).model.state_dict()
    integers = tuple(integer_layers(tiny_model))
    floats = {n: t for n, t in tiny_model.state_dict().items() if not n.startswith(integers)}
    assert list(found) == list(tiny_model.state_dict())
    for name, tensor in floats.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor.half().float()), name
    assert any(not torch.equal(found[n], t) for n, t in floats.items())


def test_config_and_tables_come_back(tiny_model, tables, saved):
    loaded = weights.load(saved)
    assert loaded.model.config == tiny_model.config
    assert isinstance(loaded.model.config.groups, tuple)
    for name, there, here in zip(tables._fields, loaded.tables, tables, strict=True):
        assert torch.equal(there, here), name
        assert there.dtype == here.dtype
    assert not loaded.model.training


def test_paper_config_comes_back(paper_weights):
    config = weights.load(paper_weights).model.config
    assert (config.digits, config.skip, config.groups) == (0, False, (8, 8))


def test_saving_what_was_loaded_gives_the_same_file(saved, tmp_path):
    again = tmp_path / "again.safetensors"
    loaded = weights.load(saved)
    weights.save(again, loaded.model, loaded.tables)
    assert again.read_bytes() == saved.read_bytes()


def test_a_full_disk_leaves_the_old_weights(saved, tiny_model, tables, disk_ends):
    before = saved.read_bytes()
    with disk_ends(4096), pytest.raises(AicError, match=rf"^{saved}: file too large$"):
        weights.save(saved, tiny_model, tables)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_model_id_is_the_start_of_the_hash(tiny_model, tables, tmp_path):
    path = tmp_path / "x.safetensors"
    digest = weights.save(path, tiny_model, tables)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.load(path).model_id.hex() == digest[:16]


def test_weights_that_could_be_inexact_are_not_saved(tiny_model, tables, tmp_path):
    with torch.no_grad():
        tiny_model.level_context.second.bias.fill_(2.0**18)
    with pytest.raises(ValueError, match=r"2\^24 is the limit"):
        weights.save(tmp_path / "x.safetensors", tiny_model, tables)


# ---------------------------------------------------------------- refusals


def refusal(path):
    with pytest.raises(AicError) as caught:
        weights.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, -1])
def test_truncated_files_are_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    assert "is not a weights file of this codec" in refusal(saved)


def test_longer_files_are_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    assert "is not a weights file of this codec" in refusal(saved)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(200),
        b"\xff" * 64,
        b"\x02\0\0\0\0\0\0\0{}",
        b"\x02\0\0\0\0\0\0\0[]",
        (4).to_bytes(8, "little") + b"null",
        (50_000).to_bytes(8, "little") + b"[" * 50_000,
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
    ],
)
def test_foreign_bytes_are_refused(tmp_path, data):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(data)
    assert "is not a weights file of this codec" in refusal(path)


def repacked(path, change):
    """Rewrite a weights file after `change(config, tensors)`."""
    from safetensors.torch import load_file

    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    config = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["config"])
    tensors = load_file(path)
    change(config, tensors)
    path.write_bytes(save_tensors(tensors, {"config": json.dumps(config)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda config, tensors: tensors.pop("tables.digits"),
        lambda config, tensors: tensors.pop("g_s.stem.weight"),
        lambda config, tensors: tensors.update(more=torch.zeros(1)),
        lambda config, tensors: tensors.update({"g_a.last.bias": torch.zeros(13)}),
        lambda config, tensors: config.pop("groups"),
        lambda config, tensors: config.update(groups=5),
        lambda config, tensors: config.update(colours=7),
        lambda config, tensors: config.update(width=16),
        lambda config, tensors: config.update(width="8"),
        lambda config, tensors: tensors["g_s.last.bias"].fill_(float("nan")),
        lambda config, tensors: tensors["unit"].fill_(float("inf")),
        lambda config, tensors: config.update(encoder_blocks=10**7),
        lambda config, tensors: config.update(groups=[10**9]),
        lambda config, tensors: config.update(context_ranks=[2, 0]),
        lambda config, tensors: config.update(context_ranks=[4096]),
        lambda config, tensors: config.update(context_ranks=3),
        lambda config, tensors: config.update(context_ranks=["x"]),
        lambda config, tensors: config.update(context_ranks=[2.5]),
        lambda config, tensors: config.update(metric="beauty"),
        lambda config, tensors: config.update(attention_heads=3),
        lambda config, tensors: config.update(digits=1.5),
        lambda config, tensors: config.update(skip="yes"),
        lambda config, tensors: config.update(lattice=1),
        lambda config, tensors: config.update(groups=[]),
        lambda config, tensors: config.update(groups=[0]),
        lambda config, tensors: config.update(groups=[4, 6]),
        lambda config, tensors: config.update(context_phases=4),
        lambda config, tensors: config.update(context_radius=None),
        lambda config, tensors: config.update(coarse_blocks="2"),
        lambda config, tensors: tensors.update({"tables.masses": tensors["tables.masses"][:3]}),
        lambda config, tensors: tensors.update({"tables.digits": tensors["tables.digits"][:3]}),
        lambda config, tensors: tensors.update(
            {"tables.probabilities": tensors["tables.probabilities"][:9]}
        ),
        lambda config, tensors: tensors["tables.masses"].neg_(),
        lambda config, tensors: tensors["tables.masses"].mul_(2),
        lambda config, tensors: tensors["tables.masses"][5, 5].zero_(),
        lambda config, tensors: tensors["tables.probabilities"][3].zero_(),
        lambda config, tensors: tensors["tables.probabilities"][3].fill_(65536),
        lambda config, tensors: tensors["tables.digits"][3, 3].fill_(14),
        lambda config, tensors: tensors.update({"tables.digits": tensors["tables.digits"] > 0}),
    ],
)
def test_files_that_do_not_fit_together_are_refused(saved, change):
    repacked(saved, lambda config, tensors: None)
    weights.load(saved)
    repacked(saved, change)
    assert "is not a weights file of this codec" in refusal(saved)


@pytest.mark.filterwarnings("error")  # torch warns of layers without channels
@pytest.mark.parametrize(
    "name",
    [
        "latents", "levels", "width", "attention_width", "attention_heads", "attention_window",
        "context_width", "context_hidden", "coarse_width",
    ],
)  # fmt: skip
def test_networks_without_channels_are_refused(saved, name):
    repacked(saved, lambda config, tensors: config.update({name: 0}))
    assert "is not a weights file of this codec" in refusal(saved)


@pytest.mark.parametrize(
    "claim",
    [
        {"width": 2048},
        {"coarse_blocks": 128, "coarse_width": 2048},
        {"context_width": 2048, "context_hidden": 2048, "context_layers": 128},
        {"attention_window": 2048, "attention_width": 2048},
        {"context_radius": 128},
    ],
)
def test_networks_far_larger_than_their_file_take_no_memory(saved, claim):
    repacked(saved, lambda config, tensors: config.update(claim))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "is not a weights file of this codec" in refusal(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("config", ["[1]", "null", "3", '"ab"', '[["width", "8"]]', "{"])
def test_a_configuration_that_is_none_is_refused(saved, config):
    from safetensors.torch import load_file

    saved.write_bytes(save_tensors(load_file(saved), {"config": config}))
    assert "is not a weights file of this codec" in refusal(saved)


def test_missing_and_unreadable_files(tmp_path):
    assert "cannot read the weights" in refusal(tmp_path / "none.safetensors")
    assert "cannot read the weights" in refusal(tmp_path)
    assert "cannot read the weights" in refusal(tmp_path / ("w" * 5000))


def test_released_names_are_checked_by_hash(saved, monkeypatch):
    path = saved.rename(saved.with_name("saved-1.0.safetensors"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    released = Release("saved", "1.0", "psnr", digest)
    monkeypatch.setattr(weights, "RELEASES", (released,))
    weights.load(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "are damaged: SHA-256 is not" in refusal(path)
    path.rename(path.with_name("own.safetensors"))
    weights.load(path.with_name("own.safetensors"))  # who made it may change it


# ---------------------------------------------------------------- context models alone


@pytest.fixture
def released(saved, monkeypatch):
    """A released set of tiny weights."""
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    release = Release("saved", "1.0", "psnr", digest)
    saved.rename(saved.with_name(release.file_name))
    monkeypatch.setattr(Release, "path", property(lambda own: saved.with_name(own.file_name)))
    monkeypatch.setattr(weights, "RELEASES", (release,))
    return release


def other_contexts(model):
    """Return a model with the same transforms."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for layer in integer_layers(other).values():
            layer.bias.add_(0.25)
    return other


def test_context_models_alone_bring_the_transforms_of_a_released_set(
    tiny_model, tables, released, tmp_path
):
    model = other_contexts(tiny_model)
    assert weights.transforms_of(model) == released
    whole, alone = tmp_path / "whole.safetensors", tmp_path / "alone.safetensors"
    weights.save(whole, model, tables)
    digest = weights.save(alone, model, tables, released)
    assert digest == hashlib.sha256(alone.read_bytes()).hexdigest()
    with safe_open(alone, "pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {
            "tables", "code_context", "level_context",
        }  # fmt: skip
    loaded, wanted = weights.load(alone), weights.load(whole)
    assert loaded.model_id != wanted.model_id
    for name, tensor in wanted.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name
    assert all(map(torch.equal, loaded.tables, wanted.tables))


def test_transforms_are_left_out_only_where_they_are_those_of_the_set(
    tiny_model, tables, released, tmp_path
):
    model = other_contexts(tiny_model)
    model.g_s.last.weight.data[0, 0, 0, 0] += 1
    assert weights.transforms_of(model) is None
    with pytest.raises(ValueError, match=r"other transforms than those of saved 1\.0"):
        weights.save(tmp_path / "alone.safetensors", model, tables, released)
    assert not (tmp_path / "alone.safetensors").exists()


def test_transforms_of_unknown_weights_are_refused(
    tiny_model, tables, released, tmp_path, monkeypatch
):
    path = tmp_path / "alone.safetensors"
    weights.save(path, tiny_model, tables, released)
    weights.load(path)
    monkeypatch.setattr(weights, "RELEASES", ())
    assert "is not a weights file of this codec" in refusal(path)


def test_transforms_that_are_damaged_or_missing_are_told_apart(
    tiny_model, tables, released, tmp_path
):
    path = tmp_path / "alone.safetensors"
    weights.save(path, tiny_model, tables, released)
    with released.path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    with pytest.raises(AicError, match=r"saved-1\.0\.safetensors are damaged: SHA-256"):
        weights.load(path)
    released.path.unlink()
    with pytest.raises(AicError, match=r"cannot read the weights .*saved-1\.0\.safetensors"):
        weights.load(path)


# ---------------------------------------------------------------- tables


def test_masses_are_those_of_the_logistic_distribution(tables):
    masses = tables.masses
    assert masses.shape == (NUM_SCALES, 257)
    assert masses.dtype == torch.int32
    for row in (0, 6, 39, 40, 41, 80, 111):
        scale = 2 ** ((row - 40) / 8)
        for m in (0, 1, 2, 3, 10, 100, 255, 256):
            outside = 2 / (1 + math.exp(min((m + 0.5) / scale, 700)))
            assert abs(int(masses[row, m]) - (1 - outside) * 2**24) <= 1


def test_masses_rise_along_rows_and_fall_along_columns(tables):
    masses = tables.masses.long()
    assert (masses.diff(dim=1) >= 0).all()
    assert (masses.diff(dim=0) <= 0).all()
    assert masses.min() > 0
    assert masses.max() == 2**24


def test_masses_agree_with_scipy(tables):
    logistic = pytest.importorskip("scipy.special").expit
    scale = 2 ** ((np.arange(NUM_SCALES) - 40) / 8)
    edge = np.arange(257) + 0.5
    expected = (2 * logistic(edge / scale[:, None]) - 1) * 2**24
    assert np.abs(tables.masses.numpy() - expected).max() <= 1


def test_probability_table():
    table = probability_table()
    assert table.shape == (2 * LOGIT_LIMIT + 1,)
    for logit in (-256, -100, -16, -1, 0, 1, 16, 100, 256):
        p = 65536 / (1 + math.exp(-logit / 16))
        assert abs(int(table[LOGIT_LIMIT + logit]) - min(max(p, 1), 65535)) <= 1
    assert table[LOGIT_LIMIT] == 32768
    assert (table.diff() >= 0).all()
    assert (table + table.flip(0) == 65536).all()
    assert (int(table.min()), int(table.max())) == (1, 65535)


def test_digit_table_of_a_model(tiny_model, tables):
    table, config = tables.digits.int(), tiny_model.config
    rows = RATE_INDICES + LEVEL_EIGHTHS * (config.levels - 1) + 1  # the last index that occurs
    assert table.shape == (rows, sum(config.parts))
    assert (table.diff(dim=0) >= 0).all()
    assert (int(table.min()), int(table.max())) == (0, 13)


def test_digits_reach_what_a_latent_can_be(tiny_model, tables):
    """A latent as large as a coefficient gets is not cut, at any step of any level."""
    config = tiny_model.config
    for u in (0.0, 0.3, 0.5):
        for level in range(config.levels):
            rate = torch.tensor([u])
            row = int(rate_index(rate)) + LEVEL_EIGHTHS * level
            step = tiny_model.steps(torch.full((1, 1, 1, 1), float(level)), rate)[0, -1, 0, 0]
            largest = 8 / (float(step) * float(tiny_model.unit[-1]))  # of pixels 0..1, in steps
            limit = 0 if tables.digits[row, -1] == 0 else 2 ** (int(tables.digits[row, -1]) - 1)
            # u is rounded to eighths of an octave, of which half one may be missing
            assert min(largest * 2 ** (-1 / 16) - 0.5, 4096) <= limit

"""The step of training: nothing in it comes from the host, so that a graph may replay it."""

import shutil

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from imgcodec.model import Model, ModelConfig, cells, fusion
from imgcodec.model.fusion import fusing
from imgcodec.model.tables import Costs
from imgcodec.train import loss
from imgcodec.train.schedule import Stage
from imgcodec.train.trainee import Trainee

SMALL = ModelConfig(
    latents=12, width=8, encoder_blocks=2, decoder_blocks=2, attention_width=8, attention_heads=2,
    attention_blocks=1, lattice=3, groups=(4, 5), context_width=8, context_hidden=8,
)  # fmt: skip
REAL = Stage(quantised=True, real=True)
NO_KERNELS = {
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "select", "unsqueeze",
    "squeeze", "detach", "split", "split_with_sizes", "as_strided", "alias", "unbind", "unfold",
    "empty", "empty_like", "empty_strided", "new_empty", "_reshape_alias", "lift_fresh", "chunk",
}  # fmt: skip


def trainee(config=SMALL, fresh=False):
    torch.manual_seed(3)
    model = Model(config)
    model.start_from(torch.linspace(1, 0.01, 192))
    return Trainee(model, "rd", fresh)


def batches(count, side=64):
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        yield torch.rand(2, 3, side, side, generator=generator), torch.rand(2, generator=generator)


class Tape(TorchDispatchMode):
    """Records operations, and does them all again in the same memory, as a CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.entries = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.entries.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        with torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, result in self.entries:
                again = function(*args, **kwargs)
                for old, new in zip(tensors(result), tensors(again), strict=True):
                    if old.data_ptr() != new.data_ptr():
                        old.copy_(new)


def tensors(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [tensor for part in result for tensor in tensors(part)]
    return []


@pytest.mark.parametrize("metric", ["mse", "ms-ssim", "eye"])
def test_a_replayed_step_computes_what_an_eager_one_does(metric, monkeypatch):
    config = ModelConfig(**(SMALL.as_dict() | {"metric": metric}))
    side = 64 if metric == "mse" else 168
    eager, taped = trainee(config), trainee(config)
    tape = Tape()
    compute = taped.compute

    def record(stage):
        if tape.entries:
            tape.replay()
        else:
            with tape:
                compute(stage)

    for step, (x, u) in enumerate(batches(4, side)):
        if step == 1:  # the optimiser has its state by now
            monkeypatch.setattr(taped, "compute", record)
        if step == 2:  # a graph has gradients of its own, which each replay writes anew
            monkeypatch.setattr(taped.optimiser, "zero_grad", lambda **_: None)
        for one in (eager, taped):
            torch.manual_seed(step)
            one.advance(x, u, REAL, (1e-3 / (step + 1), 2e-3))
    assert len(tape.entries) > 1000
    for name, tensor in eager.model.state_dict().items():
        torch.testing.assert_close(taped.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    for name, tensor in eager.average.state_dict().items():
        torch.testing.assert_close(taped.average.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(taped.sums, eager.sums)
    before = trainee(config).model.state_dict()
    assert not torch.equal(before["g_a.stem.weight"], eager.model.state_dict()["g_a.stem.weight"])


class Kernels(TorchDispatchMode):
    """Counts operations that would be kernels on a GPU; those of a fused function are one."""

    def __init__(self):
        super().__init__()
        self.count, self.depth = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not self.depth and function._opname not in NO_KERNELS:
            self.count += 1
        return function(*args, **(kwargs or {}))

    def compile(self, function, **_):
        def fused(*args):
            self.count += not self.depth
            self.depth += 1
            try:
                return function(*args)
            finally:
                self.depth -= 1

        return fused


LARGE = {  # what `aic-psnr-large` 1.12 has
    "context_phases": 6, "context_radius": 2, "context_deep": True, "context_layers": 1,
    "context_ranks": (24, 24, 24, 24),
}  # fmt: skip


@pytest.mark.parametrize(("sizes", "most"), [({}, 2800), (LARGE, 4000)], ids=["1.0", "large"])
def test_a_step_of_the_shipped_sizes_is_not_too_many_kernels(sizes, most, monkeypatch):
    one = trainee(ModelConfig(**sizes))
    x, u = next(batches(1))
    one.advance(x, u, REAL, (1e-4, 1e-4))  # the orders of places are made once
    kernels = Kernels()
    monkeypatch.setattr(torch, "compile", kernels.compile)
    monkeypatch.setattr(fusion, "_compiled", {})
    one.optimiser.zero_grad()
    with fusing(), kernels:
        one.compute(REAL)
    assert kernels.count < most  # it was 12,300 before, with the sizes of 1.0


def test_a_gradient_that_is_not_finite_changes_nothing(monkeypatch):
    one = trainee()
    (x, u), other = batches(2)
    one.advance(*other, REAL, (1e-3, 1e-3))  # the optimiser remembers it
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    with monkeypatch.context() as patch:
        right = loss.rate_distortion
        patch.setattr(loss, "rate_distortion", lambda *args: right(*args) / 0)
        one.advance(x, u, REAL, (1e-3, 1e-3))
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    one.advance(x, u, REAL, (1e-3, 1e-3))
    assert all(tensor.isfinite().all() for tensor in one.model.state_dict().values())
    assert not torch.equal(one.model.g_a.stem.weight, before["g_a.stem.weight"])


def test_sums_wait_for_the_steps_that_they_are_of(monkeypatch):
    """On CUDA these may still be under way, on a stream of their own."""
    one, waited = trainee(), []
    one.sums += 3
    monkeypatch.setattr(one, "join", lambda: waited.append(one.sums.tolist()))
    assert one.take_sums() == [3, 3, 3]
    assert waited == [[3, 3, 3]]


def test_the_average_is_one_over_so_many_pixels_in_the_end(monkeypatch):
    monkeypatch.setattr("imgcodec.train.trainee.AVERAGED_PX", 2**22)
    one = trainee()
    one.step = 10**6
    ((x, u),) = batches(1)
    before = one.average.g_a.stem.weight.clone()
    one.advance(x, u, REAL, (1e-3, 1e-3))
    moved = one.model.g_a.stem.weight - before
    found = one.average.g_a.stem.weight - before
    torch.testing.assert_close(found, 2 * 64 * 64 / 2**22 * moved, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(("fresh", "share"), [(True, 1 / 3), (False, 1 / 11)])
def test_the_average_is_at_first_one_over_a_share_of_the_steps(fresh, share):
    one = trainee(fresh=fresh)
    one.step = 19  # and one more
    ((x, u),) = batches(1)
    before = one.average.g_a.stem.weight.clone()
    one.advance(x, u, REAL, (1e-3, 1e-3))
    moved = one.model.g_a.stem.weight - before
    found = one.average.g_a.stem.weight - before
    torch.testing.assert_close(found, share * moved, rtol=1e-3, atol=1e-8)


def compiled_once():
    """Nothing that pays where many functions are compiled: processes, headers, vectors."""
    from torch._inductor import config

    changes = {"compile_threads": 1, "cpp.vec_isa_ok": False}
    if hasattr(config, "cpp_cache_precompile_headers"):  # not in torch 2.6
        changes["cpp_cache_precompile_headers"] = False
    return config.patch(changes)


@pytest.fixture
def lacking(monkeypatch):
    """Whether there is no compiler is not known yet."""
    monkeypatch.setattr(fusion, "_lacking", False)
    monkeypatch.setattr(fusion, "_compiled", {})
    return monkeypatch


def test_a_compiler_that_does_not_load_leaves_functions_as_they_are(lacking):
    tried, double = [], fusion.fusable(lambda x: 2 * x)

    def fail():
        tried.append(1)
        raise ImportError("no compiler\nin sight")

    lacking.setattr(fusion, "_prepare", fail)
    with pytest.warns(RuntimeWarning, match="^nothing is .*: no compiler in sight$"), fusing():
        assert double(3) == 6
    with fusing():
        assert double(4) == 8
    assert len(tried) == 1
    assert not fusion._compiled


def test_a_compiler_that_does_not_work_leaves_functions_as_they_are(lacking):
    """As Triton where there is no C compiler: a step is computed one operation after another."""
    tried = []

    def compile(function, dynamic):
        def fail(*_):
            tried.append(function)
            raise torch._dynamo.exc.TorchDynamoException("no gcc\nfound")

        return fail

    lacking.setattr(torch, "compile", compile)
    double, halve = fusion.fusable(lambda x: 2 * x), fusion.fusable(lambda x: x / 2)
    with fusing():
        with fusing(), pytest.warns(RuntimeWarning, match="^nothing is .*no gcc found$"):
            assert halve(torch.tensor(6.0)) == 3
        assert double(4) == 8
    assert len(tried) == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_fused_functions_compute_the_same():
    generator = torch.Generator().manual_seed(0)
    y = 6 * torch.randn(2, 30, 4, generator=generator)
    mean, scale = 16 * torch.randn(2, 30, 4, generator=generator), 100 * torch.rand(y.shape)
    weight, limit = 8 * torch.rand(2, 30, 1), torch.rand(y.shape)
    costs = Costs(*torch.rand(2, 112, 257, generator=generator))
    arguments = y, mean, scale, weight, costs, limit, True
    plain = cells._choice(*arguments)
    with fusing(), compiled_once():
        fused = cells._choice(*arguments)
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

"""A model in training, and its step: eager on a CPU, captured as a graph on CUDA.

A step is thousands of small operations. A CUDA graph launches all of them at once; so nothing in
a step may depend on the host: no copies to the device, no numbers that change but in tensors.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from imgcodec.model import Model, Rates
from imgcodec.model.context import ContextModel
from imgcodec.model.fusion import fusing
from imgcodec.runtime.precision import multiplies_bfloat16
from imgcodec.train import loss
from imgcodec.train.schedule import Stage

# The moving average of the weights is one over so many pixels, 500 steps of 64 patches of 256x256,
# and at first over a share of the steps so far: random weights are soon left behind.
AVERAGED_PX = 2**31
AVERAGED_FRESH, AVERAGED = 1 / 10, 1 / 2
MOST_NORM = 1.0  # of the gradient
PARTS = {  # what may learn alone, and how the names of its tensors begin
    "contexts": ("code_context.", "level_context."),
    "decoder": ("g_s.",),
}
EAGER_STEPS = 3  # of a stage, before it is captured
WAIT_EVERY = 8  # steps after which the host waits for the device, which keeps its clock honest


class Trainee:
    """A model, the average of its weights, the optimiser, and what a step needs."""

    def __init__(
        self, model: Model, objective: str, fresh: bool = False, only: str | None = None
    ) -> None:
        """Prepare a model, on its device, to be trained.

        Args:
            model: to be trained.
            objective: "rd" or "paper", see `train`.
            fresh: whether it has random weights.
            only: what of it learns, a name of `PARTS`; None for everything. Context models alone
                learn from the rate, and nothing is decoded.
        """
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(only is None or name.startswith(PARTS[only]))
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model.train()
        self.objective = "rate" if only == "contexts" else objective
        self.average = copy.deepcopy(model).eval()
        self.device = model.unit.device
        self.on_cuda = self.device.type == "cuda"
        self.step = 0
        self.parameters: list[Tensor] = list(model.parameters())
        self.averages = [p.requires_grad_(False) for p in self.average.parameters()]
        self.rates = torch.zeros(2, device=self.device)
        self.optimiser = torch.optim.Adam(
            [{"params": group} for group in groups(model)],
            betas=(0.9, 0.98),
            eps=1e-9,
            fused=True,
        )
        self._own_rates()
        self._averaged = AVERAGED_FRESH if fresh else AVERAGED
        self.lag = torch.zeros((), device=self.device)
        # loss, bits per pixel and PSNR, added up since `take_sums`
        self.sums = torch.zeros(3, device=self.device)
        self.x = torch.zeros(0, 3, 0, 0, device=self.device)
        self.u = torch.zeros(0, device=self.device)
        self.stage: Stage | None = None
        self.eager_steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(self.device) if self.on_cuda else None
        torch.backends.cudnn.benchmark = self.on_cuda

    def resume(self, average: dict[str, Tensor], optimiser: dict[str, object], step: int) -> None:
        """Go on from a checkpoint."""
        self.average.load_state_dict(average)
        own = self.optimiser.state_dict()
        self.optimiser.load_state_dict(own | {"state": optimiser["state"]})
        self._own_rates()
        self.step = step

    def advance(self, x: Tensor, u: Tensor, stage: Stage, rates: tuple[float, float]) -> None:
        """Do one step, on a stream of its own where the device has streams: see `join`.

        Args:
            x: (batch, 3, crop, crop) float32 in 0..1; a change of size costs time.
            u: (batch,) rate parameters.
            stage: how it is computed.
            rates: learning rates of the context models and of the rest.
        """
        self.step += 1
        with self._streaming(), fusing(self.on_cuda):
            if x.shape != self.x.shape:
                self.x = torch.empty_like(x, memory_format=torch.channels_last)
                self.u = torch.empty_like(u)
                self.eager_steps, self.graph = 0, None
            self.x.copy_(x)
            self.u.copy_(u)
            for own, rate in zip(self.rates, rates, strict=True):
                own.fill_(rate)
            pixels = x.shape[0] * x.shape[2] * x.shape[3]
            self.lag.fill_(max(pixels / AVERAGED_PX, 1 / (1 + self._averaged * self.step)))
            if stage != self.stage:
                set_quantised(self.model, stage.quantised)
                self.stage, self.eager_steps, self.graph = stage, 0, None
            if self.graph is not None:
                self.graph.replay()
            elif self.on_cuda and self.eager_steps == EAGER_STEPS:
                self._capture(stage)
            else:
                self.eager_steps += 1
                self.optimiser.zero_grad(set_to_none=True)
                self.compute(stage)
        if self.on_cuda and self.step % WAIT_EVERY == 0:
            torch.cuda.synchronize()

    def compute(self, stage: Stage) -> None:
        """Compute a step with what the tensors hold: loss, gradients, new weights, averages."""
        native = multiplies_bfloat16(self.device.type)
        kind = self.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=native, cache_enabled=False):
            x_hat, rates, importance = self.forward(stage)
        if self.objective == "paper":
            value = loss.paper(self.x, x_hat, rates, importance, self.u)
        elif self.objective == "rate":
            value = loss.rate(self.x, rates, self.u)
        else:
            metric = self.model.config.metric
            value = loss.rate_distortion(self.x, x_hat, rates, self.u, metric)
        value.backward()
        self._clip()
        self.optimiser.step()
        with torch.no_grad():
            steps = torch._foreach_sub(self.parameters, self.averages)
            torch._foreach_mul_(steps, self.lag)
            torch._foreach_add_(self.averages, steps)
            bits = (rates.codes + rates.levels).mean() / self.x.shape[2] / self.x.shape[3]
            self.sums += torch.stack([value, bits, loss.psnr(self.x, x_hat).mean()])

    def forward(self, stage: Stage) -> tuple[Tensor, Rates, Tensor]:
        """Return what the model makes of the patches, see `Model.forward`."""
        if self.objective == "rate":
            _, rates, importance = self.model.encode(self.x, self.u, stage.real)
            return torch.full_like(self.x, torch.nan), rates, importance
        made: tuple[Tensor, Rates, Tensor] = self.model(self.x, self.u, stage.real)
        return made

    def take_sums(self) -> list[float]:
        """Return loss, bits per pixel and PSNR, added up over the steps since the last call."""
        self.join()
        sums: list[float] = self.sums.tolist()
        self.sums.zero_()
        return sums

    def join(self) -> None:
        """Let what follows wait for the steps so far; others may advance before."""
        if self.stream is not None:
            torch.cuda.current_stream().wait_stream(self.stream)

    @contextmanager
    def _streaming(self) -> Iterator[None]:
        """Work on the stream of this model, behind what was asked for so far."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield

    def _capture(self, stage: Stage) -> None:
        """Capture a step and do it."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.compute(stage)
        self.graph.replay()

    @torch.no_grad()
    def _clip(self) -> None:
        """Let the optimiser scale the gradient to at most `MOST_NORM`, or skip the step.

        It skips a gradient that is not finite. Done here, each tensor would take operations.
        """
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        self.optimiser.grad_scale = norm.clamp_min(MOST_NORM) / MOST_NORM  # type: ignore[attr-defined]
        self.optimiser.found_inf = (~norm.isfinite()).to(norm.dtype)  # type: ignore[attr-defined]

    def _own_rates(self) -> None:
        """Let the optimiser read the learning rates from the tensor that is filled each step."""
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"], group["capturable"] = rate, self.on_cuda


def groups(model: Model) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of the context models and of the other networks."""
    contexts: list[Tensor] = [*model.code_context.parameters()]
    contexts += model.level_context.parameters()
    own = {id(parameter) for parameter in contexts}
    return contexts, [parameter for parameter in model.parameters() if id(parameter) not in own]


def set_quantised(model: Model, on: bool) -> None:
    """Switch every context model to integers, or to plain floats."""
    for part in model.modules():
        if isinstance(part, ContextModel):
            part.quantised = on

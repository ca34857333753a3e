"""A GPU that is not there: its tensors say that they are on it, and are refused beside the CPU's.

They hold memory of the CPU, and the CPU computes them; so a machine without a GPU finds what a GPU
would refuse. It is the memory that is marked: views and parameters are on the GPU with it.
"""

import threading
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SAID = {
    torch.Tensor.device.__get__: GPU,
    torch.Tensor.is_cuda.__get__: True,
    torch.Tensor.is_cpu.__get__: False,
}
CROSSING = {"to", "copy_", "_foreach_copy_", "as_tensor"}
CROSSING |= {"__set__", "_has_compatible_shallow_copy_type"}  # as modules move parameters


class Generator(torch.Generator):
    """Random numbers for tensors on one device."""

    def __new__(cls, device=CPU):
        """Make one on the CPU."""
        return super().__new__(cls)

    def __init__(self, device=CPU):
        """Take what it says that it is on."""
        self.place = GPU if on_gpu(device) else CPU

    @property
    def device(self):
        """What it says that it is on."""
        return self.place


class PretendedGpu(TorchFunctionMode):
    """Computes what is asked of torch from outside, and refuses what CUDA would refuse."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Compute, and mark what is on the GPU then."""
        name, kwargs = getattr(function, "__name__", ""), dict(kwargs or {})
        if function in SAID and on_gpu(args[0]):
            return SAID[function]
        if name in ("cpu", "cuda"):
            function, name, args, kwargs = torch.Tensor.to, "to", (args[0], name), {}
        found = list(tensors((args, kwargs)))
        before = any(map(on_gpu, found))
        if before and name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {GPU} device type tensor to numpy")
        if before and name not in CROSSING:
            indexed = name in ("__getitem__", "__setitem__") and on_gpu(args[0])
            for x in tensors(args[2:]) if indexed else found:  # indices may be on the CPU
                if not on_gpu(x) and (x.dim() or name in ("stack", "cat")):
                    raise RuntimeError(f"{name} of tensors on {GPU} and cpu: {tuple(x.shape)}")
        after = on_gpu(args[0]) if name == "copy_" else before
        place = kwargs.get("device", args[1] if name == "to" and args[1:] else None)
        if isinstance(place, str | torch.device | torch.Tensor):
            after = on_gpu(place)
        if after and isinstance(place, str | torch.device):
            if "device" in kwargs:
                kwargs["device"] = CPU
            else:
                args = (args[0], CPU, *args[2:])
        generator = kwargs.get("generator")
        if generator is not None and on_gpu(generator.device) != after:
            raise RuntimeError(f"{name} with a generator on {generator.device}")
        result = function(*args, **kwargs)
        if name in ("to", "as_tensor") and before != after:
            result = result.clone()
        for x in tensors(result) if after else ():
            x.untyped_storage().on_gpu = True
        return result


def on_gpu(x):
    """Whether a tensor is on the GPU, or a device is the GPU."""
    if isinstance(x, torch.Tensor):
        return getattr(x.untyped_storage(), "on_gpu", False)
    return torch.device(x).type == "cuda"


def tensors(value):
    """Yield every tensor in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


@contextmanager
def pretended_gpu():
    """Let there be a GPU meanwhile, for new threads, too; its streams do nothing."""
    run = threading.Thread.run

    def run_with_it(thread):
        with PretendedGpu():
            run(thread)

    streams = "Stream", "stream", "current_stream", "synchronize"
    cuda = {name: mock.MagicMock() for name in streams}
    for name in ("is_available", "is_bf16_supported", "is_current_stream_capturing"):
        cuda[name] = mock.Mock(return_value=name == "is_available")
    no_driver = mock.Mock(return_value=None)  # optimisers would ask it
    with ExitStack() as stack:
        for patch in (
            mock.patch.multiple(torch.cuda, **cuda),
            mock.patch.object(torch.accelerator, "current_accelerator", no_driver),
            mock.patch.object(torch, "Generator", Generator),
            mock.patch.object(threading.Thread, "run", run_with_it),
            PretendedGpu(),
        ):
            stack.enter_context(patch)
        yield

"""Pictures are encoded and decoded on a GPU: tensors of two devices never meet.

Nothing here runs on a GPU, see `pretended_gpu`. Where there is one, nothing runs: what caches hold
for it would not be on it.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended_gpu import GPU, on_gpu, pretended_gpu
from tiny import PAPER, TINY, write_weights

from imgcodec.codec import Codec
from imgcodec.format import container
from imgcodec.pictures.roi import Roi
from imgcodec.runtime.lockstep import Lockstep

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
HEIGHT, WIDTH = 40, 72
ROI = Roi((np.arange(5 * 9).reshape(5, 9) % 3).astype(np.float32))
DESIGNS = {
    "mse": TINY,
    "ms-ssim": replace(TINY, metric="ms-ssim"),
    "eye": replace(TINY, metric="eye"),
    "far": replace(TINY, context_phases=6, context_radius=2, context_deep=True),
    "paper": PAPER,
}


@pytest.fixture(scope="module")
def codecs(tmp_path_factory):
    """What there is for a design: a codec on the CPU and one on the GPU."""
    made = {}

    def find(design):
        if design not in made:
            weights = write_weights(tmp_path_factory.mktemp(design), DESIGNS[design])
            cpu = Codec("cpu", weights=weights)
            cpu._tile_codec.fast = False  # as the GPU is, which has no bfloat16 here
            with pretended_gpu():
                made[design] = cpu, Codec("cuda", weights=weights)
        return made[design]

    return find


@pytest.fixture
def gpu():
    with pretended_gpu():
        yield


def test_what_cuda_refuses_is_refused(gpu):
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    assert there[1:].device == torch.nn.Parameter(there).device == here.to("cuda").device == GPU
    assert not on_gpu(here)
    assert (there.cpu() + here).numpy().sum() == 6
    assert (there * torch.tensor(2.0))[torch.tensor([0, 2])].tolist() == [2, 2]
    for mixed in (
        lambda: there + here, lambda: torch.cat([there, here]), lambda: there[:1].add_(here),
        lambda: here[there > 0], lambda: torch.stack([there[0], here[0]]),
        lambda: torch.rand(2, device="cuda", generator=torch.Generator()),
        lambda: torch.rand(2, generator=torch.Generator("cuda")),
    ):  # fmt: skip
        with pytest.raises(RuntimeError):
            mixed()
    for convert in (there.numpy, lambda: np.asarray(there)):
        with pytest.raises(TypeError, match="to numpy"):
            convert()


@pytest.mark.parametrize(
    ("design", "options"),
    [
        ("mse", {"effort": 1}), ("mse", {"effort": 3}), ("mse", {"tile": 64}),
        ("mse", {"rate": 1.0}), ("mse", {"entropy": "none"}), ("ms-ssim", {"effort": 2}),
        ("eye", {"effort": 2, "roi": ROI}), ("eye", {"effort": 3}), ("far", {}), ("paper", {}),
    ],
)  # fmt: skip
def test_a_gpu_encodes_and_decodes_as_the_cpu_does(codecs, textured, design, options):
    cpu, gpu = codecs(design)
    picture = textured(HEIGHT, WIDTH)
    region = (8, 8, 30, 30)
    with pretended_gpu():
        data = gpu.encode(picture, lossless=False, **options)
        pixels, part = gpu.decode(data), gpu.decode(data, region=region)
    wanted = len(cpu.encode(picture, lossless=False, **options))
    assert len(data) == pytest.approx(wanted, rel=0.02)  # machines round differently
    for found, same in (pixels, cpu.decode(data)), (part, cpu.decode(data, region=region)):
        np.testing.assert_allclose(found, same.astype(int), atol=2)


def test_a_gpu_trims_and_inspects(codecs, textured):
    cpu, gpu = codecs("mse")
    data = cpu.encode(textured(HEIGHT, WIDTH), lossless=False)
    size = len(data) * 3 // 4
    with pretended_gpu():
        assert gpu.trim(data, size=size) == cpu.trim(data, size=size)
        found = gpu.inspect(data)
    for map_, same in zip(found, cpu.inspect(data), strict=True):
        np.testing.assert_allclose(map_, same, atol=1e-3)


@pytest.mark.filterwarnings("ignore::imgcodec.errors.AicWarning")
def test_a_gpu_fills_what_is_lost(codecs, textured):
    cpu, gpu = codecs("mse")
    data = cpu.encode(textured(72, 72), lossless=False, tile=64)
    _, tiles, _ = container.unpack(data)
    cut = data[: -len(tiles[-1])]
    with pretended_gpu():
        found = gpu.decode(cut, keep_going=True)
    np.testing.assert_allclose(found, cpu.decode(cut, keep_going=True).astype(int), atol=2)


def test_pictures_go_through_a_gpu_together(codecs, textured):
    cpu, gpu = codecs("mse")
    pictures = [textured(HEIGHT, WIDTH, seed) for seed in range(2)]

    def recode(picture, member):
        joined = gpu.joining(member)
        data = joined.encode(picture, lossless=False, quality=50)
        return data, joined.decode(data)

    with pretended_gpu():
        group = Lockstep()
        found = group.run([lambda m, p=picture: recode(p, m) for picture in pictures])
    for data, pixels in found:
        np.testing.assert_allclose(pixels, cpu.decode(data).astype(int), atol=2)

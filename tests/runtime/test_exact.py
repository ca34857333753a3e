"""What a program may have switched on in torch is off while the codec computes, and on again."""

from contextlib import suppress
from operator import attrgetter

import pytest
import torch

from imgcodec.runtime.exact import _switches, exact

WHICH = "backends", "backends.cuda.matmul", "backends.cudnn", "backends.cudnn.conv"


@pytest.fixture
def restored():
    """Torch's switches are as it begins, afterwards, too."""
    owners = [torch.backends, torch.backends.cudnn, *_switches()]
    before = [owner.fp32_precision for owner in owners]
    yield
    torch.set_float32_matmul_precision("highest")
    with suppress(RuntimeError):
        torch.backends.cudnn.allow_tf32 = True
    for owner, precision in zip(owners, before, strict=True):
        owner.fp32_precision = precision


@pytest.mark.skipif(not _switches(), reason="torch before 2.9")
@pytest.mark.parametrize("precision", ["ieee", "tf32"])
@pytest.mark.parametrize("which", WHICH)
def test_newer_switches_of_precision_are_off_meanwhile(which, precision, restored):
    """Reading torch's older ones raises then, and ended each encoding in a traceback."""
    attrgetter(which)(torch).fp32_precision = precision
    before = [switch.fp32_precision for switch in _switches()]
    with exact():
        assert {switch.fp32_precision for switch in _switches()} == {"ieee"}
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
    assert [switch.fp32_precision for switch in _switches()] == before
    with exact():
        pass

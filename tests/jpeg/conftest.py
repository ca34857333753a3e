"""Fixtures of JPEG files."""

import pytest
from jpeg_files import KINDS, jpeg


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    """A file of each kind."""
    mode, options = KINDS[request.param]
    return jpeg(mode=mode, **{"quality": 85, **options})

"""The mark of JPEG files of half the size."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcodec.jpeg import halves, packing


def file(height, width, **options):
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 12), (30, 130999)])
@pytest.mark.parametrize("options", [{}, {"comment": b"x", "exif": b"Exif\0\0abc"}])
def test_a_mark_is_found_and_changes_nothing_else(size, options):
    here = halves.half(*size)
    data = file(*here, **options)
    marked = halves.marked(data, *size)
    assert halves.whole(data, *here) is None
    assert halves.whole(marked, *here) == size
    with Image.open(io.BytesIO(data)) as plain, Image.open(io.BytesIO(marked)) as found:
        assert np.array_equal(np.asarray(plain), np.asarray(found))
        assert plain.info == found.info
    assert marked.startswith(data[:20])  # JFIF stays first


def test_marked_files_are_packed():
    data = halves.marked(file(20, 30, quality=80), 39, 60)
    assert packing.unpack(packing.pack(data)) == data


@pytest.mark.parametrize("size", [(0, 0), (38, 60), (41, 60), (39, 61), (2**32 - 1, 60)])
def test_a_mark_of_another_size_is_not_heeded(size):
    data = halves.marked(file(20, 30), *size)
    assert halves.whole(data, 20, 30) in {None, size}
    assert (halves.whole(data, 20, 30) == size) == (halves.half(*size) == (20, 30))


@given(st.binary(max_size=60))
def test_any_bytes_have_a_mark_or_none(data):
    start = b"\xff\xd8" + halves.MARKER
    for some in (data, start + data, start + b"\x00\x13aic half\0" + data):
        found = halves.whole(some, 20, 30)
        assert found is None or halves.half(*found) == (20, 30)

"""JPEG XL files: what they are is known before a plugin decodes them."""

import io

import pytest
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.pictures import jxl_header, reader
from imgcodec.pictures.reader import read_picture


def refusal(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(tmp_path / "a")
    return str(caught.value).removeprefix(f"{tmp_path / 'a'}: ")


def jxl(mode, width, height, **options):
    pytest.importorskip("pillow_jxl")
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "JXL", lossless=True, effort=1, **options)
    return file.getvalue()


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize(("mode", "bits"), [("RGB", 8), ("L", 8), ("I;16", 16), ("F", 32)])
@pytest.mark.parametrize(
    "size", [(1, 1), (256, 256), (300, 200), (160, 90), (601, 300), (9, 3000)]
)
def test_the_header_of_jpeg_xl(mode, bits, size, boxed):
    found = jxl_header.read(jxl(mode, *size, use_container=boxed))
    assert found == jxl_header.Header(size[1], size[0], False, bits)


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\xff\x0a\x48", jxl_header._BOXED + bytes(50)])
def test_a_cut_header_of_jpeg_xl_is_refused(tmp_path, data):
    assert refusal(tmp_path, data) == "the JPEG XL header is cut off"


def test_jpeg_xl_is_measured_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.jxl").write_bytes(jxl("L", 64, 32))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("opened"))
    assert reader.size_of(tmp_path / "a.jxl") == (32, 64)
    with pytest.raises(ImageError, match="64x32 pixels, at most 2047 are allowed: --max-pixels"):
        read_picture(tmp_path / "a.jxl", max_pixels=2047)


def test_an_animated_jpeg_xl_is_refused(tmp_path):
    # a size of 8x8; all_default 0, extra_fields 1, orientation, no size nor preview, animation
    bits = "1" + "00000" + "001" + "0" + "1" + "000" + "0" + "0" + "1" + "0" * 40
    data = int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
    assert refusal(tmp_path, b"\xff\x0a" + data) == (
        "holds an animation, save the picture that is meant"
    )

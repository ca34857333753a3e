"""The whole line: pixels -> file -> pixels, with networks that nobody trained."""

import math
import os
import re
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cross_device import integers
from PIL import Image
from tiny import decode_reporting

import imgcodec.codec.compress
from imgcodec import releases
from imgcodec.codec import Codec
from imgcodec.codec.pace import Forecast
from imgcodec.codec.rate_search import MAX_U, Found, Guess
from imgcodec.errors import AicError, AicWarning, FormatError, ImageError, ModelMismatchError
from imgcodec.format import container
from imgcodec.format.metadata import Metadata
from imgcodec.pictures.picture import Picture, alpha_of
from imgcodec.releases import DEFAULT_TUNE, RELEASES
from imgcodec.restoring import Restorer

SIZES = [(1, 1), (1, 9), (9, 1), (7, 5), (8, 8), (9, 17), (64, 64), (513, 257)]  # height, width


def ramp(height, width):
    """A smooth colour picture, which few coefficients hold well."""
    rows, columns = np.mgrid[:height, :width]
    planes = [40 + 150 * rows / 512, 60 + 120 * columns / 512, 200 - 100 * (rows + columns) / 1024]
    return np.stack(planes, -1).astype(np.uint8)


def psnr(a, b):
    return -10 * np.log10(max(np.mean((a.astype(float) - b) ** 2) / 255**2, 1e-10))


def rate_for(num_bytes, height, width):
    return 8 * num_bytes / (height * width)


def enough(height, width):
    """A rate with room for every code of these models."""
    return rate_for(100 + height * width // 2, height, width)


def at(monkeypatch, u):
    """Let encoders take this rate parameter; returns the list of (estimate, real bytes)."""
    sizes = []

    def search(plan, *rest):
        planned = plan(u)
        payloads = planned.write()
        sizes.append((planned.estimated_bytes, sum(map(len, payloads))))
        return Found(u, payloads, False)

    monkeypatch.setattr(imgcodec.codec.compress, "search", search)
    found = Guess(u, 1e-4), [(u, 0.0)], Forecast(u, [])
    monkeypatch.setattr(imgcodec.codec.compress, "better_guess", lambda *_: found)
    monkeypatch.setattr(imgcodec.codec.compress, "Aim", lambda *_: None)
    monkeypatch.setattr(imgcodec.codec.compress, "SAME_LATENTS", -1)  # so that they are those of u
    return sizes


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_round_trip(tiny_codec, height, width, entropy):
    image = ramp(height, width)
    rate = enough(height, width)
    data = tiny_codec.encode(image, rate, entropy)
    header = container.unpack(data)[0]
    assert (header.height, header.width, header.channels) == (height, width, 3)
    assert container.ENTROPIES[header.entropy] == entropy
    assert header.model_id == tiny_codec.model_id
    assert 8 * len(data) <= rate * height * width
    found = tiny_codec.decode(data)
    assert found.dtype == np.uint8
    assert found.shape == image.shape
    assert psnr(found, image) > 25


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 17), (64, 64)])
def test_grey_round_trip(tiny_codec, height, width):
    image = ramp(height, width)[..., 1].copy()
    data = tiny_codec.encode(image, enough(height, width))
    assert container.unpack(data)[0].channels == 1
    found = tiny_codec.decode(data)
    assert found.shape == (height, width, 3)
    assert (found == found[..., :1]).all()
    assert psnr(found[..., 0], image) > 25


def test_pictures_differ(tiny_codec):
    """A codec that always gives the same picture would pass few of these tests, but some."""
    image = ramp(64, 64)
    turned = tiny_codec.decode(tiny_codec.encode(255 - image, 4))
    assert psnr(turned, 255 - image) > psnr(turned, image) + 10


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_pil_images_are_like_arrays(tiny_codec, mode, channels):
    image = ramp(17, 9) if mode == "RGB" else ramp(17, 9)[..., 0].copy()
    picture = Image.fromarray(image)
    assert picture.mode == mode
    data = tiny_codec.encode(picture, quality=60)
    assert data == tiny_codec.encode(image, quality=60)
    assert container.unpack(data)[0].channels == channels


@pytest.mark.parametrize(
    "view", [lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x[::2], np.asfortranarray]
)
def test_strides_do_not_matter(tiny_codec, view):
    image = view(ramp(32, 24))
    before = image.copy()
    data = tiny_codec.encode(image, quality=60)
    assert data == tiny_codec.encode(np.ascontiguousarray(image), quality=60)
    assert (image == before).all()


def test_read_only_arrays(tiny_codec):
    image = ramp(16, 16)
    image.flags.writeable = False
    data = tiny_codec.encode(image, quality=60)
    assert data == tiny_codec.encode(image.copy(), quality=60)


def test_encoding_twice_gives_the_same_bytes(tiny_codec, tiny_weights, textured):
    image = textured(64, 96)
    data = tiny_codec.encode(image, 0.5)
    tiny_codec.encode(textured(40, 40, seed=1), 1.0)  # leaves nothing behind
    assert tiny_codec.encode(image, 0.5) == data
    assert Codec("cpu", weights=tiny_weights).encode(image, 0.5) == data
    assert (tiny_codec.decode(data) == tiny_codec.decode(data)).all()


# ---------------------------------------------------------------- the rate asked


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize("rate", [0.4, 0.8, 1.2])
def test_files_are_within_the_window(tiny_codec, textured, rate, entropy):
    data = tiny_codec.encode(textured(256, 256), rate, entropy)
    report = data.report
    assert not report.limited
    assert (0.96 if entropy == "none" else 0.99) * rate <= report.bpp <= rate
    assert report.bpp == 8 * len(data) / 256**2
    assert (report.target.kind, report.target.value) == ("rate", rate)
    assert list(report.stages) == ["encoder", "codes", "refinement"]
    assert 0 < report.stages["encoder"] < report.model_s <= report.total_s
    assert sum(report.stages.values()) <= report.total_s
    _, report = decode_reporting(tiny_codec, data)
    assert list(report.stages) == ["codes", "decoder"]
    assert 0 < report.model_s == report.stages["decoder"] <= report.total_s


@pytest.mark.parametrize("rate", [0.1, 0.2, 1.5])
def test_other_rates_are_not_exceeded(tiny_codec, textured, rate):
    """The sizes of an untrained model jump by some percent here: nothing may be in the window."""
    report = tiny_codec.encode(textured(256, 256), rate).report
    assert report.limited or 0.9 * rate <= report.bpp <= rate


@pytest.mark.parametrize("entropy", container.ENTROPIES)
def test_small_files_never_exceed_the_rate(tiny_codec, textured, entropy):
    """A few bytes: what is estimated and what the coder's words take differ by a lot."""
    written = 0
    for image in (textured(8, 8), np.full((8, 8, 3), 77, np.uint8)):
        for num_bytes in range(41, 80, 4):
            rate = rate_for(num_bytes, 8, 8)
            try:
                data = tiny_codec.encode(image, rate, entropy)
            except AicError as error:
                assert "is too low" in str(error)  # noqa: PT017
                continue
            written += 1
            assert len(data) <= num_bytes
    assert written > 5


@pytest.fixture(scope="module", params=releases.TUNES)
def shipped(request):
    """A codec of a released set."""
    return Codec("cpu", tune=request.param)


@pytest.mark.parametrize("asked", [{}, {"entropy": "none"}, {"tile": 64}])
def test_a_refusal_names_what_is_least(shipped, textured, asked):
    asked = {"lossless": False, **asked}
    for image in (textured(72, 64), np.full((32, 72, 3), (10, 90, 200), np.uint8)):
        least = len(shipped.encode(image, quality=0, **asked))
        with pytest.raises(AicError, match=f"size 1 is too low .* needs {least}$"):
            shipped.encode(image, size=1, **asked)
        assert len(shipped.encode(image, size=least, **asked)) <= least


def test_more_bits_are_better(tiny_codec, textured):
    image = textured(128, 128)
    quality = [psnr(tiny_codec.decode(tiny_codec.encode(image, r)), image) for r in (0.25, 0.8)]
    assert quality[1] > quality[0] + 0.5


@pytest.mark.parametrize("entropy", container.ENTROPIES)
def test_flat_pictures_are_limited(tiny_codec, entropy):
    image = np.full((64, 64, 3), 100, np.uint8)
    data = tiny_codec.encode(image, 24.0, entropy)
    report = data.report
    assert report.limited
    assert report.bpp < 0.98 * 24
    assert container.unpack(data)[0].u == MAX_U


@pytest.mark.parametrize("rate", [1e9, float("inf")])
def test_no_rate_is_too_high(tiny_codec, rate):
    assert tiny_codec.encode(ramp(9, 9), rate).report.limited


def least_rate(codec, image, rate):
    with pytest.raises(AicError, match=r"^rate \S+ is too low for this picture") as caught:
        codec.encode(image, rate)
    return float(re.search(r"needs (\S+)$", str(caught.value))[1])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("rate", [1e-9, 0.001, 0.01])
def test_too_low_rates_are_refused(tiny_codec, textured, rate, autocast):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        least = least_rate(tiny_codec, textured(64, 64), rate)
    assert least > 8 * container.overhead_bytes(1) / 64**2


@pytest.mark.parametrize("tile", [None, 64])
def test_where_metadata_take_all_nothing_is_searched(tiny_codec, textured, monkeypatch, tile):
    picture = Picture(textured(64, 128), metadata=Metadata(xmp=b"<x/>" * 300))
    told = []
    for search in (imgcodec.codec.compress.better_guess, None):
        monkeypatch.setattr(imgcodec.codec.compress, "better_guess", search)
        with pytest.raises(AicError, match="is too low for this picture") as caught:
            tiny_codec.encode(picture, size=1300 if search else 1200, tile=tile)
        told.append(str(caught.value).split()[-1])
    assert told[0] == told[1]


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (40, 72), (64, 64), (200, 120)])
def test_the_rate_named_in_the_refusal_will_do(tiny_codec, textured, height, width, entropy):
    image = textured(height, width)
    with pytest.raises(AicError, match="too low") as caught:
        tiny_codec.encode(image, 1e-6, entropy)
    found = re.search(r"needs (?:a size of (\d+) bytes|(\S+))$", str(caught.value))
    asked = {"size": int(found[1])} if found[1] else {"rate": float(found[2])}
    assert tiny_codec.encode(image, entropy=entropy, **asked)


@pytest.mark.parametrize("rate", [0, -1, 0.0, float("nan"), float("-inf")])
def test_rates_that_are_none(tiny_codec, rate):
    with pytest.raises(AicError, match=r"^rate \S+, wanted more than 0 bits per pixel$"):
        tiny_codec.encode(ramp(8, 8), rate)


@pytest.mark.parametrize("u", [0, 12_345, 30_000, 50_000, MAX_U])
@pytest.mark.parametrize("entropy", container.ENTROPIES)
def test_estimates_are_within_a_percent(tiny_codec, textured, monkeypatch, u, entropy):
    sizes = at(monkeypatch, u)
    tiny_codec.encode(textured(256, 256), 1.0, entropy)
    ((estimate, real),) = sizes
    assert estimate == pytest.approx(real, rel=0.01, abs=4)


# ---------------------------------------------------------------- entropy modes, codes


@pytest.mark.parametrize("u", [0, 20_001, 45_000, MAX_U])
def test_entropy_modes_hold_the_same_codes(tiny_codec, textured, monkeypatch, u):
    at(monkeypatch, u)
    image = textured(72, 56)
    raw, coded = (tiny_codec.encode(image, 1.0, entropy) for entropy in container.ENTROPIES)
    raw_header, coded_header = container.unpack(raw)[0], container.unpack(coded)[0]
    assert raw_header == replace(coded_header, entropy=0)
    for a, b in zip(integers(tiny_codec, raw), integers(tiny_codec, coded), strict=True):
        assert (a == b).all()
    assert (tiny_codec.decode(raw) == tiny_codec.decode(coded)).all()


def test_payloads_of_one_mode_are_not_of_the_other(tiny_codec, textured):
    data = tiny_codec.encode(textured(64, 64), 0.5)
    header, tiles, _ = container.unpack(data)
    swapped = container.pack(replace(header, entropy=0), tiles)
    try:
        assert (tiny_codec.decode(swapped) != tiny_codec.decode(data)).any()
    except FormatError:
        pass


@pytest.fixture
def threads():
    """Set the number of threads, and set it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_codes_do_not_depend_on_threads(tiny_codec, textured, threads):
    data = tiny_codec.encode(textured(136, 120), 0.4)
    found = []
    for number in (1, 2):
        threads(number)
        found.append(integers(tiny_codec, data))
    assert found[0][1].any()
    for one, two in zip(*found, strict=True):
        assert (one == two).all()


@pytest.mark.parametrize(
    ("isa", "onednn", "cpu", "amx", "fast"),
    [
        ("", True, "AMD EPYC", False, True),
        ("", True, "Intel Xeon", True, True),
        ("", True, "Intel Xeon", False, False),
        ("avx512_core_amx", True, "Intel Xeon", True, True),
        ("avx2", True, "AMD EPYC", False, False),
        ("", False, "AMD EPYC", False, False),
    ],
)
def test_bfloat16_only_where_it_is_faster(tiny_weights, monkeypatch, isa, onednn, cpu, amx, fast):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa)
    found = {"avx512_bf16": True, "amx_bf16": amx, "cpu_name": cpu}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about Intel GPUs
        with torch.backends.mkldnn.flags(enabled=onednn):
            codec = Codec("cpu", weights=tiny_weights)
    assert [one.fast for one in codec._tile_codecs.values()] == [fast]


def test_a_torch_that_does_not_tell_what_the_cpu_can(tiny_weights, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # as before 2.11
    codec = Codec("cpu", weights=tiny_weights)
    assert [one.fast for one in codec._tile_codecs.values()] == [False]


@pytest.mark.parametrize("number", ["1", 1.0, True])
def test_threads_of_another_kind(tiny_weights, number):
    with pytest.raises(AicError, match=r"^threads of \w+, wanted 1..1024$"):
        Codec(weights=tiny_weights, threads=number)


@pytest.mark.parametrize("number", [0, -1, 10**9])
def test_a_number_of_threads_that_is_none(tiny_weights, number):
    with pytest.raises(AicError, match=f"^threads {number}, wanted 1..1024$"):
        Codec(weights=tiny_weights, threads=number)


def test_weights_may_be_named_by_a_string(tiny_weights):
    assert Codec("cpu", weights=str(tiny_weights)).tune == Codec("cpu", weights=tiny_weights).tune


@pytest.mark.parametrize("rate", [-1, math.nan])
def test_a_preview_of_no_rate_is_refused(tiny_codec, rate):
    data = tiny_codec.encode(ramp(9, 9), lossless=False)
    with pytest.raises(AicError, match=f"^max_rate {rate}, wanted 0 or more$"):
        tiny_codec.decode(data, max_rate=rate)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.float16])
def test_a_preview_takes_small_numbers_of_numpy(tiny_codec, kind):
    data = tiny_codec.encode(ramp(64, 72), psnr=60, lossless=False)
    preview = tiny_codec.decode(data, max_rate=kind(1))
    assert np.array_equal(preview, tiny_codec.decode(data, max_rate=1))
    assert not np.array_equal(preview, tiny_codec.decode(data))


def test_a_tensor_with_a_gradient_is_no_picture(tiny_codec):
    with pytest.raises(ImageError, match="^no array: Can't call numpy"):
        tiny_codec.encode(torch.zeros(9, 9, 3, requires_grad=True))


def test_a_mask_is_no_region_of_interest(tiny_codec):
    mask = np.zeros((9, 9), np.uint8)
    with pytest.raises(AicError, match="^a region of interest of ndarray, wanted a Roi$"):
        tiny_codec.encode(ramp(9, 9), roi=mask)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"alpha": np.zeros((3, 3), np.uint8)}, r"alpha is uint8 \(3, 3\), wanted uint8 \(9, 9\)"),
        ({"alpha": np.zeros((9, 9, 3), np.uint8)}, "alpha is uint8 .* wanted uint8 .9, 9.$"),
        ({"alpha": np.zeros((9, 9))}, "alpha is float64 .* wanted uint8"),
        ({"alpha": Image.new("L", (9, 9))}, "alpha is Image, wanted an array$"),
        ({"unrounded": torch.zeros(9, 9, 3).half()}, "unrounded is Tensor, wanted an array$"),
        ({"unrounded": ramp(9, 9)}, r"unrounded is uint8 .* wanted float16 \(9, 9, 3\)"),
        ({"unrounded": np.full((9, 9, 3), np.nan, np.float16)}, "unrounded has .* nan or inf"),
        ({"metadata": b"exif"}, "metadata are bytes, wanted a Metadata"),
        ({"metadata": Metadata(exif="exif")}, "exif is str, wanted bytes"),
        ({"georeference": "{}"}, "georeference is str, wanted bytes"),
        ({"georeference": b"here"}, "georeference is no JSON object"),
        ({"georeference": b"[1]"}, "georeference is no JSON object"),
        ({"pixels": None}, "pixels are NoneType, wanted an array$"),
    ],
)
def test_a_picture_whose_parts_do_not_belong_together_is_refused(tiny_codec, parts, told):
    with pytest.raises(ImageError, match=f"^{told}"):
        tiny_codec.encode(Picture(**{"pixels": ramp(9, 9), **parts}))


def test_threads_argument(tiny_weights, threads):
    threads(2)
    Codec("cpu", weights=tiny_weights)
    assert torch.get_num_threads() == 2
    Codec("cpu", threads=1, weights=tiny_weights)
    assert torch.get_num_threads() == 1


def test_a_codec_that_fails_leaves_threads_alone(tmp_path, threads):
    threads(2)
    for make in (Codec, Restorer):
        with pytest.raises(AicError, match=r"^cannot read the weights .*no\\nne: no such file"):
            make(threads=1, weights=tmp_path / "no\nne")
    assert torch.get_num_threads() == 2


@pytest.fixture(params=["autocast", "no oneDNN", "medium", "float64", "grad", "device"])
def left_on(request):
    """Something that the caller switched on and did not switch off."""
    if request.param == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            yield request.param
    elif request.param == "no oneDNN":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about Intel GPUs
            with torch.backends.mkldnn.flags(enabled=False):
                yield request.param
    elif request.param == "medium":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        yield request.param
        torch.set_float32_matmul_precision(before)
    elif request.param == "float64":
        torch.set_default_dtype(torch.float64)
        yield request.param
        torch.set_default_dtype(torch.float32)
    elif request.param == "device":
        with torch.device("meta"):  # of no data: whatever is made there is missed
            yield request.param
    else:
        with torch.enable_grad():
            yield request.param


@pytest.fixture(scope="module")
def plain(tiny_codec, textured):
    """(picture, file, codes, pixels) under the settings of a fresh process."""
    image = textured(72, 64)
    data = tiny_codec.encode(image, 0.5)
    return image, data, integers(tiny_codec, data), tiny_codec.decode(data)


def test_settings_of_the_caller_change_nothing(tiny_codec, plain, left_on):
    image, data, _, pixels = plain
    found = tiny_codec.decode(data).astype(int)
    again = tiny_codec.encode(image, 0.5)
    if left_on == "no oneDNN":  # other sums of floats: nearly the same pixels and choices
        assert np.abs(found - pixels).max() <= 2
        assert len(again) == pytest.approx(len(data), rel=0.01, abs=4)
    else:
        assert (found == pixels).all()
        assert again == data


def test_settings_of_the_caller_change_no_code(tiny_codec, plain, left_on):
    for here, there in zip(integers(tiny_codec, plain[1]), plain[2], strict=True):
        assert (here == there).all()


def test_a_codec_made_under_another_default_type_is_the_same(tiny_weights, plain):
    torch.set_default_dtype(torch.float64)
    try:
        codec = Codec("cpu", weights=tiny_weights)
        assert (codec.decode(plain[1]) == plain[3]).all()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "setting",
    [torch.inference_mode, lambda: torch.device("meta"), lambda: torch.autocast("cpu")],
)
def test_a_codec_made_under_other_settings_is_the_same(tiny_codec, tiny_weights, plain, setting):
    with setting():
        codec = Codec("cpu", weights=tiny_weights)
    wanted = tiny_codec.encode(plain[0], quality=50, effort=3)  # for which gradients are taken
    assert codec.encode(plain[0], quality=50, effort=3) == wanted


def test_settings_of_the_caller_stay(tiny_codec, plain):
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            tiny_codec.decode(plain[1])
            assert torch.is_autocast_enabled("cpu")
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


# ---------------------------------------------------------------- the paper's form


@pytest.mark.parametrize("entropy", container.ENTROPIES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 17), (64, 64)])
def test_paper_round_trip(paper_codec, textured, height, width, entropy):
    image = textured(height, width)
    data = paper_codec.encode(image, enough(height, width), entropy)
    assert paper_codec.encode(image, enough(height, width), entropy) == data
    assert paper_codec.decode(data).shape == image.shape
    levels, bits = integers(paper_codec, data)
    bits = bits.reshape(16, -1)
    number = np.arange(16)[:, None]
    kept = number < levels.reshape(1, -1)  # n = L = 16: as many bits as the level
    assert (np.abs(bits) == kept).all()
    assert levels.any()
    assert bits.max() == 1


@pytest.mark.parametrize("u", [0, 40_000, MAX_U])
def test_paper_entropy_modes_hold_the_same_codes(paper_codec, textured, monkeypatch, u):
    at(monkeypatch, u)
    raw, coded = (paper_codec.encode(textured(80, 48), 1, e) for e in container.ENTROPIES)
    for a, b in zip(integers(paper_codec, raw), integers(paper_codec, coded), strict=True):
        assert (a == b).all()
    assert (paper_codec.decode(raw) == paper_codec.decode(coded)).all()


@pytest.mark.parametrize("entropy", container.ENTROPIES)
def test_paper_estimates_are_within_a_percent(paper_codec, textured, monkeypatch, entropy):
    sizes = at(monkeypatch, 40_000)
    paper_codec.encode(textured(256, 256), 1.0, entropy)
    assert sizes[0][0] == pytest.approx(sizes[0][1], rel=0.01, abs=4)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 3), bool),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        np.uint8(5),
        "photo.png",
        None,
    ],
)
def test_arrays_of_other_kinds_are_refused(tiny_codec, array):
    with pytest.raises(ImageError, match=r"wanted uint8 \(H, W, 3\) or \(H, W\)"):
        tiny_codec.encode(array)


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (5, 0), (1, 65536), (65536, 1, 3)])
def test_sides_out_of_range_are_refused(tiny_codec, shape):
    with pytest.raises(ImageError):
        tiny_codec.encode(np.broadcast_to(np.uint8(0), shape), 1.0)


def test_too_many_pixels_are_refused(tiny_codec):
    with pytest.raises(AicError, match="number of pixels 1073774592 is outside"):
        tiny_codec.encode(np.broadcast_to(np.uint8(0), (32769, 32768)))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pil_images_without_a_way_to_8_bits_are_refused(tiny_codec, mode):
    with pytest.raises(ImageError, match="mode"):
        tiny_codec.encode(Image.new(mode, (8, 8)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK", "YCbCr", "HSV", "I;16", "PA"])
def test_pil_images_of_other_modes_are_converted(tiny_codec, mode):
    told = {"CMYK": "colours are a guess", "I;16": "more than 8 bits"}.get(mode)
    with pytest.warns(AicWarning, match=told) if told else nullcontext():
        data = tiny_codec.encode(Image.new(mode, (8, 8)), 24.0)
    assert tiny_codec.decode(data).shape == (8, 8, 3)


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 7)])
def test_transparency_beside_the_pixels_is_kept(tiny_codec, mode, key):
    """A PNG's tRNS: a colour that is transparent. It must not be dropped silently."""
    picture = Image.new(mode, (8, 8), key)
    picture.putpixel((0, 0), 0)
    picture.info["transparency"] = key
    _, _, chunks = container.unpack(tiny_codec.encode(picture, 24.0))
    alpha = alpha_of(chunks, 8, 8)
    assert alpha[0, 0] == 255
    assert alpha.sum() == 255


@pytest.mark.parametrize("entropy", ["", "RANGE", "huffman"])
def test_unknown_entropy_is_refused(tiny_codec, entropy):
    with pytest.raises(AicError, match=r"wanted one of none, range$"):
        tiny_codec.encode(ramp(8, 8), 8, entropy)


def test_devices(tiny_weights, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AicError, match="^no CUDA device found$"):
        Codec("cuda", weights=tiny_weights)
    with pytest.raises(AicError, match="^device tpu, wanted one of auto, cpu, cuda$"):
        Codec("tpu", weights=tiny_weights)
    assert Codec("auto", weights=tiny_weights).device == "cpu"


def test_tunes(monkeypatch, tiny_weights, other_weights):
    shipped = {DEFAULT_TUNE: tiny_weights, "ms-ssim": other_weights}
    newest = {tune: SimpleNamespace(path=path) for tune, path in shipped.items()}
    monkeypatch.setattr(imgcodec.codec, "newest", lambda tune, effort: newest[tune])
    with pytest.raises(AicError, match="^tune ssim, wanted one of psnr, ms-ssim, eye$"):
        Codec("cpu", tune="ssim")
    assert Codec("cpu").model_id == Codec("cpu", tune=DEFAULT_TUNE).model_id
    assert Codec("cpu", tune="ms-ssim").model_id == Codec("cpu", weights=other_weights).model_id
    data = imgcodec.encode(ramp(16, 16), 8, tune="ms-ssim", device="cpu")
    assert container.unpack(data)[0].model_id == Codec("cpu", tune="ms-ssim").model_id


def test_files_bring_the_weights_that_they_name(
    monkeypatch, tiny_weights, other_weights, textured
):
    other, image = Codec("cpu", weights=other_weights), textured(64, 64)
    data = other.encode(image, quality=80)
    released = {other.model_id: SimpleNamespace(path=other_weights)}
    monkeypatch.setattr(imgcodec.codec, "needed", lambda model_id, own: released[model_id])
    codec = Codec("cpu", weights=tiny_weights)
    mine = codec.encode(image, quality=80)
    assert np.array_equal(codec.decode(data), other.decode(data))
    size = len(data) * 2 // 3
    assert codec.trim(data, size=size) == other.trim(data, size=size)
    assert codec.encode(image, quality=80) == mine  # it still encodes with its own


def test_files_of_other_weights_are_refused(tiny_codec, other_weights):
    other = Codec("cpu", weights=other_weights)
    data = other.encode(ramp(16, 16), 8)
    expected = (
        f"needs weights {other.model_id.hex()}, which are none of aic-psnr 1.0, .*: a newer aic"
        f" may know them, and those given are {tiny_codec.model_id.hex()}$"
    )
    with pytest.raises(ModelMismatchError, match=expected):
        tiny_codec.decode(data)
    assert other.decode(data).shape == (16, 16, 3)


def test_chunks(tiny_codec):
    header, tiles, _ = container.unpack(tiny_codec.encode(ramp(16, 16), 8))
    optional = container.pack(header, tiles, [(b"note", b"made by hand")])
    assert (tiny_codec.decode(optional) == tiny_codec.decode(container.pack(header, tiles))).all()
    with pytest.raises(FormatError, match="chunk ALPH is mandatory and not known"):
        tiny_codec.decode(container.pack(header, tiles, [(b"ALPH", b"")]))


# ---------------------------------------------------------------- effort


def test_more_effort_makes_a_better_picture_of_the_same_size(tiny_codec, textured):
    image = textured(64, 96)
    quality = []
    for effort in (1, 5, 9):
        data = tiny_codec.encode(image, 0.8, effort=effort)
        report = data.report
        assert 0.96 * 0.8 <= report.bpp <= 0.8
        quality.append(psnr(tiny_codec.decode(data), image))
    assert quality[0] + 0.05 < quality[1] < quality[2] + 0.02


def test_every_effort_takes_the_newest_of_a_tune(shipped, textured):
    picture, other = textured(40, 48), Codec("cpu")
    for effort in (1, 2):
        data = shipped.encode(picture, quality=60, effort=effort)
        release = releases.newest(shipped.tune, effort)
        assert container.File(data).header.model_id == release.model_id
        assert shipped.model_id_at(effort) == release.model_id
        assert np.array_equal(other.decode(data), shipped.decode(data))


@pytest.mark.parametrize("effort", [1, 2])
def test_weights_of_ones_own_encode(textured, effort):
    path = next(release.path for release in releases.RELEASES if release.tune == "psnr")
    data = Codec("cpu", weights=path).encode(textured(64, 96), quality=60, effort=effort)
    assert container.File(data).header.model_id == releases.id_of(path.read_bytes())


@pytest.mark.parametrize("effort", [0, 10, -1])
def test_effort_is_1_to_9(tiny_codec, effort):
    with pytest.raises(AicError, match=rf"effort {effort}, wanted 1\.\.9"):
        tiny_codec.encode(ramp(8, 8), 8, effort=effort)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"effort": 2.0}, r"effort of float, wanted 1\.\.9"),
        ({"effort": True}, "effort of bool"),
        ({"effort": np.array([1, 2])}, "effort of ndarray"),
        ({"lossless": "no"}, "lossless 'no', wanted True or False"),
        ({"tile": True}, "tile of bool, wanted a multiple of 64"),
        ({"rate": True}, "rate of bool"),
        ({"entropy": "range\n"}, r"entropy range\\n, wanted one of none, range"),
    ],
)
def test_arguments_of_another_kind_are_refused(tiny_codec, words, told):
    with pytest.raises(AicError, match=f"^{told}"):
        tiny_codec.encode(ramp(8, 8), **words)


@pytest.mark.parametrize("rate", [True, "1", None])
def test_a_preview_of_what_is_no_rate_is_refused(tiny_codec, rate):
    data = tiny_codec.encode(ramp(9, 9), lossless=False)
    with pytest.raises(AicError, match=r"^max_rate of \w+, wanted 0 or more$"):
        tiny_codec.decode(data, max_rate=rate)


def test_yes_and_no_are_no_words(tiny_codec):
    data = tiny_codec.encode(ramp(8, 8), lossless=np.True_)
    for call in (tiny_codec.decode, tiny_codec.decode_picture):
        with pytest.raises(AicError, match="^keep_going 'no', wanted True or False$"):
            call(data, keep_going="no")


def test_single_bits_know_no_effort(paper_codec, textured):
    image = textured(32, 32)
    data, other = (paper_codec.encode(image, 2, effort=effort) for effort in (5, 9))
    assert data == other
    assert paper_codec.decode(data).shape == image.shape


def test_effort_leaves_the_first_weights_for_the_eye_alone(textured):
    """What it follows, by their config, is not what they are fitted to."""
    (first,) = (r for r in RELEASES if (r.name, r.version) == ("aic-eye", "1.0"))
    codec = Codec("cpu", weights=first.path)
    picture = textured(176, 192)
    assert codec.encode(picture, quality=60, effort=3) == codec.encode(picture, quality=60)


def test_what_looks_like_pixels_and_is_not(tiny_codec, textured):
    pixels, alpha = textured(16, 24), np.ma.ones((16, 24), np.uint8)
    with pytest.raises(ImageError, match="a masked array"):
        tiny_codec.encode(np.ma.masked_equal(pixels, 0))
    for masked in ({"pixels": np.ma.array(pixels)}, {"pixels": pixels, "alpha": alpha}):
        with pytest.raises(ImageError, match="a masked array"):
            tiny_codec.encode(Picture(**masked))
    for name in ("photo.png", Path("photo.png"), b"\x89PNG"):
        with pytest.raises(ImageError, match=r"a file or its name .*: PIL.Image.open reads files"):
            tiny_codec.encode(name)
    assert tiny_codec.encode(torch.from_numpy(pixels), quality=50)
    with pytest.raises(AicError, match="rate too large"):
        tiny_codec.encode(pixels, rate=10**400)


def test_arrays_in_files_are_arrays(tiny_codec, textured, tmp_path):
    """numpy's have a mode, as PIL images have."""
    pixels = textured(16, 24)
    np.save(tmp_path / "a.npy", pixels)
    stored = np.load(tmp_path / "a.npy", mmap_mode="r")
    data = tiny_codec.encode(pixels)
    assert tiny_codec.encode(stored) == tiny_codec.encode(Picture(stored)) == data
    assert imgcodec.encode_jpeg(stored) == imgcodec.encode_jpeg(pixels)


def test_bytes_of_any_form_are_counted_as_bytes(tiny_codec, textured):
    data = tiny_codec.encode(textured(64, 64), quality=60)
    form = memoryview(bytes(data)).cast("B", (1, len(data)))
    bpp = 8 * len(data) / 64**2
    assert len(tiny_codec.trim(form, 0.9 * bpp)) < len(data)
    np.testing.assert_array_equal(
        tiny_codec.decode(form, max_rate=10**400), tiny_codec.decode(data)
    )


def test_damaged_chunks_cost_only_what_they_hold(tiny_codec, textured):
    pixels, alpha = textured(64, 64), np.full((64, 64), 200, np.uint8)
    picture = Picture(pixels, alpha, Metadata(icc=b"profile", exif=b"exif"), georeference=b"{}")
    data = tiny_codec.encode(picture, quality=50)
    whole = tiny_codec.decode_picture(data)
    kinds = {"transparency": b"alpH", "colour profile": b"iccP", "EXIF": b"exiF"}
    for number, (what, kind) in enumerate({**kinds, "georeference": b"geoR"}.items()):
        broken = bytearray(data)
        broken[data.index(kind) + 12] ^= 3
        reason = re.escape(f"checksum mismatch in chunk {kind.decode()} ({what})")
        with pytest.raises(FormatError, match=f"^{reason}$"):
            tiny_codec.decode(broken)
        with pytest.warns(AicWarning, match=f"^1 damaged chunk is left out: {reason}$"):
            found = tiny_codec.decode_picture(broken, keep_going=True)
        np.testing.assert_array_equal(found.pixels, whole.pixels)
        parts = [
            (one.alpha is not None, one.metadata.icc, one.metadata.exif, one.georeference)
            for one in (found, whole)
        ]
        parts[1] = (*parts[1][:number], (None, False)[number == 0], *parts[1][number + 1 :])
        assert parts[0] == parts[1]
        broken[data.index(kind) + 12] ^= 1
        with pytest.warns(AicWarning, match=f"^1 damaged chunk is set right: {reason}, a single"):
            mended = tiny_codec.decode_picture(broken, keep_going=True)
        assert str(mended) == str(whole)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device")
def test_weights_are_regular_files():
    with pytest.raises(AicError, match="/dev/zero: is no regular file"):
        Codec("cpu", weights=Path("/dev/zero"))

"""Files that are damaged or made to harm: a picture or an AicError, soon, and nothing else."""

import struct
import time
from dataclasses import replace

import numpy as np
import pytest

from imgcodec.codec.rate_search import MAX_U
from imgcodec.errors import AicError, FormatError, ModelMismatchError
from imgcodec.format import container

SOON_S = 20.0  # for one decode of 64 x 64 pixels on a machine that is busy otherwise


@pytest.fixture(scope="module", params=container.ENTROPIES)
def data(request, tiny_codec, textured):
    """A file of 64 x 64 pixels."""
    return tiny_codec.encode(textured(64, 64), 0.5, request.param)


@pytest.fixture(scope="module")
def parts(data):
    header, (tile,), _ = container.unpack(data)
    assert len(tile) > 50
    return header, tile


def flipped(data, position):
    damaged = bytearray(data)
    damaged[position // 8] ^= 1 << position % 8
    return bytes(damaged)


def refused(codec, data):
    with pytest.raises(AicError) as caught:
        codec.decode(data)
    message = str(caught.value)
    assert message
    assert message.isprintable()  # so it is one line, too
    return message


def picture_or_refusal(codec, data):
    """Whether there is a picture; anything but an AicError goes through and fails the test."""
    started = time.monotonic()
    try:
        pixels = codec.decode(data)
    except AicError:
        return False
    finally:
        assert time.monotonic() - started < SOON_S
    assert pixels.dtype == np.uint8
    assert pixels.shape == (64, 64, 3)
    return True


# ---------------------------------------------------------------- damage


def test_every_truncation_is_refused(tiny_codec, data):
    assert tiny_codec.decode(data).shape == (64, 64, 3)
    for length in range(len(data)):
        refused(tiny_codec, data[:length])


def test_every_flipped_bit_is_refused(tiny_codec, data):
    for position in range(8 * len(data)):
        refused(tiny_codec, flipped(data, position))


@pytest.mark.parametrize("more", [b"\0", bytes(4), b"\xff" * 100])
def test_more_bytes_are_refused(tiny_codec, data, more):
    refused(tiny_codec, data + more)
    refused(tiny_codec, more + data)


def test_command_decodes_what_is_whole(aic, data, tmp_path):
    """So that the refusals below are not those of something else."""
    (tmp_path / "in.aic").write_bytes(data)
    result = aic("decode", tmp_path / "in.aic", tmp_path / "out.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "out.png").is_file()


def test_command_refuses_damage_in_one_line(aic, data, parts, tmp_path):
    header, tile = parts
    source, target = tmp_path / "in.aic", tmp_path / "out.png"
    damaged = [data[:length] for length in (0, 1, 28, 29, 40, 41, 44, len(data) - 1)]
    damaged += [flipped(data, position) for position in range(0, 8 * len(data), 71)]
    # whole as a container, so that the refusal comes from further inside
    damaged.append(container.pack(header, [tile + bytes(8)]))
    damaged.append(container.pack(header, [tile], [(b"MUST", b"")]))
    damaged.append(container.pack(replace(header, model_id=bytes(8)), [tile]))
    damaged.append(container.pack(replace(header, width=65535, height=256), [b""]))
    for number, broken in enumerate(damaged):
        source.write_bytes(broken)
        result = aic("decode", source, target, "--force")
        assert result.exit_code == 1, number
        assert isinstance(result.exception, SystemExit), number
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == [source], number


# ---------------------------------------------------------------- re-sealed: valid checksums


@pytest.mark.parametrize("u", [0, 1, 30_000, MAX_U])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 8, 64, 400, 4000])
def test_random_payloads(tiny_codec, parts, u, length):
    rng = np.random.default_rng(length + u)
    header = replace(parts[0], u=u)
    for _ in range(2):
        picture_or_refusal(tiny_codec, container.pack(header, [rng.bytes(length)]))


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x80", b"\x55"])
@pytest.mark.parametrize("u", [0, MAX_U])
def test_monotonous_payloads(tiny_codec, parts, u, byte):
    for length in (4, 60, 2000):
        picture_or_refusal(tiny_codec, container.pack(replace(parts[0], u=u), [byte * length]))


def test_paper_model_on_random_payloads(paper_codec, parts):
    rng = np.random.default_rng(0)
    for length in (0, 4, 20, 40, 80, 400):
        for u in (0, MAX_U):
            header = replace(parts[0], u=u, model_id=paper_codec.model_id)
            picture_or_refusal(paper_codec, container.pack(header, [rng.bytes(length)]))


def test_damaged_payloads_with_good_checksums(tiny_codec, parts):
    header, tile = parts
    whole = tiny_codec.decode(container.pack(header, [tile]))
    pictures = 0
    for position in range(0, 8 * len(tile), 29):
        broken = container.pack(header, [flipped(tile, position)])
        if picture_or_refusal(tiny_codec, broken):
            pictures += 1
            assert (tiny_codec.decode(broken) != whole).any()
    for length in range(0, len(tile), 12):
        picture_or_refusal(tiny_codec, container.pack(header, [tile[:length]]))


@pytest.mark.parametrize("more", [bytes(8), b"\xff" * 8, bytes(64)])
def test_payloads_that_go_on_are_refused(tiny_codec, parts, more):
    header, tile = parts
    assert "goes on after its end" in refused(tiny_codec, container.pack(header, [tile + more]))


def test_payloads_without_a_word_are_refused(tiny_codec, parts):
    """Even the emptiest picture has levels, and the coder spends a word on them."""
    assert refused(tiny_codec, container.pack(parts[0], [b""]))


@pytest.mark.parametrize("u", [0, 1000, 40_000, MAX_U])
def test_other_rate_parameters(tiny_codec, parts, u):
    header, tile = parts
    picture_or_refusal(tiny_codec, container.pack(replace(header, u=u), [tile]))


@pytest.mark.parametrize("channels", [1, 3])
def test_other_channels_are_a_picture(tiny_codec, parts, channels):
    header, tile = parts
    assert picture_or_refusal(
        tiny_codec, container.pack(replace(header, channels=channels), [tile])
    )


def test_model_id_is_compared_before_the_payload_is_read(tiny_codec, parts, monkeypatch):
    header, tile = parts
    monkeypatch.setattr(tiny_codec._tile_codec, "read", never)
    for model_id in (bytes(8), b"\xff" * 8, tiny_codec.model_id[::-1]):
        with pytest.raises(ModelMismatchError):
            tiny_codec.decode(container.pack(replace(header, model_id=model_id), [tile]))


# ---------------------------------------------------------------- claims


def never(*arguments):
    raise AssertionError("the payload was read")


@pytest.mark.parametrize(
    ("width", "height"), [(65535, 16384), (16384, 65535), (4097, 4096), (65535, 257)]
)
def test_sizes_that_would_take_gigabytes_are_refused(
    tiny_codec, parts, monkeypatch, width, height
):
    """Before anything of that size is made; the payload itself is not looked at."""
    monkeypatch.setattr(tiny_codec._tile_codec, "read", never)
    with pytest.raises(FormatError, match="at most 16777216 are allowed"):
        replace(parts[0], width=width, height=height)
    data = bytearray(container.pack(parts[0], [parts[1]]))
    struct.pack_into("<II", data, 8, width, height)
    with pytest.raises(FormatError, match="at most 16777216 are allowed"):
        tiny_codec.decode(bytes(data))


def test_raw_payloads_that_are_too_short_are_refused_at_once(tiny_codec, parts, monkeypatch):
    """Without an entropy coder each level takes a bit at least: here 2^18 bits, 12 are there."""
    monkeypatch.setattr(tiny_codec._tile_codec.model, "walk_levels", never)
    header = replace(parts[0], width=4096, height=4096, entropy=0)
    with pytest.raises(FormatError):
        tiny_codec.decode(container.pack(header, [bytes(12)]))


def test_long_narrow_claims(tiny_codec, parts):
    """65535 pixels in a row, from nothing: a picture of that size at most, or a refusal."""
    for width, height in ((65535, 1), (1, 65535)):
        header = replace(parts[0], width=width, height=height)
        started = time.monotonic()
        try:
            assert tiny_codec.decode(container.pack(header, [bytes(4)])).size == 3 * 65535
        except AicError:
            pass
        assert time.monotonic() - started < SOON_S

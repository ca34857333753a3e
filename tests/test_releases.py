"""The list of released weights: it only grows, and what it names is what is shipped."""

import hashlib

import pytest

from imgcodec import releases
from imgcodec.errors import AicError, ModelMismatchError
from imgcodec.releases import NEWEST, PACKING, RELEASES, RESTORING, Release

# Name, version and hash of every set that was ever released. Lines are added, never changed.
PROMISED = [
    ("aic-psnr", "1.0", "c44bbd5de9d10e5b8e0c69904b161b2168b79e1d119c7e680cc2c16c8fc7f5eb"),
    ("aic-msssim", "1.0", "1f69c1d27a60d1206700ad3441531274aa78199091f98e221adfa27b8307f8e3"),
    ("aic-eye", "1.0", "14c2ed76091cc4f9d7fcc73eabd48ce5c1a728945c92cb50a3361f88a4605320"),
    ("aic-eye", "1.1", "7d1f677dfc2faf278c5804d8edc737e7f6817bc06dcfb9526960c7aae2e94c69"),
    ("aic-eye", "1.7", "f88425fdbd532746316c6cdc5ae2e3a8d673a10eec61c4f7dcf9c32a55085001"),
    ("aic-psnr", "1.10", "8ece1dab2d4b569a035aa59dc18d023565133b1fdc9a3aabdacde30c4dceb9d2"),
    ("aic-psnr-large", "1.10", "cff5b1100916af42427adc544e09690c1e0205421d06722915a8de34a4738e6c"),
    (
        "aic-msssim-large",
        "1.10",
        "9583b0166992eb517e9fbbe304145a39657f3019e3b8a6e4a99c59b1111a9b59",
    ),
    ("aic-psnr-large", "1.12", "8de65f054c32c5f40d90979cc127825426d46670dfa097db08be187594dc0bcc"),
    (
        "aic-msssim-large",
        "1.12",
        "e532f6fd210941d477868aa5f76be4d2ca50902e2096c9782274cdb038e989eb",
    ),
    ("aic-eye-large", "1.13", "96b24e498b608905f57377f2365b779ff8bb36830beccb594fb47456bf7e1841"),
]


# The same of those that pack JPEG files.
PROMISED_PACKING = [
    ("aic-pack", "1.1", "0bafa6ce8c9342b1b77baadf0439ba003718a0c431343873ceecde793e869446"),
    ("aic-pack", "1.2", "ad62e0e7d0d68c719a2b2cdf257172ce03188e8eea1549a3f7d07008a9526dea"),
]


# The same of those that restore JPEG files.
PROMISED_RESTORING = [
    ("aic-restore", "1.2", "58af7880b771dd0ef543e2f2b3c5e7301933f92954ac445952b4b0b497301716")
]


@pytest.mark.parametrize(
    ("known", "promised"),
    [(RELEASES, PROMISED), (PACKING, PROMISED_PACKING), (RESTORING, PROMISED_RESTORING)],
)
def test_nothing_that_was_released_is_gone_or_changed(known, promised):
    found = [(release.name, release.version, release.sha256) for release in known]
    assert found[: len(promised)] == promised
    assert len(found) == len(promised), "add what is new to the list, at its end"


@pytest.mark.parametrize("release", [*RELEASES, *PACKING], ids=str)
def test_shipped_files_are_those_of_the_list(release):
    data = release.path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == release.sha256
    assert releases.id_of(data) == release.model_id
    assert releases.find(release.model_id) is release
    among = PACKING if release in PACKING else RELEASES
    assert releases.needed(release.model_id, among=among) is release


@pytest.mark.parametrize("release", RESTORING, ids=str)
def test_shipped_files_that_no_file_names_are_those_of_the_list(release):
    assert hashlib.sha256(release.path.read_bytes()).hexdigest() == release.sha256
    assert releases.find(release.model_id) is None


def test_ids_differ():
    known = [*RELEASES, *PACKING, *RESTORING]
    assert len({release.model_id for release in known}) == len(known)


def test_unknown_ids_are_refused_with_what_is_known():
    assert releases.find(bytes(8)) is None
    assert releases.find(b"") is None
    with pytest.raises(ModelMismatchError) as refused:
        releases.needed(bytes(8))
    for words in (bytes(8).hex(), "aic-psnr 1.0", "aic-eye 1.0", "a newer aic may know"):
        assert words in str(refused.value)


def test_encoding_takes_the_newest_of_a_tune():
    newer = Release("aic-psnr", "1.1", "psnr", "0" * 64)
    assert {r.tune: r for r in (*RELEASES, newer)}["psnr"] is newer
    assert {tune: str(release) for tune, release in NEWEST.items()} == {
        "psnr": "aic-psnr-large 1.12", "ms-ssim": "aic-msssim-large 1.12", "eye": "aic-eye 1.7",
    }  # fmt: skip


def test_effort_takes_a_slower_set_where_there_is_one():
    for tune, release in NEWEST.items():
        assert releases.newest(tune, 1) is release
        slow = releases.newest(tune, 2)
        assert releases.newest(tune, 9) is slow
        assert str(slow) == ("aic-eye-large 1.13" if tune == "eye" else str(release))


def test_files_are_looked_for_in_the_package_and_then_in_the_checkout(tmp_path, monkeypatch):
    release = Release("x", "1.0", "psnr", "0" * 64)
    package = tmp_path / "imgcodec"
    inside, beside = package / "_weights", tmp_path / "weights"
    for folder in (inside, beside):
        folder.mkdir(parents=True)
        (folder / "x-1.0.safetensors").touch()
    monkeypatch.setattr(releases, "__file__", str(package / "releases.py"))
    assert release.path == inside / "x-1.0.safetensors"
    release.path.unlink()
    assert release.path == beside / "x-1.0.safetensors"
    release.path.unlink()
    with pytest.raises(AicError, match="^the weights x 1.0 are missing from this installation$"):
        assert release.path

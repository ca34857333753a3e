"""The codecs that `aic bench` measures: aic itself, and its peers behind Pillow."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from imgcodec import __version__
from imgcodec.bench import COMCNN, RESTORED
from imgcodec.bench.rows import NAN
from imgcodec.errors import AicError
from imgcodec.files import reason
from imgcodec.pictures.arrays import as_colour
from imgcodec.releases import DEFAULT_TUNE

if TYPE_CHECKING:
    from pathlib import Path

    from imgcodec.codec import Codec

Pixels = NDArray[np.uint8]
QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)
RATES = (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5)  # bits per pixel
OVER = 1.02  # times the bytes of another file that one may have which is shown as its equal


class Coded(NamedTuple):
    """A picture in a file."""

    data: bytes
    model_s: float = NAN  # seconds in the encoder, as the codec reports
    limited: bool = False  # the picture needs less than the setting asks


class Coder(Protocol):
    """One codec with its settings, from the smallest files to the largest."""

    name: str
    about: dict[str, Any]  # version and all else that decides what a setting gives, for JSON

    @property
    def settings(self) -> Sequence[float]:
        """What is measured."""

    @property
    def by_rate(self) -> bool:
        """Whether a setting is a rate in bits per pixel."""

    @property
    def cuda(self) -> bool:
        """Whether it works on a GPU."""

    @property
    def trained(self) -> bool:
        """Whether sizes and quality mean anything; else only times are measured."""

    @property
    def candidates(self) -> Sequence[float]:
        """All settings between which a file of a certain size may be looked for."""

    def encode(self, pixels: Pixels, setting: float) -> Coded:
        """Return a file of uint8 (H, W, 3) or (H, W); AicError says why there is none."""

    def decode(self, data: bytes) -> tuple[Pixels, float]:
        """Return uint8 (H, W, 3), and the seconds spent in the decoder."""


def aic_name(weights: str, by_rate: bool) -> str:
    """Return what aic is called with weights of a name, a tune or a file's."""
    return f"aic-{weights.removeprefix('aic-')}" + ("" if by_rate else "-quality")


class Aic:
    """aic with one set of weights; a setting is the rate or the quality that is asked."""

    trained = True
    candidates = tuple(quality / 4 for quality in range(401))

    def __init__(
        self,
        codec: Codec,
        settings: Sequence[float],
        effort: int = 1,
        weights: str = DEFAULT_TUNE,
        by_rate: bool = True,
    ) -> None:
        """Take a loaded codec, and what its weights are called: a tune, or a file's name."""
        self.codec, self.settings, self.effort, self.by_rate = codec, settings, effort, by_rate
        self.name = aic_name(weights, by_rate)
        self.cuda = codec.device.startswith("cuda")
        self.about = {
            "version": __version__,
            "weights": codec.model_id_at(effort).hex(),
            "device": codec.device,
            "effort": effort,
            "setting": "bits per pixel asked" if by_rate else "quality",
        }

    def encode(self, pixels: Pixels, setting: float) -> Coded:
        """See `Coder.encode`."""
        rate, quality = (setting, None) if self.by_rate else (None, setting)
        data = self.codec.encode(pixels, rate, "range", self.effort, quality=quality)
        return Coded(data, data.report.model_s, data.report.limited)

    def decode(self, data: bytes) -> tuple[Pixels, float]:
        """See `Coder.decode`."""
        strips: list[Pixels] = []
        report = self.codec.decode_rows(data, strips.append)
        return np.concatenate(strips), report.model_s


@dataclass(frozen=True)
class _Format:
    """A format of Pillow's, and how it is used."""

    pillow: str
    version: Callable[[], str | None]
    options: dict[str, Any] = field(default_factory=dict)
    settings: tuple[float, ...] = QUALITIES
    by_rate: bool = False
    plugin: str | None = None  # module that Pillow needs for it
    steps: int = 1  # of quality from one whole number to the next, that it can tell apart


def installed(package: str) -> str | None:
    """Return the version of a package, None where its metadata is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _of_package(name: str) -> Callable[[], str]:
    return lambda: f"{name} {installed(name)}"


def _avif(tune: str, speed: int, subsampling: str) -> _Format:
    return _Format(
        "AVIF",
        lambda: f"libavif {features.version('avif')}",
        {"codec": "aom", "speed": speed, "subsampling": subsampling, "advanced": {"tune": tune}},
    )


_FORMATS = {
    "jpeg": _Format(
        "JPEG",
        lambda: f"libjpeg-turbo {features.version('libjpeg_turbo')}",
        {"optimize": True, "subsampling": "4:2:0"},
    ),
    "jpeg2000": _Format(
        "JPEG2000",
        lambda: f"OpenJPEG {features.version('jpg_2000')}",
        {"irreversible": True, "mct": 1, "quality_mode": "rates"},
        settings=RATES,
        by_rate=True,
    ),
    "webp": _Format("WEBP", lambda: f"libwebp {features.version('webp')}", {"method": 6}, steps=4),
    "avif": _avif("psnr", 6, "4:4:4"),
    "avif-iq": _avif("iq", 4, "4:4:4"),
    "avif-iq-speed6": _avif("iq", 6, "4:4:4"),
    "avif-iq-420": _avif("iq", 4, "4:2:0"),
    "avif-iq-420-speed6": _avif("iq", 6, "4:2:0"),
    "jpegxl": _Format(
        "JXL", _of_package("pillow-jxl-plugin"), {"effort": 7}, plugin="pillow_jxl", steps=4
    ),
    "heic": _Format("HEIF", _of_package("pillow-heif"), {"chroma": 444}, plugin="pillow_heif"),
}


class Peer:
    """A codec of Pillow's or of one of its plugins; a setting is its quality."""

    cuda = False
    trained = True

    def __init__(self, name: str) -> None:
        """Load what the codec needs.

        Raises:
            AicError: it is not installed.
        """
        form = self._form = _FORMATS[name]
        try:
            if form.plugin is not None:
                module = importlib.import_module(form.plugin)
                if form.plugin == "pillow_heif":
                    module.register_heif_opener()
        except ImportError as error:
            raise AicError(f"{name} needs pip install 'imgcodec[peers]'") from error
        Image.init()
        if form.pillow not in Image.SAVE:
            raise AicError(f"{name}: this Pillow was built without it")
        self.name, self.settings, self.by_rate = name, form.settings, form.by_rate
        whole = form.steps == 1  # as integers: libjpeg and others take nothing else
        self.candidates: Sequence[float] = [
            quality if whole else quality / form.steps
            for quality in range(form.steps, 100 * form.steps + 1)
        ]
        setting = "bits per pixel asked" if form.by_rate else "quality"
        self.about = {"version": form.version(), **form.options, "setting": setting}

    def encode(self, pixels: Pixels, setting: float) -> Coded:
        """See `Coder.encode`."""
        options = dict(self._form.options)
        if self.by_rate:
            samples = 3 if pixels.ndim == 3 else 1
            options["quality_layers"] = [8 * samples / setting]
            if samples == 1:
                del options["mct"]
        else:
            options["quality"] = setting if self._form.steps > 1 else round(setting)
        file = io.BytesIO()
        try:
            Image.fromarray(pixels).save(file, self._form.pillow, **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise AicError(reason(error)) from error
        return Coded(file.getvalue())

    def decode(self, data: bytes) -> tuple[Pixels, float]:
        """See `Coder.decode`."""
        with Image.open(io.BytesIO(data), formats=[self._form.pillow]) as picture:
            return np.asarray(picture.convert("RGB")), NAN


class RestoredJpeg(Peer):
    """The JPEG files of the peer, decoded by `aic restore`."""

    def __init__(self, weights: Path | None = None, threads: int | None = None) -> None:
        """Load the network; see `Restorer`."""
        super().__init__("jpeg")
        from imgcodec.restoring import Restorer

        self.name = RESTORED
        self._restorer = Restorer(weights, threads)
        self.about |= {"decoder": f"aic restore {__version__}"}

    def decode(self, data: bytes) -> tuple[Pixels, float]:
        """See `Coder.decode`."""
        return as_colour(self._restorer.restore(data)), NAN


class PreparedJpeg(RestoredJpeg):
    """The JPEG files of `aic encode --into jpeg`, decoded by `aic restore`."""

    def __init__(self, threads: int | None = None) -> None:
        """Load the network; see `Restorer`."""
        super().__init__(threads=threads)
        from imgcodec.into_jpeg import JpegMaker

        self.name = COMCNN
        self._maker = JpegMaker(self._restorer)
        encoder = f"aic encode --into jpeg {__version__}"
        self.about = {"version": encoder, "decoder": self.about["decoder"], "setting": "quality"}

    def encode(self, pixels: Pixels, setting: float) -> Coded:
        """See `Coder.encode`."""
        from imgcodec.pictures.picture import Picture

        return Coded(self._maker.encode(Picture(pixels), setting))


def nearest(coder: Coder, pixels: Pixels, num_bytes: int) -> tuple[float, bytes]:
    """Return the setting whose file comes closest to so many bytes, and that file.

    Closest is the least ratio of the two sizes; a file may be larger by no more than `OVER`. A
    codec without one so small gives its smallest.
    """
    if coder.by_rate:
        setting = 8 * num_bytes / (pixels.shape[0] * pixels.shape[1])
        return setting, coder.encode(pixels, setting).data
    low, high = 0, len(coder.candidates)  # fits or is the least, does not fit
    tried = {coder.candidates[0]: coder.encode(pixels, coder.candidates[0]).data}
    while high - low > 1:
        middle = (low + high) // 2
        setting = coder.candidates[middle]
        data = tried[setting] = coder.encode(pixels, setting).data
        if len(data) <= num_bytes:
            low = middle
        else:
            high = middle
    fitting = [item for item in tried.items() if len(item[1]) <= OVER * num_bytes]
    if not fitting:
        return min(tried.items(), key=lambda item: len(item[1]))
    return min(fitting, key=lambda item: abs(math.log(len(item[1]) / num_bytes)))

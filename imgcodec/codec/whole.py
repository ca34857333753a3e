"""A picture that is one tile: latents are kept while the rate is searched."""

from collections.abc import Sequence

from imgcodec.codec.detail import unheld
from imgcodec.codec.pace import Aim, Forecast, Profile
from imgcodec.codec.plan import Plan
from imgcodec.codec.quality import SIDES, Quality
from imgcodec.codec.rate_guess import guess
from imgcodec.codec.rate_search import Guess
from imgcodec.codec.recognise import recognise
from imgcodec.codec.source import Source, to_encode
from imgcodec.codec.tile_codec import Latents, TileCodec, codes_of
from imgcodec.format.container import MAX_U
from imgcodec.model import STRIDE
from imgcodec.pictures.arrays import as_colour, pad, shaped_like
from imgcodec.pictures.roi import Roi

SAME_CODES = MAX_U // 40  # difference of u up to which codes tell the first round as much


class Whole:
    """A picture that is one tile: latents are kept while the rate is searched."""

    def __init__(
        self, tile_codec: TileCodec, source: Source, raw: bool, roi: Roi | None, effort: int
    ) -> None:
        """Take the picture, whether bits are stored raw, and where they should go."""
        self._tile_codec, self._raw, self._roi, self._effort = tile_codec, raw, roi, effort
        whole = slice(None), slice(None)
        self._pixels = source[whole]
        encoded = as_colour(to_encode(source, whole))
        self._prepared = tile_codec.analyse(pad(encoded, STRIDE)[None])
        self._latents: Latents | None = None
        self._rounds = 0  # of refinement; 0: they are the encoder's own
        self._rough: tuple[int, Plan] | None = None  # the same, without hidden signs
        self._last: tuple[int, Plan] | None = None  # u, and what was chosen of these latents

    def guess(self, room: int) -> Guess:
        """See `Compressor`."""
        return guess(self._tile_codec.model, self._tile_codec.tune, [self._prepared.t], room)

    def renew(self, u: int, *, new_levels: bool = False) -> None:
        """See `Compressor`."""
        # a level of all places may change from one u to another, and with it the size
        kept = self._latents.levels if self._latents and not new_levels else None
        shifts = None if self._roi is None else self._roi.shifts
        self._keep(self._tile_codec.latents(self._prepared, u, kept, shifts))
        self._rounds = 0

    def correct(self, u: int) -> None:
        """See `Compressor`."""
        nearer = self._tile_codec.approach(self._prepared, self._kept(), u, self._effort)
        if nearer is not None:
            self._keep(nearer)
        if self._tile_codec.corrects(self._prepared):
            self.refine(u)

    @property
    def refined_kind(self) -> str | None:
        """See `Compressor`."""
        kind = self._tile_codec.refined_kind(self._prepared)
        return None if kind is None or min(self._pixels.shape[:2]) < SIDES[kind][1] else kind

    def refine(self, u: int) -> None:
        """See `Compressor`."""
        u, plan = (u, self._planned(u)) if self._rounds else self._roughly(u)
        kept = self._prepared, self._kept()
        levels_too = self._roi is None  # whose levels say what counts
        self._keep(self._tile_codec.refine(*kept, [plan], u, self._rounds, levels_too))
        self._rounds += 1

    def recognise(self, u: int) -> bool:
        """See `Compressor`; a region moves levels, and its codes are none of a file before."""
        if self._roi is not None:
            return False
        pixels = as_colour(self._pixels)
        found = recognise(self._tile_codec, self._prepared, pixels, self._kept(), u, self._raw)
        if found is None:
            return False
        self._latents, plan = found
        self._last = u, plan
        return True

    def estimate(self, u: int) -> Forecast:
        """See `Compressor`."""
        self._rough = None
        _, rough = self._roughly(u)
        return Forecast(u, [self._tile_codec.forecast(rough, self._kept())])

    def plan(self, u: int, aim: Aim | None = None) -> "_Estimated":
        """See `Compressor`."""
        return _Estimated(self._planned(u, aim))

    def quality(self, u: int, kind: str) -> float:
        """See `Compressor`."""
        codes = codes_of(self._kept(), [self._planned(u)])
        (whole,) = self._tile_codec.synthesise(self._tile_codec.dequantise(codes, u), u)
        quality = Quality(kind, self._pixels.shape)
        quality.add(self._pixels, shaped_like(whole, self._pixels))
        return quality.decibels

    @property
    def unheld(self) -> float | None:
        """See `Compressor`."""
        if self._last is None:
            return None
        u, plan = self._last
        return unheld(self._tile_codec.model, self._prepared.t, *self._kept(), plan.parts, u)

    def _roughly(self, u: int) -> tuple[int, Plan]:
        """Return codes without hidden signs for a rate parameter, or for one close to it."""
        if self._rough is None or abs(self._rough[0] - u) > SAME_CODES:
            (rough,) = self._tile_codec.roughly(self._kept(), u, self._raw)
            self._rough = u, rough
        return self._rough

    def _planned(self, u: int, aim: Aim | None = None) -> Plan:
        if self._last is None or self._last[0] != u:
            paces = None if aim is None else aim.paces(u).paces(range(1))
            # with the latents held fixed, too, the size changes smoothly
            (plan,) = self._tile_codec.plan(self._kept(), u, self._raw, paces)
            self._last = u, plan
        return self._last[1]

    def _keep(self, latents: Latents) -> None:
        self._latents, self._last, self._rough = latents, None, None

    def _kept(self) -> Latents:
        if self._latents is None:
            raise ValueError("latents are asked for before a rate parameter is")
        return self._latents


class _Estimated:
    """One tile's codes, not written yet."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.estimated_bytes = plan.estimated_bytes

    @property
    def profiles(self) -> Sequence[Profile]:
        """See `Planned`."""
        return [self._plan.profile()]

    def write(self) -> Sequence[bytes]:
        """See `Planned`."""
        return [self._plan.payload()]

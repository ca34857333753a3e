"""Sizes of a model, stored with its weights."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from imgcodec.model import pyramid

METRICS = ("mse", "ms-ssim", "eye")  # see `perceptual.distortion`
MOST = 2048  # channels and the like
MOST_LAYERS = 128  # blocks and layers one after the other, groups, places seen each way
PHASES = (3, 6)
COARSE = (1, 2)  # octaves below the decoder's resolution of its coarse blocks


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of a model."""

    latents: int = 96  # of 192 coefficients; the rest hold 1e-4.5 of the energy
    digits: int = 12  # most binary digits of a latent's magnitude; 0: one bit, the paper's form
    levels: int = 16  # L of equation (4)
    skip: bool = True  # linear skips around the trunks
    width: int = 128  # channels of the trunks
    encoder_blocks: int = 6
    decoder_blocks: int = 10
    attention_width: int = 64
    attention_heads: int = 4
    attention_blocks: int = 2
    attention_window: int = 8  # places
    lattice: int = 3  # latents coded as a pyramid: the block means of the three planes
    groups: tuple[int, ...] = (4, 5, 12, 24, 48)  # the other latents, in coding order
    context_width: int = 96
    context_hidden: int = 96
    context_phases: int = 3  # or 6, see PHASES, in which the places of a map take turns
    context_radius: int = 1  # places that later phases see each way
    context_deep: bool = False  # whether a layer before each group looks at all before it
    context_layers: int = 0  # of each group's network, besides the first and the last
    # channels that a map narrows to on its way into such layers, for each group that has one;
    # with these, context_deep says nothing
    context_ranks: tuple[int, ...] = ()
    coarse_blocks: int = 0  # of the decoder at 1/16, and as many at 1/32
    coarse_width: int = 192  # channels of these
    metric: str = "mse"  # what the weights are fitted to, see `distortion`

    def __post_init__(self) -> None:
        """Refuse by `ValueError` what no model is made of, as a forged file may say.

        What is of another type is refused by `TypeError`.
        """
        for field in fields(self):
            if type(getattr(self, field.name)) is not type(field.default):
                raise TypeError(f"{field.name} is of another type")
        lists = (*self.groups, *self.context_ranks)
        if any(type(size) is not int for size in lists):
            raise TypeError("channels that are no whole numbers")
        channels = (
            self.latents, self.levels, self.width, self.attention_width, self.attention_heads,
            self.attention_window, self.context_width, self.context_hidden, self.coarse_width,
        )  # fmt: skip
        if not all(1 <= size <= MOST for size in (*channels, *lists)):
            raise ValueError(f"sizes of a model beyond 1..{MOST}")
        layers = (
            self.encoder_blocks, self.decoder_blocks, self.attention_blocks, self.context_layers,
            self.context_radius, self.coarse_blocks, self.digits, len(self.groups),
        )  # fmt: skip
        if not all(0 <= count <= MOST_LAYERS for count in layers):
            raise ValueError(f"layers of a model beyond 0..{MOST_LAYERS}")
        if not self.groups or self.lattice + sum(self.groups) != self.latents:
            raise ValueError("groups that are not all latents")
        if self.lattice < 0 or self.lattice == 1:
            raise ValueError("a pyramid of one plane")
        if self.context_phases not in PHASES:
            raise ValueError(f"{self.context_phases} phases")
        if self.attention_width % self.attention_heads:
            raise ValueError("attention that its heads cannot share")
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric}")

    @classmethod
    def paper(cls) -> "ModelConfig":
        """Return the paper's form: n = 128 single bits, L = 16, uniform prefix, no skip."""
        return cls(
            latents=128, digits=0, skip=False, encoder_blocks=4, decoder_blocks=6, lattice=0,
            groups=(32, 32, 64),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return what `ModelConfig(**...)` takes, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "ModelConfig":
        """Return what a JSON object says, defaults where it says nothing.

        Raises:
            ValueError: as `ModelConfig` does.
            TypeError: a field that is none, or of another type.
        """
        values: dict[str, Any] = dict(fields)
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        return cls(**values)

    @property
    def expansion(self) -> bool:
        """Whether latents are binary expansions rather than single bits."""
        return self.digits > 0

    @property
    def levelled(self) -> bool:
        """Whether levels say how much an error matters; under the squared error all are even."""
        return self.metric != "mse"

    @property
    def decoder_reach(self) -> int:
        """How many places away from its own the codes are that a decoded pixel may depend on.

        First layer, last layer and two layers a block, of 3x3 places each, those of the coarse
        blocks larger; and the lapping. A place sees all of its own coarse one.
        """
        coarse = sum(2 * self.coarse_blocks << octave for octave in COARSE)
        return 1 + 2 * self.decoder_blocks + coarse + self.decoder_grid - 1 + 1 + 1

    @property
    def decoder_grid(self) -> int:
        """Multiples of how many places a part of a picture begins at that decodes on its own."""
        return 1 << COARSE[-1] if self.coarse_blocks else 1

    @property
    def parts(self) -> tuple[int, ...]:
        """Channels of each part that is coded: those of the pyramid, then the groups."""
        return (*pyramid.parts(self.lattice), *self.groups)

    @property
    def pyramid_parts(self) -> int:
        """How many of the parts are the pyramid's."""
        return len(self.parts) - len(self.groups)

    def part_size(self, part: int, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a part of a picture of that many places."""
        if part < self.pyramid_parts:
            return pyramid.part_size(height, width, part)
        return height, width

"""Which part of a picture is coded, and at which size."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from imgcodec.errors import ImageError
from imgcodec.format.container import MAX_SIDE
from imgcodec.pictures.picture import Picture, to_pil
from imgcodec.pictures.pillow_guard import refusing


class Frame(NamedTuple):
    """A part that is cut out, and a size that it then gets; nothing of both by default."""

    crop: tuple[int, int, int, int] | None = None  # left, top, width, height, pixels
    resize: tuple[int, int] | float | None = None  # width and height, 0: in proportion; percent

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what is made of a picture.

        Raises:
            ImageError: the part leaves the picture, or a side is none or too long then.
        """
        if self.crop is not None:
            left, top, part_width, part_height = self.crop
            if left + part_width > width or top + part_height > height:
                raise ImageError(
                    f"the part {','.join(map(str, self.crop))} leaves the picture,"
                    f" {width}x{height} pixels"
                )
            height, width = part_height, part_width
        if isinstance(self.resize, tuple):
            new_width, new_height = self.resize
            new_width = new_width or max(1, round(width * new_height / height))
            new_height = new_height or max(1, round(height * new_width / width))
        elif self.resize is not None:
            new_height, new_width = (
                max(1, round(side * self.resize / 100)) for side in (height, width)
            )
        else:
            return height, width
        if max(new_height, new_width) > MAX_SIDE:
            raise ImageError(
                f"resized to {new_width}x{new_height} pixels, {MAX_SIDE} a side at most"
            )
        return new_height, new_width

    def applied(self, picture: Picture) -> Picture:
        """Return the part at its size, resampled by Pillow's Lanczos filter; its place is lost.

        Raises:
            ImageError: see `shape`.
        """
        height, width = self.shape(*picture.shape[:2])
        if self.crop == (0, 0, *picture.shape[1::-1]):
            return self._replace(crop=None).applied(picture)
        if self.crop is None and (height, width) == picture.shape[:2]:
            return picture
        pixels, alpha, unrounded = picture.pixels, picture.alpha, picture.unrounded
        if self.crop is not None:
            left, top, part_width, part_height = self.crop
            inner = slice(top, top + part_height), slice(left, left + part_width)
            pixels = np.ascontiguousarray(pixels[inner])
            alpha = None if alpha is None else np.ascontiguousarray(alpha[inner])
            if unrounded is not None:
                unrounded = np.ascontiguousarray(unrounded[inner])
        if (height, width) != pixels.shape[:2]:
            unrounded = None
            with refusing():  # with alpha, colours weigh as much as is seen of them
                samples = np.array(
                    to_pil(Picture(pixels, alpha)).resize(
                        (width, height), Image.Resampling.LANCZOS
                    )
                )
            if alpha is None:
                pixels = samples
            else:
                alpha = np.ascontiguousarray(samples[..., -1])
                pixels = np.ascontiguousarray(
                    samples[..., :-1] if pixels.ndim == 3 else samples[..., 0]
                )
        if alpha is not None and alpha.min() == 255:
            alpha = None
        part = self.crop or (0, 0, picture.shape[1], picture.shape[0])
        metadata = picture.metadata.framed(part, height, width)
        return Picture(pixels, alpha, metadata, picture.notes, unrounded)

    def distorts(self, height: int, width: int) -> bool:
        """Whether the proportions change, by more than whole pixels need."""
        if self.crop is not None:
            _, _, width, height = self.crop
        new_height, new_width = self._replace(crop=None).shape(height, width)
        return abs(new_width * height - new_height * width) >= max(height, width)

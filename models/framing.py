"""Which part of a photo a network is shown, for its pixels and for what is drawn on them alike."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from srd_jax.errors import ShapeError

__all__ = ["Frame", "frame"]

_LONGEST = 8  # a longer side in shorter sides; of what is longer, only the middle is resized

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, the last ones exclusive."""


@dataclass(frozen=True)
class Frame:
    """What is resized of a photo, how large it is then, and what is shown of that.

    Attributes:
        middle: the part that is resized, in the photo's pixels; all of it, unless it is very long.
        resized: its height and width then.
        centre: the part that is shown, in the pixels of what was resized.
    """

    middle: Box
    resized: tuple[int, int]
    centre: Box

    def crop(self, image: Image.Image, resample: Image.Resampling) -> Image.Image:
        """What is shown of an image of the photo's size."""
        height, width = self.resized
        return image.crop(self.middle).resize((width, height), resample).crop(self.centre)

    def corners(self, boxes: Float[np.ndarray, "*K 4"], extents: tuple[int, int]) -> Float[np.ndarray, "*K 4"]:
        """Boxes in the pixels that are shown, of which they may lie outside.

        Args:
            boxes: ymin, xmin, ymax, xmax as fractions of the photo.
            extents: its height and width.
        """
        left, top, right, bottom = self.middle
        kind = boxes.dtype
        scale = np.array(self.resized, kind) / np.array([bottom - top, right - left], kind)
        points = boxes.reshape(*boxes.shape[:-1], 2, 2) * np.array(extents, kind) - np.array([top, left], kind)
        return (points * scale - np.array([self.centre[1], self.centre[0]], kind)).reshape(boxes.shape)


def frame(extents: tuple[int, int], *, size: int, resize: int) -> Frame:
    """What a network is shown of a photo: its shorter side is resized, and the centre cropped.

    Args:
        extents: the photo's height and width.
        size: side of the crop in pixels.
        resize: length of the photo's shorter side before it.

    Raises:
        ShapeError: if `size` exceeds `resize`.
    """
    if not 0 < size <= resize:
        raise ShapeError(f"the crop must have between 1 and resize={resize} pixels a side, not size={size}.")
    most = _LONGEST * min(extents)
    high, wide = (min(each, most + (each - most) % 2) for each in extents)  # the middle stays where it is
    top, left = (extents[0] - high) // 2, (extents[1] - wide) // 2
    short, long = sorted((high, wide))
    long = int(resize * long / short)  # truncated, as torchvision does
    height, width = (long, resize) if wide <= high else (resize, long)
    first_row, first_column = round((height - size) / 2), round((width - size) / 2)
    centre = (first_column, first_row, first_column + size, first_row + size)
    return Frame((left, top, left + wide, top + high), (height, width), centre)

"""What a network is shown of a photo."""

import numpy as np
import pytest
from PIL import Image

from srd_jax.errors import ShapeError
from srd_jax.models.framing import Frame, frame


def test_the_shorter_side_is_resized_and_the_centre_shown():
    assert frame((100, 201), size=40, resize=50) == Frame((0, 0, 201, 100), (50, 100), (30, 5, 70, 45))
    assert frame((201, 100), size=40, resize=50) == Frame((0, 0, 100, 201), (100, 50), (5, 30, 45, 70))


def test_of_a_strip_only_the_middle_is_resized():
    assert frame((10, 1001), size=10, resize=10) == Frame((460, 0, 541, 10), (10, 81), (36, 0, 46, 10))


def test_boxes_lie_where_their_pixels_are_shown():
    extents, box = (60, 90), np.array([0.25, 0.4, 0.75, 0.7])
    pixels = np.zeros(extents, np.uint8)
    pixels[15:45, 36:63] = 255
    shown = frame(extents, size=96, resize=120)
    seen = np.argwhere(np.asarray(shown.crop(Image.fromarray(pixels), Image.Resampling.NEAREST)))
    np.testing.assert_allclose(shown.corners(box, extents), [*seen.min(0), *(seen.max(0) + 1)])


def test_boxes_keep_their_axes_and_their_unknown():
    boxes = np.full((2, 3, 4), np.nan)
    boxes[1, 2] = [0, 0, 1, 1]
    found = frame((40, 40), size=16, resize=20).corners(boxes, (40, 40))
    np.testing.assert_array_equal(found[1, 2], [-2, -2, 18, 18])
    assert np.isnan(found).sum() == 5 * 4


@pytest.mark.parametrize("size", [0, 21])
def test_a_crop_that_the_photo_does_not_fill(size):
    with pytest.raises(ShapeError, match="between 1 and resize=20 pixels"):
        frame((40, 40), size=size, resize=20)

"""Where objects lie in what a model is shown."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import srd_jax as srd
from srd_jax.data.annotations import IGNORED, OBJECT, OUTSIDE, Annotation, mask_of, rasterised, shown_masks, upright
from srd_jax.models import Preprocessing

SHOWN = Preprocessing(16, 20)


@pytest.mark.parametrize("blocks", [(5, 7), (7, 5), (4, 9), (2, 41), (3, 3)])
def test_masks_are_shown_as_the_image_is(blocks):
    masks = np.kron(np.random.default_rng(0).integers(0, 2, (2, *blocks)), np.ones((1, 9, 9))).astype(np.uint8)
    found = shown_masks(Annotation((0, 1), masks=masks), masks.shape[1:], SHOWN)
    assert found.shape == (2, 16, 16)
    for mask, seen in zip(masks, found, strict=True):
        picture = SHOWN.crop(mask * 255)[..., 0]  # grey only where its filter sees both levels
        sure = (picture == 0) | (picture == 255)
        assert sure.sum() > 10
        np.testing.assert_array_equal(seen[sure] * 255, picture[sure])


def test_a_mask_and_the_box_around_it_are_the_same_pixels():
    boxes = np.array([[0.1, 0.2, 0.7, 0.5], [0, 0, 1, 1], [0.8, 0.9, 1, 1]])
    masks = np.zeros((3, 40, 60), np.uint8)
    masks[0, 4:28, 12:30] = masks[1] = masks[2, 32:, 54:] = OBJECT
    drawn = shown_masks(Annotation((0, 0, 0), masks=masks), (40, 60), SHOWN)
    np.testing.assert_array_equal(shown_masks(Annotation((0, 0, 0), boxes), (40, 60), SHOWN), drawn)
    np.testing.assert_array_equal(drawn.any((1, 2)), [True, True, False])  # the last lies beside the crop


def test_a_pixel_belongs_to_a_box_when_its_centre_does():
    whole = Preprocessing(4, 4)
    box = np.array([[0.125, 0.126, 0.875, 0.874]])  # through the centres of the outer rows, and just past them
    (found,) = shown_masks(Annotation((0,), box), (4, 4), whole)
    np.testing.assert_array_equal(found, np.pad(np.ones((3, 2)), ((0, 1), (1, 1))))


def test_masks_win_over_boxes():
    both = Annotation((0,), np.array([[0.0, 0, 1, 1]]), np.full((1, 8, 8), IGNORED, np.uint8))
    assert (shown_masks(both, (8, 8), SHOWN) == IGNORED).all()


def test_what_is_unknown():
    assert shown_masks(Annotation((3,)), (8, 8), SHOWN) is None
    boxes = np.array([[np.nan] * 4, [0, 0, 0.1, 0.1]])
    found = shown_masks(Annotation((3, 4), boxes), (8, 8), SHOWN)
    assert (found[0] == IGNORED).all()
    assert (found[1] == OUTSIDE).all()


def test_masks_of_another_image():
    with pytest.raises(srd.DataError, match="masks of 8 x 9 pixels are of no image of 9 x 8"):
        shown_masks(Annotation((0,), masks=np.zeros((1, 8, 9), np.uint8)), (9, 8), SHOWN)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_and_boxes_are_turned_as_their_image_is(orientation):
    rows, columns = slice(1, 4), slice(5, 7)
    mask = np.zeros((6, 9), np.uint8)
    mask[rows, columns] = OBJECT
    mask[0, 0] = IGNORED
    stored = Image.fromarray(mask)
    stored.getexif()[0x0112] = orientation
    box = np.array([[1 / 6, 5 / 9, 4 / 6, 7 / 9], [np.nan] * 4])
    found = upright(Annotation((0, 1), box, mask[None]), orientation)
    np.testing.assert_array_equal(found.masks[0], ImageOps.exif_transpose(stored))
    height, width = found.masks.shape[1:]
    corners = np.round(found.boxes * [height, width, height, width], 9)
    np.testing.assert_array_equal(rasterised(corners, (height, width))[0], found.masks[0] == OBJECT)
    assert np.isnan(found.boxes[1]).all()


def test_a_mask_that_cannot_be_read_says_why():
    file = io.BytesIO()
    Image.new("L", (4, 3)).save(file, "PNG")
    assert mask_of(file.getvalue(), (3, 4)).shape == (3, 4)
    with pytest.raises(srd.DataError, match="its mask has 3 x 4 pixels and it has 4 x 3"):
        mask_of(file.getvalue(), (4, 3))
    with pytest.raises(srd.DataError, match="its mask cannot be read as an image"):
        mask_of(file.getvalue()[:40], (3, 4))

"""Where the objects of an image lie: their boxes and masks, and which pixels that is of what a model is shown."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

from srd_jax.errors import DataError, SRDError
from srd_jax.models.photos import Preprocessing, mask_samples

__all__ = ["IGNORED", "NO_LABEL", "OBJECT", "OUTSIDE", "Annotation", "mask_of", "rasterised", "shown_masks", "upright"]

OUTSIDE, OBJECT, IGNORED = 0, 1, 2
NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Annotation:
    """The objects of one image, and where they lie in it once it is upright, as `srd_jax.models.photos.decoded` has it.

    Attributes:
        targets: K class indices, `NO_LABEL` where unknown.
        boxes: (K, 4) ymin, xmin, ymax, xmax as fractions of the image, NaN where unknown; None where all are.
        masks: (K, H, W) `OUTSIDE`, `OBJECT` or `IGNORED` in the image's pixels, None where unknown.
    """

    targets: tuple[int, ...]
    boxes: Float[np.ndarray, "K 4"] | None = None
    masks: UInt8[np.ndarray, "K H W"] | None = None


def shown_masks(
    annotation: Annotation, extents: tuple[int, int], shown: Preprocessing
) -> UInt8[np.ndarray, "K size size"] | None:
    """Which pixels of what a model is shown belong to each object.

    Masks are resized, by the nearest pixel, and cropped as the image is. Where there are none, a pixel belongs to a box
    when its centre lies in it; nothing is known of the pixels of an object whose box is unknown, so they are `IGNORED`.

    Args:
        annotation: of the image.
        extents: the upright image's height and width.
        shown: how the model wants its images.

    Returns:
        (K, size, size) `OUTSIDE`, `OBJECT` or `IGNORED`; None where the annotation has neither masks nor boxes.

    Raises:
        DataError: the masks have other extents than the image.
    """
    framed = shown.frame(extents)
    if annotation.masks is not None:
        if annotation.masks.shape[1:] != extents:
            height, width = annotation.masks.shape[1:]
            raise DataError(f"masks of {height} x {width} pixels are of no image of {extents[0]} x {extents[1]}")
        crops = [framed.crop(Image.fromarray(mask), Image.Resampling.NEAREST) for mask in annotation.masks]
        return np.array(crops, np.uint8).reshape(-1, shown.size, shown.size)
    if annotation.boxes is None:
        return None
    return rasterised(framed.corners(annotation.boxes, extents), (shown.size, shown.size))


def rasterised(corners: Float[np.ndarray, "K 4"], extents: tuple[int, int]) -> UInt8[np.ndarray, "K H W"]:
    """Boxes as masks: a pixel whose centre lies in one is `OBJECT`; of a box that is NaN, all are `IGNORED`.

    Args:
        corners: top, left, bottom, right of each in pixels.
        extents: height and width of the masks.
    """
    rows, columns = (np.arange(each) + 0.5 for each in extents)
    top, left, bottom, right = corners.T[..., None]
    inside = ((top <= rows) & (rows < bottom))[:, :, None] & ((left <= columns) & (columns < right))[:, None, :]
    unknown = ~np.isfinite(corners).all(1)
    return np.where(unknown[:, None, None], IGNORED, np.where(inside, OBJECT, OUTSIDE)).astype(np.uint8)


def mask_of(encoded: bytes, extents: tuple[int, int]) -> Shaped[np.ndarray, "H W *C"]:
    """The samples of an image's mask.

    Args:
        encoded: the mask, a PNG.
        extents: height and width of the image as it lies in its file.

    Raises:
        DataError: it cannot be decoded, or is of another size than the image.
    """
    try:
        samples = mask_samples(encoded, "its mask")
    except SRDError as error:
        raise DataError(str(error).rstrip(".")) from error
    if samples.shape[:2] != extents:
        height, width = samples.shape[:2]
        raise DataError(f"its mask has {height} x {width} pixels and it has {extents[0]} x {extents[1]}")
    return samples


def upright(annotation: Annotation, orientation: int) -> Annotation:
    """What is known of an image as it lies in its file, turned as the image is.

    Args:
        annotation: of the image before it is turned.
        orientation: the image's in EXIF, 1 to 8.
    """
    boxes, masks = annotation.boxes, annotation.masks
    swapped, down, right = orientation >= 5, orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    if masks is not None:
        turned = masks.swapaxes(1, 2) if swapped else masks
        masks = np.ascontiguousarray(turned[:, :: -1 if down else 1, :: -1 if right else 1])
    if boxes is not None:
        turned = boxes[:, [1, 0, 3, 2]] if swapped else boxes
        turned = np.where([down, right, down, right], 1 - turned[:, [2, 3, 0, 1]], turned)
        boxes = turned.astype(boxes.dtype)
    return Annotation(annotation.targets, boxes, masks)

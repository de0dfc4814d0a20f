"""What the records of a data set say of their images: class, box and mask, by the features that TFDS's sets have.

A class is a feature ``label``. A box is ``box`` or ``bbox``, or one of several ``objects``, which may have classes of
their own. A mask is ``mask``, in the numbers of `srd_jax.data.annotations`, or a ``segmentation_mask`` with the numbers
of Oxford-IIIT Pet: 1 the object, 2 the background, 3 the border between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float32, Int, UInt8

from srd_jax.errors import DataError
from srd_jax.models import photos

from .annotations import IGNORED, NO_LABEL, OBJECT, OUTSIDE, Annotation, mask_of, rasterised, upright

__all__ = ["ENCODED", "annotation_of", "class_feature", "object_of"]

MEANINGS: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "mask": {OUTSIDE: OUTSIDE, OBJECT: OBJECT, IGNORED: IGNORED},
        "segmentation_mask": {1: OBJECT, 2: OUTSIDE, 3: IGNORED},
    }
)
"""By feature, what the numbers of a mask mean."""

ENCODED = ("image", *MEANINGS)
"""Features that are decoded here."""

_ASIDE = ("is_difficult", "is_crowd")  # objects that nobody is asked to find

Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Objects:
    """The objects of one image: their boxes, their classes, and which of them are set aside."""

    boxes: Float32[np.ndarray, "K 4"]
    classes: Int[np.ndarray, " K"]
    aside: Bool[np.ndarray, " K"]


def class_feature(features: Mapping[str, Any]) -> tfds.features.ClassLabel | None:
    """The feature that names the classes of a set's images, or of the objects in them; None where neither is named."""
    objects = getattr(features.get("objects"), "feature", {})
    label = (
        features["label"] if "label" in features else objects["label"] if {"label", "bbox"} <= set(objects) else None
    )
    return label if isinstance(label, tfds.features.ClassLabel) and label.num_classes else None


def object_of(record: Record) -> tuple[int, Float32[np.ndarray, "4"]]:
    """The class of an image and the box of its object; of several, the largest that is not set aside as difficult.

    Returns:
        The class index, `NO_LABEL` where there is none; ymin, xmin, ymax, xmax, NaN where unknown.
    """
    label, box = int(record.get("label", NO_LABEL)), record.get("box", record.get("bbox", np.full(4, np.nan)))
    objects = _objects(record)
    if objects is not None:
        asked = np.flatnonzero(~objects.aside & (("label" not in record) | (objects.classes == label)))
        height, width = (objects.boxes[asked, 2:] - objects.boxes[asked, :2]).T
        if len(asked):
            largest = asked[np.argmax(height * width)]
            label, box = int(objects.classes[largest]), objects.boxes[largest]
    box = np.asarray(box, np.float32)
    return label, box if box[2] > box[0] else np.full(4, np.nan, np.float32)


def annotation_of(record: Record) -> Annotation:
    """Where the object of an image lies.

    Where an image has several objects of its class, the box is that of the largest, and the mask the boxes of all; what
    lies in those of difficult ones alone is `IGNORED`.

    Raises:
        ImageError: the image cannot be read.
        DataError: its mask cannot be, is of another size, or holds other numbers than those of its feature.
    """
    extents, orientation = photos.stored(bytes(record["image"]), "it")
    label, box = object_of(record)
    mask = next((_mask(record[name], extents, name) for name in MEANINGS if isinstance(record.get(name), bytes)), None)
    if mask is None:
        mask = _all_boxes(_objects(record), label, extents)
    boxes = box[None] if np.isfinite(box).all() else None
    return upright(Annotation((label,), boxes, None if mask is None else mask[None]), orientation)


def _objects(record: Record) -> _Objects | None:
    if "objects" not in record or "bbox" not in record["objects"]:
        return None
    objects = record["objects"]
    boxes = np.asarray(objects["bbox"], np.float32).reshape(-1, 4)
    classes = objects.get("label", np.full(len(boxes), record.get("label", NO_LABEL)))
    aside = np.zeros(len(boxes), bool)
    for name in _ASIDE:
        aside = aside | np.asarray(objects.get(name, aside), bool)
    return _Objects(boxes, np.asarray(classes), aside)


def _mask(encoded: bytes, extents: tuple[int, int], feature: str) -> UInt8[np.ndarray, "H W"]:
    meaning = MEANINGS[feature]
    samples = mask_of(encoded, extents).reshape(*extents, -1)
    if samples.shape[2] != 1 or not np.isin(samples, list(meaning)).all():
        raise DataError(f"its {feature} holds other numbers than {', '.join(map(str, meaning))}")
    table = np.zeros(max(meaning) + 1, np.uint8)
    table[list(meaning)] = list(meaning.values())
    return table[samples[..., 0].astype(np.int64)]


def _all_boxes(objects: _Objects | None, label: int, extents: tuple[int, int]) -> UInt8[np.ndarray, "H W"] | None:
    """All boxes of a class as one mask; None where one box says as much."""
    chosen = None if objects is None else objects.classes == label
    if objects is None or chosen is None or label == NO_LABEL or chosen.sum() < 2:
        return None
    inside = rasterised(objects.boxes[chosen] * np.array([*extents, *extents]), extents) == OBJECT
    aside = objects.aside[chosen]
    return np.select([inside[~aside].any(0), inside[aside].any(0)], [OBJECT, IGNORED], OUTSIDE).astype(np.uint8)

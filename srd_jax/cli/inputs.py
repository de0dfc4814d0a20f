"""What the commands work on: models, with or without weights, and photos."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

import srd_jax as srd
from srd_jax import models
from srd_jax.errors import ShapeError, WeightsError
from srd_jax.files import unique_stems

from .terminal import waiting

__all__ = ["Outline", "Photo", "layers_of", "load_model", "outline", "pixels_of", "read_photos", "weights_label"]

_SAMPLE = "chelsea"


@dataclass(frozen=True)
class Photo:
    """A photo as the model sees it.

    Attributes:
        name: where it is from.
        stem: what its files' names begin with; no two photos share it.
        crop: (size, size, 3) uint8.
    """

    name: str
    stem: str
    crop: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Outline:
    """A model without values: nothing was read, drawn or computed.

    Attributes:
        name: as in `srd_jax.models.names`.
        apply: (variables, images) -> logits.
        variables: shapes and dtypes.
        images: shape and dtype of one image.
    """

    name: str
    apply: Any
    variables: Any
    images: jax.ShapeDtypeStruct


def outline(name: str, size: int) -> Outline:
    """A model's outline for images of size x size pixels.

    Raises:
        LayerError: there is no such model.
        ShapeError: it cannot take images so small.
    """
    module = models.build(name)
    if size < module.min_extent:
        raise ShapeError(f"{name} needs images of at least {module.min_extent} pixels a side, not {size}")
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(images.shape)))
    return Outline(name, module.apply, variables, images)


def layers_of(model: Outline) -> tuple[srd.Layer, ...]:
    """The PFV maps of a model, by tracing alone."""
    _, flow = jax.eval_shape(srd.decompose(model.apply), model.variables, model.images)
    layers: tuple[srd.Layer, ...] = flow.layers
    return layers


def load_model(name: str, weights: str | None) -> models.Model:
    """A model with weights.

    Raises:
        LayerError: there is no such model.
        WeightsError: its weights cannot be had or do not fit; the message speaks of the option ``--weights``.
    """
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it would report every attempt to reach the hub, and the error says it all
    try:
        with waiting(f"Loading {name}"):
            return models.load(name, weights)
    except WeightsError as error:
        raise WeightsError(str(error).replace("weights=", "--weights ")) from error
    finally:
        hub.setLevel(level)


def weights_label(weights: str | None) -> str:
    """What to call the weights in files and pictures."""
    return "pretrained" if weights is None else weights


def read_photos(paths: Sequence[Path] | None, size: int) -> list[Photo]:
    """Photos, resized and cropped as for the evaluation on ImageNet: the shorter side to 256/224 of the crop's.

    Args:
        paths: of image files; without any, a photo that comes with scikit-image.
        size: side of the crop.

    Raises:
        ImageError: one of them cannot be read.
    """
    crop = partial(models.crop, size=size, resize=round(size * 256 / 224))
    if not paths:
        return [Photo(f"{_SAMPLE} (scikit-image)", _SAMPLE, crop(models.sample_photo(_SAMPLE)))]
    once = list(dict.fromkeys(paths))
    return [Photo(str(path), stem, crop(path)) for path, stem in zip(once, unique_stems(once), strict=True)]


def pixels_of(model: models.Model, photos: Sequence[Photo]) -> Float32[np.ndarray, "N H W 3"]:
    """The normalised network input for photos: (N, H, W, 3)."""
    size = photos[0].crop.shape[0]
    return np.stack([model.preprocess(photo.crop, size=size, resize=size) for photo in photos])

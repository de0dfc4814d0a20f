"""What the commands work on: models, with or without weights, and photos."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, UInt8

import srd_jax as srd
from srd_jax import models
from srd_jax.errors import ShapeError, WeightsError
from srd_jax.files import unique_stems
from srd_jax.models import photos

from .terminal import waiting

__all__ = [
    "Outline",
    "Photo",
    "PhotoFile",
    "check_logits",
    "layers_of",
    "load_model",
    "outline",
    "photo_files",
    "pixels_of",
    "read_photo",
    "weights_label",
]

_SAMPLE = "chelsea"
_SHARP = 512  # pixels a side, about what a picture shows


@dataclass(frozen=True)
class PhotoFile:
    """A photo that has not been read.

    Attributes:
        source: its path, or what comes with scikit-image.
        name: where it is from.
        stem: what its files' names begin with; no two photos share it.
    """

    source: models.Photo
    name: str
    stem: str


@dataclass(frozen=True)
class Photo:
    """A photo as the model sees it.

    Attributes:
        name: where it is from.
        stem: what its files' names begin with; no two photos share it.
        crop: (size, size, 3) uint8.
        sharp: the same part of the photo in more pixels, for pictures.
    """

    name: str
    stem: str
    crop: UInt8[np.ndarray, "H W 3"]
    sharp: UInt8[np.ndarray, "h w 3"]


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


def outline(name: str, size: int | None = None) -> Outline:
    """A model's outline for images of size x size pixels, by default those it was made for.

    Raises:
        LayerError: there is no such model.
        ShapeError: it cannot take images so small.
    """
    module = models.build(name)
    size = size or models.input_extents(name)[0]
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


def check_logits(logits: Float[np.ndarray, "..."], model: str) -> None:
    """Refuse to go on from logits that say nothing.

    Raises:
        WeightsError: one is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        raise WeightsError(
            f"{model} gives logits that are NaN or infinite, which no class can be read from: its weights are damaged "
            "or too large"
        )


def weights_label(model: str, weights: str | None) -> str:
    """What to call the weights in files and pictures."""
    if weights is not None:
        return weights
    return "bundled" if models.weights_source(model) == "bundled" else "pretrained"


def photo_files(paths: Sequence[Path] | None) -> list[PhotoFile]:
    """The photos to read, each once; without paths, one that comes with scikit-image."""
    if not paths:
        return [PhotoFile(models.sample_photo(_SAMPLE), f"{_SAMPLE} (scikit-image)", _SAMPLE)]
    once = list(dict.fromkeys(paths))
    return [PhotoFile(path, str(path), stem) for path, stem in zip(once, unique_stems(once), strict=True)]


def read_photo(file: PhotoFile, model: Outline) -> Photo:
    """A photo, resized and cropped as the model wants it.

    Raises:
        ImageError: it cannot be read.
        ShapeError: it has no pixels.
    """
    size = model.images.shape[1]
    own, shorter = models.input_extents(model.name)
    resize = round(size * shorter / own)
    enlarge = max(1, _SHARP // size)
    image = file.source
    if isinstance(image, Path):
        image = photos.decoded(photos.read(image), file.name)
    crop = models.crop(image, size=size, resize=resize)
    return Photo(file.name, file.stem, crop, models.crop(image, size=enlarge * size, resize=enlarge * resize))


def pixels_of(model: models.Model, photos: Sequence[Photo]) -> Float32[np.ndarray, "N H W 3"]:
    """The normalised network input for photos: (N, H, W, 3)."""
    size = photos[0].crop.shape[0]
    return np.stack([model.preprocess(photo.crop, size=size, resize=size) for photo in photos])

"""What the commands work on: models, with or without weights."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

import srd_jax as srd
from srd_jax import models
from srd_jax.errors import ShapeError, WeightsError

from .terminal import waiting

__all__ = [
    "Outline",
    "layers_of",
    "load_model",
    "outline",
    "weights_label",
]


@dataclass(frozen=True)
class Outline:
    """A model without values: nothing was read, drawn or computed.

    Attributes:
        name: as in `srd_jax.models.names`.
        module: the Flax module.
        images: shape and dtype of one image.
    """

    name: str
    module: Any
    images: jax.ShapeDtypeStruct

    @property
    def apply(self) -> Any:
        """(variables, images) -> logits."""
        return self.module.apply

    @cached_property
    def variables(self) -> Any:
        """Shapes and dtypes."""
        return jax.eval_shape(lambda: self.module.init(jax.random.key(0), jnp.zeros(self.images.shape)))


def outline(name: str, size: int | None = None) -> Outline:
    """A model's outline for images of size x size pixels, by default those it was made for.

    Raises:
        LayerError: there is no such model.
        ShapeError: it cannot take images so small.
    """
    module = models.build(name)
    size = size or models.preprocessing(name).size
    if size < module.min_extent:
        raise ShapeError(f"{name} needs images of at least {module.min_extent} pixels a side, not {size}")
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return Outline(name, module, images)


def layers_of(model: Outline) -> tuple[srd.Layer, ...]:
    """The PFV maps of a model, by tracing alone."""
    _, flow = jax.eval_shape(srd.decompose(model.apply), model.variables, model.images)
    layers: tuple[srd.Layer, ...] = flow.layers
    return layers


def load_model(name: str, weights: str | None) -> models.Network:
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


def weights_label(model: str, weights: str | None) -> str:
    """What to call the weights in files and pictures."""
    if weights is not None:
        return weights
    return "bundled" if models.weights_source(model) == "bundled" else "pretrained"

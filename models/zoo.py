"""The models by name: module, weights, preprocessing and labels in one value."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Shaped

from srd_jax.errors import ImageError, LayerError, ShapeError, WeightsError
from srd_jax.messages import did_you_mean, shortened

from . import hub, weight_files
from .families import entries, family_of
from .family import Entry
from .labels import imagenet_labels
from .photos import Preprocessing
from .weights import Variables, class_count, from_torchvision, untrained

__all__ = ["Network", "build", "can_train", "load", "names", "preprocessing", "weights_source"]


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to be explained.

    Attributes:
        name: as in `names()`.
        apply: (variables, images) -> logits, images (N, H, W, 3) normalised floats, logits (N, classes) float32; a pure
            function to transform, jit and differentiate. Raises ShapeError for other shapes, ImageError for integers.
        variables: Flax's {"params": ..., "batch_stats": ...}, float32 arrays.
        preprocess: photo -> (size, size, 3) float32, at the model's own size; `.crop` shows which part of a photo that
            is, `.at(size)` does the same for images of another size.
        labels: class names in logit order, ``class 0`` and so on where they are unknown: those that the weights' file
            holds, else ImageNet's for 1000 logits, of ``tiny_resnet`` those of its own weights alone.
        layers: names of the PFV maps (every ReLU's output) in forward order.
        trained: whether the weights were given or pretrained rather than drawn at random.
    """

    name: str
    apply: Callable[[Variables, Any], Float[jax.Array, "N classes"]] = field(repr=False)
    variables: Variables = field(repr=False)
    preprocess: Preprocessing = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    layers: tuple[str, ...] = field(repr=False)
    trained: bool

    @property
    def size(self) -> int:
        """Side in pixels of the images it was made for; others work."""
        return self.preprocess.size


def names() -> tuple[str, ...]:
    """Names of the models that `load` knows."""
    return tuple(entries())


def weights_source(name: str) -> str:
    """Where `load` finds a model's weights by itself: "bundled", or the repository on the Hugging Face hub.

    Raises:
        LayerError: if there is no model of that name.
    """
    return "bundled" if _entry(name).weights else f"hf.co/{weight_files.hub_repository(name)}"


def can_train(name: str) -> bool:
    """Whether a model has a training mode, ``module.apply(..., train=True)``.

    Raises:
        LayerError: if there is no model of that name.
    """
    _entry(name)
    return family_of(name).can_train


def preprocessing(name: str) -> Preprocessing:
    """How a model wants its photos.

    Raises:
        LayerError: if there is no model of that name.
    """
    return _entry(name).preprocessing


def build(name: str, *, num_classes: int | None = None, dtype: Any = jnp.float32) -> nn.Module:
    """The Flax module of a model, without weights.

    Args:
        name: one of `names()`.
        num_classes: number of logits; by default those of the model's own data set.
        dtype: computation dtype.

    Raises:
        LayerError: if there is no model of that name.
    """
    entry = _entry(name)
    return entry.module(num_classes=num_classes or len(entry.classes()), dtype=dtype)


def load(
    name: str,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    dtype: Any = jnp.float32,
    num_classes: int | None = None,
) -> Network:
    """A model with its weights.

    Args:
        name: one of `names()`.
        weights: None for the trained weights, which come with the package (``efficientnet_lite0``, ``tiny_resnet``) or
            are ImageNet weights from the Hugging Face hub (downloaded once, then cached); "untrained" for random ones;
            else a mapping of torchvision's or timm's parameter names to arrays, or the path of a .safetensors file or
            of a PyTorch checkpoint; what training scripts put around either is taken off.
        seed: of the random weights.
        dtype: computation dtype, such as `jnp.bfloat16`; the variables stay float32.
        num_classes: number of logits; by default what the weights have, or those of the model's own data set.

    Raises:
        LayerError: if there is no model of that name.
        WeightsError: if the weights cannot be had, cannot be read safely, or do not fit.
    """
    entry = _entry(name)  # an unknown name should not cost a download
    if weights is None:
        weights = entry.weights or hub.fetch(name)
    state = None if isinstance(weights, str) and weights == "untrained" else weight_files.read(weights)
    if num_classes is None:
        num_classes = (class_count(state, name) if state is not None else None) or len(entry.classes())
    module = build(name, num_classes=num_classes, dtype=dtype)
    least = max(32, module.min_extent)
    template = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, least, least, 3))))
    variables = untrained(template, seed) if state is None else from_torchvision(template, state, name)
    return Network(
        name=name,
        apply=_checked(module),
        variables=variables,
        preprocess=entry.preprocessing,
        labels=_labels(entry, None if state is None else weights, num_classes),
        layers=module.layers,
        trained=state is not None,
    )


def _entry(name: str) -> Entry:
    known = entries()
    if name not in known:
        name = shortened(name)
        raise LayerError(f"there is no model {name!r}; {did_you_mean(name.lower(), list(known))}")
    return known[name]


def _labels(entry: Entry, weights: Any, num_classes: int) -> tuple[str, ...]:
    """The names that the weights' file holds, else those of the architecture's public weights, if there are such.

    Raises:
        WeightsError: the file holds names, but not one for each class.
    """
    named = () if weights is None else weight_files.class_names(weights)
    if named and len(named) != num_classes:
        raise WeightsError(f"{shortened(weights)} has {len(named)} class names for {num_classes} classes.")
    # weights without names that others have trained may be of any data set with as many classes
    public = entry.classes() if weights is None or entry.weights is None or entry.classes is imagenet_labels else ()
    labels = named or public
    return labels if len(labels) == num_classes else tuple(f"class {i}" for i in range(num_classes))


def _checked(module: Any) -> Callable[[Variables, Any], Float[jax.Array, "N classes"]]:
    """The module's forward pass behind a check of the images."""
    least = module.min_extent

    def apply(variables: Variables, images: Shaped[jax.Array | np.ndarray, "..."]) -> Float[jax.Array, "N classes"]:
        if images.ndim != 4 or images.shape[-1] != 3:
            hint = "; add the batch axis with images[None]" if images.ndim == 3 else ""
            raise ShapeError(f"images must be (N, height, width, 3), not {images.shape}{hint}.")
        if min(images.shape[1:3]) < least:
            raise ShapeError(f"images must have at least {least} x {least} pixels, not {images.shape[1:3]}.")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ImageError(f"images must be normalised floats, not {images.dtype}; use the model's preprocess first.")
        return cast(jax.Array, module.apply(variables, images))

    return apply

"""Accuracy on a labelled data set."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from srd_jax.data import Source, batches

from .steps import normalised

__all__ = ["Accuracy", "accuracy"]


class Accuracy(NamedTuple):
    """Shares of images.

    Attributes:
        top1: whose class has the largest logit.
        top5: whose class is among the five largest.
        loss: mean cross-entropy in nats.
        images: how many there were whose class is known.
    """

    top1: float
    top5: float
    loss: float
    images: int


def accuracy(
    apply: Callable[[Any, Array], Float[Array, "N classes"]],
    variables: Any,
    source: Source,
    *,
    size: int,
    resize: int,
    batch: int = 250,
    advance: Callable[[int], None] = lambda done: None,
) -> Accuracy:
    """Accuracy of a model on all images of a source whose class is known.

    Args:
        apply: (variables, images) -> logits.
        variables: its weights.
        source: the images.
        size: side of the centre crop in pixels.
        resize: length of the shorter side before it.
        batch: images at a time.
        advance: called with the number of images done since it was called last.

    Raises:
        ImageError: an image cannot be decoded.
        DataError: no class is known.
    """

    @jax.jit
    def sums(variables: Any, images: Array, labels: Int[Array, " N"]) -> Float[Array, "3"]:
        logits = apply(variables, normalised(images))
        own = jnp.take_along_axis(logits, labels[:, None], 1)
        rank = jnp.sum(logits > own, 1)
        loss = jax.nn.logsumexp(logits, 1) - own[:, 0]
        return jnp.stack([jnp.sum(rank < 1), jnp.sum(rank < 5), jnp.sum(loss)])

    total, images = np.zeros(3), 0
    for each in batches(source, batch, size=size, resize=resize, labelled=True):
        total += np.asarray(sums(variables, each.images, each.labels))
        images += len(each.labels)
        advance(len(each.labels))
    top1, top5, loss = (total / images).tolist()
    return Accuracy(top1, top5, loss, images)

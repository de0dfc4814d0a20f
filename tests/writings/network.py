"""The small network that is written in many ways: its weights, and its parts as the reference writes them.

conv -> norm -> relu -> max pool -> residual block -> norm -> relu -> mean -> dense; two images of 8 x 12 pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

CHANNELS, CLASSES, EPSILON = 4, 3, 1e-3

Weights = dict[str, Any]
Part = Callable[[Weights, Array], Array]
"""``(weights, x)`` to the next value, (N, H, W, C) until the head."""

_rng = np.random.default_rng(0)


def draw(*shape: int, scale: float = 0.5) -> np.ndarray:
    return _rng.normal(size=shape) * scale


def drawn_norm() -> Weights:
    scale, bias, mean, var = (draw(CHANNELS) for _ in range(4))
    return {"scale": 1 + scale, "bias": bias, "mean": mean, "var": 0.5 + var**2}


IMAGES = draw(2, 8, 12, 3, scale=1.0)
TARGETS = np.array([2, 0])
WEIGHTS: Weights = {
    "stem": draw(3, 3, 3, CHANNELS),
    "norm": drawn_norm(),
    "conv1": {"kernel": draw(CHANNELS, CHANNELS), "bias": draw(CHANNELS)},
    "conv2": {"kernel": draw(3, 3, CHANNELS, CHANNELS), "bias": draw(CHANNELS)},
    "last": drawn_norm(),
    "dense": {"kernel": draw(CHANNELS, CLASSES), "bias": draw(CLASSES)},
    "single": {"kernel": draw(3, 3, CHANNELS, CHANNELS), "pointwise": draw(CHANNELS, CHANNELS)},
    "grouped": draw(3, 3, CHANNELS // 2, CHANNELS),
    "depthwise": draw(3, 3, 1, CHANNELS),
}


def conv(x: Array, kernel: Array, stride: int = 1, padding: Any = "SAME", **options: Any) -> Array:
    """A convolution, channels last."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=numbers, **options)


def stem(w: Weights, x: Array) -> Array:
    return conv(x, w["stem"])


def strided_stem(w: Weights, x: Array) -> Array:
    """A stem after which no pool is needed for a grid of 4 x 6."""
    return conv(x, w["stem"], stride=2)


def batch_norm(norm: Weights, x: Array) -> Array:
    factor = norm["scale"] * lax.rsqrt(norm["var"] + EPSILON)
    return x * factor + (norm["bias"] - norm["mean"] * factor)


def relu(w: Weights, x: Array) -> Array:
    del w
    return jax.nn.relu(x)


def max_pool(w: Weights, x: Array) -> Array:
    del w
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def no_pool(w: Weights, x: Array) -> Array:
    del w
    return x


def branch(w: Weights, x: Array) -> Array:
    """The residual branch: its biases belong to it."""
    x = jax.nn.relu(x @ w["conv1"]["kernel"] + w["conv1"]["bias"])
    return conv(x, w["conv2"]["kernel"]) + w["conv2"]["bias"]


def no_block(w: Weights, x: Array) -> Array:
    """Nothing: writings of other parts compile faster without the residual block."""
    del w
    return x


def block(w: Weights, x: Array) -> Array:
    return x + branch(w, x)


def head(w: Weights, x: Array) -> Array:
    return x.mean((1, 2)) @ w["dense"]["kernel"] + w["dense"]["bias"]


def dense(w: Weights, means: Array) -> Array:
    return means @ w["dense"]["kernel"] + w["dense"]["bias"]


@dataclass(frozen=True)
class Network:
    """The network; each part can be written in another way.

    Attributes:
        stem: from the images to the first open sum, without a bias.
        norm: after the stem, of its own weights only.
        act: after the norm.
        pool: after the activation.
        block: the residual block.
        last_norm: on the residual sum, of its own weights only.
        last_act: makes the encoder's output.
        head: from there to the logits.
    """

    stem: Part = stem
    norm: Part = batch_norm
    act: Part = relu
    pool: Part = max_pool
    block: Part = block
    last_norm: Part = batch_norm
    last_act: Part = relu
    head: Part = head

    def __call__(self, w: Weights, images: Array) -> Array:
        """The logits (N, 3)."""
        x = self.pool(w, self.act(w, self.norm(w["norm"], self.stem(w, images))))
        x = self.last_act(w, self.last_norm(w["last"], self.block(w, x)))
        return self.head(w, x)

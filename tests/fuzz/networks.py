"""Small random networks as data and the JAX functions that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from tests.oracle.as_jax import LAYOUTS, activate, max_pool, sum_pool
from tests.oracle.description import Activation, Grid, Window

__all__ = ["Act", "Branches", "Conv", "Gate", "Network", "Norm", "Pool"]

Parameters = Any
HOMOGENEOUS = ("identity", "relu", "leaky_relu")
SCALES = {"float16": (-6, 3), "bfloat16": (-25, 25), "float32": (-25, 25), "float64": (-25, 25)}
"""Powers of ten that images are multiplied by."""


@dataclass(frozen=True)
class Conv:
    """A convolution.

    Attributes:
        window: its geometry, over the dilated base.
        base: distance between source positions, more than 1 in a transposed convolution.
        groups: of features.
        out: channels that it makes.
        dead: how many of them have no weights and no bias.
        buried: how many have a bias under which their activation dies.
        split: rows of the kernel that another convolution applies, which is added.
    """

    window: Window
    base: Grid
    groups: int
    out: int
    dead: int = 0
    buried: int = 0
    split: int = 0


@dataclass(frozen=True)
class Pool:
    """A pool; ``"inside"`` is the average of those positions of a window that are not padding."""

    kind: Literal["max", "average", "inside"]
    window: Window


@dataclass(frozen=True)
class Norm:
    """A norm, in float32 at least, as libraries do it."""

    kind: Literal["batch", "group", "instance", "layer"]


@dataclass(frozen=True)
class Act:
    """An activation."""

    kind: Activation


@dataclass(frozen=True)
class Gate:
    """A squeeze-and-excite gate."""

    hidden: int


@dataclass(frozen=True)
class Branches:
    """What several ways make of one map, added up or side by side; a way without steps is the map itself."""

    kind: Literal["sum", "concatenation"]
    ways: tuple[tuple["Step", ...], ...]


Step = Conv | Pool | Norm | Act | Gate | Branches


@dataclass(frozen=True)
class Network:
    """An image classifier with two images.

    Attributes:
        steps: of the encoder.
        head: how logits are made of its output.
        classes: how many.
        grid: of the images, which have two channels.
        black: how many of their first rows are zero.
        dtype: of everything.
        scale: power of ten that the images are multiplied by.
        constants: whether there are biases, and whether they are of the size of 1 or of the images.
        seed: of the weights and the images.
    """

    steps: tuple[Step, ...]
    head: Literal["mean", "axiswise", "flatten", "mlp"]
    classes: int
    grid: Grid
    black: int
    dtype: str
    scale: int
    constants: Literal["none", "one", "images"]
    seed: int

    @property
    def is_homogeneous(self) -> bool:
        """Whether images twice as large make logits twice as large."""
        return self.constants == "none" and all(map(is_homogeneous, self.steps))

    def images(self) -> Array:
        """Two images, (2, *grid, 2)."""
        pixels = np.random.default_rng(self.seed).normal(size=(2, *self.grid, 2)) * 10.0**self.scale
        pixels[:, : self.black] = 0
        return jnp.asarray(pixels, self.dtype)

    def variables(self) -> Parameters:
        """The weights: for every step, then of the head."""
        draw = Draw(np.random.default_rng(self.seed + 1), self.dtype, self._bias)
        parameters, shape = drawn(draw, self.steps, (1, *self.grid, 2))
        wide = shape[-1] if self.head in ("mean", "axiswise") else prod(shape[1:])
        sizes = [wide, 4, self.classes] if self.head == "mlp" else [wide, self.classes]
        return parameters, [draw.dense(*pair) for pair in pairwise(sizes)]

    def __call__(self, variables: Parameters, images: Array) -> Array:
        """The logits, (N, classes)."""
        steps, layers = variables
        x = applied(self.steps, steps, images)
        positions = tuple(range(1, x.ndim - 1))
        if self.head == "mean":
            x = x.mean(positions)
        elif self.head == "axiswise":
            for _ in positions:
                x = x.mean(1)
        x = x.reshape((x.shape[0], -1))
        for layer in layers[:-1]:
            x = jax.nn.relu(dense(layer, x))
        return dense(layers[-1], x)

    @property
    def _bias(self) -> float:
        return {"none": 0.0, "one": 1.0, "images": 10.0**self.scale}[self.constants]


def is_homogeneous(step: Step) -> bool:
    """Whether it maps twice a value to twice the result, if it has no bias."""
    if isinstance(step, Branches):
        return all(is_homogeneous(inner) for way in step.ways for inner in way)
    if isinstance(step, Norm):
        return step.kind == "batch"
    return step.kind in HOMOGENEOUS if isinstance(step, Act) else not isinstance(step, Gate)


@dataclass(frozen=True)
class Draw:
    """Draws weights of one dtype from one random stream; biases are of the size ``bias``, 0 for none."""

    rng: np.random.Generator
    dtype: str
    bias: float

    def weights(self, *shape: int, fan_in: int = 1) -> Array:
        return jnp.asarray(self.rng.normal(size=shape) * fan_in**-0.5, self.dtype)

    def shift(self, size: int) -> Array | None:
        return jnp.asarray(self.rng.normal(size=size) * 0.5 * self.bias, self.dtype) if self.bias else None

    def dense(self, few: int, many: int) -> Parameters:
        return self.weights(few, many, fan_in=few), self.shift(many)


def drawn(draw: Draw, steps: Sequence[Step], shape: tuple[int, ...]) -> tuple[list[Parameters], tuple[int, ...]]:
    """The weights of steps that follow one another, from a map of this shape, and the shape of what they make."""
    made = []
    for step in steps:
        own = parameters(draw, step, shape)
        shape = jax.eval_shape(partial(apply, step), own, jax.ShapeDtypeStruct(shape, draw.dtype)).shape
        made.append(own)
    return made, shape


def parameters(draw: Draw, step: Step, shape: tuple[int, ...]) -> Parameters:
    """The weights of a step."""
    channels = shape[-1]
    if isinstance(step, Conv):
        read = channels // step.groups
        kernel = draw.weights(*step.window.size, read, step.out, fan_in=prod(step.window.size) * read)
        shift = draw.shift(step.out)
        if shift is not None:
            shift = shift.at[: step.dead].set(0).at[step.out - step.buried :].set(-30 * draw.bias)
        return kernel.at[..., : step.dead].set(0), shift
    if isinstance(step, Norm):
        statistics = (draw.weights(channels), jnp.exp(draw.weights(channels))) if step.kind == "batch" else None
        mean = statistics and (statistics[0] * draw.bias, statistics[1])
        return jnp.exp(draw.weights(channels)), draw.shift(channels), mean
    if isinstance(step, Gate):
        return draw.dense(channels, step.hidden), draw.dense(step.hidden, channels)
    return [drawn(draw, way, shape)[0] for way in step.ways] if isinstance(step, Branches) else None


def applied(steps: Sequence[Step], own: Sequence[Parameters], x: Array) -> Array:
    """Steps that follow one another."""
    for step, parameters_of_step in zip(steps, own, strict=True):
        x = apply(step, parameters_of_step, x)
    return x


def apply(step: Step, own: Parameters, x: Array) -> Array:
    """A step."""
    if isinstance(step, Conv):
        return added(convolved(step, own[0], x), own[1])
    if isinstance(step, Pool):
        return pooled(step, x)
    if isinstance(step, Norm):
        return normed(step.kind, *own, x)
    if isinstance(step, Act):
        return activate(x, step.kind)
    if isinstance(step, Gate):
        hidden = jax.nn.relu(dense(own[0], x.mean(range(1, x.ndim - 1), keepdims=True)))
        return x * jax.nn.sigmoid(dense(own[1], hidden))
    made = [applied(way, parameters_of_way, x) for way, parameters_of_way in zip(step.ways, own, strict=True)]
    return sum(made[1:], made[0]) if step.kind == "sum" else jnp.concatenate(made, -1)


def added(x: Array, shift: Array | None) -> Array:
    return x if shift is None else x + shift


def dense(layer: Parameters, x: Array) -> Array:
    return added(x @ layer[0], layer[1])


def convolved(step: Conv, kernel: Array, x: Array) -> Array:
    """A convolution, or the sum of two that each apply some rows of one kernel."""
    window, rows = step.window, step.split
    if rows:
        (low, high), step_ = window.padding[0], window.dilation[0]
        rest = window.size[0] - rows
        first = shortened(window, rest, (low, high - rows * step_))
        last = shortened(window, rows, (low - rest * step_, high))
        whole = replace(step, split=0)
        return convolved(replace(whole, window=first), kernel[:rest], x) + convolved(
            replace(whole, window=last), kernel[rest:], x
        )
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        lhs_dilation=step.base,
        rhs_dilation=window.dilation,
        dimension_numbers=LAYOUTS[x.ndim - 2],
        feature_group_count=step.groups,
    )


def shortened(window: Window, rows: int, padding: tuple[int, int]) -> Window:
    return replace(window, size=(rows, *window.size[1:]), padding=(padding, *window.padding[1:]))


def pooled(step: Pool, x: Array) -> Array:
    """A pool."""
    if step.kind == "max":
        return max_pool(x, step.window)
    inside = sum_pool(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), step.window)
    return sum_pool(x, step.window) / (inside if step.kind == "inside" else prod(step.window.size))


def normed(kind: str, gamma: Array, beta: Array | None, statistics: Parameters, x: Array) -> Array:
    """A norm."""
    dtype, shape = x.dtype, x.shape
    x = x.astype(jnp.promote_types(dtype, jnp.float32))
    if kind == "batch":
        mean, variance = statistics
        x = (x - mean) * lax.rsqrt(variance + 1e-3)
    else:
        groups = {"layer": 1, "group": 2 - shape[-1] % 2, "instance": shape[-1]}[kind]
        x = x.reshape((*shape[:-1], groups, -1))
        axes = (-1,) if kind == "layer" else (*range(1, x.ndim - 2), x.ndim - 1)
        centred = x - x.mean(axes, keepdims=True)
        x = (centred * lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + 1e-3)).reshape(shape)
    return added(x * gamma, beta).astype(dtype)

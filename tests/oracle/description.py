"""A small network as data: what both the oracle and the JAX function are made from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float64

__all__ = [
    "Activation",
    "Affine",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Branch",
    "ChannelMix",
    "Conv",
    "FromWindows",
    "Gate",
    "GlobalPoolHead",
    "Grid",
    "Head",
    "Identity",
    "LayerNorm",
    "Map",
    "MaxPool",
    "MixingStep",
    "MlpHead",
    "Network",
    "PointwiseStep",
    "Rearrangement",
    "Roll",
    "Slice",
    "TokenMix",
    "Tokens",
    "Window",
    "Windows",
]

Grid = tuple[int, ...]
"""The extent of a position grid, or a position in it: one int per spatial axis."""

Activation = Literal["identity", "relu", "leaky_relu", "relu6", "gelu", "silu", "tanh"]


@dataclass(frozen=True)
class Window:
    """A sliding window: target position j and window offset o meet at j * stride + o * dilation - padding_low.

    Attributes:
        size: extent per axis.
        strides: step per axis.
        padding: (low, high) per axis.
        dilation: distance between neighbouring offsets per axis.
    """

    size: Grid
    strides: Grid
    padding: tuple[tuple[int, int], ...]
    dilation: Grid

    def target_grid(self, source_grid: Grid) -> Grid:
        """The grid of window positions on a source grid."""
        axes = zip(source_grid, self.size, self.strides, self.padding, self.dilation, strict=True)
        return tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, (lo, hi), d in axes)

    def offsets(self) -> Iterator[Grid]:
        """The offsets in the window, in row-major order."""
        return product(*(range(k) for k in self.size))

    def source(self, target: Grid, offset: Grid, source_grid: Grid) -> Grid | None:
        """The source position that a target position sees at an offset; None where that is padding."""
        axes = zip(target, offset, self.strides, self.padding, self.dilation, strict=True)
        position = tuple(j * s + o * d - lo for j, o, s, (lo, _), d in axes)
        return position if all(0 <= p < n for p, n in zip(position, source_grid, strict=True)) else None


@dataclass(frozen=True)
class MaxPool:
    """Maximum over a window, padding never chosen; the first maximum in row-major order is the switch."""

    window: Window


@dataclass(frozen=True)
class Identity:
    """No mixing of positions."""


@dataclass(frozen=True)
class Slice:
    """Every `strides[a]`-th position along axis a, as in `x[:, ::2, ::2]`."""

    strides: Grid


@dataclass(frozen=True)
class AvgPool:
    """Mean over a window; `count_padding` says whether positions in the padding count in the denominator."""

    window: Window
    count_padding: bool = True


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation with zero padding.

    Attributes:
        kernel: (*size, in / groups, out).
        window: its geometry.
        groups: feature groups; in and out channels are split into that many contiguous blocks.
        zero_pad: an explicit zero padding (low, high) per axis, applied to the source before the convolution's own.
    """

    kernel: Float64[np.ndarray, "*size in_per_group out"]
    window: Window
    groups: int = 1
    zero_pad: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, eq=False)
class Attention:
    """sum_i A^h_ji (v_i V + b)^h: A the softmax over i of queries times keys, i and j in one window.

    Attributes:
        queries: (c, heads * width).
        keys: (c, heads * width).
        values: V, (c, heads * width).
        shift: b, (heads * width,).
        heads: into how many equal blocks channels are split.
        apart: the grid's axes that run over windows, between which nothing is exchanged.
    """

    queries: Float64[np.ndarray, "c hd"]
    keys: Float64[np.ndarray, "c hd"]
    values: Float64[np.ndarray, "c hd"]
    shift: Float64[np.ndarray, " hd"]
    heads: int
    apart: Grid = ()


@dataclass(frozen=True, eq=False)
class TokenMix:
    """sum_i w_ij v_i over all positions i of a grid with one axis."""

    weights: Float64[np.ndarray, "earlier later"]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Positions of constants before all others, as class tokens are."""

    values: Float64[np.ndarray, "count c"]


@dataclass(frozen=True)
class Windows:
    """Square windows of a grid, whose axes are split: (H, W) to (rows of windows, y, columns of windows, x)."""

    side: int


@dataclass(frozen=True)
class FromWindows:
    """What `Windows` was made from."""


@dataclass(frozen=True)
class Roll:
    """Every position moved by so many along each axis, around the edges."""

    shift: Grid


Rearrangement = Windows | FromWindows | Roll
"""Steps that only move positions."""

MixingStep = Identity | Slice | AvgPool | Conv | Attention | TokenMix | Tokens | Rearrangement


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift, either of them left out where None. The shift may differ from position to position."""

    scale: Float64[np.ndarray, " c"] | None = None
    shift: Float64[np.ndarray, "*grid c"] | None = None


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch norm with fixed statistics: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""

    mean: Float64[np.ndarray, " c"]
    variance: Float64[np.ndarray, " c"]
    gamma: Float64[np.ndarray, " c"]
    beta: Float64[np.ndarray, " c"]
    epsilon: float = 1e-5

    @property
    def scale(self) -> Float64[np.ndarray, " c"]:
        """What it multiplies by."""
        return self.gamma / np.sqrt(self.variance + self.epsilon)

    @property
    def shift(self) -> Float64[np.ndarray, " c"]:
        """What it adds: its bias."""
        return self.beta - self.mean * self.scale


@dataclass(frozen=True, eq=False)
class ChannelMix:
    """A dense layer over channels, position by position: x @ matrix."""

    matrix: Float64[np.ndarray, "c_in c_out"]


PointwiseStep = Affine | BatchNorm | ChannelMix


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Layer norm over the channels of each position."""

    gamma: Float64[np.ndarray, " c"]
    beta: Float64[np.ndarray, " c"]
    epsilon: float = 1e-6


@dataclass(frozen=True, eq=False)
class Gate:
    """A squeeze-and-excite gate: sigmoid(relu(mean over positions @ w1 + b1) @ w2 + b2), one factor per channel."""

    source: str
    w1: Float64[np.ndarray, "c_in hidden"]
    b1: Float64[np.ndarray, " hidden"]
    w2: Float64[np.ndarray, "hidden c_out"]
    b2: Float64[np.ndarray, " c_out"]


@dataclass(frozen=True, eq=False)
class Branch:
    """One term of a pre-activation: source -> pool -> mix -> position-wise steps -> gate -> channel range.

    Attributes:
        source: name of the map it reads, or "input".
        norm: a layer norm of what it reads, before all else.
        mix: the step that mixes positions.
        pool: a max pool before it.
        then: position-wise affine steps after it, in order.
        gate: factor per channel, held fixed when contributions are counted.
        channels: (offset, total): the value fills channels from offset on of an otherwise zero vector of `total`. A sum
            of branches whose ranges tile the channels is a concatenation.
    """

    source: str
    mix: MixingStep = field(default_factory=Identity)
    pool: MaxPool | None = None
    then: tuple[PointwiseStep, ...] = ()
    gate: Gate | None = None
    channels: tuple[int, int] | None = None
    norm: LayerNorm | None = None


@dataclass(frozen=True, eq=False)
class Map:
    """A PFV map: X = post(sum of branches), v = layer_norm(activation(X)).

    Attributes:
        name: what it is called.
        branches: the terms of the sum.
        activation: the nonlinearity after X.
        post: an affine step after the sum; its shift is a bias of the whole sum.
        layer_norm: a layer norm after the activation.
    """

    name: str
    branches: tuple[Branch, ...]
    activation: Activation = "relu"
    post: Affine | BatchNorm | None = None
    layer_norm: LayerNorm | None = None


@dataclass(frozen=True, eq=False)
class GlobalPoolHead:
    """y = (mean of v over the positions of a box, by default all) @ weights + bias."""

    weights: Float64[np.ndarray, "c classes"]
    bias: Float64[np.ndarray, " classes"]
    box: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, eq=False)
class MlpHead:
    """y = relu(flatten(pool(v)) @ w1 + b1) @ w2 + b2; flattening runs through the grid, then through channels."""

    w1: Float64[np.ndarray, "n_times_c hidden"]
    b1: Float64[np.ndarray, " hidden"]
    w2: Float64[np.ndarray, "hidden classes"]
    b2: Float64[np.ndarray, " classes"]
    pool: MaxPool | None = None


Head = GlobalPoolHead | MlpHead


@dataclass(frozen=True, eq=False)
class Network:
    """An image classifier: maps in an order in which each reads earlier ones; the last one is the encoder's output."""

    maps: tuple[Map, ...]
    head: Head

"""Random float64 parts of small networks: windows, convolutions, norms, heads."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from .description import (
    Affine,
    AvgPool,
    BatchNorm,
    ChannelMix,
    Conv,
    Gate,
    GlobalPoolHead,
    Grid,
    LayerNorm,
    MaxPool,
    MlpHead,
    Window,
)

__all__ = ["Draw", "PerAxis", "avg_pool", "max_pool", "window"]

PerAxis = int | Grid
Padding = int | tuple[tuple[int, int], ...]


def per_axis(value: PerAxis, axes: int) -> Grid:
    """One int for all axes, or one for each."""
    return (value,) * axes if isinstance(value, int) else value


def window(
    size: PerAxis, strides: PerAxis = 1, padding: Padding = 0, dilation: PerAxis = 1, *, axes: int = 2
) -> Window:
    """A window; a padding given as one int goes on both sides of every axis."""
    pads = ((padding, padding),) * axes if isinstance(padding, int) else padding
    return Window(per_axis(size, axes), per_axis(strides, axes), pads, per_axis(dilation, axes))


def max_pool(size: PerAxis, strides: PerAxis = 1, padding: Padding = 0, *, axes: int = 2) -> MaxPool:
    """A max pool."""
    return MaxPool(window(size, strides, padding, axes=axes))


def avg_pool(size: PerAxis, strides: PerAxis = 1, padding: Padding = 0, *, count_padding: bool = True) -> AvgPool:
    """An average pool over two axes."""
    return AvgPool(window(size, strides, padding), count_padding)


@dataclass(frozen=True)
class Draw:
    """Draws parts from one random stream: as in NumPy's generators, each call moves it on."""

    rng: np.random.Generator

    @classmethod
    def seeded(cls, seed: int) -> "Draw":
        """A stream that starts at a seed."""
        return cls(np.random.default_rng(seed))

    def array(self, *shape: int, scale: float = 1.0) -> Float64[np.ndarray, "..."]:
        """Normal deviates."""
        return self.rng.normal(scale=scale, size=shape)

    def conv(
        self,
        size: PerAxis,
        c_in: int,
        c_out: int,
        *,
        strides: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        zero_pad: Padding | None = None,
        axes: int = 2,
    ) -> Conv:
        """A convolution with weights that keep the variance."""
        shape = window(size, strides, padding, dilation, axes=axes)
        extra = None if zero_pad is None else window(size, padding=zero_pad, axes=axes).padding
        fan_in = math.prod(shape.size) * c_in // groups
        kernel = self.array(*shape.size, c_in // groups, c_out, scale=fan_in**-0.5)
        return Conv(kernel, shape, groups, extra)

    def bias(self, *shape: int) -> Affine:
        """A bias: one value per channel, or a whole grid of them."""
        return Affine(shift=self.array(*shape, scale=0.5))

    def batch_norm(self, c: int) -> BatchNorm:
        """A batch norm with statistics unlike 0 and 1."""
        spread = np.exp(self.array(2, c, scale=0.3))
        return BatchNorm(self.array(c, scale=0.3), spread[0], spread[1], self.array(c, scale=0.3))

    def channel_mix(self, c_in: int, c_out: int) -> ChannelMix:
        """A dense layer over channels."""
        return ChannelMix(self.array(c_in, c_out, scale=c_in**-0.5))

    def layer_norm(self, c: int) -> LayerNorm:
        """A layer norm."""
        return LayerNorm(np.exp(self.array(c, scale=0.3)), self.array(c, scale=0.3))

    def gate(self, source: str, c_in: int, hidden: int, c_out: int) -> Gate:
        """A squeeze-and-excite gate."""
        return Gate(source, self.array(c_in, hidden), self.array(hidden), self.array(hidden, c_out), self.array(c_out))

    def global_pool_head(self, c: int, classes: int = 3) -> GlobalPoolHead:
        """Global average pooling and a dense layer."""
        return GlobalPoolHead(self.array(c, classes), self.array(classes))

    def mlp_head(
        self, grid: Grid, c: int, *, hidden: int = 5, classes: int = 3, pool: MaxPool | None = None
    ) -> MlpHead:
        """Flatten, dense, ReLU, dense, for an encoder's output of this grid."""
        n = math.prod(grid if pool is None else pool.window.target_grid(grid)) * c
        return MlpHead(
            self.array(n, hidden, scale=n**-0.5),
            self.array(hidden),
            self.array(hidden, classes),
            self.array(classes),
            pool,
        )

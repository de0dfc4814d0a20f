"""Depthwise convolutions: one kernel for every channel, so that each of their taps is elementwise.

XLA's code for grouped convolutions on CPUs takes five to fifty times as long as the same products added up tap by tap,
and their gradients longer still. `convolve` takes the quicker way there and is `jax.lax.conv_general_dilated` anywhere
else, chosen by the platform that the program is compiled for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["convolve", "is_depthwise"]

_MOST_TAPS = 121
"""Up to how many products are added up in one kernel: those of an 11 x 11 window."""


@dataclass(frozen=True)
class _Convolution:
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    numbers: lax.ConvDimensionNumbers
    precision: Any
    dtype: Any

    def later_grid(self, shape: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """How many windows there are along each axis, from the map's shape and the kernel's sides."""
        axes = zip(self.numbers.lhs_spec[2:], sizes, self.strides, self.padding, self.dilation, strict=True)
        return [(shape[axis] + low + high - (k - 1) * d - 1) // s + 1 for axis, k, s, (low, high), d in axes]


def is_depthwise(
    kernel: jax.Array | jax.ShapeDtypeStruct, numbers: lax.ConvDimensionNumbers, feature_group_count: int
) -> bool:
    """Whether every channel is made of one channel, by a kernel of its own."""
    made, taken = (kernel.shape[axis] for axis in numbers.rhs_spec[:2])
    return taken == 1 and made == feature_group_count > 1


def convolve(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, quick on CPUs where it is depthwise in float32 or float64.

    A drop-in, as for ``flax.linen.Conv(..., conv_general_dilated=convolve)``.

    Args:
        lhs: the images or a map.
        rhs: the kernel.
        window_strides: as in `jax.lax.conv_general_dilated`, and so are the others.
        padding: pairs, ``"SAME"`` or ``"VALID"``.
        lhs_dilation: of the map.
        rhs_dilation: of the kernel.
        dimension_numbers: what the axes are.
        feature_group_count: groups of channels.
        batch_group_count: groups of images.
        precision: of products.
        preferred_element_type: of the result.

    Returns:
        The same numbers to rounding, on any platform.
    """
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    dilation = tuple(rhs_dilation or (1,) * (rhs.ndim - 2))
    sizes = [rhs.shape[axis] for axis in numbers.rhs_spec[2:]]
    plain = {*(lhs_dilation or (1,))} == {1} and batch_group_count == 1 and np.prod(sizes) <= _MOST_TAPS
    real = lhs.dtype == rhs.dtype == (preferred_element_type or lhs.dtype) and lhs.dtype in (jnp.float32, jnp.float64)
    if not (plain and real and is_depthwise(rhs, numbers, feature_group_count)):
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
            batch_group_count, precision, preferred_element_type,
        )  # fmt: skip
    if isinstance(padding, str):
        extents = [lhs.shape[axis] for axis in numbers.lhs_spec[2:]]
        spans = [(n - 1) * d + 1 for n, d in zip(sizes, dilation, strict=True)]
        padding = lax.padtype_to_pads(extents, spans, window_strides, padding)
    pairs = tuple((int(low), int(high)) for low, high in padding)
    how = _Convolution(tuple(window_strides), pairs, dilation, numbers, precision, preferred_element_type)
    return (
        _by_platform(lhs, rhs, how) if rhs.size and min(how.later_grid(lhs.shape, sizes)) > 0 else _whole(lhs, rhs, how)
    )


@partial(jax.jit, static_argnums=2)
def _by_platform(x: jax.Array, kernel: jax.Array, how: _Convolution) -> jax.Array:
    made: jax.Array = lax.platform_dependent(
        x, kernel, cpu=partial(_tap_by_tap, how=how), default=partial(_whole, how=how)
    )
    return made


def _whole(x: jax.Array, kernel: jax.Array, how: _Convolution) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        how.strides,
        how.padding,
        rhs_dilation=how.dilation,
        dimension_numbers=how.numbers,
        feature_group_count=x.shape[how.numbers.lhs_spec[1]],
        precision=how.precision,
        preferred_element_type=how.dtype,
    )


def _tap_by_tap(x: jax.Array, kernel: jax.Array, how: _Convolution) -> jax.Array:
    """Y = sum_t w_t x_t , all products in one kernel."""
    batch, channel, *spatial = how.numbers.lhs_spec
    made, taken, *offsets = how.numbers.rhs_spec
    padding, strides = [(0, 0, 0)] * x.ndim, [1] * x.ndim
    for axis, pair, stride in zip(spatial, how.padding, how.strides, strict=True):
        padding[axis], strides[axis] = (*pair, 0), stride
    padded = lax.pad(x, jnp.zeros((), x.dtype), padding)
    weights = kernel.transpose((*offsets, made, taken))[..., 0]
    starts, spans = [0] * x.ndim, list(padded.shape)
    for axis, n, stride in zip(spatial, how.later_grid(x.shape, weights.shape[:-1]), how.strides, strict=True):
        spans[axis] = (n - 1) * stride + 1

    def product(tap: tuple[int, ...]) -> jax.Array:
        for axis, offset, dilation in zip(spatial, tap, how.dilation, strict=True):
            starts[axis] = offset * dilation
        read = lax.slice(padded, starts, [a + n for a, n in zip(starts, spans, strict=True)], strides)
        return read * lax.broadcast_in_dim(weights[tap], read.shape, (channel,))

    y = reduce(add, map(product, np.ndindex(*weights.shape[:-1])))
    order = np.argsort((how.numbers.out_spec[0], how.numbers.out_spec[1], *how.numbers.out_spec[2:]))
    return y.transpose((batch, channel, *spatial)).transpose(tuple(order))

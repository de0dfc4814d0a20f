"""Sliding windows over the position axes of an array: what convolutions and pools share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Window
from srd_jax.core.layout import Dim, Layout
from srd_jax.core.taps import Tap, box_of, offsets_of

__all__ = ["AxisWindow", "SlidingWindow", "sliding"]


class AxisWindow(NamedTuple):
    """A window along one array axis."""

    size: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    base_dilation: int = 1

    @property
    def is_trivial(self) -> bool:
        """Whether it leaves the axis as it is."""
        return self == AxisWindow(1)


@dataclass(frozen=True)
class SlidingWindow:
    """A window, as a step on scalar maps and as gathers on arrays.

    Attributes:
        step: the window on the grid.
        pad: ``(x, fill)`` to the padded array.
        gather: ``(padded, tap)`` to what every window reads at that tap; the tap may be traced.
        layout: of what ``gather`` returns.
        windows: by array axis.
    """

    step: Window
    pad: Callable[[jax.Array, int | float], jax.Array]
    gather: Callable[[jax.Array, Tap], jax.Array]
    layout: Layout
    windows: Mapping[int, AxisWindow]

    def whole_axis(self, shape: Sequence[int]) -> int | None:
        """The one axis that one window covers whole, None where windows are others."""
        wide = [axis for axis, window in self.windows.items() if not window.is_trivial]
        if len(wide) != 1 or self.windows[wide[0]] != AxisWindow(shape[wide[0]]):
            return None
        return wide[0]


def sliding(layout: Layout, windows: Mapping[int, AxisWindow]) -> SlidingWindow:
    """Make a sliding window over some position axes.

    Args:
        layout: of the array that the windows read.
        windows: by array axis; every axis must be a position axis of its own.

    Raises:
        LayoutError: an axis is something else.
    """
    grid = lay.grid(layout)
    by_place = {lay.grid_axis(layout, axis): (axis, window) for axis, window in windows.items()}
    each = [by_place.get(place, (-1, AxisWindow(1)))[1] for place in range(len(grid))]
    sizes, strides, paddings, dilations, base_dilations = (tuple(column) for column in zip(*each, strict=True))
    step = Window(sizes, strides, paddings, dilations, base_dilations)
    config = [(0, 0, 0)] * len(layout)
    for axis, window in windows.items():
        config[axis] = (*window.padding, window.base_dilation - 1)
    later = step.later_grid(
        [n + lo + hi + max(0, n - 1) * i for n, (lo, hi, i) in zip(grid, step.pad.config, strict=True)]
    )
    extents = {axis: later[place] for place, (axis, _) in by_place.items()}
    gathered = tuple(
        (Dim(dims[0].kind, extents[axis]),) if axis in extents else dims for axis, dims in enumerate(layout)
    )

    def pad(x: jax.Array, fill: int | float) -> jax.Array:
        return lax.pad(x, jnp.asarray(fill, x.dtype), config)

    def gather(padded: jax.Array, tap: Tap) -> jax.Array:
        offsets = offsets_of(tap, sizes)
        starts: list[Tap] = [0] * padded.ndim
        spans, strides_ = list(padded.shape), [1] * padded.ndim
        for place, (axis, window) in by_place.items():
            starts[axis] = offsets[place] * window.dilation
            spans[axis] = (extents[axis] - 1) * window.stride + 1
            strides_[axis] = window.stride
        return box_of(padded, starts, spans, strides_)

    return SlidingWindow(step, pad, gather, gathered, windows)

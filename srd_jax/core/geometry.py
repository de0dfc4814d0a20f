"""How a step moves positions: pure selections on scalar maps, without channels or values.

A step says, for each of its taps, which position of the earlier grid every position of the later grid reads
(or none). Sharing ratios weigh the taps; `srd_jax.core.edges` composes steps into linear operators between
grids. Arrays here are scalar maps ``(..., *grid)``, grid axes last; NumPy arrays stay NumPy, so that what depends
on shapes alone is known while tracing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from srd_jax.core.meshes import transposed

__all__ = ["Copy", "Flip", "Pad", "ReducePositions", "Regrid", "Slice", "Step", "Take", "Window", "reads", "valid_taps"]

Grid = tuple[int, ...]
Scalars = TypeVar("Scalars", bound=Any)
"""A NumPy or a JAX array, which stays what it is."""


@dataclass(frozen=True)
class Pad:
    """Zeros around and between positions, or cropping where negative: one (low, high, interior) per grid axis."""

    config: tuple[tuple[int, int, int], ...]
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *padded grid)``."""
        del tap
        if not any(map(any, self.config)):
            return x
        config = [(0, 0, 0)] * (x.ndim - len(self.config)) + list(self.config)
        padded: Any = _pad(x, config) if isinstance(x, np.ndarray) else lax.pad(x, jnp.zeros((), x.dtype), config)
        return padded


@dataclass(frozen=True)
class Slice:
    """Every ``stride``-th position of a box: one (start, limit, stride) per grid axis."""

    box: tuple[tuple[int, int, int], ...]
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *sliced grid)``."""
        del tap
        return x[(..., *(slice(*box) for box in self.box))]


@dataclass(frozen=True)
class Flip:
    """Positions in reverse order along the grid axes ``axes`` of ``rank``."""

    axes: tuple[int, ...]
    rank: int
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *grid)``."""
        del tap
        backwards = [slice(None, None, -1 if axis in self.axes else 1) for axis in range(self.rank)]
        return x[(..., *backwards)]


@dataclass(frozen=True)
class Copy:
    """One PFV read by every position along new grid axes: ``grid`` is the later grid, ``new`` its new axes."""

    grid: Grid
    new: tuple[int, ...]
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *larger grid)``."""
        del tap
        library = np if isinstance(x, np.ndarray) else jnp
        lead = x.shape[: x.ndim - len(self.grid) + len(self.new)]
        old = [1 if axis in self.new else size for axis, size in enumerate(self.grid)]
        return library.broadcast_to(x.reshape((*lead, *old)), (*lead, *self.grid))


@dataclass(frozen=True)
class Regrid:
    """The same positions on a grid of another rank, ``rank`` being the earlier one.

    Attributes:
        grid: the later grid.
        rank: of the earlier one.
        order: of the earlier grid's axes, before positions are numbered row by row; () for the order that they have.
    """

    grid: Grid
    rank: int
    order: tuple[int, ...] = ()
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *later grid)``."""
        del tap
        lead = x.ndim - self.rank
        if self.order:
            x = x.transpose((*range(lead), *(lead + axis for axis in self.order)))
        return x.reshape((*x.shape[:lead], *self.grid))


@dataclass(frozen=True)
class Take:
    """The positions at some places along one grid axis of ``rank``, in any order and as often as they are named."""

    axis: int
    rank: int
    places: tuple[int, ...]
    taps = 1

    def select(self, x: Scalars, tap: int = 0) -> Scalars:
        """``(..., *grid)`` to ``(..., *later grid)``."""
        del tap
        return x.take(np.asarray(self.places), x.ndim - self.rank + self.axis)


@dataclass(frozen=True)
class Window:
    """A sliding window; its taps are the offsets within the window in row-major order.

    Attributes:
        size: window extent per grid axis.
        stride: step between windows.
        padding: (low, high) per grid axis, of the dilated input.
        dilation: step between the taps of one window.
        base_dilation: step between positions of the input (a transposed convolution).
    """

    size: Grid
    stride: Grid
    padding: tuple[tuple[int, int], ...]
    dilation: Grid
    base_dilation: Grid

    @property
    def taps(self) -> int:
        """Taps per window."""
        return prod(self.size)

    @property
    def pad(self) -> Pad:
        """The padding that comes before the windows."""
        return Pad(tuple((lo, hi, base - 1) for (lo, hi), base in zip(self.padding, self.base_dilation, strict=True)))

    def later_grid(self, padded: Sequence[int]) -> Grid:
        """The grid of the windows, from the padded earlier grid."""
        return tuple(
            max(0, (n - (k - 1) * d - 1) // s + 1)
            for n, k, d, s in zip(padded, self.size, self.dilation, self.stride, strict=True)
        )

    def after(self, pad: Pad) -> "Window | None":
        """The window with the padding that comes before it, None where that spreads positions or this one does."""
        if any(interior for _, _, interior in pad.config) or {*self.base_dilation} != {1}:
            return None
        pairs = zip(self.padding, pad.config, strict=True)
        return replace(self, padding=tuple((low + lo, high + hi) for (low, high), (lo, hi, _) in pairs))

    def then(self, later: "Window", grid: Grid) -> "Window | None":
        """The window whose positions are those of the windows that a later window reads, None where there is none.

        Args:
            later: on the grid of this one.
            grid: of what this one reads.
        """
        if {*self.dilation, *later.dilation, *self.base_dilation, *later.base_dilation} != {1}:
            return None
        middle = self.later_grid(self._padded(grid))
        end = later.later_grid(later._padded(middle))
        axes = zip(
            grid, end, self.size, later.size, self.stride, later.stride, self.padding, later.padding, strict=True
        )
        size, stride, padding = [], [], []
        for n, m, k, k2, s, s2, (low, _), (low2, _) in axes:
            size.append(k + (k2 - 1) * s)
            stride.append(s * s2)
            before = low + low2 * s
            padding.append((before, (m - 1) * stride[-1] + size[-1] - before - n))
        both = Window(tuple(size), tuple(stride), tuple(padding), self.dilation, self.base_dilation)
        chained = _along_axes((self, later), grid)
        return both if all(map(_same_positions, chained, _along_axes((both,), grid))) else None

    def _padded(self, grid: Grid) -> Grid:
        return tuple(n + low + high for n, (low, high) in zip(grid, self.padding, strict=True))

    def select(self, x: Scalars, tap: int) -> Scalars:
        """``(..., *grid)`` to what each window reads at offset ``tap``, ``(..., *later grid)``."""
        padded = self.pad.select(x)
        later = self.later_grid(padded.shape[padded.ndim - len(self.size) :])
        starts = [int(o) * d for o, d in zip(np.unravel_index(tap, self.size), self.dilation, strict=True)]
        box = [(o, o + (n - 1) * s + 1, s) for o, n, s in zip(starts, later, self.stride, strict=True)]
        return Slice(tuple(box)).select(padded)

    def each(self, x: Scalars) -> Iterator[Scalars]:
        """What ``select`` returns, tap by tap: a box of the positions of one phase of the stride, each taken once."""
        padded = self.pad.select(x)
        later = self.later_grid(padded.shape[padded.ndim - len(self.size) :])
        phases: dict[Grid, Scalars] = {}
        for phase, starts in self._places():
            if phase not in phases:
                phases[phase] = padded[(..., *(slice(o, None, s) for o, s in zip(phase, self.stride, strict=True)))]
            box = (slice(start, start + n) for start, n in zip(starts, later, strict=True))
            yield phases[phase][(..., *box)]

    def back(self, weights: Any, grid: Grid, maps: Any = None) -> Any:
        """The transpose of ``each``: what the taps read, added up where they read it.

        Every position of a phase gathers from its taps, so that no zeros lie between positions and products are made
        where they are added.

        Args:
            weights: ``(taps, ..., *later grid)``, what each tap read, or what ``maps`` is multiplied by at it.
            grid: the earlier grid.
            maps: ``(..., *later grid)``, None for ones.

        Returns:
            ``(..., *grid)``.
        """
        padded = jax.eval_shape(self.pad.select, jax.ShapeDtypeStruct(grid, jnp.float32)).shape
        extent = tuple(-(-n // s) for n, s in zip(padded, self.stride, strict=True))
        furthest = [(k - 1) * d // s for k, d, s in zip(self.size, self.dilation, self.stride, strict=True)]
        spare = [q - n for q, n in zip(extent, self.later_grid(padded), strict=True)]
        around = Pad(tuple((low, high, 0) for low, high in zip(furthest, spare, strict=True)))
        weights, common = around.select(weights), None if maps is None else around.select(maps)
        sums: dict[Grid, Any] = {}
        for tap, (phase, starts) in enumerate(self._places()):
            box = [slice(low - o, low - o + q) for low, o, q in zip(furthest, starts, extent, strict=True)]
            product = weights[(slice(tap, tap + 1), ..., *box)]
            if common is not None:
                product = product * common[(..., *box)]
            sums[phase] = sums[phase] + product if phase in sums else product
        full = self._woven({phase: total[0] for phase, total in sums.items()})[(..., *(slice(n) for n in padded))]
        return transposed(self.pad.select, (*full.shape[: full.ndim - len(grid)], *grid), full)

    def _woven(self, phases: Mapping[Grid, Any]) -> Any:
        """The positions of all phases in their places, zeros where a phase is missing."""
        some = next(iter(phases.values()))
        rank = len(self.stride)
        lead = some.ndim - rank
        if prod(self.stride) == 1:
            return some
        apart = jnp.stack([phases.get(phase, jnp.zeros_like(some)) for phase in np.ndindex(*self.stride)])
        apart = apart.reshape((*self.stride, *some.shape))
        order = [*range(rank, rank + lead), *(axis for i in range(rank) for axis in (rank + lead + i, i))]
        sides = (n * s for n, s in zip(some.shape[lead:], self.stride, strict=True))
        return apart.transpose(order).reshape((*some.shape[:lead], *sides))

    def _places(self) -> Iterator[tuple[Grid, Grid]]:
        """Tap by tap, which phase of the stride it reads and where in it the first window starts."""
        for tap in np.ndindex(*self.size):
            places = [divmod(o * d, s) for o, d, s in zip(tap, self.dilation, self.stride, strict=True)]
            yield tuple(phase for _, phase in places), tuple(start for start, _ in places)


@dataclass(frozen=True)
class ReducePositions:
    """Every position along some grid axes, as a global pool or a flatten reads them; those axes go.

    Attributes:
        axes: the grid axes that are read whole.
        grid: the earlier grid.
    """

    axes: tuple[int, ...]
    grid: Grid

    @property
    def taps(self) -> int:
        """Positions read."""
        return prod(self.grid[axis] for axis in self.axes)

    def spread(self, x: Scalars) -> Scalars:
        """``(..., *grid)`` to ``(taps, ..., *remaining grid)``."""
        lead = x.ndim - len(self.grid)
        whole = [lead + axis for axis in self.axes]
        moved = x.transpose([*whole, *(axis for axis in range(x.ndim) if axis not in whole)])
        return moved.reshape((self.taps, *moved.shape[len(whole) :]))

    def select(self, x: Scalars, tap: int) -> Scalars:
        """``(..., *grid)`` to ``(..., *remaining grid)`` at one position along the axes."""
        return self.spread(x)[tap, ...]


Step = Pad | Slice | Flip | Copy | Regrid | Take | Window | ReducePositions


def count_taps(steps: Sequence[Step]) -> int:
    """Taps of composed steps: every combination of their taps."""
    return prod(step.taps for step in steps)


def reads(steps: Sequence[Step], grid: Grid) -> np.ndarray:
    """Which position of the map every tap of composed steps reads.

    Args:
        steps: in the order in which they are applied.
        grid: of the map they start from.

    Returns:
        (taps, *later grid) int32: 1 + the row-major index of the position, 0 for padding. Taps row-major over the
        steps, the first step's outermost.
    """
    maps = [np.arange(1, prod(grid) + 1, dtype=np.int32).reshape(grid)]
    for step in steps:
        maps = [step.select(x, tap) for x in maps for tap in range(step.taps)]
    return np.stack(maps)


def valid_taps(steps: Sequence[Step], grid: Grid) -> np.ndarray:
    """Which taps of composed steps read a position of the map rather than padding: (taps, *later grid) bool."""
    return reads(steps, grid) > 0


def _along_axes(windows: Sequence[Window], grid: Grid) -> Iterator[np.ndarray]:
    """What every composed window reads along each axis by itself, as `reads`."""
    for axis, n in enumerate(grid):
        alone = [
            Window(
                *((getattr(window, name)[axis],) for name in ("size", "stride", "padding", "dilation", "base_dilation"))
            )
            for window in windows
        ]
        yield reads(alone, (n,))


def _same_positions(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape[1:] == right.shape[1:] and all(
        set(a[a > 0].tolist()) == set(b[b > 0].tolist()) for a, b in zip(left.T, right.T, strict=True)
    )


def _pad(x: np.ndarray, config: Sequence[tuple[int, int, int]]) -> np.ndarray:
    spread = np.zeros(
        [n + max(0, n - 1) * interior for n, (_, _, interior) in zip(x.shape, config, strict=True)], x.dtype
    )
    spread[tuple(slice(None, None, interior + 1) for _, _, interior in config)] = x
    padded = np.pad(spread, [(max(0, lo), max(0, hi)) for lo, hi, _ in config])
    return padded[
        tuple(slice(max(0, -lo), n - max(0, -hi)) for n, (lo, hi, _) in zip(padded.shape, config, strict=True))
    ]

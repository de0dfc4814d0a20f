"""Edges: linear operators between the position grids of two PFV maps, made of sharing ratios.

``apply`` takes maps forward (effective receptive fields: ERF_j = sum_i mu_{i->j} ERF_i), ``transpose`` takes them
backward (relevance: R_i = sum_j mu_{i->j} R_j). The second is the transpose of the first. It is written out, because
`jax.linear_transpose` would scatter tap by tap what can be gathered position by position, which takes several times as
long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from srd_jax.core.geometry import Copy, ReducePositions, Regrid, Step, Window, count_taps
from srd_jax.core.meshes import transposed
from srd_jax.errors import ShapeError

__all__ = ["Edge", "enlarge"]


@partial(jax.tree_util.register_dataclass, data_fields=["ratios"], meta_fields=["source", "target", "grid", "steps"])
@dataclass(frozen=True)
class Edge:
    """The sharing ratios mu_{i->j} from one PFV map to another.

    Attributes:
        ratios: (N, taps, *target grid), float32 or wider; None where every PFV has this one contributor and mu = 1.
        source: index of the earlier map.
        target: index of the later map.
        grid: grid of the earlier map.
        steps: which position each tap reads; the taps of several steps multiply, the first step's outermost.
    """

    ratios: Any  # JAX rebuilds pytrees with leaves that are no arrays
    source: int
    target: int
    grid: tuple[int, ...]
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        """A line that says what it joins, without its ratios."""
        steps = " ".join(type(step).__name__ for step in self.steps) or "the same positions"
        return f"Edge({self.source} -> {self.target}: {steps}, {count_taps(self.steps)} taps)"

    def apply(self, maps: Float[Array | np.ndarray, "n p ..."]) -> Float[Array, "n p ..."]:
        """Take maps on the earlier grid to the later one: sum_i mu_{i->j} E_i.

        Args:
            maps: (N, P, *source grid), P maps an image.

        Returns:
            (N, P, *target grid).
        """
        if self.ratios is None:
            for step in self.steps:
                maps = step.select(maps, 0)
            return cast(Array, maps)
        return cast(Array, _weigh(self.steps, self._by_tap(), maps))

    def transpose(self, maps: Float[Array | np.ndarray, "n p ..."]) -> Float[Array, "n p ..."]:
        """Take maps on the later grid back to the earlier one: sum_j mu_{i->j} R_j.

        Args:
            maps: (N, P, *target grid), P maps an image.

        Returns:
            (N, P, *source grid).
        """
        ratios = None if self.ratios is None else self._by_tap()
        return cast(Array, _weigh_back(self.steps, ratios, maps, self.grid))

    def _by_tap(self) -> Any:
        """(taps, N, 1, *target grid)."""
        return self.ratios.swapaxes(0, 1)[:, :, None]


def _weigh(steps: Sequence[Step], ratios: Array | np.ndarray, maps: Array | np.ndarray) -> Any:
    """``sum_t ratios[t] * select_t(maps)`` over the combined taps of ``steps``; ratios (taps, N, 1, *target grid)."""
    if not steps:
        return ratios[0] * maps
    step, rest = steps[0], steps[1:]
    if not isinstance(step, ReducePositions | Window):
        return _weigh(rest, ratios, step.select(maps, 0))
    ratios = ratios.reshape((step.taps, count_taps(rest), *ratios.shape[1:]))
    if isinstance(step, ReducePositions):
        pairs = _Pairs.of(step, rest)
        if pairs is not None:
            return pairs.weigh(ratios, maps)
        return jnp.sum(jax.vmap(partial(_weigh, rest))(ratios, step.spread(maps)), 0)
    return reduce(add, (_weigh(rest, ratio, read) for ratio, read in zip(ratios, step.each(maps), strict=True)))


def _weigh_back(steps: Sequence[Step], ratios: Any, maps: Any, grid: tuple[int, ...]) -> Any:
    """``sum_t select_t^T(ratios[t] * maps)``, the transpose of `_weigh`; without ratios every one is 1."""
    if not steps:
        return maps if ratios is None else ratios[0] * maps
    step, rest = steps[0], steps[1:]
    later = jax.eval_shape(partial(step.select, tap=0), jax.ShapeDtypeStruct(grid, maps.dtype)).shape
    shape = (*maps.shape[:2], *grid)
    if ratios is None or not isinstance(step, ReducePositions | Window):
        return transposed(partial(step.select, tap=0), shape, _weigh_back(rest, ratios, maps, later))
    ratios = ratios.reshape((step.taps, count_taps(rest), *ratios.shape[1:]))
    if isinstance(step, ReducePositions):
        pairs = _Pairs.of(step, rest)
        if pairs is not None:
            return pairs.weigh_back(ratios, maps, shape)
        return transposed(step.spread, shape, jax.vmap(lambda r: _weigh_back(rest, r, maps, later))(ratios))
    if rest:
        return step.back(jnp.stack([_weigh_back(rest, ratio, maps, later) for ratio in ratios]), grid)
    return step.back(ratios[:, 0], grid, maps)


_product = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@dataclass(frozen=True)
class _Pairs:
    """Steps from all positions to all others: ratios of pairs, whose sums are matrix products.

    Attributes:
        step: what is read.
        copy: where it goes.
        after: how the later positions are numbered then.
    """

    step: ReducePositions
    copy: Copy
    after: tuple[Regrid, ...]

    @classmethod
    def of(cls, step: ReducePositions, rest: Sequence[Step]) -> "_Pairs | None":
        """The pairs of composed steps, None where they are others."""
        if not rest or not isinstance(rest[0], Copy):
            return None
        after = tuple(each for each in rest[1:] if isinstance(each, Regrid))
        return cls(step, rest[0], after) if len(after) == len(rest) - 1 else None

    def _before(self, x: Any) -> Any:
        """``(..., *grid)`` with positions as they are before they are numbered anew."""
        grids = [self.copy.grid, *(step.grid for step in self.after[:-1])][: len(self.after)]
        for step, grid in zip(reversed(self.after), reversed(grids), strict=True):
            x = transposed(partial(step.select, tap=0), (*x.shape[: x.ndim - len(step.grid)], *grid), x)
        return x

    def _letters(self) -> tuple[str, str]:
        later = "abcdefgh"[: len(self.copy.grid)]
        return later, "".join(each for axis, each in enumerate(later) if axis not in self.copy.new)

    def weigh(self, ratios: Any, maps: Any) -> Any:
        later, kept = self._letters()
        pairs = self._before(ratios[:, 0, :, 0])
        total = _product(f"tnp{kept},tn{later}->np{later}", self.step.spread(maps), pairs)
        for step in self.after:
            total = step.select(total, 0)
        return total

    def weigh_back(self, ratios: Any, maps: Any, shape: tuple[int, ...]) -> Any:
        later, kept = self._letters()
        back = _product(f"tn{later},np{later}->tnp{kept}", self._before(ratios[:, 0, :, 0]), self._before(maps))
        return transposed(self.step.spread, shape, back)


def enlarge(maps: Float[Array, "n p ..."], grid: tuple[int, ...]) -> Float[Array, "n p ..."]:
    """Enlarge maps to another grid, bilinearly; each position's share is spread whole, so that every sum is kept.

    Args:
        maps: (N, P, *smaller grid).
        grid: the larger one.

    Returns:
        (N, P, *grid): `jax.image.resize` of each value over the sum of its weights, which for a whole factor is the
        number of pixels that a position stands for.

    Raises:
        ShapeError: the grids have a different number of axes.
    """
    own = maps.shape[2:]
    if len(own) != len(grid):
        raise ShapeError(
            f"a map with grid {own} cannot be enlarged to one with grid {grid}: take the recursion to the pixels"
        )

    def resize(x: Array) -> Array:
        return jax.image.resize(x, (*x.shape[: x.ndim - len(grid)], *grid), "linear")

    (weights,) = jax.linear_transpose(resize, jax.ShapeDtypeStruct(own, maps.dtype))(jnp.ones(grid, maps.dtype))
    return resize(maps / weights)

"""Edges: linear operators between the position grids of two PFV maps, made of sharing ratios.

``apply`` takes maps forward (effective receptive fields: ERF_j = sum_i mu_{i->j} ERF_i), ``transpose`` takes them
backward (relevance: R_i = sum_j mu_{i->j} R_j). The second is the `jax.linear_transpose` of the first, so the two
cannot disagree.
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

from srd_jax.geometry import Step, Whole, Window, count_taps

__all__ = ["Edge"]


@partial(jax.tree_util.register_dataclass, data_fields=["ratios"], meta_fields=["source", "target", "grid", "steps"])
@dataclass(frozen=True)
class Edge:
    """The sharing ratios mu_{i->j} from one PFV map to another.

    Attributes:
        ratios: (taps, N, *target grid), float32 or wider; None where every PFV has this one contributor and mu = 1.
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
        return cast(Array, _weigh(self.steps, self.ratios[:, :, None], maps))

    def transpose(self, maps: Float[Array | np.ndarray, "n p ..."]) -> Float[Array, "n p ..."]:
        """Take maps on the later grid back to the earlier one: sum_j mu_{i->j} R_j.

        Args:
            maps: (N, P, *target grid), P maps an image.

        Returns:
            (N, P, *source grid).
        """
        if not self.steps and self.ratios is None:
            return cast(Array, maps)
        like = jax.ShapeDtypeStruct((*maps.shape[:2], *self.grid), maps.dtype)
        (back,) = jax.linear_transpose(self.apply, like)(maps)
        return back


def _weigh(steps: Sequence[Step], ratios: Array | np.ndarray, maps: Array | np.ndarray) -> Any:
    """``sum_t ratios[t] * select_t(maps)`` over the combined taps of ``steps``; ratios (taps, N, 1, *target grid)."""
    if not steps:
        return ratios[0] * maps
    step, rest = steps[0], steps[1:]
    if not isinstance(step, Whole | Window):
        return _weigh(rest, ratios, step.select(maps, 0))
    ratios = ratios.reshape((step.taps, count_taps(rest), *ratios.shape[1:]))
    if isinstance(step, Whole):
        return jnp.sum(jax.vmap(partial(_weigh, rest))(ratios, step.spread(maps)), 0)
    return reduce(add, (_weigh(rest, ratio, read) for ratio, read in zip(ratios, step.each(maps), strict=True)))

"""Steps from all positions to all others, as attention and the mixing of tokens: what they measure in closed form.

With coefficients A^h_ji, head h of position j is z^h_j = sum_i A^h_ji v^h_i, and whatever follows up to X_j is linear
and the same at every position: X_j = sum_h L^h z^h_j + ... So vhat_{i->j} = sum_h A^h_ji L^h v^h_i, and

    < vhat_{i->j} , X_j >  = sum_h A^h_ji < v^h_i , L^h^T X_j >
    || vhat_{i->j} ||^2    = sum_{h,g} A^h_ji A^g_ji < L^h v^h_i , L^g v^g_i >

cost about what the step costs itself, and no vhat is made. A letter stands for an axis here: n images, k positions that
are kept (windows, or rows where columns are mixed), j later and i earlier ones, h heads, d channels of a head.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Step, reads
from srd_jax.core.layout import BATCH, Dim, Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.values import Term

__all__ = ["AllToAll", "all_to_all", "at_taps", "measured"]


@dataclass(frozen=True, eq=False)
class AllToAll:
    """What closed forms need of a step.

    Attributes:
        coefficients: A, (n or 1, k or 1, h, j, i).
        sizes: extents k, j, i, h, d.
        read_order: places of k, i, h and d among the dimensions of what is read, behind the images'.
        made: layout of the step's output.
        made_order: places of k, j, h and d among its dimensions.
        later: the output's grid.
        kept: which of its axes are k, in their order; the others are j.
    """

    coefficients: Float[Array, "n k h j i"]
    sizes: tuple[int, int, int, int, int]
    read_order: tuple[int, ...]
    made: Layout
    made_order: tuple[int, ...]
    later: tuple[int, ...]
    kept: tuple[int, ...]

    def read(self, operand: Array, layout: Layout) -> Float[Array, "n k i h d"]:
        """What the step reads."""
        k, _, i, h, d = self.sizes
        flat = operand.reshape([dim.size for dim in lay.dims(layout)])
        return jnp.transpose(flat, self.read_order).reshape((-1, k, i, h, d))

    def output(self, z: Float[Array, "n k j h d"]) -> Array:
        """The array that the step makes of z; of one position where z is."""
        one = z.shape[1:3] == (1, 1)
        layout = lay.of_one_position(self.made, len(z)) if one else self.made
        sizes = [dim.size for dim in lay.dims(layout)]
        ordered = z.reshape([sizes[place] for place in self.made_order])
        back = tuple(int(place) for place in np.argsort(self.made_order))
        return jnp.transpose(ordered, back).reshape(lay.shape_of(layout))

    def input(self, array: Array) -> Float[Array, "n k j h d"]:
        """What `output` was made of."""
        k, j, _, h, d = self.sizes
        flat = array.reshape([dim.size for dim in lay.dims(self.made)])
        return jnp.transpose(flat, self.made_order).reshape((-1, k, j, h, d))

    @property
    def _axes(self) -> tuple[int, ...]:
        return (*self.kept, *(axis for axis in range(len(self.later)) if axis not in self.kept))

    def by_tap(self, pairs: Float[Array, "n k j i"]) -> Float[Array, "i n ..."]:
        """Values of pairs of positions as (i, n, *later grid)."""
        taps = jnp.moveaxis(pairs, 3, 0)
        taps = taps.reshape((*taps.shape[:2], *(self.later[axis] for axis in self._axes)))
        return jnp.transpose(taps, (0, 1, *(2 + int(place) for place in np.argsort(self._axes))))

    def by_pair(self, places: np.ndarray) -> np.ndarray:
        """(*later grid) as (k, j)."""
        return places.transpose(self._axes).reshape(self.sizes[:2])


def all_to_all(
    array: Array,
    layout: Layout,
    value: Layout,
    made: Layout,
    shared: Sequence[tuple[int, int]],
    summed: Sequence[tuple[int, int]],
) -> AllToAll | None:
    """The closed forms of a product of coefficients with a value that sums over positions; None where it has none.

    Args:
        array: the coefficients.
        layout: of them; along axes that both have, the value's dimensions.
        value: layout of the value.
        made: layout of the product.
        shared: axes of both that are taken together, of the coefficients and of the value.
        summed: axes of both that are summed over.
    """
    taken, read_axes = {axis for _, axis in shared}, [axis for _, axis in summed]
    free = [axis for axis in range(len(value)) if axis not in taken and axis not in read_axes]
    own_taken, own_read = [axis for axis, _ in shared], [axis for axis, _ in summed]
    own_free = [axis for axis in range(len(layout)) if axis not in own_taken and axis not in own_read]

    def places(of: Layout, axes: Sequence[int], wanted: Callable[[Dim], bool]) -> list[int]:
        flat = [(axis, dim) for axis, dims in enumerate(of) for dim in dims]
        return [i for axis in axes for i, (at, dim) in enumerate(flat) if at == axis and wanted(dim)]

    def positions(of: Layout, axes: Sequence[int]) -> list[int]:
        flat = lay.dims(of)
        return sorted(places(of, axes, lambda dim: dim.is_position), key=lambda i: flat[i].kind)

    def others(of: Layout, axes: Sequence[int]) -> list[int]:
        return places(of, axes, lambda dim: not dim.is_position and dim.kind != BATCH)

    def images(of: Layout) -> list[int]:
        return places(of, range(len(of)), lambda dim: dim.kind == BATCH)

    own, its, out = lay.dims(layout), lay.dims(value), lay.dims(made)
    shared_axes = [axis for _, axis in shared]
    read = places(value, read_axes, lambda dim: True)
    if (
        not all(its[i].is_position for i in read)
        or read != positions(value, read_axes)
        or any(own[i].size > 1 for i in others(layout, own_free))
        or len(images(value)) != 1
        or len(images(made)) != 1
    ):
        return None
    kept = [*positions(value, shared_axes), *positions(value, free)]
    heads, channels = others(value, shared_axes), others(value, free)
    kinds = [its[i].kind for i in kept]
    made_kept = [next(i for i, dim in enumerate(out) if dim.kind == kind) for kind in kinds]
    made_new = [i for i in positions(made, range(len(made))) if out[i].kind not in kinds]
    made_others = others(made, range(len(made)))
    made_order = [*images(made), *made_kept, *made_new, *made_others]
    own_order = [
        *images(layout), *positions(layout, own_taken), *others(layout, own_taken), *others(layout, own_free),
        *positions(layout, own_free), *places(layout, own_read, lambda dim: True),
    ]  # fmt: skip
    if len(made_order) != len(out) or len(own_order) != len(own):
        return None
    k, h, d = (prod(its[i].size for i in group) for group in (kept, heads, channels))
    i, j = prod(its[p].size for p in read), prod(out[p].size for p in made_new)
    own_kept = prod(own[p].size for p in positions(layout, own_taken))
    a = jnp.transpose(array.reshape([dim.size for dim in own]), own_order)
    a = a.reshape((-1, own_kept, 1, h, j, i))
    a = jnp.broadcast_to(a, (len(a), own_kept, k // own_kept, h, j, i)).reshape((-1, k, h, j, i))
    grid = [dim.kind for dim in lay.position_dims(made)]
    return AllToAll(
        a, (k, j, i, h, d), (*images(value), *kept, *read, *heads, *channels), made, tuple(made_order), lay.grid(made),
        tuple(grid.index(kind) for kind in kinds),
    )  # fmt: skip


def measured(
    term: Term, x: Array, *, norms: bool
) -> tuple[Float[Array, "taps n ..."], Float[Array, "taps n ..."] | None] | None:
    """< vhat , X > and ||vhat|| of every pair of positions; None where there are no closed forms.

    Args:
        term: of the sum.
        x: what contributions are measured against, of the sum's shape.
        norms: whether norms are needed.
    """
    step = None if term.mix is None else term.mix.all_to_all
    if step is None or (norms and not term.uniform):
        return None
    v = step.read(term.operand, term.layout).astype(x.dtype)
    a = step.coefficients.astype(x.dtype)

    def ahead(z: Array) -> Array:
        return term.after(z.astype(term.operand.dtype)).astype(x.dtype)

    back = step.input(transposed(ahead, lay.shape_of(step.made), x))
    inner = jnp.sum(a * jnp.einsum("nkihd,nkjhd->nkhji", v, back), 2)
    later = _later(term)
    if not norms:
        return _moved(step.by_tap(inner), later), None
    u = _heads(term, step, x.dtype)
    grams = jnp.einsum("nkihc,nkigc->nkihg", u, u)
    wide = jnp.broadcast_to(a, (len(v), *a.shape[1:]))
    squares = jnp.sum(a * jnp.einsum("nkihg,nkgji->nkhji", grams, wide), 2)
    some = squares > 0
    size = jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1)), 0)
    return _moved(step.by_tap(inner), later), _moved(step.by_tap(size), later)


def at_taps(term: Term, taps: np.ndarray, dtype: Any) -> Float[Array, "n ... c"]:
    """What one tap contributes to each later position, one of its own each.

    Args:
        term: of the sum, with closed forms.
        taps: (*grid of the sum), -1 for none.
        dtype: of the result.

    Returns:
        (N, *grid of the sum, C).
    """
    assert term.mix is not None
    step: AllToAll = term.mix.all_to_all
    later = _later(term)
    own = np.full(prod(step.later), -1)
    moved = reads(later, step.later)[0]
    own[moved[moved > 0] - 1] = taps[moved > 0]
    pairs = step.by_pair(own.reshape(step.later))
    index = jnp.asarray(np.maximum(pairs, 0))
    u = _heads(term, step, dtype)
    taken = jnp.take_along_axis(u, index[None, :, :, None, None], 2)
    weights = jnp.take_along_axis(step.coefficients.astype(dtype), index[None, :, None, :, None], 4)[..., 0]
    weights = jnp.where(jnp.asarray(pairs >= 0)[None, :, None], weights, 0)
    vhat = jnp.sum(taken * jnp.moveaxis(weights, 2, 3)[..., None], 3)  # (n, k, j, c)
    return jnp.moveaxis(_moved(step.by_tap(vhat), later), 0, -1)  # channels in place of taps


def _heads(term: Term, step: AllToAll, dtype: Any) -> Float[Array, "n k i h c"]:
    """L^h v^h_i: what each head of each earlier position brings, before coefficients."""
    v = step.read(term.operand, term.layout).astype(dtype)
    return jnp.einsum("nkihd,hdc->nkihc", v, _matrix(term, step).astype(dtype))


def _later(term: Term) -> Sequence[Step]:
    return term.steps[len(term.steps) - term.after_mix :] if term.after_mix else ()


def _matrix(term: Term, step: AllToAll) -> Float[Array, "h d c"]:
    """L^h: what follows the step, on unit vectors."""
    *_, h, d = step.sizes
    units = jnp.eye(h * d, dtype=term.operand.dtype).reshape((h * d, 1, 1, h, d))
    return term.after(step.output(units)).reshape((h, d, -1))


def _moved(taps: Array, steps: Sequence[Step]) -> Array:
    """(taps, n, *grid) after steps that move positions."""
    for step in steps:
        taps = step.select(taps, 0)
    return taps

"""Steps from all positions to all others with weights that depend on the images, as attention: closed forms.

With coefficients A^h_ji held fixed, head h of position j is z^h_j = sum_i A^h_ji v^h_i, and whatever follows up to X_j is
linear and the same at every position: X_j = sum_h L^h z^h_j + ... So vhat_{i->j} = sum_h A^h_ji L^h v^h_i, and

    < vhat_{i->j} , X_j >  = sum_h A^h_ji < v^h_i , L^h^T X_j >
    || vhat_{i->j} ||^2    = sum_{h,k} A^h_ji A^k_ji < L^h v^h_i , L^k v^k_i >

cost about what the step costs itself, without any vhat. A letter stands for an axis here: n images, k positions that are
kept (windows), j and i later and earlier positions, h heads, d channels of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Step, reads
from srd_jax.core.layout import BATCH, CHANNEL, Dim, Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.values import Term

__all__ = ["AllToAll", "measured", "read_at"]


@dataclass(frozen=True, eq=False)
class AllToAll:
    """What closed forms need of a step.

    Attributes:
        coefficients: A, (n, k, h, j, i).
        kept: which axes of the later grid are positions that are kept; the others are new.
        later: the later grid.
        heads: places of the head's dimensions among the channels of what is read.
        made: layout of the step's output.
        made_order: places of the flat dimensions of the output: images, kept, new, heads, other channels.
        read_order: the same of what is read: images, kept, read, heads, other channels.
        sizes: extents k, j, i, h, d.
    """

    coefficients: Float[Array, "n k h j i"]
    kept: tuple[int, ...]
    later: tuple[int, ...]
    made: Layout
    made_order: tuple[int, ...]
    read_order: tuple[int, ...]
    sizes: tuple[int, int, int, int, int]

    def read(self, operand: Array, layout: Layout) -> Float[Array, "n k i h d"]:
        """What the step reads."""
        k, _, i, h, d = self.sizes
        flat = operand.reshape([dim.size for dim in lay.dims(layout)])
        return jnp.transpose(flat, self.read_order).reshape((-1, k, i, h, d))

    def output(self, z: Float[Array, "n k j h d"]) -> Array:
        """Of z the array that the step makes; of one position, as many rows as there are images."""
        sizes = [dim.size for dim in lay.dims(self.made)]
        if z.shape[1:3] != (self.sizes[0], self.sizes[1]):
            sizes = [1 if dim.is_position else dim.size for dim in lay.dims(self.made)]
        sizes = [len(z) if dim.kind == BATCH else size for dim, size in zip(lay.dims(self.made), sizes, strict=True)]
        ordered = z.reshape([sizes[place] for place in self.made_order])
        array = jnp.transpose(ordered, np.argsort(self.made_order))
        shape, own = [], iter(sizes)
        for axis in self.made:
            shape.append(prod(next(own) for _ in axis))
        return array.reshape(shape)

    def input(self, array: Array) -> Float[Array, "n k j h d"]:
        """What `output` was made from."""
        k, j, _, h, d = self.sizes
        flat = array.reshape([dim.size for dim in lay.dims(self.made)])
        return jnp.transpose(flat, self.made_order).reshape((-1, k, j, h, d))

    def by_tap(self, values: Float[Array, "n k j i"]) -> Float[Array, "i n ..."]:
        """Values of every pair of positions as (i, n, *later grid)."""
        n = len(values)
        new = [axis for axis in range(len(self.later)) if axis not in self.kept]
        sizes = [*(self.later[axis] for axis in self.kept), *(self.later[axis] for axis in new)]
        taps = jnp.moveaxis(values, 3, 0).reshape((values.shape[3], n, *sizes))
        order = np.argsort([*self.kept, *new])
        return jnp.transpose(taps, (0, 1, *(2 + place for place in order)))

    def by_position(self, places: np.ndarray) -> np.ndarray:
        """(*later grid) as (k, j)."""
        new = [axis for axis in range(len(self.later)) if axis not in self.kept]
        return places.transpose([*self.kept, *new]).reshape(self.sizes[:2])


def measured(
    term: Term, x: Array, *, norms: bool
) -> tuple[Float[Array, "taps n ..."], Float[Array, "taps n ..."] | None] | None:
    """< vhat , X > and ||vhat|| of every pair of positions; None where what follows differs from position to position.

    Args:
        term: whose mixing step is from all positions to all others.
        x: what contributions are measured against, of the open sum's shape.
        norms: whether norms are needed.
    """
    assert term.mix is not None
    step = term.mix.all_to_all
    if step is None or (norms and not term.uniform):
        return None
    v = step.read(term.operand, term.layout).astype(x.dtype)
    a = step.coefficients.astype(x.dtype)

    def ahead(z: Array) -> Array:
        return term.after(z.astype(term.operand.dtype)).astype(x.dtype)

    back = step.input(transposed(ahead, lay.shape_of(step.made), x))
    inner = jnp.sum(a * jnp.einsum("nkihd,nkjhd->nkhji", v, back), 2)
    later = term.steps[len(term.steps) - term.after_mix :] if term.after_mix else ()
    if not norms:
        return _moved(step.by_tap(inner), later), None
    u = jnp.einsum("nkihd,hdc->nkihc", v, _matrix(term, step).astype(x.dtype))
    grams = jnp.einsum("nkihc,nkigc->nkihg", u, u)
    squares = jnp.sum(a * jnp.einsum("nkihg,nkgji->nkhji", grams, a), 2)
    positive = squares > 0
    size = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
    return _moved(step.by_tap(inner), later), _moved(step.by_tap(size), later)


def read_at(term: Term, places: np.ndarray) -> Array:
    """vhat of one tap at each later position, in the layout of the open sum.

    Args:
        term: whose mixing step is from all positions to all others.
        places: (*grid of the sum) taps, -1 for none.
    """
    assert term.mix is not None
    step = term.mix.all_to_all
    assert step is not None
    later = term.steps[len(term.steps) - term.after_mix :] if term.after_mix else ()
    source = np.full(prod(step.later), -1)
    moved = reads(later, step.later)[0]
    source[moved[moved > 0] - 1] = places[moved > 0]
    own = step.by_position(source.reshape(step.later))
    index = np.maximum(own, 0)
    v = step.read(term.operand, term.layout)
    taken = jnp.take_along_axis(v, jnp.asarray(index)[None, :, :, None, None], 2)
    weights = jnp.take_along_axis(step.coefficients, jnp.asarray(index)[None, :, None, :, None], 4)[..., 0]
    weights = jnp.where(jnp.asarray(own >= 0)[None, :, None], weights, 0)
    return term.after(step.output(taken * jnp.moveaxis(weights, 2, 3)[..., None].astype(v.dtype)))


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


def all_to_all(
    coefficients: Array,
    layout: Layout,
    value: Layout,
    made: Layout,
    shared: Sequence[tuple[int, int]],
    contracted: Sequence[tuple[int, int]],
) -> AllToAll | None:
    """Closed forms of a product of coefficients with a value, None where it has none.

    Args:
        coefficients: as the product reads them.
        layout: of them; new positions are numbered as in ``made``, and read ones as in ``value``.
        value: layout of the value.
        made: layout of the product.
        shared: axes of both that are taken together, of the coefficients and of the value.
        contracted: axes of both that are summed over.
    """
    read = [dim for _, axis in contracted for dim in value[axis]]
    heads = [dim for _, axis in shared for dim in value[axis] if not dim.is_position and dim.kind != BATCH]
    together = {axis for pair in (shared, contracted) for axis, _ in pair}
    free = [dim for axis, dims in enumerate(layout) if axis not in together for dim in dims]
    if not all(dim.is_position for dim in read) or any(dim.kind == CHANNEL and dim.size > 1 for dim in free):
        return None
    if [dim.kind for dim in read] != sorted(dim.kind for dim in read):
        return None
    batch_axes = [axis for axis, _ in shared]

    def places(axes: Sequence[int], of: Layout, wanted: Any) -> list[int]:
        flat = [(axis, dim) for axis, dims in enumerate(of) for dim in dims]
        return [i for i, (axis, dim) in enumerate(flat) if axis in axes and wanted(dim)]

    def by_kind(found: list[int], of: Layout) -> list[int]:
        flat = lay.dims(of)
        return sorted(found, key=lambda i: flat[i].kind)

    def other(dim: Dim) -> bool:
        return not dim.is_position and dim.kind != BATCH

    every = lambda of: range(len(of))  # noqa: E731
    own_batch = places(batch_axes, layout, lambda dim: dim.kind == BATCH)
    own_kept = by_kind(places(batch_axes, layout, lambda dim: dim.is_position), layout)
    own_heads = places(batch_axes, layout, other)
    own_free = [axis for axis in range(len(layout)) if axis not in together]
    own_new = by_kind(places(own_free, layout, lambda dim: dim.is_position), layout)
    own_read = [i for axis, _ in contracted for i in places([axis], layout, lambda dim: True)]
    rest = places(own_free, layout, other)
    order = [*own_batch, *own_kept, *own_heads, *rest, *own_new, *own_read]
    flat = lay.dims(layout)
    k, h, j, i = (prod(flat[p].size for p in group) for group in (own_kept, own_heads, own_new, own_read))
    if len(order) != len(flat) or not own_batch:
        return None
    a = jnp.transpose(coefficients.reshape([dim.size for dim in flat]), order).reshape((-1, k, h, j, i))

    value_batch = [axis for _, axis in shared]
    value_read = [p for _, axis in contracted for p in places([axis], value, lambda dim: True)]
    value_heads = places(value_batch, value, other)
    value_free = [axis for axis in range(len(value)) if axis not in (*value_batch, *(axis for _, axis in contracted))]
    if places(value_free, value, lambda dim: dim.is_position and dim.size > 1) or lay.dims(value).count(BATCH) > 1:
        return None
    value_kept = by_kind(places(value_batch, value, lambda dim: dim.is_position), value)
    value_other = places(value_free, value, lambda dim: True)
    value_images = places(every(value), value, lambda dim: dim.kind == BATCH)
    read_order = [*value_images, *value_kept, *value_read, *value_heads, *value_other]

    kept_kinds = {lay.dims(value)[p].kind for p in value_kept}
    made_flat = lay.dims(made)
    made_images = [p for p, dim in enumerate(made_flat) if dim.kind == BATCH]
    made_kept = by_kind([p for p, dim in enumerate(made_flat) if dim.is_position and dim.kind in kept_kinds], made)
    made_new = by_kind([p for p, dim in enumerate(made_flat) if dim.is_position and dim.kind not in kept_kinds], made)
    channels = [p for p, dim in enumerate(made_flat) if other(dim)]
    made_heads, made_other = channels[: len(value_heads)], channels[len(value_heads) :]
    made_order = [*made_images, *made_kept, *made_new, *made_heads, *made_other]
    if len(read_order) != len(lay.dims(value)) or len(made_order) != len(made_flat) or len(heads) != len(value_heads):
        return None
    kinds = [dim.kind for dim in lay.position_dims(made)]
    d = prod(lay.dims(value)[p].size for p in value_other)
    return AllToAll(
        a, tuple(place for place, kind in enumerate(kinds) if kind in kept_kinds), lay.grid(made), made,
        tuple(made_order), tuple(read_order), (k, j, i, h, d),
    )  # fmt: skip

"""The last step: the relevance of a class at the encoder's output, from the logit and its gradient.

    R_i = < v_i , G_i > + (y_c - sum_i < v_i , G_i >) / n ,   G = d y_c / d v

v are the PFVs of the last map with more than one position, y_c is the logit and n the number of positions that the head
reads. For global average pooling and a dense layer this is (w_c . v_i + b_c) / n.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from srd_jax.core import layout as lay
from srd_jax.core.chunked import chunked
from srd_jax.core.evaluate import evaluate
from srd_jax.core.layout import BATCH, Dim, Layout
from srd_jax.core.meshes import varying_alike
from srd_jax.core.sharing import Bias, accumulator
from srd_jax.core.squash import Squash
from srd_jax.core.targets import one_hot
from srd_jax.core.tracing import Equation, Operand, Ref
from srd_jax.errors import ShapeError

__all__ = ["Contrast", "Head", "HeadRule", "HeadTable"]

HeadRule = Literal["linear", "gradcam", "sharing"]
Contrast = Literal["spatial", "class"]

_CLASSES_AT_ONCE = 16


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["logits", "values", "fixed", "weights"],
    meta_fields=[
        "rule", "bias", "nodes", "layouts", "grids", "live", "read", "refs", "fixed_refs", "fixed_layouts",
        "weight_refs", "equations", "output", "squash",
    ],
)  # fmt: skip
@dataclass(frozen=True)
class Head:
    """The function from the encoder's output to the logits.

    Every array has the images on its first axis, and weights an extent of 1 there, so that a few images can be taken
    out of it as `jax.tree.map(lambda a: a[:1], head)` does.

    Attributes:
        logits: y, (N, classes).
        values: v, the encoder's output, as `srd_jax.core.layout.by_image`; mostly one array.
        fixed: what else of the images the equations read, in the same form.
        weights: what they read that does not depend on the images, (1, ...).
        rule: how the logit is divided among the positions.
        bias: how what the positions do not account for is shared, for ``rule="sharing"``.
        nodes: index of each value's PFV map.
        layouts: what the axes of the values mean.
        grids: of the PFV maps.
        live: which positions of each PFV map a pixel reaches, None for all of them. What the others bring is constant.
        read: which of them the equations read, None for all of them.
        refs: references of ``values`` in the equations.
        fixed_refs: references of ``fixed``.
        fixed_layouts: what the axes of ``fixed`` mean.
        weight_refs: references of ``weights``.
        equations: from ``values`` to the logits.
        output: reference of the logits.
        squash: whether the logits are probabilities.
    """

    logits: Any  # JAX rebuilds pytrees with leaves that are no arrays
    values: tuple[Any, ...]
    fixed: tuple[Any, ...]
    weights: tuple[Any, ...]
    rule: HeadRule
    bias: Bias
    nodes: tuple[int, ...]
    layouts: tuple[Layout, ...]
    grids: tuple[tuple[int, ...], ...]
    live: tuple[tuple[bool, ...] | None, ...]
    read: tuple[tuple[bool, ...] | None, ...]
    refs: tuple[Ref, ...]
    fixed_refs: tuple[Ref, ...]
    fixed_layouts: tuple[Layout, ...]
    weight_refs: tuple[Ref, ...]
    equations: tuple[Equation, ...]
    output: Operand
    squash: Squash

    def __repr__(self) -> str:
        """A line that says what it is of."""
        return f"Head({self.rule}, {self.logits.shape[1]} classes, from maps {self.nodes})"

    def relevance(self, targets: Int[Array, "n k"], contrast: Contrast | None) -> dict[int, Float[Array, "n k ..."]]:
        """R at the encoder's output.

        Args:
            targets: (N, K) class indices.
            contrast: ``"class"`` subtracts the mean over all classes; ``"spatial"`` is left to the flow, which knows
                the encoder's output.

        Returns:
            (N, K, *grid) by index of the PFV map.
        """
        maps = contrasted(self._divide(), targets, self.logits, contrast, linear=self.rule == "linear")
        return by_map(maps, self.nodes, self.grids)

    def tabulated(self) -> "HeadTable":
        """The relevance of every class, which needs no equations any more: a head that can be stored."""
        n, classes = self.logits.shape
        each = jnp.broadcast_to(jnp.arange(classes), (n, classes))
        maps = contrasted(self._divide(), each, self.logits, None, linear=False)
        return HeadTable(self.logits, maps, self.rule, self.bias, self.nodes, self.grids, self.squash)

    def neurons(self, targets: Array, contrast: Contrast | None) -> tuple[Float[Array, "n k ..."], ...]:
        """R of every neuron at the encoder's output, each a PFV of one channel; over a PFV's channels it sums to its R.

        ``"linear"`` leaves v G with an even part of what all neurons leave over, ``"gradcam"`` a v where the map is
        positive, ``"spatial"`` subtracts from every channel its own mean over positions.

        Args:
            targets: (N, K) class indices.
            contrast: as in `Flow.relevance`.

        Returns:
            One (N, K, *grid, C) array per value.
        """
        flat = contrasted(self._by_neuron, targets, self.logits, contrast, linear=self.rule == "linear")
        shapes = [(*grid, lay.channels(layout)) for grid, layout in zip(self.grids, self.layouts, strict=True)]
        ends = [sum(prod(shape) for shape in shapes[: i + 1]) for i in range(len(shapes))]
        split = zip(jnp.split(flat, ends[:-1], -1), shapes, strict=True)
        parts = tuple(part.reshape((*flat.shape[:2], *shape)) for part, shape in split)
        if contrast == "spatial":
            return tuple(part - jnp.mean(part, tuple(range(2, part.ndim - 1)), keepdims=True) for part in parts)
        return parts

    def _by_neuron(self, directions: Array) -> Float[Array, "n k neurons"]:
        def products(gradients: tuple[Array, ...]) -> Array:
            pairs = self._pfvs(gradients)
            if self.rule == "gradcam":
                weighed = (v * jnp.mean(g, 1, keepdims=True) for v, g in pairs)
                parts = [jnp.where(jnp.sum(w, -1, keepdims=True) > 0, w, 0) for w in weighed]
            else:
                parts = [v * g for v, g in pairs]
            return jnp.concatenate([part.reshape((part.shape[0], -1)) for part in parts], 1)

        flat, logits = self._per_class(products, directions)
        if self.rule == "linear":
            each = zip(self.read, self.grids, self.layouts, strict=True)
            mask = np.concatenate([np.repeat(_mask(read, grid), lay.channels(layout)) for read, grid, layout in each])
            flat = flat + _left_over(logits, flat, directions) * (mask / mask.sum()).astype(flat.dtype)
        return flat

    def _divide(self) -> Callable[[Array], Array]:
        return {"linear": self._linear, "gradcam": self._gradcam, "sharing": self._sharing}[self.rule]

    def _batch(self, values: tuple[Array, ...]) -> tuple[Array, ...]:
        """As many images as the equations were traced for, repeated where some were taken out."""
        count = lay.batch(self.layouts[0])
        if values[0].shape[0] == count:
            return values
        return tuple(jnp.take(v, jnp.arange(count) % v.shape[0], 0) for v in values)

    def _logits(self, values: tuple[Array, ...]) -> Array:
        if any(weight.shape[0] != 1 for weight in self.weights):
            raise ShapeError("weights were sliced with the images: take images out of a flow by flow[2:4]")
        known: dict[Ref, Any] = {ref: w[0] for ref, w in zip(self.weight_refs, self.weights, strict=True)}
        for refs, arrays, layouts in (
            (self.fixed_refs, self._batch(self.fixed) if self.fixed else (), self.fixed_layouts),
            (self.refs, self._batch(values), self.layouts),
        ):
            each = zip(refs, arrays, layouts, strict=True)
            known.update((ref, lay.from_by_image(array, layout)) for ref, array, layout in each)
        return evaluate(self.equations, known, self.output)[: self.logits.shape[0]]

    def _per_class(self, use: Callable[[tuple[Array, ...]], Array], directions: Array) -> tuple[Array, Array]:
        """``use(G)`` for every direction in class space, (N, K, classes) to (N, K, positions), and y.

        y comes with its gradient: where nobody else asks for ``logits``, they are not computed twice.
        """
        logits, pull_back = jax.vjp(self._logits, self.values)
        directions, _ = varying_alike([directions, logits])
        every = jax.vmap(lambda u: use(pull_back(u)[0]), out_axes=1)
        return chunked(every, jnp.moveaxis(directions, 1, 0), _CLASSES_AT_ONCE), logits

    def _products(self, gradients: tuple[Array, ...]) -> Array:
        """< v_i , G_i >: (N, positions)."""
        return jnp.concatenate(self._by_map([jnp.sum(v * g, -1) for v, g in self._pfvs(gradients)]), 1)

    def _cam(self, gradients: tuple[Array, ...]) -> Array:
        """relu(sum_k a_k v_k): (N, positions)."""
        weighed = [jnp.sum(v * jnp.mean(g, 1, keepdims=True), -1) for v, g in self._pfvs(gradients)]
        return jnp.maximum(jnp.concatenate(self._by_map(weighed), 1), 0)

    def _by_map(self, parts: Sequence[Array]) -> list[Array]:
        """(N, positions) for each value, added up where several values are functions of one PFV map."""
        totals: dict[int, Array] = {}
        for node, part in zip(self.nodes, parts, strict=True):
            totals[node] = totals[node] + part if node in totals else part
        return list(totals.values())

    def _pfvs(self, gradients: tuple[Array, ...]) -> list[tuple[Array, Array]]:
        """Each v and its gradient as (N, positions, C)."""

        def pfvs(x: Array, layout: Layout) -> Array:
            flat = [dim for dim in lay.dims(layout) if dim.kind != BATCH]
            own = ((Dim(BATCH, x.shape[0]),), *((dim,) for dim in flat))
            x = lay.to_pfvs(x.astype(accumulator(x.dtype)), own)
            return x.reshape((x.shape[0], -1, x.shape[-1]))

        each = zip(self.values, gradients, self.layouts, strict=True)
        return [(pfvs(v, layout), pfvs(g, layout)) for v, g, layout in each]

    @property
    def shares_constants(self) -> bool:
        """Whether what no pixel brings is shared among the positions that pixels reach."""
        return shares_constants(self.rule, self.bias)

    @property
    def _contributors(self) -> np.ndarray:
        """1 at every position that has a part in the logits' account, else 0: (positions,)."""
        read = self._positions(self.read)
        reached = read * self._positions(self.live)
        return reached if self.shares_constants and reached.any() else read

    def _positions(self, masks: Sequence[tuple[bool, ...] | None]) -> np.ndarray:
        """A mask of each PFV map's positions as one array: (positions,)."""
        each = zip(self.nodes, masks, self.grids, strict=True)
        return np.concatenate(list({node: _mask(mask, grid) for node, mask, grid in each}.values()))

    def _linear(self, directions: Array) -> Array:
        products, logits = self._per_class(self._products, directions)
        mask = self._contributors
        products = products * mask.astype(products.dtype)
        return products + _left_over(logits, products, directions) * (mask / mask.sum()).astype(products.dtype)

    def _sharing(self, directions: Array) -> Array:
        """Each logit a PFV of one channel: < v_i , G_i > and its share of the rest."""
        products, logits = self._per_class(self._products, directions)
        if self.bias == "none":
            return products
        mask = self._contributors.astype(products.dtype)
        products = products * mask
        size = jnp.abs(products) if self.bias == "norm" else jnp.broadcast_to(mask, products.shape)
        total = jnp.sum(size, -1, keepdims=True)
        share = jnp.where(total > 0, size / jnp.where(total > 0, total, 1), mask / mask.sum())
        return products + share * _left_over(logits, products, directions)

    def _gradcam(self, directions: Array) -> Array:
        """relu(sum_k a_k v_k), a_k the mean over positions of d y_c / d v_k."""
        return self._per_class(self._cam, directions)[0]


def _mask(positions: tuple[bool, ...] | None, grid: Sequence[int]) -> np.ndarray:
    """1 at some positions of a grid, else 0; None for all of them: (positions,)."""
    return np.ones(prod(grid)) if positions is None else np.asarray(positions, float)


def by_map(
    maps: Float[Array, "n k positions"], nodes: Sequence[int], grids: Sequence[tuple[int, ...]]
) -> dict[int, Float[Array, "n k ..."]]:
    """The relevance of PFV maps side by side, by index of the map."""
    own = dict(zip(nodes, grids, strict=True))
    ends = list(accumulate(map(prod, own.values())))
    parts = zip(own.items(), jnp.split(maps, ends[:-1], -1), strict=True)
    return {node: part.reshape((*maps.shape[:2], *grid)) for (node, grid), part in parts}


def shares_constants(rule: HeadRule, bias: Bias) -> bool:
    """Whether a head shares what no pixel brings among the positions that pixels reach."""
    return rule != "gradcam" and bias != "none"


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["logits", "maps"],
    meta_fields=["rule", "bias", "nodes", "grids", "squash"],
)
@dataclass(frozen=True)
class HeadTable:
    """The relevance of every class at the encoder's output, without the function that it came from.

    Attributes:
        logits: y, (N, classes).
        maps: R of every class, (N, classes, positions), the PFV maps side by side.
        rule: as in `Head`.
        bias: as in `Head`.
        nodes: as in `Head`, each once or as often as there.
        grids: as in `Head`.
        squash: as in `Head`.
    """

    logits: Any  # JAX rebuilds pytrees with leaves that are no arrays
    maps: Any
    rule: HeadRule
    bias: Bias
    nodes: tuple[int, ...]
    grids: tuple[tuple[int, ...], ...]
    squash: Squash

    def relevance(self, targets: Int[Array, "n k"], contrast: Contrast | None) -> dict[int, Float[Array, "n k ..."]]:
        """R at the encoder's output, as `Head.relevance`."""

        def rule(directions: Array) -> Array:
            return jnp.einsum("nkc,ncp->nkp", directions, self.maps, precision=jax.lax.Precision.HIGHEST)

        return by_map(contrasted(rule, targets, self.logits, contrast, linear=True), self.nodes, self.grids)

    def tabulated(self) -> "HeadTable":
        """Itself."""
        return self

    @property
    def shares_constants(self) -> bool:
        """Whether what no pixel brings is shared among the positions that pixels reach."""
        return shares_constants(self.rule, self.bias)


def contrasted(
    rule: Callable[[Array], Array], targets: Array, logits: Array, contrast: Contrast | None, *, linear: bool
) -> Float[Array, "n k positions"]:
    """``rule`` of unit vectors in class space, less its mean over all classes for ``contrast="class"``."""
    classes = logits.shape[1]
    chosen = one_hot(targets, logits)
    if contrast != "class":
        return rule(chosen)
    if linear:
        return rule(chosen - 1 / classes)
    every = jnp.broadcast_to(jnp.eye(classes, dtype=chosen.dtype), (chosen.shape[0], classes, classes))
    return rule(chosen) - jnp.mean(rule(every), 1, keepdims=True)


def _left_over(logits: Array, products: Array, directions: Array) -> Array:
    """y_c - sum_i < v_i , G_i >: (N, K, 1)."""
    wide = logits.astype(products.dtype)[:, None]
    return jnp.sum(wide * directions, -1, keepdims=True) - jnp.sum(products, -1, keepdims=True)

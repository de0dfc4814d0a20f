"""The flow of relevance through a network: sharing ratios between PFV maps, and what can be read from them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from math import prod
from operator import add
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from srd_jax.core import flow_files
from srd_jax.core.boxes import boxes_of, tiled_fields
from srd_jax.core.chunked import chunked
from srd_jax.core.edges import Edge
from srd_jax.core.head import Contrast, Head, HeadTable
from srd_jax.core.meshes import by_image
from srd_jax.core.targets import as_targets, check_targets
from srd_jax.errors import LayerError, TargetError
from srd_jax.messages import did_you_mean

__all__ = ["Account", "Flow", "Layer"]


@dataclass(frozen=True)
class Layer:
    """A PFV map.

    Attributes:
        name: the user's (`jax.ad_checkpoint.checkpoint_name`), else the scope of the step that made it.
        grid: extents of its positions, () for one PFV an image.
        channels: of one PFV.
        receptive_field: extent, in input positions along each axis of the input, that a PFV can depend on.
    """

    name: str
    grid: tuple[int, ...]
    channels: int
    receptive_field: tuple[int, ...]


class Account(NamedTuple):
    """Where logits went, (N,) or (N, K) each.

    Attributes:
        logit: of the class.
        heatmap: the sum of the map at the pixels.
        kept: by biases, and by PFVs that no pixel reaches.
        difference: logit - heatmap - kept.
    """

    logit: Float[Array, "n ..."]
    heatmap: Float[Array, "n ..."]
    kept: Float[Array, "n ..."]
    difference: Float[Array, "n ..."]


@partial(jax.tree_util.register_dataclass, data_fields=["edges", "head"], meta_fields=["layers", "live", "apart"])
@dataclass(frozen=True)
class Flow:
    """Sharing ratios of a batch of images, from the pixels to the encoder's output.

    A pytree: it can be returned from `jax.jit`, mapped, differentiated and sharded. Every array has the images on its
    first axis, and weights of the head an extent of 1 there. It is a value too: ``flow[2:4]`` takes images out of it,
    and it can be pickled, and saved to a file. Once it is there, one more map costs scalar work per position only.

    Attributes:
        layers: the PFV maps, the input first, each after those it is made of.
        edges: sharing ratios between them, in order of their later map.
        head: from the encoder's output to the logits.
        live: for each layer, which positions a pixel reaches (row-major), None for all of them. The others, such as
            windows that lie in padding, are constant.
        apart: for each layer, which positions are of no part of the image, as class tokens are; None for none of them.
            Empty where no layer has any.
    """

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]
    head: Head | HeadTable
    live: tuple[tuple[bool, ...] | None, ...]
    apart: tuple[tuple[bool, ...] | None, ...] = ()

    def __repr__(self) -> str:
        """A line that says what it is of."""
        n, classes = self.head.logits.shape
        ends = [f"{layer.name} {'x'.join(map(str, layer.grid))}x{layer.channels}" for layer in self.layers]
        return f"Flow({n} images, {classes} classes, {len(ends)} layers: {ends[0]} ... {ends[-1]})"

    def __len__(self) -> int:
        """How many images there are."""
        return int(self.head.logits.shape[0])

    def __getitem__(self, images: int | slice | Sequence[int]) -> "Flow":
        """The flow of some images, one of them included: ``flow[0]`` has a batch of one.

        Raises:
            IndexError: an image that does not exist, or none at all.
        """
        places = np.atleast_1d(np.arange(len(self))[images if isinstance(images, int | slice) else np.asarray(images)])
        if places.ndim != 1 or not places.size:
            raise IndexError(f"{images!r} takes no images out of a flow of {len(self)}")
        head = self.head if places.size <= len(self) else self.head.tabulated()
        edges, head = jax.tree.map(lambda a: a if a.shape[0] == 1 < len(self) else a[places], (self.edges, head))
        return replace(self, edges=edges, head=head)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Flow":
        """A copy with arrays of its own."""
        return jax.tree.map(jnp.copy, self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as it is saved: the head as the relevance of every class, without the function."""
        return Flow, (self.layers, self.edges, _tabulated(self.head), self.live, self.apart)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a .safetensors file: sharing ratios, logits, and the relevance of every class at the head.

        Args:
            path: of the file, which appears when it is complete.

        Raises:
            SRDError: it cannot be written there.
        """
        flow_files.save(replace(self, head=_tabulated(self.head)), Path(path))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Flow":
        """Read what `save` wrote. No code in the file is run.

        Args:
            path: of the file.

        Raises:
            DataError: it does not exist or is not such a file.
        """
        return flow_files.load(Path(path), Flow, Layer)

    def relevance(
        self,
        targets: ArrayLike | None = None,
        *,
        contrast: Contrast | None = "spatial",
    ) -> dict[str, Float[Array, "n ..."]]:
        """Relevance of classes at every PFV map: R_i = sum_j mu_{i->j} R_j.

        Args:
            targets: a class for all images, one for each (N,), or K for each (N, K); None for the predicted class.
            contrast: ``"spatial"`` (the authors') subtracts from the encoder's relevance its mean over positions,
                ``"class"`` its mean over all classes, None nothing: then the heatmap sums to the logit.

        Returns:
            {layer: (N, *grid)}, or (N, K, *grid) for (N, K) targets, at least float32. The heatmap is at the input,
            the first layer.

        Raises:
            TargetError: a class that does not exist, targets of another shape, or ``contrast="class"`` where there is
                one class. Where targets are traced and cannot be looked at, the map of such a class is NaN.
            ValueError: an unknown contrast.
        """
        return _compiled(_relevance_of, self, self._checked(targets, contrast), (contrast,))

    def kept_by_biases(
        self,
        targets: ArrayLike | None = None,
        *,
        contrast: Contrast | None = "spatial",
    ) -> dict[str, Float[Array, "n ..."]]:
        """Relevance that no earlier PFV receives: what biases keep with ``bias="none"``, R_j (1 - sum_i mu_{i->j}).

        Args:
            targets: as in `relevance`.
            contrast: as in `relevance`.

        Returns:
            {layer: (N, *grid)} or (N, K, *grid) for every layer but the input. Added to the heatmap's sum, it gives the
            sum of the encoder's relevance.
        """
        return _compiled(_kept_by, self, self._checked(targets, contrast), (contrast,))

    def account(self, targets: ArrayLike | None = None) -> Account:
        """Where the logit of a class went: to the pixels, or to constants that nothing passes it on.

        Biases and PFVs that no pixel reaches keep relevance with ``bias="none"`` only, else it is shared among what
        pixels bring. The difference is rounding, but with ``head="gradcam"``, whose maps are not normalised.

        Args:
            targets: as in `relevance`.

        Returns:
            `Account` of (N,) arrays, or (N, K) for (N, K) targets.

        Raises:
            TargetError: as in `relevance`.
        """
        return _compiled(_account_of, self, self._checked(targets, None))

    def erf(
        self,
        layer: str,
        positions: ArrayLike | Sequence[Sequence[int]] | None = None,
        *,
        direction: Literal["backward", "forward"] = "backward",
        chunk: int = 64,
    ) -> Float[Array, "n p ..."]:
        """Effective receptive fields: ERF_j = sum_i mu_{i->j} ERF_i, at pixel resolution. Each sums to 1.

        Args:
            layer: name of a PFV map.
            positions: (P, rank) grid positions, the same for all images; None for all of them, row-major.
            direction: ``"backward"`` propagates a seed at each position to the pixels, ``"forward"`` accumulates from
                the pixels and pays for every pixel; the results are equal.
            chunk: how many seeds are propagated at once, which bounds the memory. Where positions are divided among
                devices, a multiple of their number divides the work as well.

        Returns:
            (N, P, *input grid), float32 or wider.

        Raises:
            LayerError: an unknown layer, or a position outside its grid.
        """
        if direction not in ("backward", "forward"):
            raise ValueError(f'direction must be "backward" or "forward", not {direction!r}')
        index = self._index(layer)
        where = None if positions is None else _flat_positions(positions, layer, self.layers[index].grid)
        return _compiled(_erf_of, self, where, (index, direction, chunk))

    def _checked(self, targets: ArrayLike | None, contrast: Contrast | None) -> Array | None:
        if contrast not in (*get_args(Contrast), None):
            raise ValueError(f"contrast must be one of 'spatial', 'class', None, not {contrast!r}")
        if contrast == "class" and self.head.logits.shape[1] == 1:
            raise TargetError('contrast="class" compares classes, and there is one logit; take "spatial" or None')
        return None if targets is None else check_targets(targets, self.head.logits.shape)

    def _index(self, name: str) -> int:
        names = [layer.name for layer in self.layers]
        if not isinstance(name, str):
            raise LayerError(f"a PFV map is asked for by its name, such as {names[-1]!r}, not by {name!r}")
        if name not in names:
            raise LayerError(f"no PFV map is called {name!r}; {did_you_mean(name, names)}")
        return names.index(name)

    def _centred(self, seeds: dict[int, Array]) -> dict[int, Array]:
        """Relevance at the encoder's output less its mean over positions, from seeds at or after it."""
        encoder = dict(seeds)
        for edge in reversed(self.edges):
            if edge.target in encoder and prod(self.layers[edge.target].grid) == 1 and edge.target != 0:
                back = edge.transpose(encoder[edge.target])
                encoder[edge.source] = encoder[edge.source] + back if edge.source in encoder else back
        encoder = {index: r for index, r in encoder.items() if prod(self.layers[index].grid) > 1 or index == 0}
        for tokens in (False, True):
            masks = {index: self._contributors(index) * (self._tokens(index) == tokens) for index in encoder}
            count = sum(mask.sum() for mask in masks.values())
            if count:
                encoder = _less_mean(encoder, {index: mask / count for index, mask in masks.items()})
        return encoder

    def _tokens(self, index: int) -> np.ndarray:
        """Which positions of a layer are of no part of the image, as class tokens are: (*grid) bool."""
        grid, apart = self.layers[index].grid, self.apart[index] if self.apart else None
        return np.zeros(grid, bool) if apart is None else np.asarray(apart, bool).reshape(grid)

    def _contributors(self, index: int) -> np.ndarray:
        """1 at every position of a layer that takes part in the account, else 0: (*grid)."""
        grid, live = self.layers[index].grid, self.live[index]
        if live is None or not any(live) or not self.head.shares_constants:
            return np.ones(grid)
        return np.asarray(live, float).reshape(grid)

    def _backward(self, seeds: dict[int, Array]) -> list[Array | None]:
        """Propagate maps (N, P, *grid) from some layers to all that they are made of."""
        maps: list[Array | None] = [seeds.get(index) for index in range(len(self.layers))]
        for edge in reversed(self.edges):
            later, earlier = maps[edge.target], maps[edge.source]
            if later is not None:
                back = edge.transpose(later)
                maps[edge.source] = back if earlier is None else earlier + back
        return maps

    def _forward(self, pixels: Array, index: int) -> Array:
        """Propagate maps (N, P, *input grid) from the input to one layer."""
        maps: dict[int, Array] = {0: pixels}
        for edge in self.edges:
            if edge.target <= index and edge.source in maps:
                ahead = edge.apply(maps[edge.source])
                maps[edge.target] = ahead + maps[edge.target] if edge.target in maps else ahead
        return maps[index]


def _less_mean(maps: Mapping[int, Array], parts: Mapping[int, np.ndarray]) -> dict[int, Array]:
    """Maps (N, P, *grid) less what they hold together at some positions, which are given their parts of it."""
    wheres = {index: (part > 0).astype(maps[index].dtype) for index, part in parts.items()}
    total = reduce(add, [jnp.sum(r * wheres[index], tuple(range(2, r.ndim))) for index, r in maps.items()])
    return {
        index: r - total.reshape((*total.shape, *[1] * (r.ndim - 2))) * parts[index].astype(r.dtype)
        for index, r in maps.items()
    }


@jax.jit
def _tabulated(head: Head | HeadTable) -> HeadTable:
    return head.tabulated()


def _relevance_of(flow: Flow, targets: Array | None, contrast: Contrast | None) -> dict[str, Array]:
    each, single = as_targets(targets, flow.head.logits)
    seeds = flow.head.relevance(each, contrast)
    maps = flow._backward(flow._centred(seeds) if contrast == "spatial" else seeds)
    return {layer.name: m[:, 0] if single else m for layer, m in zip(flow.layers, maps, strict=True) if m is not None}


def _kept_by(flow: Flow, targets: Array | None, contrast: Contrast | None) -> dict[str, Array]:
    relevance = _relevance_of(flow, targets, contrast)
    totals: dict[int, Array] = {}
    for edge in flow.edges:
        reached = edge.apply(jnp.ones((flow.head.logits.shape[0], 1, *edge.grid), jnp.float32))
        totals[edge.target] = reached + totals[edge.target] if edge.target in totals else reached
    kept = {}
    for index, layer in enumerate(flow.layers):
        if index in totals and layer.name in relevance:
            r = relevance[layer.name]
            total = totals[index] if r.ndim == len(layer.grid) + 2 else totals[index][:, 0]
            kept[layer.name] = r * (1 - total)
    return kept


def _account_of(flow: Flow, targets: Array | None) -> Account:
    each, single = as_targets(targets, flow.head.logits)
    heat = _relevance_of(flow, each, None)[flow.layers[0].name]
    pixels = jnp.sum(heat, tuple(range(2, heat.ndim)))
    logit = jnp.take_along_axis(flow.head.logits, each, 1).astype(pixels.dtype)
    kept_by = _kept_by(flow, each, None).values()
    kept = sum((jnp.sum(r, tuple(range(2, r.ndim))) for r in kept_by), jnp.zeros_like(pixels))
    if flow.head.rule == "sharing":
        seeds = flow.head.relevance(each, None).values()
        kept = kept + logit - sum(jnp.sum(r, tuple(range(2, r.ndim))) for r in seeds)
    account = Account(logit, pixels, kept, logit - pixels - kept)
    return Account(*(part[:, 0] for part in account)) if single else account


def _erf_of(flow: Flow, where: Array | None, index: int, direction: str, chunk: int) -> Float[Array, "n p ..."]:
    grids = [layer.grid for layer in flow.layers]
    pixels, grid = grids[0], grids[index]
    n = flow.head.logits.shape[0]
    dtype = jnp.promote_types(flow.head.logits.dtype, jnp.float32)
    boxes = boxes_of(flow.edges, index, grids) if where is None and direction == "backward" else None
    if boxes is not None:
        return tiled_fields(flow.edges, boxes, index, grids, n, dtype)
    where = jnp.arange(prod(grid)) if where is None else where

    def seeds(places: Array, shape: tuple[int, ...]) -> Array:
        one_hot = jax.nn.one_hot(places, prod(shape), dtype=dtype).reshape((places.size, *shape))
        return jnp.broadcast_to(one_hot, (n, *one_hot.shape))

    def backward(places: Array) -> Array:
        maps = flow._backward({index: seeds(places, grid)})
        assert maps[0] is not None
        return maps[0]

    def forward(places: Array) -> Array:
        reached = flow._forward(seeds(places, pixels), index)
        return reached.reshape((n, places.size, -1))[..., where]

    if direction == "backward":
        return chunked(backward, where, chunk)
    columns = chunked(forward, jnp.arange(prod(pixels)), chunk)
    return jnp.swapaxes(columns, 1, 2).reshape((n, where.shape[0], *pixels))


@partial(jax.jit, static_argnums=(0, 3), keep_unused=True)
def _compiled(fn: Callable[..., Any], flow: Flow, data: Array | None, options: tuple[Any, ...] = ()) -> Any:
    """A function of a flow, compiled once for all flows of one shape and for one choice of options."""
    return by_image(lambda flow, data: fn(flow, data, *options), lambda flow, _: flow.head.logits)(flow, data)


def _flat_positions(positions: ArrayLike | Sequence[Sequence[int]], layer: str, grid: tuple[int, ...]) -> Array:
    """Positions as row-major indices (P,)."""
    places = jnp.asarray(positions)
    if places.ndim != 2 or places.shape[1] != len(grid) or not jnp.issubdtype(places.dtype, jnp.integer):
        raise LayerError(
            f"positions in {layer!r} must be integers of shape (P, {len(grid)}), one row for each; got {places.dtype} "
            f"of shape {places.shape}"
        )
    if not isinstance(places, jax.core.Tracer):
        outside = (np.asarray(places) < 0) | (np.asarray(places) >= np.asarray(grid))
        if outside.any():
            bad = tuple(int(i) for i in np.asarray(places)[outside.any(1)][0])
            raise LayerError(f"position {bad} is outside the grid {grid} of {layer!r} (positions count from 0)")
    return jnp.asarray(
        jnp.ravel_multi_index(tuple(places.T), grid, mode="clip") if grid else jnp.zeros(len(places), int)
    )

"""Transformations as compiled functions, which are kept: called again, they compile nothing."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

import jax
from jaxtyping import Array, Float

from srd_jax.core.chunked import in_parts
from srd_jax.core.head import Contrast, HeadRule
from srd_jax.core.interpretation import Interpretation
from srd_jax.core.interpreter import interpret
from srd_jax.core.meshes import by_image
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.squash import Squash
from srd_jax.core.tracing import refuse_random, trace

__all__ = ["Decomposed", "Model", "Options", "compiled", "compiled_map", "interpreted", "jitted", "kept"]

Model = Callable[[Any, Array], Array]
"""``f(variables, images) -> logits``: any pytree, (N, *grid, C), (N, classes)."""

Decomposed = Callable[[Callable[..., Any], "Options", Any, Array], tuple[Array, Any]]
"""``(tracer, options, variables, images) -> (logits, flow)``: what has ``relevance``, ``layers`` and ``head``."""

_KEPT = 32
"""Functions whose compiled forms are kept: a transformation that is made anew for every call finds its own again."""

F = TypeVar("F")


@dataclass(frozen=True)
class Options:
    """How a function is interpreted, as in `srd_jax.decompose`."""

    bias: Bias = "norm"
    head: HeadRule = "linear"
    relevance: Relevance = "pre"
    channel_axis: int = -1


def kept(make: Callable[..., F], f: Model, *options: Hashable) -> F:
    """``make(f, *options)``, made once where ``f`` can be told from other functions."""
    try:
        hash(f)
    except TypeError:
        return make(f, *options)
    return _make_once(make, f, *options)  # type: ignore[arg-type, return-value]


@lru_cache(_KEPT)
def _make_once(make: Callable[..., Any], f: Model, *options: Hashable) -> Any:
    return make(f, *options)


def jitted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of variables, images and more, compiled; its results are divided among devices as the images are."""
    return jax.jit(by_image(fn, lambda variables, images, *_: images))


def compiled(decomposed: Decomposed, f: Model, options: Options) -> Callable[..., Any]:
    """``(variables, images) -> (logits, flow)``."""
    return kept(_compiled, f, decomposed, options)


def compiled_map(
    decomposed: Decomposed, f: Model, options: Options, contrast: Contrast | None
) -> Callable[..., tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]]:
    """``(variables, images, targets) -> (maps, logits, squash)``; targets are a pytree, None among them."""
    return kept(_compiled_map, f, decomposed, options, contrast)


def interpreted(
    tracer: Callable[..., Any], options: Options, variables: Any, images: Array, *, recursion: bool = True
) -> Interpretation:
    """Trace a function and interpret it, with sharing ratios or without.

    Raises:
        ShapeError: its output is not (N, classes).
        UnsupportedPrimitiveError: a step that has no sharing rule, or random numbers.
    """
    program = trace(tracer, variables, images)
    refuse_random(program)
    return interpret(
        program,
        jax.tree.leaves(variables),
        images,
        options.channel_axis,
        options.bias,
        head=options.head,
        relevance=options.relevance,
        recursion=recursion,
    )


def _compiled(f: Model, decomposed: Decomposed, options: Options) -> Callable[..., Any]:
    return jitted(partial(decomposed, jax.make_jaxpr(f, return_shape=True), options))


def _compiled_map(
    f: Model, decomposed: Decomposed, options: Options, contrast: Contrast | None
) -> Callable[..., tuple[Array, Array, Squash]]:
    own = partial(decomposed, jax.make_jaxpr(f, return_shape=True), options)
    return jitted(partial(_explained, own, contrast, options.channel_axis))


def _explained(
    decomposed: Callable[..., Any],
    contrast: Contrast | None,
    channel_axis: int,
    variables: Any,
    images: Array,
    targets: Any = None,
) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
    def of_images(images: Array, targets: Any) -> tuple[Array, Array, Squash]:
        logits, flow = decomposed(variables, images)
        return flow.relevance(targets, contrast=contrast)[flow.layers[0].name], logits, flow.head.squash

    if not isinstance(images.shape[0], int):
        return _one_by_one(of_images, images, targets)
    if targets is None or targets.ndim > 0:
        return in_parts(of_images, images, targets, channel_axis)
    return in_parts(lambda images, _: of_images(images, targets), images, None, channel_axis)


def _one_by_one(fn: Callable[..., Any], images: Array, targets: Array | None) -> Any:
    """A function of images and targets whose number is a symbol, as in `jax.export`: of a batch of one, mapped."""
    own = targets is not None and targets.ndim > 0

    def of_one(image: Array, target: Array | None) -> Any:
        made = fn(image[None], target[None] if own and target is not None else target)
        return jax.tree.map(lambda x: x[0], made)

    return jax.vmap(of_one, in_axes=(0, 0 if own else None))(images, targets)

"""The transformations as compiled functions, which are kept: called again, they compile nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, get_args

import jax
from jaxtyping import Array, Float

from srd_jax.core.build_flow import build_flow
from srd_jax.core.flow import Flow
from srd_jax.core.head import Contrast, HeadKind
from srd_jax.core.interpreter import interpret
from srd_jax.core.meshes import by_image
from srd_jax.core.sharing import Bias, Relevance, Unit
from srd_jax.core.squash import Squash
from srd_jax.core.tracing import refuse_random, trace
from srd_jax.zrule.flow import ScalarFlow, scalar_flow

__all__ = ["Model", "Options", "compiled", "compiled_map"]

Model = Callable[[Any, Array], Array]
"""``f(variables, images) -> logits``: any pytree, (N, *grid, C), (N, classes)."""

_KEPT = 16
"""Functions whose compiled forms are kept: a transformation that is made anew for every call finds its own again."""


@dataclass(frozen=True)
class Options:
    """The options of `srd_jax.decompose`."""

    bias: Bias
    head: HeadKind
    relevance: Relevance
    unit: Unit
    recursion: bool
    channel_axis: int


def compiled(f: Model, options: Options) -> Callable[..., Any]:
    """``(variables, images) -> (logits, flow)``."""
    return _kept(f, options)[0]


def compiled_map(f: Model, options: Options, contrast: Contrast | None) -> Callable[..., Any]:
    """``(variables, images, targets) -> (heatmaps, logits, squash)``; targets are a pytree, None among them."""
    return _kept(f, options)[1](contrast)


def _kept(f: Model, options: Options) -> tuple[Callable[..., Any], Callable[[Contrast | None], Callable[..., Any]]]:
    try:
        hash(f)
    except TypeError:
        return _make(f, options)
    return _make_once(f, options)


def _make(f: Model, options: Options) -> tuple[Callable[..., Any], Callable[[Contrast | None], Callable[..., Any]]]:
    tracer = jax.make_jaxpr(f, return_shape=True)
    decomposed = partial(_decomposed, tracer, options)

    def jitted(fn: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(by_image(fn, lambda variables, images, *_: images))

    maps = {contrast: jitted(partial(_explained, decomposed, contrast)) for contrast in (None, *get_args(Contrast))}
    return jitted(decomposed), maps.__getitem__


_make_once = lru_cache(_KEPT)(_make)


def _decomposed(
    tracer: Callable[..., Any], options: Options, variables: Any, images: Array
) -> tuple[Float[Array, "n classes"], Flow | ScalarFlow]:
    program = trace(tracer, variables, images)
    refuse_random(program)
    alone = options.unit == "scalar" and options.recursion
    interpreter, env, logits = interpret(
        program,
        jax.tree.leaves(variables),
        images,
        options.channel_axis,
        options.bias,
        relevance=options.relevance,
        recursion=options.recursion and not alone,
    )
    flow = build_flow(interpreter, program, env, logits, options.head)
    if alone:
        return logits.array, scalar_flow(flow, interpreter, program, env, logits, options.relevance)
    return logits.array, flow


def _explained(
    decomposed: Callable[..., Any], contrast: Contrast | None, variables: Any, images: Array, targets: Any = None
) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
    if not isinstance(images.shape[0], int):
        return _one_by_one(partial(_explained, decomposed, contrast, variables), images, targets)
    logits, flow = decomposed(variables, images)
    return flow.relevance(targets, contrast=contrast)[flow.layers[0].name], logits, flow.head.squash


def _one_by_one(fn: Callable[..., Any], images: Array, targets: Array | None) -> Any:
    """A function of images and targets whose number is a symbol, as in `jax.export`: of a batch of one, mapped."""
    own = targets is not None and targets.ndim > 0

    def of_one(image: Array, target: Array | None) -> Any:
        made = fn(image[None], target[None] if own and target is not None else target)
        return jax.tree.map(lambda x: x[0], made)

    return jax.vmap(of_one, in_axes=(0, 0 if own else None))(images, targets)

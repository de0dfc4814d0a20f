"""A model cut in two at a PFV map: the map's values, and the function from them to the logits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.core import layout as lay
from srd_jax.core.activations import Activations
from srd_jax.core.build_flow import build_flow, layer_refs
from srd_jax.core.compiled import Model, Options, interpreted
from srd_jax.core.evaluate import evaluate, run
from srd_jax.core.interpretation import Interpretation
from srd_jax.core.layout import Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.rewriting import started
from srd_jax.core.targets import one_hot
from srd_jax.core.tracing import Equation, Operand, Ref, downstream, refuse_random, trace
from srd_jax.errors import LayerError, MethodError
from srd_jax.messages import did_you_mean

__all__ = ["Site", "site_of"]


@dataclass(frozen=True, eq=False)
class Site:
    """Where a model is cut.

    Attributes:
        f: the model on its variables: images to logits.
        images: (N, *input grid, C), or with another axis of channels.
        channel_axis: of the images.
        logits: (N, classes).
        values: v, (N, *grid, C) after the activation.
        rest: v to the logits.
    """

    f: Callable[[Array], Array]
    images: Array
    channel_axis: int
    logits: Float[Array, "n classes"]
    values: Float[Array, "n ..."]
    rest: Callable[[Array], Array]

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the map."""
        return self.values.shape[1:-1]

    @property
    def pixels(self) -> tuple[int, ...]:
        """The grid of the images."""
        return lay.grid(lay.of_images(self.images.shape, self.channel_axis))

    def gradients(self, each: Int[Array, "n k"]) -> Float[Array, "n k ..."]:
        """Gradients d y_c / d v: (N, K, *grid, C)."""
        logits, pull_back = jax.vjp(self.rest, self.values)
        found: Array = jax.vmap(lambda direction: pull_back(direction)[0], 1, 1)(one_hot(each, logits))
        return found

    def masked(self, masks: Float[Array, "n ..."]) -> Array:
        """The images times masks of their pixels, (N, *input grid)."""
        return self.images * jnp.expand_dims(masks, self.channel_axis % self.images.ndim)


def site_of(f: Model, variables: Any, images: Array, layer: str | None, channel_axis: int) -> Site:
    """Cut a model at a PFV map.

    A map that `jax.ad_checkpoint.checkpoint_name` named is found in any model that can be traced, its channels on the
    axis that the images have theirs on; others are found where the model can be decomposed.

    Args:
        f: ``f(variables, images) -> logits``.
        variables: its first argument.
        images: its second.
        layer: name of the map, None for the encoder's output.
        channel_axis: of the images.

    Raises:
        LayerError: an unknown layer.
        MethodError: no single map is where the encoder ends, or its positions do not lie as the images' do.
    """
    tracer = jax.make_jaxpr(f, return_shape=True)
    program = trace(tracer, variables, images)
    refuse_random(program)
    named = Activations(program).named(layer) if layer is not None else []
    known: Mapping[Ref, Any]
    if len(named) == 1 and len(shape := _shape(program.equations, named[0])) == images.ndim:
        (ref,) = named
        known = run(program.equations, started(program, variables, images))
        layout = lay.of_images(shape, channel_axis)
        logits = known[program.output] if isinstance(program.output, int) else jnp.asarray(program.output.value)
    else:
        interpretation = interpreted(tracer, Options(channel_axis=channel_axis), variables, images, recursion=False)
        program, known, logits = interpretation.program, interpretation.arrays, interpretation.logits.array
        ref = _encoder(interpretation) if layer is None else _named(interpretation, layer)
        layout = interpretation.layouts[ref]
    if len(lay.grid(layout)) != images.ndim - 2 or ref == program.image:
        name = layer or "the encoder's output"
        raise MethodError(f"{name} has no positions that lie as the images' do: name another map with layer=")
    values = lay.to_pfvs(known[ref], layout)
    rest = _rest(downstream(program.equations, [ref], program.output), known, program.output, ref, layout)
    return Site(lambda x: f(variables, x), images, channel_axis, logits, values, rest)


def _encoder(interpretation: Interpretation) -> Ref:
    """The value that the head starts from; of several functions of one map, the map after its activation."""
    ends = interpretation.encoder
    if len({source.node for source in ends}) != 1:
        raise MethodError(f"{len(ends)} maps together are where the encoder ends: name one with layer=")
    if len(ends) == 1:
        return ends[0].ref
    return _activated(interpretation, interpretation.nodes[ends[0].node].ref)


def _named(interpretation: Interpretation, layer: str) -> Ref:
    """A layer of the flow after its activation."""
    names = [each.name for each in build_flow(interpretation).layers]
    if layer not in names:
        raise LayerError(f"no PFV map is called {layer!r}; {did_you_mean(layer, names)}")
    return _activated(interpretation, layer_refs(interpretation)[names.index(layer)])


def _activated(interpretation: Interpretation, ref: Ref) -> Ref:
    return Activations(interpretation.program).of(ref) or ref


def _shape(equations: tuple[Equation, ...], ref: Ref) -> tuple[int, ...]:
    return next(tuple(e.out_shapes[e.results.index(ref)].shape) for e in equations if ref in e.results)


def _rest(
    equations: tuple[Equation, ...], known: Mapping[Ref, Any], output: Operand, ref: Ref, layout: Layout
) -> Callable[[Array], Array]:
    shape = lay.shape_of(layout)

    def rest(values: Array) -> Array:
        array = transposed(lambda x: lay.to_pfvs(x, layout), shape, values)
        logits: Array = evaluate(equations, {**known, ref: array.astype(known[ref].dtype)}, output)
        return logits

    return rest

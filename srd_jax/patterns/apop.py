"""Activation-pattern-only prediction: what a network says when all it knows of an image is which units were on.

Source: Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348, where the class survives in the pattern alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp
from jaxtyping import Array, Float

from srd_jax.core.activations import Activations
from srd_jax.core.build_flow import build_flow, layer_refs
from srd_jax.core.compiled import Model
from srd_jax.core.interpreter import interpret
from srd_jax.core.tracing import Operand, Program, Ref, bind, trace
from srd_jax.core.transforms import check_images
from srd_jax.errors import LayerError, ShapeError, UnsupportedPrimitiveError
from srd_jax.messages import did_you_mean
from srd_jax.patterns.frozen_pattern import run_held

__all__ = ["active_layers", "apop"]


def apop(f: Model, layer: str | None = None, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n classes"]]:
    """Make a function that returns the logits which the activation pattern of the images gives by itself.

    For one layer, its activation returns 1 where it was active on the image (where its pre-activation was positive,
    whatever the activation) and 0 elsewhere; the rest of the network runs as usual on that.

    For the whole network, every nonlinear step keeps the state that it had on the images, while ``probe`` runs through
    in their place. A piecewise-linear step stays on its piece, so that it is affine in the probe:

    - ``max(x, 0)``, a ReLU, becomes ``where(x_image > 0, x, 0)``: the probe's value where the unit was on, else 0;
    - a maximum or minimum with a constant, and a clip, give the constant where they gave it on the image (a ReLU6 is 6
      where it was saturated), else the probe's value; at a tie the constant;
    - ``abs`` keeps the sign, a selection (a leaky ReLU, a hard tanh) the side it took: every comparison and every
      integer is the image's;
    - the maximum of several values, and a max pool, takes the one that was the largest, the first of equals.

    A smooth saturating function has no pieces: its pattern is the sign of its argument on the image, and it returns its
    limit on that side: sigmoid 1 or 0, tanh and erf 1 or -1. So GELU and SiLU, a value times such a function, become
    ``where(x_image > 0, x, 0)`` too, softplus does, an arctan is half of pi or -pi, and an ELU gives its limit where it
    was off. Everything else (sums, convolutions, normalisation, products, softmax, a sine) runs on the probe as usual,
    with its biases. A primitive of one's own must say what it keeps, by `register_rule(..., pattern=)`.

    With the images themselves as probe, a piecewise-linear network gives its ordinary logits, exactly.

    Args:
        f: ``f(variables, images) -> logits``, in evaluation mode; need not have sharing rules.
        layer: name of a PFV map (`jax.ad_checkpoint.checkpoint_name`, else as in `Flow.layers`), None for the whole
            network.
        channel_axis: axis of ``images`` that holds the channels; axis 0 is the batch.

    Returns:
        ``predicted(variables, images, probe=None) -> logits`` (N, classes). ``probe`` has the shape of the images or
        broadcasts to it (a scalar, one image, a mean colour); it is required for the whole network and has no effect
        for one layer. Composes with `jax.jit`, `jax.vmap` and, with respect to the probe, `jax.grad`.

    Raises:
        ShapeError: raised by the returned function: images as in `decompose`, or no probe that broadcasts to them.
        LayerError: raised by the returned function: an unknown layer, or one whose activation cannot be told.
        UnsupportedPrimitiveError: raised by the returned function: a loop, a branch or a sort that depends on the
            images, whose state cannot be held.

    Source: Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348.
    """
    tracer = jax.make_jaxpr(f, return_shape=True)

    def predicted(variables: Any, images: Array, probe: Any = None) -> Float[Array, "n classes"]:
        images = check_images(images, channel_axis)
        program = trace(tracer, variables, images)
        leaves = jax.tree.leaves(variables)
        if layer is not None:
            return _with_pattern(program, leaves, images, *_site(program, layer, leaves, images, channel_axis))
        return run_held(program, leaves, images, _as_probe(probe, images))

    return predicted


def active_layers(
    f: Model, names: Sequence[str], variables: Any, images: Any, *, channel_axis: int = -1
) -> tuple[str, ...]:
    """Those of a model's layers whose activation can be told, by tracing alone; a block's linear output has none.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.decompose`.
        names: of PFV maps that there are.
        variables: pytree of arrays, or of their shapes and dtypes.
        images: (N, *grid, C), or its shape and dtype.
        channel_axis: axis of ``images`` that holds the channels.

    Raises:
        LayerError: there is no such layer.
    """
    program = trace(jax.make_jaxpr(f, return_shape=True), variables, images)
    leaves = jax.tree.leaves(variables)
    return tuple(name for name in names if _found(program, name, leaves, images, channel_axis)[0] is not None)


def _as_probe(probe: Any, images: Array) -> Array:
    if probe is None:
        raise ShapeError("the pattern of the whole network needs a probe to run through it, such as zeros or ones")
    probe = jnp.asarray(probe, images.dtype)
    try:
        return jnp.broadcast_to(probe, images.shape)
    except ValueError as error:
        raise ShapeError(f"a probe of shape {probe.shape} does not broadcast to the images' {images.shape}") from error


def _with_pattern(
    program: Program, leaves: Sequence[Any], images: Array, before: Ref, after: Ref
) -> Float[Array, "n classes"]:
    """Run a program with an activation's output replaced by where its input is positive."""
    env: dict[Ref, Any] = dict(program.constants)
    env.update(zip(program.arguments, [*leaves, images], strict=True))

    def read(operand: Operand) -> Any:
        return env[operand] if isinstance(operand, int) else operand.value

    for equation in program.equations:
        for ref, result in zip(equation.results, bind(equation, *map(read, equation.operands)), strict=True):
            env[ref] = (env[before] > 0).astype(result.dtype) if ref == after else result
    return read(program.output)


def _site(program: Program, layer: str, leaves: Sequence[Any], images: Array, channel_axis: int) -> tuple[Ref, Ref]:
    """The values before and after a layer's activation.

    Raises:
        LayerError: there is no such layer, or it has no activation that can be told.
    """
    before, after = _found(program, layer, leaves, images, channel_axis)
    if before is None:
        raise LayerError(
            f"the activation of {layer!r} cannot be told: it is neither made by elementwise steps from one value nor "
            "read by such steps alone. Give the activation's output a name with jax.ad_checkpoint.checkpoint_name"
        )
    return before, after


def _found(
    program: Program, layer: str, leaves: Sequence[Any], images: Array, channel_axis: int
) -> tuple[Ref | None, Ref]:
    """The values before and after a layer's activation, None and its own where that cannot be told.

    Raises:
        LayerError: there is no such layer.
    """
    activations = Activations(program)
    named = activations.named(layer)
    places = {layer: named[0]} if len(named) == 1 else _layers(program, leaves, images, channel_axis)
    if layer not in places:
        raise LayerError(f"no PFV map is called {layer!r}; {did_you_mean(layer, list(places))}")
    value = activations.source(places[layer])
    before, after = activations.before(value), value
    if before is None:
        ahead = activations.after(value)
        before, after = (None, value) if ahead is None else (activations.before(ahead), ahead)
    return before, after


def _layers(program: Program, leaves: Sequence[Any], images: Array, channel_axis: int) -> dict[str, Ref]:
    """The value of every layer by its name in the flow; of a model without sharing rules, the names it gives itself."""
    found: dict[str, Ref] = {}

    def outline(leaves: Sequence[Any], images: Array) -> Array:
        interpretation = interpret(program, leaves, images, channel_axis, recursion=False)
        names = (layer.name for layer in build_flow(interpretation).layers)
        found.update(zip(names, layer_refs(interpretation), strict=True))
        return interpretation.logits.array

    try:
        jax.eval_shape(outline, leaves, images)
    except UnsupportedPrimitiveError:
        named = (e for e in program.equations if e.primitive is jp.name_p)
        return {e.params["name"]: e.results[0] for e in reversed(list(named))}
    return found

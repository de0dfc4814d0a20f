"""The gradient at the pixels and at every bias, each as a map."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce as fold
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.core import layout as lay
from srd_jax.core.compiled import Model, Options, interpreted, jitted, kept
from srd_jax.core.evaluate import evaluate
from srd_jax.core.registry import facts_of
from srd_jax.core.rewriting import started
from srd_jax.core.squash import Squash
from srd_jax.core.targets import as_targets, one_hot
from srd_jax.core.tracing import Equation, Program, Ref, bind
from srd_jax.core.transforms import checked

__all__ = ["fullgrad"]


def fullgrad(f: Model, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns FullGrad: psi(x d y_c / d x) + sum_l sum_k psi(b_lk d y_c / d z_lk).

    psi takes the magnitude, stretches it to [0, 1] and enlarges it bilinearly to the pixels. Without psi the parts add
    up to the logit, for networks whose activations are piecewise linear. Biases are found in the traced program:
    constants that are added to what depends on the image. Those of one layer, such as a batch norm's mean and shift,
    are one.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.

    Raises:
        SRDError: raised by the returned function: images, targets or logits that cannot be explained, or a step of
            which it is not known what it does.

    Source: Srinivas, Fleuret, NeurIPS 2019, arXiv 1905.00780.
    """
    return checked(lambda f: kept(_compiled, f, channel_axis), f, channel_axis)


def _compiled(f: Model, channel_axis: int) -> Callable[..., Any]:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        tracer = jax.make_jaxpr(f, return_shape=True)
        interpretation = interpreted(tracer, Options(channel_axis=channel_axis), variables, images, recursion=False)
        program, values, layouts = interpretation.program, interpretation.arrays, interpretation.layouts
        axes = images.ndim - 2
        layers = [layer for layer in _layers(program) if len(lay.grid(layouts[layer[0]])) == axes]
        places = [ref for layer in layers for ref in layer]
        own = lay.of_images(images.shape, channel_axis)

        def logits_of(images: Array, added: Sequence[Array]) -> Array:
            extra = dict(zip(places, added, strict=True))
            steps = {e.results[0]: _plus(e, extra[e.results[0]]) for e in program.equations if e.results[0] in extra}
            known = started(program, variables, images)
            logits: Array = evaluate(program.equations, known, program.output, steps)
            return logits

        zeros = [jnp.zeros_like(values[ref]) for ref in places]
        logits, pull_back = jax.vjp(logits_of, images, zeros)
        each, single = as_targets(targets, logits)
        biases = {ref: _constant(program, values, ref) for ref in places}

        def one(direction: Array) -> Array:
            at_pixels, at_places = pull_back(direction)
            gradients = dict(zip(places, at_places, strict=True))
            total = jnp.sum(_stretched(lay.to_pfvs(images * at_pixels, own)), -1)
            for layer in layers:
                part = fold(add, [biases[ref] * gradients[ref] for ref in layer])
                seen = jnp.sum(_stretched(lay.to_pfvs(part, layouts[layer[0]])), -1)
                total = total + jax.image.resize(seen, total.shape, "linear")
            return total

        maps = jax.vmap(one, 1, 1)(one_hot(each, logits))
        return maps[:, 0] if single else maps, logits, Squash()

    return jitted(maps_of)


def _layers(program: Program) -> list[list[Ref]]:
    """The results of steps that add a bias, those of one layer together: only scales lie between them."""
    layer_of: dict[Ref, int] = {}
    layers: list[list[Ref]] = []
    for equation in program.equations:
        moving = [o for o in equation.operands if isinstance(o, int) and o in program.from_image]
        facts = facts_of(equation.primitive)
        if len(moving) != 1 or facts is None or facts.action not in ("sum", "scale", "identity"):
            continue
        (own,) = moving
        result = equation.results[0]
        if facts.action == "sum":
            layer_of[result] = layer_of.get(own, len(layers))
            if layer_of[result] == len(layers):
                layers.append([])
            layers[layer_of[result]].append(result)
        elif own in layer_of:
            layer_of[result] = layer_of[own]
    return layers


def _constant(program: Program, values: Mapping[Ref, Any], ref: Ref) -> Array:
    """What a step adds."""
    equation = next(e for e in program.equations if ref in e.results)
    own = [values[o] if isinstance(o, int) else o.value for o in equation.operands]
    moving = [isinstance(o, int) and o in program.from_image for o in equation.operands]
    added: Array = bind(equation, *(jnp.zeros_like(x) if m else x for x, m in zip(own, moving, strict=True)))[0]
    return added


def _plus(equation: Equation, extra: Array) -> Callable[..., list[Any]]:
    return lambda *operands: [bind(equation, *operands)[0] + extra]


def _stretched(x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Magnitudes between 0 and 1 in every image."""
    sizes = jnp.abs(x)
    own = tuple(range(1, x.ndim))
    low, high = jnp.min(sizes, own, keepdims=True), jnp.max(sizes, own, keepdims=True)
    return (sizes - low) / jnp.where(high > low, high - low, 1)

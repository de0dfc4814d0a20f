"""What the methods of layer-wise relevance propagation share: from the logits to the pixels by a composite."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.core.compiled import Model, Options, interpreted, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import Aimed, as_targets, one_hot
from srd_jax.core.transforms import checked, one_of
from srd_jax.core.values import Map, Sum
from srd_jax.zrule.layerwise import Composite, Layerwise

__all__ = ["by_lrp"]


def by_lrp(
    composite: Callable[[], Composite], f: Model, *, reduce: Reduce | None, channel_axis: int
) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method from its rules.

    Relevance starts from 1 at the class, so that a map does not turn over with the sign of a logit; for a target that
    is a function of the logits, from its derivatives by these.

    Args:
        composite: makes the rules; hashed by what it is.
        f: ``f(variables, images) -> logits``.
        reduce: how the channels of a pixel become one number, None for every channel by itself.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown ``reduce``.
    """
    one_of("reduce", reduce, ("max", "sum", None))
    return checked(lambda f: kept(_compiled, f, composite, reduce, channel_axis), f, channel_axis)


def _compiled(f: Model, composite: Callable[[], Composite], reduce: Reduce | None, channel_axis: int) -> Any:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        aimed = f if isinstance(f, Aimed) and _makes_logits(f, variables, images) else None
        tracer = jax.make_jaxpr(f if aimed is None else aimed.f, return_shape=True)
        options = Options(channel_axis=channel_axis)
        interpretation = interpreted(tracer, options, variables, images, recursion=False)
        program, env = interpretation.program, interpretation.values
        logits, seeds = interpretation.logits.array, lambda each: one_hot(each, interpretation.logits.array)
        if aimed is not None:
            inner = logits
            logits, pull_back = jax.vjp(lambda y: Aimed(lambda _, y: y, aimed.target)(None, y), inner)
            seeds = lambda each: jax.vmap(lambda u: pull_back(u)[0], 1, 1)(one_hot(each, logits))  # noqa: E731
        each, single = as_targets(targets, logits)
        neurons = Layerwise(
            program,
            {ref: x.array if isinstance(x, Map | Sum) else x for ref, x in env.items()},
            {ref: x.layout for ref, x in env.items() if isinstance(x, Map | Sum)},
            "none",
            "pre",
            frozenset({node.ref for node in interpretation.nodes} | {source.ref for source in interpretation.encoder}),
            composite=composite(),
        )

        def one(seed: Array) -> Array:
            assert isinstance(program.output, int)
            relevance = neurons.back({program.output: seed})
            found = relevance.get(program.image, jnp.zeros(images.shape, seed.dtype))
            axis = channel_axis % images.ndim
            if reduce is None:
                return found
            return jnp.max(jnp.abs(found), axis) if reduce == "max" else jnp.sum(found, axis)

        every = jnp.moveaxis(seeds(each), 1, 0)
        # a loop of one turn would cost XLA's quick convolutions
        maps = jnp.moveaxis(one(every[0])[None] if len(every) == 1 else lax.map(one, every), 0, 1)
        return maps[:, 0] if single else maps, logits, Squash()

    return jitted(maps_of)


def _makes_logits(f: Aimed, variables: Any, images: Array) -> bool:
    """Whether the model behind a target has logits of its own, (N, classes)."""
    return getattr(jax.eval_shape(f.f, variables, images), "ndim", 0) == 2

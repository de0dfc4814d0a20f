"""What the methods of layer-wise relevance propagation share: from the logits to the pixels by a composite."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce, check_reduce, reduced
from srd_jax.core.compiled import Model, Options, interpreted, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import Aimed, as_targets, one_hot
from srd_jax.core.transforms import checked
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
    check_reduce(reduce)
    return checked(lambda f: kept(_compiled, f, composite, reduce, channel_axis), f, channel_axis)


def _compiled(f: Model, composite: Callable[[], Composite], reduce: Reduce | None, channel_axis: int) -> Any:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        aimed = f if isinstance(f, Aimed) and _makes_logits(f, variables, images) else None
        tracer = jax.make_jaxpr(f if aimed is None else aimed.f, return_shape=True)
        options = Options(channel_axis=channel_axis)
        interpretation = interpreted(tracer, options, variables, images, recursion=False)
        program, inner = interpretation.program, interpretation.logits.array
        aim = (lambda y: y) if aimed is None else partial(Aimed(lambda _, y: y, aimed.target), None)
        logits, pull_back = jax.vjp(aim, inner)
        each, single = as_targets(targets, logits)
        neurons = Layerwise(
            program,
            interpretation.arrays,
            interpretation.layouts,
            "none",
            "pre",
            frozenset({node.ref for node in interpretation.nodes} | {end.ref for end in interpretation.encoder}),
            composite=composite(),
        )

        def one(seed: Array) -> Array:
            assert isinstance(program.output, int)
            relevance = neurons.back({program.output: seed})
            found = relevance.get(program.image, jnp.zeros(images.shape, seed.dtype))
            return reduced(found, reduce, channel_axis % images.ndim)

        every = jax.vmap(lambda direction: pull_back(direction)[0], 1)(one_hot(each, logits))
        # a loop of one turn would cost XLA's quick convolutions
        maps = jnp.moveaxis(one(every[0])[None] if len(every) == 1 else lax.map(one, every), 0, 1)
        return maps[:, 0] if single else maps, logits, Squash()

    return jitted(maps_of)


def _makes_logits(f: Aimed, variables: Any, images: Array) -> bool:
    """Whether the model behind a target has logits of its own, (N, classes)."""
    return getattr(jax.eval_shape(f.f, variables, images), "ndim", 0) == 2

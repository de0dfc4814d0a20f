"""Gradients with another rule at every ReLU, which the traced program is run with; the model stays as it is."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model
from srd_jax.core.rewriting import Instead, Rewritten, relus
from srd_jax.core.tracing import Program
from srd_jax.errors import MethodError

__all__ = ["at_relus", "by_relu"]


def by_relu(
    change: Callable[[Program], Instead], f: Model, *, reduce: Reduce | None, channel_axis: int
) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method that is a gradient whose ReLUs pull back in another way.

    Args:
        change: from `at_relus`, as a function that can be told from others.
        f: ``f(variables, images) -> logits``.
        reduce: how the channels of a pixel become one number, None for every channel by itself.
        channel_axis: axis of ``images`` that holds the channels.
    """
    return by_pixel(_gradient, f, reduce=reduce, channel_axis=channel_axis, of=partial(_rewritten, change))


def at_relus(program: Program, method: str, pull_back: Callable[[Array, Array], Array]) -> Instead:
    """ReLUs whose derivative is another one.

    Args:
        program: of the model.
        method: what to call the method in an error.
        pull_back: ``(x, gradient after) -> gradient before``.

    Raises:
        MethodError: there is no ReLU.
    """
    rectifiers = relus(program)
    if not rectifiers:
        raise MethodError(f"{method} is a rule for ReLUs, max(x, 0), and this model has none: choose another method")

    @jax.custom_vjp
    def relu(x: Array) -> Array:
        return jnp.maximum(x, 0)

    relu.defvjp(lambda x: (relu(x), x), lambda x, gradient: (pull_back(x, gradient),))
    shapes = {e.results[0]: e.out_shapes[0] for e in program.equations}

    def instead(ref: int, place: int, cap: float | None) -> Callable[..., list[Array]]:
        def step(*operands: Array) -> list[Array]:
            y = relu(operands[place])
            y = y if cap is None else jnp.minimum(y, jnp.asarray(cap, y.dtype))
            return [jnp.broadcast_to(y, shapes[ref].shape).astype(shapes[ref].dtype)]

        return step

    return {ref: instead(ref, *rectifier) for ref, rectifier in rectifiers.items()}


def _rewritten(change: Callable[[Program], Instead], f: Model) -> Model:
    return Rewritten(f, change)


def _gradient(gradients: Gradients, images: Array) -> Array:
    return gradients(images)

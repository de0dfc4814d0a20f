"""Writings by means of JAX's transformations, activations in other words, and names."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import Network, Part, Weights, block, no_block, no_pool, relu, strided_stem

NETWORK = Network()
SHORT = Network(stem=strided_stem, pool=no_pool, block=no_block)


@jax.custom_jvp
def relu_with_a_rule(x: Array) -> Array:
    return jnp.maximum(x, 0)


@relu_with_a_rule.defjvp
def _rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return relu_with_a_rule(*primals), jnp.where(primals[0] > 0, tangents[0], 0)


@jax.custom_vjp
def relu_with_a_pullback(x: Array) -> Array:
    return jnp.maximum(x, 0)


relu_with_a_pullback.defvjp(
    lambda x: (relu_with_a_pullback(x), x > 0), lambda positive, g: (jnp.where(positive, g, 0),)
)


def unrolled(w: Weights, x: Array) -> Array:
    """A loop that JAX unrolls while tracing."""
    for _ in range(1):
        x = block(w, x)
    return x


def one_image(w: Weights, image: Array) -> Array:
    return NETWORK(w, image[None])[0]


def scanned(w: Weights, x: Array) -> Array:
    return lax.scan(lambda carry, _: (block(w, carry), None), x, None, 1)[0]


WHOLE = {
    "vmap of one image": jax.vmap(one_image, (None, 0)),
    "loop over images": lambda w, x: lax.map(partial(one_image, w), x),
    "jit of the block": Network(block=jax.jit(block)),
    "remat of the block": Network(block=jax.checkpoint(block)),
    "scan": Network(block=scanned),
    "branch on a constant": Network(block=lambda w, x: lax.cond(True, block, lambda w, x: x, w, x)),
    "barrier": Network(block=lambda w, x: block(*lax.optimization_barrier((w, x)))),
    "casts to the same type": Network(block=lambda w, x: block(w, x.astype(jnp.float64)).astype(x.dtype)),
    "named activations": Network(
        act=lambda w, x: checkpoint_name(relu(w, x), "first"),
        last_act=lambda w, x: checkpoint_name(relu(w, x), "encoder"),
    ),
}  # fmt: skip

ACTIVATIONS: dict[str, Part] = {
    "jnp.maximum": lambda _, x: jnp.maximum(x, 0),
    "jnp.where": lambda _, x: jnp.where(x > 0, x, 0),
    "times its step": lambda _, x: x * (x > 0),
    "half of it and its size": lambda _, x: (x + jnp.abs(x)) / 2,
    "minus the smaller": lambda _, x: x - jnp.minimum(x, 0),
    "custom_jvp": lambda _, x: relu_with_a_rule(x),
    "custom_vjp": lambda _, x: relu_with_a_pullback(x),
}


def activated(act: Part) -> Network:
    return Network(stem=strided_stem, act=act, pool=no_pool, block=no_block)


FAMILIES = (
    Family("transformation", NETWORK, WHOLE),
    Family("activation", SHORT, {name: activated(act) for name, act in ACTIVATIONS.items()}),
)

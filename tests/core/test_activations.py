"""Where activations begin and end: which value goes in and which comes out."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from srd_jax.core.activations import Activations
from srd_jax.core.tracing import trace

X = jnp.ones((2, 3, 4, 5))


def program(activation):
    def f(weights, x):
        return (checkpoint_name(activation(checkpoint_name(x @ weights, "in")), "out") * 2).mean((1, 2))

    return trace(jax.make_jaxpr(f, return_shape=True), jnp.ones((5, 4)), X)


def two_limits(x):
    return jnp.minimum(jnp.maximum(x, 0), 6)


@pytest.mark.parametrize(
    "activation",
    [
        jax.nn.relu,
        jax.nn.silu,
        jax.nn.gelu,
        jax.nn.hard_tanh,
        jnp.sin,
        jnp.cbrt,
        lambda x: jnp.minimum(jnp.maximum(x, 0), 6),
        lambda x: jax.nn.relu(lax.optimization_barrier((jnp.ones(3), x))[1]),
    ],
    ids=["relu", "silu", "gelu", "hard tanh", "sin", "cbrt", "two limits", "behind a barrier"],
)
def test_one_value_goes_in_and_one_comes_out(activation):
    found = Activations(program(activation))
    (inside,), (outside,) = found.named("in"), found.named("out")
    before = found.before(found.source(outside))
    assert before is not None
    assert found.source(before) == found.source(inside)
    after = found.of(inside)
    assert after is not None
    assert found.source(outside) == found.source(after)


def test_a_linear_step_is_none():
    found = Activations(program(lambda x: 3 * x + 1))
    (inside,) = found.named("in")
    assert found.after(inside) is None
    assert found.of(inside) is None

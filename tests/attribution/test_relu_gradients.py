"""ReLUs are found however they are written, and pull back by another rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.attribution.deconvolution import deconvolution
from srd_jax.attribution.guided_backprop import guided_backprop
from srd_jax.attribution.input_x_gradient import input_x_gradient
from srd_jax.core.rewriting import relus
from srd_jax.core.tracing import trace

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))
FIRST, SECOND = jax.random.normal(jax.random.key(1), (3, 6)), jax.random.normal(jax.random.key(2), (6, 4))
WRITINGS = {
    "jax.nn": jax.nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum of zero": lambda x: jnp.maximum(0.0, x),
    "lax.max": lambda x: lax.max(x, jnp.zeros_like(x)),
    "where x > 0": lambda x: jnp.where(x > 0, x, 0.0),
    "where x <= 0": lambda x: jnp.where(x <= 0, 0.0, x),
    "where x >= 0": lambda x: jnp.where(x >= 0, x, jnp.zeros_like(x)),
    "jit": jax.jit(jax.nn.relu),
}


def network(activation):
    return lambda _, x: activation(activation(x @ FIRST) @ SECOND).mean((1, 2))


def by_hand(rule):
    """The gradient of class 1 by the definition."""
    first = np.asarray(IMAGES) @ np.asarray(FIRST)
    second = np.maximum(first, 0) @ np.asarray(SECOND)
    ahead = np.zeros_like(second)
    ahead[..., 1] = 1 / 12
    return rule(first, rule(second, ahead) @ np.asarray(SECOND).T) @ np.asarray(FIRST).T


RULES = {
    guided_backprop: lambda x, g: np.where(x > 0, np.maximum(g, 0), 0),
    deconvolution: lambda x, g: np.maximum(g, 0),
}


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("activation", WRITINGS.values(), ids=WRITINGS)
def test_every_writing_is_the_definition(activation, method):
    heat = method(network(activation), reduce=None)((), IMAGES, 1)
    np.testing.assert_allclose(heat, by_hand(RULES[method]), atol=1e-6)


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize(
    "activation",
    [lambda x: jax.nn.relu6(3 * x) / 3, lambda x: jnp.clip(x, 0, 2), lambda x: jnp.minimum(jnp.maximum(x, 0), 2),
     lambda x: lax.clamp(0.0, x, 2.0)],
)  # fmt: skip
def test_a_cap_passes_nothing_back_above_it(activation, method):
    def capped(x, g):
        return np.where(x < 2, RULES[method](x, g), 0)

    heat = method(lambda _, x: activation(x @ FIRST).mean((1, 2)), reduce=None)((), IMAGES, 1)
    first = np.asarray(IMAGES) @ np.asarray(FIRST)
    ahead = np.zeros_like(first)
    ahead[..., 1] = 1 / 12
    np.testing.assert_allclose(heat, capped(first, ahead) @ np.asarray(FIRST).T, atol=1e-6)


def test_relus_are_told_from_what_looks_like_them():
    others = {
        "leaky": jax.nn.leaky_relu,
        "maximum of one": lambda x: jnp.maximum(x, 1),
        "where x > 0 else 1": lambda x: jnp.where(x > 0, x, 1.0),
        "where x < 0": lambda x: jnp.where(x < 0, x, 0.0),
        "of another value": lambda x: jnp.where(x[..., ::-1] > 0, x, 0.0),
    }
    for name, activation in others.items():
        program = trace(jax.make_jaxpr(network(activation), return_shape=True), (), IMAGES)
        assert not relus(program), name
        with pytest.raises(srd.MethodError, match="guided backpropagation is a rule for ReLUs"):
            guided_backprop(network(activation))((), IMAGES, 1)


def test_one_result_may_be_broadcast_and_cast():
    def f(_, x):
        return jax.nn.relu(x.astype(jnp.bfloat16)).astype(jnp.float32).mean((1, 2))

    heat = guided_backprop(f, reduce="sum")((), IMAGES, 1)
    expected = input_x_gradient(f, reduce="sum")((), jnp.ones_like(IMAGES), 1)
    np.testing.assert_allclose(heat, jnp.where(IMAGES[..., 1] > 0, expected, 0), rtol=1e-2)

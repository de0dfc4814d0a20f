"""Softened models are smooth, one program for every sharpness, and in the limit the models themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution.deconvolution import deconvolution
from srd_jax.attribution.guided_backprop import guided_backprop
from srd_jax.attribution.saliency import saliency
from srd_jax.core.softened import Softened, capped, softplus, softplus_slope

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))
FIRST, SECOND = jax.random.normal(jax.random.key(1), (3, 6)), jax.random.normal(jax.random.key(2), (6, 4))
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "relu6": lambda x: jax.nn.relu6(4 * x) / 4,
    "clip": lambda x: jnp.clip(x, 0, 1.5),
    "where": lambda x: jnp.where(x > 0, x, 0.0),
}


def network(activation):
    return lambda scale, x: activation(scale * activation(x @ FIRST) @ SECOND).mean((1, 2))


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_it_becomes_the_model_as_it_grows_sharper(activation):
    f, scale = network(activation), jnp.float32(0.7)
    soft = jax.jit(Softened(f))
    off = [np.abs(soft((scale, jnp.float32(sharpness)), IMAGES) - f(scale, IMAGES)).max() for sharpness in (1, 10, 100)]
    assert off[0] > 5 * off[1] > 25 * off[2]
    assert off[2] < 10 * np.log(2) / 100
    assert soft._cache_size() == 1


@pytest.mark.parametrize("cap", [None, 1.5])
def test_softplus_is_the_activation_but_for_its_corners(cap):
    x = jnp.linspace(-3, 4, 200)
    y = capped(softplus(x, jnp.float32(20)), cap, jnp.float32(20))
    assert np.all(np.diff(y) >= 0)
    assert np.abs(y - jnp.clip(x, 0, cap)).max() <= np.log(2) / 20 + 1e-6
    slope = jax.vmap(jax.grad(softplus), (0, None))(x, jnp.float32(20))
    np.testing.assert_allclose(softplus_slope(x, jnp.float32(20)), slope, atol=1e-6)


def second_derivative(method, f, variables):
    return jax.jit(jax.grad(lambda x: (method(f)(variables, x, 1) ** 2).sum()))(IMAGES)


@pytest.mark.parametrize("method", [saliency, guided_backprop])
def test_maps_made_of_gradients_have_derivatives(method):
    f, scale = network(jax.nn.relu), jnp.float32(0.7)
    assert not np.any(second_derivative(method, f, scale))
    assert np.all(np.abs(second_derivative(method, Softened(f), (scale, jnp.float32(5)))).max((1, 2, 3)) > 1e-6)


RULES = {guided_backprop: lambda slope, g: slope * np.maximum(g, 0), deconvolution: lambda slope, g: np.maximum(g, 0)}


@pytest.mark.parametrize("method", RULES)
def test_rules_at_relus_take_the_slope_of_the_softplus(method):
    beta, rule = 3.0, RULES[method]
    first = np.asarray(IMAGES @ FIRST)
    second = np.asarray(softplus(first, beta) @ SECOND)
    slopes = [1 / (1 + np.exp(-beta * x)) for x in (first, second)]
    ahead = np.zeros_like(second)
    ahead[..., 1] = 1 / 12
    expected = rule(slopes[0], rule(slopes[1], ahead) @ SECOND.T) @ FIRST.T
    heat = method(Softened(network(jax.nn.relu)), reduce=None)((jnp.float32(1), jnp.float32(beta)), IMAGES, 1)
    np.testing.assert_allclose(heat, expected, atol=1e-6)

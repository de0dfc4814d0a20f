"""What is held fixed is the same to everybody but to sharing ratios."""

import jax
import jax.numpy as jnp
import numpy as np

import srd_jax as srd

X = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 2))


def test_values_and_derivatives_stay():
    def f(x, hold):
        return (x * hold(jnp.tanh(x))).sum()

    assert f(X, srd.hold) == f(X, lambda x: x)
    np.testing.assert_array_equal(jax.grad(f)(X, srd.hold), jax.grad(f)(X, lambda x: x))
    assert srd.hold({"a": 1.5})["a"] == 1.5


def test_no_relevance_goes_through_it():
    """A shifted copy that is held leaves the whole product to the other factor."""

    def f(weights, x):
        return (x[:, 1:] * srd.hold(x[:, :-1])).mean((1, 2)) @ weights

    logits, flow = srd.decompose(f)(WEIGHTS, X)
    heat = flow.relevance(1, contrast=None)["input"]
    expected = (X[:, 1:] * X[:, :-1]) @ WEIGHTS[:, 1] / 16
    np.testing.assert_allclose(heat[:, 1:], expected, atol=1e-6)
    np.testing.assert_allclose(heat[:, 0], 0, atol=1e-7)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-6)

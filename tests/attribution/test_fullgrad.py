"""FullGrad against its definition in NumPy, and its account without psi."""

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.attribution.fullgrad import _constant, _layers, fullgrad
from srd_jax.core.evaluate import run
from srd_jax.core.rewriting import started
from srd_jax.core.tracing import trace

KEYS = jax.random.split(jax.random.key(0), 6)
IMAGES = jax.random.normal(KEYS[0], (2, 4, 6, 3))
W1, B1, MEAN, W2, B2 = (
    jax.random.normal(key, shape) for key, shape in zip(KEYS[1:], ((3, 5), (5,), (5,), (5, 3), (3,)), strict=True)
)


def f(_, x):
    """Position-wise, with a batch norm by hand between."""
    z = (x @ W1 - MEAN) * 0.5 + B1
    return (jnp.maximum(z, 0) @ W2 + B2).mean((1, 2))


def stretched(x):
    sizes = np.abs(x)
    own = tuple(range(1, x.ndim))
    low, high = sizes.min(own, keepdims=True), sizes.max(own, keepdims=True)
    return (sizes - low) / np.where(high > low, high - low, 1)


def test_it_is_the_definition():
    x, w1, w2 = np.asarray(IMAGES), np.asarray(W1), np.asarray(W2)
    z = (x @ w1 - np.asarray(MEAN)) * 0.5 + np.asarray(B1)
    for k in range(3):
        at_z = np.where(z > 0, w2[:, k] / 24, 0)
        at_pixels = 0.5 * at_z @ w1.T
        at_end = np.zeros((*x.shape[:3], 3))
        at_end[..., k] = 1 / 24
        parts = [x * at_pixels, (np.asarray(B1) - 0.5 * np.asarray(MEAN)) * at_z, np.asarray(B2) * at_end]
        np.testing.assert_allclose(sum(p.sum((1, 2, 3)) for p in parts), f((), IMAGES)[:, k], rtol=1e-4)
        expected = sum(stretched(part).sum(-1) for part in parts)
        np.testing.assert_allclose(fullgrad(f)((), IMAGES, k), expected, rtol=1e-4, atol=1e-4)


def test_constants_of_one_layer_are_one():
    program = trace(jax.make_jaxpr(f, return_shape=True), (), IMAGES)
    layers = _layers(program)
    assert [len(layer) for layer in layers] == [2, 1]
    values = run(program.equations, started(program, (), IMAGES))
    first, second = (np.asarray(_constant(program, values, ref))[0, 0, 0] for ref in layers[0])
    np.testing.assert_allclose(first, -MEAN)
    np.testing.assert_allclose(second, B1)

"""The gradient's magnitude is the largest derivative of the logit over the channels."""

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.attribution.saliency import saliency

IMAGES = jax.random.normal(jax.random.key(0), (2, 3, 4, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 5))


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2)) * 7


def test_it_is_the_largest_derivative_over_the_channels():
    def logit(x, target):
        return network(WEIGHTS, x[None])[0, target]

    targets = [[4, 0], [1, 1]]
    expected = [[jnp.abs(jax.grad(logit)(x, t)).max(-1) for t in own] for x, own in zip(IMAGES, targets, strict=True)]
    np.testing.assert_allclose(saliency(network)(WEIGHTS, IMAGES, targets), expected, atol=1e-6)

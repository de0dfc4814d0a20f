"""The input times the gradient sums to the logit where nothing but slopes make it."""

import jax
import numpy as np

from srd_jax.attribution.input_x_gradient import input_x_gradient

IMAGES = jax.random.normal(jax.random.key(0), (2, 3, 4, 3))
WEIGHTS = [jax.random.normal(jax.random.key(i), shape) for i, shape in ((1, (3, 6)), (2, (6, 5)))]


def network(weights, x):
    return jax.nn.relu(x @ weights[0]).mean((1, 2)) @ weights[1]


def test_it_sums_to_the_logit_without_biases():
    heat = input_x_gradient(network)(WEIGHTS, IMAGES, 3)
    np.testing.assert_allclose(heat.sum((1, 2)), network(WEIGHTS, IMAGES)[:, 3], atol=1e-5)

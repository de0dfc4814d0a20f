"""Integrated gradients sum to what the logit gains from the baseline."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution.integrated_gradients import integrated_gradients

IMAGES = jax.random.normal(jax.random.key(0), (2, 3, 4, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 5))


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2)) * 7


@pytest.mark.parametrize("baseline", [0.0, -0.5])
def test_it_sums_to_the_difference_to_the_baseline(baseline):
    heat = integrated_gradients(network, steps=20, baseline=baseline)(WEIGHTS, IMAGES, 3)
    gained = network(WEIGHTS, IMAGES) - network(WEIGHTS, jnp.full_like(IMAGES, baseline))
    np.testing.assert_allclose(heat.sum((1, 2)), gained[:, 3], atol=1e-4)


def test_one_step_is_the_gradient_half_way():
    heat = integrated_gradients(network, steps=1, reduce=None)(WEIGHTS, IMAGES, 3)
    half = jax.grad(lambda x: network(WEIGHTS, x)[:, 3].sum())(IMAGES / 2)
    np.testing.assert_allclose(heat, IMAGES * half, atol=1e-6)
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        integrated_gradients(network, steps=0)


def test_points_side_by_side_are_points_one_after_the_other():
    together, apart = (integrated_gradients(network, steps=5, together=each) for each in (True, False))
    targets = jnp.array([[1, 2], [0, 4]])
    np.testing.assert_allclose(together(WEIGHTS, IMAGES, targets), apart(WEIGHTS, IMAGES, targets), atol=1e-6)

"""Complexity between its ends."""

import jax.numpy as jnp
import numpy as np

from srd_jax import metrics

ONE, ALL = jnp.zeros((4, 4)).at[1, 2].set(-3.0), jnp.full((4, 4), -2.0)


def test_between_one_pixel_and_all():
    np.testing.assert_allclose(metrics.complexity(jnp.stack([ONE, ALL, 0 * ALL])), [0, np.log(16), 0], atol=1e-6)
    np.testing.assert_allclose(metrics.effective_complexity(jnp.stack([ONE, ALL, 0 * ALL])), [1, 16, 0])


def test_scale_says_nothing():
    maps = jnp.arange(16.0).reshape(1, 4, 4) - 5
    np.testing.assert_allclose(metrics.complexity(1e4 * maps), metrics.complexity(maps), rtol=1e-6)
    np.testing.assert_allclose(metrics.effective_complexity(1e4 * maps, epsilon=0.3), 9)

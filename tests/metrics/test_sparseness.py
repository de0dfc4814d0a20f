"""The Gini index against its other definition, the mean difference of all pairs."""

import jax.numpy as jnp
import numpy as np

from srd_jax.metrics import gini


def test_against_the_mean_difference_of_pairs():
    maps = np.random.default_rng(0).normal(size=(3, 5, 4))
    sizes = np.abs(maps).reshape(3, -1)
    pairs = np.abs(sizes[:, :, None] - sizes[:, None]).mean((1, 2))
    np.testing.assert_allclose(gini(jnp.asarray(maps)), pairs / (2 * sizes.mean(1)), rtol=1e-5)


def test_limits():
    one = jnp.zeros((2, 5)).at[1, 3].set(-7.0)
    maps = jnp.stack([jnp.full((2, 5), -2.0), one, jnp.zeros((2, 5))])
    np.testing.assert_allclose(gini(maps), [0, 0.9, 0], atol=1e-6)

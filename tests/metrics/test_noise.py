"""Noise level against numbers worked by hand."""

import jax.numpy as jnp
import numpy as np

from srd_jax.metrics import noise_level


def test_by_hand():
    maps = jnp.array([[[1.0, -2.0, 0.0], [3.0, 0.0, 4.0]]])
    # down |3-1| + |0+2| + |4-0| = 8, right |-2-1| + |0+2| + |0-3| + |4-0| = 12, norm 10
    np.testing.assert_allclose(noise_level(maps), [2.0])


def test_limits_and_scale():
    checkers = jnp.indices((40, 40)).sum(0) % 2 * 2.0 - 1
    maps = jnp.stack([jnp.ones((40, 40)), checkers, jnp.zeros((40, 40))])
    np.testing.assert_allclose(noise_level(maps), [0, 4 * 39 / 40, 0])
    np.testing.assert_allclose(noise_level(-3 * maps), noise_level(maps))

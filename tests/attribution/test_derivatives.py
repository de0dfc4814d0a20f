"""Numbers for every channel of a pixel, and how they become one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution.derivatives import by_pixel

IMAGES = jax.random.normal(jax.random.key(0), (2, 3, 4, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 5))


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2)) * 7


def plain(gradients, images):
    return gradients(images)


def maps(reduce, targets, channel_axis=-1, f=network, images=IMAGES):
    return by_pixel(plain, f, reduce=reduce, channel_axis=channel_axis)(WEIGHTS, images, targets)


def test_every_channel_or_one_number_a_pixel():
    whole = maps(None, 2)
    assert whole.shape == IMAGES.shape
    np.testing.assert_allclose(whole, jax.grad(lambda x: network(WEIGHTS, x)[:, 2].sum())(IMAGES), atol=1e-6)
    np.testing.assert_allclose(maps("sum", 2), whole.sum(-1), atol=1e-6)
    np.testing.assert_allclose(maps("max", 2), abs(whole).max(-1), atol=1e-6)
    assert maps(None, [[0, 1, 2]] * 2).shape == (2, 3, *IMAGES.shape[1:])
    with pytest.raises(ValueError, match="reduce must be one of 'max', 'sum', None, not 'mean'"):
        maps("mean", 2)


def test_channels_may_come_first():
    first = maps(None, 2, 1, lambda weights, x: network(weights, jnp.moveaxis(x, 1, -1)), jnp.moveaxis(IMAGES, -1, 1))
    np.testing.assert_allclose(jnp.moveaxis(first, 1, -1), maps(None, 2), atol=1e-6)

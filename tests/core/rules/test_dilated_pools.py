"""Max pools with dilated windows, which JAX has no derivative of: in the head and before a convolution."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd

IMAGES = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 3, 3))


def dilated(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", window_dilation=(1, 2, 2, 1))


def conv(x):
    return lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


PLACES = {
    "in the head": lambda pool, x: pool(nn.relu(conv(x))).mean((1, 2)),
    "flattened in the head": lambda pool, x: pool(nn.relu(conv(x))).reshape(2, -1) @ jnp.ones((60, 2)),
    "before a convolution": lambda pool, x: nn.relu(conv(pool(nn.relu(conv(x))))).mean((1, 2)),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_account_closes(place):
    _, flow = srd.decompose(lambda _, x: PLACES[place](dilated, x))(None, IMAGES)
    account = flow.account(1)
    np.testing.assert_allclose(account.heatmap, account.logit, rtol=1e-5)
    np.testing.assert_allclose(account.kept, 0, atol=1e-4)

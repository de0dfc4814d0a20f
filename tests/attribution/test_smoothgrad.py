"""The mean gradient over noisy images: the same noise for every image, and none makes it the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution.saliency import saliency
from srd_jax.attribution.smoothgrad import smoothgrad

IMAGES = jax.random.normal(jax.random.key(0), (2, 3, 4, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 5))


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2)) * 7


def test_without_noise_it_is_the_gradient():
    heat = smoothgrad(network, samples=3, noise=0.0)(WEIGHTS, IMAGES, 3)
    np.testing.assert_allclose(heat, saliency(network)(WEIGHTS, IMAGES, 3), atol=1e-6)


def test_the_seed_is_the_noise():
    first, again, other = (smoothgrad(network, samples=2, seed=seed)(WEIGHTS, IMAGES, 3) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert jnp.abs(first - other).max() > 1e-4


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"noise": -1.0}])
def test_no_samples_and_negative_noise(wrong):
    with pytest.raises(ValueError, match="samples must be at least 1 and noise not negative"):
        smoothgrad(network, **wrong)

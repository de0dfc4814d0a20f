"""Robustness of maps whose change is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics

IMAGES = 1 + jax.random.uniform(jax.random.key(0), (2, 5, 4, 1))
KEY = jax.random.key(1)


def linear(x):
    return 3 * x[..., 0]


def constant(x):
    return jnp.ones_like(x[..., 0]).at[:, 0].set(2)


def test_a_linear_map_changes_as_its_input_does():
    np.testing.assert_allclose(metrics.lipschitz_estimate(KEY, linear, IMAGES).value, 3, rtol=1e-5)
    np.testing.assert_allclose(metrics.relative_input_stability(KEY, linear, IMAGES).value, 1, rtol=1e-5)
    value, spread = metrics.max_sensitivity(KEY, linear, IMAGES, radius=0.2, samples=20)
    assert (value > 0.05).all()
    assert (value < 0.2).all()
    assert (spread > 0).all()
    assert metrics.self_correlation(KEY, linear, IMAGES, radius=0.01).value.min() > 0.99


def test_a_map_that_does_not_change():
    for metric in (metrics.lipschitz_estimate, metrics.max_sensitivity, metrics.relative_input_stability):
        np.testing.assert_allclose(metric(KEY, constant, IMAGES), 0, atol=1e-7)
    np.testing.assert_allclose(metrics.self_correlation(KEY, constant, IMAGES).value, 1, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"radius": 0.0}, {"samples": 1}])
def test_no_noise_and_no_samples(wrong):
    with pytest.raises(ValueError, match="radius must be positive and samples at least 2"):
        metrics.max_sensitivity(KEY, linear, IMAGES, **wrong)


def test_maps_under_noise_are_the_same_traced_and_not():
    noise = metrics.noises(KEY, IMAGES, radius=0.3, samples=4)
    assert noise.shape == (4, 5, 4, 1)
    assert 0.2 < jnp.abs(noise).max() <= 0.3
    maps = metrics.noisy_maps(KEY, linear, IMAGES, radius=0.3, samples=4)
    np.testing.assert_allclose(maps, 3 * (IMAGES + noise[:, None])[..., 0], rtol=1e-6)
    traced = jax.jit(lambda key: metrics.noisy_maps(key, linear, IMAGES, radius=0.3, samples=4))(KEY)
    np.testing.assert_allclose(traced, maps, rtol=1e-6)

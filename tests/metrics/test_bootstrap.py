"""Bootstrap intervals against NumPy and against what is known of a mean."""

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.metrics import bootstrap


def test_against_the_standard_error():
    values = np.random.default_rng(1).normal(3, 2, 400)
    mean, low, high = bootstrap(jax.random.key(0), jnp.asarray(values), level=0.9, resamples=4000)
    reach = 1.645 * values.std() / 20
    np.testing.assert_allclose([mean, low, high], values.mean() + reach * np.array([0, -1, 1]), atol=0.1 * reach)


def test_equal_values_have_no_spread_and_a_key_repeats_itself():
    np.testing.assert_allclose(bootstrap(jax.random.key(0), jnp.full(7, 0.25), resamples=50), 0.25)
    values = jnp.arange(20.0)
    first, again = (bootstrap(jax.random.key(3), values, resamples=50) for _ in range(2))
    assert first == again
    assert first.low < first.mean < first.high

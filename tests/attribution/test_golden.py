"""captum's arrays, one image at a time, float32 on the CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution import smoothgrad
from tests.golden import methods


@pytest.mark.slow
@pytest.mark.parametrize("array", ["saliency", "input_x_gradient"])
def test_a_gradient_agrees(array):
    assert methods.difference(array) < 1e-4


@pytest.mark.slow
def test_smoothgrad_with_the_noise_of_the_array(monkeypatch):
    f, variables, images = methods.network()
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((8, 96, 96, 3)), jnp.float32)
    drawn = jax.random.key_data(jax.random.split(jax.random.key(4), 8))

    def given(key, shape, dtype):
        del shape, dtype
        return noise[jnp.argmax((drawn == jax.random.key_data(key)).all(-1))]

    monkeypatch.setattr(smoothgrad, "_normal", given)
    heat = smoothgrad.smoothgrad(f, samples=8, seed=4, reduce=None)(variables, images, 281)[0]
    with np.load(methods.GOLDEN) as golden:
        expected = golden["smoothgrad_8"]
    assert np.linalg.norm(heat - expected) < 1e-4 * np.linalg.norm(expected)

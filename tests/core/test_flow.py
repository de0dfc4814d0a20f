"""Where logits go: to the pixels or to constants, at every scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd

RNG = np.random.default_rng(0)
FIRST, SECOND, DENSE, BIAS, LATER = (
    jnp.asarray(RNG.normal(size=shape) / size, jnp.float32)
    for shape, size in (((3, 3, 3, 4), 5), ((1, 1, 4, 4), 2), ((4, 3), 1), ((4,), 1), ((4,), 1))
)
IMAGES = jnp.asarray(RNG.normal(size=(2, 6, 5, 3)), jnp.float32)


def conv(x, kernel, padding):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def surrounded(biased, x):
    """A 1 x 1 convolution with padding of 1, whose outermost windows see no pixel."""
    x = jax.nn.relu(conv(x, FIRST, "SAME") + biased * BIAS)
    return jax.nn.relu(conv(x, SECOND, ((1, 1), (1, 1))) + biased * LATER).mean((1, 2)) @ DENSE


@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
def test_what_no_pixel_reaches_is_in_the_account(bias):
    logits, flow = srd.decompose(surrounded, bias=bias)(1.0, IMAGES)
    account = flow.account(1)
    np.testing.assert_allclose(account.logit, logits[:, 1], atol=1e-6)
    heat = flow.relevance(1, contrast=None)["input"].sum((1, 2))
    np.testing.assert_allclose(account.heatmap, heat, atol=1e-6)
    np.testing.assert_allclose(account.difference, 0, atol=1e-5)
    np.testing.assert_allclose(account.logit, account.heatmap + account.kept, atol=1e-5)
    assert (jnp.abs(account.kept) > 1e-2).all() == (bias == "none")
    every = flow.account(jnp.tile(jnp.arange(3), (2, 1)))
    assert every.kept.shape == (2, 3)
    np.testing.assert_allclose(every.heatmap[:, 1], account.heatmap, atol=1e-6)


@pytest.fixture(scope="module")
def at_scale():
    run = jax.jit(srd.explain(surrounded, contrast=None))
    return lambda scale: np.asarray(run(0.0, IMAGES * np.float32(scale), 1), np.float64) / scale


@pytest.mark.parametrize("scale", [1e-25, 1e-20, 1e19, 1e20])
def test_a_network_without_biases_scales_its_maps(at_scale, scale):
    expected = at_scale(1.0)
    np.testing.assert_allclose(at_scale(scale), expected, atol=1e-5 * np.abs(expected).max())

"""The relevance at the encoder's output, enlarged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.attribution import METHODS

IMAGES = jax.random.normal(jax.random.key(0), (3, 12, 8, 3))
KERNEL = jax.random.normal(jax.random.key(1), (4, 4, 3, 5))
WEIGHTS = jax.random.normal(jax.random.key(2), (5, 4))


def network(variables, x):
    kernel, weights = variables
    x = lax.conv_general_dilated(x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x + 0.1).mean((1, 2)) @ weights + 0.3


def test_every_position_is_spread_over_its_pixels():
    heat = METHODS["srd_encoder"](network, contrast=None)((KERNEL, WEIGHTS), IMAGES, 1)
    logits, flow = srd.decompose(network)((KERNEL, WEIGHTS), IMAGES)
    encoder = flow.relevance(1, contrast=None)[flow.layers[-1].name]
    assert encoder.shape == (3, 3, 2)
    np.testing.assert_allclose(heat, jax.image.resize(encoder, (3, 12, 8), "bilinear") / 16, atol=1e-6)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-5)


def test_it_is_the_keyword_of_explain_and_its_contrast_sums_to_zero():
    by_keyword = srd.explain(network, recursion=False)((KERNEL, WEIGHTS), IMAGES, [[0, 3]] * 3)
    heat = METHODS["srd_encoder"](network)((KERNEL, WEIGHTS), IMAGES, [[0, 3]] * 3)
    np.testing.assert_array_equal(by_keyword, heat)
    np.testing.assert_allclose(heat.sum((2, 3)), 0, atol=1e-5)


def test_no_sharing_ratios_are_computed():
    def cost(method):
        lowered = jax.jit(method(network)).lower((KERNEL, WEIGHTS), IMAGES, 1)
        return lowered.compile().cost_analysis()["flops"]

    assert cost(METHODS["srd_encoder"]) < 0.7 * cost(METHODS["srd"])


def test_what_it_cannot_enlarge():
    with pytest.raises(ValueError, match="without recursion"):
        METHODS["srd_encoder"](network, head="sharing")

    def rows(kernel, x):
        x = lax.conv_general_dilated(x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(x.mean(2)).mean(1)

    with pytest.raises(srd.ShapeError, match="cannot be enlarged"):
        METHODS["srd_encoder"](rows)(KERNEL, IMAGES, 1)
    assert jnp.isfinite(srd.explain(rows)(KERNEL, IMAGES, 1)).all()

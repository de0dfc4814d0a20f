"""The map of single neurons is their relevance at the pixels, added up over the channels."""

import jax
import numpy as np
import pytest

from srd_jax import zrule
from srd_jax.attribution.srd_scalar import srd_scalar

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 5, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 4))


def network(weights, x):
    return jax.nn.relu(x @ weights).mean((1, 2))


def test_it_is_the_flow_at_the_pixels():
    _, flow = zrule.decompose(network, bias="none")(WEIGHTS, IMAGES)
    heat = srd_scalar(network, bias="none", contrast=None)(WEIGHTS, IMAGES, 3)
    np.testing.assert_allclose(heat, flow.relevance(3, contrast=None)["input"], atol=1e-7)


def test_one_layer_by_hand():
    """R_i = sum_j x_i w_ij / z_j R_j, of one layer and a mean: relu(z_j) over the number of positions."""
    z = np.asarray(IMAGES @ WEIGHTS)[..., 1]
    heat = srd_scalar(network, contrast=None)(WEIGHTS, IMAGES, 1)
    np.testing.assert_allclose(heat, np.maximum(z, 0) / 20, atol=1e-6)


def test_a_head_that_neurons_do_not_have():
    with pytest.raises(ValueError, match="for single neurons"):
        srd_scalar(network, head="sharing")

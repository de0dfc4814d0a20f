"""SRD by its keywords: each choice that is turned off is a method of the table."""

import jax
import numpy as np
import pytest

import srd_jax as srd
from srd_jax.attribution import METHODS

IMAGES = jax.random.normal(jax.random.key(0), (2, 6, 5, 3))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))


def network(kernel, x):
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x + 0.2).mean((1, 2))


@pytest.mark.parametrize(
    ("method", "keywords"), [("srd_scalar", {"unit": "scalar"}), ("srd_encoder", {"recursion": False})]
)
def test_a_choice_turned_off_is_a_method_of_its_own(method, keywords):
    options = {"bias": "uniform", "contrast": "class"}
    by_keyword = srd.explain(network, **options, **keywords)(KERNEL, IMAGES, 2)
    np.testing.assert_array_equal(by_keyword, METHODS[method](network, **options)(KERNEL, IMAGES, 2))
    assert np.abs(by_keyword - srd.explain(network, **options)(KERNEL, IMAGES, 2)).max() > 1e-4


def test_the_map_is_that_of_the_flow():
    _, flow = srd.decompose(network)(KERNEL, IMAGES)
    for contrast in (None, "spatial", "class"):
        heat = srd.explain(network, contrast=contrast)(KERNEL, IMAGES, 1)
        np.testing.assert_allclose(heat, flow.relevance(1, contrast=contrast)["input"], atol=1e-6)

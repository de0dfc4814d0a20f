"""The laws of every attribution method: what holds for one row of the table holds for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.attribution import METHODS, find_method, keywords_of, with_options

IMAGES = jax.random.normal(jax.random.key(0), (3, 6, 5, 3))
VARIABLES = [jax.random.normal(jax.random.key(i), shape) for i, shape in ((1, (3, 3, 3, 4)), (2, (4, 3)))]


def network(variables, x):
    kernel, weights = variables
    x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x + 0.1).mean((1, 2)) @ weights + 0.2


every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_shapes_and_types(name):
    explain = METHODS[name](network)
    for targets, shape in ((0, (3, 6, 5)), ([0, 2, 1], (3, 6, 5)), ([[0, 1]] * 3, (3, 2, 6, 5)), (None, (3, 6, 5))):
        heat = explain(VARIABLES, IMAGES, targets)
        assert heat.shape == shape
        assert heat.dtype == jnp.float32
        assert bool(jnp.isfinite(heat).all())


@every_method
def test_jit_equals_eager_and_none_is_the_predicted_class(name):
    explain = METHODS[name](network)
    predicted = jnp.argmax(network(VARIABLES, IMAGES), -1)
    eager = explain(VARIABLES, IMAGES, predicted)
    np.testing.assert_allclose(jax.jit(explain)(VARIABLES, IMAGES, predicted), eager, atol=1e-6)
    np.testing.assert_allclose(explain(VARIABLES, IMAGES), eager, atol=1e-6)


@every_method
def test_a_batch_equals_its_images_and_many_targets_one_at_a_time(name):
    explain = METHODS[name](network)
    targets = np.array([[0, 2], [1, 1], [2, 0]])
    maps = explain(VARIABLES, IMAGES, targets)
    alone = [explain(VARIABLES, IMAGES[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(maps, np.stack(alone), atol=1e-5)
    for k in range(2):
        np.testing.assert_allclose(maps[:, k], explain(VARIABLES, IMAGES, targets[:, k]), atol=1e-5)


@every_method
def test_vmap_over_models(name):
    explain = METHODS[name](network)
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), VARIABLES)
    mapped = jax.vmap(lambda variables: explain(variables, IMAGES, 1))(several)
    for i, heat in enumerate(mapped):
        own = explain(jax.tree.map(lambda leaf, i=i: leaf[i], several), IMAGES, 1)
        np.testing.assert_allclose(heat, own, atol=1e-5)


@every_method
def test_another_axis_of_channels(name):
    def first(variables, x):
        return network(variables, jnp.moveaxis(x, 1, -1))

    assert "channel_axis" in keywords_of(METHODS[name])
    heat = METHODS[name](first, channel_axis=1)(VARIABLES, jnp.moveaxis(IMAGES, -1, 1), 1)
    np.testing.assert_allclose(heat, METHODS[name](network)(VARIABLES, IMAGES, 1), atol=1e-6)


@every_method
def test_what_cannot_be_explained(name):
    explain = METHODS[name](network)
    with pytest.raises(srd.TargetError, match="class 3 does not exist"):
        explain(VARIABLES, IMAGES, 3)
    with pytest.raises(srd.ShapeError, match="images must be"):
        explain(VARIABLES, IMAGES[0, 0], 1)
    with pytest.raises(srd.ImageError, match="NaN"):
        explain(VARIABLES, IMAGES * jnp.nan, 1)
    missing = jax.jit(explain)(VARIABLES, IMAGES, jnp.array([0, 9, 1]))
    assert np.isnan(missing).any((1, 2)).tolist() == [False, True, False]


@every_method
def test_it_says_what_it_is_and_where_it_is_from(name):
    said = METHODS[name].__doc__ or ""
    assert said.startswith("Make a function that returns ")
    assert "Args:" in said
    assert "Returns:" in said


def test_methods_are_found_by_name_with_the_options_they_have():
    with pytest.raises(srd.MethodError, match="called 'salienc'; did you mean 'saliency'"):
        find_method("salienc")
    assert keywords_of(find_method("saliency")) == ("reduce", "channel_axis")
    plain = with_options(find_method("srd"), {"contrast": None, "sharpness": 3})(network)
    heat = plain(VARIABLES, IMAGES, 1)
    np.testing.assert_allclose(heat.sum((1, 2)), network(VARIABLES, IMAGES)[:, 1], atol=1e-5)

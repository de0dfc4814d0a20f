"""The laws of every attribution method: what holds for one row of the table holds for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.attribution import ABOUT, METHODS, enlarge, find_method, keywords_of, smooth, with_options
from tests.core.test_compiled import compilations

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
    predicted, others = jnp.argmax(network(VARIABLES, IMAGES), -1), IMAGES + 1
    eager = explain(VARIABLES, IMAGES, predicted)
    with compilations() as later:
        explain(VARIABLES, others, predicted)
    assert not later
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
def test_a_target_may_be_a_function_of_the_logits(name):
    explain = METHODS[name](network)
    if name == "rise":  # whose classes are probabilities
        np.testing.assert_allclose(
            explain(VARIABLES, IMAGES, lambda y: jax.nn.softmax(y)[:, 1]), explain(VARIABLES, IMAGES, 1), atol=1e-6
        )
        return
    np.testing.assert_allclose(
        explain(VARIABLES, IMAGES, second), explain(VARIABLES, IMAGES, 1), atol=1e-5, err_msg="one number"
    )
    np.testing.assert_allclose(
        explain(VARIABLES, IMAGES, first_two), explain(VARIABLES, IMAGES, [[0, 1]] * 3), atol=1e-5, err_msg="two"
    )
    with pytest.raises(srd.TargetError, match="must make \\(3,\\) numbers"):
        explain(VARIABLES, IMAGES, lambda y: y.sum())


def second(logits):
    return logits[:, 1]


def first_two(logits):
    return logits[:, :2]


def test_a_difference_is_the_difference_where_a_method_is_linear_in_the_logits():
    for name in ("input_x_gradient", "integrated_gradients", "occlusion", "srd"):
        options = {"contrast": None} if name == "srd" else {}
        explain = METHODS[name](network, **options)
        expected = explain(VARIABLES, IMAGES, 2) - explain(VARIABLES, IMAGES, 0)
        got = explain(VARIABLES, IMAGES, lambda y: y[:, 2] - y[:, 0])
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=name)


def test_products_and_means_of_methods():
    guided = find_method("guided_backprop*gradcam")(network, reduce="sum", enlarged=True)
    parts = METHODS["guided_backprop"](network, reduce="sum"), METHODS["gradcam"](network)
    expected = parts[0](VARIABLES, IMAGES, 1) * parts[1](VARIABLES, IMAGES, 1)
    np.testing.assert_allclose(guided(VARIABLES, IMAGES, 1), expected, rtol=1e-5)
    with pytest.raises(srd.MethodError, match="called 'gradcan'; did you mean 'gradcam'"):
        find_method("srd*gradcan")
    same = smooth(METHODS["srd"], samples=2, noise=0.0)(network)
    np.testing.assert_allclose(same(VARIABLES, IMAGES), METHODS["srd"](network)(VARIABLES, IMAGES), atol=1e-6)
    noisy = smooth(METHODS["saliency"], samples=3, noise=0.2, seed=1)(network)
    np.testing.assert_allclose(noisy(VARIABLES, IMAGES, 1)[1:2], noisy(VARIABLES, IMAGES[1:2], 1), atol=1e-6)
    larger = enlarge(METHODS["gradcam"], (12, 10))(network)
    assert larger(VARIABLES, IMAGES, [[0, 1]] * 3).shape == (3, 2, 12, 10)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        smooth(METHODS["srd"], samples=0)


def test_every_method_says_what_it_needs_and_costs():
    assert list(ABOUT) == list(METHODS)


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


def test_settled_options():
    method = find_method("srd:contrast=none,bias=uniform")
    assert not {"contrast", "bias"} & set(keywords_of(method))
    heat = with_options(method, {"contrast": "spatial", "head": "linear"})(network)(VARIABLES, IMAGES, 1)
    expected = METHODS["srd"](network, contrast=None, bias="uniform")(VARIABLES, IMAGES, 1)
    np.testing.assert_array_equal(heat, expected)
    made = find_method("srd:recursion=false*integrated_gradients:steps=3,baseline=0.5")(network)(VARIABLES, IMAGES, 1)
    left = METHODS["srd"](network, recursion=False)(VARIABLES, IMAGES, 1)
    right = METHODS["integrated_gradients"](network, steps=3, baseline=0.5)(VARIABLES, IMAGES, 1)
    np.testing.assert_allclose(made, left * right, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("srd:", "srd has the options bias, contrast"),
        ("srd:steps=3", "srd has the options bias, contrast"),
        ("centre:seed=1", "centre has the options width"),
        ("srd:recursion=no", "recursion is true or false"),
        ("integrated_gradients:steps=many", "steps takes a whole number"),
        ("srd*smothgrad:samples=3", "did you mean 'smoothgrad'"),
    ],
)
def test_options_that_cannot_be_settled(name, message):
    with pytest.raises(srd.MethodError, match=message):
        find_method(name)

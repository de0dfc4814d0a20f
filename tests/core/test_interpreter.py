"""What keeps a sum open, what closes it, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd

IMAGES = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
SECOND = jax.random.normal(jax.random.key(2), (3, 3, 4, 4))


def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def model(name):
    def f(variables, images):
        kernel, second = variables
        x = jax.nn.relu(name("first", convolve(images, kernel)))
        return jax.nn.relu(convolve(name("pool", pooled(x)), second)).mean((1, 2))

    return f


def test_a_name_on_an_open_sum_does_not_change_the_explanation():
    plain = jax.jit(srd.explain(model(lambda _, x: x)))((KERNEL, SECOND), IMAGES, 1)
    named = jax.jit(srd.explain(model(lambda name, x: checkpoint_name(x, name))))((KERNEL, SECOND), IMAGES, 1)
    np.testing.assert_allclose(named, plain, atol=1e-6)


def test_zero_padding_is_one_step_with_its_convolution_under_jit():
    def f(variables, images):
        kernel, _ = variables
        x = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(x + 0.3).mean((1, 2))

    dead = jnp.zeros_like(IMAGES)
    logits, flow = jax.jit(srd.decompose(f))((KERNEL, SECOND), dead)
    heat = flow.relevance(1, contrast=None)["input"]
    assert len(flow.edges) == 1
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-6)


def test_another_word_for_the_batch_is_refused():
    def f(variables, images):
        x = convolve(images, variables[0])
        return jax.nn.relu(x - x.mean(0)).mean((1, 2))

    with pytest.raises(srd.UnsupportedPrimitiveError, match="evaluation mode"):
        srd.decompose(f)((KERNEL, SECOND), IMAGES)


def test_a_product_of_two_maps_is_refused_with_its_line():
    def f(variables, images):
        a, b = (jax.nn.relu(convolve(images, variables[0][..., ::sign])) for sign in (1, -1))
        return (a * b).mean((1, 2))

    with pytest.raises(
        srd.UnsupportedPrimitiveError, match=r"'mul'.*say so by srd_jax\.hold.*test_interpreter\.py:\d+.*register_rule"
    ):
        srd.decompose(f)((KERNEL, SECOND), IMAGES)


def test_a_map_times_what_is_made_of_it_is_linear_in_the_map():
    """As an attention of large kernels is: the product with a constant in its place is the same."""

    def f(variables, images):
        a = jax.nn.relu(convolve(images, variables[0]))
        gate = convolve(a, variables[1]) if variables[2] is None else variables[2]
        return (a * gate).mean((1, 2))

    def held(variables, images):
        gate = convolve(jax.nn.relu(convolve(images, variables[0])), variables[1])
        return f((*variables[:2], srd.hold(gate)), images)

    gate = convolve(jax.nn.relu(convolve(IMAGES, KERNEL)), SECOND)
    expected = srd.explain(f)((KERNEL, SECOND, gate), IMAGES, 1)
    for each in (f, held):
        np.testing.assert_allclose(srd.explain(each)((KERNEL, SECOND, None), IMAGES, 1), expected, atol=1e-5)


def test_logits_that_are_coefficients_alone():
    def f(variables, images):
        return srd.hold(convolve(images, variables[0])).mean((1, 2))

    with pytest.raises(srd.UnsupportedPrimitiveError, match="the logits are made of coefficients alone"):
        srd.decompose(f)((KERNEL, SECOND), IMAGES)


def test_a_head_that_reads_two_functions_of_one_map_counts_its_positions_once():
    def f(variables, images):
        x = convolve(images, variables[0])
        return jax.nn.relu(x).mean((1, 2)) + jnp.tanh(x).mean((1, 2))

    expected = sum(act(convolve(IMAGES, KERNEL)[..., 1]) for act in (jax.nn.relu, jnp.tanh)) / 36
    for head, rectify in (("linear", lambda x: x), ("sharing", lambda x: x), ("gradcam", jax.nn.relu)):
        _, flow = jax.jit(srd.decompose(f, head=head))((KERNEL, SECOND), IMAGES)
        found = flow.relevance(1, contrast=None)[flow.layers[-1].name]
        np.testing.assert_allclose(found, rectify(expected), atol=1e-6)


def test_a_strided_slice_spaces_the_receptive_fields_that_follow():
    def f(variables, images):
        x = jax.nn.relu(convolve(images, variables[0])[:, ::2, ::2])
        return jax.nn.relu(convolve(x, variables[1])).mean((1, 2))

    _, flow = jax.eval_shape(srd.decompose(f), (KERNEL, SECOND), jnp.zeros((1, 20, 20, 3)))
    assert [layer.receptive_field for layer in flow.layers][-1] == (7, 7)


def test_an_image_times_what_is_made_of_it():
    def f(variables, images):
        y = jnp.tanh(images)
        return (y * convolve(y, variables)).mean((1, 2))

    kernel = jax.random.normal(jax.random.key(7), (3, 3, 3, 3))
    expected = srd.explain(lambda gate, x: (jnp.tanh(x) * gate).mean((1, 2)))(
        convolve(jnp.tanh(IMAGES), kernel), IMAGES, 1
    )
    np.testing.assert_allclose(srd.explain(f)(kernel, IMAGES, 1), expected, atol=1e-5)


def test_a_named_selection_is_a_layer_with_the_same_map():
    def f(variables, images, name=lambda x: x):
        x = jax.nn.relu(convolve(images, variables[0]))
        x = name(jnp.concatenate([x[:, 1:], jnp.ones_like(x[:, :1])], 1))
        return jax.nn.relu(convolve(x, variables[1])).mean((1, 2))

    def named(variables, images):
        return f(variables, images, lambda x: checkpoint_name(x, "shifted"))

    for bias in ("norm", "none"):
        flows = [jax.jit(srd.decompose(fn, bias=bias))((KERNEL, SECOND), IMAGES)[1] for fn in (f, named)]
        maps = [flow.relevance(1)["input"] for flow in flows]
        np.testing.assert_allclose(*maps, atol=1e-6)
        assert "shifted" in [layer.name for layer in flows[1].layers]
        rows = flows[1].erf("shifted").sum((-2, -1)).reshape(len(IMAGES), *flows[1].layers[-2].grid)
        np.testing.assert_allclose(rows[:, :-1], 1, atol=1e-5)
        np.testing.assert_allclose(rows[:, -1], 0)

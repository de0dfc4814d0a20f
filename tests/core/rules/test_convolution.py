"""Convolutions of every form: each ratio is what masking one position makes of it."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from tests.laws import draw, explained, logits


def conv(x, kernel, stride=1, padding="SAME", **options):
    rank = x.ndim - 2
    stride = (stride,) * rank if isinstance(stride, int) else stride
    letters = "DHW"[3 - rank :]
    options.setdefault("dimension_numbers", (f"N{letters}C", f"{letters}IO", f"N{letters}C"))
    return lax.conv_general_dilated(x, kernel, stride, padding, **options)


FORMS = {
    "3x3": ((4, 4, 2), (3, 3, 2, 3), {}),
    "valid": ((4, 5, 2), (3, 3, 2, 3), {"padding": "VALID"}),
    "strided": ((5, 4, 2), (3, 3, 2, 3), {"stride": 2}),
    "other strides": ((5, 4, 2), (3, 2, 2, 3), {"stride": (2, 1)}),
    "even kernel": ((4, 3, 2), (2, 2, 2, 3), {}),
    "one-sided padding": ((3, 3, 2), (3, 3, 2, 3), {"padding": ((2, 0), (0, 2))}),
    "cropping": ((5, 4, 2), (2, 2, 2, 3), {"padding": ((-1, 0), (0, -1))}),
    "patches": ((4, 4, 2), (2, 2, 2, 3), {"stride": 2, "padding": "VALID"}),
    "1x1 strided": ((4, 4, 2), (1, 1, 2, 3), {"stride": 2}),
    "dilated": ((5, 4, 2), (3, 2, 2, 3), {"rhs_dilation": (2, 2)}),
    "transposed": ((3, 3, 2), (3, 3, 2, 3), {"padding": ((1, 2), (1, 2)), "lhs_dilation": (2, 2)}),
    "transposed and strided": (
        (3, 3, 2),
        (3, 3, 2, 3),
        {"stride": 2, "padding": ((1, 1), (2, 1)), "lhs_dilation": (1, 3)},
    ),
    "grouped": ((4, 3, 4), (3, 3, 2, 6), {"feature_group_count": 2}),
    "depthwise": ((4, 3, 3), (3, 3, 1, 6), {"feature_group_count": 3}),
    "row": ((3, 4, 2), (1, 3, 2, 3), {}),
    "1-d": ((6, 2), (3, 2, 3), {}),
    "1-d strided and dilated": ((7, 2), (3, 2, 3), {"stride": 2, "rhs_dilation": (2,), "padding": ((1, 2),)}),
    "3-d": ((3, 2, 2, 2), (2, 3, 2, 2, 3), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_ratios_are_what_masking_makes_of_them(form):
    shape, kernel, options = FORMS[form]
    weights, bias = draw(*kernel), draw(kernel[-1], seed=1)

    def step(x):
        return conv(x, weights, **options) + bias

    flow, _, _ = explained(lambda _, x: logits(jax.nn.relu(step(x))), draw(2, *shape), [step])
    assert len(flow.layers) == 2
    assert flow.layers[1].channels == kernel[-1]


AXES = {
    "channels first": ("NCHW", "OIHW", "NCHW", 1),
    "channels in between": ("NHCW", "IHOW", "NHCW", 2),
    "width before height": ("NWHC", "HWIO", "NWHC", -1),
    "channels first inside": ("NHWC", "HWIO", "NCHW", -1),
}


@cache
def in_plain_order():
    with jax.enable_x64(True):
        images, weights = draw(2, 4, 3, 2), draw(3, 2, 2, 5)
        padding = ((1, 1), (0, 1))
        _, heat, fields = explained(lambda _, x: logits(jax.nn.relu(conv(x, weights, padding=padding))), images)
    return images, weights, padding, heat, fields.reshape((2, 4, 3, 4, 3))


@pytest.mark.parametrize("order", AXES)
def test_the_order_of_axes_does_not_matter(order):
    """The same network in any layout has the same map."""
    lhs, rhs, out, channel_axis = AXES[order]
    images, weights, padding, heat, fields = in_plain_order()
    kernel = weights.transpose(["HWIO".index(letter) for letter in rhs])

    def moved(_, x):
        y = jax.nn.relu(conv(x, kernel, padding=padding, dimension_numbers=(lhs, rhs, out)))
        return logits(jnp.transpose(y, [out.index(letter) for letter in "NHWC"]))

    images = images.transpose(["NHWC".index(letter) for letter in lhs])
    _, moved_heat, moved_fields = explained(moved, images, channel_axis=channel_axis)
    if "WH" in lhs:
        heat, fields = heat.swapaxes(1, 2), fields.transpose(0, 2, 1, 4, 3)
    np.testing.assert_allclose(moved_heat, heat, atol=1e-10)
    np.testing.assert_allclose(moved_fields, fields.reshape(moved_fields.shape), atol=1e-10)


def test_a_1x1_convolution_passes_relevance_unchanged():
    first, second = draw(3, 3, 2, 4), draw(1, 1, 4, 5)

    def f(_, x):
        return logits(jax.nn.relu(conv(jax.nn.relu(conv(x, first)), second) + 0.3))

    flow, _, _ = explained(f, draw(2, 3, 3, 2))
    assert [layer.channels for layer in flow.layers] == [2, 4]
    assert len(flow.edges) == 1


def test_a_1x1_convolution_of_the_image_leaves_one_map_only():
    flow, _, _ = explained(lambda _, x: logits(jax.nn.relu(conv(x, draw(1, 1, 2, 3)))), draw(2, 3, 3, 2))
    assert [layer.name for layer in flow.layers] == ["input"]
    assert flow.edges == ()


def test_a_strided_1x1_convolution_has_one_contributor_and_needs_no_ratios():
    def f(_, x):
        return logits(jax.nn.relu(conv(x, draw(1, 1, 2, 3), stride=2) + 1))

    flow, _, fields = explained(f, draw(2, 4, 4, 2))
    (edge,) = flow.edges
    assert edge.ratios is None
    np.testing.assert_array_equal(np.flatnonzero(fields[0].sum(0)), [0, 2, 8, 10])


def test_convolutions_in_a_row_are_maps_of_their_own():
    """Without a nonlinearity between them they are still two mixing steps, each with its X_j."""
    flow, _, _ = explained(lambda _, x: logits(jax.nn.relu(conv(conv(x, draw(3, 2, 2)), draw(2, 2, 3)))), draw(2, 5, 2))
    assert [layer.grid for layer in flow.layers] == [(5,), (5,), (5,)]


def test_linear_steps_after_a_convolution_belong_to_it():
    """Bias, normalisation by constants and a 1x1 convolution extend vhat before the norm is taken."""
    weights, scale, shift, mixing = draw(3, 3, 2, 3), draw(3), draw(3, seed=1), draw(1, 1, 3, 4)

    def step(x):
        return conv((conv(x, weights) + 0.2) * scale - shift, mixing)

    flow, _, _ = explained(lambda _, x: logits(jax.nn.relu(step(x))), draw(2, 4, 3, 2), [step])
    assert len(flow.layers) == 2


def test_a_convolution_over_channels_alone_is_position_wise():
    """As in efficient channel attention: the spatial axis of the convolution runs over channels."""
    kernel = draw(3, 1, 1)

    def f(_, x):
        y = jax.nn.relu(conv(x, draw(3, 3, 2, 4)))
        pooled = jnp.mean(y, (1, 2))[..., None]
        return logits(y * jax.nn.sigmoid(conv(pooled, kernel)[..., 0])[:, None, None])

    flow, _, _ = explained(f, draw(2, 3, 3, 2))
    assert len(flow.layers) == 2


def test_a_signal_lifted_to_two_axes_is_the_same_signal():
    kernel, last = draw(3, 2, 4), draw(3, 4, 5)
    images = draw(2, 6, 2)

    def lifted(_, x):
        y = jax.nn.relu(conv(x[:, None], kernel[None]))
        y = jax.nn.relu(conv(y, last[None]))[:, 0]
        return logits(y)

    _, heat, fields = explained(lambda _, x: logits(jax.nn.relu(conv(jax.nn.relu(conv(x, kernel)), last))), images)
    _, lifted_heat, lifted_fields = explained(lifted, images)
    np.testing.assert_allclose(lifted_heat, heat, atol=1e-10)
    np.testing.assert_allclose(lifted_fields, fields, atol=1e-10)


@pytest.mark.parametrize("lift", [False, True], ids=["as it is", "lifted to two axes"])
@pytest.mark.parametrize("head", ["linear", "sharing"])
def test_a_convolution_over_the_whole_map_is_a_head(head, lift):
    kernel, last = draw(3, 2, 4), draw(6, 4, 3)

    def f(_, x):
        y = jax.nn.relu(conv(x, kernel))
        return conv(y[:, None], last[None], padding="VALID")[:, 0, 0] if lift else conv(y, last, padding="VALID")[:, 0]

    flow, _, _ = explained(f, draw(2, 6, 2), head=head)
    assert [layer.grid for layer in flow.layers] == [(6,), (6,)]


def test_the_ratios_of_a_single_pfv():
    """A kernel as large as the map, seen by the sharing head."""
    kernel, last = draw(4, 3, 2, 4), draw(4, 3)

    def step(x):
        return conv(x, kernel, padding="VALID") + 0.5

    flow, _, _ = explained(lambda _, x: jax.nn.relu(step(x))[:, 0, 0] @ last, draw(2, 4, 3, 2), [step], head="sharing")
    assert [layer.grid for layer in flow.layers] == [(4, 3), (1, 1)]


def test_weights_may_be_arguments():
    """Kernels that are traced give what kernels that are known give."""
    images, kernel = draw(2, 4, 3, 2), draw(3, 3, 2, 4)

    def f(kernel, x):
        return logits(jax.nn.relu(conv(x, kernel)))

    heat = jax.jit(srd.explain(f))(kernel, images, 2)
    known = jax.jit(lambda x: srd.explain(f)(kernel, x, 2))(images)
    np.testing.assert_allclose(heat, known, atol=1e-10)


def across_batch(x):
    return conv(x, np.ones((1, 1, 2, 4)), batch_group_count=2)


def as_kernel(x):
    return jnp.mean(x, (1, 2))[None, None]


def spec(letters):
    return {"dimension_numbers": (letters, "HWIO"[4 - len(letters) :], letters)}


REFUSED = {
    "a kernel made of the images": (lambda x: conv(x, as_kernel(x)), "the kernel depends on the images"),
    "images only in the kernel": (
        lambda x: conv(np.ones((2, 4, 4, 2)), as_kernel(x)), "the kernel depends on the images",
    ),
    "batch groups": (across_batch, "batch groups mix images"),
    "over the batch": (lambda x: conv(x, np.ones((2, 3, 2, 3)), **spec("HNWC")), "runs over positions"),
    "over batch and width": (lambda x: conv(x[:, 0], np.ones((2, 4, 3)), **spec("WCN")), "axis runs over positions"),
    "batch as a spatial axis": (lambda x: conv(x[:, :1, :1], np.ones((3, 1, 2, 2)), **spec("HNWC")), "over the batch"),
    "positions as features": (lambda x: conv(x, np.ones((1, 1, 4, 2)), **spec("NCHW")), "runs over positions"),
    "over positions and channels": (
        lambda x: conv(x[..., None], np.ones((3, 3, 3, 1, 1))), "some of its spatial axes run over channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form):
    step, said = REFUSED[form]
    with pytest.raises(srd.UnsupportedPrimitiveError, match=said) as error:
        jax.eval_shape(srd.decompose(lambda _, x: jnp.sum(step(x)) * jnp.ones((2, 3))), None, jnp.ones((2, 4, 4, 2)))
    message = str(error.value)
    assert "no sharing rule for primitive 'conv_general_dilated' of (float64[" in message
    assert f"It is at {__file__}:" in message
    assert "@srd_jax.register_rule('conv_general_dilated')" in message

"""Dense layers: over channels within one position, over flattened positions a contribution of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from tests.laws import draw, explained, logits


def hidden(x):
    return jnp.tanh(lax.conv_general_dilated(x, draw(2, 2, 2, 3), (1, 1), "SAME", dimension_numbers=NUMBERS) + 0.1)


NUMBERS = ("NHWC", "HWIO", "NHWC")
IMAGES = (2, 3, 4, 2)


def grouped(y):
    """Two groups of three channels each, with weights of their own."""
    return jnp.einsum("nhwgc,gcd->nhwgd", y.reshape((2, 3, 4, 2, 3)), draw(2, 3, 2)).reshape((2, 3, 4, 4))


OVER_CHANNELS = {
    "matrix product": lambda y: y @ draw(3, 5),
    "weights on the left": lambda y: jnp.einsum("dc,nhwc->nhwd", draw(5, 3), y),
    "weights on the left, theirs first": lambda y: jnp.moveaxis(jnp.einsum("dc,nhwc->dnhw", draw(5, 3), y), 0, -1),
    "two axes of weights": lambda y: jnp.einsum("nhwc,cde->nhwde", y, draw(3, 2, 2)).reshape((2, 3, 4, 4)),
    "channel groups": lambda y: grouped(jnp.concatenate([y, -y], -1)),
    "weights per position": lambda y: jnp.einsum("nhwc,hwcd->nhwd", y, draw(3, 4, 3, 2)),
    "weights per row": lambda y: jnp.einsum("nhwc,hcd->nhwd", y, draw(3, 3, 2)),
    "tokens": lambda y: (y.reshape((2, 12, 3)) @ draw(3, 5)).reshape((2, 3, 4, 5)),
    "positions in the batch": lambda y: (y.reshape((24, 3)) @ draw(3, 5)).reshape((2, 3, 4, 5)),
    "channels first": lambda y: jnp.einsum("nchw,cd->ndhw", y.transpose(0, 3, 1, 2), draw(3, 5)).transpose(0, 2, 3, 1),
    "inner product": lambda y: jnp.einsum("nhwc,c->nhw", y, draw(3))[..., None],
    "outer product": lambda y: jnp.einsum("nhwc,d->nhwcd", y, draw(2)).reshape((2, 3, 4, 6)),
}


@pytest.mark.parametrize("form", OVER_CHANNELS)
def test_a_dense_layer_over_channels_is_position_wise(form):
    """It makes no map, and its bias belongs to the position it is added at."""
    dense = OVER_CHANNELS[form]
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(dense(hidden(x)) + 0.3)), draw(*IMAGES))
    assert [layer.channels for layer in flow.layers] == [2, 3]
    assert len(flow.edges) == 1


@pytest.mark.parametrize("form", ["matrix product", "weights on the left", "weights per row", "outer product"])
def test_after_a_convolution_it_belongs_to_the_same_sum(form):
    def step(x):
        y = lax.conv_general_dilated(x, draw(2, 2, 2, 3), (1, 1), "SAME", dimension_numbers=NUMBERS) + 0.1
        return OVER_CHANNELS[form](y) + 0.2

    explained(lambda _, x: logits(jnp.tanh(step(x))), draw(*IMAGES), [step])


FLATTENED = {
    "channels last": lambda x: x.reshape((2, -1)) @ draw(24, 5),
    "channels first": lambda x: x.transpose(0, 3, 1, 2).reshape((2, -1)) @ draw(24, 5),
    "columns first": lambda x: x.swapaxes(1, 2).reshape((2, -1)) @ draw(24, 5),
    "weights on the left": lambda x: jnp.einsum("dk,nk->nd", draw(5, 24), x.reshape((2, -1))),
    "no flatten": lambda x: jnp.einsum("nhwc,hwcd->nd", x, draw(3, 4, 2, 5)),
    "axes of the weights in another order": lambda x: jnp.einsum("nhwc,wdch->nd", x, draw(4, 5, 2, 3)),
    "tokens": lambda x: jnp.einsum("nlc,lcd->nd", x.reshape((2, 12, 2)), draw(12, 2, 5)),
    "weighted mean of positions": lambda x: jnp.einsum("nhwc,hw->nc", x, draw(3, 4)),
    "tensor product": lambda x: jnp.tensordot(x, draw(3, 4, 2, 5), 3),
}


@pytest.mark.parametrize("form", FLATTENED)
def test_a_dense_layer_over_all_positions_has_a_contribution_of_each(form):
    def step(x):
        y = FLATTENED[form](x)
        return y + draw(y.shape[-1], seed=1)

    images = draw(*IMAGES)
    classes = jax.eval_shape(step, images).shape[-1]
    flow, _, _ = explained(lambda _, x: jnp.tanh(step(x)) @ draw(classes, 3), images, [step], head="sharing")
    assert [layer.grid for layer in flow.layers] == [(3, 4), ()]


@pytest.mark.parametrize("form", FLATTENED)
def test_relevance_of_positions_before_a_flattened_dense_layer(form):
    """For a linear head, each position has < v_i , W_i > and an equal part of the bias."""
    images = draw(*IMAGES)
    classes = jax.eval_shape(FLATTENED[form], images).shape[-1]
    weights, bias = draw(classes, 3), draw(3)
    _, heat, _ = explained(lambda _, x: FLATTENED[form](x) @ weights + bias, images)
    one_by_one = np.eye(12).reshape((12, 1, 3, 4, 1)) * images
    alone = jax.jit(jax.vmap(FLATTENED[form]))(one_by_one) @ weights[:, 1]
    np.testing.assert_allclose(heat.reshape((2, 12)), alone.T + bias[1] / 12, atol=1e-10)


TOKENS = {
    "all positions": (lambda x: jnp.einsum("nhwc,hwk->nkc", x, draw(3, 4, 2)), (2,)),
    "columns": (lambda x: jnp.einsum("nhwc,wv->nhvc", x, draw(4, 5)), (3, 5)),
    "tokens in one axis": (lambda x: jnp.einsum("nlc,lm->nmc", x.reshape((2, 12, 2)), draw(12, 6)), (6,)),
    "a resize": (lambda x: jax.image.resize(x, (2, 6, 4, 2), "bilinear"), (6, 4)),
}


@pytest.mark.parametrize("form", TOKENS)
def test_positions_that_are_mixed_and_channels_that_are_not_make_positions(form):
    step, grid = TOKENS[form]

    def whole(x):
        return step(x) + 0.1

    def f(_, x):
        return jnp.tanh(whole(x)).reshape((len(x), -1, 2)).mean(1) @ draw(2, 3)

    flow, _, _ = explained(f, draw(*IMAGES), [whole])
    assert [layer.grid for layer in flow.layers] == [(3, 4), grid]


def test_a_sum_over_channels_and_some_positions_makes_channels():
    """As a patch does that was made by reshaping: the positions that are left are kept."""

    def step(x):
        return jnp.einsum("nhwc,hcd->nwd", x, draw(3, 2, 4)) + 0.1

    flow, _, _ = explained(lambda _, x: jnp.tanh(step(x)).mean(1) @ draw(4, 3), draw(*IMAGES), [step])
    assert [(layer.grid, layer.channels) for layer in flow.layers] == [((3, 4), 2), ((4,), 4)]


def test_layers_of_single_pfvs_are_one_pfv():
    """A multilayer perceptron on top has no positions to share between."""

    def f(_, x):
        y = jnp.tanh(hidden(x).reshape((2, -1)) @ draw(36, 5))
        return jnp.tanh(y @ draw(5, 4) + 0.1) @ draw(4, 3)

    flow, _, _ = explained(f, draw(*IMAGES), head="sharing")
    assert [layer.channels for layer in flow.layers] == [2, 3, 5]
    flow, _, _ = explained(f, draw(*IMAGES))
    assert [layer.channels for layer in flow.layers] == [2, 3]


def test_one_image_flattens_as_several_do():
    images = draw(*IMAGES)

    def f(_, x):
        return hidden(x).reshape((len(x), -1)) @ draw(36, 3)

    _, heat, _ = explained(f, images)
    _, alone, _ = explained(f, images[:1])
    np.testing.assert_allclose(alone, heat[:1], atol=1e-10)


REFUSED = {
    "images mixed": (lambda x: jnp.einsum("nhwc,nm->mhwc", x, draw(2, 2)), "it contracts the batch, and images must"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form):
    step, said = REFUSED[form]

    def f(_, x):
        return jnp.sum(step(x).reshape((2, -1, 1)) * jnp.ones(3), 1)

    with pytest.raises(srd.UnsupportedPrimitiveError, match=said) as error:
        jax.eval_shape(srd.decompose(f), None, jnp.ones(IMAGES))
    message = str(error.value)
    assert "no sharing rule for primitive 'dot_general' of (float64[" in message
    assert f"It is at {__file__}:" in message
    assert "@srd_jax.register_rule('dot_general')" in message

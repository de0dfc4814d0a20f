"""The last step: what < v, G > leaves of a logit goes to the positions that the head reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd

IMAGES = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 4))
WEIGHTS, BIAS = np.random.default_rng(2).normal(size=(4, 3)), np.array([0.5, -2.0, 1.0])
EVERYWHERE = np.ones((5, 6), bool)


def encoder(images):
    x = lax.conv_general_dilated(images, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x + 0.1)


def read(*boxes):
    mask = np.zeros((5, 6), bool)
    for box in boxes:
        mask[box] = True
    return mask


HEADS = {
    "all positions": (lambda v: v.mean((1, 2)) @ WEIGHTS + BIAS, EVERYWHERE),
    "a box": (lambda v: v[:, 1:3, 2:].mean((1, 2)) @ WEIGHTS + BIAS, read((slice(1, 3), slice(2, 6)))),
    "every second row": (lambda v: v[:, ::2].sum((1, 2)) @ WEIGHTS + BIAS, read(slice(0, 5, 2))),
    "two boxes": (
        lambda v: v[:, :2].mean((1, 2)) @ WEIGHTS + jnp.tanh(v[:, 4, 5] @ WEIGHTS) + BIAS,
        read(slice(0, 2), (4, 5)),
    ),
}


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", HEADS)
def test_what_is_left_over_goes_to_the_positions_that_are_read(name):
    head, mask = HEADS[name]

    def f(_, images):
        return head(encoder(images))

    _, flow = jax.jit(srd.decompose(f))((), IMAGES)
    (node,) = set(flow.head.nodes)
    ours = np.asarray(flow.head.relevance(jnp.full((2, 1), 1), None)[node])[:, 0]
    v = encoder(IMAGES)
    logits, pull = jax.vjp(head, v)
    (gradient,) = pull(jnp.zeros_like(logits).at[:, 1].set(1))
    products = np.asarray((v * gradient).sum(-1))
    left_over = logits[:, 1] - products.sum((1, 2))
    expected = products + mask / mask.sum() * np.asarray(left_over)[:, None, None]
    assert (np.abs(left_over) > 0.01).all()
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    np.testing.assert_allclose(ours.sum((1, 2)), logits[:, 1], atol=1e-12)


def test_a_gate_that_reads_more_is_before_the_head():
    def gated(v):
        return v * jax.nn.sigmoid(v.mean((1, 2), keepdims=True))

    def f(_, images):
        return gated(encoder(images))[:, 2, 3] @ WEIGHTS + BIAS

    logits, flow = jax.jit(srd.decompose(f))((), IMAGES)
    heat = flow.relevance(1, contrast=None)["input"]
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-12)


def test_one_position_is_gone_through_to_all_that_it_was_made_of():
    def f(_, images):
        return encoder(images)[:, 2, 3] @ WEIGHTS + BIAS

    logits, flow = jax.jit(srd.decompose(f))((), IMAGES)
    assert flow.head.nodes == (0,)
    around = np.zeros((5, 6), bool)
    around[1:4, 2:5] = True
    gradient = jax.grad(lambda x: f((), x)[:, 1].sum())(IMAGES)
    products = np.asarray((IMAGES * gradient).sum(-1))
    left_over = np.asarray(logits[:, 1]) - products.sum((1, 2))
    expected = products + around / around.sum() * left_over[:, None, None]
    np.testing.assert_allclose(flow.relevance(1, contrast=None)["input"], expected, atol=1e-12)


def test_several_functions_of_one_map_share_it_once():
    def f(_, images):
        v = encoder(images)
        return v[:, 2].mean(1) @ WEIGHTS + (v**2)[:, :, 4].mean(1) @ WEIGHTS + BIAS

    _, flow = jax.jit(srd.decompose(f))((), IMAGES)
    (node,) = set(flow.head.nodes)
    ours = np.asarray(flow.head.relevance(jnp.full((2, 1), 1), None)[node])[:, 0]
    v, row, column = np.asarray(encoder(IMAGES)), read(2), read((slice(None), 4))
    products = (v * row[..., None] / 6 + v**2 * column[..., None] / 5) @ WEIGHTS[:, 1]
    either = row | column
    np.testing.assert_allclose(ours, products + BIAS[1] * either / either.sum(), atol=1e-12)


def test_several_maps_share_what_is_left_over_by_their_positions():
    def f(_, images):
        v = encoder(images)
        pooled = lax.reduce_window(v, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        second = jax.nn.relu(pooled @ WEIGHTS)
        return v[:, 1:, :3].mean((1, 2)) @ WEIGHTS + second.mean((1, 2)) + BIAS

    logits, flow = jax.jit(srd.decompose(f))((), IMAGES)
    zero = flow.head.relevance(jnp.zeros((2, 1), int), None)
    own = {node: np.asarray(r)[:, 0] for node, r in zero.items()}
    assert sorted(r.shape[1:] for r in own.values()) == [(2, 3), (5, 6)]
    large = next(r for r in own.values() if r.shape[1:] == (5, 6))
    assert (large[:, 0] == 0).all()
    assert (large[:, :, 3:] == 0).all()
    np.testing.assert_allclose(sum(r.sum((1, 2)) for r in own.values()), logits[:, 0], atol=1e-12)


def test_single_neurons_share_it_among_those_that_are_read():
    def f(_, images):
        return encoder(images)[:, 2, 3] @ WEIGHTS + BIAS

    heat = jax.jit(srd.explain(f, unit="scalar", contrast=None))((), IMAGES, 1)
    logits = f((), IMAGES)
    far = np.ones((5, 6), bool)
    far[1:4, 2:5] = False
    assert (np.asarray(heat)[:, far] == 0).all()
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-12)

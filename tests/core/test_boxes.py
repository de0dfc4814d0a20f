"""Fields made tile by tile, each in the box that it can read, are those that are made on whole maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.core.boxes import Box, boxes_of
from srd_jax.core.geometry import Flip, Pad, Slice, Window

RNG = np.random.default_rng(0)
NUMBERS = ("NHWC", "HWIO", "NHWC")
WEIGHTS = [
    jnp.asarray(RNG.normal(size=shape) / 4, jnp.float32)
    for shape in ((3, 3, 3, 5), (3, 3, 5, 5), (3, 3, 5, 5), (1, 1, 5, 5), (3, 3, 5, 5))
]
DENSE = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(2, 48, 40, 3)), jnp.float32)


def conv(x, kernel, stride=1, padding="SAME", dilation=1):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, rhs_dilation=(dilation, dilation), dimension_numbers=NUMBERS
    )


def relu(x):
    return jnp.maximum(x, 0)


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))


def residual(w, x):
    x = relu(conv(x, w[0], 2) + 0.1)
    x = relu(conv(relu(conv(x, w[1]) + 0.1), w[2]) + x)
    return relu(conv(relu(conv(x, w[1], 2)), w[2]) + conv(x, w[3], 2, "VALID"))


def overlapping(w, x):
    return relu(conv(pooled(relu(conv(x, w[0]))), w[1], dilation=2) - 0.05)


def moved(w, x):
    x = jnp.pad(relu(conv(x, w[0], 2)), ((0, 0), (2, 1), (0, 3), (0, 0)))
    return relu(conv(x[:, 1:23, 2:22], w[1], 1, ((1, 1), (0, 2))))


NETWORKS = {"residual": residual, "overlapping": overlapping, "moved": moved}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_fields_of_all_positions_are_those_of_each(network):
    _, flow = srd.decompose(lambda w, x: network(w, x).mean((1, 2)) @ DENSE)(WEIGHTS, IMAGES)
    grids = [layer.grid for layer in flow.layers]
    tiled = 0
    for index, layer in enumerate(flow.layers[1:], 1):
        positions = np.argwhere(np.ones(layer.grid))
        expected = np.asarray(flow.erf(layer.name, positions))
        got = np.asarray(flow.erf(layer.name))
        np.testing.assert_allclose(got, expected, atol=1e-6, err_msg=layer.name)
        tiled += boxes_of(flow.edges, index, grids) is not None
    assert tiled


def test_a_box_is_what_the_steps_read():
    box = Box((1, 1), (0, 0), (4, 2))
    window = Window((3, 2), (2, 1), ((1, 0), (0, 1)), (1, 3), (1, 1))
    assert box.before(window) == Box((2, 1), (-1, 0), (9, 5))
    assert box.before(Pad(((2, 1, 0), (-1, 0, 0)))) == Box((1, 1), (-2, 1), (4, 2))
    assert box.before(Slice(((3, 20, 2), (1, 5, 1)))) == Box((2, 1), (3, 1), (7, 2))
    assert box.before(Flip((0,), 2)) is None
    assert box.before(Pad(((0, 0, 1), (0, 0, 0)))) is None
    assert box.before(Window((3, 2), (2, 1), ((1, 0), (0, 1)), (1, 3), (2, 1))) is None


def test_boxes_that_move_alike_have_one_around_them():
    assert Box((2,), (-1,), (5,)).around(Box((2,), (1,), (9,))) == Box((2,), (-1,), (11,))
    assert Box((2,), (-1,), (5,)).around(Box((1,), (-1,), (5,))) is None


def test_they_have_derivatives():
    def total(positions, images):
        _, flow = srd.decompose(lambda w, x: residual(w, x).mean((1, 2)) @ DENSE)(WEIGHTS, images)
        return jnp.sum(jnp.sin(9 * flow.erf(flow.layers[1].name, positions)))

    every = np.argwhere(np.ones((24, 20)))
    few = IMAGES[:1]
    np.testing.assert_allclose(
        jax.grad(total, 1)(None, few), jax.grad(total, 1)(every, few), atol=1e-4 * np.abs(total(None, few)) / few.size
    )

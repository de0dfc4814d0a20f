"""How a step keeps its state: what it makes of a probe with the switches of the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from srd_jax.core.tracing import trace
from srd_jax.patterns.frozen_pattern import run_held, switched

IMAGES, PROBE = (jax.random.normal(jax.random.key(i), (2, 4, 6, 3)) for i in range(2))


def program(f):
    return trace(jax.make_jaxpr(lambda _, x: f(x).mean((1, 2)), return_shape=True), (), IMAGES)


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 3, 1), (1, 2, 3, 1), "VALID")


def test_a_pool_takes_the_probe_where_the_image_was_largest():
    equation = next(e for e in program(pool).equations if e.primitive.name == "reduce_window_max")
    found = np.asarray(switched(equation, IMAGES, PROBE))
    windows = [
        np.asarray(x).reshape(2, 2, 2, 2, 3, 3).transpose(0, 1, 3, 5, 2, 4).reshape(2, 2, 2, 3, 6)
        for x in (IMAGES, PROBE)
    ]
    expected = np.take_along_axis(windows[1], windows[0].argmax(-1)[..., None], -1)[..., 0]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("f", "held"), [
    (jax.nn.relu, lambda x, p: np.where(x > 0, p, 0)),
    (lambda x: jnp.clip(x, -0.5, 0.5), lambda x, p: np.where(x <= -0.5, -0.5, np.where(x >= 0.5, 0.5, p))),
    (jnp.abs, lambda x, p: np.where(x < 0, -p, p)),
    (jnp.tanh, lambda x, p: np.where(x > 0, 1, -1)),
    (jnp.atan, lambda x, p: np.where(x > 0, np.pi / 2, -np.pi / 2)),
    (jnp.floor, lambda x, p: np.floor(x)),
    (jnp.sin, lambda x, p: np.sin(p)),
], ids=["relu", "clip", "abs", "tanh", "atan", "floor", "sin"])  # fmt: skip
def test_every_sort_of_state(f, held):
    found = run_held(program(f), [], IMAGES, PROBE)
    np.testing.assert_allclose(found, held(np.asarray(IMAGES), np.asarray(PROBE)).mean((1, 2)), atol=1e-5)

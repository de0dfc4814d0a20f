"""Indexing with constant places is the slices that it stands for; what sorts channels keeps positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from tests.laws import draw, explained, logits

IMAGES = (2, 5, 4, 3)

SAME = {
    "rows": (
        lambda x: x[:, np.array([3, 0, 3, 1])],
        lambda x: jnp.concatenate([x[:, i : i + 1] for i in (3, 0, 3, 1)], 1),
    ),
    "columns": (lambda x: jnp.take(x, jnp.array([2, 1]), 2), lambda x: x[:, :, 2:0:-1]),
    "channels": (lambda x: x[..., np.array([2, 0])], lambda x: jnp.concatenate([x[..., 2:], x[..., :1]], -1)),
    "every pixel twice": (lambda x: jnp.repeat(x, 2, 1), lambda x: jax.image.resize(x, (2, 10, 4, 3), "nearest")),
    "a row at a known place": (
        lambda x: jax.lax.dynamic_slice_in_dim(x, jnp.array(1), 3, 1), lambda x: x[:, 1:4],
    ),
    "tokens": (
        lambda x: x.reshape((2, 20, 3))[:, np.arange(1, 20)].reshape((2, 19, 1, 3)),
        lambda x: x.reshape((2, 20, 3))[:, 1:].reshape((2, 19, 1, 3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_places_are_the_slices_that_they_stand_for(name):
    maps = []
    for step in SAME[name]:
        _, heat, _ = explained(lambda _, x, step=step: logits(jnp.tanh(step(jnp.tanh(x)) + 0.1)), draw(*IMAGES))
        maps.append(heat)
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-10)


@pytest.mark.parametrize("step", [lambda y: jnp.sort(y, -1), lambda y: jax.lax.top_k(y, 2)[0]])
def test_what_picks_among_channels_is_a_function_of_one_pfv(step):
    flow, _, _ = explained(lambda _, x: logits(step(jnp.tanh(x)) * 1.0), draw(*IMAGES))
    assert [layer.grid for layer in flow.layers] == [(5, 4)]


REFUSED = {
    "places that the images choose": (
        lambda v, x: jnp.take_along_axis(x, (x > 0).astype(int), 1),
        "depends on the images",
    ),
    "places that variables choose": (lambda v, x: x[:, v], "not known while the model is traced"),
    "images": (lambda v, x: x[np.array([1, 0])], "takes the batch apart"),
    "positions sorted": (lambda v, x: jnp.sort(x, 1), "runs over positions"),
    "single elements": (lambda v, x: x[:, np.array([0, 1]), np.array([1, 2])][:, :, None], "places along one axis"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    step, said = REFUSED[name]
    with pytest.raises(srd.UnsupportedPrimitiveError, match=said):
        srd.explain(lambda v, x: step(v, x).mean((1, 2)))(jnp.array([1, 0]), draw(*IMAGES), 0)

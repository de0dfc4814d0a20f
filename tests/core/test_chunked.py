"""Maps made a few at a time are those that are made at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core import chunked as rooms
from srd_jax.core.chunked import chunked, in_parts

XS = jnp.arange(14.0).reshape(7, 2)
TABLE = jnp.arange(6.0).reshape(3, 2)


def f(xs, table=TABLE):
    return jnp.sin(table[:, None] * xs)


@pytest.mark.parametrize("at_once", [1, 2, 3, 6, 7, 64])
def test_every_result_is_at_its_place(at_once):
    expected = jnp.concatenate([f(x[None]) for x in XS], 1)
    np.testing.assert_array_equal(chunked(f, XS, at_once), expected)
    np.testing.assert_array_equal(chunked(f, XS[:6], at_once), expected[:, :6])
    np.testing.assert_array_equal(chunked(f, XS[:0], at_once), expected[:, :0])


def test_they_have_derivatives_and_can_be_mapped():
    def total(table, at_once):
        return jnp.sum(jnp.cos(chunked(lambda xs: f(xs, table), XS, at_once)))

    for transform in (jax.grad, jax.jacfwd):
        np.testing.assert_allclose(transform(total)(TABLE, 3), transform(total)(TABLE, 7), atol=1e-5)
    tables = jnp.stack([TABLE, TABLE + 1])
    mapped = jax.vmap(lambda table: chunked(lambda xs: f(xs, table), XS, 3))(tables)
    np.testing.assert_allclose(mapped, [chunked(lambda xs, t=t: f(xs, t), XS, 3) for t in tables], atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("channel_axis", [-1, 1])
def test_images_in_parts_are_those_at_once(monkeypatch, count, channel_axis):
    sizes = []

    def fn(images, targets):
        sizes.append(images.shape[0])
        total = jnp.sum(jnp.sin(images), (1, 2, 3))
        return total, {"with": total if targets is None else total * targets}

    shape = (count, 4, 5, 3) if channel_axis == -1 else (count, 3, 4, 5)
    images = jnp.arange(float(count * 60)).reshape(shape)
    targets = jnp.arange(float(count))
    monkeypatch.setattr(rooms, "_PIXELS", 2 * 4 * 5 + 7)
    for data in (targets, None):
        expected = fn(images, data)
        sizes.clear()
        made = in_parts(fn, images, data, channel_axis)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), made, expected)
        assert set(sizes) == {min(count, 2)}
        expected = jax.grad(lambda x, data=data: fn(x, data)[1]["with"].sum())(images)
        got = jax.grad(lambda x, data=data: in_parts(fn, x, data, channel_axis)[1]["with"].sum())(images)
        np.testing.assert_allclose(got, expected, atol=1e-6)

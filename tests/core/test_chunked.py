"""Maps made a few at a time are those that are made at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core.chunked import chunked

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

"""Contributions measured where they come from and where they arrive are the same, as are their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.core import contributions, sharing

SIDE = 8


def stem(variables, images, channels_last=True):
    """A wide stem of three channels, scaled by channel, then an overlapping max pool before a wider 1 x 1 step."""
    kernel, scale, shift, wide, dense = variables
    axis = -1 if channels_last else 1
    spec = ("NHWC", "HWIO", "NHWC") if channels_last else ("NCHW", "HWIO", "NCHW")

    def by_channel(x):
        return x if channels_last else x[:, None, None]

    x = lax.conv_general_dilated(images, kernel, (2, 2), "SAME", dimension_numbers=spec)
    x = jnp.maximum(x * by_channel(scale) + by_channel(shift), 0)
    window = (1, 3, 3, 1) if channels_last else (1, 1, 3, 3)
    x = lax.reduce_window(x, -jnp.inf, lax.max, window, (1, 1, 1, 1), "SAME")
    x = lax.conv_general_dilated(x, wide, (1, 1), "VALID", dimension_numbers=spec) + by_channel(dense[0])
    return jnp.mean(jnp.maximum(x, 0), (1, 2) if axis == -1 else (2, 3)) @ dense


@pytest.fixture(scope="module")
def variables():
    keys = jax.random.split(jax.random.key(0), 5)
    shapes = (5, 5, 3, 16), (16,), (16,), (1, 1, 16, 64), (64, 64)
    return [jax.random.normal(key, shape) / 4 for key, shape in zip(keys, shapes, strict=True)]


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (2, SIDE, SIDE, 3))


@pytest.fixture
def used(monkeypatch):
    """Whether each term that could be measured at its source was."""
    answers, choose = [], contributions._cheaper_at_source

    def watched(*args, **options):
        answers.append(choose(*args, **options))
        return answers[-1]

    monkeypatch.setattr(contributions, "_cheaper_at_source", watched)
    return answers


@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_both_sides_measure_the_same(monkeypatch, used, variables, images, bias, channels_last):
    x = images if channels_last else jnp.moveaxis(images, -1, 1)

    def ratios_and_gradient():
        def f(v, x):
            return stem(v, x, channels_last)

        def loss(x):
            _, flow = srd.decompose(f, bias=bias, channel_axis=-1 if channels_last else 1)(variables, x)
            ratios = [edge.ratios for edge in flow.edges if edge.ratios is not None]
            return sum(jnp.sum(jnp.sin(r)) for r in ratios), ratios

        return jax.jit(jax.grad(loss, has_aux=True))(x)

    gradient, ratios = ratios_and_gradient()
    assert used == ([True, True] if bias == "norm" else [True])
    monkeypatch.setattr(contributions, "_cheaper_at_source", lambda *_, **__: False)
    expected_gradient, expected = ratios_and_gradient()
    assert len(ratios) == len(expected) == 2
    for got, want in zip(ratios, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * float(jnp.abs(want).max()))
    scale = float(jnp.abs(expected_gradient).max())
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("groups", [1, 2])
def test_only_whole_steps_that_widen_are_measured_at_the_source(used, groups):
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 4 // groups, 32))

    def f(kernel, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups)
        return jnp.mean(x, (1, 2))

    srd.explain(f)(kernel, jnp.ones((1, SIDE, SIDE, 4)))
    assert used == [groups == 1]


@pytest.mark.parametrize("offsets", [1, 3, contributions._OFFSETS, contributions._OFFSETS + 2])
def test_every_channel_counts_at_its_own_offset(offsets):
    rows = jax.random.normal(jax.random.key(3), (7, 5))
    switches = jax.random.randint(jax.random.key(4), (7, 5), -1, offsets).astype(jnp.int8)

    def total(rows):
        return contributions._by_switch(rows, switches, offsets)

    expected = [np.where(np.asarray(switches) == offset, rows, 0).sum(1) for offset in range(offsets)]
    np.testing.assert_allclose(jax.jit(total)(rows), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(total)(jnp.stack([rows, -rows]))[1], np.negative(expected), atol=1e-6)
    for derivative in (jax.jacrev, jax.jacfwd):
        slope = derivative(lambda rows: jnp.sum(jnp.arange(1.0, offsets + 1)[:, None] * total(rows)))(rows)
        np.testing.assert_allclose(slope, np.asarray(switches) + 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_taps_add_up(dtype):
    with jax.enable_x64(dtype == "float64"):
        by_tap = jax.random.normal(jax.random.key(5), (49, 2, 3, 4), dtype)
        total = sharing._over_taps(by_tap)
        assert total.dtype == by_tap.dtype
        np.testing.assert_allclose(total, np.asarray(by_tap).sum(0), atol=1e-5 if dtype == "float32" else 1e-13)

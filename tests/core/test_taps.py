"""Numbers of taps: the same offsets whether a tap is known or traced."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax.core.taps import box_of, divided, offsets_of, over_taps


@pytest.mark.parametrize("sizes", [(3, 3), (1, 4), (2, 1, 3), (5,), (1, 1), (4, 1)], ids=str)
def test_offsets_are_those_of_the_row_major_order(sizes):
    taps = np.arange(np.prod(sizes))
    expected = np.stack(np.unravel_index(taps, sizes), 1)
    np.testing.assert_array_equal([offsets_of(int(tap), sizes) for tap in taps], expected)

    def traced(tap):
        return jnp.stack([jnp.asarray(offset, tap.dtype) for offset in offsets_of(tap, sizes)])

    np.testing.assert_array_equal(jax.lax.map(traced, jnp.asarray(taps)), expected)


@pytest.mark.parametrize("inner", [1, 4])
def test_a_tap_of_two_steps_is_one_of_each(inner):
    expected = [divmod(tap, inner) for tap in range(12)]
    assert [divided(tap, inner) for tap in range(12)] == expected
    first, second = jax.vmap(lambda tap: [jnp.asarray(part, tap.dtype) for part in divided(tap, inner)])(jnp.arange(12))
    np.testing.assert_array_equal(np.stack([first, second], 1), expected)


@pytest.mark.parametrize("strides", [None, (1, 1), (2, 1), (2, 3)], ids=str)
def test_a_box_is_the_same_at_known_and_traced_starts(strides):
    x = np.arange(60).reshape(6, 10)
    rows, columns = strides or (1, 1)
    for start in (0, 2):
        expected = x[start : start + 4 : rows, 3 : 3 + 7 : columns]
        np.testing.assert_array_equal(box_of(x, [start, 3], [4, 7], strides), expected)
        traced = jax.jit(lambda start: box_of(jnp.asarray(x), [start, 3], [4, 7], strides))(start)
        np.testing.assert_array_equal(traced, expected)


@pytest.mark.parametrize("size", [1, 2**27, 2**40])
def test_a_gpu_does_several_taps_at_once_with_the_same_result(monkeypatch, size):
    table, sizes = jnp.arange(24.0).reshape(12, 2), []

    def fn(tap):
        sizes.append(jnp.shape(tap))
        return table[tap], {"double": 2 * tap}

    expected = over_taps(fn, 12, size)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for found, wanted in zip(jax.tree.leaves(over_taps(fn, 12, size)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_map_is_the_same_with_several_taps_at_once(monkeypatch):
    numbers = ("NHWC", "HWIO", "NHWC")
    keys = jax.random.split(jax.random.key(0), 5)
    images = jax.random.normal(keys[0], (2, 17, 16, 3))
    kernels = [jax.random.normal(key, shape) / 4 for key, shape in zip(keys[1:], KERNELS, strict=False)]

    def f(kernels, x):
        first, second, depthwise = kernels
        x = jnp.maximum(jax.lax.conv_general_dilated(x, first, (2, 2), "SAME", dimension_numbers=numbers) + 0.1, 0)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        x = jnp.maximum(jax.lax.conv_general_dilated(x, second, (1, 1), "SAME", dimension_numbers=numbers) - 0.1, 0)
        x = jax.lax.conv_general_dilated(x, depthwise, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=8)
        return jnp.maximum(x, 0).mean((1, 2))

    expected = [srd.explain(f, bias=bias)(kernels, images, 1) for bias in ("norm", "uniform")]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for bias, wanted in zip(("norm", "uniform"), expected, strict=True):
        got = srd.explain(partial(f), bias=bias)(kernels, images, 1)
        np.testing.assert_allclose(got, wanted, atol=1e-5 * jnp.abs(wanted).max())


KERNELS = ((7, 7, 3, 8), (3, 3, 8, 8), (3, 3, 1, 8))

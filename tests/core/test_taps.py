"""Numbers of taps: the same offsets whether a tap is known or traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core.taps import box_of, divided, offsets_of


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

"""Sliding windows: every tap reads what a strided, dilated slice of the padded array is."""

import numpy as np
import pytest

from srd_jax.core import layout as lay
from srd_jax.core.layout import LayoutError
from srd_jax.core.rules.windows import AxisWindow, sliding

X = np.arange(2 * 7 * 6 * 3.0).reshape(2, 7, 6, 3)
LAYOUT = lay.of_images(X.shape, -1)


def test_every_tap_reads_its_slice():
    window = sliding(LAYOUT, {1: AxisWindow(3, 2, (1, 1), 2), 2: AxisWindow(2, 1, (0, 1))})
    padded = np.asarray(window.pad(X, -1))
    np.testing.assert_array_equal(padded, np.pad(X, ((0, 0), (1, 1), (0, 1), (0, 0)), constant_values=-1))
    assert window.step.taps == 6
    assert lay.shape_of(window.layout) == (2, 3, 6, 3)
    for tap in range(6):
        row, column = divmod(tap, 2)
        expected = padded[:, 2 * row : 2 * row + 5 : 2, column : column + 6]
        np.testing.assert_array_equal(window.gather(padded, tap), expected)


def test_channels_have_no_windows():
    with pytest.raises(LayoutError, match="axis 3"):
        sliding(LAYOUT, {3: AxisWindow(2)})


def test_a_window_that_does_nothing():
    assert AxisWindow(1).is_trivial
    assert not AxisWindow(1, 2).is_trivial

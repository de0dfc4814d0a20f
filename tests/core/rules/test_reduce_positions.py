"""Reading whole axes: every tap is one position, row by row."""

import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.rules.reduce_positions import at_position, reduce_positions

X = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
LAYOUT = lay.of_images(X.shape, -1)


def test_every_tap_reads_its_position():
    step, gather, gathered = reduce_positions(LAYOUT, (1, 2))
    assert step.taps == 12
    assert lay.shape_of(gathered) == (2, 1, 1, 5)
    for tap in range(12):
        np.testing.assert_array_equal(gather(X, tap)[:, 0, 0], X[:, tap // 4, tap % 4])


def test_one_axis_leaves_the_other():
    step, gather, gathered = reduce_positions(LAYOUT, (2,))
    assert step.taps == 4
    assert lay.shape_of(gathered) == (2, 3, 1, 5)
    np.testing.assert_array_equal(gather(X, 3)[:, :, 0], X[:, :, 3])


def test_positions_that_share_an_axis_with_channels():
    flat = lay.reshape(LAYOUT, (2, 60))
    kinds = {dim.kind for dim in lay.position_dims(flat)}
    np.testing.assert_array_equal(at_position(X.reshape(2, 60), flat, kinds, 7), X[:, 1, 3])

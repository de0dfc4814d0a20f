"""The pointing game at the edges of a box."""

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.metrics import pointing_game

BOX = (2, 3, 5, 7)


@pytest.mark.parametrize(
    ("row", "column", "tolerance", "hit"),
    [
        (2, 3, 0, True), (4, 6, 0, True), (1, 3, 0, False), (2, 2, 0, False), (5, 6, 0, False), (4, 7, 0, False),
        (5, 6, 1, True), (5, 7, 1, False), (5, 7, 1.5, True), (0, 3, 2, True), (0, 3, 1.9, False),
    ],
)  # fmt: skip
def test_hits(row, column, tolerance, hit):
    maps = jnp.zeros((1, 8, 9)).at[0, row, column].set(1.0).at[0, 3, 4].set(-9.0)
    assert bool(pointing_game(maps, jnp.array([BOX]), tolerance)[0]) == hit


def test_every_image_has_its_box_and_an_empty_box_is_never_hit():
    maps = jnp.zeros((3, 8, 9)).at[:, 2, 3].set(1.0)
    boxes = jnp.array([BOX, (0, 0, 2, 9), (2, 3, 2, 7)])
    np.testing.assert_array_equal(pointing_game(maps, boxes), [True, False, False])

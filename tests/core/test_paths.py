"""Which contributions are of one PFV: told from shapes alone."""

import jax.numpy as jnp
import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Pad, Slice, Window
from srd_jax.core.paths import paths_of
from srd_jax.core.values import Map, Term

ARRAY = jnp.ones((1, 4, 2))
LAYOUT = lay.of_images(ARRAY.shape, -1)


def term(*steps, node=0):
    return Term(Map(ARRAY, LAYOUT, node), ARRAY, LAYOUT, steps)


THREE = Window((3,), (1,), ((1, 1),), (1,), (1,))


def test_a_window_alone_has_no_two_paths_from_one_pfv():
    paths = paths_of([term(THREE)], [0], [None])
    assert paths.groups == ()
    assert paths.reached.all()
    np.testing.assert_array_equal(paths.once[0][:, 0], [[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]])


def test_the_skip_beside_a_window_is_a_second_path_from_its_middle():
    paths = paths_of([term(THREE), term()], [0, 0], [None, None])
    (group,) = paths.groups
    assert set(group.members) == {(0, 1), (1, 0)}
    assert not paths.partial
    np.testing.assert_array_equal(paths.once[1][0, 0], [0.5] * 4)


def test_the_same_from_another_map_is_none():
    assert paths_of([term(THREE), term(node=1)], [0, 1], [None, None]).groups == ()


def test_positions_that_no_pixel_reaches_are_no_contributors():
    live = np.array([True, False, False, False])
    paths = paths_of([term(Slice(((1, 3, 1),)), Pad(((1, 1, 0),)))], [0], [live])
    assert paths.constant
    assert not paths.reached.any()

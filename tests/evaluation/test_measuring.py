"""What is measured of maps in each of their forms, against the metrics called one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics
from srd_jax.attribution import METHODS
from srd_jax.data.annotations import IGNORED, OBJECT
from srd_jax.data.chunks import Chunk
from srd_jax.data.images import NO_LABEL
from srd_jax.data.store import DONE, UNREADABLE
from srd_jax.evaluation.measuring import FORMS, Noted, Protocol, Task, forms, measured, measures
from srd_jax.metrics import Explained
from tests.cli.networks import network
from tests.small_stores import Notes

KEYS = jax.random.split(jax.random.key(0), 3)
MAPS = jax.random.normal(KEYS[0], (3, 8, 8))
IMAGES = jax.random.normal(KEYS[1], (3, 8, 8, 3))
MASKS = jnp.zeros((3, 8, 8), jnp.uint8).at[:, 2:5, 1:7].set(OBJECT)
NET = network(4)
MADE = Explained(MAPS, NET.apply, NET.variables, IMAGES, jnp.array([0, 3, 1]), metrics.mean_colour(IMAGES), steps=4)


def test_every_metric_in_every_form():
    protocol = Protocol(("noise", "insertion", "energy_pointing", "pointing"), blur=0.7)
    found = measures(MADE, protocol, MASKS)
    assert found.shape == (3, 4, 4)
    blurred = metrics.blurred(MAPS[..., None], sigma=0.7)[..., 0]
    shown = [MAPS, blurred, *(each - each.mean((1, 2), keepdims=True) for each in (MAPS, blurred))]
    box = jnp.array([[2, 1, 5, 7]] * 3)
    for form, maps in enumerate(shown):
        curve = metrics.insertion(NET.apply, NET.variables, IMAGES, maps, MADE.targets, MADE.without, steps=4)
        expected = [
            metrics.noise_level(maps), metrics.area(curve), metrics.energy_pointing(maps, MASKS == OBJECT),
            metrics.pointing_game(maps, box),
        ]  # fmt: skip
        np.testing.assert_allclose(found[:, form], np.stack(expected, 1).astype(np.float32), rtol=1e-5)
    assert tuple(forms(0.7)) == FORMS


def test_a_map_that_says_nothing_and_an_image_without_object_have_no_number():
    maps = MAPS.at[0].set(2.0).at[1, 3, 3].set(jnp.nan)
    masks = MASKS.at[2].set(0)
    found = measures(
        Explained(maps, *MADE.model[:3], MADE.targets, MADE.without), Protocol(("gini", "auc"), 0.7), masks
    )
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [[True, True], [True, True], [False, True]])


def test_pixels_to_be_ignored_count_for_nothing():
    masks = MASKS.at[:, 0].set(IGNORED)
    maps = MAPS.at[:, 0, 0].set(100.0)
    made = Explained(maps, *MADE.model[:3], MADE.targets, MADE.without)
    found = measures(made, Protocol(("energy_pointing", "mask_pointing"), 0.7), masks)[:, 0]
    rest = maps.at[:, 0].set(0)
    np.testing.assert_allclose(found[:, 0], metrics.energy_pointing(rest, MASKS == OBJECT), rtol=1e-6)
    below = maps.at[:, 0].set(-100)
    np.testing.assert_array_equal(found[:, 1], metrics.mask_pointing(below, MASKS == OBJECT))


def chunk(problems, notes):
    labels = np.full(3, NO_LABEL, np.int32)
    return Chunk(2, 6, 3, np.asarray(IMAGES, np.float32), labels, problems, ("a", "b", "c"), notes)


def run(name, protocol, notes, problems=None, several=1):
    written, costs = Notes(), {}
    task = Task(METHODS[name](NET.apply), written, frozenset({2}))
    done = measured(
        NET,
        {name: task},
        protocol,
        [chunk(problems or {}, notes)],
        several=several,
        kept=8,
        tell_cost=lambda *of: costs.update([of]),
    )
    assert [(each.index, method) for each, method in done] == [(2, name)]
    return written.rows[2], costs[name]


@pytest.mark.parametrize("name", ["srd", "input_x_gradient"])
def test_several_targets_of_an_image_together_and_one_by_one(name):
    targets = [(0, 3), (3, 1), (1, 2)]
    masks = np.stack([np.asarray(MASKS[0]), 1 - np.asarray(MASKS[0])])
    notes = {row: Noted(each, masks) for row, each in enumerate(targets)}
    rows, cost = run(
        name, Protocol(("energy_pointing", "self_correlation", "randomisation"), 0.7, samples=3), notes, several=2
    )
    expected = METHODS[name](NET.apply)(NET.variables, IMAGES, np.array(targets))
    np.testing.assert_allclose(rows.maps[:2], expected[:2], atol=1e-6)
    assert np.isnan(rows.maps[2]).all()  # the ninth image, and the maps of eight are kept
    np.testing.assert_array_equal(rows.targets, targets)
    share = metrics.energy_pointing(expected[:, 1], jnp.asarray(np.stack([masks[1]] * 3)) == OBJECT)
    np.testing.assert_allclose(rows.measures[:, 1, 0, 0], share, rtol=1e-4)
    again = run(
        name, Protocol(("energy_pointing", "self_correlation", "randomisation"), 0.7, samples=3), notes, several=2
    )[0]
    np.testing.assert_array_equal(rows.measures, again.measures)
    assert cost.forward_passes > 0
    assert cost.temporary_bytes is None or cost.temporary_bytes >= 0


def test_an_image_that_cannot_be_read_and_one_without_label():
    notes = {0: Noted((NO_LABEL,), None), 2: Noted((2,), None)}
    rows, _ = run("input_x_gradient", Protocol(("gini",), 0.7), notes, {1: "lost"})
    np.testing.assert_array_equal(rows.status, [DONE, UNREADABLE, DONE])
    predicted = int(np.argmax(NET.apply(NET.variables, IMAGES)[0]))
    np.testing.assert_array_equal(rows.targets[:, 0], [predicted, -1, 2])
    np.testing.assert_array_equal(np.isnan(rows.measures).all((1, 2, 3)), [False, True, False])

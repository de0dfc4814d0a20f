"""Every row of the table is a metric of this package, and says what it needs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import metrics
from srd_jax.metrics import METRICS, Explained

MAPS = jax.random.normal(jax.random.key(0), (3, 8, 6))
IMAGES = jax.random.normal(jax.random.key(1), (3, 8, 6, 3))
WEIGHTS = jax.random.normal(jax.random.key(2), (3, 4))
TARGETS = jnp.array([0, 3, 1])
BOXES = jnp.array([[0, 0, 8, 6], [2, 2, 4, 4], [7, 5, 8, 6]])


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2))


def explain(images):
    return jnp.sum(images * WEIGHTS[:, 0], -1)


MASKS = jax.random.uniform(jax.random.key(3), MAPS.shape) < 0.3
BARE = Explained(MAPS, network, WEIGHTS, IMAGES, TARGETS, metrics.mean_colour(IMAGES), steps=4, tolerance=1.0, runs=20)
EXPLAINED = replace(BARE, boxes=BOXES, masks=MASKS, key=(KEY := jax.random.key(4)))
EXPLAINED = replace(EXPLAINED, others=metrics.noisy_maps(KEY, explain, IMAGES, samples=2), randomised=MAPS[::-1])


@pytest.mark.parametrize("name", METRICS)
def test_one_number_for_each_image(name):
    found, spread = (np.asarray(part) for part in metrics.measure(name, EXPLAINED))
    assert found.shape == spread.shape == (3,)
    assert np.isfinite(found).all()
    assert (spread > 0).all() == ("key" in METRICS[name].needs)
    assert METRICS[name].better in ("less", "more", "")


def test_the_rows_are_the_functions():
    baseline = metrics.mean_colour(IMAGES)
    curve = metrics.insertion(network, WEIGHTS, IMAGES, MAPS, TARGETS, baseline, steps=4)
    expected = {
        "noise": metrics.noise_level(MAPS), "gini": metrics.gini(MAPS), "insertion": metrics.area(curve),
        "pointing": metrics.pointing_game(MAPS, BOXES, 1.0),
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(METRICS[name].measure(EXPLAINED), values, rtol=1e-5)
    assert [name for name, metric in METRICS.items() if metric.of_boxes] == ["pointing"]


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs])
def test_what_is_missing_is_named(name):
    with pytest.raises(srd.MetricError, match=f"{name} needs .*{METRICS[name].needs[0]}="):
        metrics.measure(name, BARE)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gimi", {}, "no metric is called 'gimi'; did you mean 'gini'"),
        ("auc", {"masks": MASKS[:, 1:]}, "takes masks of the maps' shape"),
        ("pointing", {"boxes": BOXES[:2]}, r"takes boxes of shape \(3, 4\)"),
        ("gini", {"maps": MAPS[:2]}, "takes maps"),
        ("gini", {"maps": MAPS.at[1].set(0.5)}, "the map of image 1 is constant"),
        ("gini", {"maps": MAPS.at[2, 0, 0].set(jnp.nan)}, "the map of image 2 holds NaN"),
    ],
)
def test_what_would_mean_nothing(name, changes, message):
    with pytest.raises(srd.MetricError, match=message):
        metrics.measure(name, replace(EXPLAINED, **changes))


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.by_order])
def test_what_only_orders_pixels_does_not_see_a_shift(name):
    shifted = replace(EXPLAINED, maps=MAPS - 3)
    np.testing.assert_array_equal(METRICS[name].measure(shifted), METRICS[name].measure(EXPLAINED))


def test_a_map_that_did_not_notice_the_network():
    assert metrics.measure("randomisation", replace(EXPLAINED, randomised=-MAPS)).value.min() > 0.999

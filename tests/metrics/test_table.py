"""Every row of the table is a metric of this package, and says what it needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics
from srd_jax.metrics import METRICS, Explained

MAPS = jax.random.normal(jax.random.key(0), (3, 8, 6))
IMAGES = jax.random.normal(jax.random.key(1), (3, 8, 6, 3))
WEIGHTS = jax.random.normal(jax.random.key(2), (3, 4))
TARGETS = jnp.array([0, 3, 1])
BOXES = jnp.array([[0, 0, 8, 6], [2, 2, 4, 4], [7, 5, 8, 6]])


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2))


EXPLAINED = Explained(MAPS, network, WEIGHTS, IMAGES, TARGETS, metrics.mean_colour(IMAGES), BOXES, 4, 1.0)


@pytest.mark.parametrize("name", METRICS)
def test_one_number_for_each_image(name):
    found = np.asarray(METRICS[name].measure(EXPLAINED))
    assert found.shape == (3,)
    assert np.isfinite(found).all()
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

"""The choices of the method, turned off one by one: every metric of every setting on every image."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from srd_jax import metrics
from srd_jax.attribution import METHODS, with_options
from srd_jax.batch import Batch
from srd_jax.evaluation.ablation import SETTINGS, ablation
from srd_jax.models.photos import Preprocessing

IMAGES = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
LABELS = np.array([0, 1, -1, 0, 1], np.int32)
BOXES = np.array([[0, 0, 4, 4], [2, 2, 8, 8], [np.nan] * 4, [1, 0, 3, 8], [0, 0, 8, 8]], np.float32)
OPTIONS = {"bias": "norm", "head": "linear", "contrast": None}


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), bias_init=nn.initializers.normal(0.3))(x))
        return nn.Dense(2)(nn.relu(nn.Conv(5, (3, 3), 2)(x)).mean((1, 2)))


NETWORK = Network()
NET = SimpleNamespace(
    name="small",
    labels=("cat", "dog"),
    trained=False,
    size=8,
    apply=NETWORK.apply,
    variables=NETWORK.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3))),
    preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
)


@pytest.mark.slow
def test_every_setting_is_measured_on_every_image():
    batches = [Batch(IMAGES[i : i + 2], LABELS[i : i + 2], BOXES[i : i + 2]) for i in (0, 2, 4)]
    found = ablation(NET, batches, 2, options=OPTIONS, baseline="mean", steps=4, tolerance=0)
    x = jnp.asarray(NET.preprocess.normalise(IMAGES))
    targets = jnp.where(LABELS < 0, jnp.argmax(NETWORK.apply(NET.variables, x), -1), LABELS)
    np.testing.assert_array_equal(found.targets, targets)
    np.testing.assert_array_equal(found.images, IMAGES)
    assert found.unlabelled == 1
    assert list(found.values) == list(SETTINGS)
    for setting, (method, given) in SETTINGS.items():
        heat = with_options(METHODS[method], {**OPTIONS, **given})(NETWORK.apply)(NET.variables, x, targets)
        np.testing.assert_allclose(found.maps[setting], heat, atol=1e-5)
        np.testing.assert_allclose(found.values[setting]["noise"], metrics.noise_level(heat), rtol=1e-4)
        curve = metrics.insertion(NETWORK.apply, NET.variables, x, heat, targets, metrics.mean_colour(x), steps=4)
        np.testing.assert_allclose(found.values[setting]["insertion"], metrics.area(curve), rtol=1e-4)
        pointing = found.values[setting]["pointing"]
        assert np.isnan(pointing[2])
        assert pointing[4] == 1
        assert np.isin(np.delete(pointing, 2), [0, 1]).all()

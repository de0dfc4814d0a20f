"""One step: pure, the same over several devices, and it learns."""

import json
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.models import ResNet, preprocess
from srd_jax.training import Recipe
from srd_jax.training.steps import _mixed, initial_state, normalised, train_step
from tests.compiling import on_devices

MODULE = ResNet((1, 1), bottleneck=False, num_classes=3, widths=(4, 8), stem="small", pool_skips=True)
RECIPE = Recipe(batch=12, learning_rate=1.0, warmup=0.1, weight_decay=1e-3)
LABELS = np.arange(12, dtype=np.int32) % 3
IMAGES = np.clip(
    80 * LABELS[:, None, None, None] + np.random.default_rng(0).normal(40, 20, (12, 16, 16, 3)), 0, 255
).astype(np.uint8)
step = jax.jit(partial(train_step, MODULE, RECIPE, 30))


def test_pixels_are_normalised_as_photos_are():
    photo = np.random.default_rng(1).integers(0, 255, (20, 20, 3), np.uint8)
    np.testing.assert_allclose(normalised(photo), preprocess(photo, size=20, resize=20), atol=1e-6)


def test_thirty_steps_learn_three_colours():
    state = initial_state(MODULE, RECIPE, 16, 30)
    losses = []
    for _ in range(30):
        state, metrics = step(state, IMAGES, LABELS)
        losses.append(float(metrics["loss"]))
    assert losses[0] > 1.0 > losses[-1]
    assert float(metrics["top1"]) == 1
    assert int(state.step) == 30
    logits = MODULE.apply(state.average, normalised(IMAGES))
    assert (np.argmax(logits, 1) == LABELS).mean() > 0.9


def test_only_kernels_decay_and_the_average_follows():
    recipe = Recipe(batch=12, learning_rate=1.0, warmup=0.0, weight_decay=0.1, momentum=0.0)
    once = jax.jit(partial(train_step, MODULE, recipe, 10))
    still = jax.jit(partial(train_step, MODULE, Recipe(**{**vars(recipe), "weight_decay": 0.0}), 10))
    state = initial_state(MODULE, recipe, 16, 10)
    state, _ = once(state, IMAGES, LABELS)  # the first step's learning rate is 0
    decayed, plain = (f(state, IMAGES, LABELS)[0].variables["params"] for f in (once, still))
    rate = recipe.learning_rate * recipe.batch / 128
    kernel, bias = state.variables["params"]["fc"]["kernel"], state.variables["params"]["fc"]["bias"]
    np.testing.assert_allclose(plain["fc"]["kernel"] - decayed["fc"]["kernel"], rate * 0.1 * kernel, atol=1e-6)
    np.testing.assert_array_equal(plain["fc"]["bias"], decayed["fc"]["bias"])
    assert bias.shape == (3,)


def test_mixing_pairs_leaves_the_sums():
    recipe = Recipe(**{**vars(RECIPE), "mixup": 0.4})
    pixels, targets = normalised(IMAGES), jax.nn.one_hot(LABELS, 3)
    mixed, shares = _mixed(recipe, jnp.array(3), pixels, targets)
    np.testing.assert_allclose(mixed.sum(0), pixels.sum(0), atol=1e-4)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(shares.sum(0), targets.sum(0), atol=1e-5)
    assert ((shares > 0) & (shares < 1)).any()
    again, _ = _mixed(recipe, jnp.array(3), pixels, targets)
    other, _ = _mixed(recipe, jnp.array(4), pixels, targets)
    np.testing.assert_array_equal(mixed, again)
    assert jnp.abs(mixed - other).max() > 0.1


def test_given_weights_are_where_it_starts():
    variables = initial_state(MODULE, Recipe(seed=5), 16, 30).variables
    state = initial_state(MODULE, RECIPE, 16, 30, variables=variables)
    jax.tree.map(np.testing.assert_array_equal, state.variables, variables)
    jax.tree.map(np.testing.assert_array_equal, state.average, variables)


def test_a_block_starts_as_its_skip():
    params = initial_state(MODULE, RECIPE, 16, 30).variables["params"]
    assert not jnp.any(params["layer1.0"]["bn2"]["scale"])
    assert jnp.all(params["layer1.0"]["bn1"]["scale"] == 1)


EIGHT = """
import json, sys
from functools import partial
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.training.test_steps import IMAGES, LABELS, MODULE, RECIPE
from srd_jax.training.steps import initial_state, train_step
devices = jax.devices()[:4]
assert len(devices) == 4
mesh = Mesh(np.array(devices), ("batch",))
state = jax.device_put(initial_state(MODULE, RECIPE, 16, 30), NamedSharding(mesh, PartitionSpec()))
images, labels = (jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch"))) for x in (IMAGES, LABELS))
step = jax.jit(partial(train_step, MODULE, RECIPE, 30))
for _ in range(3):
    state, metrics = step(state, images, labels)
leaves = jax.tree.leaves(state.variables)
assert all(len(leaf.sharding.device_set) == 4 for leaf in leaves)
print(json.dumps([float(metrics["loss"]), *(float(abs(leaf).sum()) for leaf in leaves)]))
"""


@pytest.mark.slow
def test_four_devices_take_the_same_steps_as_one():
    state = initial_state(MODULE, RECIPE, 16, 30)
    for _ in range(3):
        state, metrics = step(state, IMAGES, LABELS)
    expected = [float(metrics["loss"]), *(float(abs(leaf).sum()) for leaf in jax.tree.leaves(state.variables))]
    done = subprocess.run([sys.executable, "-c", EIGHT], env=on_devices(8), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=2e-4)

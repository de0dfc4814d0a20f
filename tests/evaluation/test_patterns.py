"""What activation patterns alone predict: every way is counted once for each image."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from srd_jax.batch import Batch
from srd_jax.evaluation.patterns import patterns, report
from srd_jax.evaluation.report import UNTRAINED, Subject
from srd_jax.models.photos import Preprocessing

IMAGES = np.random.default_rng(0).integers(0, 255, (7, 6, 6, 3), np.uint8)
WEIGHTS = [0.1 * jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(3, 8), (8, 4)])]
LABELS = np.array([0, 1, 2, 3, 0, 1, 2], np.int32)


def network(weights, images):
    first, second = weights
    return checkpoint_name(jax.nn.relu(images @ first - 0.05), "hidden").mean((1, 2)) @ second


NET = SimpleNamespace(
    name="small",
    labels=("cat", "dog", "cup", "sky"),
    layers=("hidden",),
    trained=False,
    size=64,
    apply=network,
    variables=WEIGHTS,
    preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
)


def test_every_way_is_counted_once_for_each_image():
    batches = [Batch(IMAGES[i : i + 3], LABELS[i : i + 3]) for i in (0, 3, 6)]
    done = []
    results = patterns(NET, batches, 3, layers=["hidden"], probes=["zeros", "other", "image"], advance=done.append)
    inputs = NET.preprocess.normalise(IMAGES)
    usual = jnp.argmax(network(WEIGHTS, inputs), -1)
    other = np.concatenate([np.roll(inputs[i : i + 3], 1, 0) for i in (0, 3, 6)])
    expected = {
        ("ordinary", ""): usual,
        ("layer", "hidden"): jnp.argmax(srd.apop(network, "hidden")(WEIGHTS, inputs), -1),
        ("probe", "zeros"): jnp.argmax(srd.apop(network)(WEIGHTS, inputs, 0.0), -1),
        ("probe", "other"): jnp.argmax(srd.apop(network)(WEIGHTS, inputs, other), -1),
        ("probe", "image"): usual,
    }
    assert [(result.way, result.name) for result in results] == list(expected)
    for result, predicted in zip(results, expected.values(), strict=True):
        np.testing.assert_allclose(result.top1, (predicted == LABELS).mean(), rtol=1e-6)
        np.testing.assert_allclose(result.agreement, (predicted == usual).mean(), rtol=1e-6)
        assert result.low <= result.top1 <= result.high
    assert done == [3, 3, 1]


def test_without_labels_the_ordinary_prediction_is_the_label():
    (ordinary,) = patterns(NET, [Batch(IMAGES, np.full(7, -1, np.int32))], 7, layers=[], probes=[])
    assert ordinary.top1 == ordinary.agreement == 1


def test_the_report_says_what_was_left_out_and_that_nothing_was_learnt():
    results = patterns(NET, [Batch(IMAGES, LABELS)], 7, layers=["hidden"], probes=["image"])
    made = report(results, Subject.of(NET, "random", "flowers", "test"), 9)
    assert made.remarks == ("2 of 9 images have no label and are left out",)
    assert UNTRAINED in made.notice
    assert made.stem == "flowers_small_apop"
    assert made.record["split"] == "test"
    assert [row[:2] for row in made.rows] == [("ordinary", ""), ("layer", "hidden"), ("probe", "image")]

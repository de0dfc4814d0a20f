"""Faithfulness on a network of which each pixel's part is known: the map of these parts is the best there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics

IMAGES = jax.random.normal(jax.random.key(0), (3, 6, 4, 2))
WEIGHTS = jax.random.normal(jax.random.key(1), (6, 4, 2))
TARGETS = jnp.array([0, 1, 0])
BASELINE = metrics.black(IMAGES)


def network(weights, x):
    total = jnp.sum(weights * x, (1, 2, 3))
    return jnp.stack([total, -2 * total], -1)


SIGN = jnp.array([1.0, -2.0, 1.0])[:, None, None]
PARTS = SIGN * jnp.sum(WEIGHTS * (IMAGES - BASELINE), -1)
NOISE = jax.random.normal(jax.random.key(5), PARTS.shape)
MODEL = network, WEIGHTS, IMAGES


def test_flipping_takes_parts_away_one_after_another():
    got = metrics.pixel_flipping(*MODEL, PARTS, TARGETS, BASELINE, at_once=5)
    whole = np.take_along_axis(np.asarray(network(WEIGHTS, IMAGES)), np.asarray(TARGETS)[:, None], 1)
    gone = np.cumsum(-np.sort(-np.asarray(PARTS).reshape(3, -1), -1), -1)
    np.testing.assert_allclose(got, whole - gone[:, [4, 9, 14, 19, 23]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "run",
    [
        lambda maps: metrics.faithfulness_estimate(*MODEL, maps, TARGETS, BASELINE, at_once=4),
        lambda maps: (
            metrics.faithfulness_correlation(jax.random.key(0), *MODEL, maps, TARGETS, BASELINE, size=5, runs=40).value
        ),
        lambda maps: (
            metrics.sensitivity_n(jax.random.key(0), *MODEL, maps, TARGETS, BASELINE, sizes=(2, 8), runs=40).value
        ),
    ],
)
def test_the_parts_correlate_and_noise_does_not(run):
    np.testing.assert_allclose(run(3 * PARTS), 1, atol=1e-5)
    assert jnp.abs(run(NOISE)).max() < 0.8


def test_infidelity_is_zero_for_the_parts_in_any_scale():
    key = jax.random.key(0)
    for maps in (PARTS, 7 * PARTS):
        value, spread = metrics.infidelity(key, *MODEL, maps, TARGETS, BASELINE, runs=20, side=2)
        np.testing.assert_allclose(value, 0, atol=1e-6)
        np.testing.assert_allclose(spread, 0, atol=1e-6)
    assert metrics.infidelity(key, *MODEL, NOISE, TARGETS, BASELINE, runs=20, side=2).value.min() > 0.1


def test_the_spread_is_how_far_other_keys_lead():
    keys = jax.random.split(jax.random.key(3), 30)
    each = [
        metrics.faithfulness_correlation(key, *MODEL, PARTS + 4 * NOISE, TARGETS, BASELINE, size=5, runs=50)
        for key in keys
    ]
    values, spreads = (np.stack(parts) for parts in zip(*each, strict=True))
    np.testing.assert_allclose(values.std(0), spreads.mean(0), rtol=0.5)


def test_irof_takes_segments_by_their_mean():
    segments = jnp.broadcast_to(metrics.squares(6, 4, 2), (3, 6, 4))
    assert np.unique(segments).tolist() == list(range(6))
    np.testing.assert_array_equal(segments[0, :2], [[0, 0, 1, 1], [0, 0, 1, 1]])
    got = metrics.irof(*MODEL, PARTS, TARGETS, BASELINE, segments, count=6)
    for i in range(3):
        means = np.asarray(PARTS[i]).reshape(3, 2, 2, 2).mean((1, 3)).ravel()
        x, curve = np.array(IMAGES[i]), []
        for place in [None, *np.argsort(-means)]:
            if place is not None:
                x[np.asarray(segments[i]) == place] = np.asarray(BASELINE[i])[0, 0]
            curve.append(float(jax.nn.softmax(network(WEIGHTS, x[None]))[0, TARGETS[i]]))
        curve = np.array(curve) / curve[0]
        np.testing.assert_allclose(got[i], 1 - (curve[1:] + curve[:-1]).mean() / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda: metrics.faithfulness_correlation(jax.random.key(0), *MODEL, PARTS, TARGETS, BASELINE, size=25),
            "1 and 24",
        ),
        (lambda: metrics.infidelity(jax.random.key(0), *MODEL, PARTS, TARGETS, BASELINE, side=5), "1 and 4"),
        (lambda: metrics.sensitivity_n(jax.random.key(0), *MODEL, PARTS, TARGETS, BASELINE, sizes=()), "one number"),
    ],
)
def test_sets_that_do_not_fit(run, message):
    with pytest.raises(ValueError, match=message):
        run()

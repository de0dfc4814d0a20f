"""Deletion and insertion on models whose answer is known, against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.metrics import area, blurred, deletion, insertion, mean_colour

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 5, 3))
MAPS = jax.random.normal(jax.random.key(1), (2, 4, 5))
BASELINE = jax.random.normal(jax.random.key(2), (2, 4, 5, 3))
WEIGHTS = jax.random.normal(jax.random.key(3), (60, 3))
TARGETS = jnp.array([2, 0])


def model(weights, images):
    return images.reshape(images.shape[0], -1) @ weights


def by_loop(replaced, kept, steps):
    curves = np.zeros((2, steps + 1))
    for i in range(2):
        order = sorted(range(20), key=lambda pixel: -float(MAPS[i].ravel()[pixel]))
        for step in range(steps + 1):
            image = np.array(kept[i]).reshape(20, 3)
            gone = order[: int(np.ceil(step * 20 / steps))]
            image[gone] = np.array(replaced[i]).reshape(20, 3)[gone]
            logits = image.reshape(-1) @ np.asarray(WEIGHTS)
            curves[i, step] = np.exp(logits[int(TARGETS[i])] - logits.max()) / np.exp(logits - logits.max()).sum()
    return curves


def test_curves_against_a_loop():
    for steps in (4, 7):
        gone = deletion(model, WEIGHTS, IMAGES, MAPS, TARGETS, BASELINE, steps=steps)
        np.testing.assert_allclose(gone, by_loop(BASELINE, IMAGES, steps), rtol=1e-4, atol=1e-6)
        come = insertion(model, WEIGHTS, IMAGES, MAPS, TARGETS, BASELINE, steps=steps)
        np.testing.assert_allclose(come, by_loop(IMAGES, BASELINE, steps), rtol=1e-4, atol=1e-6)


def test_the_true_map_beats_its_opposite():
    def bright(_, images):
        return 3 * jnp.stack([images[:, 1, 2, 0], 0 * images[:, 0, 0, 0]], -1)

    images, truth = jnp.ones((1, 4, 5, 3)), jnp.zeros((1, 4, 5)).at[0, 1, 2].set(1.0)
    curves = [deletion(bright, (), images, sign * truth, jnp.array([0]), 0 * images, steps=20) for sign in (1, -1)]
    high, low = jax.nn.sigmoid(3.0), 0.5
    np.testing.assert_allclose(curves[0][0], [high, *[low] * 20], rtol=1e-6)
    np.testing.assert_allclose(curves[1][0], [*[high] * 20, low], rtol=1e-6)
    edge = (high - low) / 40
    np.testing.assert_allclose(area(jnp.concatenate(curves)), [low + edge, high - edge], rtol=1e-6)


def test_baselines():
    np.testing.assert_allclose(mean_colour(IMAGES)[:, 2, 3], IMAGES.mean((1, 2)), rtol=1e-6)
    flat = jnp.full((1, 9, 9, 2), 0.7)
    np.testing.assert_allclose(blurred(flat, sigma=1.5), flat, rtol=1e-6)
    point = jnp.zeros((1, 15, 15, 1)).at[0, 7, 7, 0].set(1.0)
    soft = blurred(point, sigma=1.0)[0, :, :, 0]
    np.testing.assert_allclose(soft.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(soft[7, 8] / soft[7, 7], np.exp(-0.5), rtol=1e-5)
    np.testing.assert_allclose(soft[6, 8] / soft[7, 7], np.exp(-1.0), rtol=1e-5)

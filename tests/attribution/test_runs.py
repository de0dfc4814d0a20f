"""What runs the network on changed images: patches, masks and channels, against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution.occlusion import occlusion
from srd_jax.attribution.rise import random_mask, rise

IMAGES = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 5))


def network(weights, x):
    return jnp.tanh(x @ weights).mean((1, 2)) * 3


@pytest.mark.parametrize(("patch", "stride", "baseline"), [(2, None, 0.0), (3, 2, 0.5), (4, 1, 0.0), (9, None, 0.0)])
def test_occlusion_is_the_mean_drop_of_the_patches_on_a_pixel(patch, stride, baseline):
    heat = occlusion(network, patch=patch, stride=stride, baseline=baseline)(WEIGHTS, IMAGES, 3)
    step = stride or patch
    whole = np.asarray(network(WEIGHTS, IMAGES))[:, 3]
    total, number = np.zeros((2, 7, 6)), np.zeros((7, 6))
    for top in range(0, max(7 - patch, 0) + step, step):
        for left in range(0, max(6 - patch, 0) + step, step):
            box = (slice(top, top + patch), slice(left, left + patch))
            covered = np.array(IMAGES)
            covered[(slice(None), *box)] = baseline
            total[(slice(None), *box)] += (whole - np.asarray(network(WEIGHTS, covered))[:, 3])[:, None, None]
            number[box] += 1
    assert number.min() > 0
    np.testing.assert_allclose(heat, total / number, atol=2e-6)


def test_rise_is_the_mean_of_its_masks_by_probability():
    heat = rise(network, samples=5, cells=3, kept=0.4, seed=2)(WEIGHTS, IMAGES, 3)
    total = np.zeros((2, 7, 6))
    for key in jax.random.split(jax.random.key(2), 5):
        mask = np.asarray(random_mask(key, (7, 6), 3, 0.4))
        assert mask.min() >= 0
        assert mask.max() <= 1
        chance = jax.nn.softmax(network(WEIGHTS, IMAGES * mask[..., None]), -1)[:, 3]
        total += np.asarray(chance)[:, None, None] * mask
    np.testing.assert_allclose(heat, total / (5 * 0.4), rtol=1e-5)


def test_masks_keep_what_they_should():
    masks = jnp.stack([random_mask(key, (32, 24), 4, 0.3) for key in jax.random.split(jax.random.key(0), 40)])
    assert abs(float(masks.mean()) - 0.3) < 0.05
    assert float(masks.std((1, 2)).min()) > 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: occlusion(network, patch=0), "stride at most patch"),
        (lambda: occlusion(network, patch=2, stride=3), "stride at most patch"),
        (lambda: rise(network, samples=0), "samples and cells must be at least 1"),
        (lambda: rise(network, kept=1.0), "kept between 0 and 1"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()

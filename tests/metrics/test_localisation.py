"""Localisation on maps whose scores are known by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics

MAPS = jnp.array([[[4.0, -3.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [-5.0, 1.0]]])
MASKS = jnp.array([[[True, True], [False, False]], [[True, False], [False, False]], [[False, False], [True, False]]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_pointing", [True, True, False]),
        ("energy_pointing", [4 / 7, 0, 0]),
        ("attribution_localisation", [7 / 10, 0, 5 / 8]),
        ("rank_accuracy", [1, 1, 1]),
        ("auc", [1, 0.5, 1]),
    ],
)
def test_by_hand(name, expected):
    np.testing.assert_allclose(getattr(metrics, name)(MAPS, MASKS), expected, rtol=1e-6)


def test_top_k():
    np.testing.assert_allclose(metrics.top_k_intersection(MAPS, MASKS, k=3), [2 / 3, 1 / 3, 1 / 3], rtol=1e-6)
    with pytest.raises(ValueError, match="between 1 and the 4 pixels"):
        metrics.top_k_intersection(MAPS, MASKS, k=5)


def test_the_auc_of_ties_and_of_masks_that_say_nothing():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 4, (2, 5, 6)).astype(np.float32)
    masks = rng.random((2, 5, 6)) < 0.4
    pairs = [
        np.mean([(a > b) + 0.5 * (a == b) for a in heat[mask] for b in heat[~mask]])
        for heat, mask in zip(maps, masks, strict=True)
    ]
    np.testing.assert_allclose(metrics.auc(maps, masks), pairs, rtol=1e-5)
    assert np.isnan(metrics.auc(maps, np.ones_like(masks))).all()
    assert np.isnan(metrics.rank_accuracy(maps, np.zeros_like(masks))).all()

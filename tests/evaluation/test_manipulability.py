"""The numbers that say how far maps gave way."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from srd_jax.evaluation.manipulability import likeness, measured, report
from srd_jax.evaluation.manipulation import Attack
from srd_jax.evaluation.manipulation_runs import Attacked
from srd_jax.evaluation.report import Subject

RNG = np.random.default_rng(0)
MAPS, GOALS = RNG.normal(size=(2, 3, 8, 9)).astype(np.float32)
IMAGES = RNG.integers(8, 240, (3, 8, 9, 3), np.uint8)
LOGITS = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]], np.float32)


def attacked(**changes):
    nothing = {
        "images": IMAGES, "changed": IMAGES, "classes": LOGITS.argmax(-1), "maps": MAPS, "changed_maps": MAPS,
        "noisy_maps": MAPS, "goals": GOALS, "logits": LOGITS, "changed_logits": LOGITS, "softened": np.zeros(3, bool),
    }  # fmt: skip
    return Attacked(**nothing | changes)


def test_likeness_is_of_magnitudes_and_blind_to_their_scale():
    found = likeness(MAPS, -3 * MAPS)
    np.testing.assert_allclose(found["pcc"], 1)
    np.testing.assert_allclose(found["ssim"], 1)
    np.testing.assert_allclose(found["mse"], 0, atol=1e-12)
    one, other = (np.abs(maps[1]) / np.abs(maps[1]).max() for maps in (MAPS, GOALS))
    others = {name: values[1] for name, values in likeness(MAPS, GOALS).items()}
    assert others["pcc"] == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert others["ssim"] == pytest.approx(structural_similarity(one, other, data_range=1), rel=1e-5)
    assert others["mse"] == pytest.approx(((one - other) ** 2).mean())
    assert np.isnan(likeness(0 * MAPS, GOALS)["pcc"]).all()


def test_the_way_goes_from_nothing_to_the_target():
    np.testing.assert_allclose(measured(attacked())["way"], 0)
    np.testing.assert_allclose(measured(attacked(changed_maps=2 * GOALS))["way"], 1)


def test_changes_are_in_levels_and_relative():
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] += 6
    changed[1] -= 2
    logits = LOGITS + np.array([[0, 2], [0, 0], [0.3, 0]])
    found = measured(attacked(changed=changed, changed_logits=logits))
    np.testing.assert_allclose(found["rms"], [6 / np.sqrt(8 * 9 * 3), 2, 0])
    np.testing.assert_allclose(found["largest"], [6, 2, 0])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found["psnr"], 20 * np.log10(255 / found["rms"]))
    np.testing.assert_allclose(found["logits"], [2, 0, 0.1], atol=1e-6)
    np.testing.assert_array_equal(found["stays"], [0, 1, 1])


def test_the_report_counts_only_what_says_something():
    maps = MAPS.copy()
    maps[0] = 0
    subject = Subject("small", "bundled", True, ("cat", "dog"))
    found = report({"srd": attacked(changed_maps=maps)}, subject, attack=Attack(bound=None), told={"batch": 2})
    results = found.record["results"]["srd"]
    assert results["own_after_pcc"] == {"mean": 1, "low": 1, "high": 1, "photos": 2}
    assert results["own_noise_pcc"]["photos"] == 3
    assert found.record["by_photo"]["srd"]["own_after_pcc"][0] is None
    assert found.record["attack"]["bound"] is None
    assert found.record["batch"] == 2
    assert "any change" in found.title
    assert len(found.rows[0]) == len(found.headings)
    found.figure.draw_without_rendering()

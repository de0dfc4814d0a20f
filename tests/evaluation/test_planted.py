"""The task whose answer is known, and what every method and every localisation metric makes of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.attribution import METHODS
from srd_jax.evaluation.measuring import Protocol, measures
from srd_jax.evaluation.planted import CLASSES, PATCH, SIDE, network, planted, planted_images
from srd_jax.metrics import METRICS, Explained, mean_colour

COUNT = 4
LOCALISATION = [name for name, metric in METRICS.items() if {"masks", "boxes"} & set(metric.needs)]
CONTROLS = ("random", "centre", "edge", "lattice")
BLIND = ("deconvolution",)  # to the image: it sends the same back through every position
CHANCE = {"auc": 0.5}
SETTINGS = {"rise": {"samples": 200}, "integrated_gradients": {"steps": 8}, "smoothgrad": {"samples": 4}}
NET = network()
FOUND = [planted(seed) for seed in range(COUNT)]
IMAGES = jnp.asarray(NET.preprocess.normalise(np.stack([image for image, *_ in FOUND])))
TARGETS = jnp.array([target for _, target, _, _ in FOUND])
MASKS = jnp.asarray(np.stack([masks[0] for *_, masks in FOUND]))


def test_only_the_patches_decide():
    logits = np.asarray(NET.apply(NET.variables, IMAGES))
    for row, (image, target, other, masks) in enumerate(FOUND):
        assert set(np.flatnonzero(logits[row] > 0)) == {target, other}
        np.testing.assert_allclose(logits[row][[target, other]], 9.4, atol=0.1)
        assert [mask.sum() for mask in masks] == [PATCH**2] * 2
        without = np.where(masks[0][..., None] == 1, 128, image).astype(np.uint8)
        changed = NET.apply(NET.variables, NET.preprocess.normalise(without)[None])[0]
        expected = np.where(np.arange(CLASSES) == target, 0, logits[row])
        np.testing.assert_allclose(changed, expected, atol=1e-6)


def test_the_images_are_read_with_their_masks():
    images = planted_images(3, seed=1)
    encoded, target = images.read(2)
    image, expected, _, masks = planted(3)
    assert target == expected == images.annotation(2).targets[0]
    np.testing.assert_array_equal(images.annotation(2).masks, masks[:1])
    from srd_jax.models import photos  # noqa: PLC0415

    np.testing.assert_array_equal(NET.preprocess.crop(photos.decoded(encoded, "it")), image)


def scores(name):
    maps = METHODS[name](NET.apply, **SETTINGS.get(name, {}))(NET.variables, IMAGES, TARGETS)
    made = Explained(maps, NET.apply, NET.variables, IMAGES, TARGETS, mean_colour(IMAGES))
    found = measures(made, Protocol(tuple(LOCALISATION), blur=1.0), MASKS)[:, 0].mean(0)
    return dict(zip(LOCALISATION, found, strict=True))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*CONTROLS, *BLIND)])
def test_methods_find_the_patch(name):
    found = scores(name)
    assert found["auc"] > 0.95
    if name in ("occlusion", "rise"):  # whose patches and masks are coarser than the patch
        assert found["rank_accuracy"] > 0.5
        return
    assert found["pointing"] == found["mask_pointing"] == 1
    assert found["energy_pointing"] > 0.9
    assert found["rank_accuracy"] > 0.95
    # 1,000 pixels are more than the patch has, and half of SRD's map is what speaks against the class
    assert found["top_k_intersection"] > 0.95 * PATCH**2 / 1000
    assert found["attribution_localisation"] > (0.45 if name.startswith("srd") else 0.9)


@pytest.mark.parametrize("name", [*CONTROLS, *BLIND])
def test_controls_are_near_chance(name):
    found, share = scores(name), (PATCH / SIDE) ** 2
    seen = 5 if name == "edge" else 2  # a patch has more edges than faint noise
    for metric in ("energy_pointing", "attribution_localisation"):
        assert found[metric] < seen * share
    assert found["auc"] < 0.8

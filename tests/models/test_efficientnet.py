"""EfficientNet against timm's and torchvision's networks, and the ImageNet network that comes with the package.

``efficientnet_lite0_logits.npz`` holds the logits of efficientnet_lite_pytorch with the float32 weights that the
package's were rounded from.
"""

import hashlib
import json
from pathlib import Path

import huggingface_hub
import jax
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.models import efficientnet

from .references import KNOWN, check_layers, check_logits, check_names, check_parameters

HERE = Path(__file__).parent
NAMES = tuple(efficientnet.FAMILY.entries)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.parametrize(
    ("whose", "name"),
    [(whose, name) for whose in ("torchvision", "timm", "package") for name in KNOWN[whose] if name in NAMES],
)
def test_parameters_by_the_names_that_others_have_for_them(whose, name):
    check_names(whose, name)


@pytest.mark.parametrize("name", [name for name in NAMES if name in KNOWN["logits"]])
def test_logits_are_those_of_timm(name):
    check_logits(name)


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_b0"])
def test_every_activation_and_block_is_a_pfv_map(name):
    check_layers(name)


@pytest.fixture(scope="module")
def net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub, "hf_hub_download", lambda **_: pytest.fail("asked the hub"))
        return models.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def photos(net):
    return np.stack([net.preprocess(models.sample_photo(name)) for name in models.SAMPLES])


def test_the_file_is_the_one_on_its_card():
    card = json.loads(efficientnet.WEIGHTS.with_suffix(".json").read_text())
    assert hashlib.sha256(efficientnet.WEIGHTS.read_bytes()).hexdigest() == card["sha256"]
    assert card["source_sha256"].startswith("57934424")  # as PyTorch's files have it in their names
    assert efficientnet.WEIGHTS.stat().st_size < 9_500_000


def test_it_is_a_trained_network_of_imagenets_classes(net):
    assert net.trained
    assert net.labels == models.imagenet_labels() == models.weight_files.class_names(efficientnet.WEIGHTS)
    assert (net.size, net.preprocess.resize, net.preprocess.resample) == (224, 256, "bicubic")
    np.testing.assert_allclose(
        net.preprocess.normalise(np.array([0, 127, 255], np.uint8)), [-127 / 128, 0, 1], atol=1e-6
    )


def test_the_sample_photos_are_what_they_are(net, photos):
    logits = np.asarray(jax.jit(net.apply)(net.variables, photos))
    with np.load(HERE / "efficientnet_lite0_logits.npz") as recorded:
        for row, name in enumerate(models.SAMPLES):
            np.testing.assert_allclose(logits[row], recorded[f"{name} float16"], atol=2e-4)
            np.testing.assert_allclose(logits[row], recorded[name], atol=0.05)  # of weights that were not rounded
    best = dict(zip(models.SAMPLES, logits.argmax(1), strict=True))
    assert net.labels[best["coffee"]] == "espresso"
    assert "cat" in net.labels[best["chelsea"]]
    assert "missile" in net.labels[best["rocket"]]


def test_weights_of_ones_own_have_imagenets_names(net):
    state = models.to_torchvision(net.variables)
    assert models.load("efficientnet_lite0", state).labels == net.labels
    small = {name: array[:3] if name.startswith("classifier") else array for name, array in state.items()}
    assert models.load("efficientnet_lite0", small).labels == ("class 0", "class 1", "class 2")


@pytest.mark.slow
def test_its_maps_sum_to_the_logit(net, photos):
    logits, flow = jax.jit(srd.decompose(net.apply))(net.variables, photos[:1])
    heat = flow.relevance(contrast=None)["input"]
    np.testing.assert_allclose(heat.sum(), logits.max(), rtol=1e-4)

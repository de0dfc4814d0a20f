"""The bundled weights: whole, small, offline, and the same logits as when they were made."""

import hashlib
import json
from pathlib import Path

import huggingface_hub
import jax
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.models import tiny

RECORDED = Path(__file__).with_name("tiny_resnet_logits.npz")


@pytest.fixture(scope="module")
def net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub, "hf_hub_download", lambda **_: pytest.fail("asked the hub"))
        return models.load("tiny_resnet")


@pytest.fixture(scope="module")
def card():
    return json.loads(tiny.WEIGHTS.with_suffix(".json").read_text())


def test_the_file_is_the_one_that_was_trained(card):
    assert hashlib.sha256(tiny.WEIGHTS.read_bytes()).hexdigest() == card["sha256"]
    assert tiny.WEIGHTS.stat().st_size <= 6_000_000


def test_it_is_a_trained_model_of_200_classes(net, card):
    assert net.trained
    assert net.labels == models.labels.tiny_imagenet_labels()
    assert models.weight_files.class_names(tiny.WEIGHTS) == net.labels
    assert (net.size, net.preprocess.resize) == (64, 64)
    assert card["metrics"]["validation_top1"] > 0.4
    assert card["recipe"]["data"] == "tiny_imagenet200 train"


def test_the_sample_photos_have_the_recorded_logits(net):
    with np.load(RECORDED) as recorded:
        assert set(recorded) == set(models.SAMPLES)
        photos = np.stack([net.preprocess(models.sample_photo(name)) for name in recorded])
        expected = np.stack([recorded[name] for name in recorded])
    logits = jax.jit(net.apply)(net.variables, photos)
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_its_explanation_sums_to_the_logit(net):
    photo = net.preprocess(models.sample_photo("chelsea"))[None]
    logits, flow = jax.jit(srd.decompose(net.apply))(net.variables, photo)
    heat = flow.relevance(contrast=None)["input"]
    np.testing.assert_allclose(heat.sum(), logits.max(), rtol=1e-4)

"""Weights as they come with the package: rounded, named, with a card, or refused."""

import hashlib
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import srd_jax as srd
from srd_jax import models
from srd_jax.models import weight_files
from srd_jax.models.bundling import bundle


@pytest.fixture
def source(tmp_path):
    state = models.to_torchvision(models.load("tiny_resnet", "untrained").variables)
    save_file(state, tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


def test_weights_are_rounded_named_and_described(source, tmp_path):
    out = tmp_path / "bundled.safetensors"
    card = json.loads(bundle("tiny_resnet", source, out).read_text())
    assert card == {
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "source": "trained.safetensors",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    assert {array.dtype for array in load_file(out).values()} == {np.dtype(np.float16)}
    assert weight_files.class_names(out) == models.load("tiny_resnet", "untrained").labels
    before, after = (models.load("tiny_resnet", path).variables for path in (source, out))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7), before, after)


def test_what_float16_cannot_hold_is_refused(source, tmp_path):
    state = load_file(source)
    state["bn1.running_var"] = np.full_like(state["bn1.running_var"], 1e5)
    save_file(state, source)
    with pytest.raises(srd.WeightsError, match=r"bn1.running_var of .* holds 100000, more than float16 can"):
        bundle("tiny_resnet", source, tmp_path / "bundled.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trained.safetensors"]

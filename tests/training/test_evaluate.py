"""Accuracy, against NumPy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.data import Source, batches
from srd_jax.training import accuracy


def test_accuracy_is_what_numpy_finds(source):
    weights = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)

    def apply(variables, images):
        return jnp.mean(images, (1, 2)) @ variables

    (batch,) = batches(source("validation"), 16, size=64, resize=64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    logits = ((batch.images / 255 - mean) / std).mean((1, 2)) @ weights
    order = np.argsort(-logits, 1)
    log_sum = np.log(np.exp(logits).sum(1))
    counted = []
    found = accuracy(apply, weights, source("validation"), size=64, resize=64, batch=5, advance=counted.append)
    assert counted == [5, 5, 5, 1]
    assert found.images == 16
    assert found.top1 == np.mean(order[:, 0] == batch.labels)
    assert found.top5 == np.mean((order[:, :5] == batch.labels[:, None]).any(1))
    assert found.loss == pytest.approx(np.mean(log_sum - logits[np.arange(16), batch.labels]), rel=1e-5)


def test_images_without_a_label_are_not_counted(source):
    class Half(Source):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return dataclasses.replace(example, label=-1) if index % 4 else example

    whole = source("validation")
    half = Half(whole.name, whole.labels, whole.records)

    def apply(variables, images):
        return jnp.zeros((len(images), 200)).at[:, 0].set(1.0)

    found = accuracy(apply, None, half, size=8, resize=8)
    (batch,) = batches(whole, 16, size=8, resize=8)
    assert found.images == 4
    assert found.top1 == np.mean(batch.labels[::4] == 0)

"""Models that are quick to compile, in place of those that commands load."""

from types import SimpleNamespace

import numpy as np
import pytest

from srd_jax.cli import inputs
from srd_jax.models import photos

__all__ = ["network", "use"]


def network(classes, scale=1.0):
    """A model of one layer, quick to compile."""
    kernel = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    labels = tuple(f"class {i}" for i in range(classes))

    def apply(variables, images):
        return scale * (images.mean((1, 2)) @ variables["params"]["kernel"])

    return SimpleNamespace(
        name="small", labels=labels, layers=(), trained=True, size=64, apply=apply,
        variables={"params": {"kernel": kernel}}, preprocess=photos.Preprocessing(64, 64),
    )  # fmt: skip


@pytest.fixture
def use(monkeypatch):
    """Makes the commands work on a network."""
    return lambda net: monkeypatch.setattr(inputs.models, "load", lambda *_: net)

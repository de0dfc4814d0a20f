"""What tests of attacks attack: a small network with ReLUs, and photos of a few pixels."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from srd_jax.models.photos import Preprocessing

__all__ = ["IMAGES", "NET", "network"]

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


class Network(nn.Module):
    activation: object

    @nn.compact
    def __call__(self, x):
        x = self.activation(nn.Conv(8, (3, 3), bias_init=nn.initializers.normal(0.3))(x))
        return nn.Dense(3)(self.activation(nn.Conv(8, (3, 3), 2)(x)).mean((1, 2)))


def network(activation):
    """A model as the commands load it."""
    module = Network(activation)
    return SimpleNamespace(
        name="small", labels=("cat", "dog", "cup"), layers=(), trained=True, size=16, apply=module.apply,
        variables=module.init(jax.random.key(3), jnp.zeros((1, 16, 16, 3))),
        preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.25,) * 3),
    )  # fmt: skip


NET = network(nn.relu)

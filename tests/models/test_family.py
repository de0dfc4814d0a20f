"""A family of models is its module and one entry of the registry."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from safetensors.numpy import save_file

import srd_jax as srd
from srd_jax import models
from srd_jax.models import families
from srd_jax.models.family import Entry, Family
from srd_jax.models.photos import Preprocessing


class Net(nn.Module):
    """A convolution, and a dense layer on its flattened map of two by two."""

    width: int
    num_classes: int = 3
    dtype: object = jnp.float32
    layers = ("stem",)
    min_extent = 4

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(self.width, (2, 2), (2, 2), "VALID", dtype=self.dtype, name="stem")(images)
        x = checkpoint_name(nn.relu(x), "stem")
        return nn.Dense(self.num_classes, dtype=self.dtype, name="top")(x[:, :2, :2].reshape(len(x), -1))


FAMILY = Family(
    entries={"net4": Entry(partial(Net, 4), lambda: ("owl", "cat", "dog"), Preprocessing(4, 5))},
    head="top.weight",
    repository="someone/{name}",
    renamed={"first.": "stem."},
    flattened={"top.weight": 2},
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, FAMILY))


def test_it_is_listed_built_and_described():
    assert models.names()[-1] == "net4"
    assert models.weights_source("net4") == "hf.co/someone/net4"
    assert models.preprocessing("net4") == Preprocessing(4, 5)
    assert not models.can_train("net4")
    assert models.can_train("resnet18")
    with pytest.raises(srd.LayerError, match="did you mean 'net4'"):
        models.build("net5")


def test_its_weights_go_to_a_file_and_back(tmp_path):
    drawn = models.load("net4", "untrained", num_classes=5)
    state = models.to_torchvision(drawn.variables)
    assert {name: array.shape for name, array in state.items()} == {
        "stem.weight": (4, 3, 2, 2), "stem.bias": (4,), "top.weight": (5, 16), "top.bias": (5,)
    }  # fmt: skip
    # torch flattens channel by channel
    kernel = np.asarray(drawn.variables["params"]["top"]["kernel"]).reshape(2, 2, 4, 5)
    np.testing.assert_array_equal(state["top.weight"][3].reshape(4, 2, 2), kernel[..., 3].transpose(2, 0, 1))
    save_file(
        {name.replace("stem.", "module.first."): array for name, array in state.items()}, tmp_path / "net.safetensors"
    )
    read = models.load("net4", tmp_path / "net.safetensors")
    assert len(read.labels) == 5
    jax.tree.map(np.testing.assert_array_equal, read.variables, drawn.variables)


def test_it_is_explained():
    net = models.load("net4", "untrained")
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    heat = srd.explain(net.apply, contrast=None)(net.variables, x, 1)
    np.testing.assert_allclose(heat.sum((1, 2)), net.apply(net.variables, x)[:, 1], atol=1e-5)
    assert net.labels == ("owl", "cat", "dog")
    assert net.layers == ("stem",)


def test_every_family_names_its_head_and_its_models_once():
    every = [name for family in families.FAMILIES for name in family.entries]
    assert len(every) == len(set(every))
    for family in families.FAMILIES:
        name, entry = next(iter(family.entries.items()))
        module = entry.module(num_classes=7, dtype=jnp.float32)
        template = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *(max(32, module.min_extent),) * 2, 3)))
        state = models.to_torchvision(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), template))
        assert state[family.head].shape[0] == 7, name
        assert set(family.flattened) <= set(state)

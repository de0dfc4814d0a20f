"""Layers are called as their modules are, and an error names the user's line and the library's."""

import importlib.util

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import srd_jax as srd

IMAGES = jax.random.normal(jax.random.key(0), (1, 3, 6, 5))


class Block(eqx.Module):
    conv: eqx.nn.Conv2d

    def __call__(self, x):
        return jax.nn.relu(self.conv(x))


class Network(eqx.Module):
    stem: eqx.nn.Conv2d
    blocks: list[Block]

    def __call__(self, x):
        x = jax.nn.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return x.mean((1, 2))


def test_equinox_layers_are_called_by_the_path_of_their_module():
    keys = jax.random.split(jax.random.key(1), 3)
    blocks = [Block(eqx.nn.Conv2d(4, 4, 3, padding=1, key=key)) for key in keys[1:]]
    model = Network(eqx.nn.Conv2d(3, 4, 3, key=keys[0]), blocks)
    arrays, static = eqx.partition(model, eqx.is_array)
    decomposed = srd.decompose(lambda v, x: jax.vmap(eqx.combine(v, static))(x), channel_axis=1)
    _, flow = jax.eval_shape(decomposed, arrays, IMAGES)
    assert [layer.name for layer in flow.layers] == ["input", "stem", "blocks.0.conv", "blocks.1.conv"]


def test_a_model_in_site_packages_is_at_both_lines(tmp_path):
    installed = tmp_path / "site-packages" / "zoo.py"
    installed.parent.mkdir()
    installed.write_text("import jax.numpy as jnp\n\n\ndef mixed(x):\n    return jnp.sort(x, 2).mean((1, 2))\n")
    spec = importlib.util.spec_from_file_location("zoo", installed)
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)

    def f(_, x):
        return zoo.mixed(jnp.tanh(x))

    line = f.__code__.co_firstlineno + 1
    with pytest.raises(srd.UnsupportedPrimitiveError, match="'sort'") as error:
        srd.explain(f, channel_axis=1)(None, IMAGES, 0)
    assert f"{__file__}:{line} ({f.__qualname__}) through {installed}:5 (mixed)" in str(error.value)

"""Class activation maps against their definitions in NumPy, and at which map they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from srd_jax.attribution import METHODS

NUMBERS = ("NHWC", "HWIO", "NHWC")
KEYS = jax.random.split(jax.random.key(3), 4)
IMAGES = jax.random.normal(KEYS[0], (2, 12, 8, 3))
W1, W2 = jax.random.normal(KEYS[1], (3, 3, 3, 4)) / 4, jax.random.normal(KEYS[2], (3, 3, 4, 5)) / 4
DENSE = jax.random.normal(KEYS[3], (5, 3))


def encoder(x):
    x = checkpoint_name(jax.nn.relu(lax.conv_general_dilated(x, W1, (2, 2), "SAME", dimension_numbers=NUMBERS)), "one")
    return jax.nn.relu(lax.conv_general_dilated(x, W2, (1, 1), "SAME", dimension_numbers=NUMBERS))


def head(v):
    return jnp.tanh(v.mean((1, 2)) @ DENSE + 0.3) + 2 * (v**2).mean((1, 2)) @ DENSE


def f(_, x):
    return head(encoder(x))


V = np.asarray(encoder(IMAGES), np.float64)
G = np.asarray(jax.grad(lambda v: head(v)[:, 1].sum())(encoder(IMAGES)), np.float64)


def weighed(a):
    return (V * a[:, None, None]).sum(-1)


def plus_plus():
    g = np.where(G == 0, 1, G)
    alpha = np.where(G == 0, 0, g**2 / (2 * g**2 + V.sum((1, 2), keepdims=True) * g**3 + 1e-6))
    return weighed((alpha * np.maximum(G, 0)).sum((1, 2)))


def ablated():
    whole = np.asarray(head(V))[:, 1]
    parts = [np.asarray(head(np.where(np.arange(5) == k, 0, V)))[:, 1] for k in range(5)]
    return weighed(np.stack([(whole - part) / whole for part in parts], -1))


DEFINITIONS = {
    "gradcam": lambda: weighed(G.mean((1, 2))),
    "hirescam": lambda: (V * G).sum(-1),
    "layercam": lambda: (V * np.maximum(G, 0)).sum(-1),
    "xgradcam": lambda: weighed((V * G).sum((1, 2)) / (V.sum((1, 2)) + 1e-7)),
    "gradcam_plus_plus": plus_plus,
    "ablationcam": ablated,
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_it_is_the_definition(name):
    heat = METHODS[name](f, enlarged=False)((), IMAGES, 1)
    assert heat.shape == (2, 6, 4)
    np.testing.assert_allclose(heat, np.maximum(DEFINITIONS[name](), 0), rtol=1e-4, atol=1e-5)
    large = METHODS[name](f)((), IMAGES, 1)
    np.testing.assert_allclose(large, jax.image.resize(heat, (2, 12, 8), "linear"), rtol=1e-5, atol=1e-6)


def test_a_map_by_its_name():
    first = METHODS["hirescam"](f, layer="one", enlarged=False)((), IMAGES, 1)
    v = jax.nn.relu(lax.conv_general_dilated(IMAGES, W1, (2, 2), "SAME", dimension_numbers=NUMBERS))

    def rest(v):
        return head(jax.nn.relu(lax.conv_general_dilated(v, W2, (1, 1), "SAME", dimension_numbers=NUMBERS)))

    g = jax.grad(lambda v: rest(v)[:, 1].sum())(v)
    np.testing.assert_allclose(first, jnp.maximum((v * g).sum(-1), 0), rtol=1e-4, atol=1e-6)
    names = [layer.name for layer in srd.decompose(f)((), IMAGES)[1].layers]
    last = METHODS["hirescam"](f, layer=names[-1], enlarged=False)((), IMAGES, 1)
    np.testing.assert_allclose(last, METHODS["hirescam"](f, enlarged=False)((), IMAGES, 1), rtol=1e-5)


def test_a_named_map_is_found_in_what_cannot_be_decomposed():
    def transformed(_, x):
        x = checkpoint_name(jax.nn.relu(x @ W1[0, 0]), "tokens")
        flat = x.reshape(2, -1, 4)
        return jnp.abs(jnp.fft.fft(flat, axis=1)).mean(1) @ DENSE[:4]

    with pytest.raises(srd.UnsupportedPrimitiveError):
        srd.explain(transformed)((), IMAGES, 1)
    heat = METHODS["gradcam"](transformed, layer="tokens")((), IMAGES, 1)
    assert heat.shape == (2, 12, 8)
    assert float(heat.max()) > 0


def test_where_there_is_no_such_map():
    with pytest.raises(srd.LayerError, match="no PFV map is called 'tow'"):
        METHODS["gradcam"](f, layer="tow")((), IMAGES, 1)
    with pytest.raises(srd.MethodError, match="no positions that lie as the images' do"):
        METHODS["gradcam"](lambda _, x: x.mean((1, 2)) @ jnp.ones((3, 2)))((), IMAGES, 1)
    with pytest.raises(srd.MethodError, match="2 maps together are where the encoder ends"):
        METHODS["gradcam"](lambda _, x: encoder(x).mean((1, 2)) @ DENSE + encoder(x[:, ::-1] + 1).max((1, 2)) @ DENSE)(
            (), IMAGES, 1
        )
